"""Loads the operators of taut into torch, and says how tracers (torch.compile, torch.export) see them."""

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
    """Loads libtaut_torch.so, once: $TAUT_TORCH_LIBRARY, beside this package, or from build/release."""
    if hasattr(torch.ops.taut, "tables_lookup"):
        return
    candidates = _candidates()
    for path in candidates:
        if path.exists():
            torch.ops.load_library(str(path))
            _register()
            return
    looked = ", ".join(map(str, candidates))
    raise ImportError(f"{_NAME} is not there, looked at {looked}, run make build or set TAUT_TORCH_LIBRARY")


class _FakeTables:
    """What tracers take for a taut::Tables: it has no rows."""

    def __init__(self, options: str):
        self.options = options

    def __len__(self) -> int:
        return 0

    @classmethod
    def __obj_unflatten__(cls, flat: tuple) -> "_FakeTables":
        return cls(**dict(flat))


def _register() -> None:
    torch._library.register_fake_class("taut::Tables", _FakeTables)
    for kind in ("tables", "keyed"):

        @torch.library.register_fake(f"taut::{kind}_lookup")
        def _(anchor, handle, dim, scale, ids, offsets, weights, mean=False, padding_idx=None):
            if not offsets:
                raise ValueError("offsets must have an entry for each table, got none")
            return anchor.new_empty((offsets[0].shape[0] - 1, len(ids), dim), dtype=torch.float32)

        @torch.library.register_fake(f"taut::{kind}_update")
        def _(handle, scale, ids, offsets, weights, gradient, mean=False, padding_idx=None):
            return gradient.new_empty((), dtype=torch.float32)

    # Compiled graphs neither merge, drop, move nor repeat them. Those that take an object are known to be such.
    for name in ("keyed_lookup", "keyed_update"):
        torch._higher_order_ops.effects._register_effectful_op(
            f"taut::{name}", torch._higher_order_ops.effects.EffectType.ORDERED
        )
