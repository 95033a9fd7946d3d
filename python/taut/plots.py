"""The plots of a report, as plotly figures."""

import itertools
import math
from collections.abc import Iterable, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from taut.runs import Record, Run
from taut.style import FONT, GRID, TEXT, colour

MOST_POINTS = 2000
MIB = 1 << 20
UNITS = (("GiB", 1 << 30), ("MiB", MIB), ("KiB", 1 << 10))


def thin(values: Sequence[float]) -> list[float]:
    """At most MOST_POINTS of the values, evenly spaced, the last one among them."""
    stride = max(1, math.ceil(len(values) / MOST_POINTS))
    kept = list(values[::stride])
    if values and (len(values) - 1) % stride:
        kept.append(values[-1])
    return kept


def styled(figure: go.Figure, title: str, x_title: str, y_title: str, height: int = 360) -> go.Figure:
    """The look that all plots share."""
    figure.update_layout(
        title={"text": title, "x": 0, "xanchor": "left", "font": {"size": 15}},
        template="plotly_white",
        font={"family": FONT, "size": 12, "color": TEXT},
        margin={"l": 64, "r": 16, "t": 44, "b": 44},
        height=height,
        hovermode="closest",
        legend={"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0.01, "x": 0},
    )
    figure.update_xaxes(title_text=x_title, gridcolor=GRID)
    figure.update_yaxes(title_text=y_title, gridcolor=GRID, zeroline=False)
    return figure


def lines(runs: Iterable[Run], name: str, title: str, y_title: str, scale: float = 1.0) -> go.Figure | None:
    """A metrics field by step, one line a run; None if no run has it."""
    figure = go.Figure()
    for index, run in enumerate(runs):
        steps, values = run.series(name)
        if not steps:
            continue
        figure.add_scatter(
            x=thin(steps),
            y=[value * scale for value in thin(values)],
            name=run.label,
            mode="lines" if len(steps) > 1 else "markers",
            line={"color": colour(index), "width": 1.8},
        )
    return styled(figure, title, "step", y_title) if figure.data else None


def throughput(runs: Iterable[Run]) -> go.Figure | None:
    """Examples per second between two metrics lines, by step."""
    figure = go.Figure()
    for index, run in enumerate(runs):
        points = [line for line in run.metrics if line.get("examples") is not None and line.get("seconds") is not None]
        pairs = [(a, b) for a, b in itertools.pairwise(points) if b["seconds"] > a["seconds"]]
        if not pairs:
            continue
        rates = [(b["examples"] - a["examples"]) / (b["seconds"] - a["seconds"]) for a, b in pairs]
        figure.add_scatter(
            x=thin([b["step"] for _, b in pairs]),
            y=thin(rates),
            name=run.label,
            mode="lines",
            line={"color": colour(index), "width": 1.8},
        )
    return styled(figure, "Training speed", "step", "examples per second") if figure.data else None


def part_names(runs: Iterable[Run]) -> list[str]:
    """Names of all parts of memory, largest first, so that colours agree between runs."""
    sizes: dict[str, float] = {}
    for run in runs:
        for line in run.metrics:
            for name, size in line.get("memory_parts", {}).items():
                sizes[name] = max(sizes.get(name, 0), size)
    return sorted((name for name in sizes if sizes[name] > 0), key=lambda name: (-sizes[name], name))


def unit_of(sizes: Iterable[float]) -> tuple[str, int]:
    """The unit of bytes that suits the largest of the sizes, and its bytes."""
    largest = max(sizes, default=0)
    return next(((unit, size) for unit, size in UNITS if largest >= size), UNITS[-1])


def memory_of(figure: go.Figure, run: Run, parts: list[str], column: int, unit_bytes: int) -> None:
    """One run's memory by part, stacked, below a dashed line for its budget."""
    stacked = [line for line in run.metrics if "memory_parts" in line]
    for index, part in enumerate(parts if stacked else []):
        figure.add_scatter(
            x=thin([line["step"] for line in stacked]),
            y=thin([line["memory_parts"].get(part, 0) / unit_bytes for line in stacked]),
            name=part,
            legendgroup=part,
            showlegend=not any(trace.name == part for trace in figure.data),
            stackgroup="memory",
            mode="lines",
            line={"width": 0.6, "color": colour(index)},
            row=1,
            col=column,
        )
    if not stacked:
        steps, sizes = run.series("memory_bytes")
        figure.add_scatter(
            x=thin(steps),
            y=[size / unit_bytes for size in thin(sizes)],
            name="all parts",
            showlegend=not any(trace.name == "all parts" for trace in figure.data),
            fill="tozeroy",
            line={"color": "#8c959f"},
            row=1,
            col=column,
        )
    budget = run.last("budget_bytes")
    if budget:
        steps = [line["step"] for line in run.metrics]
        figure.add_scatter(
            x=[steps[0], steps[-1]],
            y=[budget / unit_bytes] * 2,
            name="budget",
            showlegend=not any(trace.name == "budget" for trace in figure.data),
            mode="lines",
            line={"color": "#cf222e", "dash": "dash", "width": 1.6},
            row=1,
            col=column,
        )


def memory_by_part(runs: Sequence[Run]) -> list[go.Figure]:
    """Memory by part against the budget, three runs beside each other in a figure."""
    shown = [run for run in runs if run.series("memory_bytes")[0] or any("memory_parts" in m for m in run.metrics)]
    parts = part_names(shown)
    figures = []
    for start in range(0, len(shown), 3):
        beside = shown[start : start + 3]
        unit, unit_bytes = unit_of(size for run in beside for size in run.series("memory_bytes")[1])
        titles = [run.label for run in beside]
        figure = make_subplots(rows=1, cols=len(beside), subplot_titles=titles, horizontal_spacing=0.1)
        for column, run in enumerate(beside, start=1):
            memory_of(figure, run, parts, column, unit_bytes)
        figure.update_yaxes(rangemode="tozero")
        figure.update_annotations(font_size=12)
        styled(figure, "Memory by part against the budget", "step", unit)
        figures.append(figure.update_layout(margin_t=68))  # the runs' names stand below the title
    return figures


def widths(runs: Iterable[Run]) -> go.Figure | None:
    """Share of resident rows by the number of chunks that they hold, at the end of each run."""
    figure = go.Figure()
    for index, run in enumerate(runs):
        rows = run.last("rows_by_width")
        if not rows or not sum(rows):
            continue
        figure.add_bar(
            x=list(range(len(rows))),
            y=[count / sum(rows) for count in rows],
            customdata=rows,
            hovertemplate="%{customdata:,} rows hold %{x} chunks (%{y:.1%})",
            name=run.label,
            marker_color=colour(index),
        )
    if not figure.data:
        return None
    figure.update_yaxes(tickformat=".0%")
    figure.update_xaxes(dtick=1)
    return styled(figure, "How wide rows are", "chunks that a row holds", "share of resident rows")


def cells(rows: Iterable[Record]) -> dict[str, dict[str, list[Record]]]:
    """Rows with AUC and memory by method and budget, in the order in which they come."""
    found: dict[str, dict[str, list[Record]]] = {}
    for row in rows:
        if row.get("auc") is not None and row.get("memory_bytes"):
            found.setdefault(row["method"], {}).setdefault(row["budget"], []).append(row)
    return found


def mean(values: Iterable[float]) -> float:
    """The arithmetic mean."""
    listed = list(values)
    return sum(listed) / len(listed)


def auc_against_bytes(rows: Iterable[Record], title: str) -> go.Figure | None:
    """AUC over memory: for each method a line through the means, bars from the worst to the best seed."""
    figure = go.Figure()
    for index, (method, budgets) in enumerate(cells(rows).items()):
        points = []
        for budget, same in budgets.items():
            scores = [row["auc"] for row in same]
            centre = mean(scores)
            size = mean(row["memory_bytes"] for row in same)
            points.append((size, centre, max(scores) - centre, centre - min(scores), budget, len(same)))
        points.sort(key=lambda point: point[0])
        sizes, centres, above, below, names, seeds = zip(*points, strict=True)
        figure.add_scatter(
            x=[size / MIB for size in sizes],
            y=centres,
            error_y={"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1},
            customdata=list(zip(names, seeds, strict=True)),
            hovertemplate="%{customdata[0]}: AUC %{y:.4f} in %{x:.3g} MiB (%{customdata[1]} seeds)",
            name=method or "unnamed",
            mode="lines+markers",
            marker={"size": 8},
            line={"color": colour(index), "width": 1.8},
        )
    if not figure.data:
        return None
    figure.update_xaxes(type="log")
    return styled(figure, title, "memory of the tables, MiB", "AUC", height=420)


def run_figures(runs: Sequence[Run]) -> list[go.Figure]:
    """All plots of runs beside each other, what no run has left out."""
    figures = [
        lines(runs, "loss", "Training loss", "log loss"),
        lines(runs, "auc", "AUC while training", "AUC"),
        lines(runs, "resident_rows", "Resident rows", "rows"),
        widths(runs),
        lines(runs, "rebalance_seconds", "Time spent on rebalancing", "seconds since the start"),
        throughput(runs),
    ]
    return [figure for figure in figures if figure is not None]
