"""Runs a PyTorch module under a plan, by PyTorch's own DTensor."""

import copy
import math
from collections.abc import Callable

import torch
from torch import fx
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard, distribute_tensor
from torch.utils import _pytree as pytree

from taut import _dealt_tables, _traced_rules
from taut._local_layers import LOCAL, Pieces
from taut._traced import INPUT, Layer, Trace, Value, argument, call_key, operator_name
from taut.plans import Plan


def parallelize(model: torch.nn.Module, mesh: DeviceMesh, plan: Plan, *, share_tables: bool = False) -> torch.nn.Module:
    """Splits a module's layers over a mesh as a plan says. In place; returns the module.

    Parameters become DTensors with the placements of ``plan.placements(mesh)``, without being sent: every process must
    have made the module with the same values. Buffers stay whole on each process. ``forward`` then runs the traced
    operators on each process' shards and moves tensors where the plan changes their layout; it is traced again when
    shapes of inputs, or ``training``, change. Inputs are whole batches, the same on each process, or DTensors of any
    placement; outputs are DTensors as the plan's loss reads them: split by the first dimension, by the last one where
    the plan was made with ``vocabulary_loss`` and says so, or whole where the loss stays whole (``replicate``). An
    optimizer must be made afterwards.

    Elastic tables are each with the process that the plan names (``plan.result["tables"]["accelerator"]``), which looks
    up and trains the rows of all samples; the others have only what was loaded before, so that each process saves and
    loads a ``state_dict()`` of its own. A budget is that of each process. With ``share_tables`` the rows of every table
    lie on all processes by their hashes instead, under one budget: after the same gradients they are the rows of one
    process. ``state_dict()`` and copies then hold all rows, and all processes make them together.

    mesh: its dimensions are the plan's levels, or products of neighbouring ones that split each layer alike.

    Raises ValueError where mesh and plan do not fit, a layer of the plan is not in the module, or one cannot run so:
    elastic tables with ``fused=False``; dropout, or parameters that no layer owns, where layers stay whole (``R``).
    """
    types = plan.types_on(mesh.shape)
    placements = plan.placements(mesh)
    names = dict(model.named_parameters(remove_duplicate=False))
    if unknown := placements.keys() - names.keys():
        raise ValueError(f"the plan has parameters that the module has not: {', '.join(sorted(unknown))}")
    _dealt_tables.check(model, mesh, share_tables)
    made: dict[torch.nn.Parameter, torch.nn.Parameter] = {}
    for name, parameter in names.items():
        owner = model.get_submodule(name.rpartition(".")[0])
        if _dealt_tables.is_tables(owner):
            continue
        if parameter not in made:
            whole = (Replicate(),) * mesh.ndim
            split = distribute_tensor(parameter.detach(), mesh, placements.get(name, whole), src_data_rank=None)
            made[parameter] = torch.nn.Parameter(split, requires_grad=parameter.requires_grad)
        setattr(owner, name.rpartition(".")[2], made[parameter])
    owners = None if share_tables else plan.result.get("tables", {}).get("accelerator", {})
    if share_tables:
        _dealt_tables.share(model, mesh)
    model.forward = _Forward(model, mesh, types, owners)
    if plan.traced is not None:
        model.forward.add(*plan.traced)
    return model


class _Shapes:
    """A copy of a module without values, to be traced."""

    def __init__(self, model: torch.nn.Module):
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        tensors = [*model.parameters(), *model.buffers()]
        made = {id(one): self._like(one) for one in tensors}
        for module in model.modules():
            if _dealt_tables.is_tables(module):  # whose rows are not copied
                shallow = made[id(module)] = copy.copy(module)
                shallow.__dict__["_parameters"] = {"anchor": made[id(module.anchor)]}
                shallow.__dict__["_shared"] = False
        with self.mode:
            self.model = copy.deepcopy(model, made)

    def _like(self, tensor: torch.Tensor) -> torch.Tensor:
        made = self._fake(tensor)
        return torch.nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, torch.nn.Parameter) else made

    def _fake(self, one: object) -> object:
        if isinstance(one, DTensor):
            with self.mode:
                return torch.empty(one.shape, dtype=one.dtype, device=one.device_mesh.device_type)
        return self.mode.from_tensor(one.detach()) if isinstance(one, torch.Tensor) else one

    def trace(self, arguments: tuple, keywords: dict, training: list[bool]) -> Trace:
        for module, now in zip(self.model.modules(), training, strict=True):
            module.training = now

        arguments, keywords = pytree.tree_map(self._fake, (arguments, keywords))
        return _traced_rules.trace(self.model, arguments, keywords)


