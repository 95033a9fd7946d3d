"""Our plans beside those of an integer linear program on the same cost model, solved by HiGHS (scipy).

The program is the one of planners that hand the whole choice to a solver (Alpa, meta-pytorch/autoparallel): a variable
for each state of a layer and for each pair of states of a boundary. The words are counted here anew, from
docs/parallel.md, so that the two check each other: equal optima are the condition of a row.
"""

import itertools
import json
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.optimize
import scipy.sparse
from torch import nn, randn

import evidence

BATCH = 64
# Which part is wanted of the input, made of the output, wanted of the output's error, made of the input's error:
# B samples, C channels, P partial sums, W everything.
LAYOUTS = {"I": "BBBB", "II": "CPWC", "III": "WCCP", "C": "CCCC"}


def moved(made: str, wanted: str) -> tuple[float, float]:
    """Units of partial sums that are added, and of other movement, over all levels."""
    sums = rest = 0.0
    partial, changed, whole = 1.0, 1.0, 1.0
    for have, want in zip(made, wanted, strict=True):
        held = have
        if have == "P":
            sums, partial = sums + partial, 2 * partial
            held = "C" if want == "W" else want
        if want == "W":
            rest, whole = rest + whole, 2 * whole
        elif held != want:
            changed /= 2
            rest += changed
    return sums, rest


def states(node: dict, levels: int, batch: int) -> list[tuple[str, ...]]:
    """All that a node may be split by, as the planner has them."""
    types = ("I",)
    if node["kind"] == "elementwise" or (node["kind"] == "weighted" and node["grouped"]):
        types = ("I", "C")
    elif node["kind"] == "weighted":
        types = ("I", "II", "III")
    most = {
        "I": batch * node["positions"],
        "II": node["in_channels"],
        "III": node["out_channels"],
        "C": 2 ** node["channel_levels"],
    }
    found = itertools.product(types, repeat=levels)
    return [state for state in found if all(2 ** state.count(split) <= most[split] for split in types)]


def node_words(node: dict, state: tuple[str, ...]) -> float:
    """All-reduces of the weight gradient."""
    return 2 * node["weights"] * (2 ** state.count("I") - 1) if node["kind"] == "weighted" else 0.0


def edge_words(edge: dict, maker: tuple[str, ...], reader: tuple[str, ...], batch: int) -> float:
    """Features forward and errors back, partial sums before pooling."""
    part = [["".join(LAYOUTS[split][place] for split in one) for place in range(4)] for one in (maker, reader)]
    feature_sums, features = moved(part[0][1], part[1][0])
    error_sums, errors = moved(part[1][3], part[0][2])
    raw, words = edge["raw_words"] * batch, edge["words"] * batch
    return feature_sums * raw + (features + error_sums + errors) * words


def solve(graph: dict, levels: int, batch: int) -> float:
    """The least words of any plan, proven by the solver."""
    domains = {node["name"]: states(node, levels, batch) for node in graph["nodes"]}
    costs: list[float] = []
    first: dict[object, int] = {}
    for node in graph["nodes"]:
        first[node["name"]] = len(costs)
        costs += [node_words(node, state) for state in domains[node["name"]]]
    choices = len(costs)
    rows: list[list[int]] = []  # of each constraint: variables counted once, and once the other way round
    signs: list[list[int]] = []
    ends: list[float] = []
    for name, domain in domains.items():
        rows.append(list(range(first[name], first[name] + len(domain))))
        signs.append([1] * len(domain))
        ends.append(1)
    for edge in graph["edges"]:
        makers, readers = domains[edge["from"]], domains[edge["to"]]
        start = len(costs)
        costs += [edge_words(edge, maker, reader, batch) for maker in makers for reader in readers]
        pairs = np.arange(start, len(costs)).reshape(len(makers), len(readers))
        for name, table in ((edge["from"], pairs), (edge["to"], pairs.T)):
            for place, own in enumerate(table):
                rows.append([*own.tolist(), first[name] + place])
                signs.append([1] * len(own) + [-1])
                ends.append(0)
    lengths = [len(row) for row in rows]
    matrix = scipy.sparse.csr_array(
        (np.concatenate(signs), np.concatenate(rows), np.concatenate([[0], np.cumsum(lengths)])),
        shape=(len(rows), len(costs)),
    )
    scale = max(costs) or 1.0
    whole = np.zeros(len(costs))
    whole[:choices] = 1  # pairs follow from choices
    found = scipy.optimize.milp(
        np.asarray(costs) / scale,
        constraints=scipy.optimize.LinearConstraint(matrix, ends, ends),
        integrality=whole,
        bounds=scipy.optimize.Bounds(0, 1),
        options={"mip_rel_gap": 0},
    )
    if found.status != 0:
        raise evidence.BenchError(f"{graph['name']}: the solver ended with: {found.message}")
    return found.fun * scale


def models(quick: bool) -> dict[str, tuple[nn.Module, object]]:
    """Networks and their inputs."""
    deep = [layer for width in ((256, 1024), (1024, 1024), (1024, 64)) for layer in (nn.Linear(*width), nn.ReLU())]
    images = [nn.Conv2d(4, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU()]
    found = {"mlp": (nn.Sequential(*deep), randn(BATCH, 256))}
    if not quick:
        head = [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64 * 64, 512), nn.ReLU(), nn.Linear(512, 16)]
        found["convolutions"] = (nn.Sequential(*images, *head), randn(BATCH, 4, 32, 32))
        found["transformer layer"] = (
            nn.TransformerEncoderLayer(128, 8, 512, batch_first=True, dropout=0.0),
            randn(BATCH, 16, 128),
        )
    return found


def plan(path: Path, levels: int) -> tuple[float, float]:
    """Words of our plan, and the processor seconds that the program took."""
    program = evidence.ROOT / "build" / "release" / "bin" / "taut"
    line = [program, "plan", path, "--accelerators", 2**levels, "--batch", BATCH, "--raw-sums", "--objective", "words"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*map(str, line), "--json"], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise evidence.BenchError(f"taut plan: {done.stderr.strip()}")
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout)["bytes_per_step"] / 4, seconds


def measure(options: evidence.Options) -> list[evidence.Row]:
    """Words of both plans, which must be equal, and processor seconds to find them."""
    from taut import _traced_rules  # noqa: PLC0415, needs the operators' PyTorch

    rows = []
    levels = 2 if options.quick else 4
    with tempfile.TemporaryDirectory() as folder:
        for name, (model, inputs) in models(options.quick).items():
            graph = _traced_rules.trace(model, inputs).cost_graph(name)
            path = Path(folder, "graph.json")
            path.write_text(json.dumps(graph))
            ours, theirs = [], []
            for _ in range(options.repetitions):
                words, seconds = plan(path, levels)
                began = time.process_time()
                least = solve(graph, levels, BATCH)
                theirs.append(time.process_time() - began)
                ours.append(seconds)
                if abs(words - least) > 1e-6 * max(least, 1):
                    raise evidence.BenchError(f"{name}: our plan moves {words} words, the least are {least}")
            peer = ("ILP (HiGHS)", theirs)
            rows.append(
                evidence.compare(
                    f"plan {name} on {2**levels}", "s", ours, peer, threads=1, goal=1.0, lower_is_better=True
                )
            )
    return rows
