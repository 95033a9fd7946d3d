"""Tables whose rows processes share, beside those of one: python shared_runner.py CASES.

CASES: a list in JSON, each with a number of processes, options of the tables and a mode. Prints a list in JSON.
"""

import copy
import io
import json
import os
import sys
from collections.abc import Callable

import torch
import torch.distributed as dist
from plan_runner import run

import taut

SIZES = {"a": 4000, "b": 1500}
DIM = 8


def batch_of(step: int, mode: str) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
    """Ids and ends of bags, some empty, and a gradient; the same on all processes."""
    random = torch.Generator().manual_seed(step)
    bags = 300 + step
    ids, ends = [], []
    for size in SIZES.values() if mode != "none" else [SIZES["a"]]:
        lengths = torch.randint(0, 6, (bags,), generator=random)
        ends.append(torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]))
        ids.append((size * torch.rand(int(lengths.sum()), generator=random) ** 2).long())
    rows = bags if mode != "none" else ids[0].numel()
    return ids, ends, torch.randn(rows, len(ids), DIM, generator=random)


def message_of(call: Callable[[], object]) -> str:
    try:
        call()
    except (ValueError, RuntimeError) as refused:
        return str(refused)
    return "no error"


def module_of(options: dict, mode: str) -> taut.ElasticEmbeddingBagCollection:
    sizes = SIZES if mode != "none" else {"a": SIZES["a"]}
    return taut.ElasticEmbeddingBagCollection(sizes, DIM, threads=1, **{"memory_budget": "256KiB", **options})


def train(module, steps, mode, broken=False):
    """Looks rows up and steps; what the last lookup gave."""
    for step in steps:
        ids, ends, gradient = batch_of(step, mode)
        rows = torch.ops.taut.tables_lookup(module.anchor.detach(), module._tables, DIM, 1.0, ids, ends, [], mode)
        if broken:
            gradient[0, 0, 0] = float("nan")
        torch.ops.taut.tables_update(module._tables, 1.0, ids, ends, [], gradient, mode)
    return rows


def compared(options: dict, mode: str, rank: int, processes: int) -> dict:
    single = module_of(options, mode)
    train(single, range(2), mode)  # so that there are rows to share
    single.learning_rate = 0.02
    shared = copy.deepcopy(single)
    group = dist.group.WORLD.group_name
    torch.ops.taut.tables_share(shared._tables, group, rank, processes)
    shared._shared = True
    whole, part = (train(module, range(2, 8), mode) for module in (single, shared))
    dist.all_reduce(part)
    if options.get("on_nan") == "skip":
        for module in (single, shared):
            train(module, [8], mode, broken=True)
    if rank == 0:  # as tracers copy what they look at: without rows, so without the other processes
        copy.deepcopy(shared._tables)
    state = shared.get_extra_state()  # by all processes
    held = torch.tensor([float(shared.statistics()["memory_bytes"])])
    dist.all_reduce(held)
    again = module_of(options, mode)
    again.set_extra_state(state)
    again.learning_rate = single.learning_rate
    shared.set_extra_state(state)  # each takes its own
    further = [train(module, range(9, 11), mode) for module in (single, again, shared)]
    dist.all_reduce(further[2])
    return {
        "off": ((whole - part).abs().max() / whole.abs().max()).item(),
        "differ": differing(single_state(options, mode), state),
        "further": [((further[0] - one).abs().max() / further[0].abs().max()).item() for one in further[1:]],
        "bytes": single.statistics()["memory_bytes"],
        "parts": held.item(),
        "evicted": single.statistics()["evicted_rows"],
        "skipped": [module.statistics()["skipped_updates"] for module in (single, shared)],
        "copied": differing(copy.deepcopy(shared).get_extra_state(), shared.get_extra_state()),
        "saved": differing(saved(shared).get_extra_state(), shared.get_extra_state()),
        "called": message_of(lambda: shared({name: torch.arange(4).view(2, 2) for name in shared.features})),
        "twice": message_of(lambda: torch.ops.taut.tables_share(shared._tables, group, rank, processes)),
        "read": message_of(lambda: shared.read_rows("a", torch.arange(3))),
        "load": message_of(lambda: shared.load_rows("a", torch.arange(3), torch.zeros(3, DIM))),
    }


def saved(module: taut.ElasticEmbeddingBagCollection) -> taut.ElasticEmbeddingBagCollection:
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def differing(one: torch.Tensor, other: torch.Tensor) -> int:
    """In how many bytes two states differ."""
    return (one != other).count_nonzero().item() if one.shape == other.shape else max(one.numel(), other.numel())


def single_state(options: dict, mode: str) -> torch.Tensor:
    """What one process has after the same steps."""
    module = module_of(options, mode)
    train(module, range(2), mode)
    module.learning_rate = 0.02
    train(module, range(2, 8), mode)
    if options.get("on_nan") == "skip":
        train(module, [8], mode, broken=True)
    return module.get_extra_state()


def work(rank, processes, port, cases, pipe):
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(processes), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=processes)
    answers = [compared(case["options"], case["mode"], rank, processes) for case in cases]
    everywhere = [None] * processes
    dist.all_gather_object(everywhere, answers)
    refused = module_of({"method": "qr"}, "sum")
    group = dist.group.WORLD.group_name
    wrong = [
        message_of(lambda: torch.ops.taut.tables_share(refused._tables, group, rank, processes)),
        message_of(lambda: torch.ops.taut.tables_share(module_of({}, "sum")._tables, group, processes, processes)),
    ]
    if rank == 0:
        os.write(pipe, json.dumps({"answers": everywhere, "wrong": wrong}).encode())
    dist.barrier()
    dist.destroy_process_group()


def main():
    torch.set_num_threads(1)
    cases = json.loads(sys.argv[1])
    print(json.dumps([run(processes, cases, work) for processes in (2, 3)]))


if __name__ == "__main__":
    main()
