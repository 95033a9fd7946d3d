"""Processes that run models under plans, beside one that runs them whole: python plan_runner.py CASES.

CASES: a list in JSON, each with a model's name, the number of processes, options of ``taut.plan``, and steps. Prints a
list in JSON: losses of both, bytes of a step as PyTorch counts them over all processes, and as the plan predicts.
"""

import contextlib
import copy
import json
import os
import socket
import sys
import traceback

import plan_models
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode
from torch.distributed.tensor.parallel import loss_parallel
from torch.nn import functional

import taut
from taut._tables import TablesModule


class CommBytes(CommDebugMode):
    """PyTorch's count of collectives, with the bytes that this process receives."""

    def __init__(self):
        super().__init__()
        self.bytes = 0.0
        self.by_kind = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        before = self.get_total_counts()
        out = super().__torch_dispatch__(func, types, args, kwargs)
        if out is not NotImplemented and self.get_total_counts() > before:
            name, sent = func._schema.name.split("::")[1], args[0].nbytes
            group = dist.distributed_c10d._resolve_process_group(args[-1])
            size = dist.get_world_size(group)
            received = {
                "all_gather_into_tensor": sent * (size - 1),
                "reduce_scatter_tensor": sent * (size - 1) / size,
                "all_to_all_single": sent * (size - 1) / size,
                "all_reduce": 2 * sent * (size - 1) / size,
            }[name]
            if name == "all_to_all_single" and args[1]:  # uneven
                received = args[0].element_size() * (sum(args[1]) - args[1][dist.get_rank(group)])
            self.bytes += received
            self.by_kind[name] = self.by_kind.get(name, 0) + received
        return out


def squares(out, target):
    return (out - target).square().mean()


def words(out, target):
    """The loss of a language model; on shards of the vocabulary, as PyTorch's loss_parallel() does it."""
    return functional.cross_entropy(out.flatten(0, 1), target.flatten())


def given(out, target):
    """The loss that a model gives."""
    return out


