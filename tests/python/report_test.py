"""The report page: made from made-up runs, whole, self-contained, and clear about what is wrong."""

import html.parser
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taut import image_plots, plots, report, runs

ROOT = Path(__file__).resolve().parents[2]
VOID = {"meta", "br", "hr", "img", "input", "link"}


def metrics_line(step, **fields):
    line = {
        "step": step,
        "examples": step * 2048,
        "seconds": step / 100,
        "loss": 0.7 - 0.1 * step / 100,
        "auc": 0.5 + 0.2 * step / 100,
        "memory_bytes": 1_000_000,
        "budget_bytes": 1_048_576,
        "memory_parts": {"values": 700_000, "index": 300_000},
        "resident_rows": 10 * step,
        "rows_by_width": [0, 6 * step, 3 * step, step],
        "rebalance_seconds": step / 1000,
    }
    return {key: value for key, value in {**line, **fields}.items() if value is not ...}


def summary_of(method, auc, memory=1_000_000, **fields):
    return {
        "method": method,
        "auc": auc,
        "log_loss": 1 - auc,
        "normalized_entropy": 0.9,
        "examples_per_second": 123456.7,
        "memory_bytes": memory,
        "full_bytes": 10_000_000,
        "compression": 10_000_000 / memory,
        "seed": 1,
        "threads": 2,
        "steps": 100,
        **fields,
    }


