"""Reads what `taut train` and `taut sweep` leave in their folders."""

import csv
import dataclasses
import json
import math
import tomllib
from pathlib import Path
from typing import Any

Record = dict[str, Any]

# What a run may train: the task's name in summaries and configs, and what its runs are called.
TASKS = {"ctr": "recommenders", "image": "images"}

# Fields of metrics.jsonl that are one number each; bytes, seconds and counts as their names say. Networks for images
# have top1 and pruned_share, and a list winner_rates, one for each place where winners are chosen.
NUMBERS = (
    "step",
    "examples",
    "seconds",
    "loss",
    "auc",
    "memory_bytes",
    "budget_bytes",
    "resident_rows",
    "rebalance_seconds",
    "top1",
    "pruned_share",
)
# What the summary of a network for images says of each layer with weights, and of each place with winners.
LAYER_NUMBERS = ("multiply_adds", "input_density", "weight_density", "output_density")
SITE_NUMBERS = ("natural_density", "density", "never", "always", "entropy_bits")
SWEEP_COLUMNS = ("method", "budget", "seed", "auc", "log_loss", "memory_bytes", "examples_per_second")
SWEEP_NUMBERS = (*SWEEP_COLUMNS[2:], "normalized_entropy", "full_bytes")


class ReportError(Exception):
    """Something that the user can mend: "what, where, how to mend"."""

    def __init__(self, what: str, where: Path | str, mend: str = "") -> None:
        super().__init__(", ".join(part for part in (what, str(where), mend) if part))


@dataclasses.dataclass
class Run:
    """One run: its metrics over time, its summary and its config."""

    folder: Path
    metrics: list[Record]
    summary: Record
    config: Record
    notes: list[str] = dataclasses.field(default_factory=list)
    label: str = ""

    def series(self, name: str) -> tuple[list[float], list[float]]:
        """Steps and values of the metrics lines that hold a number of that name."""
        points = [(line["step"], line[name]) for line in self.metrics if line.get(name) is not None]
        return [step for step, _ in points], [value for _, value in points]

    def last(self, name: str) -> Any:
        """The newest value of a metrics field, or None."""
        return next((line[name] for line in reversed(self.metrics) if line.get(name) is not None), None)

    @property
    def task(self) -> str:
        """What is trained, one of TASKS, as the summary or else the config names it; without a name, recommenders."""
        task = self.summary.get("task") or self.config.get("task") or "ctr"
        if not isinstance(task, str) or task not in TASKS:
            raise ReportError(f'unknown task "{task}"', self.folder, f"known: {', '.join(TASKS)}")
        return task

    @property
    def model(self) -> str:
        """The name of the network, as the summary or else the config has it."""
        return str(self.summary.get("model") or self.config.get("model", {}).get("kind") or "")

    @property
    def unit(self) -> str:
        """The unit of winners."""
        return str(self.config.get("model", {}).get("unit") or "")

    @property
    def method(self) -> str:
        """The embedding method, as the summary or else the config names it."""
        return str(self.summary.get("method") or self.config.get("embedding", {}).get("method") or "")

    @property
    def budget(self) -> str:
        """The budget as it was asked for (1/10, not 0.1); a full table has none."""
        written = self.config.get("embedding", {}).get("budget")
        return "" if written is None or self.method == "full" else budget_text(written)

    @property
    def training_data(self) -> str:
        """What the run was trained on: runs on the same data are comparable."""
        files = self.config.get("data", {}).get("train", "")
        return " ".join(map(str, files)) if isinstance(files, list) else str(files)


@dataclasses.dataclass
class Sweep:
    """The grid of runs of one sweep, a record for each: SWEEP_COLUMNS and what else is there."""

    folder: Path
    rows: list[Record]


def budget_text(written: Any) -> str:
    """A budget of a config; one of the shares 1/2, 1/3 ... that a config keeps as a decimal reads as that share."""
    try:
        share = float(written)
    except ValueError:
        return str(written)  # "1/10", "64MiB"
    if not 0 < share < 1:
        return str(written)
    parts = round(1 / share)
    return f"1/{parts}" if math.isclose(share * parts, 1, rel_tol=1e-9) else str(written)


