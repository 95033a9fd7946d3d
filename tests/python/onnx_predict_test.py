"""Classifiers of other programs: what torch.onnx.export writes gives here what it gives in PyTorch."""

import csv
import json
import os
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

pytest.importorskip("onnxscript", reason="onnxscript is not installed (scripts/setup.sh)")

from exported_networks import (
    NETWORKS,
    VisionTransformer,
    conv_norm,
    convnext,
    densenet,
    efficientnet,
    mobilenet,
    mobilenet_v3,
    resnet,
)

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("TAUT_PROGRAM", ROOT / "build/release/bin/taut"))
SIDE = 32
IMAGES = 24
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def taut(*arguments, check=True):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    if check:
        assert done.returncode == 0, done.stderr
    return done


def plain():
    """A chain with biases, in the style of VGG, that ends in probabilities."""
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3), nn.ReLU()]
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(12 * 14 * 14, 20), nn.ReLU(), nn.Linear(20, 10), nn.Softmax(1)
    )


class Mixed(nn.Module):
    """Dilated, grouped, uneven and strided windows, averages, a join, arithmetic on channels."""

    def __init__(self):
        super().__init__()
        self.stem = conv_norm(3, 8, 3, 2)
        self.dilated = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4)
        self.row = nn.Conv2d(8, 8, (1, 5), padding=(0, 2))
        self.column = nn.Conv2d(8, 8, (5, 1), padding=(2, 0), bias=False)
        self.scale = nn.Parameter(torch.rand(8, 1, 1))
        self.last = nn.Linear(16, 10)

    def forward(self, x):
        x = self.stem((x - 0.25) * 2)
        a = functional.relu6(self.dilated(functional.pad(x, (0, 1, 0, 1))))
        a = functional.avg_pool2d(a, 2, 1)
        b = self.column(self.row(x)) * self.scale
        return self.last(torch.cat([functional.relu(a), b], 1).mean((2, 3)))


CLASSIFIERS = {
    "plain": plain,
    "resnet": resnet,
    "densenet": densenet,
    "mobilenet": mobilenet,
    "mobilenet_v3": mobilenet_v3,
    "efficientnet": efficientnet,
    "convnext": convnext,
    "vit": VisionTransformer,
    "mixed": Mixed,
}
WAYS = {"default": {}, "torchscript": {"dynamo": False, "opset_version": 13}}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Records of CIFAR-10, and their pixels as planes."""
    path = tmp_path_factory.mktemp("images") / "test_batch.bin"
    pixels = np.random.default_rng(1).integers(0, 256, (IMAGES, 3, SIDE, SIDE), dtype=np.uint8)
    path.write_bytes(b"".join(struct.pack("B", i % 10) + image.tobytes() for i, image in enumerate(pixels)))
    return path, pixels


def exported(make, path, **options):
    torch.manual_seed(0)
    network = make()
    for module in network.modules():  # statistics of their own
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    network.eval()
    torch.onnx.export(network, (torch.zeros(1, 3, SIDE, SIDE),), path, verbose=False, **options)
    return network


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "way"),
    # Operator set 13 has no LayerNormalization: it is written out.
    [(name, way) for name in CLASSIFIERS for way in WAYS],
)
def test_exported_classifiers_give_what_they_give_in_pytorch(images, tmp_path, name, way):
    records, pixels = images
    path = tmp_path / "m.onnx"
    network = exported(CLASSIFIERS[name], path, **WAYS[way])
    info = json.loads(taut("info", path, "--json").stdout)
    assert info["engine"] == {"runs": True, "refused": []}
    # Exporters fold normalizations into biases, which leaves fewer.
    parameters = sum(p.numel() for p in network.parameters())
    assert info["parameters"] == parameters if name == "plain" else 0.9 * parameters < info["parameters"] <= parameters
    normalization = "--mean", ",".join(map(str, MEAN)), "--deviation", ",".join(map(str, DEVIATION))
    taut("predict", path, records, "--all", "--out", tmp_path / "scores.csv", *normalization)
    with (tmp_path / "scores.csv").open() as file:
        got = np.array([[float(row[f"probability_{c}"]) for c in range(10)] for row in csv.DictReader(file)])
    x = (torch.from_numpy(pixels) / 255.0 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(DEVIATION).view(3, 1, 1)
    with torch.no_grad():
        logits = network(x.float())
    wanted = (logits if name == "plain" else logits.softmax(1)).numpy()
    assert np.abs(got - wanted).max() < 2e-5
    quality = json.loads(taut("eval", path, "--data", records, *normalization, "--json").stdout)
    labels = np.arange(IMAGES) % 10
    assert quality["top1"] == pytest.approx(np.mean(wanted.argmax(1) == labels))
    assert quality["log_loss"] == pytest.approx(-np.mean(np.log(wanted[np.arange(IMAGES), labels])), rel=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["swin"])
def test_what_stands_in_the_way_is_named(images, tmp_path, name):
    path = tmp_path / "m.onnx"
    make, example = NETWORKS[name]
    torch.onnx.export(make().eval(), example(), path, verbose=False)
    info = json.loads(taut("info", path, "--json").stdout)
    assert not info["engine"]["runs"]
    operators = {refused["op"] for refused in info["engine"]["refused"]}
    wanted = {
        "swin": {"MatMul", "Softmax"},  # of windows, which lie among the examples
    }
    assert wanted[name] <= operators, operators
    assert "runs in the engine: no, because of node" in taut("info", path).stdout
    refused = taut("predict", path, images[0], check=False)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    for operator in wanted[name]:
        assert f"({operator})" in refused.stderr
    taut("plan", path, "--accelerators", 4, "--json")


@pytest.mark.filterwarnings("ignore")
def test_weights_beside_the_model_are_read_from_its_folder(images, tmp_path):
    path = tmp_path / "m.onnx"
    exported(plain, path, external_data=True)
    assert path.with_suffix(".onnx.data").exists()
    taut("predict", path, images[0])
    path.with_suffix(".onnx.data").rename(tmp_path / "elsewhere")
    refused = taut("predict", path, images[0], check=False)
    assert refused.returncode == 2
    assert "m.onnx.data" in refused.stderr
    info = json.loads(taut("info", path, "--json").stdout)
    assert not info["engine"]["runs"]
    assert "m.onnx.data" in info["engine"]["why"]
