"""The peers' DLRM: the same model as `kind = "dlrm"`, `interaction = "dots"` of ours, in PyTorch, on CPU.

The tables are one merged `torch.nn.EmbeddingBag` with sparse gradients and row-wise Adagrad (one lookup and one
optimizer call for all features: faster than 26 modules), or FBGEMM's table-batched embedding with its exact row-wise
Adagrad. Dense layers are trained with fused Adam. All read the same batches from memory.
"""

import contextlib
import dataclasses
import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import evidence
from clicks import CARDINALITIES, DENSE, DENSE_NAMES, FEATURE_NAMES

TABLES = len(CARDINALITIES)
FIRST_ROWS = np.concatenate([[0], np.cumsum(CARDINALITIES)[:-1]])


@dataclasses.dataclass(frozen=True)
class Settings:
    """Shape and optimizers, shared with ours (train_dlrm.py writes them into the config)."""

    dim: int
    batch: int
    bottom: Sequence[int] = (512, 256)
    top: Sequence[int] = (512, 256)
    table_rate: float = 0.4
    initial_accumulator: float = 0.2  # for gradients of the summed loss, as ours are
    epsilon: float = 1e-8
    dense_rate: float = 1e-3
    seed: int = 1


@dataclasses.dataclass(frozen=True)
class Batch:
    """One batch, ready to use: labels [batch], dense [batch, 13], ids [batch, 26] and [26, batch]."""

    labels: torch.Tensor
    dense: torch.Tensor
    ids_by_example: torch.Tensor  # of the merged table
    ids_by_table: torch.Tensor


def batch_of(columns: pa.RecordBatch | pa.Table) -> Batch:
    """Columns as tensors."""
    labels = columns["label"].to_numpy().astype(np.float32)
    dense = np.stack([columns[name].to_numpy() for name in DENSE_NAMES], axis=1)
    ids = np.stack([columns[name].to_numpy() for name in FEATURE_NAMES], axis=1)
    merged = ids + FIRST_ROWS
    return Batch(
        torch.from_numpy(labels),
        torch.from_numpy(dense),
        torch.from_numpy(merged.reshape(-1)),
        torch.from_numpy(np.ascontiguousarray(ids.T).reshape(-1)),
    )


class Batches:
    """The batches of a file: held in memory, or read again while they are used."""

    AHEAD = 4

    def __init__(self, path: Path, batch: int) -> None:
        self.path = path
        self.batch = batch
        self.all = list(self.read())

    def read(self) -> Iterator[Batch]:
        """Reads and lays out, one batch after another."""
        with pq.ParquetFile(self.path) as file:
            for columns in file.iter_batches(self.batch, columns=["label", *DENSE_NAMES, *FEATURE_NAMES]):
                yield batch_of(columns)

    def held(self) -> Iterator[Batch]:
        """From memory."""
        return iter(self.all)

    def some(self, count: int) -> Iterator[Batch]:
        """The first, from memory."""
        return iter(self.all[:count])

    def streamed(self) -> Iterator[Batch]:
        """Read ahead by a thread, as a loader does."""
        ready: queue.Queue[Batch | None] = queue.Queue(self.AHEAD)

        def work() -> None:
            for batch in self.read():
                ready.put(batch)
            ready.put(None)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        while (batch := ready.get()) is not None:
            yield batch
        thread.join()


def load_batches(path: Path, batch: int) -> Batches:
    """The whole file as batches in memory, and the way to read them again."""
    return Batches(path, batch)


def layers(inputs: int, widths: Sequence[int], *, relu_last: bool) -> torch.nn.Sequential:
    """Linear layers with ReLU between them, in PyTorch's default start, which ours shares."""
    modules: list[torch.nn.Module] = []
    for i, width in enumerate(widths):
        modules.append(torch.nn.Linear(inputs, width))
        if relu_last or i + 1 < len(widths):
            modules.append(torch.nn.ReLU())
        inputs = width
    return torch.nn.Sequential(*modules)


