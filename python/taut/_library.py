"""Loads the operators of taut into torch, and says how tracers (torch.compile, torch.export) see them."""

import torch

from taut import _files


def load() -> None:
    """Loads libtaut_torch.so, once: $TAUT_TORCH_LIBRARY, beside this package, or from build/release.

    Raises ImportError where it is not there, or was built for another PyTorch than this one.
    """
    if hasattr(torch.ops.taut, "tables_lookup"):
        return
    path = _files.library()
    if wrong := _files.why_not("torch"):
        raise ImportError(wrong)
    try:
        torch.ops.load_library(str(path))
    except OSError as refused:
        raise ImportError(f"{path} cannot be loaded with PyTorch {torch.__version__}: {refused}") from refused
    _register()


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
        def _(anchor, handle, dim, scale, ids, offsets, weights, mode="sum", padding_idx=None):
            if not offsets:
                raise ValueError("offsets must have an entry for each table, got none")
            rows = ids[0].shape[0] if mode == "none" else offsets[0].shape[0] - 1
            return anchor.new_empty((rows, len(ids), dim), dtype=torch.float32)

        @torch.library.register_fake(f"taut::{kind}_update")
        def _(handle, scale, ids, offsets, weights, gradient, mode="sum", padding_idx=None):
            return gradient.new_empty((), dtype=torch.float32)

    # Compiled graphs neither merge, drop, move nor repeat them. Those that take an object are known to be such.
    for name in ("keyed_lookup", "keyed_update"):
        torch._higher_order_ops.effects._register_effectful_op(
            f"taut::{name}", torch._higher_order_ops.effects.EffectType.ORDERED
        )
