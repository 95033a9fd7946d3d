"""Plans for PyTorch modules: which layer is split how over an array of accelerators."""

import html
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from taut import command

if TYPE_CHECKING:
    import torch
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor import Placement

    from taut._traced import Trace

VERSION = 1


class Plan:
    """How the layers of a module are split; what ``taut.plan(module, example_inputs)`` gives.

    It prints as a table. A layer has the name of the module whose weights it has, other ones ("add", attention) that of
    the module that calls and of the operator; each has a split at every level of the array, top level first: ``I``
    (samples), ``II`` (input channels), ``III`` (output channels), ``C`` (both together), ``R`` (nothing: with
    ``replicate=True``, each group computes all of it).

    Attributes:
        result: what ``taut plan --json`` prints, with ``parameters`` beside.
    """

    def __init__(self, result: dict):
        self.result = result
        self.traced: tuple[object, Trace] | None = None  # how it was made, so that it need not be traced again

    @property
    def bytes_per_step(self) -> float:
        """What all accelerators together send in a step, predicted."""
        return self.result["bytes_per_step"]

    @property
    def seconds_per_step(self) -> float:
        """Of a step, nothing overlapped, predicted for the cluster."""
        return self.result["seconds_per_step"]

    @property
    def memory_bytes(self) -> float:
        """Of one accelerator."""
        return self.result["memory_bytes"]

    @property
    def accelerators(self) -> int:
        """Of the whole array."""
        return self.result["accelerators"]

    @property
    def splits(self) -> dict[str, list[str]]:
        """Of each layer, by name, at every level."""
        return {layer["name"]: layer["splits"] for layer in self.result["layers"]}

    @property
    def constraints(self) -> dict[str, float]:
        """What each constraint adds, all others kept, and "all" of them: seconds, or bytes with objective="words"."""
        costs = self.result.get("constraints", [])
        return {one["constraint"]: one.get("extra_seconds", one.get("extra_bytes")) for one in costs}

    @property
    def parameters(self) -> dict[str, dict]:
        """Of each parameter that a layer reads, by name: ``layer``, its ``splits``, and ``dims``, the dimension that
        each split cuts (those that are not named leave the parameter whole)."""
        splits = self.splits
        return {name: {**one, "splits": splits[one["layer"]]} for name, one in self.result["parameters"].items()}

    def levels_of(self, mesh_shape: Sequence[int]) -> list[range]:
        """The levels that each dimension of a mesh stands for, in order.

        Raises ValueError for a mesh whose dimensions are no products of neighbouring levels.
        """
        factors, first, dims = self.result["factors"], 0, []
        for size in mesh_shape:
            last, product = first, 1
            while product < size and last < len(factors):
                product, last = product * factors[last], last + 1
            if product != size:
                break
            dims.append(range(first, last))
            first = last
        if len(dims) != len(mesh_shape) or first != len(factors):
            raise ValueError(
                f"mesh of {tuple(mesh_shape)}: its dimensions must be products of the plan's levels "
                f"{tuple(factors)}, in this order"
            )
        return dims

    def types_on(self, mesh_shape: Sequence[int]) -> dict[str, list[str]]:
        """The split of each layer on each dimension of a mesh.

        Raises ValueError where a dimension stands for several levels that split a layer differently.
        """
        dims = self.levels_of(mesh_shape)
        types = {}
        for name, splits in self.splits.items():
            types[name] = []
            for dim in dims:
                found = sorted({splits[level] for level in dim}) or ["I"]
                if len(found) > 1:
                    raise ValueError(
                        f"layer {name} is split by {' '.join(splits[level] for level in dim)} on one dimension of the "
                        f"mesh {tuple(mesh_shape)}; a mesh of {tuple(self.result['factors'])} has one for each level"
                    )
                types[name] += found
        return types

    def placements(self, mesh: "DeviceMesh") -> dict[str, tuple["Placement", ...]]:
        """DTensor placements of each parameter of the module that a layer reads, by name; the others are replicated.

        Raises ValueError for a mesh that does not fit the levels (see ``types_on``).
        """
        from torch.distributed.tensor import Replicate, Shard  # noqa: PLC0415, PyTorch is loaded with its first use

        types = self.types_on(mesh.shape)
        return {
            name: tuple(
                Shard(one["dims"][split]) if split in one["dims"] else Replicate() for split in types[one["layer"]]
            )
            for name, one in self.result["parameters"].items()
        }

    def to_json(self, path: str | Path | None = None) -> str:
        """The plan as text, by names of parameters and layers; written to a file where one is named."""
        text = json.dumps({"taut_plan": VERSION, **self.result})
        if path is not None:
            Path(path).write_text(text)
        return text

    @classmethod
    def from_json(cls, source: str | Path) -> "Plan":
        """Reads what ``to_json`` gave: a path, or the text. Raises ValueError for anything else."""
        is_text = isinstance(source, str) and source.lstrip().startswith("{")
        text = source if is_text else Path(source).read_text()
        where = "the text" if is_text else str(source)
        try:
            result = json.loads(text)
        except json.JSONDecodeError as wrong:
            raise ValueError(f"{where} is no plan: {wrong}") from wrong
        if not isinstance(result, dict) or result.pop("taut_plan", None) != VERSION:
            raise ValueError(f"{where} is no plan of version {VERSION}")
        missing = {"layers", "parameters", "factors", "accelerators", "bytes_per_step"} - result.keys()
        if missing:
            raise ValueError(f"{where} is no plan: {', '.join(sorted(missing))} missing")
        return cls(result)

    def _rows(self) -> list[list[str]]:
        rows = [["layer", "operator", "split", "inside", "boundary", "exchange", "memory", "runner-up (others kept)"]]
        for layer in self.result["layers"]:
            other = layer.get("runner_up")
            extra = f"{' '.join(other['splits'])} +{_added(other)}" if other else ""
            rows.append(
                [
                    layer["name"],
                    layer["op"],
                    " ".join(layer["splits"]),
                    _scaled(layer["inside_bytes"], "B"),
                    _scaled(layer["boundary_bytes"], "B"),
                    _scaled(layer["communication_seconds"], "s"),
                    _scaled(layer["memory_bytes"], "B"),
                    extra,
                ]
            )
        return rows

    def _summary(self) -> str:
        return (
            f"{self.result['model']}, batch {self.result['batch']}, {self.accelerators} accelerators: "
            f"{_scaled(self.bytes_per_step, 'B')} and {_scaled(self.seconds_per_step, 's')} a step, "
            f"{_scaled(self.memory_bytes, 'B')} each; {self.result['guarantee']}"
        )

    def __str__(self) -> str:
        rows = self._rows()
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(
                cell.ljust(width) if column < 3 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        constraints = [
            f"constraint {one['constraint']} adds {_added(one)}" for one in self.result.get("constraints", [])
        ]
        return "\n".join([*lines, "", self._summary(), *constraints])

    def __repr__(self) -> str:
        return f"Plan({self._summary()})"

    def _repr_html_(self) -> str:
        head, *rows = self._rows()
        cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        return (
            f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table><p>{html.escape(self._summary())}</p>"
        )


def _added(extra: dict) -> str:
    return _scaled(extra["extra_seconds"], "s") if "extra_seconds" in extra else _scaled(extra["extra_bytes"], "B")


def _scaled(value: float, unit: str) -> str:
    """ "1.23 MB", "45 ms": three digits, powers of 1000."""
    if not value:
        return f"0 {unit}"
    prefixes, value = ("n", "\u00b5", "m", "", "k", "M", "G", "T", "P"), value * 1e9
    place = 0
    while abs(value) >= 999.5 and place + 1 < len(prefixes):
        value, place = value / 1000, place + 1
    return f"{value:.3g} {prefixes[place]}{unit}"


def _given(plan: "Plan | Mapping[str, Sequence[str]] | str | Path", path: Path) -> Path:
    """A plan's file: of a plan, of splits by layer, or of one that is there."""
    if isinstance(plan, (str, Path)):
        return Path(plan)
    splits = plan.splits if isinstance(plan, Plan) else plan
    layers = [{"name": name, "splits": list(one)} for name, one in splits.items()]
    path.write_text(json.dumps({"layers": layers}))
    return path


def plan_module(
    model: "torch.nn.Module",
    example_inputs: object,
    cluster: str | Path | None = None,
    *,
    keywords: Mapping[str, object] | None = None,
    batch: int | None = None,
    evaluate: "Plan | Mapping[str, Sequence[str]] | str | Path | None" = None,
    vocabulary_loss: bool = False,
    **options: object,
) -> Plan:
    """See ``taut.plan``."""
    from taut import _traced, _traced_rules  # noqa: PLC0415, PyTorch is loaded with its first use

    keywords = dict(keywords or {})
    trace = _traced_rules.trace(model, example_inputs, keywords, by_vocabulary=vocabulary_loss)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "module.json")
        path.write_text(json.dumps(trace.cost_graph(type(model).__name__)))
        if evaluate is not None:
            options["evaluate"] = _given(evaluate, Path(folder, "given.json"))
        options = {
            "raw_sums": True,
            "even_channels": True,
            "batch": batch or trace.batch,
            "cluster": cluster,
            **options,
        }
        result = command.run("plan", path, **options)
    parameters = {}
    for layer in trace.layers:
        for name, dims in layer.parameters.items():
            parameters.setdefault(name, {"layer": layer.name, "dims": dims})
    plan = Plan({**result, "parameters": parameters})
    plan.traced = (_traced.call_key(model, _traced.positional(example_inputs), keywords), trace)
    return plan
