"""Everything that the study of embeddings leaves behind: JSON, CSV, a document and a page of plots."""

import csv
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

import embedding_tables as tables
from embedding_plan import Outcomes, Plan
from engine import Outcome, Record, write_text
from taut import plots, report, style

CSV_COLUMNS = (
    "table",
    "set",
    "label",
    "method",
    "budget",
    "seed",
    "auc",
    "valid_auc",
    "progressive_auc",
    "log_loss",
    "memory_bytes",
    "peak_memory_bytes",
    "budget_bytes",
    "full_bytes",
    "examples",
    "test_rows",
    "train_seconds",
    "settings",
)


def run_records(outcomes: Outcomes) -> list[Record]:
    """One record a run."""
    records = []
    for outcome in outcomes.values():
        job = outcome.job
        head = {"table": job.table, "set": job.data.name, "label": job.label, "method": job.method}
        settings = " ".join(f"{key}={value}" for key, value in job.settings)
        records += [{**head, "budget": job.budget, "settings": settings, **run} for run in outcome.runs]
    return records


def csv_text(records: Sequence[Record]) -> str:
    """The records as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def results(plan: Plan, outcomes: Outcomes, facts: Record) -> Record:
    """The whole study as JSON."""
    failures = [{"job": o.job.name, "why": o.failure} for o in outcomes.values() if o.failure]
    goals = tables.goal_rows(plan, outcomes)
    return {**facts, "missing": plan.missing, "failures": failures, "goals": goals, "runs": run_records(outcomes)}


def paragraphs(plan: Plan, outcomes: Outcomes, facts: Record) -> list[str]:
    """The head of the document: what made it, and what is not in it."""
    machine, versions = facts["machine"], facts["machine"]["versions"]
    software = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    parts = [
        "# Study of embeddings",
        f"Written by `{facts['command']}` on {machine['time'][:10]}; do not edit. Machine: {machine['cpu']}, "
        f"{machine['processors']} processors, {machine['memory']}, {machine['system']}; {software}; trainer "
        f"{facts['program']}. This call took {facts['seconds'] / 60:.0f} minutes, "
        f"training time of all runs {facts['train_seconds'] / 60:.0f} minutes.",
        "One epoch, shuffled, batches of 2048, D 16, DLRM head 128-64-1 over all dots and vectors, Adam 0.001; "
        "row-wise Adagrad, initial accumulator 0.2, on gradients of the summed loss. All bytes of a method count "
        "(values, index, importance, optimizer state, sketch, pool, free space) against a budget that is a part of "
        "the full table, `distinct ids * (4 D + 4)` bytes; *peak / budget* is the most that any run took at any "
        "moment. AUC is on the test rows; `±` is the deviation over seeds. Every row says how many seeds and rows it "
        "stands on.",
    ]
    if facts["kept"]:
        kept = ", ".join(f"{method} by {version}" for method, version in facts["kept"].items())
        parts.append(f"Runs of an earlier build of the trainer were taken over: {kept}.")
    if plan.missing:
        parts.append(f"**Not in this study**, because the program does not have them: {', '.join(plan.missing)}.")
    failed = [o for o in outcomes.values() if o.failure]
    if failed:
        listed = "\n".join(f"- {o.job.name}: {o.failure}" for o in failed)
        parts.append(f"**Failed** ({len(failed)}):\n\n{listed}")
    return parts


def document(plan: Plan, outcomes: Outcomes, facts: Record) -> str:
    """docs/embedding_study.md."""
    parts = paragraphs(plan, outcomes, facts)
    parts += [
        "## Goals",
        "*ahead by* is against the best rival of either value type, and must be more than the larger of both spreads "
        "(with one seed: more than nothing); *goal* is what an earlier study of the same sets reached with elastic "
        "(one seed, its best setting in each cell); *limit* is how far below the full table a tenth may be.",
        tables.goals_table(tables.goal_rows(plan, outcomes)),
        "## Methods by budgets",
    ]
    for data in plan.sets:
        parts += [f"### {data.name}", tables.main_table(plan, outcomes, data)]
    parts += [
        "## Drift",
        f"{plan.drift_set.name} in time order; each batch is predicted before it is learnt, and counted after the "
        "first quarter.",
        tables.drift_table(plan, outcomes),
        "## All features",
        "With dense columns and bags (title words, genres): what a user would train. The full model with the best "
        "validation AUC is chosen; the small tables are trained just as that one, in a part of its bytes.",
    ]
    for data in plan.feature_sets:
        parts += [f"### {data.name}", tables.features_table(plan, outcomes, data)]
    parts += [
        "## Ablations",
        "Differences are to elastic as it comes, same seeds.",
        tables.ablation_table(plan, outcomes),
        "## Learning rates",
        "Validation AUC; the rate in bold is used in the tables above, for both value types (budgets below the one "
        "tuned at use its rate).",
        tables.tuning_table(plan, outcomes),
    ]
    return "\n\n".join(parts) + "\n"


def set_figure(plan: Plan, outcomes: Outcomes, name: str) -> go.Figure | None:
    """AUC against bytes on one set."""
    rows = []
    for outcome in outcomes.values():
        if outcome.job.table == "main" and outcome.job.data.name == name:
            row = {"method": outcome.job.label, "budget": outcome.job.budget}
            rows += [{**row, "auc": run["auc"], "memory_bytes": run["memory_bytes"]} for run in outcome.runs]
    figure = plots.auc_against_bytes(rows, f"{name}: AUC against memory, mean, worst and best seed")
    if figure is None:
        return None
    for trace in figure.data:
        if trace.name == "elastic":
            trace.line.width, trace.line.color = 4, "#000000"
        elif trace.name.endswith("int8"):
            trace.line.dash = "dot"
    return figure


def ablation_figure(plan: Plan, outcomes: Outcomes) -> go.Figure | None:
    """What each change does, as bars."""
    figure = go.Figure()
    base = plan.ablations[0][0]
    for index, (data, budget) in enumerate((d, b) for d in plan.ablation_sets for b in plan.ablation_budgets):
        start = tables.figure_of(outcomes.get(("ablation", data.name, base, budget)))
        if start is None:
            continue
        pairs = [
            (label, tables.figure_of(outcomes.get(("ablation", data.name, label, budget))))
            for label, _ in plan.ablations[1:]
        ]
        known = [(label, found.mean - start.mean) for label, found in pairs if found]
        labels, changes = [label for label, _ in known], [change for _, change in known]
        figure.add_bar(
            y=labels, x=changes, orientation="h", name=f"{data.name} {budget}", marker_color=style.colour(index)
        )
    if not figure.data:
        return None
    figure.update_yaxes(autorange="reversed")
    return plots.styled(figure, "Changes of elastic", "change of AUC", "", height=160 + 44 * len(plan.ablations))


def drift_figure(plan: Plan, outcomes: Outcomes) -> go.Figure | None:
    """Prequential AUC, as bars."""
    mine = [o for o in outcomes.values() if o.job.table == "drift" and o.runs]
    points = [(o.job.label, tables.figure_of(o, "progressive_auc")) for o in mine]
    known = [(label, figure.mean) for label, figure in points if figure]
    if not known:
        return None
    figure = go.Figure()
    labels, means = zip(*known, strict=True)
    figure.add_scatter(x=means, y=labels, mode="markers", marker={"size": 11, "color": style.colour(0)})
    figure.update_yaxes(autorange="reversed")
    title = f"{plan.drift_set.name} in time order at {plan.drift_budget}"
    return plots.styled(figure, title, "prequential AUC", "", height=160 + 32 * len(known))


def page(plan: Plan, outcomes: Outcomes, facts: Record) -> str:
    """All plots on one page that needs no network."""
    figures = [set_figure(plan, outcomes, data.name) for data in plan.sets]
    figures += [drift_figure(plan, outcomes), ablation_figure(plan, outcomes)]
    cards = "".join(report.figure_html(figure, wide=True) for figure in figures if figure is not None)
    head = f"{facts['command']}, {facts['machine']['time']}, {facts['machine']['cpu']}"
    body = f'<p>{html.escape(head)}</p><div class="plots">{cards}</div>'
    return style.page("Study of embeddings", body, f"<script>{get_plotlyjs()}</script>")


def write_all(plan: Plan, outcomes: Outcomes, facts: Record, folder: Path, doc: Path) -> None:
    """Writes results.json, results.csv, study.html and the document."""
    whole = results(plan, outcomes, facts)
    write_text(folder / "results.json", json.dumps(whole, indent=1) + "\n")
    write_text(folder / "results.csv", csv_text(whole["runs"]))
    write_text(folder / "study.html", page(plan, outcomes, facts))
    write_text(doc, document(plan, outcomes, facts))


def train_seconds(outcomes: Sequence[Outcome]) -> float:
    """Training time of all runs, shared ones counted once."""
    runs = {
        (o.job.data.name, o.job.method, o.job.budget, o.job.settings, run["seed"]): run["train_seconds"]
        for o in outcomes
        for run in o.runs
    }
    return sum(seconds or 0 for seconds in runs.values())
