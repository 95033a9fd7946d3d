"""Winners-take-all activations for PyTorch models: each input keeps only its largest activations."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch

from taut import _library

_library.load()

UNITS = ("neuron", "channel", "position", "element", "block")
ACTIVATIONS = (
    torch.nn.ReLU,
    torch.nn.ReLU6,
    torch.nn.LeakyReLU,
    torch.nn.PReLU,
    torch.nn.ELU,
    torch.nn.GELU,
    torch.nn.SiLU,
    torch.nn.Hardswish,
    torch.nn.Mish,
    torch.nn.Sigmoid,
    torch.nn.Tanh,
    torch.nn.Softplus,
)

Policy = float | Mapping[str, float] | Callable[[str, torch.nn.Module], float | None]


def _checked_rate(rate: float) -> float:
    if not 0 < rate <= 1:
        raise ValueError(f"rate must be above 0, at most 1, got {rate}")
    return float(rate)


class WinnersTakeAll(torch.nn.Module):
    """Keeps the activations of largest magnitude of each input, zero elsewhere (DASNet, arXiv 1909.06964).

    ``max(1, ceil(rate * n))`` units win; gradients pass winners only. Kept values are not rescaled: the same
    selection is used for inference. A rate of 1 passes everything on. Works on float32 and bfloat16, and on
    float64 by a plain path for gradient checks; keeps the memory format, and channels-last is the fast one for
    positions.

    Args:
        rate: share of the units that win, in (0, 1]; may be assigned while training.
        unit: "neuron" ([batch, features]), "channel" (whole maps), "position" (each spatial position chooses
            among its channels), "element" (one choice among all values of an example) or "block" (blocks of
            channels or neurons at each position). None: "neuron" for two dimensions, "position" for four.
        score: what channels and blocks are ranked by: "mean_magnitude", "max_magnitude" or "mean_square".
        select: "exact", or "threshold": what reaches ``threshold`` wins, and how many do varies.
        block: channels (or neurons) of a block.
        threshold: see ``select``; ``calibrate`` finds it from samples.

    >>> layer = WinnersTakeAll(0.5)
    >>> layer(torch.tensor([[3.0, -1.0, -4.0, 2.0]]))
    tensor([[ 3.,  0., -4.,  0.]])
    """

    def __init__(
        self,
        rate: float,
        *,
        unit: str | None = None,
        score: str = "mean_magnitude",
        select: str = "exact",
        block: int = 8,
        threshold: float = 0.0,
    ) -> None:
        super().__init__()
        if unit is not None and unit not in UNITS:
            raise ValueError(f"unit must be one of {', '.join(UNITS)}, got {unit}")
        self._rate = _checked_rate(rate)
        self.unit = unit
        self.score = score
        self.select = select
        self.block = block
        self.threshold = threshold
        self._wins: torch.Tensor | None = None
        self._trials = 0
        self._tracking = False
        # Options that are wrong whatever the input.
        width = max(1, block)
        torch.ops.taut.winners(torch.zeros(1, width), self._rate, "element", score, select, 1, threshold)

    @property
    def rate(self) -> float:
        """Share of the units that win."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._rate = _checked_rate(rate)

    def unit_for(self, x: torch.Tensor) -> str:
        """The unit that is used for x."""
        return self.unit or ("neuron" if x.dim() == 2 else "position")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The winners of x, 0 elsewhere; x is [batch, features] or [batch, channels, height, width]."""
        y = x
        if self.select != "exact" or self._rate < 1:
            y = torch.ops.taut.winners(
                x, self._rate, self.unit_for(x), self.score, self.select, self.block, self.threshold
            )
        if self._tracking:
            self._count(y.detach())
        return y

    def _count(self, y: torch.Tensor) -> None:
        won = y.flatten(2) != 0 if y.dim() > 2 else (y != 0).unsqueeze(2)
        unit = self.unit_for(y)
        if unit == "channel":
            won = won.any(2, keepdim=True)
        elif unit == "block":
            blocks = won.unflatten(1, (-1, self.block)).any(2, keepdim=True)
            won = blocks.expand(-1, -1, self.block, -1).flatten(1, 2)
        wins = won.sum((0, 2))
        self._wins = wins if self._wins is None else self._wins + wins
        self._trials += won.shape[0] * won.shape[2]

    def track(self, on: bool = True) -> None:
        """Counts who wins in every call from now on, from zero; False stops and keeps what is there."""
        self._tracking = on
        if on:
            self._wins, self._trials = None, 0

    def statistics(self) -> dict[str, object]:
        """Who won since ``track()``: wins per channel or neuron, share of never and always, rate, entropy in bits.

        The entropy is the mean over channels of that of their share of wins: 0 means the same channels win for
        every input.
        """
        if self._wins is None:
            return {"wins": [], "trials": 0, "never": 0.0, "always": 0.0, "rate": 0.0, "entropy": 0.0}
        share = self._wins.double() / self._trials
        entropy = (torch.special.entr(share) + torch.special.entr(1 - share)) / math.log(2)
        return {
            "wins": self._wins.tolist(),
            "trials": self._trials,
            "never": (share == 0).double().mean().item(),
            "always": (share == 1).double().mean().item(),
            "rate": share.mean().item(),
            "entropy": entropy.mean().item(),
        }

    @torch.no_grad()
    def calibrate(self, samples: Sequence[torch.Tensor]) -> float:
        """Sets the threshold that reaches ``rate`` on average over inputs of this layer, and selects by it."""
        scores = [torch.ops.taut.winner_scores(x, self.unit_for(x), self.score, self.block) for x in samples]
        self.threshold = torch.ops.taut.winner_threshold(torch.cat(scores), self._rate)
        self.select = "threshold"
        return self.threshold

    def extra_repr(self) -> str:
        """What ``print(module)`` shows."""
        chosen = f"threshold={self.threshold}" if self.select == "threshold" else f"rate={self._rate}"
        return f"{chosen}, unit={self.unit or 'auto'}"


def _rate_of(policy: Policy, name: str, module: torch.nn.Module) -> float | None:
    if callable(policy):
        return policy(name, module)
    if isinstance(policy, Mapping):
        return policy.get(name)
    return policy


def sparsify(
    module: torch.nn.Module, policy: Policy, *, activations: Sequence[type] = ACTIVATIONS, **options
) -> torch.nn.Module:
    """Puts WinnersTakeAll after every activation of a model but the last, in place; returns the model.

    Activations are modules, in the order in which the model holds them; one that is held in several places gets
    winners once. ``torch.nn.functional`` calls are not seen. Each activation becomes a Sequential of itself and its
    winners, so names of parameters change only where an activation holds some (PReLU).

    Args:
        module: the model; it must hold at least two activations.
        policy: one rate; a dict of rates by the activation's name (those not named stay as they are); or a function
            of name and activation that gives a rate or None.
        activations: the classes that count as activations.
        options: further arguments of WinnersTakeAll.

    >>> net = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 8), torch.nn.ReLU())
    >>> sparsify(net, 0.25)[1][1].rate
    0.25
    """
    found = [(name, child) for name, child in module.named_modules() if isinstance(child, tuple(activations))]
    if len(found) < 2:
        raise ValueError(f"module must hold at least two activations, got {len(found)}")
    names = [name for name, _ in found]
    if isinstance(policy, Mapping):
        unknown = [name for name in policy if name not in names[:-1]]
        if unknown:
            raise ValueError(f"policy names {unknown[0]}, activations but the last are {', '.join(names[:-1])}")
    for name, activation in found[:-1]:
        rate = _rate_of(policy, name, activation)
        if rate is not None:
            winners = WinnersTakeAll(rate, **options)
            _replace(module, activation, torch.nn.Sequential(activation, winners))
    return module


def _replace(module: torch.nn.Module, old: torch.nn.Module, new: torch.nn.Module) -> None:
    """Wherever module holds old, it holds new from now on."""
    for parent in list(module.modules()):
        if parent is new:
            continue
        for key, child in parent._modules.items():
            if child is old:
                parent._modules[key] = new


def winner_layers(module: torch.nn.Module) -> dict[str, WinnersTakeAll]:
    """The WinnersTakeAll of a model by name."""
    return {name: child for name, child in module.named_modules() if isinstance(child, WinnersTakeAll)}


def set_rates(module: torch.nn.Module, rates: float | Mapping[str, float]) -> None:
    """Sets the rate of all WinnersTakeAll of a model, or of those named."""
    layers = winner_layers(module)
    if not isinstance(rates, Mapping):
        rates = dict.fromkeys(layers, rates)
    for name, rate in rates.items():
        if name not in layers:
            raise ValueError(f"rates names {name}, layers are {', '.join(layers)}")
        layers[name].rate = rate


def _progress(epoch: float, begin: float, end: float) -> float:
    if not end > begin:
        raise ValueError(f"end must be above begin {begin}, got {end}")
    return min(1.0, max(0.0, (epoch - begin) / (end - begin)))


def step(epoch: float, *, rate: float, begin: float, end: float, steps: int = 4) -> float:
    """The rate at an epoch: 1 before ``begin``, then down in equal steps to ``rate``, which holds from ``end`` on.

    >>> [round(step(e, rate=0.2, begin=2, end=6, steps=2), 2) for e in range(8)]
    [1.0, 1.0, 0.6, 0.6, 0.2, 0.2, 0.2, 0.2]
    """
    _checked_rate(rate)
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if epoch < begin:
        return 1.0
    taken = min(steps, math.floor(_progress(epoch, begin, end) * steps) + 1)
    return 1.0 + (rate - 1.0) * taken / steps


def cubic(epoch: float, *, rate: float, begin: float, end: float) -> float:
    """The rate at an epoch: 1 before ``begin``, ``rate`` from ``end`` on, between them fast at first and slow at
    last: ``rate + (1 - rate) * (1 - t)**3`` (Zhu and Gupta 2017).

    >>> [round(cubic(e, rate=0.2, begin=2, end=6), 3) for e in (0, 2, 4, 6, 9)]
    [1.0, 1.0, 0.3, 0.2, 0.2]
    """
    _checked_rate(rate)
    return rate + (1.0 - rate) * (1.0 - _progress(epoch, begin, end)) ** 3