class DenseHalf(torch.nn.Module):
    """Bottom MLP, pairwise dots, top MLP."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        vectors = TABLES + 1
        self.bottom = layers(DENSE, (*settings.bottom, settings.dim), relu_last=True)
        self.top = layers(vectors * (vectors - 1) // 2 + settings.dim, (*settings.top, 1), relu_last=False)
        pairs = [i * vectors + j for i in range(vectors) for j in range(i)]
        self.register_buffer("pairs", torch.tensor(pairs))

    def forward(self, dense: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        """Logits [batch] from dense [batch, 13] and pooled [batch, tables, dim]."""
        below = self.bottom(dense)
        every = torch.cat([below.unsqueeze(1), pooled], dim=1)
        dots = torch.bmm(every, every.transpose(1, 2)).flatten(1).index_select(1, self.pairs)
        return self.top(torch.cat([dots, below], dim=1)).squeeze(1)


class MergedEmbeddingBag:
    """One EmbeddingBag for all features, sparse gradients, row-wise Adagrad."""

    name = "PyTorch EmbeddingBag"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        rows = sum(CARDINALITIES)
        self.bag = torch.nn.EmbeddingBag(rows, settings.dim, mode="sum", sparse=True)
        torch.nn.init.uniform_(self.bag.weight, -(settings.dim**-0.5), settings.dim**-0.5)
        # The mean loss has gradients 1/batch times ours: an accumulator and epsilon that much smaller give equal steps.
        self.accumulator = torch.full((rows,), settings.initial_accumulator / settings.batch**2)
        self.offsets = torch.arange(settings.batch * TABLES)

    def lookup(self, batch: Batch) -> torch.Tensor:
        """Pooled rows [batch, tables, dim]."""
        size = len(batch.labels)
        pooled = self.bag(batch.ids_by_example, self.offsets[: size * TABLES])
        return pooled.view(size, TABLES, self.settings.dim)

    @torch.no_grad()
    def step(self) -> None:
        """Row-wise Adagrad on the sparse gradient, duplicates summed first."""
        gradient = self.bag.weight.grad.coalesce()
        rows, values = gradient.indices()[0], gradient.values()
        accumulated = self.accumulator[rows] + values.square().mean(dim=1)
        self.accumulator[rows] = accumulated
        rates = -self.settings.table_rate / (accumulated.sqrt() + self.settings.epsilon / self.settings.batch)
        self.bag.weight.index_add_(0, rows, values * rates.unsqueeze(1))
        self.bag.weight.grad = None


def load_table_batched(tables: Sequence[tuple[int, int]], rate: float, epsilon: float):
    """FBGEMM's table-batched embedding on CPU for tables of (rows, dim), exact row-wise Adagrad, sums."""
    try:
        from fbgemm_gpu.split_embedding_configs import EmbOptimType  # noqa: PLC0415
        from fbgemm_gpu.split_table_batched_embeddings_ops_common import (  # noqa: PLC0415
            EmbeddingLocation,
            PoolingMode,
        )
        from fbgemm_gpu.split_table_batched_embeddings_ops_training import (  # noqa: PLC0415
            ComputeDevice,
            SplitTableBatchedEmbeddingBagsCodegen,
        )
    except ImportError as problem:
        raise evidence.BenchError(
            f"FBGEMM cannot be loaded: {problem}, {__file__}, run scripts/setup.sh --bench"
        ) from problem
    return SplitTableBatchedEmbeddingBagsCodegen(
        [(rows, dim, EmbeddingLocation.HOST, ComputeDevice.CPU) for rows, dim in tables],
        optimizer=EmbOptimType.EXACT_ROWWISE_ADAGRAD,
        learning_rate=rate,
        eps=epsilon,
        pooling_mode=PoolingMode.SUM,
    )


class TableBatchedEmbedding:
    """FBGEMM's table-batched embedding on CPU with exact row-wise Adagrad, fused into its backward."""

    name = "PyTorch + FBGEMM TBE"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tables = load_table_batched(
            [(rows, settings.dim) for rows in CARDINALITIES], settings.table_rate, settings.epsilon / settings.batch
        )
        self.tables.init_embedding_weights_uniform(-(settings.dim**-0.5), settings.dim**-0.5)
        for accumulator, *_ in self.tables.split_optimizer_states():
            accumulator.fill_(settings.initial_accumulator / settings.batch**2)
        self.offsets = torch.arange(settings.batch * TABLES + 1)

    def lookup(self, batch: Batch) -> torch.Tensor:
        """Pooled rows [batch, tables, dim]."""
        size = len(batch.labels)
        pooled = self.tables(batch.ids_by_table, self.offsets[: size * TABLES + 1])
        return pooled.view(size, TABLES, self.settings.dim)

    def step(self) -> None:
        """Nothing is left to do: the backward pass has stepped."""


class Loop:
    """A way to train: tables of one kind, the dense half eager or compiled, in fp32 or under bf16 autocast."""

    def __init__(self, tables: type, settings: Settings, *, bf16: bool = False, compiled: bool = False) -> None:
        self.tables = tables
        self.settings = settings
        self.bf16 = bf16
        self.compiled = compiled
        self.dense = DenseHalf(settings)
        self.forward = torch.compile(self.dense) if compiled else self.dense

    def run(self, batches: Iterator[Batch], clock) -> tuple[float, list[float]]:
        """Trains a fresh model over the batches; the seconds that the loop took, and each batch's mean loss."""
        torch.manual_seed(self.settings.seed)
        tables = self.tables(self.settings)
        for module in self.dense.modules():
            if isinstance(module, torch.nn.Linear):
                module.reset_parameters()
        optimizer = torch.optim.Adam(self.dense.parameters(), lr=self.settings.dense_rate, fused=True)
        losses = []
        start = clock()
        for batch in batches:
            pooled = tables.lookup(batch)
            with torch.autocast("cpu", torch.bfloat16) if self.bf16 else contextlib.nullcontext():
                logits = self.forward(batch.dense, pooled)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            tables.step()
            losses.append(loss.detach())
        seconds = clock() - start
        return seconds, torch.stack(losses).tolist()
