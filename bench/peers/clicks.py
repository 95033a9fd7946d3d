"""Synthetic click data for the training benchmarks: 26 features, 4 million ids, Zipf 1.05, planted weights."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DENSE = 13
ZIPF = 1.05
# Ids of each of the 26 features, 4 million in all: a few large, many small, as click logs have them.
CARDINALITIES = (600_000,) * 5 + (120_000,) * 7 + (18_000,) * 8 + (3_000,) * 5 + (1_000,)
DENSE_NAMES = tuple(f"d{i}" for i in range(DENSE))
FEATURE_NAMES = tuple(f"c{i}" for i in range(len(CARDINALITIES)))


def zipf_ids(random: np.random.Generator, cardinality: int, rows: int) -> np.ndarray:
    """Ids of ranks drawn with probability rank^-ZIPF, scattered so that frequent ones are no neighbours."""
    weights = np.arange(1, cardinality + 1, dtype=np.float64) ** -ZIPF
    bounds = np.cumsum(weights)
    ranks = np.searchsorted(bounds, random.random(rows) * bounds[-1], side="right")
    return random.permutation(cardinality)[np.minimum(ranks, cardinality - 1)].astype(np.int64)


def make_table(rows: int, seed: int) -> pa.Table:
    """Rows whose label's log-odds are the sum of a weight for each id and of two dense columns."""
    random = np.random.default_rng(seed)
    dense = random.standard_normal((rows, DENSE), dtype=np.float32)
    logits = -1.0 + 0.4 * dense[:, 0] - 0.3 * dense[:, 1]
    features = []
    for cardinality in CARDINALITIES:
        ids = zipf_ids(random, cardinality, rows)
        logits += 0.25 * random.standard_normal(cardinality, dtype=np.float32)[ids]
        features.append(ids)
    labels = (random.random(rows) < 1 / (1 + np.exp(-logits))).astype(np.int64)
    columns = {"label": labels, **{name: dense[:, i] for i, name in enumerate(DENSE_NAMES)}}
    columns |= dict(zip(FEATURE_NAMES, features, strict=True))
    return pa.table(columns)


def parquet_file(folder: Path, rows: int, seed: int = 1) -> Path:
    """The file with so many rows, made on first use."""
    path = folder / f"clicks_{rows}_{seed}.parquet"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".tmp")
        pq.write_table(make_table(rows, seed), beside, row_group_size=131_072)
        beside.replace(path)
    return path
