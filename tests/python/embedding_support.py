"""Tables for the tests of ElasticEmbeddingBag."""

import subprocess
import sys
from pathlib import Path

import torch

from taut.embedding import ElasticEmbeddingBag

ROOT = Path(__file__).resolve().parents[2]


def full_bag(**options):
    """A table that holds every row in fp32, to compare with a dense one."""
    options = {"mode": "sum", **options}
    return ElasticEmbeddingBag(50, 8, memory_budget="1", method="full", loss_reduction="sum", seed=3, **options)


def ones_bag(rows=100, **options):
    """Rows of ones, from which SGD takes a tenth of the gradient."""
    options = {"mode": "sum", "loss_reduction": "sum", "optimizer": "sgd", "learning_rate": 0.1, **options}
    bag = ElasticEmbeddingBag(rows, 8, memory_budget="1MiB", value_type="fp32", keys="exact", **options)
    bag.load_rows(torch.arange(rows), torch.ones(rows, 8))
    return bag


def dense_rows(bag, count=50):
    """What each id's row is now."""
    with torch.no_grad():
        return bag(torch.arange(count).reshape(-1, 1)).clone()


def touch(bag, count=50):
    """Makes all rows resident with a gradient of zero."""
    bag(torch.arange(count).reshape(-1, 1)).mul(0).sum().backward()


def sgd_table(cls, weight, **options):
    """A table with the rows of a dense weight, all held in fp32, that follows SGD on a summed loss."""
    table = cls(
        *weight.shape,
        **{
            "memory_budget": "1MiB",
            "method": "full",
            "loss_reduction": "sum",
            "optimizer": "sgd",
            "learning_rate": 0.1,
            **options,
        },
    )
    table.load_rows(torch.arange(len(weight)), weight)
    return table


def run_python(code, *arguments, seconds=120):
    """Runs code in a process of its own; what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=seconds,
        env={"PYTHONPATH": str(ROOT / "python"), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