@pytest.fixture
def make_run(tmp_path):
    """Writes a run's folder; ... leaves a file out."""

    def make(name, method="elastic", auc=0.7, lines=None, summary=None, config=None, *, data="f.parquet"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        lines = [metrics_line(step) for step in range(10, 110, 10)] if lines is None else lines
        config = (
            f'[data]\ntrain = ["{data}"]\n[embedding]\nmethod = "{method}"\nbudget = 0.1\n'
            if config is None
            else config
        )
        if lines is not ...:
            (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        if summary is not ...:
            (folder / "summary.json").write_text(json.dumps(summary or summary_of(method, auc)))
        if config is not ...:
            (folder / "config.toml").write_text(config)
        return folder

    return make


CSV_HEADER = "method,budget,seed,auc,log_loss,normalized_entropy,memory_bytes,full_bytes,examples_per_second\n"


@pytest.fixture
def make_sweep(tmp_path):
    def make(body, header=CSV_HEADER):
        folder = tmp_path / "sweep"
        folder.mkdir()
        (folder / "results.csv").write_text(header + body)
        return folder

    return make


class Page(html.parser.HTMLParser):
    """Collects what a page loads, its visible text, and tags that are not closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.loads, self.words, self.cells, self.scripts = [], [], [], [], 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.scripts += tag == "script"
        self.loads += [value for name, value in attributes if name in ("src", "href", "srcset", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] in ("script", "style"):
            return
        self.words.append(data)
        if self.open[-1] in ("td", "th"):
            self.cells.append(data)

    @property
    def text(self):
        return " ".join(self.words)


def page_of(*folders):
    text = report.make_page(list(folders))
    page = Page(text)
    assert page.open == []
    return text, page


def test_a_page_of_one_run_is_whole_and_loads_nothing(make_run):
    text, page = page_of(make_run("run1"))
    assert text.startswith("<!DOCTYPE html>")
    assert page.loads == []
    assert not re.search(r"@import|url\(\s*['\"]?http", report.STYLE)
    assert text.count("Plotly.newPlot(") == len(plots.run_figures([runs.read_run(make_run("run2"))])) + 1
    assert text.count("* plotly.js v") == 1, "plotly's JavaScript is there once"
    assert page.scripts == 1 + text.count("Plotly.newPlot(")


def test_the_table_shows_the_summary(make_run):
    _, page = page_of(make_run("run1", auc=0.71234))
    for cell in ("run1", "elastic", "0.7123", "0.2877", "123,457", "976.6 KiB", "10.00%", "9.5 MiB"):
        assert cell in page.cells


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
    assert [(row["method"], row["budget"]) for row in sweep.rows] == [("elastic", "0.1"), ("full", "")]
    _, page = page_of(tmp_path / "grid")
    assert "0.7200" in page.cells


def broken(folder, name, text):
    (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("metrics.jsonl", '{"step": 1}\n{"step": 2, "loss": 0.5\n{"step": 3}\n', "metrics.jsonl, line 2"),
        ("metrics.jsonl", "[1, 2]\n", "wanted a JSON object"),
        ("metrics.jsonl", '{"loss": 0.5}\n', '"step" is missing'),
        ("metrics.jsonl", '{"step": null}\n', '"step" is missing'),
        ("metrics.jsonl", '{"step": 1, "loss": "low"}\n', '"loss" must be a number, got "low"'),
        ("metrics.jsonl", '{"step": 1, "auc": true}\n', '"auc" must be a number, got true'),
        ("metrics.jsonl", '{"step": 1, "memory_parts": [1]}\n', '"memory_parts" must be a JSON object'),
        ("metrics.jsonl", '{"step": 1, "rows_by_width": {}}\n', '"rows_by_width" must be a JSON list'),
        ("metrics.jsonl", '{"step": 1, "rows_by_width": [1, "x"]}\n', '"rows_by_width" must hold whole numbers'),
        ("metrics.jsonl", '{"step": 1, "memory_parts": {"pool": -1}}\n', '"memory_parts" must hold whole numbers'),
        ("summary.json", '{\n"auc": \n}', "summary.json, line 3"),
        ("summary.json", "[]", "wanted a JSON object"),
        ("config.toml", "[data\n", "not TOML"),
    ],
)
def test_a_broken_file_is_named_with_its_line(make_run, name, text, complaint):
    with pytest.raises(runs.ReportError) as problem:
        runs.read_folder(broken(make_run("run"), name, text))
    assert complaint in str(problem.value)
    assert name in str(problem.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NUMBER = st.none() | st.integers(-9, 10**15) | st.floats()
LINE = st.fixed_dictionaries(
    {"step": st.integers(0, 10**9) | JSON},
    optional={
        **{name: NUMBER | JSON for name in runs.NUMBERS if name != "step"},
        "memory_parts": st.dictionaries(st.text(), NUMBER | JSON, max_size=3) | JSON,
        "rows_by_width": st.lists(NUMBER | JSON, max_size=4) | JSON,
    },
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.text() | JSON.map(json.dumps) | LINE.map(json.dumps))
def test_any_line_is_metrics_or_an_error_that_names_it(text):
    try:
        line = runs.parse_line(text, Path("metrics.jsonl"), 7)
    except runs.ReportError as problem:
        assert "metrics.jsonl, line 7" in str(problem)
    else:
        assert line["step"] is not None
        run = runs.Run(Path("run"), [line], {}, {}, label="run")
        assert plots.run_figures([run]) is not None
        assert plots.memory_by_part([run]) is not None


def test_a_metrics_file_that_is_not_text_is_named(make_run):
    folder = make_run("run")
    (folder / "metrics.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(runs.ReportError, match=r"cannot read the file.*metrics\.jsonl"):
        runs.read_folder(folder)


@pytest.mark.parametrize(
    ("header", "body", "complaint"),
    [
        ("method,budget,seed\n", "full,1,1\n", "columns are missing: auc, log_loss, memory_bytes"),
        (CSV_HEADER, "", "there are no rows"),
        (CSV_HEADER, "full,1,1,high,0.5,0.9,1,1,1\n", "results.csv, line 2, mend the line"),
        (CSV_HEADER, "full,1,1,0.7\n", "wanted 9 fields"),
        (CSV_HEADER, "full,1,1,0.7,0.5,0.9,1,1,1,1\n", "wanted 9 fields"),
    ],
)
def test_a_broken_sweep_is_named(make_sweep, header, body, complaint):
    with pytest.raises(runs.ReportError) as problem:
        runs.read_folder(make_sweep(body, header))
    assert complaint in str(problem.value)
    assert "results.csv" in str(problem.value)


def test_a_sweep_without_any_result_is_an_error(make_sweep):
    with pytest.raises(runs.ReportError, match="no run of the sweep has an AUC"):
        report.make_page([make_sweep("full,1,1,,,,1,1,1\n")])


def test_folders_that_are_no_runs_are_errors(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for name, complaint in (("absent", "no such folder"), ("file", "found a file"), ("empty", "holds no run")):
        with pytest.raises(runs.ReportError, match=complaint):
            runs.read_folder(tmp_path / name)


def test_the_command_writes_the_page_and_prints_its_path(make_run, tmp_path, capsys):
    assert report.main([str(make_run("run"))]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'run' / 'report.html'}\n"
    out = tmp_path / "deep" / "page.html"
    assert report.main([str(tmp_path / "run"), "--out", str(out)]) == 0
    assert out.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert [path.name for path in out.parent.iterdir()] == ["page.html"]


def test_the_command_says_in_one_line_what_is_wrong_and_writes_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "taut.report", str(tmp_path / "absent"), "--out", str(tmp_path / "page.html")],
        capture_output=True,
        text=True,
        cwd=ROOT / "python",
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"error: there is no such folder, .*absent, name the folder of a run or of a sweep\n", done.stderr
    )
    assert not (tmp_path / "page.html").exists()


def test_a_page_that_cannot_be_written_is_an_error(make_run, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert report.main([str(make_run("run")), "--out", str(tmp_path / "file" / "page.html")]) == 2
    assert "error: cannot write the page" in capsys.readouterr().err


def image_line(step, rates=(0.3, 0.5), **fields):
    line = {"step": step, "examples": step * 128, "seconds": step / 10, "loss": 2 / step, "top1": 0.4 + step / 200}
    return {**line, "winner_rates": list(rates), "pruned_share": 0.5 * step / 100, **fields}


def image_summary(top1=0.75, **fields):
    layer = {"multiply_adds": 4e6, "weight_density": 0.5, "output_density": 1.0}
    site = {"never": 0.1, "always": 0.2, "entropy_bits": 0.6}
    return {
        "task": "image",
        "model": "vgg-small",
        "top1": top1,
        "log_loss": 1 - top1,
        "layers": [
            {"layer": "conv1", "input_density": 1.0, **layer},
            {"layer": "conv2", "input_density": 0.3, **layer},
        ],
        "sites": [
            {"layer": "relu1", "natural_density": 0.6, "density": 0.3, **site},
            {"layer": "relu2", "natural_density": 0.7, "density": 0.5, **site},
        ],
        "multiply_adds": {"dense": 8e6, "needed": 2.6e6},
        "winner_rates": [0.3, 0.5],
        "pruned_share": 0.5,
        "parameters": 180_000,
        "seed": 1,
        "steps": 100,
        **fields,
    }


@pytest.fixture
def make_image_run(make_run):
    def make(name, summary=None, lines=None, data="/data/cifar10"):
        lines = [image_line(step) for step in range(10, 110, 10)] if lines is None else lines
        config = f'task = "image"\n[data]\ntrain = ["{data}"]\n[model]\nkind = "vgg-small"\nunit = "position"\n'
        return make_run(name, lines=lines, summary=summary or image_summary(), config=config)

    return make


def test_a_network_for_images_has_a_table_of_its_own(make_image_run):
    text, page = page_of(make_image_run("net"))
    for cell in ("net", "vgg-small", "position", "75.00%", "0.2500", "8 M", "2.6 M", "32.5%", "0.4", "50.0%", "180 k"):
        assert cell in page.cells, cell
    assert "AUC" not in page.cells
    run = runs.read_run(make_image_run("again"))
    drawn = len(image_plots.training_figures([run])) + len(image_plots.layer_figures([run]))
    assert drawn == 9
    assert text.count("Plotly.newPlot(") == drawn


def test_every_image_plot_is_drawn_from_its_field(make_image_run):
    members = [runs.read_run(make_image_run(name)) for name in ("a", "b")]
    by_step = {figure.layout.title.text: figure for figure in image_plots.training_figures(members)}
    assert [trace.name for trace in by_step["Winner rate"].data] == ["a", "b"]
    assert by_step["Winner rate"].data[0].y[-1] == pytest.approx(0.4)
    assert by_step["Winner rate"].data[0].customdata[0] == pytest.approx((0.3, 0.5))
    assert by_step["Top-1 while training"].data[0].y[-1] == pytest.approx(90)
    assert by_step["Training loss"].data[0].y[0] == pytest.approx(0.2)
    assert by_step["Pruned weights"].data[0].y[-1] == pytest.approx(50)
    assert by_step["Training speed"].data[0].y[0] == pytest.approx(1280)
    by_layer = {figure.layout.title.text: figure for figure in image_plots.layer_figures(members)}
    drawn = {
        title: {trace.name: list(trace.y) for trace in figure.data if trace.name.startswith("a: ")}
        for title, figure in by_layer.items()
    }
    assert drawn == {
        "Values that are not zero, by place": {"a: natural": [60, 70], "a: after winners": [30, 50]},
        "Channels that never or always win, by place": {"a: never": [10, 10], "a: always": [20, 20]},
        "How much winners change from input to input, by place": {"a: entropy": [0.6, 0.6]},
        "Multiply-adds by layer": {"a: dense": [4, 4], "a: needed": [2, 0.6]},
    }
    assert list(by_layer["Multiply-adds by layer"].data[0].x) == ["conv1", "conv2"]


def test_recommenders_and_networks_for_images_share_a_page(make_run, make_image_run):
    folders = [make_run("ctr", data="same"), make_image_run("net", data="same"), make_image_run("b/net", data="other")]
    _, page = page_of(*folders)
    for cell in ("0.7000", "75.00%", "elastic", "vgg-small", "AUC", "top-1"):
        assert cell in page.cells, cell
    groups = runs.group_runs([runs.read_run(folder) for folder in folders])
    assert sorted(len(members) for members in groups.values()) == [1, 1, 1]


def test_a_folder_of_both_tasks_is_a_sweep_and_runs(make_run, make_image_run, tmp_path):
    make_run("both/ctr")
    make_image_run("both/net")
    image, sweep = runs.read_folder(tmp_path / "both")
    assert image.is_image
    assert [row["method"] for row in sweep.rows] == ["elastic"]
    _, page = page_of(tmp_path / "both")
    assert "0.7000" in page.cells
    assert "75.00%" in page.cells


def test_an_image_run_that_has_not_ended_is_shown_with_a_note(make_image_run):
    folder = make_image_run("net")
    (folder / "summary.json").unlink()
    _, page = page_of(folder)
    assert "the run has not ended" in page.text
    assert "vgg-small" in page.cells


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"layers": {}}, '"layers" must be a JSON list of objects'),
        ({"sites": [1]}, '"sites" must be a JSON list of objects'),
        ({"layers": [{"multiply_adds": 1}]}, "summary.json, layers[0]"),
        ({"sites": [{"layer": "relu1", "natural_density": "half"}]}, '"natural_density" must be a number'),
        ({"multiply_adds": {"dense": 1}}, '"multiply_adds" must hold the numbers'),
        ({"winner_rates": [2]}, '"winner_rates" must be a JSON list of numbers from 0 to 1'),
    ],
)
def test_a_broken_image_summary_is_named(make_image_run, fields, complaint):
    with pytest.raises(runs.ReportError) as problem:
        runs.read_folder(make_image_run("net", summary=image_summary(**fields)))
    assert complaint in str(problem.value)
    assert "summary.json" in str(problem.value)


@pytest.mark.parametrize("rates", [0.3, ["x"], [True], [-0.1], [float("nan")]])
def test_broken_winner_rates_are_named_with_their_line(make_image_run, rates):
    lines = [image_line(1), image_line(2) | {"winner_rates": rates}]
    with pytest.raises(runs.ReportError, match=r"winner_rates.*metrics\.jsonl, line 2"):
        runs.read_folder(make_image_run("net", lines=lines))
