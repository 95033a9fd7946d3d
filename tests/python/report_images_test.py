"""Reports of networks for images."""

from pathlib import Path

import pytest
from report_support import image_line, image_summary, page_of

from taut import image_plots, runs

ROOT = Path(__file__).resolve().parents[2]


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
    assert image.task == "image"
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
