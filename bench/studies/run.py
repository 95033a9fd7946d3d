#!/usr/bin/env python3
"""Reproduces the quality tables of docs/: `make study AREA=embedding DATA=DIR`, FULL=1 for all of it.

Training runs that ended are kept under build/study: a study that was stopped goes on, one that is complete prints at
once. The tables go to docs/AREA_study.md, everything else to build/study/AREA.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "bench" / "peers"), str(ROOT / "python")]


def areas() -> list[str]:
    """Areas that have a study, from the files' names."""
    return sorted(path.stem.removesuffix("_study") for path in HERE.glob("*_study.py"))


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--area", required=True, help=f"one of: {', '.join(areas())}")
    parser.add_argument("--data", type=Path, default=Path(os.devnull), help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "study")
    parser.add_argument("--doc", type=Path, help="where the tables go (default: docs/AREA_study.md)")
    parser.add_argument("--program", type=Path, default=ROOT / "build/release/bin/taut")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="trainings side by side")
    parser.add_argument("--tables", default="", help="only these, separated by commas; others stay empty")
    parser.add_argument(
        "--keep", default="", help="methods whose runs by an earlier build still count: their code is the same"
    )
    parser.add_argument("--seeds", type=int, default=3, help="at most so many (sparsity)")
    parser.add_argument("--collect", action="store_true", help="train nothing: tables of the runs there are (sparsity)")
    parser.add_argument("--quick", action="store_true", help="seconds on synthetic data: does everything run?")
    options = parser.parse_args(arguments)
    options.tables = [name for name in options.tables.split(",") if name]
    options.keep = [name for name in options.keep.split(",") if name]
    options.everything = os.environ.get("FULL", "") not in ("", "0")
    return options


def main(arguments: list[str]) -> int:
    """Runs the study of the area that the command line names; 2 for what the user can mend, 1 if a job failed."""
    options = parse(arguments)
    if options.area not in areas():
        print(f'error: no study for "{options.area}", AREA, known: {", ".join(areas())}', file=sys.stderr)
        return 2
    module = importlib.import_module(f"{options.area}_study")
    from engine import StudyError  # noqa: PLC0415 - found only through the path that is set above

    try:
        return module.run(options)
    except StudyError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstudy: stopped; the same command goes on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
