"""Our engine beside ONNX Runtime and oneDNN on the same layers: convolutions of VGG-16 and a linear layer, by rate.

Batch 1. At each position (of the linear layer: in the input) the given share of channels is not zero, as winners leave
them; both read the same values and the same file. Answers are compared first. A figure is the least of several calls in
a row: `taut bench` times its own, peers are called in this process, with as many threads. Ours reads and writes
channel-last, as it does inside a network; ONNX Runtime, with all optimizations, channel-first, as it does by default.
oneDNN is called through PyTorch in each way that it has, channel-first, channel-last and in its own layout with weights
laid out ahead; the fastest of them stands in the row.
"""

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper
from torch.utils import mkldnn

import evidence

PEER = f"ONNX Runtime {onnxruntime.__version__}"
ONEDNN = f"oneDNN in PyTorch {torch.__version__}"
RATES = (1.0, 0.3, 0.15, 0.1)
CONV_GOALS = {1.0: 0.9, 0.3: 2.4, 0.15: 4.2, 0.1: 5.5}
LINEAR_GOALS = {0.3: 2.8}
TOLERANCE = 1e-4  # relative to the largest answer: sums of up to 4,608 floats in another order
CALLS = 12


def winners(random: np.random.Generator, shape: tuple[int, ...], rate: float) -> np.ndarray:
    """Normal values [1, channels, ...] of which the largest share of the channels stays at each position."""
    x = random.standard_normal(shape, dtype=np.float32)
    kept = int(np.ceil(rate * shape[1]))
    if kept < shape[1]:
        least = np.sort(np.abs(x), axis=1)[:, shape[1] - kept : shape[1] - kept + 1]
        x[np.abs(x) < least] = 0
    return x


def write_model(path: Path, node: str, weight: np.ndarray, shapes: tuple[list, list], **attributes: object) -> None:
    """A model of one node that reads x and a weight."""
    graph = helper.make_graph(
        [helper.make_node(node, ["x", "w"], ["y"], **attributes)],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shapes[0])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shapes[1])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)


