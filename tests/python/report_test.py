"""The report page: made from made-up runs, whole, self-contained."""

import re
from pathlib import Path

import pytest
from report_support import metrics_line, page_of, summary_of

from taut import plots, runs, style

ROOT = Path(__file__).resolve().parents[2]


def test_a_page_of_one_run_is_whole_and_loads_nothing(make_run):
    text, page = page_of(make_run("run1"))
    assert text.startswith("<!DOCTYPE html>")
    assert page.loads == []
    assert not re.search(r"@import|url\(\s*['\"]?http", style.STYLE)
    assert text.count("Plotly.newPlot(") == len(plots.run_figures([runs.read_run(make_run("run2"))])) + 1
    assert text.count("* plotly.js v") == 1, "plotly's JavaScript is there once"
    assert page.scripts == 1 + text.count("Plotly.newPlot(")


def test_the_table_shows_the_summary(make_run):
    _, page = page_of(make_run("run1", auc=0.71234))
    for cell in ("run1", "elastic", "0.7123", "0.2877", "123,457", "976.6 KiB", "10.00%", "9.5 MiB"):
        assert cell in page.cells


def test_what_is_the_same_for_all_runs_stands_once_below(make_run):
    full = make_run("flights_full", "full", summary=summary_of("full", 0.7, memory=10_000_000))
    _, page = page_of(full, make_run("flights_tenth"))
    same = "The same for all: examples/s 123,457, full table 9.5 MiB, seed 1, threads 2, steps 100"
    assert same in page.words
    assert "seed" not in page.cells
    assert "flights_tenth" in page.cells
    _, page = page_of(make_run("alone"))
    assert "seed" in page.cells
    assert "The same for all" not in page.text


def test_plots_have_the_look_of_the_page(make_run):
    figure = plots.run_figures([runs.read_run(make_run("run"))])[0]
    assert figure.data[0].line.color == style.PALETTE[0]
    for value in (*style.PALETTE, style.FONT, style.TEXT, style.GRID):
        assert f": {value};" in style.STYLE
    assert (figure.layout.font.family, figure.layout.font.color) == (style.FONT, style.TEXT)


def test_the_best_quality_of_several_runs_stands_out(make_run):
    text, _ = page_of(make_run("a", auc=0.70), make_run("b", auc=0.72), make_run("c", auc=0.71))
    best = re.findall(r'<td class="best">([^<]*)</td>', text)
    assert best == ["0.7200", "0.2800"]  # the normalized entropy is the same for all


def test_runs_on_the_same_data_stand_beside_each_other(make_run):
    folders = [make_run("flights/full", "full", data="f.parquet"), make_run("flights/tenth", data="f.parquet")]
    folders.append(make_run("synthetic/tenth", data="s.parquet"))
    groups = runs.group_runs([runs.read_run(folder) for folder in folders])
    assert {title: len(members) for title, members in groups.items()} == {"flights": 2, "synthetic": 1}
    _, page = page_of(*folders)
    assert [word for word in page.words if word in ("flights", "synthetic")] == ["flights", "synthetic"]


def test_runs_of_the_same_name_get_their_parents_name_too(make_run):
    members = [runs.read_run(make_run(name)) for name in ("a/run", "b/run", "other")]
    runs.label_runs(members)
    assert [run.label for run in members] == ["a/run", "b/run", "other"]


def test_the_same_run_twice_ends(make_run):
    folder = make_run("run")
    members = [runs.read_run(folder), runs.read_run(folder)]
    runs.label_runs(members)
    assert members[0].label == members[1].label


def test_names_cannot_break_the_page(make_run):
    _, page = page_of(make_run("<script>alert(1)</script>".replace("/", "_"), data="<b>.parquet"))
    assert any("<script>alert(1)<_script>" in cell for cell in page.cells)
    assert "<b>.parquet" in page.text


def test_every_plot_is_drawn_from_its_field(make_run):
    run = runs.read_run(make_run("run"))
    titles = {figure.layout.title.text: figure for figure in plots.run_figures([run])}
    loss = titles["Training loss"].data[0]
    assert list(loss.x) == list(range(10, 110, 10))
    assert loss.y[-1] == pytest.approx(0.6)
    assert list(titles["Resident rows"].data[0].y) == [10 * step for step in range(10, 110, 10)]
    assert list(titles["How wide rows are"].data[0].y) == [0, 0.6, 0.3, 0.1]
    assert list(titles["Time spent on rebalancing"].data[0].y)[-1] == pytest.approx(0.1)
    assert list(titles["Training speed"].data[0].y) == pytest.approx([204_800] * 9)
    assert titles["AUC while training"].data[0].y[-1] == pytest.approx(0.7)


def test_memory_is_stacked_by_part_below_the_budget(make_run):
    (figure,) = plots.memory_by_part([runs.read_run(make_run("run"))])
    by_name = {trace.name: trace for trace in figure.data}
    assert set(by_name) == {"values", "index", "budget"}
    assert by_name["values"].stackgroup == by_name["index"].stackgroup == "memory"
    assert by_name["values"].y[0] + by_name["index"].y[0] == pytest.approx(1_000_000 / 2**10)
    assert set(by_name["budget"].y) == {1024.0}
    assert figure.layout.yaxis.title.text == "KiB"


