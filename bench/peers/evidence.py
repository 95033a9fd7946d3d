"""What all peer benchmarks share: the machine, interleaved repetitions, paired medians, table and JSON.

A row compares one figure of ours with one peer's in the same sitting. Repetitions are interleaved (ours, peer, ours,
peer, ...), so that a machine that slows down does so for all; ratios are taken within a repetition.
"""

import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build" / "bench"
PACKAGES = ("torch", "fbgemm_gpu-cpu", "pyarrow", "pillow", "numpy", "onnxruntime", "openvino")
ISA_FLAGS = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "asimd",
    "sve",
)


class BenchError(Exception):
    """Why a benchmark cannot be made or believed: a peer is missing, answers differ."""


@dataclasses.dataclass(frozen=True)
class Options:
    """How to measure."""

    repetitions: int = 5
    threads: int = 1
    quick: bool = False  # small sizes: a check that everything runs, no evidence
    processor_time: bool = False  # of all threads of a side, in place of the time that passes


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure of ours beside one peer's; ratio above 1: we are better."""

    name: str
    threads: int
    unit: str
    ours: float  # median over the repetitions
    peer: float
    peer_name: str
    ratio: float  # median of the ratios within a repetition
    spread: float  # (largest - smallest ratio) / median ratio
    goal: float | None
    met: bool | None


def compare(
    name: str,
    unit: str,
    ours: Sequence[float],
    peer: tuple[str, Sequence[float]],
    *,
    threads: int,
    goal: float | None = None,
    lower_is_better: bool = False,
) -> Row:
    """The row of two series that were measured in turn."""
    peer_name, theirs = peer
    if not ours or len(ours) != len(theirs):
        raise BenchError(
            f"{name}: wanted as many repetitions of ours as of {peer_name}, got {len(ours)}, {len(theirs)}"
        )
    ratios = [b / a if lower_is_better else a / b for a, b in zip(ours, theirs, strict=True)]
    ratio = statistics.median(ratios)
    return Row(
        name=name,
        threads=threads,
        unit=unit,
        ours=statistics.median(ours),
        peer=statistics.median(theirs),
        peer_name=peer_name,
        ratio=ratio,
        spread=(max(ratios) - min(ratios)) / ratio,
        goal=goal,
        met=None if goal is None else ratio >= goal,
    )


def interleave(sides: Mapping[str, Callable[[], float]], repetitions: int) -> dict[str, list[float]]:
    """Measures every side once a repetition, in turn; says on stderr how far it is."""
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for repetition in range(repetitions):
        for name, measure in sides.items():
            measured[name].append(measure())
            print(f"  {repetition + 1}/{repetitions} {name}: {measured[name][-1]:,.4g}", file=sys.stderr, flush=True)
    return measured


def least_microseconds(call: Callable[[], object], calls: int, seconds: float = 0) -> float:
    """The fastest of so many calls, and of all further ones that begin within so many seconds."""
    least = float("inf")
    end = time.perf_counter() + seconds
    while calls > 0 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        least = min(least, time.perf_counter() - start)
        calls -= 1
    return 1e6 * least


def race(
    name: str,
    ours: Callable[[], float],
    peer: tuple[str, Callable[[], float]],
    *,
    threads: int,
    repetitions: int,
    goal: float | None,
) -> Row:
    """The row of two sides that each measure microseconds, in turn."""
    peer_name, theirs = peer
    mine = f"taut {name}"
    measured = interleave({mine: ours, peer_name: theirs}, repetitions)
    series = (peer_name, measured[peer_name])
    return compare(name, "us", measured[mine], series, threads=threads, goal=goal, lower_is_better=True)


def first_line(command: Sequence[str]) -> str | None:
    """The first line that a command prints, or None where it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return (done.stdout.splitlines() or [None])[0]


def version_of(package: str) -> str | None:
    """The installed version of a Python package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def field_of(path: str, name: str) -> str:
    """The first value of a `name : value` line of a file under /proc, or ""."""
    found = re.search(rf"^{name}\s*:\s*(.*)$", Path(path).read_text("utf-8"), re.MULTILINE)
    return found.group(1).strip() if found else ""


def caches() -> dict[str, str]:
    """Sizes of the first processor's caches, as the system names them."""
    sizes = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / name).read_text("utf-8").strip() for name in ("level", "type", "size"))
        sizes[f"L{level} {kind.lower()}"] = size
    return sizes


def machine_record() -> dict[str, Any]:
    """What was measured on, and the versions of everything."""
    flags = set((field_of("/proc/cpuinfo", "flags") or field_of("/proc/cpuinfo", "Features")).split())
    versions = {name: version for name in PACKAGES if (version := version_of(name))}
    return {
        "cpu": field_of("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "caches": caches(),
        "instruction_sets": [flag for flag in ISA_FLAGS if flag in flags],
        "memory": field_of("/proc/meminfo", "MemTotal"),
        "system": f"{platform.freedesktop_os_release().get('PRETTY_NAME', '')}, {platform.release()}",
        "load_average": os.getloadavg()[0],
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {
            "taut": first_line(["git", "describe", "--always", "--dirty", "--tags"]),
            "compiler": first_line(["c++", "--version"]),
            "python": platform.python_version(),
            **versions,
        },
    }


def figure(value: float) -> str:
    """Three or four digits, for people."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text."""
    lines = [("name", "threads", "unit", "ours", "peer", "", "ratio", "spread", "goal", "met")]
    for row in rows:
        goal = "-" if row.goal is None else f"{row.goal:g}x"
        met = "-" if row.met is None else ("yes" if row.met else "NO")
        numbers = (
            figure(row.ours),
            figure(row.peer),
            row.peer_name,
            f"{row.ratio:.2f}x",
            f"{row.spread:.0%}",
            goal,
            met,
        )
        lines.append((row.name, str(row.threads), row.unit, *numbers))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    left = {0, 2, 5}
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def write_evidence(area: str, rows: Sequence[Row], folder: Path = RESULTS) -> Path:
    """Writes build/bench/AREA.json: the machine record, then the rows."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{area}.json"
    records = [{"machine": machine_record()}, *(dataclasses.asdict(row) for row in rows)]
    beside = path.with_suffix(".json.tmp")
    beside.write_text(json.dumps(records, indent=1) + "\n", "utf-8")
    beside.replace(path)
    return path
