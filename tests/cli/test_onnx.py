"""ONNX files on the command line: sizes of open dimensions, and files that flood the reader."""

import resource

import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed (scripts/setup.sh)")

from onnx import TensorProto, helper  # noqa: E402


@pytest.fixture
def model(tmp_path):
    """[batch, length, 8] by weights of 8 x 4."""
    path = tmp_path / "m.onnx"
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "made",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "length", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor("w", TensorProto.FLOAT, [8, 4], [0.0] * 32)],
    )
    onnx.save(helper.make_model(graph), path)
    return path


def test_every_command_takes_sizes_of_dimensions(taut, model):
    assert taut("info", model, "--dim", "length=10", "--json").json["macs"] == 320
    assert taut("info", model, "--dim", "x.1=10", "--dim", "batch=2", "--json").json["macs"] == 320
    for command in "plan", "simulate":
        taut(command, model, "--dim", "length=10", "--accelerators", 4, "--json")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--dim length=SIZE"),
        (["--dim", "length=10", "--dim", "lenght=10"], "did you mean length?"),
        (["--dim", "length"], "not NAME=SIZE"),
        (["--dim", "length=0"], "not NAME=SIZE"),
        (["--dim", "length=99999999999999999999"], "not NAME=SIZE"),
        (["--dim", "length=10", "--dim", "length=11"], "two sizes, 10 and 11"),
        (["--dim", f"length={2**41}"], "must be from 1 to 2^40"),
    ],
)
def test_sizes_that_do_not_fit_are_one_line(taut, model, arguments, named):
    refused = taut("info", model, *arguments, check=False)
    assert refused.code == 2
    assert named in refused.err
    assert refused.err.count("\n") == 1


def test_sizes_are_for_onnx_files(taut):
    for command in "info", "plan":
        refused = taut(command, "alexnet", "--dim", "length=10", check=False)
        assert (refused.code, "is for ONNX files" in refused.err) == (2, True)


def varint(number):
    text = bytearray()
    while number > 127:
        text.append(number & 127 | 128)
        number >>= 7
    return bytes([*text, number])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def node(operator, inputs, output):
    parts = [field(1, name) for name in inputs] + [field(2, output), field(4, operator)]
    return field(1, b"".join(parts))


def matrix(name):
    size = field(1, b"\x08\x04")
    return field(11, field(1, name) + field(2, field(1, b"\x08\x01" + field(2, size + size))))


def functions():
    """Each calls the one before it sixteen times."""
    for level in range(10):
        names = [b"a", *(b"n" * 1000 + b"%d" % i for i in range(15)), b"c"]
        calls = []
        for i in range(16):
            call = field(1, names[i]) + field(2, names[i + 1]) + field(4, b"f%d" % (level - 1) if level else b"Relu")
            calls.append(field(7, call + (field(7, b"m") if level else b"")))
        yield field(25, field(1, b"f%d" % level) + field(10, b"m") + field(4, b"a") + field(5, b"c") + b"".join(calls))


def floods():
    sets = field(8, b"\x10\x11")
    x, y = matrix(b"x"), field(12, field(1, b"y"))
    yield "empty_nodes", sets + field(7, x + b"\x0a\x00" * 1_500_000)
    yield "attributes", sets + field(7, x + field(1, b"\x2a\x00" * 1_500_000))
    yield "unknown_operators", sets + field(7, x + b"".join(node(b"Zelu", [b"x"], b"t%d" % i) for i in range(100_000)))
    layers = b"".join(node(b"MatMul", [b"x", b"x"], b"t%d" % i) for i in range(30_000))
    total = node(b"Sum", [b"t%d" % i for i in range(30_000)], b"y")
    yield "layers_of_one_reader", sets + field(7, x + layers + total + y)
    called = field(1, field(1, b"x") + field(2, b"y") + field(4, b"f9") + field(7, b"m"))
    yield "functions", sets + field(7, x + called + y) + b"".join(functions())
    ones = field(5, field(8, b"c") + b"\x10\x07" + b"\x08" + varint(4096) + field(7, b"\x01" * 4096))
    sums = b"".join(node(b"Add", [b"c", b"c"], b"t%d" % i) for i in range(100_000))
    yield "sums_of_constants", sets + field(7, x + ones + sums + node(b"MatMul", [b"x", b"x"], b"y") + y)


FLOODS = dict(floods())


@pytest.mark.parametrize("name", FLOODS)
def test_floods_take_little_memory_and_time(taut, tmp_path, name):
    path = tmp_path / "flood.onnx"
    path.write_bytes(FLOODS[name])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = taut("info", path, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.code in (0, 2), done.err
    assert after.ru_utime - before.ru_utime < 10
    assert after.ru_maxrss < 2 << 20
