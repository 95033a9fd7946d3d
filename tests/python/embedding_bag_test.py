"""Every call that torch.nn.EmbeddingBag takes, beside it: shapes, types, offsets, weights, padding, empty bags."""

import itertools

import pytest
import torch
from embedding_support import dense_rows, full_bag, touch

from taut.embedding import ElasticEmbeddingBag

TYPES = [torch.int32, torch.int64]


def beside_torch(**options):
    """A table and a torch.nn.EmbeddingBag with its rows."""
    bag = full_bag()
    touch(bag)
    weight = dense_rows(bag)
    ours = full_bag(**options)
    ours.load_rows(torch.arange(50), weight)
    theirs = torch.nn.EmbeddingBag(50, 8, **{"mode": "sum", **options})
    theirs.weight.data = weight.clone()
    return ours, theirs


def ragged(lengths, dtype, offset_dtype, last):
    generator = torch.Generator().manual_seed(sum(lengths))
    ids = torch.randint(50, (sum(lengths),), generator=generator).to(dtype)
    ends = [0, *itertools.accumulate(lengths)]
    return ids, torch.tensor(ends if last else ends[:-1], dtype=offset_dtype)


LENGTHS = {"bags": [3, 1, 4], "empty bags": [0, 2, 0, 0, 3, 0], "only empty bags": [0, 0, 0], "one bag": [7]}


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("padding", [None, 0, 7, -1])
def test_bags_of_any_length_and_type(lengths, mode, last, padding):
    ours, theirs = beside_torch(mode=mode, include_last_offset=last, padding_idx=padding)
    for dtype, offset_dtype in itertools.product(TYPES, TYPES):
        ids, offsets = ragged(lengths, dtype, offset_dtype, last)
        if padding is not None:
            ids[::2] = padding % 50
        torch.testing.assert_close(ours(ids, offsets), theirs(ids.long(), offsets.long()))


@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("shape", [(3, 4), (1, 1), (0, 4)])
def test_input_of_two_dimensions(mode, shape):
    ours, theirs = beside_torch(mode=mode, padding_idx=3)
    ids = torch.randint(50, shape, generator=torch.Generator().manual_seed(1))
    for given in (ids, ids.int(), ids.repeat(1, 2)[:, ::2], ids.t().contiguous().t()):
        torch.testing.assert_close(ours(given), theirs(given.long()))


def test_nested_input():
    ours, theirs = beside_torch(mode="mean")
    parts = [torch.tensor([1, 2, 3]), torch.tensor([4]), torch.tensor([5, 5])]
    ids = torch.nested.nested_tensor(parts, layout=torch.jagged)
    torch.testing.assert_close(ours(ids), theirs(ids))
    ours, theirs = beside_torch()
    weights = torch.nested.nested_tensor_from_jagged(ids.values().float(), ids.offsets())
    torch.testing.assert_close(ours(ids, None, weights), theirs(ids, None, weights))


def test_no_bags_at_all():
    assert torch.equal(full_bag()(torch.zeros(3, 0, dtype=torch.int64)), torch.zeros(3, 8))  # torch: an error
    ours, theirs = beside_torch()
    nothing = torch.zeros(0, dtype=torch.int64)
    assert ours(nothing, nothing).shape == theirs(nothing, nothing).shape == (0, 8)


@pytest.mark.parametrize("padding", [None, 7])
def test_weights_of_samples(padding):
    ours, theirs = beside_torch(padding_idx=padding)
    ids, offsets = torch.tensor([7, 7, 3, 9, 7]), torch.tensor([0, 2, 2])
    weights = torch.tensor([0.5, -2.0, 3.0, 0.0, 1.0])
    torch.testing.assert_close(ours(ids, offsets, weights), theirs(ids, offsets, weights))
    torch.testing.assert_close(
        ours(ids[:4].reshape(2, 2), None, weights[:4].reshape(2, 2)),
        theirs(ids[:4].reshape(2, 2), None, weights[:4].reshape(2, 2)),
    )


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_padding_and_means_train_as_there(mode):
    """SGD of torch on a sparse weight and SGD of the table are the same steps."""
    ours, theirs = beside_torch(mode=mode, padding_idx=7)
    ours = ElasticEmbeddingBag(
        50,
        8,
        memory_budget="1MiB",
        method="full",
        mode=mode,
        padding_idx=7,
        loss_reduction="sum",
        optimizer="sgd",
        learning_rate=0.1,
    )
    ours.load_rows(torch.arange(50), theirs.weight.detach())
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
    for ids, offsets in (ragged([3, 0, 4], *TYPES, False), (torch.tensor([7, 7, 1, 7]), torch.tensor([0, 2]))):
        optimizer.zero_grad()
        theirs(ids.long(), offsets).square().sum().backward()
        optimizer.step()
        ours(ids, offsets).square().sum().backward()
    others = [row for row in range(50) if row != 7]
    torch.testing.assert_close(ours(torch.tensor(others)[:, None]), theirs.weight[others])
    held = ours.read_rows(torch.tensor([7]))["vector"]
    torch.testing.assert_close(held, theirs.weight[7:8].detach())  # padding is not trained


