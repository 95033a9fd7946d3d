"""One self-contained HTML page from runs and sweeps, of recommenders and of networks for images: tables and plots.

Usage: python -m taut.report RUN... [--out FILE]
RUN is a folder that `taut train` or `taut sweep` wrote. The page holds everything, plotly's JavaScript included, and
works without a network.
"""

import argparse
import contextlib
import html
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from taut import __version__, image_plots, plots
from taut.runs import Record, ReportError, Run, Sweep, finite, group_runs, label_runs, read_folder, sweep_row
from taut.style import page

# A column: its title, the text of a number, and what is best (max, min, or neither).
Column = tuple[str, str, Callable[[float], str], Callable[..., float] | None]


def size_text(size: float) -> str:
    """Bytes with a unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def decimal(value: float) -> str:
    """A quality figure."""
    return f"{value:.4f}"


def whole(value: float) -> str:
    """A count."""
    return f"{value:,.0f}"


def count_text(value: float) -> str:
    """A large count with a unit."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


COLUMNS: tuple[Column, ...] = (
    ("AUC", "auc", decimal, max),
    ("log loss", "log_loss", decimal, min),
    ("normalized entropy", "normalized_entropy", decimal, min),
    ("examples/s", "examples_per_second", whole, None),
    ("memory", "memory_bytes", size_text, None),
    ("of full", "share", lambda share: f"{share:.2%}", None),
    ("full table", "full_bytes", size_text, None),
    ("seed", "seed", whole, None),
    ("threads", "threads", whole, None),
    ("steps", "steps", whole, None),
)


IMAGE_COLUMNS: tuple[Column, ...] = (
    ("top-1", "top1", lambda share: f"{share:.2%}", max),
    ("log loss", "log_loss", decimal, min),
    ("multiply-adds", "dense", count_text, None),
    ("needed", "needed", count_text, min),
    ("of dense", "work_share", lambda share: f"{share:.1%}", None),
    ("winner rate", "winner_rate", lambda rate: f"{rate:.3g}", None),
    ("pruned", "pruned_share", lambda share: f"{share:.1%}", None),
    ("parameters", "parameters", count_text, None),
    ("examples/s", "examples_per_second", whole, None),
    ("seed", "seed", whole, None),
    ("threads", "threads", whole, None),
    ("steps", "steps", whole, None),
)


def table_html(
    names: Sequence[str],
    labels: Sequence[Sequence[str]],
    records: Sequence[Record],
    columns: Sequence[Column] = COLUMNS,
) -> str:
    """A table: text columns (their titles and cells), then every one of the columns that a record has.

    What is the same for all of several records stands below, so that the table stays inside its frame.
    """
    shown, same = [], []
    for column in columns:
        values = [finite(record.get(column[1])) for record in records]
        if all(value is None for value in values):
            continue
        alike = len(records) > 1 and column[3] is None and len(set(values)) == 1
        (same if alike else shown).append(column)
    head = "".join(f'<th class="name">{html.escape(name)}</th>' for name in names)
    head += "".join(f"<th>{html.escape(title)}</th>" for title, *_ in shown)
    rows = []
    for texts, record in zip(labels, records, strict=True):
        row = "".join(f'<td class="name">{breakable(text)}</td>' for text in texts)
        for _, key, spell, better in shown:
            value = finite(record.get(key))
            known = [number for other in records if (number := finite(other.get(key))) is not None]
            best = better is not None and len(set(known)) > 1 and value == better(known)
            text = "&ndash;" if value is None else html.escape(spell(value))
            row += f'<td class="best">{text}</td>' if best else f"<td>{text}</td>"
        rows.append(f"<tr>{row}</tr>")
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    if same:
        alike = ", ".join(f"{title} {spell(finite(records[0].get(key)))}" for title, key, spell, _ in same)
        table += f'<p class="same">The same for all: {html.escape(alike)}</p>'
    return f'<div class="card">{table}</div>'


def breakable(text: str) -> str:
    """Text as markup whose lines may break behind the signs that join words."""
    return re.sub(r"([/_-])(?=.)", r"\1<wbr>", html.escape(text))


def with_share(record: Record) -> Record:
    """The record and the share of the full table's bytes that it takes."""
    memory, full = finite(record.get("memory_bytes")), finite(record.get("full_bytes"))
    return {**record, "share": memory / full} if memory is not None and full else record


def figure_html(figure: go.Figure, wide: bool = False) -> str:
    """A plot in its card, without plotly's JavaScript."""
    body = figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False, "responsive": True})
    return f'<div class="card{" wide" if wide else ""}">{body}</div>'


def section_html(title: str, runs: Sequence[Run], table: str, cards: Sequence[str]) -> str:
    """A heading, what the runs were trained on, their table, their notes and their plots."""
    parts = [f"<h2>{html.escape(title)}</h2>"]
    if runs[0].training_data:
        parts.append(f"<p>Trained on {html.escape(runs[0].training_data)}</p>")
    parts.append(table)
    notes = [f"{run.label}: {note}" for run in runs for note in run.notes]
    parts += [f'<p class="notes">{html.escape(note)}</p>' for note in notes]
    return "".join([*parts, '<div class="plots">', *cards, "</div>"])


