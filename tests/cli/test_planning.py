"""taut plan, simulate, figures, and the layers of a model."""

import json
import re

import pytest


def test_plan_gives_the_layers_splits_costs_and_reasons(taut):
    plan = taut("plan", "lenet-c", "--json").json
    assert plan["optimal"]
    assert plan["bytes_per_step"] == 4 * 2994360
    assert [layer["name"] for layer in plan["layers"]] == ["conv1", "conv2", "fc1", "fc2", "loss"]
    assert all(len(layer["splits"]) == 4 and len(layer["bytes_by_level"]) == 4 for layer in plan["layers"])
    assert plan["layers"][0]["runner_up"]["extra_seconds"] > 0
    total = sum(layer["inside_bytes"] + layer["boundary_bytes"] for layer in plan["layers"])
    assert total == pytest.approx(plan["bytes_per_step"])


def test_hypar_with_its_own_table_moves_the_published_bytes(taut):
    plan = taut("plan", "vgg-a", "--method", "hypar", "--cost", "fig", "--objective", "words", "--json").json
    assert plan["bytes_per_step"] == 4 * 367180416


def test_a_search_that_ends_at_its_cap_says_its_bound_and_the_cap(taut):
    arguments = ("plan", "densenet-121", "--accelerators", "64", "--batch", "64")
    plan = taut(*arguments, "--json").json
    assert not plan["optimal"]
    assert 0 < plan["gap"] < 0.01
    assert plan["objective"] == pytest.approx((1 + plan["gap"]) * plan["lower_bound"])
    assert plan["search_limits"] == {"additions": 1e9, "table_bytes": 256 * 2**20}
    text = taut(*arguments).out
    assert "% of the least possible" in text
    assert "a search ends at 1e+09 additions and 256.0 MiB of tables" in text
    assert "a search ends" not in taut("plan", "densenet-121", "--accelerators", "16", "--batch", "64").out


def test_several_methods_are_compared_and_those_without_a_plan_are_named(taut):
    result = taut("plan", "lenet-c", "--method", "exact,dp,mp", "--json")
    assert [method["method"] for method in result.json["methods"]] == ["exact", "dp"]
    assert "conv1" in result.json["methods_without_plan"][0]["reason"]


def test_without_json_a_table_says_the_same(taut):
    text = taut("plan", "lenet-c").out
    assert "runner-up" in text
    assert "optimal" in text


def test_redistributions_add_up_to_the_bytes_of_the_plan(taut):
    plan = taut("plan", "resnet-18", "--batch", "32", "--redistributions", "--json").json
    moved = sum(move["bytes"] for move in plan["redistributions"])
    assert moved == pytest.approx(plan["bytes_per_step"])


def test_a_plan_is_evaluated_beside_the_methods(taut, tmp_path):
    best = taut("plan", "lenet-c", "--json").json
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(best))
    again = taut("plan", "lenet-c", "--evaluate", path, "--method", "dp", "--json").json
    assert again["method"] == "given" and again["guarantee"] == "as given"
    assert again["objective"] == pytest.approx(best["objective"])
    assert [one["method"] for one in again["methods"]] == ["given", "dp"]
    best["layers"][0]["name"] = "conv0"
    path.write_text(json.dumps(best))
    refused = taut("plan", "lenet-c", "--evaluate", path, check=False)
    assert refused.code == 2 and "the plan has no layer conv1" in refused.err


def test_layers_choose_their_sharding_where_memory_is_capped(taut, tmp_path):
    def plan(shard, *options):
        model = ("gpt2-small", "--accelerators", "16", "--optimizer", "adam", "--shard", shard)
        return taut("plan", *model, *options, "--json", check=False)

    cap = ("--memory-cap", "6500MiB")
    by_layer = plan("auto", *cap).json
    assert by_layer["memory_bytes"] <= 6500 * 2**20
    for stage in ("gradients", "weights"):
        assert by_layer["objective"] < plan(stage, *cap).json["objective"]
    gathers = [layer["gathers"] for layer in by_layer["layers"]]
    assert any(gathers) and not all(gathers)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(by_layer))
    assert plan("auto", "--evaluate", path).json["objective"] == pytest.approx(by_layer["objective"])
    path.write_text(json.dumps({"layers": [{**by_layer["layers"][0], "gathers": 1}]}))
    assert plan("auto", "--evaluate", path).code == 2


def test_memory_is_counted_as_training_uses_it(taut):
    def plan(*options):
        model = ("gpt2-small", "--accelerators", "8", "--batch", "64", "--method", "dp")
        return taut("plan", *model, *options, "--json").json

    def moved(result):  # rows of tables travel as they are
        return result["bytes_per_step"] - result["tables"]["exchange_bytes_per_step"]

    adam, sharded, whole = plan("--optimizer", "adam"), plan("--optimizer", "adam", "--shard", "optimizer"), plan()
    assert sharded["bytes_per_step"] == adam["bytes_per_step"] == whole["bytes_per_step"]
    assert sharded["memory_bytes"] < whole["memory_bytes"] < adam["memory_bytes"]
    gathered = plan("--optimizer", "adam", "--shard", "weights")
    assert moved(gathered) == pytest.approx(1.5 * moved(adam))
    small = plan("--precision", "mixed", "--recompute", "cheap", "--accumulate", "4")
    assert moved(small) == pytest.approx(moved(whole) / 2)
    assert small["training"]["accumulate"] == 4 and small["memory_bytes"] < whole["memory_bytes"]


