"""Elastic tables of several features under one budget."""

import sys
from collections.abc import Iterable, Mapping

import torch

from taut._tables import TablesModule, even_ends, show_options

Ids = torch.Tensor | tuple[torch.Tensor, torch.Tensor]


@show_options
class ElasticEmbeddingBagCollection(TablesModule):
    """One table a feature, all inside one byte budget, looked up and trained in one call.

    The budget goes where it is worth most: a feature with few frequent ids keeps them whole, one with many rare ids
    gives way. Otherwise as ``ElasticEmbeddingBag``: ``backward()`` is a step of the tables' own optimizer.

    Args:
        tables: distinct ids that are expected by feature (0: not known, then give a budget in bytes), or a list of
            TorchRec's ``EmbeddingBagConfig``, each with one feature, all of one dimension and one pooling.
        embedding_dim: of all tables; None where ``tables`` says it.
        memory_budget: of all tables together, as for ``ElasticEmbeddingBag``.
        mode: "sum" or "mean"; None: what ``tables`` says, else "sum".
        loss_reduction, threads, dtype, fused, options: as for ``ElasticEmbeddingBag``.

    >>> bags = ElasticEmbeddingBagCollection({"user": 1000, "item": 500}, 8, memory_budget="1/10")
    >>> user, item = torch.tensor([[1], [2]]), torch.tensor([[7, 8], [9, 9]])
    >>> out = bags({"user": user, "item": item})
    >>> {name: tuple(rows.shape) for name, rows in out.items()}
    {'user': (2, 8), 'item': (2, 8)}
    """

    def __init__(
        self,
        tables: Mapping[str, int] | Iterable[object],
        embedding_dim: int | None = None,
        *,
        memory_budget: str | int | float = "1/10",
        mode: str | None = None,
        loss_reduction: str = "mean",
        threads: int = 0,
        dtype: torch.dtype | None = None,
        fused: bool = True,
        **options,
    ):
        if not isinstance(tables, Mapping):
            tables, embedding_dim, mode = _read_configs(list(tables), embedding_dim, mode)
        if not tables:
            raise ValueError("tables must name at least one feature, got none")
        if embedding_dim is None:
            raise ValueError("embedding_dim must be given where tables do not say it")
        mode = mode or "sum"
        if mode not in ("sum", "mean"):
            raise ValueError(f"mode must be 'sum' or 'mean', got {mode!r}, for another use ElasticEmbeddingBag")
        super().__init__(
            dict(tables),
            embedding_dim,
            memory_budget=memory_budget,
            loss_reduction=loss_reduction,
            threads=threads,
            dtype=dtype,
            fused=fused,
            options=options,
        )
        self.features = list(tables)
        self.mode = mode

    def forward(self, features: object, weights: Mapping[str, torch.Tensor] | None = None) -> object:
        """Pooled rows of each feature.

        features: by feature ids [batch, length], nested ids [batch, *], or (ids [n], offsets [batch + 1]); of all
            features and no others. Or TorchRec's ``KeyedJaggedTensor``, whose further keys are left alone.
        weights: by feature floats of its ids' shape, with mode "sum"; features that are not named have weights of 1.
            They get no gradient. A ``KeyedJaggedTensor`` has weights of its own.

        Returns by feature [batch, embedding_dim]; of a ``KeyedJaggedTensor`` TorchRec's ``KeyedTensor``.
        """
        keyed = _is_keyed(features)
        if keyed:
            if weights is not None:
                raise ValueError("weights must be those of the KeyedJaggedTensor, got others")
            features, weights = self._split(features)
        missing = [name for name in self.features if name not in features]
        unknown = [name for name in features if name not in self.features]
        if missing or unknown:
            raise ValueError(f"features must be {', '.join(self.features)}, got {', '.join(features)}")
        pairs = [_ids_and_ends(name, features[name]) for name in self.features]
        ids, ends = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        rows = self._lookup(ids, ends, self._flat_weights(ids, weights), self.mode).to(self.anchor.dtype)
        if not keyed:
            return dict(zip(self.features, rows.unbind(1), strict=True))
        torchrec = sys.modules["torchrec.sparse.jagged_tensor"]
        return torchrec.KeyedTensor(self.features, [self.embedding_dim] * len(self.features), rows.flatten(1))

    def _split(self, keyed: object) -> tuple[dict[str, Ids], dict[str, torch.Tensor] | None]:
        """Ids and weights of our features in a KeyedJaggedTensor."""
        parts = keyed.to_dict()
        missing = [name for name in self.features if name not in parts]
        if missing:
            raise ValueError(f"features must have the key {missing[0]}, got {', '.join(parts)}")
        ids = {name: (parts[name].values(), parts[name].offsets()) for name in self.features}
        if keyed.weights_or_none() is None:
            return ids, None
        return ids, {name: parts[name].weights() for name in self.features}

    def _flat_weights(self, ids: list[torch.Tensor], weights: Mapping[str, torch.Tensor] | None) -> list[torch.Tensor]:
        if not weights:
            return []
        if self.mode != "sum":
            raise ValueError("weights go with mode 'sum' alone")
        unknown = [name for name in weights if name not in self.features]
        if unknown:
            raise ValueError(f"weights name {unknown[0]}, features are {', '.join(self.features)}")
        flat = []
        for name, of in zip(self.features, ids, strict=True):
            if name not in weights:
                flat.append(torch.ones(of.shape, device=of.device))
                continue
            given = weights[name]
            if given.requires_grad and torch.is_grad_enabled():
                raise ValueError(f"weights[{name!r}] must not require a gradient, as ElasticEmbeddingBag lets them")
            given = given.values() if given.is_nested else given
            if given.numel() != of.numel() or not given.is_floating_point():
                raise ValueError(f"weights[{name!r}] must be {of.numel()} floats, got {given.numel()} of {given.dtype}")
            flat.append(given.reshape(-1).float())
        return flat

    def load_rows(
        self, feature: str, ids: torch.Tensor, vectors: torch.Tensor, importance: torch.Tensor | None = None
    ) -> tuple[int, int]:
        """Puts rows of a feature in, in place of those of the same ids; returns how many are held and left out."""
        return self._put_rows(self._table(feature), ids, vectors, importance)

    def read_rows(self, feature: str, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """The rows that are held of these ids of a feature: id, mask, importance, vector."""
        return self._get_rows(self._table(feature), ids)

    def _table(self, feature: str) -> int:
        if feature not in self.features:
            raise ValueError(f"feature must be one of {', '.join(self.features)}, got {feature}")
        return self.features.index(feature)

    def extra_repr(self) -> str:
        """What ``print(module)`` shows."""
        budget = self.options["budget"]
        return f"{', '.join(self.features)}, {self.embedding_dim}, memory_budget={budget!r}, mode={self.mode!r}"


def _read_configs(
    configs: list, embedding_dim: int | None, mode: str | None
) -> tuple[dict[str, int], int | None, str | None]:
    """Features with their ids, dimension and mode of TorchRec's configs."""
    tables = {}
    for config in configs:
        if len(config.feature_names) != 1:
            names = ", ".join(config.feature_names)
            raise ValueError(f"table {config.name} must have 1 feature, got {names}: give each feature a table")
        [feature] = config.feature_names
        if feature in tables:
            raise ValueError(f"feature {feature} must have 1 table, got a second one, {config.name}")
        tables[feature] = config.num_embeddings
    dims = {config.embedding_dim for config in configs} | ({embedding_dim} - {None})
    modes = {config.pooling.value.lower() for config in configs} | ({mode} - {None})
    for name, found in (("embedding_dim", dims), ("pooling", modes)):
        if len(found) > 1:
            raise ValueError(f"{name} must be the same for all tables, got {', '.join(map(str, sorted(found)))}")
    return tables, next(iter(dims), None), next(iter(modes), None)


def _is_keyed(features: object) -> bool:
    """Whether it is TorchRec's KeyedJaggedTensor, without importing TorchRec for it."""
    torchrec = sys.modules.get("torchrec.sparse.jagged_tensor")
    return torchrec is not None and isinstance(features, torchrec.KeyedJaggedTensor)


def _ids_and_ends(name: str, given: Ids) -> tuple[torch.Tensor, torch.Tensor]:
    if isinstance(given, torch.Tensor):
        if given.dim() != 2:
            raise ValueError(f"features[{name!r}] must have 2 dimensions or come with offsets, got {given.dim()}")
        if given.is_nested:
            return given.values(), given.offsets()
        return given.reshape(-1), even_ends(*given.shape)
    ids, ends = given
    return ids, ends
