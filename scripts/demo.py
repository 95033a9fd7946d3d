#!/usr/bin/env python3
"""The demo: recommenders in a part of their memory, and a network that computes from few of its activations.

Trains full, hash and elastic tables on the flights data, elastic ones on two workers too, and all on a synthetic set of
a million ids, then a dense network of digits and two that keep three of ten neurons; prints a table after each, then
the times of the first two networks in our engine and in ONNX Runtime, and writes a page of plots. The flights come
first: their table is there within minutes.
Run it with `make demo`; --out names another folder.
"""

import argparse
import functools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUDGETS = ("1/10", "1/100")
METHODS = ("full", "hash", "elastic")


def taut(program: Path, *args, workers: int = 1) -> dict:
    """Runs a command of taut, by workers that torchrun starts or alone, and returns its JSON result; its messages go to
    the terminal."""
    command = [str(program), *map(str, args), "--json"]
    if workers > 1:
        torchrun = f"torch.distributed.run --standalone --local-addr 127.0.0.1 --no-python --nproc-per-node {workers}"
        command = [sys.executable, "-m", *torchrun.split(), *command]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"demo: failed: {' '.join(command)}")
    return json.loads(done.stdout)


def make_synthetic(program: Path, folder: Path, rows: int) -> tuple[Path, float]:
    """A synthetic set whose best possible AUC is known, and a config for it."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = ("--columns", 10, "--ids", 1_000_000, "--split", "0.9,0.05,0.05")
    made = taut(program, "synth", folder / "train.parquet", "--rows", rows, *shape)
    config = folder / "synth.toml"
    with config.open("w") as file:
        subprocess.run([str(program), "init", str(folder / "train.parquet")], stdout=file, check=True)
    return config, made["test_bayes_auc"]


def format_size(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def column_lines(lines: list[tuple[str, ...]], left: int) -> list[str]:
    """A table of text: the first columns to the left, the others to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    texts = []
    for line in lines:
        cells = [text.ljust(width) for text, width in zip(line[:left], widths[:left], strict=True)]
        cells += [text.rjust(width) for text, width in zip(line[left:], widths[left:], strict=True)]
        texts.append("  ".join(cells))
    return texts


def table_lines(rows: list[dict]) -> list[str]:
    """The table of recommenders, as README.md has it."""
    lines = [("data", "method", "budget", "AUC", "best possible", "bytes of tables", "examples/s")]
    for row in rows:
        best = f"{row['best']:.4f}" if row["best"] else "-"
        lines.append(
            (
                row["data"],
                row["method"],
                row["budget"],
                f"{row['auc']:.4f}",
                best,
                format_size(row["memory_bytes"]),
                f"{row['examples_per_second']:,.0f}",
            )
        )
    return column_lines(lines, 3)


DIGITS_CONFIG = """task = "image"

[data]
train = "digits-train-images.idx"
test = "digits-test-images.idx"

[model]
kind = "mlp"
unit = "neuron"

[train]
epochs = 40
batch_size = 32
optimizer = "adam"
learning_rate = 0.002
weight_decay = 0.0
"""
DIGITS_NETWORKS = {
    "dense": (),
    "winners 0.3": ("model.winner_rate=0.3", "model.winner_from=5", "model.winner_ramp=10"),
    "winners 0.3, 80 % pruned, int8": (
        *("model.winner_rate=0.3", "model.winner_from=5", "model.winner_ramp=10"),
        *("prune.share=0.8", "prune.from=10", "prune.ramp=15", 'quantize.mode="train"', "quantize.from=30"),
    ),
}


def train_digits(program: Path, folder: Path) -> list[tuple[str, dict]]:
    """The networks of digits, each with its summary."""
    from digits import write_digits  # noqa: PLC0415 - loads scikit-learn, which the first table can do without

    write_digits(folder)
    config = folder / "digits.toml"
    config.write_text(DIGITS_CONFIG, "utf-8")
    results = []
    for name, settings in DIGITS_NETWORKS.items():
        out = folder / f"run-{len(results)}"
        sets = [part for setting in settings for part in ("--set", setting)]
        results.append((name, taut(program, "train", config, "--out", out, *sets)))
    return results


def digits_lines(results: list[tuple[str, dict]]) -> list[str]:
    """The table of networks of digits, as README.md has it."""
    lines = [("network of digits", "top-1", "multiply-adds not by zero", "images/s")]
    for name, summary in results:
        work = summary["multiply_adds"]
        share = 100 * work["needed"] / work["dense"]
        lines.append((name, f"{summary['top1']:.4f}", f"{share:.0f} %", f"{summary['examples_per_second']:,.0f}"))
    return column_lines(lines, 1)


