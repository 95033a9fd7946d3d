"""What each ATen operator is to a plan."""

import dataclasses
import math
import re
from collections.abc import Callable, Sequence

import torch
from torch import fx

from taut._traced import (
    INPUT,
    Layer,
    Trace,
    Value,
    _each,
    argument,
    export,
    follow,
    module_path,
    operator_name,
    positions,
    view_of,
)

_SAME = {
    "dropout", "dropout_", "feature_dropout", "alpha_dropout", "contiguous", "to", "_to_copy", "detach", "detach_",
    "alias", "lift_fresh_copy", "type_as", "clone", "tril", "triu",
}  # fmt: skip
_POOLS = {f"{how}_pool{rank}d" for how in ("max", "avg", "adaptive_max", "adaptive_avg") for rank in (1, 2, 3)}
_POOLS |= {f"max_pool{rank}d_with_indices" for rank in (2, 3)}
_POOLS |= {"upsample_nearest1d", "upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d"}
_CONVOLUTIONS = {"convolution", *(f"conv{turned}{rank}d" for turned in ("", "_transpose") for rank in (1, 2, 3))}
_ALONG = {"softmax", "_softmax", "log_softmax", "_log_softmax", "cumsum", "sort", "flip", "roll", "glu"}
_ALONG |= {"mean", "sum", "amax", "amin", "prod", "var", "std", "logsumexp", "norm", "linalg_vector_norm"}
_LOSSES = re.compile(r".*loss.*|binary_cross_entropy.*|kl_div|smooth_l1.*")
_VIEWS = {"view", "reshape", "_unsafe_view", "flatten", "unflatten"}
_CUTS = {"chunk", "split", "split_with_sizes", "tensor_split", "slice", "narrow", "unbind", "select"}
_PRODUCTS = {"linear": (0, 1, 2), "addmm": (1, 2, 0), "mm": (0, 1, None), "matmul": (0, 1, None), "bmm": (0, 1, None)}


Rule = Callable[[Trace, fx.Node, list[Value], object], "Value | list[Value] | None"]


def trace(
    model: torch.nn.Module, example_inputs: object, keywords: dict | None = None, *, by_vocabulary: bool = False
) -> Trace:
    """The layers of a module, as it is now (training or not). by_vocabulary: the loss may be split by channels."""
    return Trace(model, export(model, example_inputs, keywords), apply, by_vocabulary=by_vocabulary)


