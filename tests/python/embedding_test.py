"""ElasticEmbeddingBag beside torch.nn.EmbeddingBag, and torch's own checks of the operators."""

import doctest
import inspect
import os
import subprocess

import pytest
import torch
from embedding_support import ROOT, dense_rows, full_bag, touch

import taut.embedding
from taut.embedding import ElasticEmbeddingBag, table_options


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_pools_as_embedding_bag_does(dtype, mode):
    bag = full_bag(mode=mode)
    touch(bag)
    dense = torch.nn.EmbeddingBag.from_pretrained(dense_rows(bag), mode=mode)
    ids = torch.tensor([3, 3, 7, 49, 0, 12], dtype=dtype)
    offsets = torch.tensor([0, 2, 2, 5], dtype=dtype)
    torch.testing.assert_close(bag(ids, offsets), dense(ids, offsets))
    square = torch.tensor([[1, 2], [2, 2]], dtype=dtype)
    torch.testing.assert_close(bag(square), dense(square))


def test_weights_scale_rows():
    bag = full_bag()
    touch(bag)
    dense = torch.nn.EmbeddingBag.from_pretrained(dense_rows(bag), mode="sum")
    ids, offsets = torch.tensor([3, 3, 7]), torch.tensor([0, 1])
    weights = torch.tensor([0.5, -2.0, 3.0])
    torch.testing.assert_close(bag(ids, offsets, weights), dense(ids, offsets, weights))


def test_backward_is_exact_row_wise_adagrad():
    bag = full_bag(learning_rate=0.1, initial_accumulator=0.5)
    touch(bag)
    before = dense_rows(bag)
    rows = before.clone().requires_grad_()
    ids, offsets = torch.tensor([4, 4, 9, 4, 30]), torch.tensor([0, 3])
    target = torch.randn(2, 8, generator=torch.Generator().manual_seed(1))
    (bag(ids, offsets) * target).sum().backward()
    (torch.nn.functional.embedding_bag(ids, rows, offsets, mode="sum") * target).sum().backward()
    accumulator = 0.5 + rows.grad.square().mean(1, keepdim=True)
    touched = rows.grad.abs().sum(1) > 0
    expected = before - 0.1 * rows.grad / (accumulator.sqrt() + 1e-8)
    after = dense_rows(bag)
    torch.testing.assert_close(after[touched], expected[touched], atol=1e-6, rtol=1e-5)
    assert torch.equal(after[~touched], before[~touched])


def test_mean_loss_trains_like_the_summed_one():
    results = []
    for reduction in ("sum", "mean"):
        bag = ElasticEmbeddingBag(50, 8, memory_budget="1", method="full", mode="sum", loss_reduction=reduction, seed=3)
        ids = torch.arange(20).reshape(10, 2)
        for _ in range(3):
            loss = bag(ids).sum(1)
            (loss.sum() if reduction == "sum" else loss.mean()).backward()
        results.append(dense_rows(bag))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-4)


