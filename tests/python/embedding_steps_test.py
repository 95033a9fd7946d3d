"""What a step of the table is: scaled losses, gathered micro-batches."""

import itertools

import pytest
import torch
from embedding_support import dense_rows, full_bag, ones_bag

from taut.embedding import ElasticEmbeddingBag
from taut.loss_scale import announce_scale

ROW = torch.tensor([[1]])


def after_one_step(backward):
    bag = ones_bag()
    backward(bag)
    return bag(ROW)[0, 0].item()


def scaled_by(scaler):
    return lambda bag: scaler.scale(bag(ROW).sum()).backward()


PLAIN = 0.9  # 1 - 0.1 * 1


def test_the_scale_of_a_grad_scaler_is_taken_out():
    assert after_one_step(lambda bag: bag(ROW).sum().backward()) == pytest.approx(PLAIN)
    assert after_one_step(scaled_by(torch.amp.GradScaler("cpu"))) == pytest.approx(PLAIN)
    assert after_one_step(scaled_by(torch.amp.GradScaler("cpu", enabled=False))) == pytest.approx(PLAIN)
    assert after_one_step(scaled_by(torch.amp.GradScaler("cpu", init_scale=3.0))) == pytest.approx(PLAIN)


def test_every_form_of_scaled_outputs_is_followed():
    scaler = torch.amp.GradScaler("cpu")
    for form in (list, tuple, iter):
        assert after_one_step(
            lambda bag, form=form: sum(scaler.scale(form([bag(ROW).sum() / 2, bag(ROW).sum() / 2]))).backward()
        ) == pytest.approx(PLAIN)


def test_a_loss_that_is_not_scaled_is_left_as_it_is_after_one_that_was():
    bag = ones_bag()
    scaled_by(torch.amp.GradScaler("cpu"))(bag)
    bag(ROW).sum().backward()
    assert bag(ROW)[0, 0].item() == pytest.approx(0.8)


def test_a_scaled_loss_whose_backward_failed_changes_no_later_one():
    bag = ones_bag()

    def fail(_gradient):
        raise KeyError("on purpose")

    out = bag(ROW)
    out.register_hook(fail)
    with pytest.raises(KeyError):
        torch.amp.GradScaler("cpu").scale(out.sum()).backward()
    bag(ROW).sum().backward()
    assert bag(ROW)[0, 0].item() == pytest.approx(PLAIN)


@pytest.mark.parametrize("reentrant", [False, True])
def test_scales_reach_tables_within_checkpoints(reentrant):
    def backward(bag):
        weight = torch.ones((), requires_grad=True)
        out = torch.utils.checkpoint.checkpoint(lambda w: bag(ROW) * w, weight, use_reentrant=reentrant)
        torch.amp.GradScaler("cpu").scale(out.sum()).backward()

    assert after_one_step(backward) == pytest.approx(PLAIN)


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_scales_reach_compiled_tables(backend):
    torch._dynamo.reset()
    step = torch.compile(lambda bag: bag(ROW).sum(), backend=backend)
    scaler = torch.amp.GradScaler("cpu")
    assert after_one_step(lambda bag: scaler.scale(step(bag)).backward()) == pytest.approx(PLAIN)


def test_a_scaled_gradient_that_overflowed_is_left_out_and_counted():
    bag = ones_bag()
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale((bag(ROW) * 1e38).sum()).backward()  # times 65536: not finite
    assert bag(ROW)[0, 0] == 1
    assert bag.statistics()["skipped_updates"] == 1
    with pytest.raises(ValueError, match="gradient"):
        (bag(ROW) * float("inf")).sum().backward()


def test_a_factor_of_ones_own_can_be_announced():
    assert after_one_step(lambda bag: announce_scale(bag(ROW).sum() * 8, 8).backward()) == pytest.approx(PLAIN)
    with pytest.raises(ValueError, match="scale must be above 0, got 0"):
        after_one_step(lambda bag: announce_scale(bag(ROW).sum(), 0).backward())


def test_a_scaled_training_loop_gives_the_bits_of_a_plain_one():
    rows = []
    for enabled in (False, True):
        torch.manual_seed(2)
        bag, head = full_bag(), torch.nn.Linear(8, 1)
        optimizer = torch.optim.SGD([*bag.parameters(), *head.parameters()], lr=0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=enabled)
        for step in range(5):
            ids = torch.arange(step, step + 12).reshape(-1, 2)
            optimizer.zero_grad()
            scaler.scale(head(bag(ids)).square().mean()).backward()
            scaler.step(optimizer)
            scaler.update()
        rows.append(dense_rows(bag))
    assert torch.equal(*rows)