class _Forward:
    """What a module's ``forward`` becomes."""

    def __init__(
        self, model: torch.nn.Module, mesh: DeviceMesh, types: dict[str, list[str]], owners: dict[str, int] | None
    ):
        self.model, self.mesh, self.types, self.owners = model, mesh, types, owners
        self.shapes: _Shapes | None = None  # made with the first call that has to be traced
        self.programs: dict[object, _Program] = {}

    def __call__(self, *arguments: object, **keywords: object) -> object:
        key = call_key(self.model, arguments, keywords)
        if key not in self.programs:
            training = [module.training for module in self.model.modules()]
            self.add(key, self._plain().trace(arguments, keywords, training))
        return self.programs[key].run(pytree.tree_leaves((arguments, keywords)))

    def _plain(self) -> _Shapes:
        """The module as it was, without values."""
        if self.shapes is None:
            own = self.model.__dict__.pop("forward")
            try:
                self.shapes = _Shapes(self.model)
            finally:
                self.model.forward = own
        return self.shapes

    def add(self, key: object, trace: Trace) -> None:
        """Makes the program of a trace. Raises ValueError where the plan lacks one of its layers."""
        if missing := {layer.name for layer in trace.layers} - self.types.keys():
            raise ValueError(f"the plan has no layers {', '.join(sorted(missing))}")
        named = {table["name"] for layer in trace.layers for table in layer.tables}
        if self.owners is not None and (missing := named - self.owners.keys()):
            raise ValueError(f"the plan has no tables {', '.join(sorted(missing))}")
        self.programs[key] = _Program(self.model, trace, self.mesh, self.types, self.owners)


