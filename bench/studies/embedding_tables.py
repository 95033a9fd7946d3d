"""The tables of the study of embeddings, as Markdown, and their figures as records."""

import dataclasses
import math
from collections.abc import Sequence

import embedding_plan as plans
from embedding_plan import Goal, Outcomes, Plan
from engine import DataSet, Job, Outcome, Record


@dataclasses.dataclass(frozen=True)
class Figure:
    """Mean and spread (deviation over seeds; None for one seed) of a field."""

    mean: float
    spread: float | None
    seeds: int

    def __str__(self) -> str:
        return f"{self.mean:.4f}" if self.spread is None else f"{self.mean:.4f} ± {self.spread:.4f}"


def figure_of(outcome: Outcome | None, field: str = "auc") -> Figure | None:
    """A field over the seeds of a job; None without runs."""
    values = [run[field] for run in (outcome.runs if outcome else []) if run.get(field) is not None]
    if not values:
        return None
    mean = sum(values) / len(values)
    squares = sum((value - mean) ** 2 for value in values)
    spread = math.sqrt(squares / (len(values) - 1)) if len(values) > 1 else None
    return Figure(mean, spread, len(values))


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; the first `left` columns hold text."""
    lines = [header, ["---" if i < left else "---:" for i in range(len(header))], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def count(value: float | None) -> str:
    """A whole number for people."""
    return "-" if value is None else f"{value:,.0f}"


def signed(value: float | None) -> str:
    """A difference of AUCs."""
    return "-" if value is None else f"{value:+.4f}"


def same_over(outcomes: Sequence[Outcome], field: str) -> float | None:
    """The field's value in the first run that has it."""
    return next((run[field] for outcome in outcomes for run in outcome.runs if run.get(field) is not None), None)


def seeds_text(figures: Sequence[Figure | None]) -> str:
    """Seeds behind a row: one number, or the least and the most."""
    known = sorted({figure.seeds for figure in figures if figure})
    return "0" if not known else f"{known[0]}" if len(known) == 1 else f"{known[0]} to {known[-1]}"


def cell_text(outcome: Outcome | None, field: str = "auc", best: bool = False) -> str:
    """One cell: the figure, what failed, or a dash."""
    figure = figure_of(outcome, field)
    if figure is None:
        return "failed" if outcome is not None and outcome.failure else "-"
    return f"**{figure}**" if best else str(figure)


def row_labels(plan: Plan) -> list[tuple[str, str]]:
    """Rows of a main table: label and method."""
    pairs = [(method, value_type) for method in plan.methods for value_type in plans.value_types(method)]
    return [(plans.row_label(method, value_type), method) for method, value_type in pairs]


def main_table(plan: Plan, outcomes: Outcomes, data: DataSet) -> str:
    """One set: methods by budgets; the best of each budget in bold, the full table apart."""
    cells = {
        (label, budget): outcomes.get(("main", data.name, label, budget))
        for label, method in row_labels(plan)
        for budget in (("1",) if method == "full" else data.budgets)
    }
    best = {budget: best_of(plan, outcomes, data, budget, with_elastic=True) for budget in data.budgets}
    rows = []
    for label, method in row_labels(plan):
        budgets = ("1",) if method == "full" else data.budgets
        mine = [cells[label, budget] for budget in budgets]
        if method == "full":
            texts = [cell_text(mine[0]), *("" for _ in data.budgets)]
        else:
            texts = [cell_text(cells[label, b], best=best[b] is not None and best[b][0] == label) for b in data.budgets]
            texts = ["", *texts]
        known = [outcome for outcome in mine if outcome is not None]
        rates = sorted({dict(outcome.job.settings)["embedding.learning_rate"] for outcome in known})
        rows.append(
            [
                label,
                *texts,
                seeds_text([figure_of(outcome) for outcome in known]),
                count(same_over(known, "examples")),
                count(same_over(known, "test_rows")),
                ", ".join(rates) or "-",
                used_text(known),
            ]
        )
    header = ["method", "full table", *data.budgets, "seeds", "training rows", "test rows", "rate", "peak / budget"]
    return markdown(header, rows)


def used_text(outcomes: Sequence[Outcome]) -> str:
    """The largest share of its budget that any run took at any moment."""
    shares = [
        run["peak_memory_bytes"] / run["budget_bytes"]
        for outcome in outcomes
        for run in outcome.runs
        if outcome.job.method != "full" and run.get("peak_memory_bytes") and run.get("budget_bytes")
    ]
    return f"{max(shares):.3f}" if shares else ""