def micro_batches(bag, ids, count, loss):
    with bag.accumulate(count):
        for part in ids.chunk(count):
            (loss(bag(part)) / count).backward()


@pytest.mark.parametrize(
    "method, optimizer", [*itertools.product(["full", "elastic"], ["sgd", "adam", "rowwise_adagrad"])]
)
@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_gathered_micro_batches_are_the_whole_batch(method, optimizer, mode):
    def loss(out):
        return (out - 3).square().sum(1).mean()

    bags = [
        ElasticEmbeddingBag(100, 8, memory_budget="1MiB", method=method, optimizer=optimizer, mode=mode) for _ in "ab"
    ]
    ids = torch.arange(16).reshape(8, 2) % 5  # ids that several micro-batches share
    for _ in range(3):
        loss(bags[0](ids)).backward()
        micro_batches(bags[1], ids, 4, loss)
        assert torch.equal(dense_rows(bags[1], 5), dense_rows(bags[0], 5))


def test_without_gathering_each_backward_is_a_step():
    ids = torch.arange(8).reshape(8, 1)
    whole, parts = full_bag(), full_bag()
    (whole(ids) - 3).square().sum().backward()
    for part in ids.chunk(4):
        (parts(part) - 3).square().sum().backward()
    assert torch.equal(dense_rows(whole), dense_rows(parts))  # summed losses of other rows: the same
    again = torch.zeros(4, 1, dtype=torch.int64)
    whole(again).sum().backward()
    for part in again.chunk(4):
        parts(part).sum().backward()
    assert not torch.equal(dense_rows(whole), dense_rows(parts))


def test_two_losses_of_one_lookup_are_gathered():
    one, two = ones_bag(loss_reduction="mean"), ones_bag(loss_reduction="mean")
    ids = torch.arange(4).reshape(4, 1)
    out = one(ids)
    (0.5 * out.square().mean() + 0.25 * (out - 2).square().mean()).backward()
    with two.accumulate():
        out = two(ids)
        (0.5 * out.square().mean()).backward(retain_graph=True)
        (0.25 * (out - 2).square().mean()).backward()
    torch.testing.assert_close(dense_rows(two), dense_rows(one), atol=1e-6, rtol=0)


def test_weights_and_padding_go_along():
    whole, parts = full_bag(padding_idx=3), full_bag(padding_idx=3)
    ids = torch.arange(12).reshape(6, 2) % 5
    weights = torch.linspace(-1, 1, 12).reshape(6, 2)
    (whole(ids[:3], None, weights[:3]).sum() + whole(ids[3:]).sum()).backward()
    with parts.accumulate():
        parts(ids[:3], None, weights[:3]).sum().backward()
        parts(ids[3:]).sum().backward()
    one = full_bag(padding_idx=3)
    one(ids, None, torch.cat([weights[:3], torch.ones(3, 2)])).sum().backward()
    assert torch.equal(dense_rows(parts), dense_rows(one))
    assert not torch.equal(dense_rows(parts), dense_rows(whole))  # two steps, not one


def test_what_was_gathered_is_dropped_with_an_exception():
    bag = ones_bag()

    def fail():
        with bag.accumulate():
            bag(ROW).sum().backward()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert bag(ROW)[0, 0] == 1
    bag(ROW).sum().backward()
    assert bag(ROW)[0, 0].item() == pytest.approx(PLAIN)


def test_gathering_is_not_nested():
    bag = ones_bag()
    with bag.accumulate():
        with pytest.raises(ValueError, match="being gathered already"):
            bag.accumulate().__enter__()
        bag(ROW).sum().backward()
    assert bag(ROW)[0, 0].item() == pytest.approx(PLAIN)
    with pytest.raises(ValueError, match="parts must be 1 or more, got 0"):
        bag.accumulate(0).__enter__()


def test_a_bad_gradient_of_a_micro_batch_takes_no_step():
    bag = ones_bag()

    def backward():
        with bag.accumulate():
            bag(ROW).sum().backward()
            (bag(ROW) * float("nan")).sum().backward()

    with pytest.raises(ValueError, match="gradient"):
        backward()
    assert bag(ROW)[0, 0] == 1
