"""Plans of PyTorch modules: layers, counts, parameters, what is refused."""

import json

import plan_models
import pytest
import torch
from torch import nn
from torch.nn import functional

import taut
from taut import _traced_rules

MODELS = ["mlp", "gpt", "llama", "resnet", "dlrm"]


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_has_a_layer_and_every_sample_is_counted(name):
    model, inputs = plan_models.example(name)
    trace = _traced_rules.trace(model, inputs)
    owned = {parameter for layer in trace.layers for parameter in layer.parameters}
    assert owned == dict(model.named_parameters()).keys()
    assert sum(layer.weights for layer in trace.layers) == sum(one.numel() for one in model.parameters())
    twice = _traced_rules.trace(*plan_models.example(name, batch=16)).cost_graph("twice")
    assert twice["nodes"] == trace.cost_graph("once")["nodes"]  # counts are of a sample


def test_counts_of_a_small_network_by_hand():
    model = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 6))
    graph = _traced_rules.trace(model, torch.zeros(2, 4, 8, 8)).cost_graph("it")
    conv, fc, loss = graph["nodes"]
    assert (conv["weights"], conv["macs"], conv["in_words"], conv["raw_words"]) == (296, 4 * 8 * 9 * 64, 256, 512)
    assert (fc["op"], fc["weights"], fc["macs"], fc["in_words"]) == ("fc", 774, 768, 128)
    assert (fc["in_channels"], fc["out_channels"]) == (8, 6)  # 8 maps of 16 values each
    assert loss["kind"] == "batch only"
    assert [(edge["words"], edge["raw_words"]) for edge in graph["edges"]] == [(128, 512), (6, 6)]


def test_products_by_turned_weights_are_layers():
    """GPT-2 of Hugging Face keeps [in, out]; others multiply by a transposed matrix."""

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Parameter(torch.randn(8, 16))
            self.bias = nn.Parameter(torch.randn(16))
            self.second = nn.Parameter(torch.randn(4, 16))

        def forward(self, x):
            return functional.relu(torch.addmm(self.bias, x, self.first)) @ self.second.t()

    plan = taut.plan(Both(), torch.randn(4, 8), accelerators=2)
    assert plan.parameters["first"]["dims"] == {"II": 0, "III": 1}
    assert plan.parameters["bias"]["dims"] == {"III": 0}
    assert plan.parameters["second"]["dims"] == {"II": 1, "III": 0}


def test_heads_stay_whole():
    model, inputs = plan_models.example("llama")
    layers = {layer.name: layer for layer in _traced_rules.trace(model, inputs).layers}
    assert layers["blocks.0.attention.q"].out_channels == 4
    assert layers["blocks.0.attention.k"].out_channels == 2
    assert layers["blocks.0.attention.matmul"].kind == "elementwise"
    assert layers["blocks.0.attention.matmul"].in_channels == 2
    assert layers["blocks.0.gate"].out_channels == 64


def test_elastic_bags_are_tables():
    bags = [taut.ElasticEmbeddingBag(32, 8, mode="sum", memory_budget="1/2") for _ in range(2)]
    model = plan_models.Dlrm(bags)
    _, inputs = plan_models.example("dlrm")
    plan = taut.plan(model, inputs, accelerators=4)
    assert len(plan.result["tables"]["accelerator"]) == 2
    assert 0 < plan.result["tables"]["bytes"] <= sum(bag.statistics()["memory_bytes"] for bag in bags)
    assert "bags.0.anchor" not in plan.parameters


