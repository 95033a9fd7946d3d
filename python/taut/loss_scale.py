"""Losses that are multiplied before backward(), so that tables take the factor out again."""

import functools

import torch

from taut import _library

_library.load()


def announce_scale(loss: torch.Tensor, scale: float) -> torch.Tensor:
    """Says that this loss was multiplied by scale; call it after the multiplication, before ``backward()``.

    Tables that the backward pass of this loss reaches divide their gradients by scale; a gradient that is not
    finite is left out, as ``GradScaler.step()`` leaves out a step. Losses that ``torch.amp.GradScaler.scale()``
    gave are announced already: this is for factors of one's own. Returns the loss.

    >>> import taut
    >>> bag = taut.ElasticEmbeddingBag(10, 4, memory_budget="1MiB")
    >>> announce_scale(bag(torch.tensor([[1]])).sum() * 1024, 1024).backward()
    """

    def begin(_gradient: torch.Tensor) -> None:
        backward = torch.ops.taut.loss_scale_begin(scale)
        torch.autograd.Variable._execution_engine.queue_callback(lambda: torch.ops.taut.loss_scale_end(backward))

    if loss.requires_grad:
        loss.register_hook(begin)
    return loss


def follow_grad_scalers() -> None:
    """Makes ``torch.amp.GradScaler.scale()`` announce what it scaled."""
    scale = torch.amp.GradScaler.scale
    if hasattr(scale, "__wrapped__"):
        return

    @functools.wraps(scale)
    def scale_and_announce(self, outputs):
        scaled = scale(self, outputs)
        if not self.is_enabled():
            return scaled
        if not isinstance(scaled, (torch.Tensor, list, tuple)):
            scaled = list(scaled)
        for tensor in torch.utils._pytree.tree_leaves(scaled):
            announce_scale(tensor, self.get_scale())
        return scaled

    torch.amp.GradScaler.scale = scale_and_announce
