"""ElasticEmbeddingBagCollection: several features under one budget, as dicts and as TorchRec's jagged tensors."""

import copy

import pytest
import torch

import taut
from taut.collection import ElasticEmbeddingBagCollection

OPTIONS = {
    "memory_budget": "1MiB",
    "method": "full",
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "loss_reduction": "sum",
}
USER = torch.tensor([[1, 2], [3, 3], [0, 9]])
ITEM = (torch.tensor([4, 4, 7], dtype=torch.int32), torch.tensor([0, 2, 2, 3]))


def both(dim=6, mode="sum"):
    """A collection, and dense bags with the same rows."""
    dense = {name: torch.nn.EmbeddingBag(10, dim, mode=mode, include_last_offset=True) for name in ("user", "item")}
    bags = ElasticEmbeddingBagCollection({"user": 10, "item": 10}, dim, mode=mode, **OPTIONS)
    for name, bag in dense.items():
        assert bags.load_rows(name, torch.arange(10), bag.weight.detach()) == (10, 0)
    return bags, dense


@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("dim", [6, 8])
def test_features_are_pooled_and_trained_as_bags_of_their_own(mode, dim):
    bags, dense = both(dim, mode)
    out = bags({"user": USER, "item": ITEM})
    expected = {"user": dense["user"](USER), "item": dense["item"](*ITEM)}
    assert list(out) == ["user", "item"]
    torch.testing.assert_close(out, expected)
    (out["user"] * out["item"]).square().sum().backward()
    (expected["user"] * expected["item"]).square().sum().backward()
    for name, bag in dense.items():
        rows = bags.read_rows(name, torch.arange(10))["vector"]
        torch.testing.assert_close(rows, bag.weight.detach() - 0.1 * bag.weight.grad)


def test_nested_ids_and_weights_of_some_features():
    bags, dense = both()
    nested = torch.nested.nested_tensor_from_jagged(torch.tensor([1, 2, 3]), torch.tensor([0, 2, 3, 3]))
    weights = torch.tensor([0.5, 2.0, -1.0])
    out = bags({"user": nested, "item": ITEM}, {"item": weights})
    torch.testing.assert_close(out["item"], dense["item"](*ITEM, weights))
    torch.testing.assert_close(out["user"], dense["user"](nested.values(), nested.offsets()))


def test_one_budget_holds_for_all_and_goes_where_it_is_worth_most():
    torch.manual_seed(1)
    bags = ElasticEmbeddingBagCollection({"hot": 100, "cold": 50_000}, 16, memory_budget="1/20")
    for _ in range(60):
        features = {"hot": torch.randint(100, (256, 1)), "cold": torch.randint(50_000, (256, 1))}
        out = bags(features)
        (out["hot"].sum(1) - 1).square().mean().add((out["cold"].sum(1) - 1).square().mean()).backward()
        statistics = bags.statistics()
        assert statistics["memory_bytes"] <= statistics["budget_bytes"]
    assert len(bags.read_rows("hot", torch.arange(100))["id"]) > 90
    assert len(bags.read_rows("cold", torch.arange(50_000))["id"]) < 25_000


def test_copies_and_states_hold_all_tables():
    bags, _ = both()
    features = {"user": USER, "item": ITEM}
    bags(features)["user"].square().sum().backward()
    other = copy.deepcopy(bags)
    torch.testing.assert_close(other(features), bags(features), atol=0, rtol=0)
    third, _ = both()
    third.load_state_dict(bags.state_dict())
    torch.testing.assert_close(third(features), bags(features), atol=0, rtol=0)
    assert bags.half()(features)["user"].dtype == torch.float16


def test_a_collection_is_compiled_in_one_graph():
    torch._dynamo.reset()
    eager, _ = both()
    compiled = copy.deepcopy(eager)

    def loss(bags):
        out = bags({"user": USER, "item": ITEM})
        return (out["user"] * out["item"]).square().sum()

    loss(eager).backward()
    torch.compile(loss, backend="aot_eager", fullgraph=True)(compiled).backward()
    assert torch.equal(
        compiled.read_rows("item", torch.arange(10))["vector"], eager.read_rows("item", torch.arange(10))["vector"]
    )


def call(features, weights=None, **options):
    return lambda: both(**options)[0](features, weights)


