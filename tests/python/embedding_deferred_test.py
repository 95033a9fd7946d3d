"""Tables whose gradients wait for step(), beside torch.nn.EmbeddingBag with the same rows under SGD."""

import copy
import doctest
import io
import math

import pytest
import torch
from embedding_support import sgd_table
from torch.nn.utils import clip_grad_norm_

import taut.optimizer
from taut import ElasticEmbedding, ElasticEmbeddingBag, ElasticEmbeddingBagCollection, TablesOptimizer

ROWS, DIM, BATCH = 40, 8, 12


class Pair:
    """A model of PyTorch and ours, which hold the same numbers, with their optimizers."""

    def __init__(self, rate=0.1, **options):
        generator = torch.Generator().manual_seed(1)
        weight = torch.randn(ROWS, DIM, generator=generator)
        self.dense = torch.nn.EmbeddingBag.from_pretrained(weight.clone(), freeze=False, mode="sum")
        self.bag = sgd_table(ElasticEmbeddingBag, weight, mode="sum", fused=False, learning_rate=rate, **options)
        torch.manual_seed(2)
        self.tops = [torch.nn.Linear(DIM, 1), torch.nn.Linear(DIM, 1)]
        self.tops[1].load_state_dict(self.tops[0].state_dict())
        self.models = [torch.nn.Sequential(self.dense, self.tops[0]), torch.nn.Sequential(self.bag, self.tops[1])]
        self.optimizers = [
            [torch.optim.SGD(self.models[0].parameters(), rate)],
            [TablesOptimizer(self.bag), torch.optim.SGD(self.tops[1].parameters(), rate)],
        ]
        self.random = generator

    def batch(self, size=BATCH):
        return torch.randint(ROWS, (size, 3), generator=self.random)

    def each(self, act):
        for model, optimizers in zip(self.models, self.optimizers, strict=True):
            act(model, optimizers)

    def step(self):
        self.each(lambda _model, optimizers: [one.step() for one in optimizers])

    def zero_grad(self, **how):
        self.each(lambda _model, optimizers: [one.zero_grad(**how) for one in optimizers])

    def backward(self, ids, scale=1.0):
        self.each(lambda model, _: (model(ids).square().sum() * scale).backward())

    def check(self):
        held = self.bag.read_rows(torch.arange(ROWS))["vector"]
        torch.testing.assert_close(held, self.dense.weight.detach(), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(*[top.weight for top in self.tops], rtol=1e-5, atol=1e-6)


def test_the_gradient_of_the_anchor_is_the_norm_of_all():
    pair = Pair()
    pair.backward(pair.batch())
    assert pair.bag.anchor.grad.item() == pytest.approx(pair.dense.weight.grad.norm().item(), rel=1e-5)
    pair.backward(pair.batch())
    assert pair.bag.anchor.grad.item() == pytest.approx(pair.dense.weight.grad.norm().item(), rel=1e-5)


def test_losses_of_several_backward_calls_add_up():
    pair = Pair()
    for _ in range(3):
        pair.zero_grad()
        for _ in range(4):
            pair.backward(pair.batch(3), scale=0.25)
        pair.step()
        pair.check()


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad_forgets(set_to_none):
    pair = Pair()
    pair.backward(pair.batch())
    pair.zero_grad(set_to_none=set_to_none)
    pair.step()  # nothing, or a step of zeros
    pair.check()
    pair.backward(pair.batch())
    pair.zero_grad(set_to_none=set_to_none)
    pair.backward(pair.batch(5))
    pair.step()
    pair.check()


def test_gradients_stay_until_they_are_zeroed():
    pair = Pair(rate=0.01)
    pair.backward(pair.batch())
    for _ in range(2):
        pair.step()
        pair.check()
    pair.backward(pair.batch())  # adds to those that were stepped
    pair.step()
    pair.check()


@pytest.mark.parametrize("most", [0.5, 1e6])
def test_clipping_means_what_it_means_for_parameters(most):
    pair = Pair(rate=0.01)
    for _ in range(3):
        pair.zero_grad()
        pair.backward(pair.batch())
        norms = []
        pair.each(lambda model, _: norms.append(clip_grad_norm_(model.parameters(), most)))  # noqa: B023
        torch.testing.assert_close(*norms, rtol=1e-5, atol=0)
        pair.backward(pair.batch(4))  # one more, to what was clipped
        pair.step()
        pair.check()


def test_scaled_losses_are_unscaled_and_overflows_left_out():
    pair = Pair(rate=0.01)
    scalers = [torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=1) for _ in range(2)]
    for step in range(5):
        pair.zero_grad()
        ids = pair.batch()
        for model, optimizers, scaler in zip(pair.models, pair.optimizers, scalers, strict=True):
            loss = model(ids).square().sum() * (math.inf if step == 2 else 1.0)
            scaler.scale(loss).backward()
            for optimizer in optimizers:
                scaler.unscale_(optimizer)
            clip_grad_norm_(model.parameters(), 3.0)
            for optimizer in optimizers:
                scaler.step(optimizer)
            scaler.update()
        assert scalers[0].get_scale() == scalers[1].get_scale()
        pair.check()


def test_schedules_set_the_rate():
    pair = Pair()
    schedules = [torch.optim.lr_scheduler.ExponentialLR(one, 0.5) for both in pair.optimizers for one in both]
    for step in range(4):
        pair.zero_grad()
        pair.backward(pair.batch(), scale=0.1)
        pair.step()
        pair.check()
        assert pair.bag.learning_rate == pytest.approx(0.1 * 0.5**step)
        for schedule in schedules:
            schedule.step()