def test_constraints_hold_and_are_priced(taut):
    free = taut("plan", "lenet-c", "--json").json
    plan = taut("plan", "lenet-c", "--fix", "fc*=I@1,conv2=I I I II", "--forbid", "III", "--json").json
    splits = {layer["name"]: layer["splits"] for layer in plan["layers"]}
    assert splits["conv2"] == ["I", "I", "I", "II"] and splits["fc1"][0] == splits["fc2"][0] == "I"
    assert not any("III" in layer for layer in splits.values())
    costs = {one["constraint"]: one["extra_seconds"] for one in plan["constraints"]}
    assert costs["all"] == pytest.approx(plan["objective"] - free["objective"])
    assert 0 <= costs["not *=III"] <= costs["all"] * (1 + 1e-9)
    text = taut("plan", "lenet-c", "--fix", "fc1=I").out
    assert "constraint" in text and "adds" in text
    assert taut("plan", "lenet-c", "--forbid", "loss=I", check=False).code == 1


def test_layers_stay_whole_where_that_is_asked_for_and_faster(taut, tmp_path):
    def plan(*options, **keywords):
        return taut("plan", "dlrm", "--accelerators", "4", *options, "--json", **keywords)

    plain, whole = plan().json, plan("--replicate").json
    assert whole["replicate"] and not plain["replicate"]
    kept = {layer["name"] for layer in whole["layers"] if "R" in layer["splits"]}
    assert kept and "interact" not in kept, "tables enter there"
    assert whole["seconds_per_step"] < plain["seconds_per_step"] and whole["optimal"]
    assert whole["compute_seconds"] > plain["compute_seconds"]
    added = whole["compute_seconds"] - plain["compute_seconds"]
    assert whole["objective"] == pytest.approx(whole["communication_seconds"] + added)
    assert " R R " in taut("plan", "dlrm", "--accelerators", "4", "--replicate").out
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(whole))
    again = plan("--replicate", "--evaluate", path).json
    assert again["objective"] == whole["objective"] and again["method"] == "given"
    refused = plan("--evaluate", path, check=False)
    assert refused.code == 2 and "stays whole (R) at a level" in refused.err
    forbidden = plan("--replicate", "--forbid", "R").json
    assert forbidden["objective"] == pytest.approx(plain["objective"])
    step = taut("simulate", "dlrm", "--accelerators", "4", "--replicate", "--json").json
    assert step["seconds"] <= whole["seconds_per_step"]


def test_no_plan_in_memory_exits_1_with_the_least_bytes(taut):
    result = taut("plan", "vgg-e", "--memory-cap", "10MiB", "--json", check=False)
    assert result.code == 1
    assert result.json["plan"] is None
    assert result.json["least_memory_bytes"] > 10 * 2**20
    fits = str(int(result.json["least_memory_bytes"]) + 1)
    assert taut("plan", "vgg-e", "--memory-cap", fits, "--json").code == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["plan", "lenett"], "lenet"),
        (["plan", "lenet-c", "--accelerators", "12", "--topology", "ring"], "8 and 16"),
        (["plan", "lenet-c", "--accelerators", "12", "--cost", "fig"], "levels of 3"),
        (["plan", "lenet-c", "--accelerators", "0"], "--accelerators"),
        (["plan", "lenet-c", "--batch", "8"], "got 8"),
        (["plan", "lenet-c", "--method", "exakt"], "exact"),
        (["plan", "missing.onnx"], "missing.onnx"),
        (["plan", "missing.json"], "missing.json"),
        (["plan", "lenet-c", "--shard", "weigths"], "did you mean weights"),
        (["plan", "lenet-c", "--accumulate", "3"], "accumulate"),
        (["plan", "lenet-c", "--fix", "fc1=IV"], "no type IV"),
        (["plan", "lenet-c", "--fix", "fc3=I"], "no layer is called"),
        (["plan", "lenet-c", "--fix", "fc1=R"], "I, II, III, got R"),
        (["plan", "lenet-c", "--replicate", "--objective", "words"], "seconds or overlap"),
        (["plan", "lenet-c", "--replicate", "--cost", "fig"], "stay whole"),
        (["plan", "lenet-c", "--set", "macs=input"], "--cluster"),
        (["simulate", "lenet-c", "--links", "wires"], "port, levels"),
    ],
)
def test_mistakes_exit_2_with_one_line(taut, arguments, named):
    result = taut(*arguments, check=False)
    assert result.code == 2
    assert named in result.err
    assert result.err.count("\n") == 1


def test_what_another_split_would_add_has_one_sign(taut):
    """Beside a plan that nobody searched, others cost less."""
    told = taut("plan", "vgg-a", "--method", "dp", "--accelerators", 4).out
    assert re.search(r" -\d+(\.\d+)? [mun]?s$", told, re.MULTILINE)
    assert "+-" not in told
    assert "-0.00" not in told


