"""Steps of ElasticEmbeddingBag and ElasticEmbedding beside those of PyTorch's modules, where nothing is dropped."""

import itertools

import pytest
import torch
from embedding_support import dense_rows, full_bag, ones_bag, sgd_table, touch

from taut.embedding import ElasticEmbedding, ElasticEmbeddingBag

DIMS = [1, 3, 8, 13]
CALLS = {
    "bags": (torch.tensor([3, 3, 7, 9, 0, 12, 7, 7]), torch.tensor([0, 2, 2, 5])),
    "equal lengths": (torch.tensor([[3, 3, 7], [9, 7, 7], [12, 1, 12]]), None),
    "nothing but padding": (torch.tensor([7, 7, 7]), torch.tensor([0, 1])),
    "empty bags": (torch.tensor([5], dtype=torch.int32), torch.tensor([0, 0, 1, 1])),
    "no ids": (torch.zeros(0, dtype=torch.int64), torch.tensor([0, 0])),
}


def weight_of(dim, rows=20, dtype=torch.float32):
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(dim)).to(dtype)


def beside(dim, cls=ElasticEmbeddingBag, theirs=torch.nn.EmbeddingBag, **options):
    """A table and PyTorch's module with the same rows."""
    weight = weight_of(dim)
    return sgd_table(cls, weight, **options), theirs(len(weight), dim, _weight=weight.clone(), **options)


def step_alike(ours, theirs, *call, loss=lambda out: out.square().sum()):
    """One SGD step of each; outputs and rows after it must agree."""
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
    optimizer.zero_grad()
    out, expected = ours(*call), theirs(*call)
    torch.testing.assert_close(out, expected)
    loss(out).backward()
    loss(expected).backward()
    optimizer.step()
    rows = ours.read_rows(torch.arange(len(theirs.weight)))["vector"]
    torch.testing.assert_close(rows, theirs.weight.detach())


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("padding_idx", [None, 7])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_steps_are_those_of_embedding_bag(mode, dim, padding_idx, call):
    ours, theirs = beside(dim, mode=mode, padding_idx=padding_idx)
    for _ in range(2):
        step_alike(ours, theirs, *call)


class PooledEmbedding(torch.nn.Embedding):
    """torch.nn.Embedding, pooled. torch.nn.EmbeddingBag of 2.13 divides by another id's frequency on the CPU."""

    def __init__(self, *arguments, mode, **options):
        super().__init__(*arguments, **options)
        self.mode = mode

    def forward(self, ids, offsets=None):
        ids = ids.long()
        bags = ids.tensor_split(offsets[1:]) if offsets is not None else ids
        kept = [bag[bag != self.padding_idx] if self.padding_idx is not None else bag for bag in bags]
        rows = super().forward(torch.cat(kept)).split([len(bag) for bag in kept])
        return torch.stack([part.sum(0) / (max(1, len(part)) if self.mode == "mean" else 1) for part in rows])


@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("padding_idx", [None, 7])
def test_gradients_are_scaled_by_frequency(mode, padding_idx):
    options = {"mode": mode, "padding_idx": padding_idx, "scale_grad_by_freq": True}
    for call in CALLS.values():
        step_alike(*beside(5, theirs=PooledEmbedding, **options), *call)


def test_of_equal_values_the_first_takes_the_gradient():
    ours, theirs = beside(4, mode="max")
    with torch.no_grad():
        theirs.weight[:] = 1
    ours.load_rows(torch.arange(20), theirs.weight.detach())
    step_alike(ours, theirs, torch.tensor([[3, 5, 3], [5, 3, 2]]))


@pytest.mark.parametrize("padding_idx", [None, 7])
@pytest.mark.parametrize("dim", DIMS)
def test_weights_of_samples_get_their_gradient(dim, padding_idx):
    for ids, offsets in CALLS.values():
        ours, theirs = beside(dim, mode="sum", padding_idx=padding_idx)
        weights = [torch.linspace(-1, 1, ids.numel()).reshape(ids.shape).requires_grad_() for _ in "ab"]
        outs = [bag(ids, offsets, weight) for bag, weight in zip((ours, theirs), weights, strict=True)]
        torch.testing.assert_close(*outs)
        (expected,) = torch.autograd.grad(outs[1].square().sum(), weights[1], retain_graph=True)
        outs[0].square().sum().backward()
        outs[1].square().sum().backward()
        if padding_idx is None:
            torch.testing.assert_close(weights[0].grad, expected)
        else:
            assert (weights[0].grad[ids == padding_idx] == 0).all()
            torch.testing.assert_close(weights[0].grad[ids != padding_idx], expected[ids != padding_idx])
        with torch.no_grad():
            theirs.weight -= 0.1 * theirs.weight.grad
        torch.testing.assert_close(ours.read_rows(torch.arange(20))["vector"], theirs.weight.detach())


