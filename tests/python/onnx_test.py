"""Exported networks give in ONNX Runtime what they give here: winners of every unit, 8 bits, masks."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (scripts/setup.sh)")

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("TAUT_PROGRAM", ROOT / "build/release/bin/taut"))


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    subprocess.run([PROGRAM.with_name("taut_onnx_cases"), folder], check=True)
    return folder, json.loads((folder / "cases.json").read_text())


def run(path: Path, images: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["image"]
    assert [o.name for o in session.get_outputs()] == ["logits"]
    assert session.get_inputs()[0].shape == ["N", *images.shape[1:]]
    return session.run(None, {"image": images})[0]


def compare(folder: Path, case: dict):
    images = np.fromfile(folder / f"{case['name']}.images", np.float32).reshape(-1, *case["input"])
    wanted = np.fromfile(folder / f"{case['name']}.outputs", np.float32)
    got = run(folder / f"{case['name']}.onnx", images)
    wanted = wanted.reshape(got.shape)
    apart = np.abs(got - wanted).reshape(len(images), -1).max(1) / np.abs(wanted).max()
    return got, wanted, apart


def test_ties_and_zeros_give_the_very_same_winners(cases):
    folder, every = cases
    ties = [case for case in every if case["exact"]]
    assert len(ties) == 18
    for case in ties:
        got, wanted, _ = compare(folder, case)
        assert np.array_equal(got, wanted), case["name"]
        assert 0 < np.count_nonzero(got) < got.size


def test_trained_networks_give_the_same_logits(cases):
    folder, every = cases
    trained = [case for case in every if not case["exact"]]
    assert len(trained) == 24
    for case in trained:
        _, _, apart = compare(folder, case)
        print(f"{case['name']}: median {np.median(apart):.1e}, largest {apart.max():.1e}")
        assert np.median(apart) < 1e-5, case["name"]
        # A last bit may decide between two winners or two codes, and another one changes an image's logits.
        assert np.mean(apart < 1e-4) >= (0.7 if "int8" in case["name"] else 0.9), case["name"]


def test_our_own_engine_gives_what_the_networks_and_onnx_runtime_give(cases):
    folder, every = cases
    for case in every:
        got, wanted, _ = compare(folder, case)
        engine = np.fromfile(folder / f"{case['name']}.engine", np.float32).reshape(got.shape)
        if case["exact"]:
            assert np.array_equal(engine, wanted), case["name"]
            continue
        for other in wanted, got:
            apart = np.abs(engine - other).reshape(len(engine), -1).max(1) / np.abs(wanted).max()
            assert np.median(apart) < 1e-5, case["name"]
            # As above: a last bit may decide between two winners or two codes.
            assert np.mean(apart < 1e-4) >= (0.7 if "int8" in case["name"] else 0.9), case["name"]


def test_files_that_are_read_back_give_the_very_same_bits(cases):
    folder, every = cases
    for case in every:
        read = np.fromfile(folder / f"{case['name']}.read", np.float32)
        assert np.array_equal(read, np.fromfile(folder / f"{case['name']}.engine", np.float32)), case["name"]


def test_the_files_use_standard_operators_alone(cases):
    _, every = cases
    used = set().union(*(case["operators"] for case in every))
    assert used == set(
        "Abs Add BatchNormalization Clip Concat Conv DequantizeLinear Flatten Gemm GlobalAveragePool Greater Less "
        "MaxPool Mul QuantizeLinear ReduceMax ReduceMean Relu Reshape ScatterElements TopK Where".split()
    )


def test_the_planner_reads_what_was_written(cases):
    folder, _ = cases
    for name in (
        "vgg-small-all",
        "resnet-20-int8",
        "vgg-small-block-0.5",
        "mobilenet-v2-dense",
        "densenet-121-dense",
        "mlp-int8",
    ):
        done = subprocess.run(
            [PROGRAM, "plan", folder / f"{name}.onnx", "--accelerators", "4", "--json"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["bytes_per_step"] >= 0
