"""Rows a second of one table: lookups and training beside EmbeddingBag and FBGEMM's table-batched embedding.

The same ids (int64, Zipf 1.05 or uniform over a million), bags and gradients for all sides, on one thread and on all.
Training is a pooled lookup, its exact backward and row-wise Adagrad. Answers are compared first: the peers' weights are
the rows of our full table, and after five steps of training the lookups of full and FBGEMM are still the same; of the
elastic table that its bytes are within the budget. EmbeddingBag is compared in lookups alone: it has no such optimizer.
"""

import time
from collections.abc import Callable

import numpy as np
import torch

import evidence
from dlrm import load_table_batched
from taut.embedding import ElasticEmbeddingBag

IDS = 1_000_000
BATCH = 2048
POOLING = 10
BATCHES = 32
RATE = 0.4
ACCUMULATOR = 0.2
GOALS = {"lookup": {16: 2.0, 64: 2.5}, "train": {16: 2.0, 64: 2.0}}
FULL_GOAL = 1.5
ANSWER_TOLERANCE = 1e-4


def draw_ids(zipf: float, rows: int) -> list[torch.Tensor]:
    """Batches of ids: rank r is drawn with a probability of about (r + 1)^-zipf; ranks are spread over the ids."""
    random = np.random.default_rng(7)
    cumulative = np.cumsum(np.arange(1, rows + 1, dtype=np.float64) ** -zipf)
    names = random.permutation(rows)
    size = BATCH * POOLING
    ranks = np.searchsorted(cumulative / cumulative[-1], random.random((BATCHES, size)))
    return [torch.from_numpy(names[np.minimum(batch, rows - 1)]) for batch in ranks]


class Ours:
    """A bag of ours, gradients those of the summed loss."""

    def __init__(self, dim: int, rows: int, threads: int, **options) -> None:
        self.bag = ElasticEmbeddingBag(
            rows,
            dim,
            mode="sum",
            include_last_offset=True,
            loss_reduction="sum",
            threads=threads,
            learning_rate=RATE,
            initial_accumulator=ACCUMULATOR,
            **options,
        )

    def lookup(self, ids: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """Pooled rows [bags, dim]."""
        return self.bag(ids, offsets)


class Fbgemm:
    """Table-batched embedding on CPU with exact row-wise Adagrad."""

    def __init__(self, dim: int, weight: torch.Tensor) -> None:
        self.tables = load_table_batched([(len(weight), dim)], RATE, 1e-8)
        self.tables.split_embedding_weights()[0].copy_(weight)
        self.tables.split_optimizer_states()[0][0].fill_(ACCUMULATOR)

    def lookup(self, ids: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """Pooled rows [bags, dim]."""
        return self.tables(ids, offsets)


class Torch:
    """torch.nn.EmbeddingBag, for lookups."""

    def __init__(self, weight: torch.Tensor) -> None:
        self.bag = torch.nn.EmbeddingBag.from_pretrained(weight, mode="sum", include_last_offset=True)

    def lookup(self, ids: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """Pooled rows [bags, dim]."""
        return self.bag(ids, offsets)


def timed(body: Callable[[torch.Tensor], None], batches: list[torch.Tensor]) -> float:
    """Million rows a second."""
    start = time.perf_counter()
    for ids in batches:
        body(ids)
    return len(batches) * BATCH * POOLING / (time.perf_counter() - start) / 1e6


def rows_of(full: Ours, rows: int, dim: int) -> torch.Tensor:
    """What the full table reads for every id."""
    with torch.no_grad():
        return full.lookup(torch.arange(rows), torch.arange(rows + 1)).reshape(rows, dim).clone()


def check(name: str, got: torch.Tensor, wanted: torch.Tensor) -> None:
    """Throws where answers differ by more than float rounding."""
    worst = float((got - wanted).abs().max())
    if not worst <= ANSWER_TOLERANCE:
        raise evidence.BenchError(f"answers of {name} differ by {worst:.3g}, tolerance {ANSWER_TOLERANCE}")


def measure_setting(dim: int, zipf: float, threads: int, rows: int, repetitions: int) -> list[evidence.Row]:
    """The rows of one width, distribution and number of threads."""
    torch.set_num_threads(threads)
    batches = draw_ids(zipf, rows)
    offsets = torch.arange(0, BATCH * POOLING + 1, POOLING)
    gradient = torch.rand(BATCH, dim, generator=torch.Generator().manual_seed(3)) - 0.5
    full = Ours(dim, rows, threads, method="full", value_type="fp32")
    elastic = Ours(dim, rows, threads, memory_budget="1/10")
    weight = rows_of(full, rows, dim)
    fbgemm = Fbgemm(dim, weight)
    bag = Torch(weight)

    def train(side) -> Callable[[torch.Tensor], None]:
        return lambda ids: side.lookup(ids, offsets).backward(gradient)

    @torch.no_grad()
    def lookup(side, ids: torch.Tensor) -> torch.Tensor:
        return side.lookup(ids, offsets)

    for side, name in ((fbgemm, "FBGEMM"), (bag, "EmbeddingBag")):
        check(f"{name} before training", lookup(side, batches[0]), lookup(full, batches[0]))
    for ids in batches[:5]:
        train(full)(ids)
        train(fbgemm)(ids)
    check("FBGEMM after training", lookup(fbgemm, batches[0]), lookup(full, batches[0]))
    for ids in batches:  # tables fill
        for side in (full, elastic, fbgemm):
            train(side)(ids)
    held = elastic.bag.statistics()
    if held["memory_bytes"] > held["budget_bytes"]:
        raise evidence.BenchError(f"the elastic table holds {held['memory_bytes']} of {held['budget_bytes']} bytes")

    sides = {"full": full, "elastic 1/10": elastic, "FBGEMM TBE": fbgemm, "EmbeddingBag": bag}
    looked = evidence.interleave(
        {name: lambda side=side: timed(lambda ids: lookup(side, ids), batches) for name, side in sides.items()},
        repetitions,
    )
    del sides["EmbeddingBag"]
    trained = evidence.interleave(
        {name: lambda side=side: timed(train(side), batches) for name, side in sides.items()}, repetitions
    )
    setting = f"D={dim}, {'uniform' if zipf == 0 else f'Zipf {zipf}'}"

    def row(ours: str, what: str, series: dict[str, list[float]], peer: str, goal: float) -> evidence.Row:
        return evidence.compare(
            f"{what}, {ours}, {setting}", "M rows/s", series[ours], (peer, series[peer]), threads=threads, goal=goal
        )

    return [
        row("elastic 1/10", "lookup", looked, "FBGEMM TBE", GOALS["lookup"][dim]),
        row("elastic 1/10", "lookup", looked, "EmbeddingBag", 1.0),
        row("full", "lookup", looked, "FBGEMM TBE", FULL_GOAL),
        row("elastic 1/10", "train", trained, "FBGEMM TBE", GOALS["train"][dim]),
        row("full", "train", trained, "FBGEMM TBE", FULL_GOAL),
    ]


def measure(options: evidence.Options) -> list[evidence.Row]:
    """Both widths and distributions, on one thread and on all."""
    rows = 10_000 if options.quick else IDS
    return [
        row
        for dim in (16, 64)
        for zipf in (1.05, 0)
        for threads in sorted({1, options.threads})
        for row in measure_setting(dim, zipf, threads, rows, options.repetitions)
    ]