def time_engine(program: Path, folder: Path) -> list[tuple[str, dict]]:
    """The dense network of digits and the one with winners, in our engine and in ONNX Runtime."""
    import demo_engine  # noqa: PLC0415 - loads ONNX Runtime, which the first table can do without

    runs = {name: folder / f"run-{number}" for number, name in enumerate(("dense", "winners 0.3"))}
    return demo_engine.measure_all(functools.partial(taut, program), folder, runs)


def engine_lines(results: list[tuple[str, dict]]) -> list[str]:
    """The table of engines."""
    lines = [("network of digits", "our engine, us/image", "ONNX Runtime, us/image", "ratio")]
    for name, times in results:
        ours, peer = times["engine_microseconds"], times["onnxruntime_microseconds"]
        lines.append((name, f"{ours:.2f}", f"{peer:.2f}", f"{peer / ours:.2f}x"))
    return column_lines(lines, 1)


def write_results(path: Path, rows: list[dict], digits: list[tuple[str, dict]], engine: list[tuple[str, dict]]) -> None:
    """What the tables show, as JSON: docs/results/demo.json is a copy, which README's tables are checked against."""
    shown = ("data", "method", "budget", "auc", "best", "memory_bytes", "examples_per_second")
    networks = ("top1", "multiply_adds", "examples_per_second")
    tables = [{name: row[name] for name in shown} for row in rows]
    shown_digits = [(name, {key: run[key] for key in networks}) for name, run in digits]
    results = {"tables": tables, "digits": shown_digits, "engine": engine}
    path.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


def train_tables(program: Path, name: str, config: Path, folder: Path, best: float | None) -> tuple[list[dict], list]:
    """A sweep over METHODS and BUDGETS on one set: a row for each, and the folders of the runs."""
    print(f"demo: training {', '.join(METHODS)} on {name}", flush=True)
    sweep = taut(
        *(program, "sweep", config, "--out", folder, "--seeds", 1),
        *("--methods", ",".join(METHODS), "--budgets", ",".join(BUDGETS)),
    )
    return [{**row, "data": name, "best": best} for row in sweep["rows"]], [run["run"] for run in sweep["runs"]]


def train_together(program: Path, config: Path, folder: Path) -> str:
    """The flights' elastic tables at a tenth of the memory, dealt to two workers: a line of text."""
    run = taut(program, "train", config, "--memory-budget", BUDGETS[0], "--out", folder, workers=2)
    held, count = format_size(run["memory_bytes"]), run["workers"]["count"]
    speed = f"{run['examples_per_second']:,.0f}"
    return f"flights, elastic, {BUDGETS[0]}, {count} workers: AUC {run['auc']:.4f}, {held} in all, {speed} examples/s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", type=Path, default=ROOT / "build/release/bin/taut")
    parser.add_argument("--out", type=Path, default=ROOT / "build/demo")
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows of the synthetic set")
    parser.add_argument("--started", type=float, default=time.time(), help="when all began (build included), Unix time")
    options = parser.parse_args()
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)

    flights = (ROOT / "examples/flights.toml", options.out / "flights")
    rows, runs = train_tables(options.program, "flights", *flights, None)
    print("", *table_lines(rows), sep="\n")
    print(f"\nThe first table took {time.time() - options.started:.0f} s, build included.\n", flush=True)
    print(train_together(options.program, flights[0], options.out / "workers"), flush=True)

    print("demo: making a synthetic set of a million ids", flush=True)
    synthetic, best = make_synthetic(options.program, options.out / "data", options.rows)
    more_rows, more_runs = train_tables(options.program, "synthetic", synthetic, options.out / "synthetic", best)
    print("", *table_lines(more_rows), sep="\n")
    print("\ndemo: training networks of digits", flush=True)
    digits = train_digits(options.program, options.out / "digits")
    print("", *digits_lines(digits), sep="\n")
    engine = time_engine(options.program, options.out / "digits")
    print("", *engine_lines(engine), sep="\n")
    write_results(options.out / "demo.json", [*rows, *more_rows], digits, engine)

    page = options.out / "report.html"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    report = [sys.executable, "-m", "taut.report", *runs, *more_runs, "--out", str(page)]
    subprocess.run(report, check=True, env=environment, stdout=subprocess.DEVNULL)
    print(f"\n{time.time() - options.started:.0f} s in all; plots: {page}")


if __name__ == "__main__":
    main()
