"""Elastic tables under a plan.

Each is with one process, which looks up all samples and sends every process its own; or the rows of all lie on all
processes by their hashes, under one budget: every process then looks its rows up for all samples, and sums are made.
"""

import sys
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh

from taut._traced import module_path

if TYPE_CHECKING:
    from taut._local_layers import Pieces


def is_tables(module: torch.nn.Module) -> bool:
    """Whether a module is one of elastic tables, without loading them for it."""
    loaded = sys.modules.get("taut._tables")
    return loaded is not None and isinstance(module, loaded.TablesModule)


def check(model: torch.nn.Module, mesh: DeviceMesh, share_tables: bool) -> None:
    """Raises ValueError for tables that processes cannot share out."""
    found = [(path, module) for path, module in model.named_modules() if is_tables(module)]
    for path, module in found:
        if not module.fused and not share_tables:
            raise ValueError(
                f"{path or type(module).__name__}: tables with fused=False cannot be run under a plan, as each process "
                "would see the gradients of its own tables alone: make them with fused=True, or use share_tables=True"
            )
    ranks = mesh.mesh.flatten().tolist()
    if found and ranks != sorted(ranks):
        raise ValueError(f"the ranks of a mesh with tables must ascend, got {ranks}")
    if found and mesh.ndim > 1 and not mesh.mesh_dim_names and mesh.size() < dist.get_world_size():
        raise ValueError("a mesh with tables must have mesh_dim_names where it is not of all processes")


def share(model: torch.nn.Module, mesh: DeviceMesh) -> None:
    """Leaves each process its part of the rows, and of the budget, of each module of tables. Called by all."""
    for module in model.modules():
        if is_tables(module):
            torch.ops.taut.tables_share(module._tables, _group(mesh).group_name, _place(mesh), mesh.size())
            module._shared = True


def look_up(pieces: "Pieces") -> torch.Tensor:
    """Rows of this process' samples [samples, tables, width], of all tables."""
    node, program, mesh = pieces.node, pieces.program, pieces.mesh
    module = program.model.get_submodule(module_path(node))
    here, processes = _place(mesh), mesh.size()
    if program.owners is None:
        arguments = torch.fx.map_arg(node.args[2:], program._plain)
        rows = torch.ops.taut.tables_lookup(module.anchor, module._tables, *arguments)
        return rows if processes == 1 else _Sum.apply(rows, processes, _group(mesh).group_name)
    owners = [program.owners[table["name"]] for table in pieces.layer.tables]
    own = [table for table, owner in enumerate(owners) if owner == here]
    _, _, width, scale, ids, ends, weights, mode, padding = torch.fx.map_arg(
        [None, None, *node.args[2:], *[None] * (9 - len(node.args))], program._plain
    )
    mode = mode or "sum"
    if own:
        ids = [one if table in own else one[:0] for table, one in enumerate(ids)]
        ends = [one if table in own else torch.zeros_like(one) for table, one in enumerate(ends)]
        weights = [one if table in own else one[:0] for table, one in enumerate(weights)]
        rows = torch.ops.taut.tables_lookup(
            module.anchor, module._tables, width, scale, ids, ends, weights, mode, padding
        )[:, own]
    else:  # with the anchor, so that this process takes part in the backward pass
        samples = ids[0].shape[0] if mode == "none" else ends[0].shape[0] - 1
        rows = module.anchor.float() * torch.zeros(samples, 0, width, dtype=torch.float32)
    if processes == 1:
        return rows
    group = _group(mesh)
    order = sorted(range(len(owners)), key=owners.__getitem__)  # as tables come in: by process, then as they are
    counts = [owners.count(process) for process in range(processes)]
    rows = _Exchange.apply(rows, counts, here, group.group_name)
    return rows[:, torch.tensor(order).argsort()]


def _place(mesh: DeviceMesh) -> int:
    """Of this process among all of a mesh."""
    here = 0
    for dim, place in enumerate(mesh.get_coordinate()):
        here = here * mesh.size(dim) + place
    return here


def _group(mesh: DeviceMesh) -> dist.ProcessGroup:
    """Of all processes of a mesh."""
    if mesh.ndim == 1:
        return mesh.get_group()
    return dist.group.WORLD if mesh.size() == dist.get_world_size() else mesh._flatten().get_group()


class _Exchange(torch.autograd.Function):
    """From all samples of the own tables [samples, own, width] to the own samples of all tables, by an all-to-all.

    counts: how many tables each process has; here: the place of this one. Gradients go back the same way, so that
        tables see those of all samples.
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, rows: torch.Tensor, counts: list[int], here: int, group: str
    ) -> torch.Tensor:
        samples, own, width = rows.shape[0] // len(counts), *rows.shape[1:]
        ctx.counts, ctx.here, ctx.group, ctx.shape = counts, here, group, rows.shape
        ctx.own, ctx.others = [samples * own * width] * len(counts), [samples * count * width for count in counts]
        got = _all_to_all(rows.reshape(-1), ctx.own, ctx.others, here, group).split(ctx.others)
        return torch.cat([part.view(samples, -1, width) for part in got if part.numel()], 1)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: torch.Tensor) -> tuple:
        sent = torch.cat([part.reshape(-1) for part in gradient.split(ctx.counts, 1)])
        got = _all_to_all(sent, ctx.others, ctx.own, ctx.here, ctx.group)
        return got.view(ctx.shape), None, None, None


class _Sum(torch.autograd.Function):
    """From each process' sums of all samples [samples, tables, width] to the whole sums of the own samples.

    Gradients are gathered, so that every process sees those of all samples.
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, rows: torch.Tensor, processes: int, group: str
    ) -> torch.Tensor:
        ctx.processes, ctx.group = processes, group
        made = torch.ops._c10d_functional.reduce_scatter_tensor(rows.contiguous(), "sum", processes, group)
        return torch.ops._c10d_functional.wait_tensor(made)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: torch.Tensor) -> tuple:
        made = torch.ops._c10d_functional.all_gather_into_tensor(gradient.contiguous(), ctx.processes, ctx.group)
        return torch.ops._c10d_functional.wait_tensor(made), None, None


def _all_to_all(sent: torch.Tensor, given: list[int], got: list[int], here: int, group: str) -> torch.Tensor:
    """Sends the process at each place so many values, in order, and gets so many of it; what came [values]."""
    given, got = list(given), list(got)
    empty = not (sum(given) and sum(got))
    if empty:  # which PyTorch refuses: a value more, from this process to itself
        sent = torch.cat([sent[: sum(given[:here])], sent.new_zeros(1), sent[sum(given[:here]) :]])
        given[here] += 1
        got[here] += 1
    made = torch.ops._c10d_functional.all_to_all_single(sent.contiguous(), got, given, group)
    made = torch.ops._c10d_functional.wait_tensor(made)
    if not empty:
        return made
    before = sum(got[:here])
    return torch.cat([made[:before], made[before + 1 :]])
