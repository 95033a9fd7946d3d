"""Examples per second of DLRM training: `taut train` beside PyTorch with EmbeddingBag and with FBGEMM.

The same model, data, batches and optimizers. Ours is the command itself: its time holds reading and decoding the
Parquet file, finding rows by 64-bit ids, and training; the peers' batches lie ready in memory and their ids are row
numbers already. Every side starts from a fresh model in each repetition. Answers are compared first: the mean loss of
the last quarter of the steps, which is close but not equal, as the start is random.
"""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import torch

import evidence
from clicks import DENSE_NAMES, FEATURE_NAMES, parquet_file
from dlrm import MergedEmbeddingBag, Settings, TableBatchedEmbedding, load_batches, train

PROGRAM = Path(os.environ.get("TAUT_PROGRAM", evidence.ROOT / "build/release/bin/taut"))
WORK = evidence.RESULTS / "work"
GOAL = 1.5
# Over some hundred thousand examples two random starts differ by about 0.001 in log loss; a wrong step by far more.
LOSS_TOLERANCE = 0.005
ELASTIC_BUDGET = "1/10"


def config_text(settings: Settings, data: Path, steps: int) -> str:
    """Our config for the same model; a metrics line each quarter of the steps."""
    return f"""
[data]
train = {json.dumps(str(data))}
label = "label"
dense = {json.dumps(DENSE_NAMES)}
categorical = {json.dumps(FEATURE_NAMES)}
scaling = "none"
shuffle = 0
[model]
kind = "dlrm"
interaction = "dots"
bottom = {list(settings.bottom)}
top = {list(settings.top)}
[embedding]
method = "full"
dim = {settings.dim}
value_type = "fp32"
learning_rate = {settings.table_rate}
initial_accumulator = {settings.initial_accumulator}
epsilon = {settings.epsilon}
[train]
epochs = 1
batch_size = {settings.batch}
optimizer = "adam"
learning_rate = {settings.dense_rate}
checkpoint_every = 0
log_every = {steps // 4}
seed = {settings.seed}
"""


def train_ours(config: Path, arguments: list[str], threads: int) -> tuple[float, float]:
    """Examples per second and the loss of the last quarter, from one `taut train`."""
    run = WORK / "run"
    shutil.rmtree(run, ignore_errors=True)
    command = [str(PROGRAM), "train", str(config), "--out", str(run), "--threads", str(threads), "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise evidence.BenchError(f"taut train failed: {done.stderr.strip()}")
    losses = [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    shutil.rmtree(run, ignore_errors=True)
    return json.loads(done.stdout)["examples_per_second"], losses[-1]


def check_losses(losses: dict[str, float], reference: str) -> None:
    """All sides that train the same table end at the same loss."""
    for name, loss in losses.items():
        if not abs(loss - losses[reference]) <= LOSS_TOLERANCE:
            raise evidence.BenchError(
                f"answers differ: log loss of {name} is {loss:.4f}, of {reference} {losses[reference]:.4f},"
                f" tolerance {LOSS_TOLERANCE}"
            )


def measure_dim(dim: int, steps: int, options: evidence.Options) -> list[evidence.Row]:
    """The rows of one width."""
    settings = Settings(dim=dim, batch=2048)
    data = parquet_file(WORK, steps * settings.batch)
    batches = load_batches(data, settings.batch)
    examples = steps * settings.batch
    config = WORK / "dlrm.toml"
    config.write_text(config_text(settings, data, steps), "utf-8")
    losses: dict[str, float] = {}

    def ours(name: str, arguments: list[str]) -> float:
        rate, losses[name] = train_ours(config, arguments, options.threads)
        return rate

    def peer(kind: type) -> float:
        seconds, by_step = train(kind, settings, batches, time.perf_counter)
        last = by_step[-(steps // 4) :]
        losses[kind.name] = sum(last) / len(last)
        return examples / seconds

    peers = (MergedEmbeddingBag, TableBatchedEmbedding)
    for kind in peers:  # a few untimed steps: libraries load, threads start
        train(kind, settings, batches[:5], time.perf_counter)
    elastic = f"taut elastic {ELASTIC_BUDGET}"
    elastic_arguments = ["--set", 'embedding.method="elastic"', "--set", 'embedding.value_type="mixed"']
    elastic_arguments += ["--memory-budget", ELASTIC_BUDGET]
    sides = {"taut full": lambda: ours("taut full", []), elastic: lambda: ours(elastic, elastic_arguments)}
    sides |= {kind.name: lambda kind=kind: peer(kind) for kind in peers}
    measured = evidence.interleave(sides, options.repetitions)
    print("log loss of the last quarter: " + ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items()))
    check_losses({name: loss for name, loss in losses.items() if name != elastic}, "taut full")
    return [
        evidence.compare(
            f"dlrm D={dim}, {ours_name.removeprefix('taut ')}",
            "examples/s",
            measured[ours_name],
            (kind.name, measured[kind.name]),
            threads=options.threads,
            goal=GOAL,
        )
        for ours_name in ("taut full", elastic)
        for kind in peers
    ]


def measure(options: evidence.Options) -> list[evidence.Row]:
    """Both widths."""
    if not PROGRAM.exists():
        raise evidence.BenchError(f"{PROGRAM} is missing, run make build")
    torch.set_num_threads(options.threads)
    steps = 40 if options.quick else 300
    return [row for dim in (16, 64) for row in measure_dim(dim, steps, options)]
