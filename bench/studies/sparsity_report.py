"""What the study of winners leaves behind: a document of tables and a page of plots."""

import html
import statistics
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

import sparsity_plan as plans
from engine import Record, write_text
from taut import style

Records = dict[tuple[str, str], list[Record]]


def top1(run: Record) -> float:
    """Percent, the mean of valid and test: the sets are small."""
    parts = [run[part] for part in ("valid", "test") if part in run]
    return 100 * sum(p["top1"] * p["examples"] for p in parts) / sum(p["examples"] for p in parts)


def mean_spread(values: Sequence[float]) -> str:
    """Mean, and the standard deviation where there are several."""
    mean = statistics.fmean(values)
    return f"{mean:.2f} ± {statistics.stdev(values):.2f}" if len(values) > 1 else f"{mean:.2f}"


def drops(runs: Sequence[Record], base: Sequence[Record]) -> list[float]:
    """Points below the base run of the same seed."""
    by_seed = {run["seed"]: run for run in base}
    return [top1(by_seed[run["seed"]]) - top1(run) for run in runs if run["seed"] in by_seed]


def needed_share(runs: Sequence[Record], dense: Sequence[Record]) -> str:
    """Multiply-adds not by zero, as a share of all of the dense network's."""
    if not runs or not dense:
        return ""
    needed = statistics.fmean(run["multiply_adds"]["needed"] for run in runs)
    return f"{100 * needed / dense[0]['multiply_adds']['dense']:.0f} %"


def network_table(network: plans.Network, records: Records) -> list[str]:
    """One table: what was trained, how good, how much work."""
    dense = records.get((network.name, plans.DENSE), [])
    lines = [
        f"## {network.title}",
        "",
        "| network | seeds | top-1, % | points below dense | multiply-adds left | density at the sites |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for label in (plans.DENSE, *(variant.label for variant in network.variants)):
        runs = records.get((network.name, label), [])
        if not runs:
            lines.append(f"| {label} | 0 | | | | |")
            continue
        below = drops(runs, dense)
        density = ", ".join(f"{site['density']:.2f}" for site in runs[0].get("sites", [])[:6])
        scores = [top1(run) for run in runs]
        lines.append(
            f"| {label} | {len(runs)} | {mean_spread(scores)} | {mean_spread(below) if below else ''} "
            f"| {needed_share(runs, dense)} | {density} |"
        )
    return [*lines, ""]


def goal_table(networks: Sequence[plans.Network], records: Records) -> list[str]:
    """Goals against what came out."""
    lines = [
        "## Goals",
        "",
        "| network | variant | points below dense, at most | measured | below dense trained as long | met |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for network in networks:
        for goal in network.goals:
            runs = records.get((network.name, goal.label), [])
            below = drops(runs, records.get((network.name, goal.base), []))
            longer = drops(runs, records.get((network.name, plans.LONGER), []))
            if not below:
                lines.append(f"| {network.title} | {goal.label} | {goal.points:g} | not run | | |")
                continue
            met = "yes" if statistics.fmean(below) <= goal.points else "no"
            lines.append(
                f"| {network.title} | {goal.label} | {goal.points:g} | {mean_spread(below)} "
                f"| {mean_spread(longer) if longer else ''} | {met} |"
            )
    return [*lines, ""]


def document(networks: Sequence[plans.Network], records: Records, facts: Record) -> str:
    """The page that goes into docs."""
    cpu = facts["machine"].get("cpu", "")
    lines = [
        "# Study: winners-take-all, against static pruning",
        "",
        f"Written by `{facts['command']}` ({cpu}; {facts['workers']} trainings side by side). Top-1 is over valid and",
        "test together. Fine-tuned rows go on from the dense run of the same seed, which also teaches them; so does",
        f"the row `{plans.LONGER}`. Multiply-adds left: not by a zero activation, a pruned weight or a pruned map,",
        "as a share of the dense network's. A row of 0 seeds has not been run yet. What the rows mean: sparsity.md.",
        "",
        *goal_table(networks, records),
    ]
    for network in networks:
        lines += network_table(network, records)
    return "\n".join(lines)


def curve(network: plans.Network, records: Records) -> go.Figure:
    """Accuracy against what is left of the work, a line for each unit."""
    figure = go.Figure()
    dense = records.get((network.name, plans.DENSE), [])
    units = list(dict.fromkeys(v.unit for v in network.variants if v.unit))
    for unit in units:
        points = []
        for variant in network.variants:
            runs = records.get((network.name, variant.label), [])
            if variant.unit == unit and runs and dense:
                needed = statistics.fmean(run["multiply_adds"]["needed"] for run in runs)
                share = needed / dense[0]["multiply_adds"]["dense"]
                points.append((share, statistics.fmean(top1(run) for run in runs), variant.label))
        points.sort()
        figure.add_scatter(
            x=[p[0] for p in points],
            y=[p[1] for p in points],
            text=[p[2] for p in points],
            name=unit,
            mode="lines+markers",
        )
    if dense:
        figure.add_hline(y=statistics.fmean(top1(run) for run in dense), annotation_text="dense")
    figure.update_layout(title=network.title, xaxis_title="multiply-adds left", yaxis_title="top-1, %")
    return figure


def winner_plot(network: plans.Network, records: Records) -> go.Figure:
    """Who wins: entropy of each site's channels, a group for each variant."""
    figure = go.Figure()
    for variant in network.variants:
        runs = records.get((network.name, variant.label), [])
        if runs and variant.unit:
            sites = runs[0].get("sites", [])
            figure.add_bar(
                x=[s["layer"] for s in sites],
                y=[s["entropy_bits"] for s in sites],
                name=variant.label,
                text=[f"never {s['never']:.0%}, always {s['always']:.0%}" for s in sites],
            )
    figure.update_layout(title=f"{network.title}: who wins", yaxis_title="entropy of winning, bits a channel")
    return figure


def page(networks: Sequence[plans.Network], records: Records, text: str) -> str:
    """One self-contained page."""
    figures = [draw(network, records) for network in networks for draw in (curve, winner_plot)]
    parts = [figure.to_html(full_html=False, include_plotlyjs=False) for figure in figures]
    body = "".join(parts) + f"<pre>{html.escape(text)}</pre>"
    return style.page("Study of winners", body, f"<script>{get_plotlyjs()}</script>")


def write_all(networks: Sequence[plans.Network], records: Records, facts: Record, folder: Path, doc: Path) -> None:
    """The document and the page."""
    text = document(networks, records, facts)
    write_text(doc, text)
    write_text(folder / "study.html", page(networks, records, text))