SIZES = {
    "one of each": (1, 1, 1, 1),
    "few rows, long bags": (2, 5, 53, 23),
    "few rows, long vectors": (2, 101, 3, 7),
    "many rows": (1009, 5, 61, 7),
    "the longest vectors": (7, 509, 3, 5),
}


@pytest.mark.parametrize("rows, dim, bags, length", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("mode", ["sum", "mean", "max", "weighted"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batches_of_all_sizes_are_trained_as_there(rows, dim, bags, length, mode, dtype):
    generator = torch.Generator().manual_seed(rows + dim)
    weight = weight_of(dim, rows, dtype)
    options = {"mode": "sum" if mode == "weighted" else mode, "dtype": dtype}
    ours = sgd_table(ElasticEmbeddingBag, weight, **{**options, "memory_budget": "4MiB"})
    theirs = torch.nn.EmbeddingBag(rows, dim, _weight=weight.clone(), **options)
    ids = torch.randint(rows, (bags, length), generator=generator)
    direction = torch.rand(bags, dim, generator=generator).to(dtype)
    weights = [None, None]
    if mode == "weighted":
        chosen = torch.rand(bags, length, generator=generator).to(dtype).softmax(1)
        weights = [chosen.clone().requires_grad_() for _ in "ab"]
    out, expected = ours(ids, None, weights[0]), theirs(ids, None, weights[1])
    close = {"atol": 1e-4, "rtol": 1e-5}  # rows of float32, gradients of thousands of ids
    torch.testing.assert_close(out, expected, **close)
    (out * direction).sum().backward()
    (expected * direction).sum().backward()
    if mode == "weighted":
        torch.testing.assert_close(weights[0].grad, weights[1].grad, **close)
    after = ours.read_rows(torch.arange(rows))["vector"]
    torch.testing.assert_close(after.to(dtype), weight - 0.1 * theirs.weight.grad, **close)


@pytest.mark.parametrize("learns", [False, True])
def test_weights_learn_where_the_rows_are_frozen(learns):
    bag = ones_bag().requires_grad_(learns)
    weights = torch.rand(3, 4, requires_grad=True)
    bag(torch.arange(1, 5).expand(3, -1), per_sample_weights=weights.softmax(1)).square().sum().backward()
    assert weights.grad is not None
    assert torch.equal(dense_rows(bag, 100), torch.ones(100, 8)) != learns


def test_weights_that_learn_change_no_bit_of_the_rows_steps():
    """The path that holds rows is the fused one: SGD on whole numbers is exact."""
    ids, weights = torch.tensor([[1, 2, 1], [2, 4, 4]]), torch.tensor([[1.0, 2, 4], [8, 16, 2]])
    plain, learning = ones_bag(), ones_bag()
    plain(ids, None, weights).sum().backward()
    learning(ids, None, weights.clone().requires_grad_()).sum().backward()
    assert torch.equal(dense_rows(plain), dense_rows(learning))
    with torch.no_grad():
        assert torch.equal(plain(ids, None, weights), learning(ids, None, weights.clone().requires_grad_()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_outputs_are_of_the_type_that_is_asked_for(dtype, mode):
    ids, offsets = CALLS["bags"]
    weight = weight_of(6, dtype=dtype)
    ours = sgd_table(ElasticEmbeddingBag, weight, mode=mode, dtype=dtype)
    theirs = torch.nn.EmbeddingBag(20, 6, mode=mode, _weight=weight.clone(), dtype=dtype)
    out, expected = ours(ids, offsets), theirs(ids, offsets)
    # PyTorch adds values of 16 bits up in that type or a wider one as the mode has it; the table adds in fp32.
    tolerance = {"atol": 2e-2, "rtol": 2e-2} if dtype != torch.float64 else {"atol": 1e-6, "rtol": 1e-6}
    torch.testing.assert_close(out, expected, **tolerance)
    assert out.dtype == dtype
    out.sum().backward()
    expected.sum().backward()
    after = ours.read_rows(torch.arange(20))["vector"]
    torch.testing.assert_close(after, (weight.float() - 0.1 * theirs.weight.grad.float()), **tolerance)


@pytest.mark.parametrize("cast", ["half", "bfloat16", "double"])
def test_casts_of_the_module_change_outputs_alone(cast):
    bag = full_bag()
    before = dense_rows(bag)
    getattr(bag, cast)()
    with torch.autocast("cpu", torch.bfloat16):
        out = bag(torch.tensor([[1]]))
    assert out.dtype == bag.anchor.dtype != torch.float32
    assert torch.equal(out, before[1:2].to(out.dtype))
    out.sum().backward()
    assert bag.anchor.grad.dtype == bag.anchor.dtype
    assert not torch.equal(dense_rows(bag.float()), before)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_another_default_device_changes_nothing(mode):
    ids, offsets = CALLS["bags"]
    weight = weight_of(8)
    with torch.device("meta"):
        bag = ElasticEmbeddingBag.from_pretrained(weight, False, memory_budget="1MiB", method="full", mode=mode)
        layer = ElasticEmbedding(20, 8, memory_budget="1MiB")
        out = bag(ids, offsets)
        assert layer(ids.reshape(2, 4)).device == bag(ids.reshape(2, 4)).device == torch.device("cpu")
        out.square().sum().backward()
    torch.testing.assert_close(out, torch.nn.EmbeddingBag.from_pretrained(weight, mode=mode)(ids, offsets))


def test_the_default_type_is_torchs():
    torch.set_default_dtype(torch.float64)
    try:
        assert full_bag()(torch.tensor([[1]])).dtype == torch.nn.EmbeddingBag(2, 2)(torch.tensor([[1]])).dtype
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_samples_may_be_of_any_float(dtype):
    weights = torch.tensor([[0.5, 2.0]], dtype=dtype, requires_grad=True)
    bag = ones_bag()
    out = bag(torch.tensor([[1, 2]]), None, weights)
    assert torch.equal(out, torch.full((1, 8), 2.5))
    out.sum().backward()
    assert torch.equal(weights.grad, torch.full((1, 2), 8.0, dtype=dtype))


@pytest.mark.parametrize("dim", DIMS)
def test_rows_of_any_length_go_in_and_out(dim, tmp_path):
    weight = weight_of(dim)
    bag = ElasticEmbeddingBag.from_pretrained(weight, memory_budget="1MiB", value_type="fp32", keys="exact")
    assert bag.loaded_rows == (20, 0)
    assert torch.equal(bag.read_rows(torch.arange(20))["vector"], weight)
    assert bag.dump(tmp_path / "rows.parquet") == 20
    other = ElasticEmbeddingBag(20, dim, memory_budget="1MiB", value_type="fp32", keys="exact")
    assert other.load(tmp_path / "rows.parquet") == (20, 0)
    assert torch.equal(other(torch.arange(20).unsqueeze(1)), weight)
    with pytest.raises(ValueError, match="vectors must have shape"):
        bag.load_rows(torch.arange(2), torch.zeros(2, dim + 1))


@pytest.mark.parametrize("mode", ["sum", "max"])
def test_a_mean_loss_counts_bags_whatever_the_mode(mode):
    ids, offsets = CALLS["bags"]
    rows = []
    for reduction, parts in itertools.product(("sum", "mean"), (None, 1)):
        bag = sgd_table(ElasticEmbeddingBag, weight_of(8), mode=mode, loss_reduction=reduction)
        weights = torch.ones(ids.shape, requires_grad=True) if mode == "sum" else None
        loss = bag(ids, offsets, weights).square().sum(1)
        loss = loss.sum() if reduction == "sum" else loss.mean()
        if parts:
            with bag.accumulate(parts):
                loss.backward()
        else:
            loss.backward()
        rows.append(dense_rows(bag, 20))
    for other in rows[1:]:
        torch.testing.assert_close(other, rows[0])


def test_a_second_derivative_is_refused_and_trains_nothing():
    bag = full_bag()
    touch(bag)
    before = dense_rows(bag)
    with pytest.raises(NotImplementedError, match="create_graph"):
        torch.autograd.grad(bag(torch.tensor([[1]])).square().sum(), bag.anchor, create_graph=True)
    assert torch.equal(dense_rows(bag), before)


def test_a_dense_weight_is_refused_with_the_way_out():
    bag = full_bag()
    assert not hasattr(bag, "weight")
    with pytest.raises(AttributeError, match=r"no dense weight: read_rows\(\)"):
        bag.weight.data.fill_(0)
    with pytest.raises(AttributeError, match=r"no dense weight: load_rows\(\)"):
        bag.weight = torch.nn.Parameter(torch.zeros(50, 8))
    with pytest.raises(AttributeError, match="has no attribute 'wieght'"):
        _ = bag.wieght


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.parametrize("mode", ["max", "sum"])
def test_rows_that_are_held_are_compiled_in_one_graph(backend, mode):
    torch._dynamo.reset()
    ids, offsets = CALLS["bags"]

    def loss(bag, weights):
        return bag(ids, offsets, weights).square().sum()

    bags = [sgd_table(ElasticEmbeddingBag, weight_of(5), mode=mode) for _ in "ab"]
    weights = [torch.ones(8, requires_grad=True) if mode == "sum" else None for _ in "ab"]
    loss(bags[0], weights[0]).backward()
    torch.compile(loss, backend=backend, fullgraph=True)(bags[1], weights[1]).backward()
    torch.testing.assert_close(dense_rows(bags[1], 20), dense_rows(bags[0], 20))
    if mode == "sum":
        torch.testing.assert_close(weights[1].grad, weights[0].grad)


SHAPES = [(), (4,), (3, 4), (2, 3, 2), (0,), (2, 0)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("frequency", [False, True])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_sequences_are_looked_up_and_trained_as_embedding_does(shape, frequency, dtype):
    ours, theirs = beside(5, ElasticEmbedding, torch.nn.Embedding, scale_grad_by_freq=frequency)
    ids = torch.randint(20, shape, generator=torch.Generator().manual_seed(3)).to(dtype)
    step_alike(ours, theirs, ids)
    if len(shape) > 1:
        step_alike(ours, theirs, ids.transpose(0, 1))


def test_padding_of_sequences_reads_zeros_and_is_not_trained():
    weight = weight_of(8)
    layer = sgd_table(ElasticEmbedding, weight, padding_idx=-13)
    out = layer(torch.tensor([[7, 3], [7, 7]]))
    assert torch.equal(out[1], torch.zeros(2, 8)) and torch.equal(out[0, 1], weight[3])
    out.sum().backward()
    assert torch.equal(layer.read_rows(torch.tensor([7]))["vector"], weight[7:8])


def test_a_mean_loss_of_sequences_is_over_the_first_dimension():
    ids = torch.arange(12).reshape(4, 3)
    summed = sgd_table(ElasticEmbedding, weight_of(8))
    averaged = sgd_table(ElasticEmbedding, weight_of(8), loss_reduction="mean")
    summed(ids).square().sum().backward()
    averaged(ids).square().sum((1, 2)).mean().backward()
    torch.testing.assert_close(dense_rows(averaged, 20), dense_rows(summed, 20))


def test_sequences_train_inside_their_budget_and_are_saved():
    torch.manual_seed(1)
    layer = ElasticEmbedding(2000, 6, memory_budget="1/10")
    for _ in range(20):
        layer((torch.rand(64, 5).pow(3) * 2000).long()).square().sum((1, 2)).mean().backward()
        statistics = layer.statistics()
        assert statistics["memory_bytes"] <= statistics["budget_bytes"]
    other = ElasticEmbedding(2000, 6, memory_budget="1/10")
    other.load_state_dict(layer.state_dict())
    ids = torch.arange(2000)
    assert torch.equal(other(ids), layer(ids))


@pytest.mark.parametrize("cls", [ElasticEmbeddingBag, ElasticEmbedding])
def test_ids_that_pytorch_refuses_are_refused_where_it_is_asked_for(cls):
    layer = cls(50, 8, memory_budget="64KiB", strict=True)
    anything = cls(50, 8, memory_budget="64KiB")
    for bad in (50, -1, 2**40):
        ids = torch.tensor([[3, bad]])
        with pytest.raises(IndexError, match=f"ids must be from 0 to num_embeddings - 1 = 49, got {bad}"):
            layer(ids)
        anything(ids)
    layer(torch.tensor([[0, 49]]))
    layer(torch.zeros(0, 1, dtype=torch.int64))
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    compiled(torch.tensor([[0, 49]]))
    with pytest.raises(RuntimeError, match="ids must be from 0"):
        compiled(torch.tensor([[0, 50]]))
    with pytest.raises(ValueError, match="num_embeddings must be above 0 with strict=True, got 0"):
        cls(0, 8, memory_budget="64KiB", strict=True)


def test_replicas_are_refused_where_they_would_drift_apart():
    from torch.testing._internal.distributed.fake_pg import FakeStore

    torch.distributed.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    try:
        model = torch.nn.Sequential(full_bag(), torch.nn.Linear(8, 1))
        replica = torch.nn.parallel.DistributedDataParallel(model)
        ids = torch.tensor([[1, 2]])
        with pytest.raises(NotImplementedError, match="got 2 processes, each of which would have rows of its own"):
            replica(ids)
        with torch.no_grad():
            replica(ids)
        model[0].requires_grad_(False)
        torch.nn.parallel.DistributedDataParallel(model)(ids).sum().backward()
        model[0].requires_grad_(True)
        model(ids).sum().backward()  # by itself: this process's rows
    finally:
        torch.distributed.destroy_process_group()