WRONG = {
    "no features": (lambda: ElasticEmbeddingBagCollection({}, 8), "at least one feature"),
    "no dimension": (lambda: ElasticEmbeddingBagCollection({"user": 3}), "embedding_dim must be given"),
    "max": (
        lambda: ElasticEmbeddingBagCollection({"user": 3}, 8, mode="max"),
        "mode must be 'sum' or 'mean', got 'max'",
    ),
    "a missing feature": (call({"user": USER}), "features must be user, item, got user"),
    "an unknown one": (call({"user": USER, "item": ITEM, "shop": USER}), "got user, item, shop"),
    "one dimension": (call({"user": USER[0], "item": ITEM}), r"features\['user'\] must have 2 dimensions"),
    "other batches": (call({"user": USER[:2], "item": ITEM}), r"tables\[1\].offsets"),
    "unknown weights": (
        call({"user": USER, "item": ITEM}, {"shop": USER}),
        "weights name shop, features are user, item",
    ),
    "weights that learn": (
        call({"user": USER, "item": ITEM}, {"user": torch.ones(3, 2, requires_grad=True)}),
        r"weights\['user'\] must not require a gradient",
    ),
    "too few weights": (call({"user": USER, "item": ITEM}, {"user": torch.ones(2)}), "must be 6 floats, got 2"),
    "weights of means": (
        call({"user": USER, "item": ITEM}, {"user": torch.ones(3, 2)}, mode="mean"),
        "mode 'sum' alone",
    ),
    "rows of no feature": (lambda: both()[0].read_rows("shop", USER[0]), "feature must be one of user, item, got shop"),
}


@pytest.mark.parametrize("make, message", WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_package_offers_it():
    assert taut.ElasticEmbeddingBagCollection is ElasticEmbeddingBagCollection


@pytest.fixture
def torchrec():
    """TorchRec wants FBGEMM built for CUDA, so it is installed by hand: docs/python.md says how."""
    return pytest.importorskip("torchrec", exc_type=ImportError)


def configs(torchrec, *, dims=(6, 6), features=(["user"], ["item"]), pooling="SUM"):
    return [
        torchrec.EmbeddingBagConfig(
            name=f"table_{names[0]}",
            num_embeddings=10,
            embedding_dim=dim,
            feature_names=names,
            pooling=torchrec.PoolingType[pooling],
        )
        for names, dim in zip(features, dims, strict=True)
    ]


@pytest.mark.parametrize("pooling, weighted", [("SUM", False), ("SUM", True), ("MEAN", False)])
def test_jagged_tensors_of_torchrec_give_its_keyed_tensors(torchrec, pooling, weighted):
    keys = ["other", "item", "user"]
    lengths = torch.tensor([1, 0, 1, 2, 0, 1, 2, 2, 2], dtype=torch.int32)
    values = torch.cat([torch.tensor([5, 5]), ITEM[0].long(), USER.reshape(-1)])
    weights = torch.linspace(-1, 1, len(values)) if weighted else None
    jagged = torchrec.KeyedJaggedTensor.from_lengths_sync(keys, values, lengths, weights)
    theirs = torchrec.EmbeddingBagCollection(configs(torchrec, pooling=pooling), is_weighted=weighted)
    ours = ElasticEmbeddingBagCollection(configs(torchrec, pooling=pooling), **OPTIONS)
    for name in ("user", "item"):
        ours.load_rows(name, torch.arange(10), theirs.embedding_bags[f"table_{name}"].weight.detach())
    out, expected = ours(jagged), theirs(jagged)
    assert isinstance(out, torchrec.KeyedTensor)
    assert out.keys() == expected.keys() == ["user", "item"]
    torch.testing.assert_close(out.values(), expected.values())
    out.values().square().sum().backward()
    expected.values().square().sum().backward()
    for name in ("user", "item"):
        weight = theirs.embedding_bags[f"table_{name}"].weight
        torch.testing.assert_close(
            ours.read_rows(name, torch.arange(10))["vector"], weight.detach() - 0.1 * weight.grad
        )


def test_what_torchrec_has_and_one_budget_has_not_is_named(torchrec):
    wrong = {
        "embedding_dim must be the same for all tables, got 6, 8": {"dims": (6, 8)},
        "table table_user must have 1 feature, got user, friend": {"features": (["user", "friend"], ["item"])},
        "feature user must have 1 table, got a second one, table_user": {"features": (["user"], ["user"])},
    }
    for message, options in wrong.items():
        with pytest.raises(ValueError, match=message):
            ElasticEmbeddingBagCollection(configs(torchrec, **options))
    bags = ElasticEmbeddingBagCollection(configs(torchrec))
    jagged = torchrec.KeyedJaggedTensor.from_lengths_sync(["user"], torch.tensor([1]), torch.tensor([1]))
    with pytest.raises(ValueError, match="features must have the key item, got user"):
        bags(jagged)
