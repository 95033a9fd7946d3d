"""taut: deep models inside a budget of memory, compute and bandwidth. The command `taut` does the work.

`python -m taut` is that command. `python -m taut.report RUN...` makes an HTML page of plots from runs and sweeps.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taut._traced import UnknownOperatorError as UnknownOperatorError
    from taut.collection import ElasticEmbeddingBagCollection as ElasticEmbeddingBagCollection
    from taut.command import CommandError as CommandError
    from taut.command import Package as Package
    from taut.command import load as load
    from taut.command import plan as plan
    from taut.command import run as run
    from taut.command import train as train
    from taut.embedding import ElasticEmbedding as ElasticEmbedding
    from taut.embedding import ElasticEmbeddingBag as ElasticEmbeddingBag
    from taut.loss_scale import announce_scale as announce_scale
    from taut.optimizer import TablesOptimizer as TablesOptimizer
    from taut.parallel import parallelize as parallelize
    from taut.plans import Plan as Plan
    from taut.sparsity import WinnersTakeAll as WinnersTakeAll
    from taut.sparsity import sparsify as sparsify

__version__ = "0.2.0"

_EXPORTS = {
    "ElasticEmbedding": "taut.embedding",
    "ElasticEmbeddingBag": "taut.embedding",
    "ElasticEmbeddingBagCollection": "taut.collection",
    "CommandError": "taut.command",
    "Package": "taut.command",
    "announce_scale": "taut.loss_scale",
    "load": "taut.command",
    "parallelize": "taut.parallel",
    "Plan": "taut.plans",
    "plan": "taut.command",
    "run": "taut.command",
    "train": "taut.command",
    "TablesOptimizer": "taut.optimizer",
    "UnknownOperatorError": "taut._traced",
    "WinnersTakeAll": "taut.sparsity",
    "sparsify": "taut.sparsity",
}


def __getattr__(name: str) -> object:
    """Modules for PyTorch load with their first use, so that reports need no PyTorch."""
    if name not in _EXPORTS:
        raise AttributeError(f"module taut has no attribute {name}")
    try:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        from taut import _files  # noqa: PLC0415, what else is wanted loads with its first use

        raise ImportError(f"taut.{name} needs PyTorch, {_files.why_not('torch') or missing}") from missing


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])
