"""One network for each task: what one command writes, all others read."""

import json
import re

import pytest

BATCH = ("--batch", "4096", "--accelerators", "4", "--json")


class Trained:
    """A run, its config and its package."""

    def __init__(self, taut, folder, config, settings=()):
        self.config = folder / config
        self.run = folder / f"{config}-run"
        self.package = folder / f"{config}.taut"
        self.settings = [word for setting in settings for word in ("--set", setting)]
        self.summary = taut("train", self.config, "--out", self.run, *self.settings, "--json").json
        self.exported = taut("export", self.run, self.package, "--json").json

    @property
    def network(self):
        return json.loads((self.run / "network.json").read_text("utf-8"))


@pytest.fixture
def clicks(taut, workspace):
    return Trained(taut, workspace, "ctr.toml", ["model.winner_rate=0.3", "embedding.budget='1/10'"])


@pytest.fixture
def images(taut, image_workspace):
    return Trained(taut, image_workspace, "images.toml")


@pytest.fixture(params=["clicks", "images"])
def trained(request):
    return request.getfixturevalue(request.param)


def shape_of(plan):
    """What a plan says of the network alone."""
    return [(layer["name"], len(layer["splits"])) for layer in plan["layers"]]


def test_config_run_and_package_are_one_network(taut, trained):
    plans = [
        taut("plan", trained.config, *trained.settings, *BATCH).json,
        taut("plan", trained.run, *BATCH).json,
        taut("plan", trained.package, *BATCH).json,
    ]
    assert plans[0]["layers"]
    assert [shape_of(plan) for plan in plans[1:]] == [shape_of(plans[0])] * 2
    assert plans[1]["bytes_per_step"] == plans[2]["bytes_per_step"]
    steps = [
        taut("simulate", source, "--batch", "4096", "--accelerators", "4", "--json").json
        for source in (trained.run, trained.package)
    ]
    assert steps[0]["seconds"] == steps[1]["seconds"] > 0


def test_an_onnx_file_of_ours_is_planned_as_its_run_and_its_package(taut, images):
    """Winners as measured, and the names of all layers, the last one's too."""
    model = images.run.parent / "images.onnx"
    taut("export", images.run, model)
    sources = (images.run, images.package, model)
    first, *others = [taut("plan", source, *BATCH).json for source in sources]
    assert others == [first, first]
    first, *others = [taut("plan", source, *BATCH[:-1]).out for source in sources]
    assert others == [first, first]
    first, *others = [taut("info", source, "--json").json["network"] for source in sources]
    assert others == [first, first]
    assert first["measured"]


def test_info_shows_a_network_in_one_table_whatever_it_comes_from(taut, trained):
    model = trained.run.parent / "model.onnx"
    taut("export", trained.run, model)
    heads = set()
    for source in (trained.config, trained.run, trained.package, model, "lenet-c"):
        if source == model and trained.summary["task"] == "ctr":
            continue  # two inputs: nodes, no network
        head = next(line for line in taut("info", source).out.splitlines() if line.startswith("layer "))
        heads.add(" ".join(head.split()))
    assert heads == {"layer op output parameters multiply-adds not zero"}


def test_a_config_is_one_by_what_it_holds(taut, clicks):
    text = clicks.config.read_text("utf-8")
    wanted = taut("plan", clicks.config, *BATCH).json
    for name, spelled in (("ctr.conf", text), ("spelled.toml", text.replace("[data]", "[ data ]"))):
        path = clicks.config.with_name(name)
        path.write_text(spelled, "utf-8")
        assert taut("plan", path, *BATCH).json == wanted


def test_numbers_for_people_have_fixed_digits(taut, images):
    again = taut("train", images.config, "--out", images.run.with_name("again"))
    assert re.search(r"^speed: \d+ examples/s, \d+ examples in \d+\.\d\d s$", again.out, re.MULTILINE)
    assert re.search(r"^test: top-1 \d\.\d{4}, log loss \d+\.\d{4} \(\d+ examples\)$", again.out, re.MULTILINE)
    assert re.search(r"epoch 1: valid top-1 \d\.\d{4}, log loss \d+\.\d{4}$", again.err, re.MULTILINE)
    told = taut("eval", images.run).out
    assert f"top-1 {images.summary['test']['top1']:.4f}, " in told


