"""What a layer computes on the shards of one process."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import fx
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard
from torch.nn import functional

from taut import _dealt_tables
from taut._traced import Layer, argument, operator_name

if TYPE_CHECKING:
    from taut.parallel import _Program


class Pieces:
    """A layer's operands on one process.

    types: how the layer is split on each dimension of the mesh.
    """

    def __init__(self, program: "_Program", node: fx.Node, layer: Layer, types: list[str]):
        self.program, self.node, self.layer, self.types = program, node, layer, types
        self.mesh = program.mesh

    def cut(self, *splits: str) -> tuple[int, int]:
        """Into how many parts these types cut, and which of them is here."""
        count, index = 1, 0
        for dim, split in enumerate(self.types):
            if split in splits:
                count, index = count * self.mesh.size(dim), index * self.mesh.size(dim) + self.mesh.get_local_rank(dim)
        return count, index

    def operand(self, node: fx.Node) -> torch.Tensor:
        """A shard of what another layer made. Its gradient is a partial sum where all channels are read by each."""
        moved = self.program.moved(node, self.types)
        back = [
            Partial() if split == "III" else place for split, place in zip(self.types, moved.placements, strict=True)
        ]
        return moved.to_local(grad_placements=back)

    def parameter(self, name: str) -> torch.Tensor:
        """A shard of a parameter of the layer. Its gradient is a partial sum where samples are split."""
        dims = self.layer.parameters[name]
        place = [Shard(dims[split]) if split in dims else Replicate() for split in self.types]
        back = [Partial() if split == "I" else one for split, one in zip(self.types, place, strict=True)]
        whole = self.program.model.get_parameter(name)
        shard = whole.redistribute(placements=place).to_local(grad_placements=back)
        if "II" in self.types and "II" not in dims:  # a bias, which one process adds; all get its gradient
            first = self.cut("II")[1] == 0
            shard = shard if first else shard - shard.detach()
        return shard

    def read(self, node: fx.Node) -> object:
        """Whatever an argument stands for."""
        if self.program._is_live(node):
            return self.operand(node)
        turns, source = [], node
        while source.op == "call_function" and operator_name(source) in {"t", "transpose", "permute", "numpy_T"}:
            turns.append(source)
            source = source.args[0]
        name = self.program.trace.parameters.get(source.name)
        if name is None or name not in self.layer.parameters:
            return self.program.constant(node, self.types)
        shard = self.parameter(name)
        for turn in reversed(turns):
            shard = turn.target(shard, *turn.args[1:], **turn.kwargs)
        return shard

    def arguments(self) -> tuple[tuple, dict]:
        return fx.map_arg(self.node.args, self.read), fx.map_arg(self.node.kwargs, self.read)

    def call(self) -> object:
        """The operator itself, on shards."""
        arguments, keywords = self.arguments()
        return self.node.target(*arguments, **keywords)


def _grouped(pieces: Pieces) -> torch.Tensor:
    """A convolution whose groups are split."""
    arguments, keywords = pieces.arguments()
    names = [one.name for one in pieces.node.target._schema.arguments]
    arguments = list(arguments)
    arguments[names.index("groups")] //= pieces.cut("C")[0]
    return pieces.node.target(*arguments, **keywords)


def _embedding(pieces: Pieces) -> object:
    if pieces.layer.tables:
        return _dealt_tables.look_up(pieces)
    if operator_name(pieces.node) == "embedding_bag":
        return _bags(pieces)
    rows = pieces.parameter(next(iter(pieces.layer.parameters)))
    ids = _ids(pieces, pieces.node.args[1])
    padding = argument(pieces.node, "padding_idx")
    count, index = pieces.cut("II")
    if count == 1:
        return functional.embedding(ids, rows, None if padding is None or padding < 0 else padding)
    ids = ids - index * rows.shape[0]
    elsewhere = (ids < 0) | (ids >= rows.shape[0])
    return functional.embedding(ids.masked_fill(elsewhere, 0), rows).masked_fill(elsewhere.unsqueeze(-1), 0)


def _ids(pieces: Pieces, node: fx.Node) -> torch.Tensor:
    """Ids, of the samples that are here."""
    whole = pieces.program._plain(node)
    count, index = pieces.cut("I")
    value = pieces.program.trace.value(node)
    return whole if count == 1 else whole.chunk(count, value.batch)[index]


def _bags(pieces: Pieces) -> list[torch.Tensor]:
    """Sums, means or maxima of rows; where rows are split, of those that are here."""
    node = pieces.node
    rows = pieces.parameter(next(iter(pieces.layer.parameters)))
    ids, offsets = (pieces.program._plain(one) for one in node.args[1:3])
    weights = argument(node, "per_sample_weights")
    if argument(node, "include_last_offset") or weights is not None:
        raise ValueError(f"layer {pieces.layer.name}: bags with weights or a last offset cannot be split")
    count, index = pieces.cut("I")
    ends = torch.cat((offsets[1:], offsets.new_tensor([ids.numel()])))
    if count > 1:
        offsets, ends = offsets.chunk(count)[index], ends.chunk(count)[index]
        ids, offsets, ends = ids[int(offsets[0]) : int(ends[-1])], offsets - offsets[0], ends - offsets[0]
    mode = ("sum", "mean", "max")[argument(node, "mode")]
    padding = argument(node, "padding_idx")
    padding = None if padding is None or padding < 0 else padding
    count, index = pieces.cut("II")
    if count == 1:
        return [functional.embedding_bag(ids, rows, offsets, mode=mode, padding_idx=padding), None, None, None]
    counted = torch.ones_like(ids, dtype=rows.dtype) if padding is None else (ids != padding).to(rows.dtype)
    if mode == "mean":
        bag = torch.repeat_interleave(torch.arange(len(ends), device=ids.device), ends - offsets)
        sizes = torch.zeros(len(ends), dtype=rows.dtype, device=ids.device).index_add(0, bag, counted)
        counted = counted / sizes.clamp(min=1)[bag]
    ids = ids - index * rows.shape[0]
    elsewhere = (ids < 0) | (ids >= rows.shape[0])
    counted = counted.masked_fill(elsewhere, 0)
    ids = ids.masked_fill(elsewhere, 0)
    return [functional.embedding_bag(ids, rows, offsets, mode="sum", per_sample_weights=counted), None, None, None]


def _batch_norm(pieces: Pieces) -> torch.Tensor:
    """Batch normalization with the mean and variance of the whole batch."""
    node, program = pieces.node, pieces.program
    x = pieces.operand(node.args[0])
    scale, shift = (pieces.read(one) if one is not None else None for one in node.args[1:3])
    mean, variance = (program.constant(one, []) for one in node.args[3:5])
    training, momentum, epsilon = node.args[5:8]
    count, index = pieces.cut("C")
    if not training:
        mean, variance = (one.chunk(count)[index] for one in (mean, variance))
        return functional.batch_norm(x, mean, variance, scale, shift, False, momentum, epsilon)
    over = [dim for dim in range(x.dim()) if dim != 1]
    samples = x.numel() // x.shape[1] * pieces.cut("I")[0]
    shape = [1, -1] + [1] * (x.dim() - 2)
    here = _summed(pieces, x.sum(over)) / samples
    centred = x - here.view(shape)
    spread = _summed(pieces, centred.square().sum(over)) / samples
    if mean is not None:
        with torch.no_grad():
            mean.lerp_(_gathered(pieces, here), momentum)
            variance.lerp_(_gathered(pieces, spread * (samples / max(samples - 1, 1))), momentum)
    y = centred * torch.rsqrt(spread + epsilon).view(shape)
    if scale is not None:
        y = y * scale.view(shape)
    return y if shift is None else y + shift.view(shape)


def _summed(pieces: Pieces, here: torch.Tensor) -> torch.Tensor:
    """The sum over all processes that have other samples; so is its gradient."""
    whole = _by_channel(pieces)
    sums = [Partial() if split == "I" else place for split, place in zip(pieces.types, whole, strict=True)]
    return (
        DTensor.from_local(here, pieces.mesh, sums, run_check=False)
        .redistribute(placements=whole)
        .to_local(grad_placements=sums)
    )


def _gathered(pieces: Pieces, here: torch.Tensor) -> torch.Tensor:
    """All channels' values."""
    return DTensor.from_local(here.detach(), pieces.mesh, _by_channel(pieces), run_check=False).full_tensor()


def _by_channel(pieces: Pieces) -> list[Placement]:
    """How a value for each channel lies."""
    return [Shard(0) if split == "C" else Replicate() for split in pieces.types]


# By the operator that a layer has in the plan; others are called as they are.
LOCAL: dict[str, Callable[[Pieces], object]] = {
    "conv-grouped": _grouped,
    "embedding": _embedding,
    "batch_norm": _batch_norm,
}