def test_a_rate_of_zero_leaves_rows_as_they_are():
    pair = Pair()
    before = pair.bag.read_rows(torch.arange(ROWS))["vector"]
    pair.bag.learning_rate = 0
    pair.backward(pair.batch())
    pair.bag.step()
    assert torch.equal(pair.bag.read_rows(torch.arange(ROWS))["vector"], before)
    for bad in (-1.0, math.nan):
        with pytest.raises(ValueError, match="learning_rate must be finite and 0 or more"):
            pair.bag.learning_rate = bad
    assert pair.bag.learning_rate == 0


def test_a_mean_loss_is_that_over_all_bags_of_the_step():
    """Whether they come in one backward() or in several, and however often a bag is looked up for one loss."""
    whole, parts, twice = (Pair(loss_reduction="mean").bag for _ in range(3))
    ids = Pair().batch(8)
    whole(ids).square().sum(1).mean().backward()
    whole.step()
    for part in ids.chunk(4):
        (parts(part).square().sum(1).mean() / 4).backward()
    parts.step()
    # Each half of the loss is that of one of two lookups.
    (twice(ids).square().sum(1).mean() / 2 + twice(ids).square().sum(1).mean() / 2).backward()
    twice.step()
    rows = [bag.read_rows(torch.arange(ROWS))["vector"] for bag in (whole, parts, twice)]
    torch.testing.assert_close(rows[1], rows[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(rows[2], rows[0], rtol=1e-5, atol=1e-6)


def test_fused_tables_take_the_rates_of_a_schedule():
    steps = []
    for scheduled in (True, False):
        bag = sgd_table(ElasticEmbeddingBag, torch.ones(ROWS, DIM), mode="sum")
        optimizer = TablesOptimizer([bag])
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        for step in range(3):
            if scheduled:
                optimizer.zero_grad()
            else:
                bag.learning_rate = 0.1 * 0.5**step
            bag(torch.arange(6).reshape(3, 2)).sum().backward()
            if scheduled:
                optimizer.step()
                schedule.step()
        steps.append(bag.read_rows(torch.arange(ROWS))["vector"])
    assert torch.equal(*steps)
    with pytest.raises(RuntimeError, match="fused=False"):
        bag.step()


def test_copies_wait_and_keep_their_rate():
    pair = Pair()
    pair.bag.learning_rate = 0.025
    file = io.BytesIO()
    torch.save(pair.bag, file)
    file.seek(0)
    ids = pair.batch()
    pair.bag(ids).sum().backward()
    copies = [copy.deepcopy(pair.bag), torch.load(file, weights_only=False)]
    pair.bag.step()
    for other in copies:
        assert (other.fused, other.learning_rate) == (False, 0.025)
        other(ids).sum().backward()
        other.step()
        rows = [bag.read_rows(torch.arange(ROWS))["vector"] for bag in (pair.bag, other)]
        assert torch.equal(*rows)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_modules_of_other_types_wait_too(dtype):
    pair = Pair()
    pair.bag.to(dtype)
    ids = pair.batch()
    pair.bag(ids).sum().backward()
    pair.dense(ids).sum().backward()
    rel = 1e-2 if dtype == torch.bfloat16 else 1e-5
    assert pair.bag.anchor.grad.item() == pytest.approx(pair.dense.weight.grad.norm().item(), rel=rel)
    pair.step()
    pair.check()


def test_frozen_rows_learn_again_when_asked():
    weight = torch.ones(ROWS, DIM)
    bag = ElasticEmbeddingBag.from_pretrained(
        weight, memory_budget="1MiB", method="full", mode="sum", loss_reduction="sum", optimizer="sgd", fused=False
    )
    bag = copy.deepcopy(bag).requires_grad_(True)
    bag(torch.tensor([[1]])).sum().backward()
    bag.step()
    assert bag.read_rows(torch.tensor([1]))["vector"].unique().item() == pytest.approx(1 - bag.learning_rate)


def test_other_modules_wait_as_bags_do():
    layer = sgd_table(ElasticEmbedding, torch.ones(ROWS, DIM), fused=False)
    dense = torch.nn.Embedding.from_pretrained(torch.ones(ROWS, DIM), freeze=False)
    both = ElasticEmbeddingBagCollection(
        {"a": 10, "b": 10}, 4, memory_budget="1MiB", method="full", loss_reduction="sum", optimizer="sgd", fused=False
    )
    ids = torch.tensor([[1, 2], [2, 3]])
    for one in (layer, dense):
        one(ids).square().sum().backward()
    assert layer.anchor.grad.item() == pytest.approx(dense.weight.grad.norm().item(), rel=1e-6)
    sum(rows.sum() for rows in both({"a": ids, "b": ids}).values()).backward()
    assert both.anchor.grad.item() == pytest.approx(math.sqrt(2 * (1 + 4 + 1) * 4), rel=1e-6)
    optimizer = TablesOptimizer(torch.nn.ModuleDict({"layer": layer, "both": both}))
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, both.learning_rate]
    optimizer.step()
    torch.optim.SGD(dense.parameters(), 0.1).step()
    torch.testing.assert_close(layer.read_rows(torch.arange(4))["vector"], dense.weight[:4].detach())


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="must hold elastic tables"):
        TablesOptimizer(torch.nn.Linear(2, 2))
    optimizer = TablesOptimizer(Pair().bag)
    with pytest.raises(NotImplementedError, match="at the start"):
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))]})
    with pytest.raises(ValueError, match="gradients wait as they are"), Pair().bag.accumulate():
        pass


def test_the_example_runs():
    found = doctest.testmod(taut.optimizer)
    assert found.attempted > 0 and found.failed == 0
