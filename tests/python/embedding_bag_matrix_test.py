"""All combinations that PyTorch's own tests of EmbeddingBag go through, forward and backward beside its module.

PyTorch's lists (test/nn/test_embedding.py, common_nn.py, the samples of nn.functional.embedding_bag) are not all in
its wheel; their axes are, here, and the cross of them is larger: 3,000 cases. What differs is in docs/python.md, and in
embedding_differences_test.py.
"""

import itertools

import pytest
import torch

from taut.embedding import ElasticEmbedding, ElasticEmbeddingBag

ROWS = 10
TYPES = (torch.int32, torch.int64)
BAGS = {  # where bags start among so many ids
    "empty ones": (6, [0, 0, 3, 3, 6]),
    "of one length": (6, [0, 2, 4]),
    "no ids": (0, [0, 0, 0, 0, 0]),
    "no bags": (0, []),
}
SHAPES = {"rows": (3, 4), "one id": (1, 1), "no rows": (0, 4), "strided": (4, 6), "one row, expanded": (7, 32)}
PADDINGS = (None, 1, -1)
WEIGHTS = ("no weights", "weights", "weights that learn")
# What PyTorch's own tests allow, absolute and relative: it rounds sums of 16 bits in that type, the table in float32.
TOLERANCE = {
    torch.float32: (1e-5, 1e-6),
    torch.float64: (1e-5, 1e-6),
    torch.float16: (1e-2, 0.02),
    torch.bfloat16: (1e-1, 0.02),
}


def calls(padding, last):
    """Ids and offsets of every form and type."""
    generator = torch.Generator().manual_seed(5)
    for count, starts in BAGS.values():
        ids = torch.randint(ROWS, (count,), generator=generator)
        ids[1:4:2] = ROWS - 1 if padding == -1 else 1
        for dtype, offset_dtype in itertools.product(TYPES, TYPES):
            offsets = torch.tensor([*starts, count] if last else starts, dtype=offset_dtype)
            yield ids.to(dtype), offsets
        yield torch.stack([ids, ids], 1)[:, 0], offsets
    for (name, shape), dtype in zip(SHAPES.items(), itertools.cycle(TYPES), strict=False):
        ids = torch.randint(ROWS, shape, generator=generator).to(dtype)
        ids[:1] = 1  # a row of nothing but padding
        ids = {"strided": ids[:, ::2], "one row, expanded": ids[:1].expand(shape)}.get(name, ids)
        yield ids, None


def beside(ours, theirs, weight, ids, offsets, weights):
    """One backward pass of both from the same rows: outputs, gradients of rows, gradients of weights."""
    dtype, close = weight.dtype, dict(zip(("atol", "rtol"), TOLERANCE[weight.dtype], strict=True))
    ours.load_rows(torch.arange(ROWS), weight)
    theirs.zero_grad()
    given = [None, None]
    if weights != "no weights":
        values = torch.linspace(-1, 1, ids.numel()).reshape(ids.shape).to(dtype)
        given = [values.clone().requires_grad_(weights == "weights that learn") for _ in given]
    out, expected = ours(ids, offsets, given[0]), theirs(ids, offsets, given[1])
    assert out.dtype == dtype
    torch.testing.assert_close(out, expected, **close)
    direction = torch.linspace(-1, 1, out.numel()).reshape(out.shape)
    direction = (direction / (1 if offsets is not None else ids.shape[1])).to(dtype)
    out.backward(direction)
    expected.backward(direction)
    gradient = theirs.weight.grad.to_dense().float()
    # The step of SGD with a rate of 1; PyTorch's tests allow five times as much here.
    allowed = {**close, "atol": 5 * close["atol"]}
    stepped = weight.float() - ours.read_rows(torch.arange(ROWS))["vector"]
    torch.testing.assert_close(stepped, gradient, **allowed)
    if weights == "weights that learn":
        torch.testing.assert_close(given[0].grad, given[1].grad, **allowed)


