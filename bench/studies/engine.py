"""Runs the jobs of a study through `taut sweep`: side by side, resumable, failures kept and named.

A job is one method at one budget on one data set over a few seeds. Jobs that ask for the same training share one
folder, named after everything that decides its outcome (config, settings and program), so nothing is trained twice and
nothing old is taken for new.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Record = dict[str, Any]
Settings = tuple[tuple[str, str], ...]


class StudyError(Exception):
    """Something that the user can mend: "what, where, how to mend"."""


@dataclasses.dataclass(frozen=True)
class DataSet:
    """One data set as the study trains on it."""

    name: str
    config: Path
    seconds: float  # of one run of the full table on an idle processor: shapes the estimate of the time left
    seeds: int = 1
    budgets: tuple[str, ...] = ("1/4", "1/10", "1/100", "1/1000")
    eight_bit_rivals: bool = True


@dataclasses.dataclass(frozen=True)
class Job:
    """One cell of one table. settings: `section.key`, value as in a config."""

    table: str
    data: DataSet
    label: str  # the row of the table
    method: str
    budget: str
    seeds: int
    settings: Settings = ()

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.table}: {self.data.name}, {self.label} at {self.budget}"

    @property
    def cell(self) -> tuple[str, str, str, str]:
        """What tables find it by."""
        return self.table, self.data.name, self.label, self.budget

    def seconds(self) -> float:
        """What it takes, roughly."""
        epochs = float(dict(self.settings).get("train.epochs", "1"))
        return 0.7 + self.seeds * self.data.seconds * epochs


@dataclasses.dataclass
class Outcome:
    """What came of a job: one record a seed, or why there is none."""

    job: Job
    runs: list[Record]
    failure: str = ""


class Progress:
    """One line about the whole study: a bar on a terminal, lines elsewhere. Calls may come from any thread."""

    def __init__(self, total_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total_seconds
        self.done = 0.0
        self.spent = 0.0  # of done: by jobs that were really trained
        self.clock = clock
        self.started = clock()
        self.lock = threading.Lock()

    def left(self) -> str:
        """Time left, from the pace of what was trained so far."""
        if self.spent <= 0:
            return "time left unknown"
        seconds = (self.clock() - self.started) * max(self.total - self.done, 0) / self.spent
        return f"{seconds / 60:.0f} min left" if seconds >= 90 else f"{seconds:.0f} s left"

    def advance(self, seconds: float, name: str, trained: bool) -> None:
        """Counts a finished job."""
        with self.lock:
            self.done += seconds
            self.spent += seconds if trained else 0
            share = min(self.done / self.total, 1) if self.total > 0 else 1
            if sys.stderr.isatty():
                bar = "#" * round(24 * share)
                line = f"\r\x1b[K[{bar:<24}] {share:4.0%}  {self.left()}  {name[:60]}"
                print(line, end="", file=sys.stderr, flush=True)
            elif trained:
                print(f"study: {share:4.0%}, {self.left()}, done {name}", file=sys.stderr, flush=True)

    def finish(self) -> None:
        """Leaves the bar's line."""
        if sys.stderr.isatty():
            print(file=sys.stderr, flush=True)


def sha256_of(path: Path) -> str:
    """Hash of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def number(value: Any) -> float | None:
    """A JSON number, or None."""
    return float(value) if isinstance(value, int | float) else None


def record_of(summary: Record) -> Record:
    """What the study keeps of a run's summary."""
    nested = {
        "valid_auc": ("valid", "auc"),
        "test_rows": ("test", "examples"),
        "progressive_auc": ("progressive", "auc"),
        "progressive_rows": ("progressive", "examples"),
    }
    record = {name: number((summary.get(part) or {}).get(field)) for name, (part, field) in nested.items()}
    fields = ("seed", "auc", "log_loss", "memory_bytes", "peak_memory_bytes", "budget_bytes", "full_bytes", "examples")
    record |= {name: number(summary.get(name)) for name in (*fields, "epochs", "steps", "train_seconds")}
    return record