def finite(value: Any) -> float | None:
    """The number, or None for what is missing, NaN or infinite."""
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def is_number(value: Any) -> bool:
    """Whether JSON has a finite number there."""
    return not isinstance(value, bool) and finite(value) is not None


def is_share(value: Any) -> bool:
    """Whether JSON has a number from 0 to 1 there."""
    return is_number(value) and 0 <= value <= 1


def read_text(path: Path) -> str:
    """The file's text."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise ReportError(f"cannot read the file: {problem}", path) from problem


def parse_json(text: str, where: object, mend: str) -> object:
    """JSON text that may be anything."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as problem:
        line = f", line {problem.lineno}" if problem.lineno > 1 else ""
        raise ReportError(f"not JSON: {problem.msg} at column {problem.colno}", f"{where}{line}", mend) from problem
    except (RecursionError, ValueError) as problem:  # too deep, or a number of too many digits
        raise ReportError(f"not JSON of ours: {problem}", where, mend) from problem


def parse_line(text: str, path: Path, number: int) -> Record:
    """One line of metrics.jsonl, its numbers checked."""
    where = f"{path}, line {number}"
    mend = "mend or remove the line"
    line = parse_json(text, where, mend)
    if not isinstance(line, dict):
        raise ReportError("wanted a JSON object", where, mend)
    for name in NUMBERS:
        value = line.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ReportError(f'"{name}" must be a number, got {json.dumps(value)}', where, mend)
        if name in line:
            line[name] = finite(value)
    if line.get("step") is None:
        raise ReportError('"step" is missing', where, mend)
    rates = line.get("winner_rates", [])
    if not isinstance(rates, list) or not all(is_share(rate) for rate in rates):
        raise ReportError('"winner_rates" must be a JSON list of numbers from 0 to 1', where, mend)
    for name, kind in (("memory_parts", dict), ("rows_by_width", list)):
        if name not in line:
            continue
        if not isinstance(line[name], kind):
            raise ReportError(f'"{name}" must be a JSON {"object" if kind is dict else "list"}', where, mend)
        values = line[name].values() if kind is dict else line[name]
        if not all(isinstance(value, int) and value >= 0 for value in values):
            raise ReportError(f'"{name}" must hold whole numbers, none negative', where, mend)
    return line


def read_metrics(path: Path) -> tuple[list[Record], list[str]]:
    """All lines, and a note if the last one is still being written (it has no line end and is left out)."""
    lines, notes = [], []
    for number, text in enumerate(read_text(path).splitlines(keepends=True), start=1):
        if not text.strip():
            continue
        try:
            lines.append(parse_line(text, path, number))
        except ReportError:
            if text.endswith("\n"):
                raise
            notes.append(f"line {number} of {path.name} is not finished yet and is left out")
    return lines, notes


def check_parts(summary: Record, path: Path) -> None:
    """What plots need of a summary: layers and sites with a name and numbers, multiply-adds."""
    for field, numbers in (("layers", LAYER_NUMBERS), ("sites", SITE_NUMBERS)):
        parts = summary.get(field, [])
        if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
            raise ReportError(f'"{field}" must be a JSON list of objects', path, "run again")
        for number, part in enumerate(parts):
            where = f"{path}, {field}[{number}]"
            if not isinstance(part.get("layer"), str):
                raise ReportError('"layer" must be a name', where, "run again")
            for name in numbers:
                if not is_number(part.get(name)):
                    raise ReportError(f'"{name}" must be a number', where, "run again")
    work = summary.get("multiply_adds", {"dense": 0, "needed": 0})
    if not isinstance(work, dict) or not all(is_number(work.get(name)) for name in ("dense", "needed")):
        raise ReportError('"multiply_adds" must hold the numbers "dense" and "needed"', path, "run again")
    rates = summary.get("winner_rates", [])
    if not isinstance(rates, list) or not all(is_share(rate) for rate in rates):
        raise ReportError('"winner_rates" must be a JSON list of numbers from 0 to 1', path, "run again")


def read_summary(path: Path) -> Record:
    """summary.json, or nothing while a run has not ended."""
    if not path.exists():
        return {}
    summary = parse_json(read_text(path), path, "run again")
    if not isinstance(summary, dict):
        raise ReportError("wanted a JSON object", path, "run again")
    check_parts(summary, path)
    return summary


