"""A module as layers that a planner can split: what ``torch.export`` sees of it, read by ATen operator.

What acts alike on all samples and channels (activations, normalisations without weights over other dimensions, pools,
views) belongs to the layer before it; everything else is a layer of its own.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import fx
from torch.utils import _pytree as pytree

INPUT = ""  # as a source: what the caller hands in


class UnknownOperatorError(ValueError):
    """Operators that a plan cannot be made of.

    Attributes:
        operators: of each, the name in the graph, the operator and the module that calls it.
    """

    def __init__(self, operators: list[tuple[str, str, str]]):
        self.operators = operators
        told = "; ".join(f"{name}: {target} in {module or 'the model'}" for name, target, module in operators)
        super().__init__(f"operators that no plan can be made of, {told}")


@dataclasses.dataclass(frozen=True)
class Value:
    """A tensor of the program.

    source: the layer that makes it, INPUT, or None for what depends on no input.
    batch, channel: the dimensions of samples and of channels, None where there is none.
    channels: those that can be told apart: they are cut into equal parts of these.
    parameters: those that a constant is computed from.
    """

    shape: tuple[int, ...]
    source: str | None = None
    batch: int | None = None
    channel: int | None = None
    channels: int = 1
    parameters: tuple[str, ...] = ()

    @property
    def words(self) -> int:
        return math.prod(self.shape)


@dataclasses.dataclass
class Layer:
    """A node of the planner's graph and the operator that makes it. Words are of the whole example batch.

    positions: into how many parts a sample can be cut besides, where each is worked on alone.
    """

    name: str
    op: str
    kind: str  # "weighted", "elementwise", "batch only"
    call: str  # the name of the node in the program
    reads: list[Value]
    makes: Value
    in_channels: int = 1
    out_channels: int = 1
    positions: int = 1
    grouped: bool = False
    kernel: int = 1
    macs: int = 0
    weights: int = 0
    parameters: dict[str, str] = dataclasses.field(default_factory=dict)  # by name: "weight", "bias", "copied"
    tables: list[dict] = dataclasses.field(default_factory=list)


def positions(value: Value) -> int:
    """Into how many equal parts, a power of two, a sample can be cut beside its channels."""
    over = math.prod(size for dim, size in enumerate(value.shape) if dim not in (value.batch, value.channel))
    return over & -over if value.batch is not None else 1


def operator_name(node: fx.Node) -> str:
    """ "linear" of torch.ops.aten.linear.default; "getitem" of the Python function."""
    schema = getattr(node.target, "_schema", None)
    return schema.name.split("::")[1] if schema is not None else getattr(node.target, "__name__", str(node.target))


def module_path(node: fx.Node) -> str:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return stack[-1][0] if stack else ""


def _tensors(arguments: Iterable[object]) -> Iterator[fx.Node]:
    for one in arguments:
        if isinstance(one, fx.Node):
            yield one
        elif isinstance(one, (list, tuple)):
            yield from _tensors(one)


# What an operator with live operands makes: (trace, node, live operands, shape or shapes made).
Rules = Callable[["Trace", fx.Node, list[Value], object], "Value | list[Value] | None"]


class Trace:
    """Reads an exported program into layers.

    Attributes:
        graph, signature, constants, outputs: of the program, without the values of parameters.
        layers: in the program's order; the last one is the loss.
        values: of each node of the program that is a tensor (or a list of them), by its name.
        makers: the layers by the names of their nodes.
        batch: samples of the example.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        program: torch.export.ExportedProgram,
        rules: "Rules",
        *,
        by_vocabulary: bool = False,
    ):
        self.model = model
        self.graph = program.graph
        self.signature = program.graph_signature
        self.constants = dict(program.constants)
        self.outputs = program.call_spec.out_spec
        self._rules = rules
        self.layers: list[Layer] = []
        self.values: dict[str, Value | list[Value] | None] = {}
        self.makers: dict[str, Layer] = {}
        self._names: set[str] = set()
        self._unknown: list[tuple[str, str, str]] = []
        self.parameters = dict(self.signature.inputs_to_parameters)
        self._users = set(self.signature.user_inputs)
        self.batch = 0
        for node in program.graph.nodes:
            self._visit(node)
        if self._unknown:
            raise UnknownOperatorError(self._unknown)
        self._close(self.signature, by_vocabulary)
        self.model = None  # its values may go

    def _visit(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self._input(node)
        elif node.op == "call_function":
            self._call(node)
        elif node.op == "get_attr":
            self._unknown.append((node.name, f"get_attr {node.target}", module_path(node)))
            self.values[node.name] = None

    def _input(self, node: fx.Node) -> None:
        made = node.meta.get("val")
        if not isinstance(made, torch.Tensor):
            self.values[node.name] = None
            return
        shape = _shape(made)
        if node.name not in self._users:
            name = self.parameters.get(node.name)
            self.values[node.name] = Value(shape, parameters=(name,) if name else ())
            return
        if not self.batch and shape:
            self.batch = shape[0]
        channel = 1 if len(shape) == 4 else len(shape) - 1
        whole = bool(shape) and made.is_floating_point() and channel > 0
        self.values[node.name] = Value(
            shape,
            INPUT,
            0 if shape and shape[0] % max(self.batch, 1) == 0 else None,
            channel if whole else None,
            shape[channel] if whole else 1,
        )

    def value(self, node: object) -> Value | None:
        """Of a node that is a tensor."""
        found = self.values.get(node.name) if isinstance(node, fx.Node) else None
        return found if isinstance(found, Value) else None

    def _call(self, node: fx.Node) -> None:
        made = node.meta.get("val")
        shapes = [_shape(one) for one in made] if _is_list(made) else _shape(made) if _is_tensor(made) else None
        read = [value for one in _tensors([*node.args, *node.kwargs.values()]) for value in self._all(one)]
        live = [value for value in read if value.source is not None]
        if not live:
            constants = tuple(dict.fromkeys(name for value in read for name in value.parameters))
            self.values[node.name] = _each(shapes, lambda shape: Value(shape, parameters=constants))
            return
        if shapes is None:
            self.values[node.name] = None
            return
        self.values[node.name] = self._rules(self, node, live, shapes)

    def _all(self, node: fx.Node) -> list[Value]:
        found = self.values.get(node.name)
        return found if isinstance(found, list) else [found] if found is not None else []

    def unknown(self, node: fx.Node, live: list[Value], shapes: object) -> Value | list[Value]:
        """Notes an operator that no rule is for, and goes on to find the others."""
        self._unknown.append((node.name, str(node.target), module_path(node)))
        return _each(shapes, lambda shape: dataclasses.replace(live[0], shape=shape, channel=None, channels=1))

    def add(self, node: fx.Node, layer: Layer, name: str = "") -> Value:
        """Makes a layer; its name is the module's that has the weights, else that of the node."""
        base = name or node.name
        layer.name, count = base, 1
        while layer.name in self._names:
            count += 1
            layer.name = f"{base}#{count}"
        self._names.add(layer.name)
        layer.makes = dataclasses.replace(layer.makes, source=layer.name)
        self.layers.append(layer)
        self.makers[node.name] = layer
        return layer.makes

    def _close(self, signature: torch.export.ExportGraphSignature, by_vocabulary: bool) -> None:
        """Adds the loss behind what is given back, and leaves out what it does not depend on."""
        outputs = [self.values.get(name) for name in signature.user_outputs if name is not None]
        found = [one for value in outputs for one in (value if isinstance(value, list) else [value]) if one is not None]
        read = [value for value in found if value.source]
        if not read:
            raise ValueError("the model gives back nothing that a layer makes")
        name = "loss"
        while name in self._names:
            name += "_"
        loss = Layer(name, "loss", "batch only", "", read, Value((), name), positions=min(map(positions, read)))
        if by_vocabulary and all(value.channel is not None for value in read):
            loss.kind, loss.in_channels = "elementwise", math.gcd(*(value.channels for value in read))
            loss.out_channels = loss.in_channels
        wanted, kept = {value.source for value in read}, [loss]
        for layer in reversed(self.layers):
            if layer.name in wanted:
                kept.append(layer)
                wanted.update(value.source for value in layer.reads if value.source)
        self.layers = kept[::-1]
        self._narrow()

    def _narrow(self) -> None:
        """Output channels are cut as their readers can cut them, behind views: by whole heads."""
        by_name = {layer.name: layer for layer in self.layers}
        for layer in self.layers:
            for value in layer.reads:
                made_by = by_name.get(value.source)
                if made_by is not None and made_by.kind == "weighted" and value.channel is not None:
                    made_by.out_channels = math.gcd(made_by.out_channels, value.channels)

    def cost_graph(self, name: str) -> dict:
        """The planner's graph (``taut plan FILE.json``), words of one sample."""
        nodes, edges, tables = [], [], []
        made = {layer.name: layer.makes.words for layer in self.layers}
        for layer in self.layers:
            out = self._sample(layer.makes.words)
            if layer.op == "loss":  # nobody reads it, but what can be split has a word at least
                out = int(layer.kind != "batch only")
            levels = 0
            if layer.kind == "elementwise" or layer.grouped:
                levels = int(math.log2(layer.in_channels))
            read = sum(self._sample(value.words) for value in layer.reads)
            nodes.append(
                {
                    "name": layer.name,
                    "op": layer.op,
                    "kind": layer.kind,
                    "in_channels": layer.in_channels,
                    "out_channels": layer.out_channels,
                    "channel_levels": levels,
                    "positions": layer.positions,
                    "grouped": layer.grouped,
                    "kernel": layer.kernel,
                    "weights": layer.weights,
                    "in_words": read,
                    "out_words": out,
                    "raw_words": out,
                    "stored_words": read,
                    "macs": self._sample(layer.macs),
                    "input_macs": self._sample(layer.macs),
                }
            )
            for value in layer.reads:
                if value.source:
                    words, raw = self._sample(value.words), self._sample(made[value.source])
                    edges.append({"from": value.source, "to": layer.name, "words": words, "raw_words": max(words, raw)})
            tables += [{**table, "node": layer.name} for table in layer.tables]
        return {"name": name, "nodes": nodes, "edges": edges, "tables": tables}

    def _sample(self, count: int) -> int:
        return -(-count // self.batch) if count else 0


def _is_tensor(made: object) -> bool:
    return isinstance(made, torch.Tensor)


def _is_list(made: object) -> bool:
    return isinstance(made, (list, tuple)) and any(map(_is_tensor, made))


def _shape(tensor: torch.Tensor) -> tuple[int, ...]:
    return tuple(map(int, tensor.shape))


def _each(shapes: object, make: object) -> Value | list[Value] | None:
    if shapes is None:
        return None
    return [make(shape) for shape in shapes] if isinstance(shapes, list) else make(shapes)


def follow(dim: int | None, old: Sequence[int], new: Sequence[int]) -> int | None:
    """Where a dimension goes in a view that keeps the order of values: cut in parts, its outer one is followed."""
    if dim is None:
        return None
    before, size, running = math.prod(old[:dim]), old[dim], 1
    for place, length in enumerate(new):
        if running == before and (length != 1 or size == 1):
            return place if size % length == 0 or length % size == 0 else None
        running *= length
    return None


def argument(node: fx.Node, name: str, default: object = None) -> object:
    """An argument by the name that the operator's schema has for it."""
    for place, one in enumerate(node.target._schema.arguments):
        if one.name == name:
            return node.args[place] if place < len(node.args) else node.kwargs.get(name, one.default_value)
    return default


def view_of(value: Value, shape: tuple[int, ...], place: Callable[[int], int | None]) -> Value:
    """A view of a value: place says where a dimension goes."""
    channel = None if value.channel is None else place(value.channel)
    batch = None if value.batch is None else place(value.batch)
    if channel == batch:
        channel = None
    channels = 1 if channel is None else math.gcd(value.channels, shape[channel])
    return dataclasses.replace(value, shape=shape, batch=batch, channel=channel, channels=channels)


def call_key(model: torch.nn.Module, arguments: tuple, keywords: dict) -> object:
    """What decides how a call is traced: shapes and types of tensors, other arguments, which modules are training."""
    leaves, structure = pytree.tree_flatten((arguments, keywords))
    known = tuple((one.shape, one.dtype) if isinstance(one, torch.Tensor) else one for one in leaves)
    return str(structure), known, tuple(module.training for module in model.modules())


def positional(example_inputs: object) -> tuple:
    """Arguments, given as a tuple, a list, or one alone."""
    return tuple(example_inputs) if isinstance(example_inputs, (tuple, list)) else (example_inputs,)


def export(model: torch.nn.Module, example_inputs: object, keywords: dict | None) -> torch.export.ExportedProgram:
    """A module as it is now, training or not. example_inputs: a tuple, or one tensor."""
    return torch.export.export(model, positional(example_inputs), keywords or {}, strict=False)