def test_a_run_keeps_what_its_winners_were_measured_to_be(trained):
    network = trained.network
    sites = [layer for layer in network["layers"] if layer["winner_site"] >= 0]
    assert len(network["densities"]) == len(network["winners"]["rates"]) == len(sites) > 0
    for layer, density in zip(sites, network["densities"], strict=True):
        out = layer["out"]
        rate = network["winners"]["rates"][layer["winner_site"]]
        chosen_among = out["channels"]  # positions and neurons choose among channels
        assert 0 < density <= max(1, -(-rate * chosen_among // 1)) / chosen_among + 1e-9


def test_plans_of_a_run_move_fewer_bytes_for_its_winners(taut, trained):
    """Type III for all sends every layer's output, so measured winners must show."""
    sparse = taut("plan", trained.run, *BATCH, "--objective", "words").json
    network = trained.network
    network["densities"], network["winners"]["rates"] = [], []
    (trained.run / "network.json").write_text(json.dumps(network))
    dense = taut("plan", trained.run, *BATCH, "--objective", "words").json
    assert sparse["bytes_per_step"] <= dense["bytes_per_step"]
    low = taut("plan", trained.run, *BATCH, "--objective", "words", "--density", "0.1").json
    assert low["bytes_per_step"] <= dense["bytes_per_step"]


def test_tables_of_a_run_are_planned_with_the_bytes_that_they_hold(taut, clicks):
    memory = clicks.summary["memory_bytes"]
    assert sum(table["bytes"] for table in clicks.network["tables"]) == memory < clicks.summary["full_bytes"]
    for source in (clicks.run, clicks.package):
        tables = taut("plan", source, *BATCH).json["tables"]
        assert tables["bytes"] == pytest.approx(memory)
    info = taut("info", clicks.run, "--json").json["network"]
    assert {table["name"]: table["rows"] for table in info["tables"]} == {"c_user": 50, "c_item": 300}
    assert info["table_bytes"] == memory


@pytest.mark.parametrize("share", ["1/10", "1/3"])
def test_a_table_budget_means_the_bytes_that_a_memory_budget_means(taut, workspace, share):
    run = workspace / "run"
    budget = ("--memory-budget", share, "--set", "embedding.method=hash")
    trained = taut("train", workspace / "ctr.toml", "--out", run, *budget, "--json").json
    config = (workspace / "ctr.toml").read_text().replace('budget = "32KiB"', 'budget = "1"')
    (workspace / "whole.toml").write_text(config)
    planned = taut("plan", workspace / "whole.toml", *BATCH, "--table-budget", share).json
    assert planned["tables"]["bytes"] == pytest.approx(trained["budget_bytes"], abs=1)


def test_info_of_run_and_package_tells_of_the_same_layers(taut, trained):
    run = taut("info", trained.run, "--json").json["network"]
    package = taut("info", trained.package, "--json").json["network"]
    assert run["layers"] == package["layers"]
    assert run["measured"] and package["measured"]
    counted = trained.summary.get("parameters", trained.summary.get("dense_parameters"))
    assert run["parameters"] == counted
    for source in (trained.run, trained.package):
        text = taut("info", source).out
        assert "multiply-adds an example" in text
        assert all(layer["name"] in text for layer in run["layers"])


def test_package_and_run_are_of_one_quality(taut, trained):
    run = taut("eval", trained.run, "--json").json
    package = taut("eval", trained.package, "--json").json
    for measure in set(run) & {"auc", "log_loss", "normalized_entropy", "top1"}:
        assert package[measure] == pytest.approx(run[measure], abs=1e-5), measure
    assert package["examples"] == run["examples"]
    first = "auc" if "auc" in run else "top1"
    assert run[first] == trained.summary["test"][first] == trained.summary[first]


def test_summaries_name_their_task_and_checkpoints_are_of_one_kind(taut, clicks, images):
    assert (clicks.summary["task"], images.summary["task"]) == ("ctr", "image")
    kinds = set()
    for trained in (clicks, images):
        newest = sorted((trained.run / "checkpoint").glob("step-*.taut"))[-1]
        kinds.add(taut("info", newest, "--json").json["kind"])
        assert taut("info", trained.package, "--json").json["kind"] == "package"
    assert kinds == {"ckpt"}


def test_a_name_of_the_zoo_is_the_network_that_training_makes(taut, image_workspace):
    """lenet-c by name has 28 x 28 images; by config those of the data. Both are one list of layers."""
    config = (image_workspace / "images.toml").read_text().replace("width = 0.2", "")
    (image_workspace / "whole.toml").write_text(config.replace("winner_rate = 0.5", ""))
    by_name = taut("plan", "cifar-c", *BATCH).json
    by_config = taut("plan", image_workspace / "whole.toml", *BATCH).json
    assert [layer["name"] for layer in by_config["layers"]] == [layer["name"] for layer in by_name["layers"]]


def test_what_a_task_cannot_do_is_one_line(taut, clicks, images, tmp_path):
    for arguments, named in (
        (("tune", clicks.run), "tune"),
        (("dump", images.run, tmp_path / "rows.parquet"), "dump"),
        (("sweep", images.config, "--out", tmp_path / "sweep"), "sweep"),
    ):
        refused = taut(*arguments, check=False)
        assert refused.code == 2, arguments
        assert refused.err.count("\n") == 1
        assert named in refused.err
    assert 'give one of task "image"' in taut("tune", clicks.run, check=False).err
    assert 'give one of task "ctr"' in taut("dump", images.run, tmp_path / "rows.parquet", check=False).err