@pytest.fixture(autouse=True)
def one_thread():
    """Of PyTorch: batches are so small that waking more takes longer than the work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    "mode, weights", [("mean", WEIGHTS[0]), ("max", WEIGHTS[0]), *(("sum", weights) for weights in WEIGHTS)]
)
def test_every_combination_is_that_of_torch(mode, weights, dtype):
    count = 0
    for padding, last in itertools.product(PADDINGS, (False, True)):
        dim = 2 + count % 4
        sparse = mode != "max" and last != (padding == 1)  # PyTorch has no sparse gradients of maxima
        weight = torch.randn(ROWS, dim, generator=torch.Generator().manual_seed(dim)).to(dtype)
        # PyTorch's order of arguments
        arguments = (ROWS, dim, None, 2.0, False, mode, sparse, weight, last, padding, "cpu", dtype)
        theirs = torch.nn.EmbeddingBag(*arguments)
        settings = {"loss_reduction": "sum", "optimizer": "sgd", "learning_rate": 1.0}
        ours = ElasticEmbeddingBag(*arguments, memory_budget="1MiB", method="full", **settings)
        for ids, offsets in calls(padding, last):
            beside(ours, theirs, weight.clone(), ids, offsets, weights)
            count += 1
    assert count == 150


def refuses_both(call, error, message):
    """The module of PyTorch with any error of its own, ours with this one."""
    with pytest.raises((ValueError, RuntimeError, NotImplementedError, IndexError, AssertionError)):
        call(torch.nn.EmbeddingBag(5, 2, mode="sum"), torch.nn.EmbeddingBag(5, 2))
    options = {"memory_budget": "64KiB", "strict": True}
    with pytest.raises(error, match=message):
        call(ElasticEmbeddingBag(5, 2, mode="sum", **options), ElasticEmbeddingBag(5, 2, **options))


IDS = torch.tensor([3, 1, 1, 1, 4, 0])
REFUSED = {
    "two dimensions and offsets": (lambda s, m: s(IDS.view(2, 3), torch.tensor([0, 3])), "offsets must be None"),
    "one dimension and no offsets": (lambda s, m: s(IDS), "offsets must be given"),
    "offsets not from 0": (lambda s, m: s(IDS, torch.tensor([1, 2])), "must be 0, got 1"),
    "offsets beyond the ids": (lambda s, m: s(IDS, torch.tensor([0, 100])), "got 6"),
    "offsets of two dimensions": (lambda s, m: s(IDS, torch.zeros(1, 1).long()), "offsets must have 1 dimension"),
    "ids of five dimensions": (lambda s, m: s(torch.zeros(2, 0, 0, 6, 6).long()), "input must have 1 or 2 dimensions"),
    "ids of floats": (lambda s, m: s(IDS.float().view(2, 3)), "must be int32 or int64"),
    "an id below": (lambda s, m: s(torch.tensor([[-1, 1]])), "ids must be from 0 to num_embeddings - 1 = 4, got -1"),
    "an id above": (lambda s, m: s(torch.tensor([[11, 4]])), "ids must be from 0 to num_embeddings - 1 = 4, got 11"),
    "weights too few": (lambda s, m: s(IDS, torch.tensor([0]), torch.ones(5)), "must have the shape of input"),
    "weights laid flat": (lambda s, m: s(IDS.view(2, 3), None, torch.ones(6)), "must have the shape of input"),
    "weights of means": (lambda s, m: m(IDS.view(2, 3), None, torch.ones(2, 3)), "go with mode 'sum' alone"),
    "padding above": (lambda s, m: type(s)(5, 2, padding_idx=-6), "padding_idx must be at least"),
    "rows of another shape": (lambda s, m: type(s)(5, 2, _weight=torch.ones(2, 5)), "_weight must have shape"),
}


@pytest.mark.parametrize("call, message", REFUSED.values(), ids=REFUSED.keys())
def test_what_torch_refuses_is_refused_by_name(call, message):
    refuses_both(call, (ValueError, IndexError), message)


def test_arguments_of_embedding_come_in_torchs_order():
    weight = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    arguments = (5, 3, 2, None, 2.0, False, True, weight, True, "cpu", torch.float32)
    ours = ElasticEmbedding(*arguments, memory_budget="1MiB", method="full")
    theirs = torch.nn.Embedding(*arguments)
    ids = torch.tensor([[0, 1], [3, 4]])
    assert torch.equal(ours(ids), theirs(ids))
    assert not ours(ids).requires_grad and not theirs(ids).requires_grad
    assert ElasticEmbedding(5, 3, _weight=weight.half(), memory_budget="1MiB").anchor.dtype == torch.float16