def read_config(path: Path) -> Record:
    """config.toml, or nothing if it is not there."""
    if not path.exists():
        return {}
    try:
        return tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        raise ReportError(f"not TOML: {problem}", path, "mend the config") from problem


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run."""
    return (folder / "metrics.jsonl").is_file() or (folder / "summary.json").is_file()


def read_run(folder: Path) -> Run:
    """Reads a run's folder; a run that has not ended has no summary."""
    metrics_path = folder / "metrics.jsonl"
    lines, notes = read_metrics(metrics_path) if metrics_path.exists() else ([], [])
    summary = read_summary(folder / "summary.json")
    if not summary:
        notes.append("the run has not ended: no summary.json")
    return Run(folder, lines, summary, read_config(folder / "config.toml"), notes, label=folder.name)


def read_sweep_table(path: Path) -> list[Record]:
    """The rows of results.csv with numbers as numbers; an empty cell is None."""
    rows = []
    reader = csv.DictReader(read_text(path).splitlines())
    missing = [name for name in SWEEP_COLUMNS if name not in (reader.fieldnames or [])]
    if missing:
        raise ReportError(f"columns are missing: {', '.join(missing)}", path, "run the sweep again")
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        if None in row or None in row.values():
            raise ReportError(f"wanted {len(reader.fieldnames or [])} fields", where, "run the sweep again")
        record: Record = dict(row)
        for name in (name for name in SWEEP_NUMBERS if name in row):
            try:
                record[name] = finite(float(row[name])) if row[name] else None
            except ValueError as problem:
                raise ReportError(f'"{name}" must be a number, got "{row[name]}"', where, "mend the line") from problem
        rows.append(record)
    if not rows:
        raise ReportError("there are no rows", path, "run the sweep again")
    return rows


def sweep_row(run: Run) -> Record:
    """What a sweep's table says of one run."""
    numbers = {name: finite(run.summary.get(name)) for name in SWEEP_NUMBERS}
    return {**numbers, "method": run.method, "budget": run.budget}


def read_folder(folder: Path) -> list[Run | Sweep]:
    """What a folder holds: a run, a sweep, or several runs.

    Recommenders beside each other are a sweep; runs of other tasks stay runs of their own.
    """
    if not folder.exists():
        raise ReportError("there is no such folder", folder, "name the folder of a run or of a sweep")
    if not folder.is_dir():
        raise ReportError("expected a folder, found a file", folder, "name the folder of a run or of a sweep")
    if is_run(folder):
        return [read_run(folder)]
    if (folder / "results.csv").is_file():
        return [Sweep(folder, read_sweep_table(folder / "results.csv"))]
    inside = [read_run(path) for path in sorted(folder.iterdir()) if is_run(path)]
    if not inside:
        raise ReportError(
            "holds no run and no sweep (no metrics.jsonl, summary.json or results.csv)", folder, "name another folder"
        )
    rows = [sweep_row(run) for run in inside if run.task == "ctr"]
    others: list[Run | Sweep] = [run for run in inside if run.task != "ctr"]
    return [*others, Sweep(folder, rows)] if rows else others


def label_runs(runs: list[Run]) -> None:
    """Gives each run the shortest name that tells it from the others: its folder, or with parents."""
    paths = [run.folder.resolve() for run in runs]
    for run, path in zip(runs, paths, strict=True):
        depth = 1
        while depth < len(path.parts) - 1 and sum(other.parts[-depth:] == path.parts[-depth:] for other in paths) > 1:
            depth += 1
        run.label = "/".join(path.parts[-depth:])


def group_runs(runs: list[Run]) -> dict[str, list[Run]]:
    """Runs of one task by the data that they were trained on, under a short title for each."""
    by_data: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        by_data.setdefault((run.task, run.training_data), []).append(run)
    groups: dict[str, list[Run]] = {}
    for (task, data), members in by_data.items():
        parents = {run.folder.resolve().parent.name for run in members}
        files = Path(data.split(" ")[0])
        title = parents.pop() if len(parents) == 1 else "/".join(files.parts[-2:])
        if not title or title in groups:
            title = data or "runs"
        if title in groups:
            title += f" ({TASKS[task]})"
        groups[title] = members
    return groups
