"""The onnx package's own cases for every operator that the engine claims, through the C API.

A case is a model of one node, inputs, and what onnx's reference gives. The engine reads networks of one input: what a
case passes beside the first becomes a constant of the model, as weights are in files. A case that the engine refuses
counts as refused, with the node and the reason; an answer that differs by more than the case allows is a failure.
"""

import importlib
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from c_library import LIBRARY, Library, RefusedError

onnx = pytest.importorskip("onnx")

ROOT = Path(__file__).resolve().parents[2]
CASES = "onnx.backend.test.case.node"
# Operators of which the engine claims some form, as docs/infer.md lists them.
CLAIMED = (
    "Add AveragePool BatchNormalization Cast Clip Concat Conv ConvTranspose DepthToSpace DequantizeLinear Div Dropout "
    "Erf Flatten Gather Gelu Gemm GlobalAveragePool HardSigmoid HardSwish Identity IsNaN LayerNormalization LeakyRelu "
    "LogSoftmax MatMul MaxPool Mul Pad Pow QuantizeLinear ReduceMean Relu Reshape Resize Sigmoid Slice Softmax Split "
    "Squeeze Sub Sum Swish Tanh Transpose Unsqueeze Upsample Where"
).split()
MODULES = {"BatchNormalization": "batch_normalization"}  # the others are called as the operator


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
