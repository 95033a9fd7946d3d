"""Elastic embedding tables for PyTorch models."""

import inspect
import json
import os
import tempfile
import weakref
from pathlib import Path

import torch

from taut import _library

_library.load()


class ElasticEmbeddingBag(torch.nn.Module):
    """A drop-in for ``torch.nn.EmbeddingBag`` whose rows live inside a byte budget while they are trained.

    The rows are no parameters: ``backward()`` applies the table's own optimizer (row-wise Adagrad) at once,
    summing the gradients of equal ids first; other optimizers have nothing to do for it. Ids are any 64-bit
    integers: ``num_embeddings`` only says what the full table would take, for budgets given as ratios.

    Args:
        num_embeddings: distinct ids that are expected, or 0 if not known (then give a budget in bytes).
        embedding_dim: full length of a row, a multiple of 4.
        memory_budget: "16MiB", a number of bytes, or a ratio of the full table such as "1/10". Everything
            counts: values, index, importance, optimizer state.
        mode: "sum" or "mean".
        include_last_offset: as in ``torch.nn.EmbeddingBag``.
        loss_reduction: "mean" when the loss is averaged over the batch (gradients are multiplied by the
            number of bags, since the table's optimizer wants those of the summed loss), else "sum".
        threads: 0 means one for each processor. Results do not depend on it.
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
        mode: str = "sum",
        include_last_offset: bool = False,
        loss_reduction: str = "mean",
        threads: int = 0,
        **options,
    ):
        super().__init__()
        if mode not in ("sum", "mean"):
            raise ValueError(f"mode must be 'sum' or 'mean', got {mode!r}")
        if loss_reduction not in ("sum", "mean"):
            raise ValueError(f"loss_reduction must be 'sum' or 'mean', got {loss_reduction!r}")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.mode = mode
        self.include_last_offset = include_last_offset
        self.options = {
            "tables": [{"name": "bag", "distinct_ids": num_embeddings}],
            "dim": embedding_dim,
            "budget": memory_budget,
            **options,
        }
        self._scale = 1.0 if loss_reduction == "sum" else 0.0
        self._tables = torch.ops.taut.tables_create(json.dumps(self.options), threads)
        weakref.finalize(self, torch.ops.taut.tables_release, self._tables)
        self.anchor = torch.nn.Parameter(torch.zeros(()))

    def forward(
        self,
        input: torch.Tensor,
        offsets: torch.Tensor | None = None,
        per_sample_weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Pooled rows [bags, embedding_dim].

        input: ids [bags, length], or [n] with offsets [bags] (or [bags + 1] with ``include_last_offset``).
        per_sample_weights: float32 of input's shape, only with mode "sum"; they get no gradient.
        """
        ids, ends = self._flatten(input, offsets)
        weights = []
        if per_sample_weights is not None:
            if self.mode != "sum":
                raise ValueError("per_sample_weights go with mode 'sum' alone")
            if per_sample_weights.shape != input.shape:
                shapes = f"{tuple(input.shape)}, got {tuple(per_sample_weights.shape)}"
                raise ValueError(f"per_sample_weights must have the shape of input, {shapes}")
            weights = [per_sample_weights.reshape(-1)]
        elif self.mode == "mean":
            lengths = ends.diff()
            shares = 1.0 / lengths.clamp(min=1).to(torch.float32)
            weights = [torch.repeat_interleave(shares, lengths)]
        out = torch.ops.taut.tables_lookup(
            self.anchor, self._tables, self.embedding_dim, self._scale, [ids], [ends], weights
        )
        return out.squeeze(1)

    def _flatten(self, input, offsets):
        if input.dim() == 2:
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
        if self.include_last_offset:
            return input, offsets
        return input, torch.cat([offsets, offsets.new_tensor([input.numel()])])

    def statistics(self) -> dict:
        """Bytes by part, resident rows, rows by width, importance threshold."""
        return json.loads(torch.ops.taut.tables_statistics(self._tables))

    @classmethod
    def from_pretrained(
        cls,
        weight: torch.Tensor,
        *,
        memory_budget: str | int | float = "1/10",
        ids: torch.Tensor | None = None,
        importance: torch.Tensor | None = None,
        **options,
    ) -> "ElasticEmbeddingBag":
        """A table that starts with the rows of a dense weight [rows, dim].

        Where the budget does not hold them all, the most important rows stay, as wide as they are worth;
        ``loaded_rows`` says (held, left out).

        ids: of the rows [rows]; 0 .. rows - 1 when left out.
        importance: of the rows [rows]; the mean square of its values when left out.
        options: as for the constructor.

        >>> bag = ElasticEmbeddingBag.from_pretrained(torch.randn(1000, 16), memory_budget="1/4")
        >>> held, left_out = bag.loaded_rows
        >>> held + left_out
        1000
        """
        if weight.dim() != 2:
            raise ValueError(f"weight must have 2 dimensions, got {weight.dim()}")
        rows, dim = weight.shape
        bag = cls(rows, dim, memory_budget=memory_budget, **options)
        bag.loaded_rows = bag.load_rows(torch.arange(rows) if ids is None else ids, weight, importance)
        return bag

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
        """The table as bytes, so that ``state_dict()`` holds it."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table"
            torch.ops.taut.tables_save(self._tables, str(path))
            return torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)

    def set_extra_state(self, state: torch.Tensor) -> None:
        """Restores the same bits; the options must be those of the saved table."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table"
            path.write_bytes(state.numpy().tobytes())
            torch.ops.taut.tables_load(self._tables, str(path))

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