def test_simulation_agrees_with_the_closed_form_and_writes_a_trace(taut, tmp_path):
    trace = tmp_path / "trace.json"
    step = taut("simulate", "alexnet", "--overlap", "--trace", trace, "--json").json
    assert step["seconds"] == pytest.approx(step["closed_form_overlapped_seconds"])
    assert step["joules"] == pytest.approx(sum(step["joules_by_part"].values()))
    events = json.loads(trace.read_text("utf-8"))["traceEvents"]
    last = max(event["ts"] + event["dur"] for event in events if event["ph"] == "X")
    assert last == pytest.approx(1e6 * step["seconds"])


def test_a_cluster_file_with_settings_over_it(taut, tmp_path):
    cluster = tmp_path / "cluster.toml"
    cluster.write_text('[[level]]\nname = "net"\nhalvings = 3\nbytes_per_second = 1e9\n', "utf-8")
    plan = taut("plan", "lenet-c", "--cluster", cluster, "--json").json
    assert plan["accelerators"] == 8
    faster = taut("plan", "lenet-c", "--cluster", cluster, "--set", "level.1.bytes_per_second=2e9", "--json").json
    assert faster["communication_seconds"] == pytest.approx(plan["communication_seconds"] / 2)


def test_figures_are_reproduced_in_one_page(taut, tmp_path):
    page = tmp_path / "figures.html"
    result = taut("figures", "--out", page, "--json").json
    assert result["equal_plans"] == 10
    assert all("model parallel" in one["what"] for one in result["differences"])
    text = page.read_text("utf-8")
    assert text.count("<svg") == 7
    assert "<script" not in text


def test_info_lists_the_layers_of_a_model(taut):
    info = taut("info", "resnet-50", "--json").json
    assert info["weights"] == 25502912
    assert len(info["layers"]) == 72
    assert "stage1_1_conv1" in taut("info", "resnet-50").out


def layer(name, op, inputs, before, after, **more):
    """One layer of a network.json, on features."""
    shapes = {"in": {"channels": before, "height": 1, "width": 1}, "out": {"channels": after, "height": 1, "width": 1}}
    rest = {"kernel": 1, "stride": 1, "padding": 0, "groups": 1, "bias": False, "heads": 1, "copied": 0, "tables": []}
    return {"name": name, "op": op, "inputs": inputs, "winner_site": -1, **shapes, **rest, **more}


@pytest.fixture
def run_folder(tmp_path):
    """A run whose network.json says what was measured."""
    tables = [{"name": "user", "rows": 1000, "dim": 8, "bytes": 5000}]
    rows = layer("embedding", "embedding", [], 8, 8, tables=[0])
    network = {
        "name": "small",
        "input": {"channels": 16, "height": 1, "width": 1},
        "layers": [
            layer("fc1", "linear", [-1], 16, 64, bias=True),
            layer("fc1_relu", "relu", [0], 64, 64, winner_site=0),
            layer("fc2", "linear", [1], 64, 8),
            rows,
            layer("sum", "add", [2, 3], 8, 8),
            layer("fc3", "linear", [4], 8, 4),
        ],
        "tables": tables,
        "winners": {"unit": "neuron", "score": "mean_magnitude", "block": 8, "rates": [0.5]},
        "densities": [0.25],
    }
    (tmp_path / "config.toml").write_text("[data]\n", "utf-8")
    (tmp_path / "network.json").write_text(json.dumps(network), "utf-8")
    return tmp_path


def test_a_run_is_planned_with_its_winners_and_its_tables_bytes(taut, run_folder):
    plan = taut("plan", run_folder, "--json").json
    assert [layer["name"] for layer in plan["layers"]] == ["fc1", "fc2", "embedding", "sum", "fc3", "loss"]
    assert plan["tables"]["bytes"] == 5000
    step = taut("simulate", run_folder, "--json").json
    assert step["model"] == "small"


def test_info_of_a_run_shows_its_network_beside_the_rest(taut, run_folder):
    info = taut("info", run_folder, "--json").json
    assert info["kind"] == "run"
    assert info["network"]["parameters"] == 16 * 64 + 64 + 64 * 8 + 8 * 4
    assert info["network"]["tables"] == [{"name": "user", "rows": 1000, "dim": 8, "bytes": 5000}]
    text = taut("info", run_folder).out
    assert "fc1_relu" in text
    assert "0.25" in text


def test_a_share_of_tables_is_that_of_the_memory_budget(taut):
    rows = sum(table["rows"] for table in taut("info", "dlrm", "--json").json["tables"])
    plan = taut("plan", "dlrm", "--table-budget", "1/10", "--json").json
    assert plan["tables"]["bytes"] == pytest.approx(rows * (4 * 128 + 4) / 10, abs=1)


def test_alexnet_is_the_whole_network_and_the_tower_has_a_name_of_its_own(taut):
    assert taut("info", "alexnet", "--json").json["weights"] == 62367776
    assert taut("info", "alexnet-tower", "--json").json["weights"] == 16624656
