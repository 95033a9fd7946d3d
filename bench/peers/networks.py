"""Networks of ImageNet as ONNX models with random weights, dense and with winners behind every activation."""

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class EnoughError(Exception):
    """A model has as many activations as it should."""


class Builder:
    """One model, layer after layer. rate below 1: at each position of a map, and among features, that share wins.

    After so many activations as `sites` says EnoughError is raised.
    """

    def __init__(self, side: int, rate: float = 1.0, sites: int = -1) -> None:
        self.random = np.random.default_rng(1)
        self.rate = rate
        self.side = side
        self.sites = sites
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.channels = {"x": 3}  # of each value
        self.last = "x"

    def constant(self, values: np.ndarray) -> str:
        """The name of a constant."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def node(self, op: str, inputs: list[str], channels: int, **attributes: object) -> str:
        """An operator; its output, of so many channels, is the last value."""
        self.last = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [self.last], **attributes))
        self.channels[self.last] = channels
        return self.last

    def weighted(self, shape: tuple[int, ...]) -> list[str]:
        """A weight (He et al.) and a bias of normal values."""
        deviation = np.sqrt(2 / np.prod(shape[1:]))
        weight = self.random.standard_normal(shape, dtype=np.float32) * np.float32(deviation)
        return [self.constant(weight), self.constant(0.1 * self.random.standard_normal(shape[0], dtype=np.float32))]

    def conv(self, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1, x: str | None = None) -> str:
        """A convolution of x (the last value), padded to keep its sides where the stride is 1."""
        x = x or self.last
        weights = self.weighted((outputs, self.channels[x] // groups, kernel, kernel))
        window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4, "group": groups}
        return self.node("Conv", [x, *weights], outputs, **window)

    def linear(self, inputs: int, outputs: int) -> str:
        """A linear layer on the last value."""
        return self.node("Gemm", [self.last, *self.weighted((outputs, inputs))], outputs, transB=1)

    def winners(self) -> None:
        """Values that are not below the k-th largest of their position stay: behind a ReLU none is negative."""
        if self.rate == 1:
            return
        x, channels = self.last, self.channels[self.last]
        count = self.constant(np.array([max(1, int(np.ceil(self.rate * channels - 1e-9)))], np.int64))
        self.nodes.append(helper.make_node("TopK", [x, count], [f"{x} top", f"{x} at"], axis=1))
        least = self.node("ReduceMin", [f"{x} top", self.constant(np.array([1], np.int64))], 1)
        wins = self.node("GreaterOrEqual", [x, least], channels)
        self.node("Where", [wins, x, self.constant(np.float32(0))], channels)

    def relu(self, pool: tuple[int, int, int] | None = None) -> str:
        """pool: kernel, stride and padding of a maximum that follows; winners are then chosen behind it."""
        channels = self.channels[self.last]
        self.node("Relu", [self.last], channels)
        if pool:
            window = {"kernel_shape": [pool[0]] * 2, "strides": [pool[1]] * 2, "pads": [pool[2]] * 4}
            self.node("MaxPool", [self.last], channels, **window)
        self.winners()
        self.sites -= 1
        if self.sites == 0:
            raise EnoughError
        return self.last

    def activation(self, op: str) -> str:
        """An operator of one value, or "SiLU", of which none of the set is."""
        x, channels = self.last, self.channels[self.last]
        if op != "SiLU":
            return self.node(op, [x], channels)
        return self.node("Mul", [x, self.node("Sigmoid", [x], channels)], channels)

    def mean(self) -> None:
        """The mean over all positions, as features."""
        channels = self.channels[self.last]
        self.node("Flatten", [self.node("GlobalAveragePool", [self.last], channels)], channels)

    def model(self) -> onnx.ModelProto:
        """What was built."""
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, self.side, self.side])],
            [helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        model.ir_version = 8
        return model


def vgg_16(net: Builder) -> None:
    """Simonyan & Zisserman's configuration D."""
    for channels, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for number in range(count):
            net.conv(channels)
            net.relu(pool=(2, 2, 0) if number == count - 1 else None)
    net.node("Flatten", [net.last], 512)
    for inputs in (512 * (net.side // 32) ** 2, 4096):
        net.linear(inputs, 4096)
        net.relu()
    net.linear(4096, 1000)


def resnet_18(net: Builder) -> None:
    """He et al.'s, normalizations folded into the convolutions."""
    net.conv(64, kernel=7, stride=2)
    x = net.relu(pool=(3, 2, 1))
    for channels in (64, 128, 256, 512):
        for block in range(2):
            stride = 2 if channels > 64 and block == 0 else 1
            beside = net.conv(channels, kernel=1, stride=2, x=x) if stride == 2 else x
            net.conv(channels, stride=stride, x=x)
            net.relu()
            net.node("Add", [net.conv(channels), beside], channels)
            x = net.relu()
    net.mean()
    net.linear(512, 1000)


def mobilenet_v1(net: Builder) -> None:
    """Howard et al.'s, normalizations folded into the convolutions."""
    net.conv(32, stride=2)
    net.relu()
    for channels, stride in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2)):
        net.conv(net.channels[net.last], stride=stride, groups=net.channels[net.last])
        net.relu()
        net.conv(channels, kernel=1)
        net.relu()
    net.conv(1024, groups=1024)
    net.relu()
    net.conv(1024, kernel=1)
    net.relu()
    net.mean()
    net.linear(1024, 1000)


