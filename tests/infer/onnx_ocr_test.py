"""Networks of the package rapidocr-onnxruntime, where it is installed, beside ONNX Runtime.

`pip install --no-deps rapidocr-onnxruntime` is enough: its files are read, its code is not run.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from c_library import LIBRARY, Library

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

# Network -> a size of images that it is used with, batch first.
NETWORKS = {"det": (1, 3, 96, 160), "cls": (2, 3, 48, 192), "rec": (1, 3, 48, 320)}
CLOSENESS = 1e-4  # of the largest value
LETTERS = ("####.", "#....", "###..", "#....", "####."), ("#####", "..#..", "..#..", "..#..", "..#..")
STROKE = 5  # pixels of a dot of a letter


def model_of(name: str, shape: tuple[int, ...]) -> bytes:
    """The network with its sizes fixed."""
    package = importlib.util.find_spec("rapidocr_onnxruntime")
    if package is None or not package.submodule_search_locations:
        pytest.skip("rapidocr-onnxruntime is not installed")
    (path,) = Path(package.submodule_search_locations[0]).glob(f"models/*_{name}_*.onnx")
    model = onnx.load(path)
    for size, wanted in zip(model.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        size.dim_value = wanted
    return model.SerializeToString()


def page(shape: tuple[int, ...]) -> np.ndarray:
    """Black letters in the middle of white pages, normalized to -1 .. 1."""
    dots = np.hstack([np.array([[dot == "#" for dot in row] + [False] for row in LETTERS[i % 2]]) for i in range(4)])
    text = np.kron(dots, np.ones((STROKE, STROKE)))[: shape[2], : shape[3]]
    top, left = (shape[2] - text.shape[0]) // 2, (shape[3] - text.shape[1]) // 2
    image = np.ones(shape, np.float32)
    image[:, :, top : top + text.shape[0], left : left + text.shape[1]] -= 2 * text.astype(np.float32)
    return image + 0.01 * np.random.default_rng(3).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def library() -> Library:
    if not LIBRARY.exists():
        pytest.skip(f"{LIBRARY} is not built")
    return Library()


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_give_the_answers_of_onnx_runtime(library, name):
    shape = NETWORKS[name]
    model = model_of(name, shape)
    x = page(shape)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, {session.get_inputs()[0].name: x})
    got = library.run(model, x)
    assert got.shape == wanted.shape
    assert wanted.max() > 0.5, "there is text to be found"
    assert np.abs(got - wanted).max() <= CLOSENESS * np.abs(wanted).max()
