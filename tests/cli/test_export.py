"""Runs from the shell: export as ONNX and as packages, which answer as their runs do; tuning of rates."""

import csv
import random
import shutil
import struct
import subprocess

import numpy as np
import pyarrow.parquet
import pytest

CONFIG = """
task = "image"
[data]
train = "train-images-idx3"
valid = "valid-images-idx3"
test = "test-images-idx3"
[model]
kind = "lenet"
width = 0.7
winner_rate = 0.4
[train]
epochs = 2
batch_size = 32
optimizer = "adam"
learning_rate = 0.002
"""
SIDE = 12


def write_corners(folder, name, count, seed):
    """Images with a bright corner, which is the label."""
    rng = random.Random(seed)
    labels = bytes(rng.randrange(4) for _ in range(count))
    pixels = bytearray()
    for label in labels:
        for y in range(SIDE):
            for x in range(SIDE):
                bright = (y < SIDE // 2) == (label < 2) and (x < SIDE // 2) == (label % 2 == 0)
                pixels.append(rng.randrange(100) + 90 * bright)
    (folder / f"{name}-images-idx3").write_bytes(struct.pack(">HBBIII", 0, 8, 3, count, SIDE, SIDE) + pixels)
    (folder / f"{name}-labels-idx1").write_bytes(struct.pack(">HBBI", 0, 8, 1, count) + labels)
    return np.frombuffer(bytes(pixels), np.uint8).reshape(count, 1, SIDE, SIDE), np.frombuffer(labels, np.uint8)


@pytest.fixture(scope="module")
def trained(taut, tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for name, count, seed in ("train", 400, 1), ("valid", 100, 2), ("test", 100, 3):
        write_corners(folder, name, count, seed)
    (folder / "corners.toml").write_text(CONFIG)
    taut("train", folder / "corners.toml", "--out", folder / "run")
    return folder


@pytest.mark.parametrize("mode", ["none", "calibrate"])
def test_onnx_runtime_classifies_as_the_run_does(taut, trained, mode):
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (scripts/setup.sh)")
    run, model = trained / f"run-{mode}", trained / f"{mode}.onnx"
    taut("train", trained / "corners.toml", "--out", run, "--set", f"quantize.mode={mode}")
    exported = taut("export", run, model, "--json").json
    assert exported["bytes"] == model.stat().st_size
    assert exported["operators"]["TopK"] == 4
    assert exported["operators"].get("QuantizeLinear", 0) == (0 if mode == "none" else 5)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    known = session.get_modelmeta().custom_metadata_map
    mean, deviation = float(known["taut.mean"][1:-1]), float(known["taut.deviation"][1:-1])
    images, labels = write_corners(trained, "test", 100, 3)
    logits = session.run(None, {"image": ((images / 255.0 - mean) / deviation).astype(np.float32)})[0]
    evaluated = taut("eval", run, "--json").json
    assert np.mean(logits.argmax(1) == labels) == pytest.approx(evaluated["top1"], abs=0.011)
    log_loss = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(100), labels])
    assert log_loss == pytest.approx(evaluated["log_loss"], abs=1e-3)


