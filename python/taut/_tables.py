"""What all modules over elastic tables share: the tables, their copies, steps, statistics, and rows in and out."""

import contextlib
import functools
import inspect
import json
import math
import os
import weakref
from collections.abc import Iterator
from pathlib import Path

import torch

from taut import _library
from taut.loss_scale import follow_grad_scalers

_library.load()
follow_grad_scalers()

_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

# Arguments of torch.nn.EmbeddingBag and torch.nn.Embedding that have no meaning here.
_WITHOUT_MEANING = ("norm_type", "sparse")


def _checked_options(options: dict) -> dict:
    """The options of the tables among keywords, without those that only PyTorch has."""
    options = {name: value for name, value in options.items() if name not in _WITHOUT_MEANING}
    if (norm := options.pop("max_norm", None)) is not None:
        raise ValueError(
            f"max_norm must be None, got {norm}: lookups change no row; options gradient_clip and l2 keep rows small"
        )
    device = options.pop("device", None)
    if device is not None and torch.device(device).type != "cpu":
        raise ValueError(f"device must be None, got {device}: tables lie in the memory of the CPU, move their output")
    for name, value in options.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number, got {value}")
    return options


def by_frequency(rows: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """The same rows, with gradients divided by how often each id is among ids."""
    _, which, counts = torch.unique(ids, return_inverse=True, return_counts=True)
    values = rows.detach()
    return values + (rows - values) / counts[which].unsqueeze(1)


def even_ends(bags: int, length: int) -> torch.Tensor:
    """Where bags of one length end [bags + 1], from 0."""
    return torch.arange(bags + 1, device="cpu") * length


class TablesModule(torch.nn.Module):
    """A module that owns a collection of tables under one budget; the base of those that users see.

    tables: what the tables are called, each with the distinct ids that are expected (0: not known).
    dtype: of the outputs, kept by ``anchor``, so that ``half()`` and the like change it; None: torch's default.
    """

    _shared = False  # whether the rows lie on several processes (taut.parallelize)

    def __init__(
        self,
        tables: dict[str, int],
        embedding_dim: int,
        *,
        memory_budget: str | int | float,
        loss_reduction: str,
        threads: int,
        dtype: torch.dtype | None,
        fused: bool,
        options: dict,
    ):
        super().__init__()
        if loss_reduction not in ("sum", "mean"):
            raise ValueError(f"loss_reduction must be 'sum' or 'mean', got {loss_reduction!r}")
        dtype = dtype or torch.get_default_dtype()
        if dtype not in _FLOATS:
            raise ValueError(f"dtype must be one of {', '.join(map(str, _FLOATS))}, got {dtype}")
        if isinstance(memory_budget, float) and not math.isfinite(memory_budget):
            raise ValueError(f"memory_budget must be a ratio, a number of bytes or a text, got {memory_budget}")
        self.embedding_dim = embedding_dim
        # Rows are stored in fours: the values that are too many are zeros and stay so.
        self._width = -(-embedding_dim // 4) * 4
        self.options = {
            "tables": [{"name": name, "distinct_ids": count} for name, count in tables.items()],
            "dim": self._width,
            "budget": memory_budget,
            **_checked_options(options),
        }
        self._scale = 1.0 if loss_reduction == "sum" else 0.0
        self._tables = torch.classes.taut.Tables(json.dumps(self.options), threads)
        self._key = torch.ops.taut.tables_key(self._tables)
        self.anchor = torch.nn.Parameter(torch.zeros((), dtype=dtype, device="cpu"))
        self.fused = fused
        self._threads = threads
        self._learning_rate = None
        self._norm = 0.0  # what anchor.grad was when the last backward pass ended
        if not fused:
            self._defer()

    def _lookup(
        self,
        ids: list[torch.Tensor],
        ends: list[torch.Tensor],
        weights: list[torch.Tensor],
        mode: str,
        padding_idx: int | None = None,
    ) -> torch.Tensor:
        """Rows [bags, tables, embedding_dim], float32, of one entry a table; mode "none": [ids, 1, embedding_dim]."""
        self._refuse_replicas()
        if self._shared:
            raise RuntimeError(
                f"rows of this {type(self).__name__} lie on several processes: call the model that taut.parallelize "
                "split, or a copy of the module"
            )
        # Compiled graphs take no objects where they train, so that there the tables go by their key.
        keyed = torch.compiler.is_compiling() and not torch.compiler.is_exporting()
        out = (torch.ops.taut.keyed_lookup if keyed else torch.ops.taut.tables_lookup)(
            self.anchor,
            self._key if keyed else self._tables,
            self._width,
            self._scale,
            ids,
            ends,
            weights,
            mode,
            padding_idx,
        )
        return out if self._width == self.embedding_dim else out[..., : self.embedding_dim]

    def _refuse_replicas(self) -> None:
        """Rows are stepped where they are: replicas would drift apart without a word."""
        replicas = torch.nn.parallel.DistributedDataParallel._active_ddp_module
        if replicas is None or not (self.anchor.requires_grad and torch.is_grad_enabled()):
            return
        if (count := replicas.process_group.size()) > 1:
            raise NotImplementedError(
                f"{type(self).__name__} is not trained by DistributedDataParallel, got {count} processes, each "
                "of which would have rows of its own: train in one process, deal the tables out by taut.parallelize, "
                "or freeze the rows by requires_grad_(False)"
            )

    def __getattr__(self, name: str) -> object:
        """Says what to use where a dense weight is asked for."""
        if name == "weight":
            raise AttributeError(
                f"{type(self).__name__} has no dense weight: read_rows() gives rows, load_rows() and from_pretrained() "
                "put them in, parameters() holds none"
            )
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuses a dense weight, which would change nothing."""
        if name == "weight":
            raise AttributeError(f"{type(self).__name__} has no dense weight: load_rows() puts rows in")
        super().__setattr__(name, value)

    def __copy__(self) -> "TablesModule":
        """As of any module: a shallow copy shares the rows."""
        copied = self.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __reduce_ex__(self, protocol: int) -> tuple:
        """Copies and pickles: the tables as plain bytes.

        torch.save (protocol 2) stores tensors better than bytes, and gets the tables as such. What is sent to another
        process gets bytes, since the memory of a tensor that is sent ends with the tensor. Rows that processes share
        are brought together first, by an operator, as those leave other threads the interpreter while they wait.
        """
        function, arguments, state, *rest = super().__reduce_ex__(protocol)
        if self._shared:
            rows = torch.ops.taut.tables_state(self._tables)
            tables = (json.dumps(self.options), self._threads, bytearray(rows.numpy()))
            state = {**state, "_tables": tables, "_shared": False}
        elif protocol > 2:
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
        if self._learning_rate is not None:
            torch.ops.taut.tables_set_learning_rate(self._tables, self._learning_rate)
        if not self.fused:
            self._defer()

    def _defer(self) -> None:
        """From here on gradients wait for ``step()``, and ``anchor.grad`` shows their norm."""
        torch.ops.taut.tables_defer(self._tables)
        self._norm = 0.0
        module = weakref.ref(self)  # no cycle: tables go with their last reference
        learns = self.anchor.requires_grad
        self.anchor.requires_grad_(True)  # without it there is nothing to hook
        self.anchor.register_post_accumulate_grad_hook(lambda anchor: _end_pass(module(), anchor))
        self.anchor.requires_grad_(learns)

    def _factor(self) -> float:
        """By what ``anchor.grad`` was multiplied since the last backward pass."""
        left = self.anchor.grad.item()
        if left == 0:
            return 0.0 if self._norm != 0 else 1.0
        return left / self._norm if self._norm != 0 and math.isfinite(self._norm) else 1.0

    def step(self) -> None:
        """With ``fused=False``: one step of the tables' optimizer with the gradients of ``backward()`` calls.

        Whatever happened to ``anchor.grad`` since, whose value is the norm of these gradients, happens to them: it
        may have been clipped, unscaled or set to zero with the gradients of other parameters. As those they stay
        until ``anchor.grad`` is None or zero; without a gradient nothing is done. ``TablesOptimizer`` calls this.
        """
        if self.fused:
            raise RuntimeError("step() goes with fused=False: backward() has done the step already")
        if self.anchor.grad is None or (self._norm != 0 and self.anchor.grad.item() == 0):
            torch.ops.taut.tables_drop(self._tables)
            self._norm = 0.0
        elif self._norm != 0:
            torch.ops.taut.tables_step_waiting(self._tables, self._scale, self._factor())

    @property
    def learning_rate(self) -> float:
        """Of the steps to come; 0 leaves values as they are. Not part of ``state_dict()``: schedules keep it."""
        return (
            self.options.get("learning_rate", _initial_rate()) if self._learning_rate is None else self._learning_rate
        )

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        torch.ops.taut.tables_set_learning_rate(self._tables, rate)
        self._learning_rate = float(rate)

    @contextlib.contextmanager
    def accumulate(self, parts: int = 1) -> Iterator["TablesModule"]:
        """Gathers what ``backward()`` calls within bring, and applies it as one step at the end.

        Without it each ``backward()`` is a step of its own: four micro-batches, each with a quarter of the loss,
        take four steps of a quarter of the gradient. Within it they take the step of the whole batch, the same bits;
        lookups give the rows as they were before. What was gathered lies outside the budget, and is dropped where
        the block ends with an exception.

        parts: how many losses are averaged, the number by which each of them is divided. With
        ``loss_reduction="sum"`` nothing is divided, and it counts for nothing.

        >>> from taut import ElasticEmbeddingBag
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

    def get_extra_state(self) -> torch.Tensor:
        """The tables as bytes, so that ``state_dict()`` holds them: rows, index, importance, optimizer state."""
        return torch.ops.taut.tables_state(self._tables)

    def set_extra_state(self, state: torch.Tensor) -> None:
        """Restores the same bits; the options must be those of the saved tables."""
        if not isinstance(state, torch.Tensor):
            raise ValueError(f"state must be a tensor that get_extra_state() gave, got {type(state).__name__}")
        torch.ops.taut.tables_load(self._tables, state)

    def _put_rows(
        self, table: int, ids: torch.Tensor, vectors: torch.Tensor, importance: torch.Tensor | None
    ) -> tuple[int, int]:
        shape = (ids.numel(), self.embedding_dim)
        if vectors.shape != shape:
            raise ValueError(f"vectors must have shape {list(shape)}, got {list(vectors.shape)}")
        vectors = torch.nn.functional.pad(vectors, (0, self._width - self.embedding_dim))
        return torch.ops.taut.tables_load_rows(self._tables, table, ids, vectors, importance)

    def _get_rows(self, table: int, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        columns = torch.ops.taut.tables_read_rows(self._tables, table, ids)
        rows = dict(zip(("id", "mask", "importance", "vector"), columns, strict=True))
        rows["vector"] = rows["vector"][:, : self.embedding_dim]
        return rows


def _end_pass(module: TablesModule | None, anchor: torch.Tensor) -> None:
    """Takes what became of the gradients before this backward pass, and shows the norm of all."""
    if module is None:
        return
    module._norm = torch.ops.taut.tables_end_pass(module._tables, module._factor())
    anchor.grad.fill_(module._norm)
    module._norm = anchor.grad.item()  # as its type has it


@functools.cache
def _initial_rate() -> float:
    return next(option["default"] for option in table_options() if option["key"] == "learning_rate")


class OneTable(TablesModule):
    """A module over one table, whose rows go in and out by their ids alone.

    strict: whether ids outside 0 .. num_embeddings - 1 are errors, as in PyTorch.
    weight: rows to start with [num_embeddings, embedding_dim]; dtype is theirs where it is not given.
    """

    _NAME = "table"

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        padding_idx: int | None,
        strict: bool,
        weight: torch.Tensor | None,
        **options,
    ):
        if strict and num_embeddings <= 0:
            raise ValueError(f"num_embeddings must be above 0 with strict=True, got {num_embeddings}")
        if padding_idx is not None and padding_idx < -num_embeddings:
            raise ValueError(f"padding_idx must be at least -num_embeddings = {-num_embeddings}, got {padding_idx}")
        if weight is not None and weight.shape != (num_embeddings, embedding_dim):
            wanted = [num_embeddings, embedding_dim]
            raise ValueError(f"_weight must have shape {wanted}, got {list(weight.shape)}")
        if weight is not None and options["dtype"] is None:
            options["dtype"] = weight.dtype
        super().__init__({self._NAME: num_embeddings}, embedding_dim, **options)
        self.num_embeddings = num_embeddings
        self.padding_idx = padding_idx + num_embeddings if padding_idx is not None and padding_idx < 0 else padding_idx
        self.strict = strict
        if weight is not None:
            self.loaded_rows = self.load_rows(torch.arange(num_embeddings, device="cpu"), weight)

    def _check(self, ids: torch.Tensor) -> None:
        """With ``strict``, raises IndexError for an id that PyTorch's module has not; compiled code RuntimeError."""
        if not self.strict:
            return
        inside = (ids >= 0) & (ids < self.num_embeddings)
        wanted = f"ids must be from 0 to num_embeddings - 1 = {self.num_embeddings - 1}"
        if torch.compiler.is_compiling():
            torch._assert_async(inside.all(), wanted)
        elif not inside.all():
            raise IndexError(f"{wanted}, got {ids[~inside][0]}")

    def load_rows(
        self, ids: torch.Tensor, vectors: torch.Tensor, importance: torch.Tensor | None = None
    ) -> tuple[int, int]:
        """Puts rows in, in place of those of the same ids; returns how many are held and left out."""
        return self._put_rows(0, ids, vectors, importance)

    def read_rows(self, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """The rows that are held of these ids: id, mask (bit k: chunk k is held), importance, vector."""
        return self._get_rows(0, ids)

    def extra_repr(self) -> str:
        """What ``print(module)`` shows."""
        return f"{self.num_embeddings}, {self.embedding_dim}, memory_budget={self.options['budget']!r}"

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
    ) -> "OneTable":
        """A table that starts with the rows of a dense weight [rows, dim]; as in PyTorch, it is frozen by default.

        Where the budget does not hold them all, the most important rows stay, as wide as they are worth;
        ``loaded_rows`` says (held, left out).

        freeze: ``backward()`` leaves the rows as they are; ``requires_grad_(True)`` ends that.
        ids: of the rows [rows]; 0 .. rows - 1 when left out.
        importance: of the rows [rows]; the mean square of its values when left out.
        options: as for the constructor; dtype is that of embeddings where it is not given.

        >>> from taut import ElasticEmbeddingBag
        >>> bag = ElasticEmbeddingBag.from_pretrained(torch.randn(1000, 16), memory_budget="1/4")
        >>> held, left_out = bag.loaded_rows
        >>> held + left_out
        1000
        """
        if embeddings.dim() != 2:
            raise ValueError(f"embeddings must have 2 dimensions, got {embeddings.dim()}")
        rows, dim = embeddings.shape
        module = cls(rows, dim, memory_budget=memory_budget, **{"dtype": embeddings.dtype, **options})
        module.loaded_rows = module.load_rows(
            torch.arange(rows, device="cpu") if ids is None else ids, embeddings, importance
        )
        return module.requires_grad_(not freeze)

    def dump(self, path: str | Path, ids: torch.Tensor | None = None) -> int:
        """Writes the rows that are held as a Parquet file (needs pyarrow), whole or not at all.

        The columns are those of ``taut dump``: table, id, width, mask, importance, vector. A table knows
        hashes of its ids alone, so name the ids to look for; 0 .. num_embeddings - 1 when left out.
        Returns the number of rows.
        """
        import pyarrow  # noqa: PLC0415
        import pyarrow.parquet  # noqa: PLC0415

        rows = self.read_rows(torch.arange(self.num_embeddings, device="cpu") if ids is None else ids)
        count, dim = rows["vector"].shape
        offsets = pyarrow.array(range(0, count * dim + 1, dim), pyarrow.int32())
        table = pyarrow.table(
            {
                "table": pyarrow.array([self._NAME] * count, pyarrow.string()),
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


def table_options() -> list[dict]:
    """The options of tables, as the library has them: key, default, range, help of each.

    ``keyword`` says whether the modules take it; the others have arguments of their own.

    >>> [option["key"] for option in table_options()][:3]
    ['method', 'dim', 'tables']
    """
    return json.loads(torch.ops.taut.tables_option_list())


def show_options(cls: type) -> type:
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
    return cls
