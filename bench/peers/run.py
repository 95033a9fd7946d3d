#!/usr/bin/env python3
"""Measures us against the peers: `make bench AREA=train`.

Runs bench/peers/AREA_*.py, each with a function measure(options) -> list[evidence.Row]; prints the table and writes
build/bench/AREA.json. A peer that is not installed, or an answer that differs, is an error.

With --processor-time only the benchmarks that can count it run (PROCESSOR_TIME = True), and AREA-processor.json is
written. On a machine that others use too it says more than the time that passes; with --threads 1, as threads that wait
for others spin and are counted.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path

import evidence

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(evidence.ROOT / "python"))


def modules_by_area() -> dict[str, list[str]]:
    """Names of the modules of each area, from the files' names."""
    areas: dict[str, list[str]] = {}
    for path in sorted(HERE.glob("*_*.py")):
        areas.setdefault(path.stem.split("_", maxsplit=1)[0], []).append(path.stem)
    return areas


def measure_area(area: str, modules: list[str], options: evidence.Options) -> None:
    """Runs one area's benchmarks, prints the table and writes the evidence."""
    rows: list[evidence.Row] = []
    for name in modules:
        module = importlib.import_module(name)
        if options.processor_time and not getattr(module, "PROCESSOR_TIME", False):
            continue
        print(f"== {name}", file=sys.stderr, flush=True)
        rows += module.measure(options)
    if not rows:
        raise evidence.BenchError(
            f"no benchmark of this area counts processor time, --processor-time {area}, leave it out"
        )
    machine = evidence.machine_record()
    print(f"{machine['cpu']}, {machine['processors']} processors, load {machine['load_average']:.2f}")
    print(evidence.table(rows))
    if options.quick:
        print("quick: sizes too small to be evidence, nothing written")
    else:
        name = f"{area}-processor" if options.processor_time else area
        print(f"written to {evidence.write_evidence(name, rows)}")


def main() -> int:
    """Measures the areas that the command line names; 2 for a wrong name, 1 for a failed benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("area", nargs="?", default="")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--quick", action="store_true", help="small sizes and one repetition: does everything run?")
    parser.add_argument("--processor-time", action="store_true", help="count it in place of the time that passes")
    arguments = parser.parse_args()
    areas = modules_by_area()
    wanted = list(areas) if arguments.area == "all" else [arguments.area]
    if not set(wanted) <= set(areas):
        print(f'error: unknown area "{arguments.area}", AREA, known: {", ".join(areas)}, all', file=sys.stderr)
        return 2
    repetitions = 1 if arguments.quick else arguments.repetitions
    options = evidence.Options(repetitions, arguments.threads, arguments.quick, arguments.processor_time)
    try:
        for area in wanted:
            measure_area(area, areas[area], options)
    except evidence.BenchError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