def test_a_package_is_verified_and_listed(taut, trained):
    package = trained / "corners.taut"
    exported = taut("export", trained / "run", package, "--json").json
    assert exported["bytes"] == package.stat().st_size
    info = taut("info", package, "--json").json
    assert info["kind"] == "package"
    metadata, network = info["metadata"], info["network"]
    assert metadata["task"] == "image"
    assert network["winners"]["rates"] == [0.4] * 4
    assert metadata["facts"]["quality"]["top1"] == taut("eval", trained / "run", "--json").json["top1"]
    assert len(metadata["input"]["mean"]) == 1
    assert info["sections"]["weights/conv1.weight"] == 4 * 25 * 4  # 0.7 of 6 channels is 4
    broken = bytearray(package.read_bytes())
    broken[len(broken) // 2] ^= 1
    package.write_bytes(broken)
    for command in ("info", "predict", "eval"):
        data = (trained / "test-images-idx3",) if command == "predict" else ()
        refused = taut(command, package, *data, check=False)
        assert refused.code == 2
        assert "checksum" in refused.err


def test_packages_are_evaluated_without_libtorch(taut, trained, program, tmp_path):
    """The program alone in a folder, so that there is no taut-torch that it could become."""
    package = trained / "alone.taut"
    taut("export", trained / "run", package)
    alone = tmp_path / "taut"
    shutil.copy2(program, alone)
    for command, data in ("eval", ()), ("predict", (trained / "test-images-idx3",)):
        done = subprocess.run([alone, command, package, *data], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    refused = subprocess.run([alone, "eval", trained / "run"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert "needs LibTorch" in refused.stderr


def class_of(row):
    return max((float(value), -index) for index, value in enumerate(row))[1] * -1


@pytest.mark.parametrize("settings", [(), ("quantize.mode=calibrate",), ("model.winner_rate=1",)])
def test_a_package_of_images_answers_as_its_run_does(taut, trained, settings):
    run, package = trained / ("run-" + "-".join(settings)), trained / "answers.taut"
    sets = [part for setting in settings for part in ("--set", setting)]
    taut("train", trained / "corners.toml", "--out", run, *sets)
    taut("export", run, package)
    of_run, of_package = taut("eval", run, "--json").json, taut("eval", package, "--json").json
    assert of_package["top1"] == of_run["top1"]
    assert of_package["log_loss"] == pytest.approx(of_run["log_loss"], abs=1e-5)
    assert of_package["examples"] == of_run["examples"] == 100

    test = trained / "test-images-idx3"
    plain = list(csv.reader(taut("predict", package, test).out.splitlines()))
    assert plain[0] == ["row", "class", "probability"]
    assert [row[0] for row in plain[1:]] == [str(i) for i in range(100)]
    _, labels = write_corners(trained, "test", 100, 3)
    right = sum(int(row[1]) == label for row, label in zip(plain[1:], labels, strict=True))
    assert right / 100 == of_run["top1"]

    out = trained / "all.csv"
    result = taut("predict", package, test, "--all", "--out", out, "--batch", 7, "--json").json
    assert result["rows"] == 100
    every = list(csv.reader(out.open()))
    assert every[0] == ["row", "class", "probability", *(f"probability_{c}" for c in range(4))]
    for row, short in zip(every[1:], plain[1:], strict=True):
        assert row[:3] == short  # the same bits for another batch
        assert sum(map(float, row[3:])) == pytest.approx(1, abs=1e-6)
        assert class_of(row[3:]) == int(row[1])
    log_loss = -np.mean([np.log(float(row[3 + label])) for row, label in zip(every[1:], labels, strict=True)])
    assert log_loss == pytest.approx(of_run["log_loss"], abs=1e-5)


@pytest.mark.parametrize("mode", ["none", "calibrate"])
def test_an_onnx_file_of_ours_answers_as_its_package_does(taut, trained, mode):
    run, package, model = trained / f"same-{mode}", trained / f"same-{mode}.taut", trained / f"same-{mode}.onnx"
    taut("train", trained / "corners.toml", "--out", run, "--set", f"quantize.mode={mode}")
    for file in package, model:
        taut("export", run, file)
    info = taut("info", model, "--json").json
    assert info["engine"] == {"runs": True, "refused": []}
    assert info["parameters"] == taut("info", package, "--json").json["network"]["parameters"]
    assert "parameters with biases and scales" in taut("info", model).out
    assert "runs in the engine: yes" in taut("info", model).out
    test = trained / "test-images-idx3"
    predicted = taut("predict", model, test, "--all")
    assert predicted.out == taut("predict", package, test, "--all").out
    assert "normalized" not in predicted.err
    of_model, of_package = taut("eval", model, "--json").json, taut("eval", package, "--json").json
    assert of_model.pop("source") == str(model)
    assert of_package.pop("source") == str(package)
    assert of_model == of_package


def test_what_an_onnx_file_does_not_say_is_asked_for(taut, trained):
    package, model, test = trained / "said.taut", trained / "said.onnx", trained / "test-images-idx3"
    for file in package, model:
        taut("export", trained / "run", file)
    own = taut("info", package, "--json").json["metadata"]["input"]
    wanted = taut("predict", package, test).out
    model.write_bytes(model.read_bytes().replace(b"taut.", b"them."))
    bare = taut("predict", model, test)
    assert "does not say how its images are normalized" in bare.err
    assert bare.out != wanted
    given = "--mean", repr(own["mean"][0]), "--deviation", repr(own["deviation"][0])
    told = taut("predict", model, test, *given)
    assert (told.out, told.err.count("normalized")) == (wanted, 0)
    for file, arguments, message in (
        (package, ("--mean", "0.5"), "are for ONNX files"),
        (trained / "run", ("--size", "12"), "are for ONNX files"),
        (model, ("--mean", "1,2"), "2 numbers of the mean for images of 1 channels"),
        (model, ("--deviation", "0"), "a normalization that is none"),
        (model, ("--dim", "M=3"), "no dimension without a size is called M"),
        (model, ("--size", "99"), "a size of images of 99"),
    ):
        refused = taut("eval", file, "--data", test, *arguments, check=False)
        assert (refused.code, message in refused.err) == (2, True), refused.err
    refused = taut("eval", model, check=False)
    assert (refused.code, "names no test files" in refused.err) == (2, True)


def test_images_of_another_size_are_named(taut, trained, tmp_path):
    package = trained / "sized.taut"
    taut("export", trained / "run", package)
    (tmp_path / "small-images-idx3").write_bytes(struct.pack(">HBBIII", 0, 8, 3, 1, 4, 4) + bytes(16))
    (tmp_path / "small-labels-idx1").write_bytes(struct.pack(">HBBI", 0, 8, 1, 1) + bytes(1))
    refused = taut("predict", package, tmp_path / "small-images-idx3", check=False)
    assert refused.code == 2
    assert "images are 1x4x4, the network reads 1x12x12" in refused.err


def test_a_package_of_clicks_answers_as_its_run_does(taut, workspace):
    for kind in ("dlrm", "wide_deep"):
        run, package = workspace / kind, workspace / f"{kind}.taut"
        taut("train", workspace / "ctr.toml", "--out", run, "--set", f"model.kind={kind}")
        taut("export", run, package)
        of_run, of_package = taut("eval", run, "--json").json, taut("eval", package, "--json").json
        for measure in ("auc", "log_loss", "normalized_entropy"):
            assert of_package[measure] == pytest.approx(of_run[measure], abs=1e-6)
        info = taut("info", package, "--json").json
        assert info["metadata"]["task"] == "ctr"
        assert [table["name"] for table in info["network"]["tables"]] == ["c_user", "c_item"]


@pytest.mark.parametrize(
    "model",
    [
        {"model.kind": "dlrm"},
        {"model.kind": "dlrm", "model.interaction": "dots_vectors", "model.winner_rate": 0.5},
        {"model.kind": "wide_deep"},
    ],
    ids=["dlrm", "winners", "wide_deep"],
)
def test_onnx_runtime_scores_what_a_package_looked_up(taut, workspace, model):
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (scripts/setup.sh)")
    folder = workspace / "onnx"
    folder.mkdir(exist_ok=True)
    run, package, file = (folder / name for name in ("run", "model.taut", "model.onnx"))
    settings = [word for key, value in model.items() for word in ("--set", f"{key}={value}")]
    taut("train", workspace / "ctr.toml", "--out", run, *settings)
    taut("export", run, package)
    assert "MatMul" in taut("export", run, file, "--json").json["operators"] or model["model.kind"] == "wide_deep"
    test = workspace / "test.csv"
    taut("predict", package, test, "--out", folder / "scores.parquet")
    taut("predict", package, test, "--inputs", "--out", folder / "inputs.parquet")
    scores = pyarrow.parquet.read_table(folder / "scores.parquet")["score"].to_numpy()
    table = pyarrow.parquet.read_table(folder / "inputs.parquet")
    tables = taut("info", package, "--json").json["network"]["tables"]
    dim = tables[0]["dim"]
    pooled = [f"{one['name']}.{k}" for one in tables for k in range(dim)]
    assert table.column_names[-len(pooled) :] == pooled
    values = np.stack([column.to_numpy() for column in table.columns[1:]], axis=1).astype(np.float32)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    inputs = {
        "dense": values[:, : -len(pooled)],
        "embedding": values[:, -len(pooled) :].reshape(len(values), len(tables), dim),
    }
    assert {one.name: one.shape[1:] for one in session.get_inputs()} == {k: [*v.shape[1:]] for k, v in inputs.items()}
    logits = session.run(None, inputs)[0][:, 0]
    assert len(np.unique(scores)) > 10
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), scores, atol=1e-6)
    assert taut("info", file, "--json").json["parameters"] == taut("info", run, "--json").json["network"]["parameters"]


def test_predict_says_how_a_run_becomes_a_package(taut, trained):
    refused = taut("predict", trained / "run", trained / "test-images-idx3", check=False)
    assert refused.code == 2
    assert f"taut export {trained / 'run'} model.taut makes one" in refused.err


def test_inputs_are_written_for_recommenders_to_a_file(taut, trained, workspace):
    for args, message in (
        ((trained / "run.taut", trained / "test-images-idx3", "--inputs"), "--inputs is for recommenders"),
        ((trained / "run.taut", trained / "test-images-idx3", "--inputs", "--json"), "give --out FILE"),
    ):
        taut("export", trained / "run", trained / "run.taut")
        refused = taut("predict", *args, check=False)
        assert refused.code == 2
        assert message in refused.err


def test_log_loss_of_a_package_is_a_number_for_logits_without_bound(taut, workspace):
    """Scores that are 0 or 1 in float have a finite log loss all the same, that of the run."""
    run, package = workspace / "run", workspace / "model.taut"
    taut("train", workspace / "ctr.toml", "--out", run)
    taut("export", run, package)
    lines = (workspace / "test.csv").read_text().splitlines()
    far = [lines[0]] + [",".join([row.split(",")[0], "1e6", *row.split(",")[2:]]) for row in lines[1:]]
    (workspace / "far.csv").write_text("\n".join(far) + "\n")
    of_run = taut("eval", run, "--data", workspace / "far.csv", "--json").json
    of_package = taut("eval", package, "--data", workspace / "far.csv", "--json").json
    assert of_run["log_loss"] > 1
    assert of_package["log_loss"] == pytest.approx(of_run["log_loss"], rel=1e-5)


def test_tune_prints_a_table_and_writes_a_config_that_trains(taut, trained):
    run = trained / "run"
    shown = taut("tune", run, "--accuracy-drop", "2%", "--images", 100)
    assert "fine-tuned" in shown.out and "relu" in shown.out
    found = taut("tune", run, "--accuracy-drop", "0.02", "--images", 100, "--json", "--out", trained / "t.toml").json
    assert found["accuracy"]["allowed"] == 0.02
    assert found["accuracy"]["drop"] <= 0.02 + 1e-12
    rates = [site["rate"] for site in found["sites"]]
    tuned = taut("train", trained / "t.toml", "--out", trained / "tuned", "--set", "train.epochs=1", "--json").json
    assert tuned["winner_rates"] == rates


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--accuracy-drop", "lots"), "--accuracy-drop must be a share"),
        (("--accuracy-drop", "120%"), "--accuracy-drop must be a share"),
        (("--units", "pixel"), "pixel"),
        (("--images", "0"), "--images must be at least 1"),
    ],
)
def test_wrong_options_of_tune_are_named(taut, trained, args, message):
    refused = taut("tune", trained / "run", *args, check=False)
    assert refused.code == 2
    assert message in refused.err


def test_tune_is_for_images(taut, workspace):
    taut("train", workspace / "ctr.toml", "--out", workspace / "run", "--set", "train.epochs=1")
    refused = taut("tune", workspace / "run", check=False)
    assert (refused.code, "for runs of images" in refused.err) == (2, True)