class Engine:
    """Trains jobs. folder: everything is kept below it. paths: variables of the configs' paths."""

    def __init__(self, program: Path, folder: Path, paths: dict[str, Path], workers: int = 1) -> None:
        if not program.is_file():
            raise StudyError(f"the program is not there, {program}, run make build")
        self.program = program
        self.folder = folder
        self.paths = paths
        self.environment = {**os.environ, **{name: str(path) for name, path in paths.items()}}
        self.workers = workers
        trainer = program.with_name(program.name + "-torch")
        self.version = sha256_of(trainer if trainer.is_file() else program)[:12]
        self.kept: dict[str, str] = {}
        self.outcomes: dict[tuple[str, str, str, str], Outcome] = {}
        self.children: set[subprocess.Popen[str]] = set()
        self.stopped = threading.Event()

    def known_methods(self) -> list[str]:
        """The methods that the program has."""
        done = subprocess.run([str(self.program), "info", "--json"], capture_output=True, text=True)
        if done.returncode != 0:
            raise StudyError(f"taut info failed: {done.stderr.strip()}, {self.program}, run make build")
        return json.loads(done.stdout)["methods"]

    def keep_versions(self, methods: Sequence[str]) -> None:
        """Takes earlier runs of these methods for those of this program, and notes which program made them."""
        path = self.folder / "versions.json"
        noted = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        for method in methods:
            if method not in noted:
                raise StudyError(
                    f"no earlier runs of this method, --keep {method}, known: {', '.join(noted) or 'none'}"
                )
        self.kept = {method: noted[method] for method in methods if noted[method] != self.version}
        current = dict.fromkeys(self.known_methods(), self.version)
        write_text(path, json.dumps(noted | current | self.kept, indent=1) + "\n")

    def version_of(self, method: str) -> str:
        """The program whose runs of a method count."""
        return self.kept.get(method, self.version)

    def folder_of(self, job: Job) -> Path:
        """Where a job's runs lie: readable names, then the hash of all that decides them."""
        decides = [
            self.version_of(job.method),
            job.data.config.read_text("utf-8"),
            *map(str, sorted(self.paths.items())),
        ]
        decides += [job.method, job.budget, *(f"{key}={value}" for key, value in sorted(job.settings))]
        key = hashlib.sha256("\0".join(decides).encode()).hexdigest()[:12]
        return self.folder / "runs" / job.data.name / f"{job.method}_{job.budget.replace('/', '-')}_{key}"

    def cached(self, job: Job) -> list[Record] | None:
        """The runs of an earlier call, if there are enough of them."""
        path = self.folder_of(job) / "runs.json"
        if not path.is_file():
            return None
        runs = json.loads(path.read_text("utf-8"))
        return runs[: job.seeds] if len(runs) >= job.seeds else None

    def command(self, job: Job, folder: Path) -> list[str]:
        """The command line that trains a job."""
        command = [str(self.program), "sweep", str(job.data.config), "--out", str(folder), "--json"]
        command += ["--methods", job.method, "--budgets", job.budget, "--seeds", str(job.seeds)]
        command += ["--seed", "1", "--threads", "1" if self.workers > 1 else "0"]
        for key, value in job.settings:
            command += ["--set", f"{key}={value}"]
        return command

    def train(self, job: Job) -> Outcome:
        """Trains one job in its folder."""
        if self.stopped.is_set():
            return Outcome(job, [], "stopped")
        folder = self.folder_of(job)
        folder.mkdir(parents=True, exist_ok=True)
        profile = self.folder / "profiles" / f"{job.data.name}.json"
        if profile.is_file() and not (folder / "profile.json").exists():
            shutil.copy(profile, folder / "profile.json")
        command = self.command(job, folder)
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment, cwd=self.folder
        )
        self.children.add(child)
        output, messages = child.communicate()
        self.children.discard(child)
        (folder / "log.txt").write_text(f"{' '.join(command)}\n{messages}", "utf-8")
        if child.returncode != 0:
            last = (messages.strip().splitlines() or [f"ended with status {child.returncode}"])[-1]
            return Outcome(job, [], last)
        return Outcome(job, self.keep(json.loads(output)["runs"], folder, profile))

    @staticmethod
    def keep(summaries: Sequence[Record], folder: Path, profile: Path) -> list[Record]:
        """Keeps the runs' figures and the data's profile; finished runs need their checkpoints no more."""
        records = [record_of(summary) for summary in summaries]
        profile.parent.mkdir(parents=True, exist_ok=True)
        if (folder / "profile.json").is_file() and not profile.exists():
            shutil.copy(folder / "profile.json", profile)
        for summary in summaries:
            shutil.rmtree(folder / Path(summary["run"]).name / "checkpoint", ignore_errors=True)
        write_text(folder / "runs.json", json.dumps(records, indent=1))
        return records

    def run(self, jobs: Sequence[Job], progress: Progress) -> list[Outcome]:
        """Runs a stage. Jobs of the same folder are trained once, with the most seeds that any of them asks for."""
        shared: dict[Path, list[Job]] = {}
        for job in jobs:
            shared.setdefault(self.folder_of(job), []).append(job)
        found: dict[tuple[str, str, str, str], Outcome] = {}
        with concurrent.futures.ThreadPoolExecutor(self.workers) as pool:
            try:
                for outcomes in pool.map(lambda group: self.run_shared(group, progress), shared.values()):
                    found |= {outcome.job.cell: outcome for outcome in outcomes}
            except KeyboardInterrupt:
                self.stop()
                raise
        ordered = {job.cell: found[job.cell] for job in jobs}
        self.outcomes |= ordered
        return list(ordered.values())

    def run_shared(self, jobs: Sequence[Job], progress: Progress) -> list[Outcome]:
        """Runs jobs of one folder."""
        longest = max(jobs, key=lambda job: job.seeds)
        runs = self.cached(longest)
        outcome = self.train(longest) if runs is None else Outcome(longest, runs)
        outcomes = [Outcome(job, outcome.runs[: job.seeds], outcome.failure) for job in jobs]
        if outcome.failure and not self.stopped.is_set():
            print(f"\nstudy: FAILED {longest.name}: {outcome.failure}", file=sys.stderr, flush=True)
        for job in jobs:
            progress.advance(job.seconds(), job.name, trained=runs is None and job is longest)
        return outcomes

    def stop(self) -> None:
        """Asks the trainings to leave their checkpoints and end."""
        self.stopped.set()
        for child in list(self.children):
            child.terminate()

    def failures(self) -> list[Outcome]:
        """All jobs that failed so far."""
        return [outcome for outcome in self.outcomes.values() if outcome.failure]

    def knows(self, data: DataSet, key: str, value: str) -> bool:
        """Whether the program's configs have that key: it looks at the config before it refuses the method."""
        command = [str(self.program), "sweep", str(data.config), "--out", str(self.folder), "--methods", "none"]
        done = subprocess.run(
            [*command, "--set", f"{key}={value}"], capture_output=True, text=True, env=self.environment
        )
        return "unknown key" not in done.stderr


def write_text(path: Path, text: str) -> None:
    """Writes a file beside its path and renames it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(text, "utf-8")
    beside.replace(path)
