"""The study of embeddings: prepares data, runs the stages, and writes what came out after each of them."""

import argparse
import sys
import time
from pathlib import Path

import embedding_data
import embedding_plan as plans
import embedding_quick
import embedding_report as reports
import evidence
from engine import Engine, Job, Progress, Record, StudyError

ROOT = Path(__file__).resolve().parents[2]


class Study:
    """One call of the study."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.folder = options.out.resolve() / "embedding"
        partial = options.quick or options.tables
        self.doc = options.doc or (self.folder / "study.md" if partial else ROOT / "docs" / "embedding_study.md")
        made = self.folder / "data"
        paths = {"TAUT_STUDY": made} | ({} if options.quick else {"TAUT_DATA": options.data.resolve()})
        self.engine = Engine(options.program.resolve(), self.folder, paths, options.jobs)
        methods = self.engine.known_methods()
        self.engine.keep_versions(options.keep)
        if options.quick:
            self.plan = embedding_quick.make_plan(self.engine.program, made, methods)
        else:
            embedding_data.prepare(options.data.resolve(), made)
            self.plan = plans.make_plan(methods, options.everything)
        data = self.plan.feature_sets[0]
        settings = {key: value for _, change in self.plan.full_models for key, value in change}
        known = {key for key, value in settings.items() if self.engine.knows(data, key, value)}
        self.plan = plans.with_known_keys(self.plan, known)
        self.started = time.monotonic()

    def facts(self) -> Record:
        """What made the results."""
        full = "FULL=1 " if self.options.everything else ""
        command = f"{full}make study AREA=embedding DATA=DIR"
        return {
            "command": "bench/studies/run.py --area embedding --quick" if self.options.quick else command,
            "machine": evidence.machine_record(),
            "program": self.engine.version,
            "kept": self.engine.kept,
            "workers": self.engine.workers,
            "seconds": time.monotonic() - self.started,
            "train_seconds": reports.train_seconds(list(self.engine.outcomes.values())),
        }

    def write(self) -> None:
        """Writes everything as it stands."""
        reports.write_all(self.plan, self.engine.outcomes, self.facts(), self.folder, self.doc)

    def wanted(self, jobs: list[Job]) -> list[Job]:
        """The jobs of the tables that the command line asks for."""
        unknown = set(self.options.tables) - set(plans.TABLES)
        if unknown:
            raise StudyError(f"no such table, --tables {','.join(sorted(unknown))}, known: {', '.join(plans.TABLES)}")
        return [job for job in jobs if not self.options.tables or job.table in self.options.tables]

    def run(self) -> int:
        """Runs all stages; the number of jobs that failed."""
        planned = self.wanted(plans.all_jobs(self.plan, {}))
        progress = Progress(sum(job.seconds() for job in planned))
        runs = sum(job.seeds for job in planned)
        print(f"study: {len(planned)} cells, {runs} runs, {self.engine.workers} side by side", file=sys.stderr)
        if self.plan.missing:
            print(f"study: methods that are not there yet: {', '.join(self.plan.missing)}", file=sys.stderr)
        for stage in plans.STAGES:
            self.engine.run(self.wanted(stage(self.plan, self.engine.outcomes)), progress)
            self.write()
        progress.finish()
        return len(self.engine.failures())


def run(options: argparse.Namespace) -> int:
    """Runs the study; 1 if a job failed."""
    if not options.quick and not options.data.is_dir():
        raise StudyError(f'there is no such folder, DATA = "{options.data}", name the folder of the data sets')
    study = Study(options)
    failed = study.run()
    print(study.doc.read_text("utf-8"))
    for outcome in study.engine.failures():
        print(f"failed: {outcome.job.name}: {outcome.failure}", file=sys.stderr)
    print(f"{study.doc}\n{study.folder / 'study.html'}\n{study.folder / 'results.json'}", file=sys.stderr)
    return 1 if failed else 0