def run_taut(
    model: Path, x: np.ndarray, threads: int, calls: int, arguments: tuple[str, ...] = ()
) -> tuple[float, np.ndarray]:
    """Microseconds of our fastest call, and the answer; x and maps in the answer are channel-first."""
    program = evidence.ROOT / "build/release/bin/taut"
    if not program.exists():
        raise evidence.BenchError(f"{program} is missing, run make build")
    read, written = model.with_suffix(".x.bin"), model.with_suffix(".y.bin")
    np.moveaxis(x, 1, -1).astype("<f4").tofile(read)
    command = [program, "bench", model, "--json", "--threads", threads, "--repetitions", calls, *arguments]
    command += ["--input", read, "--output", written]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise evidence.BenchError(f"{model.name}: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    channels, height, width = result["layers"][-1]["out"]
    answer = np.moveaxis(np.fromfile(written, "<f4").reshape(len(x), height, width, channels), -1, 1)
    return result["latency_microseconds"]["least"], answer if height * width > 1 else answer.reshape(len(x), channels)


def open_session(model: Path, threads: int) -> onnxruntime.InferenceSession:
    """ONNX Runtime's, with all optimizations."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def onednn_ways(module: torch.nn.Module, x: np.ndarray) -> dict[str, Callable[[], torch.Tensor]]:
    """Calls of a module on x, by layout."""
    values = torch.from_numpy(x)
    own, read = mkldnn.to_mkldnn(module), values.to_mkldnn()
    ways = {"channel-first": lambda: module(values), "own layout": lambda: own(read)}
    if x.ndim == 4:
        last = values.to(memory_format=torch.channels_last)
        turned = torch.nn.Conv2d(module.in_channels, module.out_channels, 3, padding=1, bias=False)
        turned.load_state_dict(module.state_dict())
        turned.to(memory_format=torch.channels_last)
        ways["channel-last"] = lambda: turned(last)
    return ways


def fastest(ways: Mapping[str, Callable[[], torch.Tensor]], wanted: np.ndarray, name: str) -> Callable[[], object]:
    """The fastest way; all of them must give the wanted answer."""
    times = {}
    for way, call in ways.items():
        answer = call()
        check(f"{name}, {ONEDNN}, {way}", (answer.to_dense() if answer.is_mkldnn else answer).numpy(), wanted)
        times[way] = evidence.least_microseconds(call, CALLS)
    return ways[min(times, key=times.__getitem__)]


def check(name: str, answer: np.ndarray, wanted: np.ndarray) -> None:
    """An error where answers differ."""
    difference = np.abs(answer - wanted).max() / np.abs(wanted).max()
    if not difference <= TOLERANCE:
        raise evidence.BenchError(f"{name}: answers differ by {difference:g} of the largest")


class Layer:
    """One layer in a file, ready to be run by both sides."""

    def __init__(self, folder: Path, name: str, size: tuple[int, ...]) -> None:
        self.name = name
        self.path = folder / "layer.onnx"
        random = np.random.default_rng(1)
        if len(size) == 3:
            inputs, outputs, side = size
            weight = random.standard_normal((outputs, inputs, 3, 3), dtype=np.float32) / np.sqrt(9 * inputs)
            self.shape = (1, inputs, side, side)
            shapes = (list(self.shape), [1, outputs, side, side])
            write_model(self.path, "Conv", weight.astype(np.float32), shapes, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
            self.module = torch.nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        else:
            inputs, outputs = size
            weight = random.standard_normal((outputs, inputs), dtype=np.float32) / np.sqrt(inputs)
            self.shape = (1, inputs)
            write_model(self.path, "Gemm", weight.astype(np.float32), ([1, inputs], [1, outputs]), transB=1)
            self.module = torch.nn.Linear(inputs, outputs, bias=False)
        self.module.weight = torch.nn.Parameter(torch.from_numpy(weight.astype(np.float32)), requires_grad=False)

    def ours(self, x: np.ndarray, threads: int, calls: int) -> tuple[float, np.ndarray]:
        """Microseconds of the fastest call, and the answer, channel-first."""
        return run_taut(self.path, x, threads, calls)


def measure_rate(layer: Layer, rate: float, *, threads: int, repetitions: int) -> list[evidence.Row]:
    """One row a peer, all measured in turn."""
    x = winners(np.random.default_rng(2), layer.shape, rate)
    session = open_session(layer.path, threads)
    torch.set_num_threads(threads)
    wanted = session.run(None, {"x": x})[0]
    name = f"{layer.name}, rate {rate:g}"
    check(name, layer.ours(x, threads, 1)[1], wanted)
    goals = CONV_GOALS if len(layer.shape) == 4 else LINEAR_GOALS
    with torch.inference_mode():
        onednn = fastest(onednn_ways(layer.module, x), wanted, name)
        measured = evidence.interleave(
            {
                f"taut {name}": lambda: layer.ours(x, threads, CALLS)[0],
                PEER: lambda: evidence.least_microseconds(lambda: session.run(None, {"x": x}), CALLS + 1),
                ONEDNN: lambda: evidence.least_microseconds(onednn, CALLS + 1),
            },
            repetitions,
        )
    ours, *peers = measured.items()
    return [
        evidence.compare(name, "us", ours[1], peer, threads=threads, goal=goals.get(rate), lower_is_better=True)
        for peer in peers
    ]


def layers(*, quick: bool) -> list[tuple[str, tuple[int, ...]]]:
    """(name, sizes) of what is compared: inputs, outputs and side of a convolution, or of a linear layer."""
    if quick:
        return [("conv 64-64 14x14", (64, 64, 14)), ("linear 512-512", (512, 512))]
    convolutions = [(64, 64, 56), (128, 128, 56), (256, 256, 28), (512, 512, 14)]
    named = [(f"conv {i}-{o} {side}x{side}", (i, o, side)) for i, o, side in convolutions]
    return [*named, ("linear 4096-4096", (4096, 4096))]


def measure(options: evidence.Options) -> list[evidence.Row]:
    """All layers and rates on one thread, then on all."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for threads in sorted({1, options.threads}):
            for name, size in layers(quick=options.quick):
                layer = Layer(Path(folder), name, size)
                for rate in RATES:
                    rows += measure_rate(layer, rate, threads=threads, repetitions=options.repetitions)
    return rows