class _Program:
    """A traced program on shards.

    owners: of each elastic table, by its name in the plan, the process that has it, as its place in the mesh; None
        where all processes share the rows.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        trace: Trace,
        mesh: DeviceMesh,
        types: dict[str, list[str]],
        owners: dict[str, int] | None,
    ):
        self.model, self.trace, self.mesh, self.types, self.owners = model, trace, mesh, types, owners
        self.by_name = {layer.name: layer for layer in trace.layers}
        for name in self.by_name:
            ways = math.prod(mesh.size(dim) for dim, split in enumerate(types[name]) if split == "I")
            if trace.batch % ways:
                raise ValueError(
                    f"layer {name}: {trace.batch} samples cannot be shared by {ways} processes equally; positions of a "
                    "sample are planned, but not run"
                )
        self.first_reader: dict[str, list[str]] = {}
        for layer in trace.layers:
            for value in layer.reads:
                if value.source:
                    self.first_reader.setdefault(value.source, types[layer.name])
        signature = trace.signature
        self.sources: dict[str, Callable[[], torch.Tensor]] = {}
        for name, parameter in signature.inputs_to_parameters.items():
            self.sources[name] = lambda parameter=parameter: self.model.get_parameter(parameter)
        for name, buffer in signature.inputs_to_buffers.items():
            self.sources[name] = lambda buffer=buffer: self.model.get_buffer(buffer)
        for name, constant in signature.inputs_to_lifted_tensor_constants.items():
            self.sources[name] = lambda constant=constant: trace.constants[constant]
        for name in signature.inputs_to_lifted_custom_objs:  # tables, which their modules have
            self.sources[name] = lambda: None
        self.made: dict[str, object] = {}
        self.constants: dict[tuple[str, tuple[int, ...]], object] = {}  # by name, and where each process has the same

    def run(self, leaves: list[object]) -> object:
        inputs = iter(leaves)
        self.made, self.constants = {}, {}
        try:
            for node in self.trace.graph.nodes:
                if node.op == "placeholder":
                    if node.name not in self.sources:
                        self.made[node.name] = next(inputs)
                elif node.op == "output":
                    outputs = [self._given_back(one) for one in node.args[0]]
                    return pytree.tree_unflatten(outputs, self.trace.outputs)
                elif self._is_live(node):
                    self.made[node.name] = self._call(node)
                elif getattr(node.target, "_schema", None) is not None and node.target._schema.is_mutable:
                    self.constant(node, [])
        finally:
            self.made, self.constants = {}, {}
        raise AssertionError("a program without output")

    def _is_live(self, node: fx.Node) -> bool:
        value = self.trace.values.get(node.name)
        first = value[0] if isinstance(value, list) else value
        return first is not None and first.source is not None

    def constant(self, node: object, types: list[str] | None) -> object:
        """What depends on no input, computed where it is wanted.

        types: of the operator that reads it, as whose pieces parameters count: as the samples of one process do, and
            once where all processes do the same (R; None: everywhere).
        """
        if not isinstance(node, fx.Node):
            return node
        if node.name in self.made:
            return self.made[node.name]
        if getattr(getattr(node.target, "_schema", None), "is_mutable", False):  # which is done once
            types = []
        same = tuple(dim for dim in range(self.mesh.ndim) if types is None or "R" in types[dim : dim + 1])
        if (node.name, same) in self.constants:
            return self.constants[node.name, same]
        if node.op == "placeholder":
            found = self.sources[node.name]()
            if isinstance(found, DTensor):
                whole = (Replicate(),) * self.mesh.ndim
                sums = [Replicate() if dim in same else Partial() for dim in range(self.mesh.ndim)]
                found = found.redistribute(placements=whole).to_local(grad_placements=sums)
        else:
            _refuse_draws(node, types or [])
            found = node.target(*self._constants(node.args, types), **self._constants(node.kwargs, types))
        self.constants[node.name, same] = found
        return found

    def _constants(self, arguments: object, types: list[str] | None) -> object:
        return fx.map_arg(arguments, lambda one: self.constant(one, types))

    def _call(self, node: fx.Node) -> object:
        values = self.trace.values[node.name]
        layer = self.trace.makers.get(node.name)
        if layer is not None and layer.name in self.by_name:
            return self._layer(node, layer)
        if node.target.__name__ == "getitem":
            return self.made[node.args[0].name][node.args[1]]
        first = values[0] if isinstance(values, list) else values
        live = [one for one in node.all_input_nodes if self._is_live(one)]
        if first.source == INPUT:
            return self._apply(node, self._plain)
        if first.batch is None:  # behind a loss
            return self._apply(node, self._whole_or_dtensor)
        return self._along(node, live, values)

    def _plain(self, node: fx.Node) -> object:
        found = self.made[node.name] if self._is_live(node) else self.constant(node, [])
        return found.full_tensor() if isinstance(found, DTensor) else found

    def _whole_or_dtensor(self, node: fx.Node) -> object:
        found = self.made[node.name] if self._is_live(node) else self.constant(node, None)
        if isinstance(found, DTensor) or not isinstance(found, torch.Tensor):
            return found
        return DTensor.from_local(found, self.mesh, (Replicate(),) * self.mesh.ndim, run_check=False)

    def _apply(self, node: fx.Node, read: Callable[[fx.Node], object]) -> object:
        return node.target(*fx.map_arg(node.args, read), **fx.map_arg(node.kwargs, read))

    def _layer(self, node: fx.Node, layer: Layer) -> object:
        types = self.types[layer.name]
        if layer.makes.batch is None:  # a loss: DTensor knows what sums and means of shards are
            for one in node.all_input_nodes:
                if self._is_live(one) and self.trace.value(one).batch is not None:
                    self.made[one.name] = self.moved(one, types)
            return self._apply(node, self._whole_or_dtensor)
        _refuse_draws(node, types)
        pieces = Pieces(self, node, layer, types)
        made = LOCAL.get(layer.op, Pieces.call)(pieces)
        values = self.trace.values[node.name]
        if isinstance(values, list):
            return [self.joined(one, value, types) for one, value in zip(made, values, strict=True)]
        return self.joined(made, values, types, layer)

    def moved(self, node: fx.Node, types: list[str]) -> DTensor:
        """An operand in the layout that a layer of these types reads."""
        found, value = self.made[node.name], self.trace.value(node)
        if not isinstance(found, DTensor):
            found = DTensor.from_local(found, self.mesh, (Replicate(),) * self.mesh.ndim, run_check=False)
        wanted = tuple(
            Replicate() if split in ("III", "R") else Shard(value.batch if split == "I" else value.channel)
            for split in types
        )
        return found.redistribute(placements=wanted)

    def joined(self, piece: object, value: Value, types: list[str], layer: Layer | None = None) -> object:
        """The tensor whose shard a layer made. Partial sums are added at once, into the layout that is read."""
        if not isinstance(piece, torch.Tensor) or value.source is None:
            return piece
        places = {"I": Shard(value.batch), "II": Partial(), "R": Replicate()}
        made: list[Placement] = [places.get(split) or Shard(value.channel) for split in types]
        found = DTensor.from_local(piece, self.mesh, made, run_check=False)
        if layer is None or layer.kind != "weighted" or "II" not in types:
            return found
        read = self.first_reader.get(layer.name, ["I"] * len(types))
        for dim, split in enumerate(types):
            if split == "II" and read[dim] == "R":  # whole at once, so that its error is not cut on the way back
                made[dim] = Replicate()
            elif split == "II":
                made[dim] = Shard(value.batch if read[dim] == "I" else value.channel)
        return found.redistribute(placements=made)

    def _along(self, node: fx.Node, live: list[fx.Node], values: object) -> object:
        """What belongs to the layer before: on shards, which stay where they are."""
        first = values[0] if isinstance(values, list) else values
        found = [self.made[one.name] for one in live]
        place = self._kept(found[0], self.trace.value(live[0]), first)
        _refuse_draws(node, place)
        local = {}
        for one, tensor in zip(live, found, strict=True):
            value = self.trace.value(one)
            same = [self._at(value, piece) for piece in place]
            local[one.name] = tensor.redistribute(placements=same).to_local()
        pieces = self._cuts(place)

        def read(one: fx.Node) -> object:
            return local[one.name] if one.name in local else self._sliced(self.constant(one, place), first, pieces)

        arguments, keywords = fx.map_arg(node.args, read), fx.map_arg(node.kwargs, read)
        if node.target._schema.name.split("::")[1] in _SIZED:
            size = list(first.shape)
            for dim, (count, _) in {first.batch: pieces["I"], first.channel: pieces["C"]}.items():
                if dim is not None:
                    size[dim] //= count
            made = arguments[0].expand(size) if "expand" in node.target.__name__ else arguments[0].reshape(size)
        elif node.target._schema.is_mutable:  # a shard may be seen by others
            made = node.target(arguments[0].clone(), *arguments[1:], **keywords)
            self.made[live[0].name] = self._again(made, self.trace.value(live[0]), place)
        else:
            made = node.target(*arguments, **keywords)
        if isinstance(values, list):
            return [self._again(one, value, place) for one, value in zip(made, values, strict=True)]
        return self._again(made, values, place)

    def _again(self, piece: torch.Tensor, value: Value, place: list[str]) -> DTensor:
        return DTensor.from_local(piece, self.mesh, [self._at(value, one) for one in place], run_check=False)

    @staticmethod
    def _at(value: Value, place: str) -> Placement:
        return Replicate() if place == "R" else Shard(value.batch if place == "I" else value.channel)

    def _kept(self, tensor: DTensor, before: Value, after: Value) -> list[str]:
        """On each dimension of the mesh, what is split; channels that a view takes apart become samples first."""
        place = []
        for one in tensor.placements:
            if one == Shard(before.batch):
                place.append("I")
            elif isinstance(one, Shard):
                place.append("C" if after.channel is not None else "I")
            else:
                place.append("R")
        return place

    def _cuts(self, place: list[str]) -> dict[str, tuple[int, int]]:
        """Into how many parts samples and channels are cut, and which of them is here."""
        cuts = {"I": (1, 0), "C": (1, 0), "R": (1, 0)}
        for dim, one in enumerate(place):
            count, index = cuts[one]
            size = self.mesh.size(dim)
            cuts[one] = (count * size, index * size + self.mesh.get_local_rank(dim))
        return cuts

    @staticmethod
    def _sliced(constant: object, value: Value, cuts: dict[str, tuple[int, int]]) -> object:
        """The part of a constant that goes with a shard."""
        if not isinstance(constant, torch.Tensor):
            return constant
        for dim, (count, index) in ((value.batch, cuts["I"]), (value.channel, cuts["C"])):
            if dim is None or count == 1:
                continue
            own = dim + constant.dim() - len(value.shape)
            if own >= 0 and constant.shape[own] == value.shape[dim]:
                constant = constant.chunk(count, own)[index]
        return constant

    def _given_back(self, node: object) -> object:
        if not isinstance(node, fx.Node):
            return node
        if not self._is_live(node):
            return self.constant(node, None)
        value = self.trace.value(node)
        if value.source == INPUT or value.batch is None:
            return self.made[node.name]
        return self.moved(node, self.types[self.trace.layers[-1].name])


def _refuse_draws(node: fx.Node, places: list[str]) -> None:
    """Raises ValueError where copies of a tensor (R) would draw different numbers."""
    if "R" not in places or torch.Tag.nondeterministic_seeded not in getattr(node.target, "tags", ()):
        return
    named = {one.name for one in node.target._schema.arguments}
    off = [argument(node, name) for name in ("train", "training", "p", "dropout_p") if name in named]
    if not off or all(off):
        raise ValueError(
            f"{operator_name(node)} draws random numbers, which is not run where layers stay whole (R), as their "
            "copies would differ: plan without replicate, or in eval()"
        )


_SIZED = {"view", "reshape", "_unsafe_view", "flatten", "unflatten", "expand"}
