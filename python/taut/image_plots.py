"""The plots of runs of networks for images: training, and what winners and pruning leave of each layer."""

from collections.abc import Callable, Iterable, Sequence

import plotly.graph_objects as go

from taut.plots import lines, mean, styled, thin, throughput
from taut.runs import Record, Run
from taut.style import colour

# A group of bars: its name and what it takes from a layer or site.
Bars = tuple[str, Callable[[Record], float]]
PATTERNS = ("", "/", "x")


def winner_rates(runs: Iterable[Run]) -> go.Figure | None:
    """The mean winner rate over all places by step, one line a run; least and largest on hover."""
    figure = go.Figure()
    for index, run in enumerate(runs):
        points = [(line["step"], line["winner_rates"]) for line in run.metrics if line.get("winner_rates")]
        if not points:
            continue
        figure.add_scatter(
            x=thin([step for step, _ in points]),
            y=thin([mean(rates) for _, rates in points]),
            customdata=list(zip(thin([min(r) for _, r in points]), thin([max(r) for _, r in points]), strict=True)),
            hovertemplate="step %{x}: %{y:.3f} (%{customdata[0]:.3f} to %{customdata[1]:.3f})",
            name=run.label,
            mode="lines" if len(points) > 1 else "markers",
            line={"color": colour(index), "width": 1.8},
        )
    if not figure.data:
        return None
    figure.update_yaxes(range=[0, 1.05])
    return styled(figure, "Winner rate", "step", "mean over the places")


def training_figures(runs: Sequence[Run]) -> list[go.Figure]:
    """Everything by step, what no run has left out."""
    figures = [
        lines(runs, "top1", "Top-1 while training", "%", scale=100),
        lines(runs, "loss", "Training loss", "loss"),
        winner_rates(runs),
        lines(runs, "pruned_share", "Pruned weights", "%", scale=100),
        throughput(runs),
    ]
    return [figure for figure in figures if figure is not None]


def bars(runs: Iterable[Run], field: str, groups: Sequence[Bars], title: str, y_title: str) -> go.Figure | None:
    """A bar for each entry of a summary's list, run and group; a run keeps its colour, a group its pattern."""
    figure = go.Figure()
    for index, run in enumerate(runs):
        parts = run.summary.get(field, [])
        for number, (name, value) in enumerate(groups if parts else ()):
            figure.add_bar(
                x=[part["layer"] for part in parts],
                y=[value(part) for part in parts],
                name=f"{run.label}: {name}",
                marker={
                    "color": colour(index),
                    "opacity": 1.0 if number else 0.45,
                    "pattern": {"shape": PATTERNS[number]},
                },
            )
    if not figure.data:
        return None
    figure.update_layout(barmode="group")
    return styled(figure, title, "layer", y_title)


def needed(layer: Record) -> float:
    """Multiply-adds of a layer that are left when what is zero or pruned is not computed."""
    return layer["multiply_adds"] * layer["input_density"] * layer["weight_density"] * layer["output_density"]


def layer_figures(runs: Sequence[Run]) -> list[go.Figure]:
    """What the summaries say of layers and places, what no run has left out."""
    percent: list[tuple[str, str, str, Sequence[tuple[str, str]]]] = [
        (
            "Values that are not zero, by place",
            "%",
            "sites",
            (("natural", "natural_density"), ("after winners", "density")),
        ),
        ("Channels that never or always win, by place", "%", "sites", (("never", "never"), ("always", "always"))),
    ]
    figures = [
        bars(runs, field, [(name, lambda part, key=key: 100 * part[key]) for name, key in keys], title, unit)
        for title, unit, field, keys in percent
    ]
    figures.append(
        bars(
            runs,
            "sites",
            [("entropy", lambda site: site["entropy_bits"])],
            "How much winners change from input to input, by place",
            "entropy of winning, bits",
        )
    )
    figures.append(
        bars(
            runs,
            "layers",
            [("dense", lambda layer: layer["multiply_adds"] / 1e6), ("needed", lambda layer: needed(layer) / 1e6)],
            "Multiply-adds by layer",
            "millions an image",
        )
    )
    return [figure for figure in figures if figure is not None]