def apply(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value | list[Value] | None:
    """What an operator with live operands makes."""
    return _rule(node, live)(trace, node, live, shapes)


def _rule(node: fx.Node, live: list[Value]) -> Rule:
    name = operator_name(node)
    if name in _RULES:
        return _RULES[name]
    if torch.Tag.pointwise in getattr(node.target, "tags", ()):
        return _pointwise
    if all(value.source == INPUT for value in live):
        return _prepared
    if _LOSSES.fullmatch(name):
        return _lost
    return Trace.unknown


def _alike(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value | list[Value] | None:
    """What acts alike on all samples and channels, and leaves them where they are."""
    return _each(shapes, lambda shape: dataclasses.replace(live[0], shape=shape))


def _prepared(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value | list[Value] | None:
    """Whatever is done to the inputs before a layer reads them."""
    return _each(shapes, lambda shape: Value(shape, INPUT, _batch_of(trace, shape)))


def _lost(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value | list[Value] | None:
    return _whole(trace, node, live, shapes, lost=True)


def _viewed(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value:
    return view_of(live[0], shapes, lambda dim: follow(dim, live[0].shape, shapes))


def _batch_of(trace: Trace, shape: Sequence[int]) -> int | None:
    return 0 if shape and shape[0] == trace.batch else None


def _name(node: fx.Node, parameter: str = "") -> str:
    """A layer's name: of the module whose parameter it has, else of the module that calls and the operator."""
    if parameter:
        return parameter.rpartition(".")[0] or parameter
    path = module_path(node)
    return f"{path}.{operator_name(node)}" if path else operator_name(node)


def _whole(
    trace: Trace, node: fx.Node, live: list[Value], shapes: object, *, lost: bool = False, channel: int | None = None
) -> Value | list[Value] | None:
    """A layer that needs whole samples; lost: what it makes has no samples any more. channel: of what it makes."""
    batch = None if lost else next((value.batch for value in live if value.batch is not None), None)
    first = shapes[0] if isinstance(shapes, list) else shapes
    words = sum(math.prod(shape) for shape in shapes) if isinstance(shapes, list) else math.prod(first)
    made = Value((words,), batch=batch)
    layer = Layer("", operator_name(node), "batch only", node.name, live, made)
    source = trace.add(node, layer, _name(node)).source

    def value(shape: tuple[int, ...]) -> Value:
        own = Value(shape, source, batch if batch is None or batch < len(shape) else None)
        if channel is None or channel >= len(shape) or channel == batch:
            return own
        return dataclasses.replace(own, channel=channel, channels=shape[channel])

    return _each(shapes, value)


def _copied(trace: Trace, node: fx.Node, live: list[Value], shape: tuple[int, ...], names: Sequence[str]) -> Value:
    """A layer with weights that each accelerator has whole, and whole samples."""
    made = Value(shape, batch=live[0].batch, channel=live[0].channel, channels=live[0].channels)
    alone = operator_name(node) != "group_norm" and made.channel == len(shape) - 1
    own = positions(made) if alone else 1
    layer = Layer("", operator_name(node), "weighted", node.name, live, made, positions=own, grouped=True)
    _own(trace, layer, {name: {} for name in names})
    return trace.add(node, layer, _name(node, names[0]))


def _own(trace: Trace, layer: Layer, parameters: dict[str, dict[str, int]]) -> None:
    for name in parameters:
        layer.weights += trace.model.get_parameter(name).numel()
    layer.parameters = parameters


def _pointwise(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value | list[Value] | None:
    if not isinstance(shapes, tuple):
        return trace.unknown(node, live, shapes)
    shape, rank = shapes, len(shapes)
    constants = [
        name
        for one in node.all_input_nodes
        if (value := trace.value(one)) is not None and value.source is None
        for name in value.parameters
    ]
    if constants and not all(value.source == INPUT for value in live):
        return _copied(trace, node, live, shape, list(dict.fromkeys(constants)))
    aligned = [
        dataclasses.replace(
            value,
            shape=shape,
            batch=None if value.batch is None else value.batch + rank - len(value.shape),
            channel=None if value.channel is None else value.channel + rank - len(value.shape),
        )
        for value in live
    ]
    batch = next((value.batch for value in aligned if value.batch is not None), None)
    channel = next((value.channel for value in aligned if value.channel is not None), None)
    alike = all(value.channel == channel for value in aligned)
    channels = math.gcd(*(value.channels for value in aligned)) if alike and channel is not None else 1
    made = Value(shape, live[0].source, batch, channel if alike else None, channels)
    if len({value.source for value in live}) == 1 and (alike or live[0].source == INPUT):
        return made
    if not alike or channel is None:
        return _whole(trace, node, live, shape)
    layer = Layer("", operator_name(node), "elementwise", node.name, live, made, channels, channels, positions(made))
    return trace.add(node, layer, _name(node))


def _product(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value | list[Value] | None:
    name = operator_name(node)
    left, right, bias = _PRODUCTS[name]
    a, b = trace.value(node.args[left]), trace.value(node.args[right])
    if a is None or b is None:
        return trace.unknown(node, live, shapes)
    if a.source is not None and b.source is not None:
        return _activations(trace, node, [a, b], shapes)
    if a.source is None or len(b.shape) != 2:
        return trace.unknown(node, live, shapes)
    if not b.parameters:  # a fixed matrix
        return _whole(trace, node, [a], shapes)
    inputs, outputs = (1, 0) if name == "linear" else (0, 1)
    named = _weight_name(trace, node.args[right])
    if named is None:
        return trace.unknown(node, live, shapes)
    weight, turned = named
    if turned:
        inputs, outputs = outputs, inputs
        size_in, size_out = (b.shape[0], b.shape[1]) if name != "linear" else (b.shape[1], b.shape[0])
    else:
        size_in, size_out = b.shape[inputs], b.shape[outputs]
    roles = {weight: {"II": inputs, "III": outputs}}
    shift = trace.value(node.args[bias]) if bias is not None and len(node.args) > bias else None
    if shift is not None and shift.parameters:
        roles[shift.parameters[0]] = {"III": 0}
    made = Value(shapes, batch=a.batch, channel=len(shapes) - 1, channels=size_out)
    reads_channels = a.channels if a.channel == len(a.shape) - 1 else 1
    layer = Layer(
        "", "fc", "weighted", node.name, [a], made, in_channels=math.gcd(reads_channels, size_in),
        out_channels=size_out, positions=positions(made), macs=made.words * size_in,
    )  # fmt: skip
    _own(trace, layer, roles)
    return trace.add(node, layer, _name(node, weight))


def _weight_name(trace: Trace, node: fx.Node) -> tuple[str, bool] | None:
    """The parameter that a matrix is, and whether it is turned."""
    turned = False
    while node.op == "call_function" and operator_name(node) in {"t", "transpose", "permute", "numpy_T"}:
        turned, node = not turned, node.args[0]
    name = trace.parameters.get(node.name)
    return None if name is None else (name, turned)


def _activations(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value | list[Value] | None:
    """A product of two activations, as attention has them: split by what both have in front, by heads."""
    a, b = live
    rank = len(shapes)
    front = all(value.channel is not None and value.channel < len(value.shape) - 2 for value in live)
    same = front and a.channel == b.channel and len(a.shape) == len(b.shape) == rank
    macs = math.prod(shapes) * a.shape[-1]
    if not same:
        made = _whole(trace, node, live, shapes)
        trace.layers[-1].macs = macs
        return made
    channels = math.gcd(a.channels, b.channels)
    made = Value(shapes, batch=a.batch, channel=a.channel, channels=channels)
    layer = Layer("", "product", "elementwise", node.name, live, made, channels, channels, macs=macs)
    return trace.add(node, layer, _name(node))


def _attention(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value | list[Value] | None:
    query, key, value = (trace.value(one) for one in node.args[:3])
    three = [one for one in (query, key, value) if one is not None]
    if len(three) != 3 or any(one.source is None for one in three):
        return trace.unknown(node, live, shapes)
    heads = len(query.shape) - 3
    split = heads > 0 and all(one.channel == heads == len(one.shape) - 3 for one in three) and len(live) == 3
    channels = math.gcd(*(one.channels for one in three)) if split else 1
    made = Value(shapes, batch=query.batch, channel=heads if split else None, channels=channels)
    macs = query.words * key.shape[-2] + made.words * key.shape[-2]
    kind = "elementwise" if split else "batch only"
    layer = Layer("", "attention", kind, node.name, live, made, channels, channels, macs=macs)
    return trace.add(node, layer, _name(node))


def _convolution(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value | list[Value] | None:
    name = operator_name(node)
    rank = len(shapes) - 2
    part = {one: argument(node, one) for one in ("input", "weight", "bias", "groups")}
    image, kernel = trace.value(part["input"]), trace.value(part["weight"])
    turned = "transpose" in name or bool(argument(node, "transposed"))
    weight = _weight_name(trace, part["weight"]) if kernel is not None else None
    if image is None or kernel is None or kernel.source is not None or weight is None or rank < 1 or len(live) != 1:
        return trace.unknown(node, live, shapes)
    groups = part["groups"] if isinstance(part["groups"], int) else 1
    outputs, inputs = shapes[1], image.shape[1]
    # A grouped one is split by whole groups.
    roles = {"C": 0} if groups > 1 else {"II": 0, "III": 1} if turned else {"II": 1, "III": 0}
    bias = trace.value(part["bias"])
    parameters = {weight[0]: roles}
    if bias is not None and bias.parameters:
        parameters[bias.parameters[0]] = {"C": 0} if groups > 1 else {"III": 0}
    reads = math.gcd(image.channels if image.channel == 1 else 1, inputs)
    writes = outputs
    if groups > 1:
        reads = writes = math.gcd(reads, writes, groups)
    made = Value(shapes, batch=image.batch, channel=1, channels=writes)
    window = math.prod(kernel.shape[2:])
    macs = (image.words * outputs if turned else made.words * inputs) * window // groups
    op = "conv-grouped" if groups > 1 else "conv"
    layer = Layer(
        "", op, "weighted", node.name, [image], made, reads, writes, grouped=groups > 1, kernel=kernel.shape[-1],
        macs=macs,
    )  # fmt: skip
    _own(trace, layer, parameters)
    return trace.add(node, layer, _name(node, weight[0]))


def _embedding(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value | list[Value] | None:
    rows = trace.value(node.args[0])
    if rows is None or rows.source is not None or not rows.parameters or live[0].source != INPUT:
        return trace.unknown(node, live, shapes)
    bags = operator_name(node) == "embedding_bag"
    shape = shapes[0] if bags else shapes
    count, dim = rows.shape
    made = Value(shape, batch=_batch_of(trace, shape) if bags else live[0].batch, channel=len(shape) - 1)
    made = dataclasses.replace(made, channels=dim)
    largest = bags and len(node.args) > 4 and node.args[4] == 2
    layer = Layer(
        "", "embedding", "weighted", node.name, live, made, in_channels=1 if largest else count,
        out_channels=dim, positions=1 if bags else positions(made),
    )  # fmt: skip
    _own(trace, layer, {rows.parameters[0]: {"II": 0, "III": 1}})
    value = trace.add(node, layer, _name(node, rows.parameters[0]))
    return [value, *(Value(one) for one in shapes[1:])] if bags else value


def _tables(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value | list[Value] | None:
    """Elastic tables: each whole on one accelerator."""
    module = trace.model.get_submodule(module_path(node))
    options = module.options["tables"]
    held = module.statistics().get("memory_bytes", 0)
    made = Value(shapes, batch=None if shapes[0] % trace.batch else 0)  # bags, or the ids of samples one by one
    layer = Layer("", "embedding", "batch only", node.name, live, made)
    rows = [max(1, table["distinct_ids"]) for table in options]
    for table, count in zip(options, rows, strict=True):
        layer.tables.append(
            {
                "name": f"{module_path(node)}.{table['name']}",
                "rows": count,
                "dim": module.options["dim"],
                "bytes": int(held * count / sum(rows)),
                "rows_read": max(1, made.words // len(rows) // (module.options["dim"] * trace.batch)),
            }
        )
    return trace.add(node, layer, module_path(node))


def _normalization(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value | list[Value] | None:
    names = [trace.parameters[one.name] for one in node.all_input_nodes if one.name in trace.parameters]
    shape = shapes[0] if isinstance(shapes, list) else shapes
    if len(live) != 1 or operator_name(node).startswith("native"):
        return trace.unknown(node, live, shapes)
    if "batch_norm" in operator_name(node):
        channels = live[0].channels if live[0].channel == 1 else 1
        made = Value(shape, batch=live[0].batch, channel=1, channels=channels)
        if not names:
            return dataclasses.replace(made, source=live[0].source)
        layer = Layer("", "batch_norm", "weighted", node.name, live, made, channels, channels, grouped=True)
        _own(trace, layer, {name: {"C": 0} for name in names})
        return trace.add(node, layer, _name(node, names[0]))
    if names:
        return _copied(trace, node, live, shape, names)
    if operator_name(node) in {"layer_norm", "rms_norm"}:
        first = len(shape) - len(node.args[1])
        if live[0].channel is None or live[0].channel < first:
            return dataclasses.replace(live[0], shape=shape)
    return _whole(trace, node, live, shapes)


def _along(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value | list[Value] | None:
    """Operators over some dimensions: reductions, softmax."""
    value, rank = live[0], len(live[0].shape)
    given = argument(node, "dim", argument(node, "dims"))
    over = range(rank) if given is None or given == [] else [given] if isinstance(given, int) else given
    over = sorted({dim % rank for dim in over}) if rank else []
    if value.source == INPUT:
        return _each(shapes, lambda shape: Value(shape, INPUT, _batch_of(trace, shape)))
    if value.batch in over:
        return _whole(trace, node, live, shapes, lost=True)
    if value.channel in over:
        return _whole(trace, node, live, shapes)
    first = shapes[0] if isinstance(shapes, list) else shapes
    gone = [] if len(first) == rank else over

    def place(dim: int) -> int:
        return dim - sum(one < dim for one in gone)

    return _each(shapes, lambda shape: view_of(value, shape, place))


def _cut(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value | list[Value] | None:
    value, rank = live[0], len(live[0].shape)
    dim = argument(node, "dim", 0) % rank
    first = shapes[0] if isinstance(shapes, list) else shapes
    same = isinstance(shapes, tuple) and shapes == value.shape
    if value.source != INPUT and dim == value.batch and not same:
        return trace.unknown(node, live, shapes)
    if value.source != INPUT and dim == value.channel and not same:
        made = _whole(trace, node, live, shapes, channel=None if len(first) < rank else dim)
        trace.layers[-1].positions = positions(value)
        return made
    gone = [dim] if len(first) < rank else []
    lost = dim if not same else None

    def place(one: int) -> int | None:
        return None if one == lost else one - sum(other < one for other in gone)

    return _each(shapes, lambda shape: view_of(value, shape, place))


def _permuted(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value:
    rank, name = len(live[0].shape), operator_name(node)
    order = list(range(rank))
    if name == "permute":
        order = [dim % rank for dim in node.args[1]]
    else:
        one, other = (0, 1) if name == "t" else (node.args[1] % rank, node.args[2] % rank)
        order[one], order[other] = order[other], order[one]
    return view_of(live[0], shapes, order.index)


def _ranked(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value:
    """unsqueeze, squeeze, expand: dimensions of size 1 that come or go."""
    old, new, name = live[0].shape, shapes, operator_name(node)
    if name == "unsqueeze":
        at = node.args[1] % len(new)
        return view_of(live[0], new, lambda dim: dim + (dim >= at))
    if name == "squeeze":
        return view_of(live[0], new, lambda dim: follow(dim, old, new))
    if live[0].channel is not None and old[live[0].channel] != new[live[0].channel - len(old)]:
        return dataclasses.replace(live[0], shape=new, channel=None, channels=1)
    return view_of(live[0], new, lambda dim: dim + len(new) - len(old))


def _joined(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value | list[Value] | None:
    stacked = operator_name(node) == "stack"
    rank = len(shapes)
    dim = (node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)) % rank
    if all(value.source == INPUT for value in live):
        return Value(shapes, INPUT, _batch_of(trace, shapes))
    if len(live) != len(node.all_input_nodes):
        return _whole(trace, node, live, shapes)
    moved = [view_of(value, shapes, lambda one: one + (stacked and one >= dim)) if stacked else value for value in live]
    if not stacked and dim in {value.batch for value in live}:
        return trace.unknown(node, live, shapes)
    channel = moved[0].channel
    alike = all(value.channel == channel for value in moved) and channel is not None and (stacked or channel != dim)
    if not alike:
        return _whole(trace, node, live, shapes, channel=dim)
    channels = math.gcd(*(value.channels for value in moved))
    made = Value(shapes, moved[0].source, moved[0].batch, channel, channels)
    if len({value.source for value in live}) == 1:
        return made
    layer = Layer("", "concat", "elementwise", node.name, live, made, channels, channels)
    return trace.add(node, layer, _name(node))


def _item(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value | None:
    found = trace.values[node.args[0].name]
    return found[node.args[1]] if isinstance(found, list) else found


def _indexed(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value | list[Value] | None:
    value, indices = trace.value(node.args[0]), node.args[1]
    if value is None or value.source == INPUT or value.source is None:
        return Value(shapes, INPUT, _batch_of(trace, shapes)) if len(live) == 1 else trace.unknown(node, live, shapes)
    first = next((place for place, index in enumerate(indices) if index is not None), len(value.shape))
    if len(live) > 1 or value.batch is None or value.batch >= first:
        return trace.unknown(node, live, shapes)
    if value.channel is not None and value.channel >= first:
        return _whole(trace, node, live, shapes)
    return view_of(value, shapes, lambda dim: dim)


def _padded(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value | list[Value] | None:
    rank = len(live[0].shape)
    changed = {dim for dim in range(rank) if live[0].shape[dim] != shapes[dim]}
    if live[0].batch in changed:
        return trace.unknown(node, live, shapes)
    if live[0].channel in changed:
        return _whole(trace, node, live, shapes)
    return dataclasses.replace(live[0], shape=shapes)


def _repeated(trace: Trace, node: fx.Node, live: list[Value], shapes: object) -> Value | list[Value] | None:
    """repeat_interleave: parts of a dimension stay together."""
    dim = argument(node, "dim")
    if dim is None or dim % len(live[0].shape) == live[0].batch:
        return trace.unknown(node, live, shapes)
    return dataclasses.replace(live[0], shape=shapes)


_RULES: dict[str, Rule] = {
    **dict.fromkeys(_SAME, _alike),
    **dict.fromkeys(_POOLS, _alike),
    **dict.fromkeys(_VIEWS, _viewed),
    **dict.fromkeys(_PRODUCTS, _product),
    **dict.fromkeys(_CONVOLUTIONS, _convolution),
    **dict.fromkeys(_CUTS, _cut),
    **dict.fromkeys(_ALONG, _along),
    "scaled_dot_product_attention": _attention,
    "embedding": _embedding,
    "embedding_bag": _embedding,
    "tables_lookup": _tables,
    "layer_norm": _normalization,
    "rms_norm": _normalization,
    "batch_norm": _normalization,
    "group_norm": _normalization,
    "instance_norm": _normalization,
    "transpose": _permuted,
    "permute": _permuted,
    "t": _permuted,
    "unsqueeze": _ranked,
    "squeeze": _ranked,
    "expand": _ranked,
    "cat": _joined,
    "concat": _joined,
    "stack": _joined,
    "getitem": _item,
    "index": _indexed,
    "pad": _padded,
    "constant_pad_nd": _padded,
    "repeat_interleave": _repeated,
}