def inverted(net: Builder, wide: int, outputs: int, kernel: int, stride: int, act: str, gate: int, inner: str) -> None:
    """Expansion, depthwise convolution, squeeze and excitation by `gate` channels (0: none), projection."""
    start = net.last
    if wide != net.channels[start]:
        net.conv(wide, kernel=1)
        net.activation(act)
    net.conv(wide, kernel=kernel, stride=stride, groups=wide)
    x = net.activation(act)
    if gate:
        net.node("GlobalAveragePool", [x], wide)
        net.conv(gate, kernel=1)
        net.activation(inner)
        net.conv(wide, kernel=1)
        opened = net.activation("Sigmoid" if inner == "SiLU" else "HardSigmoid")
        net.node("Mul", [x, opened], wide)
    y = net.conv(outputs, kernel=1)
    if stride == 1 and net.channels[start] == outputs:
        net.node("Add", [y, start], outputs)


# Widths of expansion and output, kernel, stride, activation, channels of the gate.
MOBILENET_V3_LARGE = (
    *((16, 16, 3, 1, "Relu", 0), (64, 24, 3, 2, "Relu", 0), (72, 24, 3, 1, "Relu", 0), (72, 40, 5, 2, "Relu", 24)),
    *((120, 40, 5, 1, "Relu", 32), (120, 40, 5, 1, "Relu", 32), (240, 80, 3, 2, "HardSwish", 0)),
    *((200, 80, 3, 1, "HardSwish", 0), (184, 80, 3, 1, "HardSwish", 0), (184, 80, 3, 1, "HardSwish", 0)),
    *((480, 112, 3, 1, "HardSwish", 120), (672, 112, 3, 1, "HardSwish", 168), (672, 160, 5, 2, "HardSwish", 168)),
    *((960, 160, 5, 1, "HardSwish", 240), (960, 160, 5, 1, "HardSwish", 240)),
)
# Blocks, factor of expansion, output, kernel, stride of the first.
EFFICIENTNET_B0 = (
    *((1, 1, 16, 3, 1), (2, 6, 24, 3, 2), (2, 6, 40, 5, 2), (3, 6, 80, 3, 2), (3, 6, 112, 5, 1), (4, 6, 192, 5, 2)),
    (1, 6, 320, 3, 1),
)


def mobilenet_v3(net: Builder) -> None:
    """Howard et al.'s large one, normalizations folded into the convolutions."""
    net.conv(16, stride=2)
    net.activation("HardSwish")
    for wide, outputs, kernel, stride, act, gate in MOBILENET_V3_LARGE:
        inverted(net, wide, outputs, kernel, stride, act, gate, "Relu")
    net.conv(960, kernel=1)
    net.activation("HardSwish")
    net.mean()
    net.linear(960, 1280)
    net.activation("HardSwish")
    net.linear(1280, 1000)


def efficientnet_b0(net: Builder) -> None:
    """Tan & Le's, normalizations folded into the convolutions."""
    net.conv(32, stride=2)
    net.activation("SiLU")
    for blocks, factor, outputs, kernel, first in EFFICIENTNET_B0:
        for block in range(blocks):
            inputs = net.channels[net.last]
            stride = first if block == 0 else 1
            inverted(net, factor * inputs, outputs, kernel, stride, "SiLU", inputs // 4, "SiLU")
    net.conv(1280, kernel=1)
    net.activation("SiLU")
    net.mean()
    net.linear(1280, 1000)


def whole(make: Callable[[Builder], None], side: int) -> onnx.ModelProto:
    """A network for images of one size."""
    net = Builder(side)
    make(net)
    return net.model()


def beginning(make: Callable[[Builder], None], side: int, sites: int, rate: float) -> onnx.ModelProto:
    """Its first layers up to so many activations, and a convolution that reads the last."""
    net = Builder(side, rate, sites)
    with suppress(EnoughError):
        make(net)
    net.conv(16, kernel=1)
    return net.model()
