"""What torch.onnx.export writes by default is read with the multiply-adds and weights that hooks count."""

import json
import os
import resource
import subprocess
from pathlib import Path

import pytest
import torch

pytest.importorskip("onnxscript", reason="onnxscript is not installed (scripts/setup.sh)")

from exported_networks import NETWORKS, counts

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("TAUT_PROGRAM", ROOT / "build/release/bin/taut"))


def taut(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments), "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Exports each network once a way: (path, multiply-adds, weights, words of tables)."""
    folder = tmp_path_factory.mktemp("exported")
    done = {}

    def export(name, **options):
        key = (name, *sorted(options.items()))
        if key not in done:
            torch.manual_seed(0)
            make, example = NETWORKS[name]
            network, inputs = make().eval(), example()
            path = folder / f"{len(done)}-{name}.onnx"
            wanted = counts(network, inputs)
            torch.onnx.export(network, inputs, path, verbose=False, **options)
            path.with_suffix(".onnx.data").unlink(missing_ok=True)  # planning does without the weights
            done[key] = (path, *wanted)
        return done[key]

    return export


WAYS = {
    "default": {},
    "opset_20": {"opset_version": 20},
    "torchscript": {"dynamo": False, "opset_version": 17},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "way"),
    [(name, way) for name in NETWORKS for way in ("default", "torchscript")]
    + [("resnet", "opset_20"), ("vit", "opset_20")],
)
def test_exports_have_the_counts_of_their_modules(exported, name, way):
    path, macs, weights, tables = exported(name, **WAYS[way])
    info = taut("info", path)
    assert info["macs"] == macs
    assert info["weights"] == weights
    # The table of positions is read at places that are known: a constant, no lookups.
    assert info["table_words"] == (tables - 64 * 32 if tables else 0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NETWORKS)
def test_exports_are_planned(exported, name):
    path = exported(name)[0]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    plan = taut("plan", path, "--accelerators", 16, "--batch", 64)
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    print(f"{name}: {seconds:.2f} s, {plan['guarantee']}")
    assert plan["bytes_per_step"] > 0
    assert seconds < 2


@pytest.mark.filterwarnings("ignore")
def test_open_sizes_are_given_by_name(exported, tmp_path):
    make, example = NETWORKS["gpt"]
    network, inputs = make().eval(), example()
    path = tmp_path / "open.onnx"
    sizes = {"ids": {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=64)}}
    torch.onnx.export(network, inputs, path, dynamic_shapes=sizes, verbose=False)
    macs, weights, _ = counts(network, inputs)
    info = taut("info", path, "--dim", "length=24")
    assert (info["macs"], info["weights"]) == (macs, weights)
    longer, _, _ = counts(network, (torch.zeros(1, 48, dtype=torch.int64),))
    assert taut("info", path, "--dim", "length=48", "--dim", "batch=4")["macs"] == longer
    done = subprocess.run([PROGRAM, "info", path], capture_output=True, text=True)
    assert done.returncode == 2
    assert "--dim length=SIZE" in done.stderr
