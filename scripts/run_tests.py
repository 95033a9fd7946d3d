#!/usr/bin/env python3
"""Runs test runners and counts over all of them; the last line is `N passed, N failed`.

Usage: run_tests.py [--jobs N] RUNNER...     RUNNER: pytest, or ctest:PRESET
       run_tests.py --summary STAGE=STATUS... counts what earlier calls left in build/results

Counts come from the runners' JUnit files, not from their output. A runner that ends badly without a
failed test (crash, no tests, no JUnit file) counts as one failure, so that nothing broken reads as passed.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time
from xml.etree import ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "results"
# Of the text of a failed test, and of the failed tests of a runner, how much the end of the output repeats.
LINES_OF_FAILURE = 40
MOST_FAILURES_SHOWN = 10
# The runners of a stage of .ci/run, as their results are named.
RUNNERS_OF = {"test": ("ctest-release", "pytest"), "check": ("ctest-asan-ubsan", "ctest-tsan")}


@dataclasses.dataclass
class Counts:
    """Outcomes of one runner."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    failures: list[str] = dataclasses.field(default_factory=list)  # name and last lines of what each said

    def __str__(self) -> str:
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped} in {self.seconds:.0f} s"


def describe_failure(case: ElementTree.Element) -> str:
    """Name of a failed test case and the last lines of its messages and output."""
    name = "::".join(filter(None, (case.get("classname"), case.get("name")))) or "a test without a name"
    texts = [child.get("message", "") + "\n" + (child.text or "") for child in case]
    lines = [line for line in "\n".join(texts).splitlines() if line.strip()]
    return "\n".join([f"FAILED {name}", *(f"    {line}" for line in lines[-LINES_OF_FAILURE:])])


def read_junit(path: pathlib.Path) -> Counts:
    """Counts the test cases of a JUnit file, by CTest or pytest."""
    counts = Counts()
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        outcomes = {child.tag for child in case}
        if outcomes & {"failure", "error"} or case.get("status") == "fail":
            counts.failed += 1
            counts.failures.append(describe_failure(case))
        elif "skipped" in outcomes or case.get("status") in ("notrun", "disabled"):
            counts.skipped += 1
        else:
            counts.passed += 1
    return counts


def command_of(runner: str, junit: pathlib.Path, jobs: int) -> list[str]:
    """The command line of a runner that writes its JUnit file to junit."""
    if runner == "pytest":
        by_file = ["-n", str(jobs), "--dist", "loadfile"]
        return [sys.executable, "-m", "pytest", "-q", "-rs", *by_file, f"--junitxml={junit}"]
    kind, _, preset = runner.partition(":")
    if kind != "ctest" or not preset:
        raise SystemExit(f"error: unknown runner {runner!r}, run_tests.py, known: pytest, ctest:PRESET")
    return ["ctest", "--preset", preset, "-j", str(jobs), "--output-junit", str(junit), "--progress"]


def run(runner: str, jobs: int) -> Counts:
    """Runs one runner and leaves its counts in build/results/RUNNER.json."""
    stem = runner.replace(":", "-")
    junit = RESULTS / f"{stem}.xml"
    junit.unlink(missing_ok=True)
    print(f"== {runner}", flush=True)
    start = time.monotonic()
    status = subprocess.run(command_of(runner, junit, jobs), cwd=ROOT, check=False).returncode
    try:
        counts = read_junit(junit)
    except (OSError, ElementTree.ParseError) as problem:
        print(f"error: {runner} left no readable result: {problem}", file=sys.stderr)
        counts = Counts()
    if (status != 0 or counts.passed + counts.skipped == 0) and counts.failed == 0:
        print(f"error: {runner} ended with status {status} and no failed test: counted as one failure", file=sys.stderr)
        counts.failed = 1
    counts.seconds = time.monotonic() - start
    (RESULTS / f"{stem}.json").write_text(json.dumps(dataclasses.asdict(counts)), encoding="utf-8")
    return counts


def read_results() -> dict[str, Counts]:
    """What earlier calls left, by runner."""
    return {path.stem: Counts(**json.loads(path.read_text("utf-8"))) for path in sorted(RESULTS.glob("*.json"))}


def summarize(stages: list[str]) -> dict[str, Counts]:
    """Earlier results, with one failure more for each stage that failed before or beside its tests."""
    results = read_results()
    for stage in stages:
        name, _, status = stage.partition("=")
        counted = [results[runner] for runner in RUNNERS_OF.get(name, ()) if runner in results]
        if status != "0" and not any(counts.failed for counts in counted):
            results[f"make {name} (see its output)"] = Counts(failed=1)
    return results


def main() -> int:
    """Runs what the command line names; 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("names", nargs="+", metavar="RUNNER or STAGE=STATUS")
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    results = summarize(options.names) if options.summary else {name: run(name, options.jobs) for name in options.names}
    for counts in results.values():
        for failure in counts.failures[:MOST_FAILURES_SHOWN]:
            print(failure)
    for name, counts in results.items():
        print(f"{name}: {counts}")
    failed = sum(counts.failed for counts in results.values())
    print(f"{sum(counts.passed for counts in results.values())} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
