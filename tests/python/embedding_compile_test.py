"""torch.compile, torch.export and torch's own checks of the operators."""

import copy

import pytest
import torch
from embedding_support import dense_rows, full_bag, ones_bag, touch

BACKENDS = ["eager", "aot_eager", "inductor"]


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()


def test_torch_checks_of_the_operators():
    # A learning rate that changes nothing, so that repeated runs of the check agree.
    bag = full_bag(learning_rate=1e-30)
    touch(bag)
    ids, offsets = torch.tensor([1, 2, 3]), torch.tensor([0, 2, 3])
    gradient = torch.zeros(2, 1, 8)
    for lookup, update, table in (
        (torch.ops.taut.tables_lookup, torch.ops.taut.tables_update, bag._tables),
        (torch.ops.taut.keyed_lookup, torch.ops.taut.keyed_update, bag._key),
    ):
        for rest in ((), ("mean",), ("sum", 3)):
            torch.library.opcheck(lookup.default, (bag.anchor, table, 8, 1.0, [ids], [offsets], [], *rest))
            torch.library.opcheck(update.default, (table, 1.0, [ids], [offsets], [], gradient, *rest))
        torch.library.opcheck(lookup.default, (bag.anchor, table, 8, 0.0, [ids], [offsets], [], "none"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_equal_lookups_train_twice_as_in_eager(backend):
    ids, row = torch.tensor([[1, 2]]), torch.tensor([[1]])

    def loss(bag):
        return (bag(ids) + bag(ids)).sum()

    eager, compiled = ones_bag(), ones_bag()
    loss(eager).backward()
    torch.compile(loss, backend=backend, fullgraph=True)(compiled).backward()
    assert eager(row)[0, 0].item() == pytest.approx(0.8)  # 1 - 0.1 * 2
    assert torch.equal(eager(row), compiled(row))


@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_training_gives_the_bits_of_eager(backend, mode):
    def models():
        torch.manual_seed(1)
        head = torch.nn.Linear(8, 1)
        for bag in (full_bag(mode=mode), full_bag(mode=mode)):
            yield torch.nn.ModuleDict({"bag": bag, "head": copy.deepcopy(head)})

    def loss(model, ids, offsets):
        return model["head"](model["bag"](ids, offsets)).square().sum()

    eager, compiled = models()
    step = torch.compile(loss, backend=backend, fullgraph=True)
    for count in (5, 6, 9, 5):
        ids, offsets = torch.arange(count) % 7, torch.tensor([0, 2, 2])
        loss(eager, ids, offsets).backward()
        step(compiled, ids, offsets).backward()
    close = {"atol": 1e-6, "rtol": 1e-5}  # inductor orders the sums of the dense layer anew
    torch.testing.assert_close(dense_rows(compiled["bag"]), dense_rows(eager["bag"]), **close)


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_compiled_function_serves_many_tables_each_with_its_rows(backend):
    ids = torch.tensor([[1], [2]])
    step = torch.compile(lambda bag: bag(ids).sum(), backend=backend)
    first, second = ones_bag(), ones_bag()
    step(first).backward()
    for bag, row in ((first, 0.9), (second, 1.0), (copy.deepcopy(first), 0.9)):
        assert step(bag).item() == pytest.approx(16 * row)
    step(second).backward()
    step(second).backward()
    assert step(first).item() == pytest.approx(16 * 0.9)
    assert step(second).item() == pytest.approx(16 * 0.8)


def test_a_lookup_after_training_reads_the_new_rows():
    bag, ids = ones_bag(), torch.tensor([[1], [2]])
    look_up = torch.compile(bag, backend="aot_eager")
    for step in range(3):
        with torch.no_grad():
            assert look_up(ids)[0, 0] == pytest.approx(1 - 0.1 * step)
        look_up(ids).sum().backward()


def test_tracing_does_not_train():
    bag = ones_bag()
    before = bag.get_extra_state()
    torch.export.export(bag, (torch.tensor([[1, 2]]),))
    torch.compile(bag, backend="aot_eager")(torch.tensor([[1, 2]]))
    assert torch.equal(bag.get_extra_state(), before)


def test_a_key_of_no_table_is_refused():
    bag = ones_bag()
    ids, offsets = torch.tensor([1]), torch.tensor([0, 1])
    key = torch.ops.taut.tables_key(bag._tables)
    torch.ops.taut.keyed_lookup(bag.anchor, key, 8, 1.0, [ids], [offsets], [])
    with pytest.raises(ValueError, match="key must be that of tables of this process, got 12"):
        torch.ops.taut.keyed_lookup(bag.anchor, torch.tensor(12), 8, 1.0, [ids], [offsets], [])
    del bag
    with pytest.raises(ValueError, match="its tables are gone"):
        torch.ops.taut.keyed_update(key, 1.0, [ids], [offsets], [], torch.zeros(1, 1, 8))
