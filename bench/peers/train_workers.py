"""Examples per second of data parallel training on two workers of one thread each, beside PyTorch's DDP.

An MLP and a network of convolutions, the same for both sides, on the same images, batches and optimizer, over Gloo.
Ours is the command `taut train` under torchrun, with its reading, from its first step to its last; DDP's images are in
memory, and its first steps are not timed (`ddp.py`). Answers are compared first: parameters, and the mean loss of the
last quarter of the steps, which is close but not equal, as starts and orders are random. The last row is two workers of
ours beside twice one process.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

import evidence

PROGRAM = Path(os.environ.get("TAUT_PROGRAM", evidence.ROOT / "build/release/bin/taut"))
WORK = evidence.RESULTS / "work"
GOAL = 1.2
SCALING_GOAL = 0.85
WORKERS = 2
BATCH = 128
RATE = 0.02
REPETITIONS = 3
# Both learn images of ten patterns under noise to a loss far below that; a wrong step or sum does not.
LOSS_LIMIT = 0.3


def write_images(count: int, seed: int = 1) -> Path:
    """IDX files of grey 28 x 28 images: one of ten smooth patterns each, under noise; made on first use."""
    path = WORK / f"patterns{count}-images-idx3-ubyte"
    labels_path = Path(str(path).replace("images-idx3", "labels-idx1"))
    if path.exists() and labels_path.exists():
        return path
    WORK.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    patterns = np.kron(random.uniform(0, 255, (10, 7, 7)), np.ones((4, 4)))
    labels = random.integers(0, 10, count).astype(np.uint8)
    images = np.clip(patterns[labels] + random.normal(0, 60, (count, 28, 28)), 0, 255).astype(np.uint8)
    labels_path.write_bytes(np.array([2049, count], ">i4").tobytes() + labels.tobytes())
    path.write_bytes(np.array([2051, count, 28, 28], ">i4").tobytes() + images.tobytes())
    return path


def config_text(kind: str, images: Path) -> str:
    """Ours: a piece is what a worker has of a batch, so that two of them have one process's bits."""
    return f"""
task = "image"
[data]
train = {json.dumps(str(images))}
test = {json.dumps(str(images) + "[:10]")}
[model]
kind = "{kind}"
[train]
epochs = 1
batch_size = {BATCH}
piece = {BATCH // WORKERS}
optimizer = "sgd"
learning_rate = {RATE}
momentum = 0.9
weight_decay = 0
schedule = "constant"
checkpoint_every = 0
log_every = 1
"""


def torchrun(arguments: list[str]) -> str:
    """What so many workers print on standard output."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(WORKERS)]
    done = subprocess.run(
        command + arguments, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if done.returncode != 0:
        raise evidence.BenchError(f"{' '.join(arguments)} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def train_ours(config: Path, workers: int) -> dict[str, float]:
    """One `taut train` by so many workers."""
    run = WORK / "workers_run"
    shutil.rmtree(run, ignore_errors=True)
    train = [str(PROGRAM), "train", str(config), "--out", str(run), "--threads", "1"]
    if workers > 1:
        torchrun(["--no-python", *train])
    else:
        done = subprocess.run(train, capture_output=True, text=True)
        if done.returncode != 0:
            raise evidence.BenchError(f"taut train failed: {done.stderr.strip()}")
    summary = json.loads((run / "summary.json").read_text("utf-8"))
    losses = [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    last = losses[-(len(losses) // 4) :]
    return {
        "examples_per_second": summary["examples_per_second"],
        "parameters": summary["parameters"],
        "loss": sum(last) / len(last),
    }


def train_ddp(kind: str, images: Path) -> dict[str, float]:
    """One epoch of DDP."""
    script = str(Path(__file__).with_name("ddp.py"))
    return json.loads(torchrun([script, str(images), "--kind", kind, "--batch", str(BATCH), "--rate", str(RATE)]))


def check_answers(results: dict[str, dict[str, float]]) -> None:
    """All sides train networks of one size, and learn."""
    sizes = {result["parameters"] for result in results.values()}
    if len(sizes) != 1:
        raise evidence.BenchError(f"answers differ: networks of {sorted(sizes)} parameters")
    for name, result in results.items():
        if not result["loss"] < LOSS_LIMIT:
            raise evidence.BenchError(f"{name} does not learn: loss {result['loss']:.4f}, limit {LOSS_LIMIT}")


def measure_kind(kind: str, images: Path, options: evidence.Options) -> list[evidence.Row]:
    """Two workers of ours beside DDP's, and beside twice one of ours."""
    config = WORK / f"workers_{kind}.toml"
    config.write_text(config_text(kind, images), "utf-8")
    results: dict[str, dict[str, float]] = {}

    def rate(name: str, result: dict[str, float]) -> float:
        results[name] = result
        return result["examples_per_second"]

    sides = {
        "taut": lambda: rate("taut", train_ours(config, WORKERS)),
        "PyTorch DDP": lambda: rate("PyTorch DDP", train_ddp(kind, images)),
        "twice one process": lambda: 2 * rate("one process", train_ours(config, 1)),
    }
    measured = evidence.interleave(sides, min(options.repetitions, REPETITIONS))
    check_answers(results)
    goals = {"PyTorch DDP": GOAL, "twice one process": SCALING_GOAL}
    return [
        evidence.compare(
            f"{kind}, {WORKERS} workers, batch {BATCH}",
            "examples/s",
            measured["taut"],
            (peer, measured[peer]),
            threads=1,
            goal=goal,
        )
        for peer, goal in goals.items()
    ]


def measure(options: evidence.Options) -> list[evidence.Row]:
    """Both networks."""
    if not PROGRAM.exists():
        raise evidence.BenchError(f"{PROGRAM} is missing, run make build")
    images = write_images(4096 if options.quick else 32_768)
    return [row for kind in ("mlp", "lenet-c") for row in measure_kind(kind, images, options)]
