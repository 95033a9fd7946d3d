"""A module owns its rows: deep copies, pickles, saved modules and exported programs have rows of their own."""

import copy
import ctypes
import gc
import io
import pickle
from pathlib import Path

import pytest
import torch
from embedding_support import dense_rows, full_bag, ones_bag, run_python

from taut.embedding import ElasticEmbeddingBag, table_options


def saved_and_loaded(bag):
    file = io.BytesIO()
    torch.save(bag, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda bag: pickle.loads(pickle.dumps(bag)),
    "torch.save": saved_and_loaded,
    "deepcopy of a copy": lambda bag: copy.deepcopy(copy.deepcopy(bag)),
}
METHODS = next(option["range"] for option in table_options() if option["key"] == "method").split(", ")
COUNTED = {"md", "frequency"}  # need a first pass, which Python does not have


def train(bag, steps=3):
    ids = torch.arange(300).reshape(100, 3) % 177
    for _ in range(steps):
        bag(ids).square().mean().backward()


def trained(method, optimizer="adam"):
    bag = ElasticEmbeddingBag(1000, 8, memory_budget="1/4", method=method, optimizer=optimizer, mode="sum")
    train(bag)
    return bag


@pytest.mark.parametrize("make", COPIES.values(), ids=COPIES.keys())
@pytest.mark.parametrize("method", [method for method in METHODS if method not in COUNTED])
def test_a_copy_has_rows_optimizer_state_and_budget_of_its_own(method, make):
    bag = trained(method)
    other = make(bag)
    assert torch.equal(other.get_extra_state(), bag.get_extra_state())
    assert other.statistics()["budget_bytes"] == bag.statistics()["budget_bytes"]
    before = dense_rows(bag, 177)
    train(bag)
    assert not torch.equal(dense_rows(bag, 177), before)
    assert torch.equal(dense_rows(other, 177), before)  # it did not move with the original
    train(other)
    assert torch.equal(dense_rows(other, 177), dense_rows(bag, 177))  # optimizer state went along


@pytest.mark.parametrize("method", sorted(COUNTED))
def test_tables_that_wait_for_counts_are_copied_as_they_are(method):
    bag = ElasticEmbeddingBag(1000, 8, memory_budget="1/4", method=method)
    assert torch.equal(copy.deepcopy(bag).get_extra_state(), bag.get_extra_state())


def test_a_copy_outlives_its_original():
    bag = ones_bag()
    other = copy.deepcopy(bag)
    del bag
    gc.collect()
    assert torch.equal(dense_rows(other, 100), torch.ones(100, 8))
    other(torch.tensor([[1]])).sum().backward()
    assert dense_rows(other)[1, 0] == pytest.approx(0.9)


def test_a_shallow_copy_shares_the_rows():
    bag = ones_bag()
    copy.copy(bag)(torch.tensor([[1]])).sum().backward()
    assert dense_rows(bag)[1, 0] == pytest.approx(0.9)


def test_a_backward_outlives_its_module():
    bag = ones_bag()
    out = bag(torch.tensor([[1]]))
    del bag
    gc.collect()
    out.sum().backward()


def test_a_model_is_copied_whole():
    model = torch.nn.Sequential(ones_bag(), torch.nn.Linear(8, 1))
    best = copy.deepcopy(model)
    ids = torch.tensor([[1, 2]])
    before = best(ids).detach()
    model(ids).sum().backward()
    assert torch.equal(best(ids), before)
    assert not torch.equal(model(ids), before)


def resident_bytes():
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what is free goes back to the system
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_rows_are_released_with_their_module():
    before = resident_bytes()
    for _ in range(5):
        bag = ElasticEmbeddingBag(0, 16, memory_budget="64MiB")
        bag.load_state_dict(bag.state_dict())
        copy.deepcopy(bag)
        assert resident_bytes() > before + 48 * 2**20
        del bag
        gc.collect()
        assert resident_bytes() < before + 48 * 2**20


def test_a_saved_module_has_its_own_rows_in_another_process(tmp_path):
    path = tmp_path / "bag.pt"
    bag = ElasticEmbeddingBag.from_pretrained(torch.ones(10, 4), memory_budget="1MiB", value_type="fp32")
    torch.save(bag, path)
    printed = run_python(
        "import sys, torch\n"
        "from taut.embedding import ElasticEmbeddingBag\n"
        "other = ElasticEmbeddingBag.from_pretrained(7 * torch.ones(10, 4), memory_budget='1MiB')\n"
        "bag = torch.load(sys.argv[1], weights_only=False)\n"
        "print(bag(torch.tensor([[3]])).tolist(), other(torch.tensor([[3]]))[0, 0].item() > 6)",
        path,
    )
    assert printed.split("\n")[0] == "[[1.0, 1.0, 1.0, 1.0]] True"


def test_an_exported_program_has_its_own_rows_in_another_process(tmp_path):
    path = tmp_path / "model.pt2"
    model = torch.nn.Sequential(ones_bag(mode="mean"), torch.nn.Linear(8, 1))
    shapes = ({0: torch.export.Dim("bags", min=2, max=100)},)
    program = torch.export.export(model, (torch.tensor([[1, 2], [3, 4]]),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    ids = torch.tensor([[1, 2], [5, 5], [0, 99]])
    assert torch.equal(program.module()(ids), model(ids))
    code = (
        "import sys, torch\n"
        "import taut.embedding\n"
        "other = taut.embedding.ElasticEmbeddingBag.from_pretrained(7 * torch.ones(100, 8), memory_budget='1MiB')\n"
        "program = torch.export.load(sys.argv[1])\n"
        "print(program.module()(torch.tensor([[1, 2], [5, 5], [0, 99]])).tolist())"
    )
    assert run_python(code, path).split("\n")[0] == str(model(ids).tolist())


def test_state_is_read_without_running_code():
    bag = trained("elastic")
    file = io.BytesIO()
    torch.save(bag.state_dict(), file)
    file.seek(0)
    other = ElasticEmbeddingBag(1000, 8, memory_budget="1/4", optimizer="adam", mode="sum")
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other.get_extra_state(), bag.get_extra_state())


def flipped(state):
    state = state.clone()
    state[state.numel() // 2] ^= 1
    return state


BAD_STATES = {
    "cut": (lambda state: state[:-9], "checksum differs"),
    "flipped": (flipped, "checksum differs"),
    "empty": (lambda state: state[:0], "not the state of a table"),
    "something else": (lambda state: torch.zeros(1000, dtype=torch.uint8), "not the state of a table"),
    "floats": (lambda state: state.float(), "uint8"),
    "no tensor": (lambda state: None, "must be a tensor"),
}


@pytest.mark.parametrize("change, message", BAD_STATES.values(), ids=BAD_STATES.keys())
def test_bad_state_is_refused_and_leaves_the_table_as_it_was(change, message):
    bag = full_bag()
    bag(torch.arange(50).reshape(-1, 1)).sum().backward()
    before = dense_rows(bag)
    with pytest.raises(ValueError, match=message):
        bag.set_extra_state(change(bag.get_extra_state()))
    assert torch.equal(dense_rows(bag), before)