def best_of(
    plan: Plan, outcomes: Outcomes, data: DataSet, budget: str, with_elastic: bool = False
) -> tuple[str, Figure] | None:
    """The best row of a budget and its figure: among rivals, or among all but the full table."""
    found = []
    for label, method in row_labels(plan):
        if method == "full" or (method == "elastic" and not with_elastic):
            continue
        figure = figure_of(outcomes.get(("main", data.name, label, budget)))
        if figure is not None:
            found.append((label, figure))
    return max(found, key=lambda pair: pair[1].mean) if found else None


def verdict(difference: float | None, needed: float = 0.0) -> str:
    """Met or not."""
    return "-" if difference is None else ("yes" if difference >= needed else "NO")


def goal_row(plan: Plan, outcomes: Outcomes, data: DataSet, budget: str) -> Record | None:
    """How one cell of elastic stands to the rivals, to the earlier study and to the full table; None without it."""
    ours = figure_of(outcomes.get(("main", data.name, "elastic", budget)))
    if ours is None:
        return None
    goal: Goal | None = plans.GOALS.get((data.name, budget))
    rival = best_of(plan, outcomes, data, budget)
    full = figure_of(outcomes.get(("main", data.name, "full", "1")))
    spreads = [figure.spread for figure in (ours, rival[1] if rival else None) if figure and figure.spread is not None]
    return {
        "set": data.name,
        "budget": budget,
        "auc": ours.mean,
        "spread": ours.spread,
        "seeds": ours.seeds,
        "goal": goal.elastic if goal else None,
        "over_goal": ours.mean - goal.elastic if goal else None,
        "goal_rival": f"{goal.rival} {goal.rival_auc}" if goal else None,
        "rival": rival[0] if rival else None,
        "rival_auc": rival[1].mean if rival else None,
        "over_rival": ours.mean - rival[1].mean if rival else None,
        "seed_spread": max(spreads) if spreads else None,
        "under_full": full.mean - ours.mean if full else None,
        "full_limit": plans.NEAR_FULL.get(data.name, plans.NEAR_FULL_ELSEWHERE) if budget == "1/10" else None,
    }


def goal_rows(plan: Plan, outcomes: Outcomes) -> list[Record]:
    """goal_row of every cell that has been run."""
    cells = [(data, budget) for data in plan.sets for budget in data.budgets]
    return [row for data, budget in cells if (row := goal_row(plan, outcomes, data, budget)) is not None]


def goals_table(rows: Sequence[Record]) -> str:
    """The goals: above every rival by more than the seeds' spread, not below the earlier study, near the full table."""
    lines = []
    for row in rows:
        needed = row["seed_spread"]
        near = None if row["full_limit"] is None or row["under_full"] is None else row["full_limit"] - row["under_full"]
        lines.append(
            [
                row["set"],
                row["budget"],
                str(Figure(row["auc"], row["spread"], row["seeds"])),
                str(row["seeds"]),
                f"{row['rival']} {row['rival_auc']:.4f}" if row["rival"] else "-",
                signed(row["over_rival"]),
                "-" if needed is None else f"{needed:.4f}",
                verdict(row["over_rival"], math.nextafter(needed or 0.0, 1.0)),
                "-" if row["goal"] is None else f"{row['goal']:.4f}",
                signed(row["over_goal"]),
                verdict(row["over_goal"]),
                "-" if row["under_full"] is None else f"{row['under_full']:+.4f}",
                "" if row["full_limit"] is None else f"{row['full_limit']:.3f}: {verdict(near)}",
            ]
        )
    header = ["set", "kept", "elastic", "seeds", "best rival", "ahead by", "spread", "met", "goal", "over goal", "met"]
    return markdown([*header, "below full", "limit"], lines, left=2)