def losses(model, inputs, target, steps, whole, loss_of):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    told = []
    for _ in range(steps):
        out = model(*inputs)
        loss = loss_of(out, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for module in model.modules():
            if isinstance(module, TablesModule) and not module.fused:
                module.step()
        told.append(whole(loss.detach()))
    return told


def held(model):
    """Rows of all tables, of copies that one process has: by table and id its chunks and values."""
    rows = {}
    for place, module in enumerate(model.modules()):
        if isinstance(module, TablesModule):
            alone = copy.deepcopy(module)
            for table, options in enumerate(module.options["tables"]):
                found = alone._get_rows(table, torch.arange(options["distinct_ids"]))
                columns = (found[name].tolist() for name in ("id", "mask", "vector"))
                rows |= {(place, table, one): (mask, vector) for one, mask, vector in zip(*columns, strict=True)}
    return rows


def tables_of(single, model, inputs):
    """How tables that processes share differ from those of one: rows, how many are not there or as wide, values; bytes
    of both; what is given in evaluation."""
    mine, theirs = held(single), held(model)
    same = [one for one in mine.keys() & theirs.keys() if mine[one][0] == theirs[one][0]]
    off = max(abs(x - y) for one in same for x, y in zip(mine[one][1], theirs[one][1], strict=True))
    sizes = [
        sum(one.statistics()["memory_bytes"] for one in each.modules() if isinstance(one, TablesModule))
        for each in (single, model)
    ]
    everywhere = torch.tensor(float(sizes[1]))
    dist.all_reduce(everywhere)
    with torch.no_grad():  # which is traced anew
        apart = (model.eval()(*inputs).full_tensor() - single.eval()(*inputs)).abs().max().item()
    differ = len(mine.keys() | theirs.keys()) - len(same)
    return {
        "rows": len(mine), "differ": differ, "off": off, "bytes": sizes[0], "parts": everywhere.item(), "apart": apart
    }  # fmt: skip


def measured(model, inputs, mesh):
    """Bytes of a step over all processes; the gradient of what is given back is not moved."""
    with CommBytes() as count:
        out = model(*inputs)
        ones = DTensor.from_local(torch.ones_like(out.to_local()), mesh, out.placements, run_check=False)
        out.backward(ones)
    everywhere = torch.tensor(count.bytes, dtype=torch.float64)
    dist.all_reduce(everywhere)
    return everywhere.item(), count.by_kind


def work(rank, processes, port, cases, pipe):
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(processes), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=processes)
    answers = []
    for case, model, inputs, plan in cases:
        shape = plan.result["factors"]
        mesh = init_device_mesh("cpu", tuple(shape), mesh_dim_names=tuple(f"level{i}" for i in range(len(shape))))
        if len(shape) > 1:
            mesh._flatten()  # so that PyTorch sums over all levels at once
        single = copy.deepcopy(model)
        with torch.no_grad():
            target = torch.rand_like(copy.deepcopy(model)(*inputs))
        loss_of, place = squares, Shard(0) if target.dim() else Replicate()
        split = distribute_tensor(target, mesh, [place] * mesh.ndim, src_data_rank=None)
        if case["model"] == "scaled":
            loss_of = given
        if case.get("vocabulary"):
            loss_of, target = words, inputs[0].roll(1, 1)
            split = distribute_tensor(target, mesh, [Replicate()] * mesh.ndim, src_data_rank=None)
        taut.parallelize(model, mesh, plan, share_tables=case.get("share", False))
        moved, kinds = measured(model, inputs, mesh)
        steps = case.get("steps", 2)
        out = single(*inputs)  # batch normalizations and elastic tables have seen as many batches
        out.backward(torch.ones_like(out))
        model.zero_grad()
        single.zero_grad()
        whole = losses(single, inputs, target, steps, lambda loss: loss.item(), loss_of)
        with loss_parallel() if case.get("vocabulary") else contextlib.nullcontext():
            parts = losses(model, inputs, split, steps, lambda loss: loss.full_tensor().item(), loss_of)
        state = {
            name: one.full_tensor() if isinstance(one, DTensor) else one for name, one in model.state_dict().items()
        }
        off = max(
            ((state[name] - one).abs().max() / one.abs().max().clamp(min=1e-3)).item()
            for name, one in single.state_dict().items()
            if one.is_floating_point()
        )
        tables = tables_of(single, model, inputs) if case.get("share") else None
        answers.append(
            {"case": case, "whole": whole, "parts": parts, "moved": moved, "kinds": kinds, "off": off,
             "predicted": plan.bytes_per_step, "tables": tables}
        )  # fmt: skip
    if rank == 0:
        os.write(pipe, json.dumps(answers).encode())
    dist.barrier()
    dist.destroy_process_group()


def run(processes, cases, work=work):
    """Answers of so many processes, each of which calls work."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    reading, writing = os.pipe()
    children = []
    for rank in range(processes):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                work(rank, processes, port, cases, writing)
                code = 0
            except Exception:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        children.append(child)
    os.close(writing)
    with os.fdopen(reading) as answers:
        found = answers.read()
    if any(os.waitpid(child, 0)[1] for child in children):
        sys.exit(1)
    return json.loads(found)


def main():
    torch.set_num_threads(1)
    by_processes = {}
    for case in json.loads(sys.argv[1]):
        model, inputs = plan_models.example(case["model"])
        plan = taut.plan(model, inputs, accelerators=case["processes"], **case.get("options", {}))
        by_processes.setdefault(case["processes"], []).append((case, model, inputs, plan))
    found = [answer for processes, cases in by_processes.items() for answer in run(processes, cases)]
    print(json.dumps([next(one for one in found if one["case"] == case) for case in json.loads(sys.argv[1])]))


if __name__ == "__main__":
    main()
