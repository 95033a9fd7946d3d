"""`taut bench`: every layer of a network, timed from all channels and from those that are not zero."""

import pytest


def test_every_layer_is_timed_both_ways(taut):
    result = taut("bench", "lenet-c", "--repetitions", 2, "--threads", 1, "--json").json
    assert result["random_weights"]
    assert (result["threads"], result["batch"]) == (1, 1)
    latency = result["latency_microseconds"]
    assert 0 < latency["least"] <= latency["p50"] <= latency["most"]
    names = [name for layer in result["layers"] for name in layer["layers"]]
    described = [layer["name"] for layer in taut("info", "lenet-c", "--json").json["layers"]]
    assert len(names) == len(set(names))
    assert set(described) - {"loss"} <= set(names)
    for layer in result["layers"]:
        assert layer["kernel"] in {"dense", "all", "lists", "both"}
        assert layer["bytes"] > 0
        assert min(layer["microseconds"], layer["dense_microseconds"], layer["sparse_microseconds"]) >= 0
    assert 0 <= result["selection_share"] < 1


def test_winners_make_the_next_layer_sparse(taut):
    dense = taut("bench", "sfc", "--repetitions", 1, "--json").json
    sparse = taut("bench", "sfc", "--repetitions", 1, "--winner-rate", 0.1, "--json").json
    assert sparse["winner_rate"] == 0.1
    behind = [layer["density"] for layer in sparse["layers"] if layer["op"] == "linear"][1:]
    assert behind == pytest.approx([0.1] * len(behind), abs=0.01)
    assert behind
    assert sparse["bytes"] < dense["bytes"]


def test_weights_of_linear_layers_take_half_the_memory_in_bf16(taut):
    full = taut("bench", "sfc", "--repetitions", 1, "--json").json
    half = taut("bench", "sfc", "--repetitions", 1, "--weights", "bf16", "--json").json
    assert (full["weights"], half["weights"]) == ("fp32", "bf16")
    assert half["weight_bytes"] <= 0.52 * full["weight_bytes"]
    refused = taut("bench", "sfc", "--weights", "bf61", check=False)
    assert (refused.code, "unknown type of weights" in refused.err, "bf16" in refused.err) == (2, True, True)


def test_values_come_from_a_file_and_go_to_one(taut, tmp_path):
    read, written = tmp_path / "x.bin", tmp_path / "y.bin"
    pixels = taut("bench", "lenet-c", "--repetitions", 1, "--json").json["layers"][0]["in"]
    read.write_bytes(bytes(4 * pixels[0] * pixels[1] * pixels[2]))
    taut("bench", "lenet-c", "--repetitions", 1, "--input", read, "--output", written)
    assert written.read_bytes() == bytes(4 * 10)  # zeros, as no bias was added to them
    read.write_bytes(b"1234")
    refused = taut("bench", "lenet-c", "--input", read, check=False)
    assert (refused.code, "got 4" in refused.err) == (2, True)


def test_text_names_layers_and_latency(taut):
    text = taut("bench", "lenet-c", "--repetitions", 1, "--batch", 3).out
    assert "conv1" in text
    assert "choosing winners" in text
    assert "random weights" in text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["lenet-d"], "lenet-c"),
        (["lenet-c", "--dim", "a=2"], "is for ONNX files"),
        (["lenet-c", "--winner-rate", "1.5"], "--winner-rate"),
        (["lenet-c", "--winner-rate", "0.5", "--unit", "row"], "row"),
        (["missing.onnx"], "missing.onnx"),
    ],
)
def test_mistakes_are_one_line(taut, arguments, named):
    refused = taut("bench", *arguments, check=False)
    assert refused.code == 2
    assert named in refused.err
    assert refused.err.count("\n") == 1
