"""The study of winners-take-all networks: trains the dense networks, then every variant, and writes what came out."""

import argparse
import concurrent.futures
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import evidence
import sparsity_plan as plans
import sparsity_report as reports
from engine import Progress, Record, Settings, StudyError, sha256_of, write_text

ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Training:
    """One run of one seed. parent: the run that it starts from and learns from."""

    network: plans.Network
    label: str
    seed: int
    settings: Settings
    seconds: float
    parent: "Training | None" = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.network.name}, {self.label}, seed {self.seed}"


def dense_training(network: plans.Network, seed: int) -> Training:
    """The dense network of a seed."""
    return Training(network, plans.DENSE, seed, network.dense, network.seconds)


def trainings(network: plans.Network, seed: int) -> list[Training]:
    """All variants of a seed."""
    parent = dense_training(network, seed)
    found = []
    for variant in network.variants:
        base = network.dense + (network.tuning if variant.fine_tuned else ())
        settings = tuple({**dict(base), **dict(variant.settings)}.items())
        seconds = network.seconds * (0.45 if variant.fine_tuned else 1.0)
        found.append(Training(network, variant.label, seed, settings, seconds, parent if variant.fine_tuned else None))
    return found


class Study:
    """One call of the study."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.program = options.program.resolve()
        if not self.program.is_file():
            raise StudyError(f"the program is not there, {self.program}, run make build")
        self.folder = options.out.resolve() / "sparsity"
        self.workers = options.jobs
        partial = options.quick or options.tables
        self.doc = options.doc or (self.folder / "study.md" if partial else ROOT / "docs" / "sparsity_study.md")
        self.version = "any" if options.keep else sha256_of(self.program.with_name("taut-torch"))[:12]
        self.networks = plans.networks(options.everything)
        known = {network.name for network in self.networks}
        if set(options.tables) - known:
            raise StudyError(f"no such table, --tables {','.join(options.tables)}, known: {', '.join(sorted(known))}")
        self.networks = tuple(n for n in self.networks if not options.tables or n.name in options.tables)
        if options.quick:
            quick = (("train.epochs", "1"), ("data.limit", "640"))
            self.networks = tuple(
                dataclasses.replace(n, dense=n.dense + quick, tuning=n.tuning + quick, seeds=1) for n in self.networks
            )
        self.seeds = options.seeds
        self.environment = {**os.environ, "TAUT_DATA": str(options.data.resolve())}
        self.full = options.everything
        self.collect = options.collect
        self.records: dict[tuple[str, str], list[Record]] = {}
        self.failures: list[str] = []
        self.started = time.monotonic()

    def folder_of(self, training: Training) -> Path:
        """Where a run lies: its name, then the hash of all that decides it."""
        decides = [self.version, training.network.config.read_text("utf-8"), str(training.seed)]
        decides += [f"{key}={value}" for key, value in sorted(training.settings)]
        if training.parent is not None:
            decides.append(self.folder_of(training.parent).name)
        key = hashlib.sha256("\0".join(decides).encode()).hexdigest()[:12]
        plain = "".join(c if c.isalnum() or c == "." else "-" for c in training.label)
        return self.folder / "runs" / training.network.name / f"{plain}_{training.seed}_{key}"

    def command(self, training: Training, folder: Path) -> list[str]:
        """The command line that trains it."""
        command = [str(self.program), "train", str(training.network.config), "--out", str(folder), "--json", "--resume"]
        command += ["--seed", str(training.seed), "--threads", "1" if self.workers > 1 else "0"]
        settings = list(training.settings)
        if training.parent is not None:
            parent = self.folder_of(training.parent)
            settings += [("model.initial", f'"{parent}"'), ("teacher.run", f'"{parent}"')]
        for key, value in settings:
            command += ["--set", f"{key}={value}"]
        return command

    def run_one(self, training: Training, progress: Progress) -> None:
        """Trains one run, unless it is there."""
        folder = self.folder_of(training)
        trained = not (folder / "summary.json").is_file() and not self.collect
        if trained:
            folder.mkdir(parents=True, exist_ok=True)
            command = self.command(training, folder)
            done = subprocess.run(command, capture_output=True, text=True, env=self.environment)
            (folder / "log.txt").write_text(f"{' '.join(command)}\n{done.stderr}", "utf-8")
            if done.returncode != 0:
                last = (done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"])[-1]
                self.failures.append(f"{training.name}: {last}")
                print(f"\nstudy: FAILED {training.name}: {last}", file=sys.stderr, flush=True)
        if (folder / "summary.json").is_file():
            summary = json.loads((folder / "summary.json").read_text("utf-8"))
            self.records.setdefault((training.network.name, training.label), []).append(summary)
            if training.label != plans.DENSE:
                shutil.rmtree(folder / "checkpoint", ignore_errors=True)
        progress.advance(training.seconds, training.name, trained)

    def write(self) -> None:
        """Writes everything as it stands."""
        facts = {
            "command": f"{'FULL=1 ' if self.full else ''}make study AREA=sparsity DATA=DIR",
            "machine": evidence.machine_record(),
            "workers": self.workers,
            "seconds": time.monotonic() - self.started,
        }
        rows = {
            f"{network}/{label}": sorted(runs, key=lambda run: run["seed"])
            for (network, label), runs in self.records.items()
        }
        write_text(self.folder / "results.json", json.dumps({"facts": facts, "rows": rows}, indent=1))
        reports.write_all(self.networks, self.records, facts, self.folder, self.doc)

    def run(self) -> int:
        """Seed by seed, so that a study that is stopped has whole tables; the number of runs that failed."""
        stages = []
        for seed in range(1, self.seeds + 1):
            chosen = [network for network in self.networks if seed <= network.seeds]
            stages.append([dense_training(network, seed) for network in chosen])
            stages.append([training for network in chosen for training in trainings(network, seed)])
        progress = Progress(sum(training.seconds for stage in stages for training in stage))
        print(f"study: {sum(map(len, stages))} runs, {self.workers} side by side", file=sys.stderr)
        with concurrent.futures.ThreadPoolExecutor(self.workers) as pool:
            for stage in stages:
                for _ in pool.map(lambda training: self.run_one(training, progress), stage):
                    pass
                self.write()
        progress.finish()
        return len(self.failures)


def run(options: argparse.Namespace) -> int:
    """Called by run.py; 1 if a run failed."""
    if not options.data.is_dir():
        raise StudyError(f"no folder of data sets, DATA={options.data}, name it: make study AREA=sparsity DATA=DIR")
    study = Study(options)
    failures = study.run()
    print(f"study: {study.doc}, plots in {study.folder / 'study.html'}", file=sys.stderr)
    return 1 if failures else 0