class Reduced(nn.Module):
    """A reduction over positions, and one over channels."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x):
        y = self.second(self.first(x).mean(1))
        return self.last(y - y.amax(-1, keepdim=True))


def test_reductions_keep_channels_that_they_leave():
    layers = {layer.name: layer for layer in _traced_rules.trace(Reduced(), torch.randn(4, 6, 8)).layers}
    assert list(layers) == ["first", "second", "amax", "sub", "last", "loss"]
    assert layers["second"].reads[0].channel == 1 and layers["second"].in_channels == 16
    assert layers["amax"].kind == "batch only" and layers["amax"].reads[0].source == "second"


def test_all_that_is_not_known_is_named_at_once():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x):
            y = torch.linalg.qr(self.fc(x).view(-1, 2, 2))[0].reshape(-1, 4)
            return torch.fft.fft(y).real

    with pytest.raises(taut.UnknownOperatorError, match=r"linalg_qr.*fft") as refused:
        taut.plan(Odd(), torch.randn(4, 4), accelerators=2)
    assert [name for name, _, _ in refused.value.operators] == ["linalg_qr", "fft_fft", "real"]


def test_plans_come_back_from_json_and_print(tmp_path):
    model, inputs = plan_models.example("mlp")
    plan = taut.plan(model, inputs, accelerators=4)
    assert plan.bytes_per_step > 0 and plan.seconds_per_step > 0 and plan.memory_bytes > 0
    plan.to_json(tmp_path / "plan.json")
    for again in (taut.Plan.from_json(tmp_path / "plan.json"), taut.Plan.from_json(plan.to_json())):
        assert again.result == plan.result and str(again) == str(plan)
    assert str(plan).splitlines()[1].split()[:2] == ["0", "fc"]
    assert "<td>fc</td>" in plan._repr_html_() and "4 accelerators" in repr(plan)
    for text, wrong in (('{"a": 1}', "no plan of version"), ("{", "is no plan"), ('{"taut_plan": 1}', "missing")):
        with pytest.raises(ValueError, match=wrong):
            taut.Plan.from_json(text)
    with pytest.raises(FileNotFoundError):
        taut.Plan.from_json(tmp_path / "none.json")


def test_the_examples_batch_is_the_plans_and_a_cluster_file_is_taken(tmp_path):
    model, inputs = plan_models.example("mlp")
    assert taut.plan(model, inputs, accelerators=2).result["batch"] == 8
    assert taut.plan(model, inputs, accelerators=2, batch=64).result["batch"] == 64
    cluster = tmp_path / "cluster.toml"
    cluster.write_text(
        "accelerators = 4\n[accelerator]\nmacs_per_second = 1e12\n[[level]]\nhalvings = 2\nbytes_per_second = 1e9\n"
    )
    assert taut.plan(model, inputs, cluster).accelerators == 4
    with pytest.raises(TypeError, match="example_inputs"):
        taut.plan("lenet-c", inputs)


def test_levels_of_a_mesh():
    model, inputs = plan_models.example("mlp")
    plan = taut.plan(model, inputs, accelerators=8, method="dp")
    assert plan.levels_of((2, 2, 2)) == [range(1), range(1, 2), range(2, 3)]
    assert plan.levels_of((4, 2)) == [range(2), range(2, 3)]
    assert plan.types_on((8,))["0"] == ["I"]
    with pytest.raises(ValueError, match="products of the plan's levels"):
        plan.levels_of((3, 3))
    mixed = json.loads(plan.to_json())
    mixed["layers"][0]["splits"] = ["I", "III", "I"]
    with pytest.raises(ValueError, match="layer 0 is split by I III on one dimension"):
        taut.Plan.from_json(json.dumps(mixed)).types_on((4, 2))


def test_counts_that_are_no_power_of_two_have_levels_of_their_factors():
    model, inputs = plan_models.mlp(width=96), torch.randn(24, 32)
    plan = taut.plan(model, inputs, accelerators=12)
    assert plan.result["factors"] == [2, 2, 3] and plan.result["accelerators"] == 12
    assert plan.levels_of((4, 3)) == [range(2), range(2, 3)] and plan.levels_of((12,)) == [range(3)]
    for name, splits in plan.splits.items():
        shape = {"0": (32, 96), "2": (96, 96), "4": (96, 8), "loss": (1, 1)}[name]
        cut = {"II": 1, "III": 1}
        for split, factor in zip(splits, (2, 2, 3), strict=True):
            if split in cut:
                cut[split] *= factor
        assert shape[0] % cut["II"] == 0 and shape[1] % cut["III"] == 0, name
    odd = taut.plan(plan_models.mlp(), inputs, accelerators=3)
    assert all(splits == ["I"] for splits in odd.splits.values())  # 32, 64 and 8 channels have no thirds
    heads = plan_models.Gpt(width=48, heads=6)
    trace = _traced_rules.trace(heads, torch.randint(0, 64, (12, 8)))
    layers = {layer.name: layer for layer in trace.layers}
    assert layers["blocks.0.up"].out_channels == 192 and layers["blocks.0.attention.out"].in_channels == 6  # heads


def test_constraints_hold_and_are_priced():
    model, inputs = plan_models.example("mlp")
    free = taut.plan(model, inputs, accelerators=4)
    bound = taut.plan(model, inputs, accelerators=4, fix={"2": "I", "4": ["I", "II"]}, forbid=["0=III@1"])
    assert bound.splits["2"] == ["I", "I"] and bound.splits["4"] == ["I", "II"]
    assert bound.splits["0"][0] != "III"
    assert bound.constraints["all"] == pytest.approx(bound.result["objective"] - free.result["objective"])
    assert bound.constraints["all"] > 0 and bound.constraints.keys() >= {"2=I", "4=I@1", "4=II@2", "not 0=III@1"}
    assert "constraint all adds" in str(bound)
    with pytest.raises(taut.CommandError, match="no layer is called"):
        taut.plan(model, inputs, accelerators=4, fix={"7": "I"})
    with pytest.raises(taut.CommandError, match="no split that constraints and sizes allow"):
        taut.plan(model, inputs, accelerators=4, forbid=["loss=I"])


def test_layers_stay_whole_where_that_is_asked_for():
    model, inputs = plan_models.example("collected")
    plain = taut.plan(model, inputs, accelerators=4)
    plan = taut.plan(model, inputs, accelerators=4, replicate=True)
    assert plan.seconds_per_step <= plain.seconds_per_step and plan.result["replicate"]
    assert plan.splits["dense.0"] == ["R", "R"] and "R" not in plan.splits["bags"] + plan.splits["words"]
    assert " R R " in str(plan) and "<td>R R</td>" in plan._repr_html_()
    again = taut.Plan.from_json(plan.to_json())
    assert again.types_on((4,))["dense.0"] == ["R"] and again.splits == plan.splits
    with pytest.raises(taut.CommandError, match=r"stays whole \(R\) at a level"):
        taut.plan(model, inputs, accelerators=4, evaluate=plan)
    with pytest.raises(taut.CommandError, match="seconds or overlap"):
        taut.plan(model, inputs, accelerators=4, replicate=True, objective="words")


def test_a_given_plan_is_evaluated(tmp_path):
    model, inputs = plan_models.example("mlp")
    best = taut.plan(model, inputs, accelerators=4)
    given = {name: ["I", "I"] for name in best.splits}
    data = taut.plan(model, inputs, accelerators=4, method="dp")
    path = tmp_path / "plan.json"
    data.to_json(path)
    for plan in (given, data, path):
        evaluated = taut.plan(model, inputs, accelerators=4, evaluate=plan)
        assert evaluated.splits == given and evaluated.bytes_per_step == data.bytes_per_step
        assert [one["method"] for one in evaluated.result["methods"]] == ["given", "exact"]
        assert evaluated.result["methods"][1]["bytes_per_step"] == best.bytes_per_step
    with pytest.raises(taut.CommandError, match="the plan has no layer loss"):
        taut.plan(model, inputs, accelerators=4, evaluate={"0": ["I", "I"], "2": ["I", "I"], "4": ["I", "I"]})


def test_a_batch_of_16_uses_32_accelerators():
    model, inputs = plan_models.example("gpt", batch=16)
    plan = taut.plan(model, inputs, accelerators=32, optimizer="adam", shard="weights")
    assert len(plan.splits["blocks.0.up"]) == 5 and plan.result["training"]["shard"] == "weights"
    attention = plan.splits["blocks.0.attention.scaled_dot_product_attention"]
    assert attention.count("I") <= 4 and "C" in attention
    assert plan.splits["blocks.0.norm1"] == ["I"] * 5  # tokens of a sample are told apart
