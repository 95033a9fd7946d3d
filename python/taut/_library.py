"""Loads the operators of taut into torch."""

import os
from pathlib import Path

import torch

_NAME = "libtaut_torch.so"


def _candidates() -> list[Path]:
    named = os.environ.get("TAUT_TORCH_LIBRARY")
    if named:
        return [Path(named)]
    here = Path(__file__).resolve().parent
    return [here / _NAME, here.parents[1] / "build/release/lib" / _NAME]


def load() -> None:
    """Loads libtaut_torch.so: $TAUT_TORCH_LIBRARY, beside this package, or from build/release."""
    candidates = _candidates()
    for path in candidates:
        if path.exists():
            torch.ops.load_library(str(path))
            return
    looked = ", ".join(map(str, candidates))
    raise ImportError(f"{_NAME} is not there, looked at {looked}, run make build or set TAUT_TORCH_LIBRARY")
