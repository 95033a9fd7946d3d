#!/usr/bin/env python3
"""Reproduces the quality tables of docs/: `make study AREA=embedding DATA=DIR`, as long as it takes.

Runs `taut sweep` on each of the area's configs and prints a Markdown table for each. A study that was stopped goes on
where it was: finished runs are kept in --out. DATA is what the configs call TAUT_DATA.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Each area's configs, by their names in examples/.
STUDIES = {"embedding": ("flights", "book-crossing")}


def fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


def sweep(options: argparse.Namespace, name: str) -> list[dict]:
    """One config over methods, budgets and seeds; the rows of its table."""
    command = [str(options.program), "sweep", str(ROOT / "examples" / f"{name}.toml"), "--json"]
    command += ["--out", str(options.out / options.area / name), "--seeds", str(options.seeds)]
    command += ["--methods", options.methods, "--budgets", options.budgets]
    environment = {**os.environ, "TAUT_DATA": str(options.data.resolve())}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode != 0:
        raise SystemExit(done.returncode)
    return json.loads(done.stdout)["rows"]


def markdown(rows: list[dict]) -> str:
    """The rows as a table; the spread is the deviation over seeds."""
    lines = ["| method | budget | AUC | spread | log loss | bytes | examples/s |", "| --- " * 7 + "|"]
    for row in rows:
        auc = [f"{row[key]:.4f}" if row[key] is not None else "-" for key in ("auc", "auc_spread", "log_loss")]
        counts = [f"{row[key] or 0:,.0f}" for key in ("memory_bytes", "examples_per_second")]
        lines.append("| " + " | ".join([row["method"], row["budget"], *auc, *counts]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--area", required=True, help=f"one of: {', '.join(STUDIES)}")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "study")
    parser.add_argument("--program", type=Path, default=ROOT / "build/release/bin/taut")
    parser.add_argument("--methods", default="full,hash,elastic")
    parser.add_argument("--budgets", default="1/4,1/10,1/100")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    if options.area not in STUDIES:
        fail(f'no study for "{options.area}", AREA, known: {", ".join(STUDIES)}')
    if not options.data.is_dir() or options.data == Path():
        fail(f'there is no such folder, DATA = "{options.data}", name the folder of the data sets')
    for name in STUDIES[options.area]:
        print(f"\n{name}\n\n{markdown(sweep(options, name))}", flush=True)


if __name__ == "__main__":
    main()