def offsets_of(*values):
    return torch.tensor(values)


BAD_OFFSETS = {
    "one too large": (False, 2, offsets_of(0, 3), r"tables\[0\].offsets\[2\] must be at least 3, got 2"),
    "falling": (False, 2, offsets_of(0, 2, 1), r"tables\[0\].offsets\[2\] must be at least 2, got 1"),
    "negative": (False, 2, offsets_of(-1, 1), r"tables\[0\].offsets\[0\] must be 0, got -1"),
    "not from 0": (False, 2, offsets_of(1), r"tables\[0\].offsets\[0\] must be 0, got 1"),
    "ends early": (True, 3, offsets_of(0, 2), r"must be ids' size 3, got 2"),
    "ends far out": (True, 2, offsets_of(0, 10**9), r"must be ids' size 2, got 1000000000"),
    "ends beyond all memory": (True, 2, offsets_of(0, 2**62), r"must be ids' size 2, got 4611686018427387904"),
    "none, with a last one": (True, 1, torch.zeros(0, dtype=torch.int64), "must have batch"),
    "of two dimensions": (False, 1, torch.tensor([[0]]), "offsets must have 1 dimension, got 2"),
    "floats": (False, 1, torch.tensor([0.0]), "must be int32 or int64, got Float"),
}


@pytest.mark.parametrize("last, count, offsets, message", BAD_OFFSETS.values(), ids=BAD_OFFSETS.keys())
@pytest.mark.parametrize("padding", [None, 1])
def test_bad_offsets_have_one_message_in_every_mode(last, count, offsets, message, padding):
    texts = set()
    for mode in ("sum", "mean"):
        bag = full_bag(mode=mode, include_last_offset=last, padding_idx=padding)
        with pytest.raises(ValueError, match=message) as refused:
            bag(torch.arange(count), offsets)
        texts.add(str(refused.value))
    assert len(texts) == 1


REFUSED = {
    "min": ({"mode": "min"}, "mode must be 'sum', 'mean' or 'max', got 'min'"),
    "max_norm": ({"max_norm": 1.0}, "max_norm must be None, got 1.0: .* gradient_clip and l2"),
    "frequencies of a max": ({"mode": "max", "scale_grad_by_freq": True}, "scale_grad_by_freq must be False"),
    "whole numbers": ({"dtype": torch.int64}, "dtype must be one of torch.float32, .*, got torch.int64"),
    "another device": ({"device": "cuda"}, "device must be None, got cuda"),
    "padding below": ({"padding_idx": -51}, "padding_idx must be at least -num_embeddings = -50, got -51"),
    "a misspelt one": ({"paddingidx": 3}, "paddingidx"),
}


@pytest.mark.parametrize("options, message", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_there_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        full_bag(**options)


def test_arguments_with_torchs_defaults_are_taken():
    options = {"max_norm": None, "norm_type": 2.0, "scale_grad_by_freq": False, "sparse": True, "device": "cpu"}
    assert full_bag(**options, dtype=torch.float32).mode == "sum"


BAD_WEIGHTS = {
    "whole numbers": (torch.ones(1, 2, dtype=torch.int64), "must be floats, got torch.int64"),
    "of another shape": (torch.ones(2), "must have the shape of input"),
}


@pytest.mark.parametrize("weights, message", BAD_WEIGHTS.values(), ids=BAD_WEIGHTS.keys())
def test_bad_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        full_bag()(torch.tensor([[1, 2]]), None, weights)
    with pytest.raises(ValueError, match="go with mode 'sum' alone"):
        full_bag(mode="mean")(torch.tensor([[1, 2]]), None, weights)


def test_defaults_are_those_of_torch():
    weight = torch.randn(10, 8, generator=torch.Generator().manual_seed(1))
    ids = torch.tensor([[1, 2], [3, 3]])
    ours = ElasticEmbeddingBag.from_pretrained(weight, memory_budget="1MiB", method="full")
    theirs = torch.nn.EmbeddingBag.from_pretrained(weight)
    torch.testing.assert_close(ours(ids), theirs(ids))
    assert ElasticEmbeddingBag(10, 8, memory_budget="1MiB").mode == torch.nn.EmbeddingBag(10, 8).mode
    assert not ours(ids).requires_grad and not theirs(ids).requires_grad


@pytest.mark.parametrize("freeze", [True, False])
def test_pretrained_rows_are_trained_only_when_told(freeze):
    weight = torch.ones(10, 8)
    bag = ElasticEmbeddingBag.from_pretrained(weight, freeze, memory_budget="1MiB", method="full")
    head = torch.nn.Linear(8, 1)
    head(bag(torch.tensor([[1]]))).sum().backward()
    assert torch.equal(dense_rows(bag, 10), weight) == freeze
    bag.requires_grad_(True)
    before = dense_rows(bag, 10)
    head(bag(torch.tensor([[1]]))).sum().backward()
    assert not torch.equal(dense_rows(bag, 10), before)
