"""Elastic embedding tables for PyTorch models."""

import contextlib
import inspect
import json
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from taut import _library
from taut.loss_scale import follow_grad_scalers

_library.load()
follow_grad_scalers()

# Arguments of torch.nn.EmbeddingBag that change nothing here, each with the values that it may have.
_OF_TORCH = {
    "max_norm": ((None,), "rows keep the norm that training gives them"),
    "norm_type": ((2, 2.0), "it goes with max_norm"),
    "scale_grad_by_freq": ((False,), "a row's gradients are summed over the batch"),
    "sparse": ((False, True), ""),
    "device": ((None, "cpu", torch.device("cpu")), "tables lie in the memory of the CPU"),
    "dtype": ((None, torch.float32), "outputs are float32, value_type says how rows are stored"),
}


class ElasticEmbeddingBag(torch.nn.Module):
    """A drop-in for ``torch.nn.EmbeddingBag``, same defaults, whose rows live inside a byte budget in training too.

    The rows are no parameters: ``backward()`` applies the table's own optimizer (row-wise Adagrad) at once,
    summing the gradients of equal ids first; other optimizers have nothing to do for it. Ids are any 64-bit
    integers: ``num_embeddings`` only says what the full table would take, for budgets given as ratios.

    A module owns its rows: ``copy.deepcopy``, ``pickle``, ``torch.save``, ``state_dict`` and ``torch.export`` take
    rows, optimizer state and budget along. A loss that ``torch.amp.GradScaler`` scaled trains as the loss itself;
    ``accumulate`` makes one step of several ``backward()`` calls. Calls from several threads are done one after
    another. Forked processes (workers of a DataLoader) look up in the rows as they were at the fork, on one thread.

    Args:
        num_embeddings: distinct ids that are expected, or 0 if not known (then give a budget in bytes).
        embedding_dim: full length of a row, a multiple of 4.
        memory_budget: "16MiB", a number of bytes, or a ratio of the full table such as "1/10". Everything
            counts: values, index, importance, optimizer state.
        mode: "sum" or "mean".
        include_last_offset: as in ``torch.nn.EmbeddingBag``.
        padding_idx: an id that is left out of its bags; below 0 it counts from num_embeddings, as there.
        loss_reduction: "mean" when the loss is averaged over the batch (gradients are multiplied by the
            number of bags, since the table's optimizer wants those of the summed loss), else "sum".
        threads: 0 means one for each processor. Results do not depend on it; tables share their threads.
        options: further options of the table; ``help(ElasticEmbeddingBag)`` ends with their list.

    >>> bag = ElasticEmbeddingBag(100_000, 16, memory_budget="1/10", learning_rate=0.1)
    >>> ids = torch.tensor([7, 7, 12345, 99])
    >>> out = bag(ids, torch.tensor([0, 3]))
    >>> out.shape
    torch.Size([2, 16])
    >>> out.square().mean().backward()
    >>> bag.statistics()["memory_bytes"] <= bag.statistics()["budget_bytes"]
    True
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        memory_budget: str | int | float = "1/10",
        mode: str = "mean",
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        loss_reduction: str = "mean",
        threads: int = 0,
        **options,
    ):
        super().__init__()
        if mode not in ("sum", "mean"):
            raise ValueError(f"mode must be 'sum' or 'mean', got {mode!r}")
        if loss_reduction not in ("sum", "mean"):
            raise ValueError(f"loss_reduction must be 'sum' or 'mean', got {loss_reduction!r}")
        for name, (values, why) in _OF_TORCH.items():
            if name in options and (given := options.pop(name)) not in values:
                raise ValueError(f"{name} must be {values[0]}, got {given}: {why}")
        if padding_idx is not None and padding_idx < -num_embeddings:
            raise ValueError(f"padding_idx must be at least -num_embeddings = {-num_embeddings}, got {padding_idx}")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.mode = mode
        self.include_last_offset = include_last_offset
        self.padding_idx = padding_idx + num_embeddings if padding_idx is not None and padding_idx < 0 else padding_idx
        self.options = {
            "tables": [{"name": "bag", "distinct_ids": num_embeddings}],
            "dim": embedding_dim,
            "budget": memory_budget,
            **options,
        }
        self._scale = 1.0 if loss_reduction == "sum" else 0.0
        self._tables = torch.classes.taut.Tables(json.dumps(self.options), threads)
        self._key = torch.ops.taut.tables_key(self._tables)
        self.anchor = torch.nn.Parameter(torch.zeros(()))

    def __copy__(self) -> "ElasticEmbeddingBag":
        """As of any module: a shallow copy shares the rows."""
        copied = self.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __reduce_ex__(self, protocol: int) -> tuple:
        """Copies and pickles: the tables as plain bytes.

        torch.save (protocol 2) stores tensors better than bytes, and gets the tables as such. What is sent to another
        process gets bytes, since the memory of a tensor that is sent ends with the tensor.
        """
        function, arguments, state, *rest = super().__reduce_ex__(protocol)
        if protocol > 2:
            (options, threads, rows), _ = self._tables.__getstate__()
            state = {**state, "_tables": (options, threads, bytearray(rows.numpy()))}
        return function, arguments, state, *rest

    def __setstate__(self, state: dict) -> None:
        """Makes a copy, or what a pickle holds: with tables of its own, and therefore another key."""
        if isinstance(state["_tables"], tuple):
            options, threads, rows = state["_tables"]
            state = {**state, "_tables": torch.classes.taut.Tables(options, threads)}
            torch.ops.taut.tables_load(state["_tables"], torch.frombuffer(rows, dtype=torch.uint8))
        super().__setstate__(state)
        self._key = torch.ops.taut.tables_key(self._tables)

    def forward(
        self,
        input: torch.Tensor,
        offsets: torch.Tensor | None = None,
        per_sample_weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Pooled rows [bags, embedding_dim].

        input: ids [bags, length], nested ids [bags, *], or [n] with offsets [bags] ([bags + 1] with
            ``include_last_offset``).
        per_sample_weights: float32 of input's shape, only with mode "sum"; they get no gradient.
        """
        ids, ends = self._flatten(input, offsets)
        weights = []
        if per_sample_weights is not None:
            if self.mode != "sum":
                raise ValueError("per_sample_weights go with mode 'sum' alone")
            if input.is_nested and per_sample_weights.is_nested:
                input, per_sample_weights = input.values(), per_sample_weights.values()
            if per_sample_weights.shape != input.shape:
                shapes = f"{tuple(input.shape)}, got {tuple(per_sample_weights.shape)}"
                raise ValueError(f"per_sample_weights must have the shape of input, {shapes}")
            weights = [per_sample_weights.reshape(-1)]
        # Compiled graphs take no objects where they train, so that there the tables go by their key.
        keyed = torch.compiler.is_compiling() and not torch.compiler.is_exporting()
        out = (torch.ops.taut.keyed_lookup if keyed else torch.ops.taut.tables_lookup)(
            self.anchor,
            self._key if keyed else self._tables,
            self.embedding_dim,
            self._scale,
            [ids],
            [ends],
            weights,
            self.mode == "mean",
            self.padding_idx,
        )
        return out.squeeze(1)

    def _flatten(self, input, offsets):
        if input.dim() == 2:
            if input.is_nested and offsets is None:
                return input.values(), input.offsets()
            if offsets is not None:
                raise ValueError("offsets must be None when input has 2 dimensions")
            bags, length = input.shape
            return input.reshape(-1), torch.arange(0, bags * length + 1, length) if length else (
                torch.zeros(bags + 1, dtype=torch.int64)
            )
        if input.dim() != 1:
            raise ValueError(f"input must have 1 or 2 dimensions, got {input.dim()}")
        if offsets is None:
            raise ValueError("offsets must be given when input has 1 dimension")
        if offsets.dim() != 1:
            raise ValueError(f"offsets must have 1 dimension, got {offsets.dim()}")
        if self.include_last_offset:
            return input, offsets
        return input, torch.cat([offsets, offsets.new_tensor([input.numel()])])

    @contextlib.contextmanager
    def accumulate(self, parts: int = 1) -> Iterator["ElasticEmbeddingBag"]:
        """Gathers what ``backward()`` calls within bring, and applies it as one step at the end.

        Without it each ``backward()`` is a step of its own: four micro-batches, each with a quarter of the loss,
        take four steps of a quarter of the gradient. Within it they take the step of the whole batch, the same bits;
        lookups give the rows as they were before. What was gathered lies outside the budget, and is dropped where
        the block ends with an exception.

        parts: how many losses are averaged, the number by which each of them is divided. With
        ``loss_reduction="sum"`` nothing is divided, and it counts for nothing.

        >>> bag = ElasticEmbeddingBag(100, 4, memory_budget="1MiB")
        >>> with bag.accumulate(4):
        ...     for ids in torch.arange(8).reshape(8, 1).chunk(4):
        ...         (bag(ids).square().sum(1).mean() / 4).backward()
        """
        torch.ops.taut.tables_gather(self._tables, parts)
        try:
            yield self
        except BaseException:
            torch.ops.taut.tables_drop(self._tables)
            raise
        torch.ops.taut.tables_step(self._tables)

    def statistics(self) -> dict:
        """Bytes by part, resident rows, rows by width, importance threshold."""
        return json.loads(torch.ops.taut.tables_statistics(self._tables))

    @classmethod
    def from_pretrained(
        cls,
        embeddings: torch.Tensor,
        freeze: bool = True,
        *,
        memory_budget: str | int | float = "1/10",
        ids: torch.Tensor | None = None,
        importance: torch.Tensor | None = None,
        **options,
    ) -> "ElasticEmbeddingBag":
        """A table that starts with the rows of a dense weight [rows, dim]; as in PyTorch, it is frozen by default.

        Where the budget does not hold them all, the most important rows stay, as wide as they are worth;
        ``loaded_rows`` says (held, left out).

        freeze: ``backward()`` leaves the rows as they are; ``requires_grad_(True)`` ends that.
        ids: of the rows [rows]; 0 .. rows - 1 when left out.
        importance: of the rows [rows]; the mean square of its values when left out.
        options: as for the constructor.

        >>> bag = ElasticEmbeddingBag.from_pretrained(torch.randn(1000, 16), memory_budget="1/4")
        >>> held, left_out = bag.loaded_rows
        >>> held + left_out
        1000
        """
        if embeddings.dim() != 2:
            raise ValueError(f"embeddings must have 2 dimensions, got {embeddings.dim()}")
        rows, dim = embeddings.shape
        bag = cls(rows, dim, memory_budget=memory_budget, **options)
        bag.loaded_rows = bag.load_rows(torch.arange(rows) if ids is None else ids, embeddings, importance)
        return bag.requires_grad_(not freeze)

    def load_rows(
        self, ids: torch.Tensor, vectors: torch.Tensor, importance: torch.Tensor | None = None
    ) -> tuple[int, int]:
        """Puts rows in, in place of those of the same ids; returns how many are held and left out."""
        return torch.ops.taut.tables_load_rows(self._tables, 0, ids, vectors, importance)

    def read_rows(self, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """The rows that are held of these ids: id, mask (bit k: chunk k is held), importance, vector."""
        columns = torch.ops.taut.tables_read_rows(self._tables, 0, ids)
        return dict(zip(("id", "mask", "importance", "vector"), columns, strict=True))

    def dump(self, path: str | Path, ids: torch.Tensor | None = None) -> int:
        """Writes the rows that are held as a Parquet file (needs pyarrow), whole or not at all.

        The columns are those of ``taut dump``: table, id, width, mask, importance, vector. A table knows
        hashes of its ids alone, so name the ids to look for; 0 .. num_embeddings - 1 when left out.
        Returns the number of rows.
        """
        import pyarrow  # noqa: PLC0415
        import pyarrow.parquet  # noqa: PLC0415

        rows = self.read_rows(torch.arange(self.num_embeddings) if ids is None else ids)
        count, dim = rows["vector"].shape
        offsets = pyarrow.array(range(0, count * dim + 1, dim), pyarrow.int32())
        table = pyarrow.table(
            {
                "table": pyarrow.array(["bag"] * count, pyarrow.string()),
                "id": rows["id"].numpy().view("uint64"),
                "width": [mask.bit_count() for mask in rows["mask"].tolist()],
                "mask": rows["mask"].numpy(),
                "importance": rows["importance"].numpy(),
                "vector": pyarrow.ListArray.from_arrays(offsets, pyarrow.array(rows["vector"].numpy().reshape(-1))),
            }
        )
        path = Path(path)
        beside = path.with_name(f"{path.name}.tmp.{os.getpid()}")
        try:
            with beside.open("wb") as file:
                pyarrow.parquet.write_table(table, file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        return count

    def load(self, path: str | Path) -> tuple[int, int]:
        """Puts the rows of a file that ``dump`` or ``taut dump`` wrote in; (held, left out)."""
        import pyarrow.compute  # noqa: PLC0415
        import pyarrow.parquet  # noqa: PLC0415

        file = pyarrow.parquet.read_table(path)
        for name in ("id", "vector"):
            if name not in file.column_names:
                raise ValueError(f'{path}: no column "{name}", there are {", ".join(file.column_names)}')
        lengths = set(pyarrow.compute.list_value_length(file["vector"]).to_pylist())
        if lengths - {self.embedding_dim}:
            wrong = (lengths - {self.embedding_dim}).pop()
            raise ValueError(f'{path}: column "vector" has {wrong} values where the table has {self.embedding_dim}')
        names = set(file["table"].to_pylist()) if "table" in file.column_names else set()
        if len(names) > 1:
            raise ValueError(f'{path}: column "table" names {len(names)} tables where this is one')
        flat = pyarrow.compute.list_flatten(file["vector"]).to_numpy().astype("float32")
        ids = file["id"].cast(pyarrow.uint64(), safe=False).to_numpy().view("int64")
        importance = (
            torch.from_numpy(file["importance"].to_numpy().copy()) if "importance" in file.column_names else None
        )
        vectors = torch.from_numpy(flat.reshape(-1, self.embedding_dim))
        return self.load_rows(torch.from_numpy(ids.copy()), vectors, importance)

    def get_extra_state(self) -> torch.Tensor:
        """The table as bytes, so that ``state_dict()`` holds it: rows, index, importance, optimizer state."""
        return torch.ops.taut.tables_state(self._tables)

    def set_extra_state(self, state: torch.Tensor) -> None:
        """Restores the same bits; the options must be those of the saved table."""
        if not isinstance(state, torch.Tensor):
            raise ValueError(f"state must be a tensor that get_extra_state() gave, got {type(state).__name__}")
        torch.ops.taut.tables_load(self._tables, state)

    def extra_repr(self) -> str:
        """What ``print(module)`` shows."""
        budget = self.options["budget"]
        return f"{self.num_embeddings}, {self.embedding_dim}, memory_budget={budget!r}, mode={self.mode!r}"


def table_options() -> list[dict]:
    """The options of tables, as the library has them: key, default, range, help of each.

    ``keyword`` says whether ``ElasticEmbeddingBag`` takes it; the others have arguments of their own.

    >>> [option["key"] for option in table_options()][:3]
    ['method', 'dim', 'tables']
    """
    return json.loads(torch.ops.taut.tables_option_list())


def _show_options(cls: type) -> None:
    """Gives a class the keywords of tables in its signature and docstring."""
    options = [option for option in table_options() if option["keyword"]]
    signature = inspect.signature(cls)
    named = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    keywords = [
        inspect.Parameter(option["key"], inspect.Parameter.KEYWORD_ONLY, default=option["default"])
        for option in options
    ]
    cls.__signature__ = signature.replace(parameters=named + keywords)
    lines = [f"    {o['key']}: {o['help']}; {o['range']} (default {o['default']!r})." for o in options]
    cls.__doc__ = "\n".join([inspect.cleandoc(cls.__doc__), "", "Options:", *lines, ""])


_show_options(ElasticEmbeddingBag)
