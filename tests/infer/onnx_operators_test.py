"""The onnx package's own cases for every operator that the engine claims, through the C API.

A case is a model of one node, inputs, and what onnx's reference gives. The engine reads networks of one input: what a
case passes beside the first becomes a constant of the model, as weights are in files. A case that the engine refuses
counts as refused, with the node and the reason; an answer that differs by more than the case allows is a failure.
"""

import ctypes
import importlib
import os
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = Path(os.environ.get("TAUT_BUILD", ROOT / "build/release")) / "src/infer/libtaut_c.so"
CASES = "onnx.backend.test.case.node"
# Operators of which the engine claims some form, as docs/infer.md lists them.
CLAIMED = (
    "Add AveragePool BatchNormalization Cast Clip Concat Conv DequantizeLinear Div Dropout Flatten Gemm "
    "GlobalAveragePool Identity LogSoftmax MatMul MaxPool Mul Pad QuantizeLinear ReduceMean Relu Reshape Sigmoid "
    "Softmax Squeeze Sub Sum Transpose Unsqueeze Where"
).split()
MODULES = {"BatchNormalization": "batch_normalization"}  # the others are called as the operator
UNSUPPORTED = 7  # taut_status
MOST_DIMENSIONS = 8


class Tensor(ctypes.Structure):
    """taut_tensor."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("rank", ctypes.c_int),
        ("dimensions", ctypes.c_int64 * MOST_DIMENSIONS),
    )

    def shape(self, batch: int) -> list[int]:
        return [batch, *self.dimensions[1 : self.rank]]


class RefusedError(Exception):
    """The engine does not compute the model."""


class Library:
    """The C API as a library that is loaded."""

    def __init__(self) -> None:
        self.calls = ctypes.CDLL(str(LIBRARY))
        self.calls.taut_last_error.restype = ctypes.c_char_p

    def check(self, status: int) -> None:
        if status == 0:
            return
        message = self.calls.taut_last_error().decode()
        raise RefusedError(message) if status == UNSUPPORTED else AssertionError(f"status {status}: {message}")

    def run(self, model: bytes, x: np.ndarray) -> np.ndarray:
        handle, session = ctypes.c_void_p(), ctypes.c_void_p()
        read, written = Tensor(), Tensor()
        calls = self.calls
        self.check(calls.taut_model_open_bytes(model, ctypes.c_size_t(len(model)), None, 0, ctypes.byref(handle)))
        try:
            self.check(calls.taut_model_input(handle, 0, ctypes.byref(read)))
            self.check(calls.taut_model_output(handle, 0, ctypes.byref(written)))
            assert read.shape(x.shape[0]) == list(x.shape)
            self.check(calls.taut_session_open(handle, 1, ctypes.byref(session)))
            floats = ctypes.POINTER(ctypes.c_float)
            x = np.ascontiguousarray(x)
            y = np.empty(written.shape(x.shape[0]), np.float32)
            pointer = x.ctypes.data_as(floats)
            self.check(calls.taut_session_set_values(session, read.name, pointer, ctypes.c_size_t(x.size)))
            self.check(calls.taut_session_run(session, ctypes.c_int64(x.shape[0])))
            self.check(calls.taut_session_get(session, written.name, y.ctypes.data_as(floats), ctypes.c_size_t(y.size)))
            return y
        finally:
            calls.taut_session_close(session)
            calls.taut_model_close(handle)


def cases_of(operator: str) -> list:
    """The package's cases for one operator that are models of this operator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the sums that make them
        importlib.import_module(f"{CASES}.{MODULES.get(operator, operator.lower())}")
    made = importlib.import_module(CASES)._NodeTestCases
    return [case for case in made if [node.op_type for node in case.model.graph.node] == [operator]]


def as_network(case) -> tuple[onnx.ModelProto, np.ndarray]:
    """The model with constants in place of all inputs but the first, and that one's values."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    inputs = list(model.graph.input)
    values = case.data_sets[0][0]
    if not inputs or not isinstance(values[0], np.ndarray) or values[0].dtype != np.float32:
        raise RefusedError("what it reads first is not fp32")
    if values[0].size == 0:
        raise RefusedError("what it reads first has no values")
    for info, value in zip(inputs[1:], values[1:], strict=True):
        if not isinstance(value, np.ndarray | np.generic):
            raise RefusedError("what it reads is no array")
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), info.name))
        model.graph.input.remove(info)
    return model, values[0]


def behind_a_layer(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model of its input times one: what moves or renames values is part of a network, but none by itself."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    name = graph.input[0].name
    for node in graph.node:
        node.input[:] = ["times one" if read == name else read for read in node.input]
    graph.initializer.append(onnx.numpy_helper.from_array(np.float32(1), "one"))
    graph.node.insert(0, onnx.helper.make_node("Mul", [name, "one"], ["times one"]))
    return changed


def outcome(library: Library, case) -> str:
    """Nothing for a case that passes, else why the engine refuses it."""
    try:
        model, x = as_network(case)
        try:
            got = library.run(model.SerializeToString(), x)
        except RefusedError as refused:
            if "is not that of a layer" not in str(refused):
                raise
            got = library.run(behind_a_layer(model).SerializeToString(), x)
    except RefusedError as refused:
        return str(refused)
    wanted = np.asarray(case.data_sets[0][1][0])
    assert got.shape == wanted.shape, case.name
    np.testing.assert_allclose(got, wanted, rtol=case.rtol, atol=case.atol, err_msg=case.name)
    return ""


def documented() -> dict[str, tuple[int, int]]:
    """Operator -> (cases that pass, cases that are refused), as docs/infer.md has them."""
    text = (ROOT / "docs/infer.md").read_text()
    table = text[text.index("## ONNX's own cases") :]
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \|", table, re.MULTILINE)
    return {operator: (int(passed), int(refused)) for operator, passed, refused in rows}


@pytest.fixture(scope="module")
def library() -> Library:
    if not LIBRARY.exists():
        pytest.skip(f"{LIBRARY} is not built")
    return Library()


@pytest.mark.parametrize("operator", CLAIMED)
def test_cases_of_an_operator_pass_or_are_refused_as_documented(library, operator):
    reasons = [outcome(library, case) for case in cases_of(operator)]
    passed = reasons.count("")
    assert (passed, len(reasons) - passed) == documented()[operator], "\n".join(filter(None, reasons))


def test_every_operator_of_the_table_is_tested():
    assert set(documented()) == set(CLAIMED)
