"""Elastic embedding tables for PyTorch models."""

import torch

from taut._tables import OneTable, by_frequency, even_ends, show_options, table_options

__all__ = ["ElasticEmbedding", "ElasticEmbeddingBag", "table_options"]


@show_options
class ElasticEmbeddingBag(OneTable):
    """A drop-in for ``torch.nn.EmbeddingBag``, same defaults, whose rows live inside a byte budget in training too.

    The rows are no parameters: ``backward()`` applies the table's own optimizer (row-wise Adagrad) at once,
    summing the gradients of equal ids first; other optimizers have nothing to do for it. Ids are any 64-bit
    integers: ``num_embeddings`` only says what the full table would take, for budgets given as ratios.

    A module owns its rows: ``copy.deepcopy``, ``pickle``, ``torch.save``, ``state_dict`` and ``torch.export`` take
    rows, optimizer state and budget along. A loss that ``torch.amp.GradScaler`` scaled trains as the loss itself;
    ``accumulate`` makes one step of several ``backward()`` calls. Calls from several threads are done one after
    another. Forked processes (workers of a DataLoader) look up in the rows as they were at the fork, on one thread.

    Args:
        num_embeddings: distinct ids that are expected, or 0 if not known (then give a budget in bytes).
        embedding_dim: full length of a row, at most 512; where it is no multiple of 4, rows take the room of the next.
        memory_budget: "16MiB", a number of bytes, or a ratio of the full table such as "1/10". Everything
            counts: values, index, importance, optimizer state.
        mode: "sum", "mean" or "max". "max" holds the rows of a batch outside the budget, from lookup to ``backward()``.
        scale_grad_by_freq, include_last_offset, _weight: as in ``torch.nn.EmbeddingBag``; the first holds rows as "max"
            does, the last are rows to start with, of which those stay that the budget holds.
        padding_idx: an id that is left out of its bags; below 0 it counts from num_embeddings, as there.
        strict: whether ids outside 0 .. num_embeddings - 1 are an IndexError (in compiled code a RuntimeError).
        loss_reduction: "mean" when the loss is averaged over the batch (gradients are multiplied by the
            number of bags, since the table's optimizer wants those of the summed loss), else "sum".
        threads: 0 means one for each processor. Results do not depend on it; tables share their threads.
        dtype: of outputs and their gradients, as ``half()`` and the like; value_type says how rows are stored.
        fused: whether ``backward()`` steps at once. With False gradients wait, outside the budget, for ``step()``:
            then losses of several ``backward()`` calls add up, ``clip_grad_norm_``, ``GradScaler`` and ``zero_grad``
            mean what they do for parameters, and ``TablesOptimizer`` steps.
        max_norm, norm_type, sparse, device: for PyTorch's order of arguments; None and the CPU alone, and no meaning.
        options: further options of the table; ``help(ElasticEmbeddingBag)`` ends with their list.

    >>> bag = ElasticEmbeddingBag(100_000, 16, memory_budget="1/10", learning_rate=0.1)
    >>> ids = torch.tensor([7, 7, 12345, 99])
    >>> out = bag(ids, torch.tensor([0, 3]))
    >>> out.shape
    torch.Size([2, 16])
    >>> out.square().mean().backward()
    >>> bag.statistics()["memory_bytes"] <= bag.statistics()["budget_bytes"]
    True
    """

    _NAME = "bag"

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: torch.Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        *,
        memory_budget: str | int | float = "1/10",
        strict: bool = False,
        loss_reduction: str = "mean",
        threads: int = 0,
        fused: bool = True,
        **options,
    ):
        if mode not in ("sum", "mean", "max"):
            raise ValueError(f"mode must be 'sum', 'mean' or 'max', got {mode!r}")
        if mode == "max" and scale_grad_by_freq:
            raise ValueError("scale_grad_by_freq must be False with mode 'max', got True")
        super().__init__(
            num_embeddings,
            embedding_dim,
            padding_idx=padding_idx,
            strict=strict,
            weight=_weight,
            memory_budget=memory_budget,
            loss_reduction=loss_reduction,
            threads=threads,
            dtype=dtype,
            fused=fused,
            options={"max_norm": max_norm, "norm_type": norm_type, "sparse": sparse, "device": device, **options},
        )
        self.mode = mode
        self.scale_grad_by_freq = scale_grad_by_freq
        self.include_last_offset = include_last_offset

    def forward(
        self,
        input: torch.Tensor,
        offsets: torch.Tensor | None = None,
        per_sample_weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Pooled rows [bags, embedding_dim]; bags without ids are zeros.

        input: ids [bags, length], nested ids [bags, *], or [n] with offsets [bags] ([bags + 1] with
            ``include_last_offset``).
        per_sample_weights: floats of input's shape, only with mode "sum". Where they require a gradient, the
            rows of the batch are held outside the budget, from lookup to ``backward()``.
        """
        ids, ends = self._flatten(input, offsets)
        self._check(ids)
        weights = self._flat_weights(input, per_sample_weights)
        learns = torch.is_grad_enabled()
        if self.mode == "max":
            out = _largest(self._rows(ids, ends), ids, ends, self.padding_idx)
        elif learns and (self.scale_grad_by_freq or (weights is not None and weights.requires_grad)):
            out = self._pooled(ids, ends, weights)
        else:
            given = [] if weights is None else [weights.detach()]
            out = self._lookup([ids], [ends], given, self.mode, self.padding_idx).squeeze(1)
        return out.to(self.anchor.dtype)

    def _pooled(self, ids: torch.Tensor, ends: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        """Sums or means of rows that are held one by one, for gradients that tables do not know."""
        rows = self._rows(ids, ends)
        if self.scale_grad_by_freq:
            rows = by_frequency(rows, ids)
        out = _summed(rows if weights is None else rows * weights.unsqueeze(1), ends)
        if self.mode != "mean":
            return out
        counted = torch.ones_like(ids) if self.padding_idx is None else (ids != self.padding_idx).long()
        return out / _summed(counted.unsqueeze(1), ends).clamp(min=1)

    def _rows(self, ids: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        """The row of every id [ids, embedding_dim]; zeros for padding."""
        return self._lookup([ids], [ends], [], "none", self.padding_idx).squeeze(1)

    def _flat_weights(self, input: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor | None:
        if weights is None:
            return None
        if self.mode != "sum":
            raise ValueError("per_sample_weights go with mode 'sum' alone")
        if input.is_nested and weights.is_nested:
            input, weights = input.values(), weights.values()
        if weights.shape != input.shape:
            shapes = f"{tuple(input.shape)}, got {tuple(weights.shape)}"
            raise ValueError(f"per_sample_weights must have the shape of input, {shapes}")
        if not weights.is_floating_point():
            raise ValueError(f"per_sample_weights must be floats, got {weights.dtype}")
        return weights.reshape(-1).float()

    def _flatten(self, input: torch.Tensor, offsets: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        if input.dim() == 2:
            if input.is_nested and offsets is None:
                return input.values(), input.offsets()
            if offsets is not None:
                raise ValueError("offsets must be None when input has 2 dimensions")
            return input.reshape(-1), even_ends(*input.shape)
        if input.dim() != 1:
            raise ValueError(f"input must have 1 or 2 dimensions, got {input.dim()}")
        if offsets is None:
            raise ValueError("offsets must be given when input has 1 dimension")
        if offsets.dim() != 1:
            raise ValueError(f"offsets must have 1 dimension, got {offsets.dim()}")
        if self.include_last_offset:
            return input, offsets
        return input, torch.cat([offsets, offsets.new_tensor([input.numel()])])

    def extra_repr(self) -> str:
        """What ``print(module)`` shows."""
        return f"{super().extra_repr()}, mode={self.mode!r}"


def _bag_of(rows: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """Which bag each row is in [rows, 1]."""
    bags = torch.arange(ends.shape[0] - 1, device=ends.device)
    return torch.repeat_interleave(bags, ends.diff(), output_size=rows.shape[0]).unsqueeze(1)


def _summed(rows: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """The sum of each bag's rows, added in their order."""
    out = rows.new_zeros(ends.shape[0] - 1, rows.shape[1])
    return out.index_add(0, _bag_of(rows, ends).squeeze(1), rows)


def _largest(rows: torch.Tensor, ids: torch.Tensor, ends: torch.Tensor, padding_idx: int | None) -> torch.Tensor:
    """The largest of each bag's values, padding left out. Of equal ones the first counts, and gets the gradient."""
    count, dim = rows.shape
    shape = (ends.shape[0] - 1, dim)
    bag = _bag_of(rows, ends).expand(count, dim)
    values = rows.detach()
    if padding_idx is not None:
        values = values.masked_fill((ids == padding_idx).unsqueeze(1), -torch.inf)
    most = values.new_full(shape, -torch.inf).scatter_reduce(0, bag, values, "amax")
    here = torch.arange(count, device=rows.device).unsqueeze(1).expand(count, dim)
    wins = (values == most.gather(0, bag)) & (values > -torch.inf)
    first = here.new_full(shape, count).scatter_reduce(0, bag, torch.where(wins, here, count), "amin")
    return torch.cat([rows, rows.new_zeros(1, dim)]).gather(0, first)  # bags without ids take the zeros


@show_options
class ElasticEmbedding(OneTable):
    """A drop-in for ``torch.nn.Embedding``, whose rows live inside a byte budget: every id is looked up by itself.

    For sequences and other ids that are not pooled. All else is as ``ElasticEmbeddingBag`` has it, arguments too; an
    id of ``padding_idx`` reads zeros and is not trained. A loss that is a mean is that over the first dimension of the
    input: give ``loss_reduction="sum"`` and a summed loss for any other.

    >>> layer = ElasticEmbedding(1000, 6, memory_budget="64KiB")
    >>> layer(torch.tensor([[1, 2, 3], [4, 5, 6]])).shape
    torch.Size([2, 3, 6])
    """

    _NAME = "embedding"

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: torch.Tensor | None = None,
        _freeze: bool = False,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        *,
        memory_budget: str | int | float = "1/10",
        strict: bool = False,
        loss_reduction: str = "mean",
        threads: int = 0,
        fused: bool = True,
        **options,
    ):
        super().__init__(
            num_embeddings,
            embedding_dim,
            padding_idx=padding_idx,
            strict=strict,
            weight=_weight,
            memory_budget=memory_budget,
            loss_reduction=loss_reduction,
            threads=threads,
            dtype=dtype,
            fused=fused,
            options={"max_norm": max_norm, "norm_type": norm_type, "sparse": sparse, "device": device, **options},
        )
        self.scale_grad_by_freq = scale_grad_by_freq
        self.requires_grad_(not _freeze)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """The rows of ids of any shape: [*, embedding_dim]."""
        examples = input.shape[0] if input.dim() > 0 else 1
        length = input.shape[1:].numel() if input.dim() > 0 else 1
        ids = input.reshape(-1)
        self._check(ids)
        rows = self._lookup([ids], [even_ends(examples, length)], [], "none", self.padding_idx).squeeze(1)
        if self.scale_grad_by_freq and torch.is_grad_enabled():
            rows = by_frequency(rows, ids)
        return rows.reshape(*input.shape, self.embedding_dim).to(self.anchor.dtype)
