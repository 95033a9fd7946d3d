"""An optimizer of PyTorch that steps elastic tables, for loops, schedulers and scalers that want one."""

from collections.abc import Callable, Iterable

import torch

from taut._tables import TablesModule

__all__ = ["TablesOptimizer"]


class TablesOptimizer(torch.optim.Optimizer):
    """Steps the tables in modules, and takes their learning rates from ``torch.optim.lr_scheduler``.

    Each module of tables is a parameter group, with its ``learning_rate`` as ``lr``. The rule of the step is the
    tables' own (their option ``optimizer``). Modules with ``fused=False`` are stepped by ``step()``, with what clipping
    and scaling have made of their gradients; those with ``fused=True`` step within ``backward()``, and only get their
    rate, at ``zero_grad()`` and ``step()``: call ``zero_grad()`` before ``backward()``. Rates are in ``state_dict()``;
    rows and their optimizer state in that of the modules.

    modules: a module, or several; tables are looked for in all that they hold.

    >>> from taut import ElasticEmbeddingBag
    >>> bag = ElasticEmbeddingBag(100, 4, memory_budget="1MiB", fused=False)
    >>> model = torch.nn.Sequential(bag, torch.nn.Linear(4, 1))
    >>> tables, dense = TablesOptimizer(model), torch.optim.Adam(model[1].parameters())
    >>> decay = torch.optim.lr_scheduler.StepLR(tables, step_size=1, gamma=0.5)
    >>> model(torch.tensor([[1, 2]])).sum().backward()
    >>> norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    >>> tables.step(), dense.step(), decay.step()
    (None, None, None)
    >>> tables.param_groups[0]["lr"]
    0.2
    """

    def __init__(self, modules: torch.nn.Module | Iterable[torch.nn.Module]):
        roots = [modules] if isinstance(modules, torch.nn.Module) else list(modules)
        found = dict.fromkeys(m for root in roots for m in root.modules() if isinstance(m, TablesModule))
        if not found:
            raise ValueError("modules must hold elastic tables, found none")
        self._modules = list(found)
        groups = [{"params": [module.anchor], "lr": module.learning_rate} for module in self._modules]
        super().__init__(groups, {"lr": self._modules[0].learning_rate})

    def add_param_group(self, param_group: dict) -> None:
        """Refuses groups after the start, which would have no tables."""
        if len(self.param_groups) == len(self._modules):
            raise NotImplementedError("TablesOptimizer takes its modules at the start: make one with all of them")
        super().add_param_group(param_group)

    def step(self, closure: Callable[[], torch.Tensor] | None = None) -> torch.Tensor | None:
        """Steps the modules with ``fused=False`` at the rates of their groups; returns what closure returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._set_rates()
        for module in self._modules:
            if not module.fused:
                module.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets gradients that wait, and gives modules the rates of their groups for the next ``backward()``."""
        self._set_rates()
        super().zero_grad(set_to_none)

    def _set_rates(self) -> None:
        for module, group in zip(self._modules, self.param_groups, strict=True):
            if float(group["lr"]) != module.learning_rate:
                module.learning_rate = float(group["lr"])