def test_memory_without_parts_or_budget_is_one_area(make_run):
    lines = [metrics_line(step, memory_parts=..., budget_bytes=0) for step in (1, 2)]
    (figure,) = plots.memory_by_part([runs.read_run(make_run("run", lines=lines))])
    assert [trace.name for trace in figure.data] == ["all parts"]


def test_memory_is_shown_in_the_unit_that_suits_its_size():
    assert plots.unit_of([]) == ("KiB", 1024)
    assert plots.unit_of([5]) == ("KiB", 1024)
    assert plots.unit_of([5, 3 << 20]) == ("MiB", 1 << 20)
    assert plots.unit_of([2**40]) == ("GiB", 1 << 30)


def test_parts_that_never_hold_anything_are_left_out(make_run):
    lines = [
        metrics_line(1, memory_parts={"values": 10, "pool": 0, "free": 5}),
        metrics_line(2, memory_parts={"values": 20}),
    ]
    assert plots.part_names([runs.read_run(make_run("run", lines=lines))]) == ["values", "free"]


def test_colours_of_parts_agree_between_runs(make_run):
    lines = [metrics_line(1, memory_parts={"index": 5, "pool": 900_000})]
    members = [runs.read_run(make_run("a")), runs.read_run(make_run("b", lines=lines))]
    (figure,) = plots.memory_by_part(members)
    colours = {}
    for trace in figure.data:
        colours.setdefault(trace.name, set()).add(trace.line.color)
    assert all(len(used) == 1 for used in colours.values())
    assert len({next(iter(used)) for used in colours.values()}) == len(colours)


def test_fields_that_are_not_there_leave_their_plots_out(make_run):
    lines = [{"step": 1, "loss": 0.7}, {"step": 2, "loss": 0.6, "auc": None}]
    run = runs.read_run(make_run("run", lines=lines))
    assert [figure.layout.title.text for figure in plots.run_figures([run])] == ["Training loss"]
    assert plots.memory_by_part([run]) == []
    page_of(run.folder)


def test_nan_is_a_gap_not_a_number(make_run):
    folder = make_run("run", lines=[metrics_line(1), metrics_line(2, loss=float("nan")), metrics_line(3)])
    assert runs.read_run(folder).series("loss")[0] == [1, 3]


def test_long_runs_are_thinned_to_their_last_point():
    values = list(range(100_001))
    thinned = plots.thin(values)
    assert len(thinned) <= plots.MOST_POINTS + 1
    assert (thinned[0], thinned[-1]) == (0, 100_000)
    assert plots.thin([]) == []
    assert plots.thin([1, 2]) == [1, 2]


def test_a_run_that_has_not_ended_is_shown_with_a_note(make_run):
    folder = make_run("run", summary=...)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 110, "lo')
    _, page = page_of(folder)
    assert "the run has not ended" in page.text
    assert "line 11 of metrics.jsonl is not finished yet" in page.text


def test_a_run_with_a_summary_alone_is_shown(make_run):
    _, page = page_of(make_run("run", lines=..., config=...))
    assert "0.7000" in page.cells


def test_a_sweep_is_a_table_of_means_and_a_curve(make_sweep):
    folder = make_sweep(
        "full,1,1,0.72,0.5,0.9,10000000,10000000,1000\n"
        "elastic,1/10,1,0.70,0.5,0.9,1000000,10000000,2000\n"
        "elastic,1/10,2,0.71,0.5,0.9,1000000,10000000,4000\n"
        "elastic,1/100,1,0.69,0.5,0.9,100000,10000000,2000\n"
        "hash,1/10,1,,,,1000000,10000000,2000\n"
    )
    _, page = page_of(folder)
    for cell in ("0.7050", "0.7000 to 0.7100", "3,000", "10.00%", "1.00%", "full"):
        assert cell in page.cells
    assert "hash" not in page.cells  # without an AUC there is nothing to show
    figure = plots.auc_against_bytes(runs.read_folder(folder)[0].rows, "title")
    by_name = {trace.name: trace for trace in figure.data}
    assert list(by_name["elastic"].x) == pytest.approx([100_000 / 2**20, 1_000_000 / 2**20])
    assert list(by_name["elastic"].y) == pytest.approx([0.69, 0.705])
    assert by_name["elastic"].error_y.array[1] == pytest.approx(0.005)
    assert figure.layout.xaxis.type == "log"


def test_a_folder_of_runs_is_a_sweep(make_run, tmp_path):
    make_run("grid/full", "full", 0.72, summary=summary_of("full", 0.72, memory=10_000_000))
    make_run("grid/elastic", "elastic", 0.71)
    (tmp_path / "grid" / "notes").mkdir()
    (sweep,) = runs.read_folder(tmp_path / "grid")
    assert isinstance(sweep, runs.Sweep)
    assert [(row["method"], row["budget"]) for row in sweep.rows] == [("elastic", "1/10"), ("full", "")]
    _, page = page_of(tmp_path / "grid")
    assert "0.7200" in page.cells


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (0.1, "1/10"),
        ("0.01", "1/100"),
        (1 / 3, "1/3"),
        ("1/10", "1/10"),
        ("64MiB", "64MiB"),
        (0.15, "0.15"),
        (1, "1"),
        (65536, "65536"),
        ("nan", "nan"),
    ],
)
def test_a_budget_is_shown_as_it_was_asked_for(written, shown):
    assert runs.budget_text(written) == shown