def test_trains_in_a_model_inside_its_budget():
    torch.manual_seed(1)
    bag = ElasticEmbeddingBag(5000, 16, memory_budget="1/10", learning_rate=0.3)
    head = torch.nn.Linear(16, 1)
    optimizer = torch.optim.Adam([*bag.parameters(), *head.parameters()], lr=0.01)
    losses = []
    for _ in range(150):
        ids = (torch.rand(512, 1).pow(4) * 5000).long()
        labels = (ids * 2654435761 % 97 % 2).float()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(head(bag(ids)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        statistics = bag.statistics()
        assert statistics["memory_bytes"] <= statistics["budget_bytes"]
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_state_dict_restores_the_same_bits():
    first = ElasticEmbeddingBag(1000, 8, memory_budget="16KiB", mode="sum", seed=5)
    ids = torch.arange(300).reshape(100, 3) % 177
    for _ in range(5):
        first(ids).square().mean().backward()
    second = ElasticEmbeddingBag(1000, 8, memory_budget="16KiB", mode="sum", seed=5)
    second.load_state_dict(first.state_dict())
    for _ in range(3):
        first(ids).square().mean().backward()
        second(ids).square().mean().backward()
    assert torch.equal(first(ids), second(ids))
    other = ElasticEmbeddingBag(1000, 12, memory_budget="16KiB", mode="sum", seed=5)
    with pytest.raises((ValueError, RuntimeError)):
        other.load_state_dict(first.state_dict())


BAD_CALLS = {
    "float ids": (lambda bag: bag(torch.tensor([[0.5]])), "ids"),
    "three dimensions": (lambda bag: bag(torch.zeros(1, 1, 1, dtype=torch.int64)), "input"),
    "no offsets": (lambda bag: bag(torch.tensor([1])), "offsets"),
    "falling offsets": (lambda bag: bag(torch.tensor([1, 2]), torch.tensor([0, 2, 1])), "offsets"),
    "offset out of range": (lambda bag: bag(torch.tensor([1, 2]), torch.tensor([0, 3])), "offsets"),
    "negative offset": (lambda bag: bag(torch.tensor([1, 2]), torch.tensor([-1, 1])), "offsets"),
    "weights of another shape": (
        lambda bag: bag(torch.tensor([[1, 2]]), None, torch.ones(1, 1)),
        "weights",
    ),
    "nan gradient": (lambda bag: (bag(torch.tensor([[1]])) * float("nan")).sum().backward(), "gradient"),
}


@pytest.mark.parametrize("call, name", BAD_CALLS.values(), ids=BAD_CALLS.keys())
def test_bad_calls_name_the_argument_and_leave_the_table_as_it_was(call, name):
    bag = full_bag()
    touch(bag)
    before = dense_rows(bag)
    with pytest.raises(ValueError, match=name):
        call(bag)
    assert torch.equal(dense_rows(bag), before)


def test_unknown_options_suggest_the_nearest():
    with pytest.raises(ValueError, match=r"did you mean learning_rate\?"):
        ElasticEmbeddingBag(10, 8, memory_budget="16KiB", learing_rate=0.1)
    with pytest.raises(ValueError, match=r"did you mean elastic\?"):
        ElasticEmbeddingBag(10, 8, memory_budget="16KiB", method="elastc")


def test_documented_examples_run():
    for module in (taut.embedding, taut._tables):
        found = doctest.testmod(module)
        assert found.attempted > 0 and found.failed == 0


def test_a_dense_weight_that_fits_gives_the_same_lookups():
    weight = torch.randn(50, 8, generator=torch.Generator().manual_seed(2))
    for method in ("full", "row", "elastic"):
        bag = ElasticEmbeddingBag.from_pretrained(
            weight, memory_budget="16KiB", method=method, value_type="fp32", keys="exact"
        )
        assert bag.loaded_rows == (50, 0)
        torch.testing.assert_close(dense_rows(bag), weight, atol=0, rtol=0)


def test_a_dense_weight_above_the_budget_keeps_its_largest_rows():
    weight = torch.randn(2000, 16) * torch.linspace(0, 1, 2000)[:, None]
    bag = ElasticEmbeddingBag.from_pretrained(weight, memory_budget="1/20")
    held, left_out = bag.loaded_rows
    assert held + left_out == 2000 and left_out > 500
    statistics = bag.statistics()
    assert statistics["memory_bytes"] <= statistics["budget_bytes"]
    assert bag.read_rows(torch.arange(2000))["id"].float().mean() > 1200
    importance = torch.linspace(1, 0, 2000)
    first = ElasticEmbeddingBag.from_pretrained(weight, memory_budget="1/20", importance=importance)
    assert first.read_rows(torch.arange(2000))["id"].float().mean() < 800


def test_dump_and_load_give_the_same_rows(tmp_path):
    path = tmp_path / "rows.parquet"
    bag = ElasticEmbeddingBag(400, 8, memory_budget="16KiB", mode="sum", value_type="fp32", keys="exact")
    ids = torch.arange(400).reshape(-1, 2)
    for _ in range(3):
        bag(ids).square().mean().backward()
    count = bag.dump(path)
    assert count == bag.statistics()["resident_rows"]
    assert [file.name for file in tmp_path.iterdir()] == ["rows.parquet"]
    other = ElasticEmbeddingBag(400, 8, memory_budget="20KiB", value_type="fp32", keys="exact")
    assert other.load(path) == (count, 0)
    torch.testing.assert_close(dense_rows(other, 400), dense_rows(bag, 400), atol=0, rtol=0)
    with pytest.raises(ValueError, match=r'rows.parquet: column "vector" has 8 values where the table has 16'):
        ElasticEmbeddingBag(400, 16, memory_budget="20KiB").load(path)


def test_bad_rows_are_named():
    bag = full_bag()
    with pytest.raises(ValueError, match=r"vectors must have shape \[2, 8\], got \[2, 7\]"):
        bag.load_rows(torch.arange(2), torch.zeros(2, 7))
    with pytest.raises(ValueError, match=r"rows.values\[3\] must be finite, got nan"):
        bag.load_rows(torch.arange(1), torch.tensor([[0, 0, 0, float("nan"), 0, 0, 0, 0]]))
    with pytest.raises(RuntimeError, match="method hash has no row of its own"):
        ElasticEmbeddingBag(50, 8, memory_budget="8KiB", method="hash").dump("rows.parquet")


def test_the_docs_have_the_table_of_options_that_the_program_prints():
    printed = subprocess.run(
        [os.environ.get("TAUT_PROGRAM", ROOT / "build/release/bin/taut"), "info", "--options"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.count("\n| `") >= 20
    assert printed in (ROOT / "docs/embedding.md").read_text()


def test_signature_and_help_name_every_option_with_its_default():
    parameters = inspect.signature(ElasticEmbeddingBag).parameters
    documented = inspect.getdoc(ElasticEmbeddingBag)
    options = {option["key"]: option for option in table_options()}
    keywords = {key for key, option in options.items() if option["keyword"]}
    assert options.keys() - keywords == {"dim", "tables", "budget"}
    positional = [name for name, one in parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
    assert positional == list(inspect.signature(torch.nn.EmbeddingBag).parameters)
    assert list(parameters)[len(positional)] == "memory_budget"
    for key in keywords:
        assert parameters[key].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters[key].default == options[key]["default"]
        assert f"{key}: {options[key]['help']}" in documented


def test_every_keyword_takes_its_default_and_changes_nothing():
    defaults = {option["key"]: option["default"] for option in table_options() if option["keyword"]}
    plain = ElasticEmbeddingBag(1000, 16, memory_budget="1/4")
    named = ElasticEmbeddingBag(1000, 16, memory_budget="1/4", **defaults)
    assert len(defaults) >= 20
    assert torch.equal(plain.get_extra_state(), named.get_extra_state())
    other = ElasticEmbeddingBag(1000, 16, memory_budget="1/4", **{**defaults, "seed": 2})
    assert not torch.equal(plain.get_extra_state(), other.get_extra_state())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("decay", 1.5, "must be above 0, at most 1, got 1.5, embedding.decay"),
        ("period", 0, "must be 1 step or more, got 0, embedding.period"),
        ("period", "often", 'option "period" has the wrong type'),
        ("learning_rate", float("nan"), "learning_rate must be a finite number, got nan"),
        ("eps", float("inf"), "eps must be a finite number, got inf"),
        ("memory_budget", float("nan"), "memory_budget must be a ratio, .*, got nan"),
        ("on_nan", "skipp", r'unknown on_nan "skipp", embedding.on_nan, did you mean skip\?'),
    ],
)
def test_a_bad_option_is_named_with_what_is_wanted(key, value, message):
    with pytest.raises(ValueError, match=message):
        ElasticEmbeddingBag(1000, 16, **{key: value})