def runs_section(title: str, runs: Sequence[Run]) -> str:
    """Recommenders on the same data beside each other."""
    records = [with_share({"steps": run.last("step"), **run.summary}) for run in runs]
    labels = [(run.label, run.method, run.budget) for run in runs]
    table = table_html(("run", "method", "budget"), labels, records)
    cards = []
    if len(runs) > 1:
        against = plots.auc_against_bytes((sweep_row(run) for run in runs), "AUC against memory")
        cards += [figure_html(against, wide=True)] if against else []
    cards += [figure_html(figure) for figure in plots.run_figures(runs)]
    cards += [figure_html(figure, wide=True) for figure in plots.memory_by_part(runs)]
    return section_html(title, runs, table, cards)


def image_record(run: Run) -> Record:
    """What the table says of a network for images."""
    work = run.summary.get("multiply_adds", {})
    rates = run.summary.get("winner_rates") or run.last("winner_rates")
    record = {"steps": run.last("step"), "pruned_share": run.last("pruned_share"), **run.summary, **work}
    if rates:
        record["winner_rate"] = plots.mean(rates)
    if work.get("dense"):
        record["work_share"] = work["needed"] / work["dense"]
    return record


def images_section(title: str, runs: Sequence[Run]) -> str:
    """Networks for images on the same data beside each other."""
    labels = [(run.label, run.model, run.unit) for run in runs]
    table = table_html(("run", "network", "unit"), labels, [image_record(run) for run in runs], IMAGE_COLUMNS)
    cards = [figure_html(figure) for figure in image_plots.training_figures(runs)]
    cards += [figure_html(figure, wide=True) for figure in image_plots.layer_figures(runs)]
    return section_html(title, runs, table, cards)


# The part of a page about runs of one task on the same data.
SECTIONS = {"ctr": runs_section, "image": images_section}


def sweep_section(sweep: Sweep) -> str:
    """A sweep: means over its seeds, and AUC against bytes."""
    labels, records = [], []
    for method, budgets in plots.cells(sweep.rows).items():
        for budget, same in budgets.items():
            scores = [row["auc"] for row in same]
            spread = f"{min(scores):.4f} to {max(scores):.4f}"
            labels.append((method, budget, str(len(same)), spread))
            means = {key: [v for row in same if (v := finite(row.get(key))) is not None] for _, key, *_ in COLUMNS}
            records.append(with_share({key: plots.mean(v) for key, v in means.items() if v and key != "seed"}))
    if not records:
        raise ReportError("no run of the sweep has an AUC and its memory", sweep.folder, "let a run of it end")
    figure = plots.auc_against_bytes(sweep.rows, "AUC against memory: mean, worst and best seed")
    return "".join(
        [
            f"<h2>Sweep {html.escape(sweep.folder.resolve().name)}</h2>",
            table_html(("method", "budget", "seeds", "AUC of seeds"), labels, records),
            '<div class="plots">',
            figure_html(figure, wide=True) if figure else "",
            "</div>",
        ]
    )


def make_page(folders: Sequence[Path]) -> str:
    """The whole page of runs and sweeps, as HTML."""
    found = [item for folder in folders for item in read_folder(folder)]
    runs = [item for item in found if isinstance(item, Run)]
    label_runs(runs)
    sections = [sweep_section(item) for item in found if isinstance(item, Sweep)]
    sections += [SECTIONS[members[0].task](title, members) for title, members in group_runs(runs).items()]
    heading = "Training report" if len(found) > 1 else f"Report of {found[0].folder.resolve().name}"
    about = (
        f"<p>taut {__version__}. Tables count every byte: values, index, importance and optimizer state."
        " Lower is better for losses and multiply-adds, higher for AUC and top-1.</p>"
    )
    return page(heading, "".join([about, *sections]), f"<script>{get_plotlyjs()}</script>")


def write_page(text: str, path: Path) -> None:
    """Writes the page beside its path and renames it into place."""
    beside = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text, "utf-8")
        beside.replace(path)
    except OSError as problem:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise ReportError(
            f"cannot write the page: {problem.strerror}", path, "name another file with --out"
        ) from problem


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes the page that the command line asks for; 2 for what the user can mend."""
    parser = argparse.ArgumentParser(
        prog="python -m taut.report", description="Makes one self-contained HTML page of plots from runs and sweeps."
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run or of a sweep")
    parser.add_argument(
        "--out", type=Path, help="the page (default: report.html in RUN, or taut-report.html here for several)"
    )
    options = parser.parse_args(arguments)
    out = options.out or (options.runs[0] / "report.html" if len(options.runs) == 1 else Path("taut-report.html"))
    try:
        write_page(make_page(options.runs), out)
    except ReportError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