def drift_table(plan: Plan, outcomes: Outcomes) -> str:
    """Prequential AUC of the rows in time order."""
    mine = [outcome for cell, outcome in outcomes.items() if cell[:2] == ("drift", plan.drift_set.name)]
    full = next((figure_of(o, "progressive_auc") for o in mine if o.job.method == "full"), None)
    figures = [figure_of(outcome, "progressive_auc") for outcome in mine]
    best = max((f.mean for f, o in zip(figures, mine, strict=True) if f and o.job.method != "full"), default=None)
    rows = []
    for outcome, figure in zip(mine, figures, strict=True):
        behind = full.mean - figure.mean if full and figure else None
        is_best = figure is not None and outcome.job.method != "full" and figure.mean == best
        rows.append(
            [
                outcome.job.label,
                outcome.job.budget,
                cell_text(outcome, "progressive_auc", is_best),
                signed(None if behind is None else -behind),
                "" if outcome.job.method == "full" or behind is None else verdict(plans.DRIFT_GOAL - behind),
                str(figure.seeds if figure else 0),
                count(same_over([outcome], "progressive_rows")),
                count(same_over([outcome], "examples")),
            ]
        )
    within = f"within {plans.DRIFT_GOAL:g}"
    header = ["method", "kept", "prequential AUC", "against full", within, "seeds", "rows scored", "rows"]
    return markdown(header, rows)


def ablation_table(plan: Plan, outcomes: Outcomes) -> str:
    """What each change of elastic does, beside elastic as it comes with the same seeds."""
    places = [(data, budget) for data in plan.ablation_sets for budget in plan.ablation_budgets]
    base = plan.ablations[0][0]
    rows = []
    for label, _ in plan.ablations:
        texts, figures = [], []
        for data, budget in places:
            outcome = outcomes.get(("ablation", data.name, label, budget))
            figure, at_base = figure_of(outcome), figure_of(outcomes.get(("ablation", data.name, base, budget)))
            figures.append(figure)
            change = f" ({figure.mean - at_base.mean:+.4f})" if figure and at_base and label != base else ""
            texts.append(cell_text(outcome) + change)
        rows.append([label, *texts, seeds_text(figures)])
    header = ["elastic with", *(f"{data.name} {budget}" for data, budget in places), "seeds"]
    table = markdown(header, rows)
    counts = []
    for data in plan.ablation_sets:
        mine = [outcome for cell, outcome in outcomes.items() if cell[:2] == ("ablation", data.name)]
        trained, tested = same_over(mine, "examples"), same_over(mine, "test_rows")
        counts.append(f"{data.name}: {count(trained)} training rows, {count(tested)} test rows")
    return f"{table}\n\nRows behind every line: {'; '.join(counts)}."


def tuning_table(plan: Plan, outcomes: Outcomes) -> str:
    """Validation AUC by learning rate, and the rate that was taken."""
    rows = []
    for data in plan.sets:
        for method in plan.methods:
            for at in ("1",) if method == "full" else plan.tuning_budgets:
                found = [outcomes.get(("tuning", data.name, f"{method}, rate {rate}", at)) for rate in plan.rates]
                figures = [figure_of(outcome, "valid_auc") for outcome in found]
                best = max((figure.mean for figure in figures if figure), default=None)
                texts = [
                    cell_text(outcome, "valid_auc", figure is not None and figure.mean == best)
                    for outcome, figure in zip(found, figures, strict=True)
                ]
                known = [outcome for outcome in found if outcome]
                seeds = seeds_text(figures)
                rows.append([data.name, method, at, *texts, seeds, count(same_over(known, "examples"))])
    header = ["set", "method", "kept", *(f"rate {rate}" for rate in plan.rates), "seeds", "training rows"]
    return markdown(header, rows, left=3)


def features_table(plan: Plan, outcomes: Outcomes, data: DataSet) -> str:
    """All features: full models, the chosen one first among them, and small tables trained as that one."""
    mine = [outcome for cell, outcome in outcomes.items() if cell[:2] == ("features", data.name)]
    best = f"full, {plans.best_full_model(plan, outcomes, data)}"
    full = figure_of(outcomes.get(("features", data.name, best, "1")))
    rows = []
    for outcome in mine:
        job: Job = outcome.job
        figure, valid = figure_of(outcome), figure_of(outcome, "valid_auc")
        behind = "" if not full or not figure or job.label == best else signed(figure.mean - full.mean)
        rows.append(
            [
                f"{job.label} (chosen)" if job.label == best else job.label,
                job.budget,
                "-" if valid is None else str(valid),
                cell_text(outcome, best=job.label == best),
                behind,
                cell_text(outcome, "log_loss"),
                count(same_over([outcome], "memory_bytes")),
                str(figure.seeds if figure else 0),
                count((same_over([outcome], "examples") or 0) / (same_over([outcome], "epochs") or 1)),
                count(same_over([outcome], "test_rows")),
            ]
        )
    header = ["model", "kept", "valid AUC", "test AUC", "against chosen", "log loss", "bytes", "seeds"]
    return markdown([*header, "training rows", "test rows"], rows)
