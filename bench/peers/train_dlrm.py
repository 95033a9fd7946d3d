"""Examples per second of DLRM training beside PyTorch: eager, `torch.compile` and FBGEMM; fp32 and bf16.

The same model, data, batches and optimizers, in two rows each: with the reading on both sides (ours: the command
`taut train`; the peers: pyarrow's batches of the same Parquet file, read and laid out ahead in a thread), and without
it on both sides (batches ready in memory; ours: `taut_step_bench`). Ours finds rows by 64-bit ids; the peers' ids are
row numbers already. Every side starts from a fresh model in each repetition. Answers are compared first: the mean loss
of the last quarter of the steps, which is close but not equal, as the start is random. In processor time (run.py
--processor-time) there are the rows without reading alone.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch

import evidence
from clicks import DENSE_NAMES, FEATURE_NAMES, parquet_file
from dlrm import Batches, Loop, MergedEmbeddingBag, Settings, TableBatchedEmbedding, load_batches

PROGRAM = Path(os.environ.get("TAUT_PROGRAM", evidence.ROOT / "build/release/bin/taut"))
STEP_PROGRAM = Path(os.environ.get("TAUT_STEP_PROGRAM", evidence.ROOT / "build/release/bin/taut_step_bench"))
WORK = evidence.RESULTS / "work"
PROCESSOR_TIME = True
GOAL = 1.5
# Over some hundred thousand examples two random starts differ by about 0.001 in log loss; a wrong step by far more.
LOSS_TOLERANCE = 0.005
ELASTIC_BUDGET = "1/10"
STEPS = 60
REPETITIONS = 3  # with these sizes all ends within 15 minutes on two cores


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


def step_ours(config: Path, arguments: list[str], threads: int, seconds: str) -> tuple[float, float]:
    """The same from `taut_step_bench`, without the reading; seconds: which of its fields is the time."""
    done = subprocess.run([str(STEP_PROGRAM), str(config), str(threads), *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise evidence.BenchError(f"taut_step_bench failed: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    return result["examples"] / result[seconds], result["loss"]


def check_losses(losses: dict[str, float], reference: str) -> None:
    """All sides that train the same table end at the same loss."""
    for name, loss in losses.items():
        if not abs(loss - losses[reference]) <= LOSS_TOLERANCE:
            raise evidence.BenchError(
                f"answers differ: log loss of {name} is {loss:.4f}, of {reference} {losses[reference]:.4f},"
                f" tolerance {LOSS_TOLERANCE}"
            )


def peers_of(settings: Settings) -> dict[str, Loop]:
    """The peers by name, compiled and tried; one that PyTorch cannot compile here is named and left out."""
    loops: dict[str, Loop] = {}
    for bf16 in (False, True):
        suffix = ", bf16 autocast" if bf16 else ""
        loops["PyTorch eager" + suffix] = Loop(MergedEmbeddingBag, settings, bf16=bf16)
        loops["PyTorch compiled" + suffix] = Loop(MergedEmbeddingBag, settings, bf16=bf16, compiled=True)
        loops["PyTorch + FBGEMM" + suffix] = Loop(TableBatchedEmbedding, settings, bf16=bf16)
    return loops


def ours_of(config: Path, options: evidence.Options) -> dict[str, Callable[[bool], tuple[float, float]]]:
    """Ours by name: a function of whether reading is included."""
    elastic = ['embedding.method="elastic"', 'embedding.value_type="mixed"', f'embedding.budget="{ELASTIC_BUDGET}"']
    settings = {"full": [], f"elastic {ELASTIC_BUDGET}": elastic, "full, bf16": ["train.bf16=true"]}

    def run(reading: bool, arguments: list[str]) -> tuple[float, float]:
        if not reading:
            seconds = "processor_seconds" if options.processor_time else "seconds"
            return step_ours(config, arguments, options.threads, seconds)
        return train_ours(config, [part for one in arguments for part in ("--set", one)], options.threads)

    return {name: lambda reading, arguments=arguments: run(reading, arguments) for name, arguments in settings.items()}


def try_peers(loops: dict[str, Loop], batches: Batches) -> dict[str, Loop]:
    """A few untimed steps of each: libraries load, threads start, models are compiled."""
    tried = {}
    for name, loop in loops.items():
        try:
            loop.run(batches.some(5), time.perf_counter)
            tried[name] = loop
        except Exception as problem:
            if not loop.compiled:
                raise
            print(f"{name} is left out, torch.compile fails here: {str(problem).splitlines()[0]}")
    return tried


def measure_dim(dim: int, steps: int, options: evidence.Options) -> list[evidence.Row]:
    """The rows of one width."""
    settings = Settings(dim=dim, batch=2048)
    data = parquet_file(WORK, steps * settings.batch)
    batches = load_batches(data, settings.batch)
    config = WORK / "dlrm.toml"
    config.write_text(config_text(settings, data, steps), "utf-8")
    losses: dict[str, float] = {}
    clock = time.process_time if options.processor_time else time.perf_counter
    unit = "examples/s of processor" if options.processor_time else "examples/s"

    def peer(name: str, loop: Loop, reading: bool) -> float:
        seconds, by_step = loop.run(batches.streamed() if reading else batches.held(), clock)
        last = by_step[-(steps // 4) :]
        losses[name] = sum(last) / len(last)
        return steps * settings.batch / seconds

    def ours(name: str, run: Callable[[bool], tuple[float, float]], reading: bool) -> float:
        rate, losses[name] = run(reading)
        return rate

    own = ours_of(config, options)
    peers = try_peers(peers_of(settings), batches)
    rows = []
    for reading in (False,) if options.processor_time else (True, False):
        sides = {
            "taut " + name: lambda n=name, r=run, on=reading: ours("taut " + n, r, on) for name, run in own.items()
        }
        sides |= {name: lambda n=name, p=loop, on=reading: peer(n, p, on) for name, loop in peers.items()}
        measured = evidence.interleave(sides, min(options.repetitions, REPETITIONS))
        print("log loss of the last quarter: " + ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items()))
        check_losses({name: loss for name, loss in losses.items() if "elastic" not in name}, "taut full")
        rows += [
            evidence.compare(
                f"dlrm D={dim}, {name}, {'with' if reading else 'without'} reading",
                unit,
                measured["taut " + name],
                (peer_name, measured[peer_name]),
                threads=options.threads,
                goal=GOAL,
            )
            for name in own
            for peer_name, loop in peers.items()
            if loop.bf16 == name.endswith("bf16")
        ]
    return rows


def measure(options: evidence.Options) -> list[evidence.Row]:
    """Both widths."""
    for program in (PROGRAM, STEP_PROGRAM):
        if not program.exists():
            raise evidence.BenchError(f"{program} is missing, run make build")
    torch.set_num_threads(options.threads)
    steps = 40 if options.quick else STEPS
    return [row for dim in (16, 64) for row in measure_dim(dim, steps, options)]
