"""What winners add to a training step: vgg-small, batch 128, 32 x 32 images, rate 0.3, beside the dense step.

Both networks train in one process, step by step in turns, so that what else the machine does slows both alike.
"""

import json
import subprocess

import evidence

GOAL = 1 / 1.15  # at most 1.15 times the dense step
RATE = 0.3


def measure_case(unit: str, kind: str, *, threads: int, pairs: int) -> evidence.Row:
    """One row."""
    program = evidence.ROOT / "build/release/bench/nn/nn_step_bench"
    if not program.exists():
        raise evidence.BenchError(f"{program} is missing, run make build")
    command = [str(program), str(threads), str(pairs), unit, str(RATE), kind]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise evidence.BenchError(f"{' '.join(command)}: {done.stderr.strip()}")
    seconds = json.loads(done.stdout)
    milliseconds = {side: [1e3 * value for value in values] for side, values in seconds.items()}
    return evidence.compare(
        f"training step, {unit} {RATE:g}, {kind}",
        "ms",
        milliseconds["winners"],
        ("dense step", milliseconds["dense"]),
        threads=threads,
        goal=GOAL,
        lower_is_better=True,
    )


def measure(options: evidence.Options) -> list[evidence.Row]:
    """Both precisions, the units that cost little accuracy, on one thread and on all."""
    pairs = 3 if options.quick else 6 * options.repetitions
    return [
        measure_case(unit, kind, threads=threads, pairs=pairs)
        for threads in sorted({1, options.threads})
        for kind in ("fp32", "bf16")
        for unit in ("position", "element")
    ]
