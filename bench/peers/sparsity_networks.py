"""Whole networks of ImageNet, batch 1, beside ONNX Runtime on the same ONNX file: as they are, and on winners.

Random weights (He et al.) and inputs: a ReLU leaves about half of its values, so that nothing is gained or lost by
training. "zeros": the network as it is, the same answer from both. "winners": ours with winners at the given rate
behind every activation, chosen exactly, beside the dense network in ONNX Runtime, which is what its user would run; our
answers are compared first.

Of winners the first layers are compared, with the same layers whose winners are written out as operators: where two
values of a position differ in their last bits alone, rounding decides which one wins, and further down all that depends
on it differs (of VGG-16's last maps two positions in five). The same engine does the same choices in any order of work.
"""

import tempfile
from pathlib import Path

import numpy as np
import onnx

import evidence
import networks
from sparsity_engine import PEER, open_session, run_taut

SIDE = 224
QUICK_SIDE = 64
RATE = 0.15
CALLS = 6
TOLERANCE = 1e-4  # of the largest answer
SITES = 3  # activations of the first layers
MOST_FLIPPED = 1e-3  # share of positions where rounding may choose another winner
# (network, goal as it is, goal on winners)
NETWORKS = (
    ("vgg-16", networks.vgg_16, 1.4, 3.0),
    ("resnet-18", networks.resnet_18, 0.97, 2.0),
    ("mobilenet-v1", networks.mobilenet_v1, 0.97, None),
    ("mobilenet-v3", networks.mobilenet_v3, 0.97, None),
    ("efficientnet-b0", networks.efficientnet_b0, 0.97, None),
)
PLAIN = ("mobilenet-v3", "efficientnet-b0")  # no networks of ReLUs: as they are alone


def check(name: str, answer: np.ndarray, wanted: np.ndarray, most_flipped: float = 0) -> None:
    """An error where more than a share of the positions differ."""
    difference = np.abs(answer - wanted).max(axis=1) / np.abs(wanted).max()
    if not np.mean(difference > TOLERANCE) <= most_flipped:
        raise evidence.BenchError(f"{name}: answers differ by {difference.max():g} of the largest")


def measure_network(path: Path, name: str, made: tuple, options: evidence.Options, threads: int) -> list[evidence.Row]:
    """Two rows: as it is, and on winners, where it can have them."""
    make, zeros_goal, winners_goal = made
    side = QUICK_SIDE if options.quick else SIDE
    x = np.random.default_rng(2).standard_normal((1, 3, side, side), dtype=np.float32)
    winners = ("--winner-rate", str(RATE))
    runs = [("zeros", (), zeros_goal)]
    if name not in PLAIN:
        runs.append((f"winners {RATE:g}", winners, winners_goal))
        onnx.save(networks.beginning(make, side, SITES, RATE), path)
        wanted = open_session(path, threads).run(None, {"x": x})[0]
        onnx.save(networks.beginning(make, side, SITES, 1.0), path)
        check(f"{name}, winners", run_taut(path, x, threads, 1, winners)[1], wanted, MOST_FLIPPED)
    onnx.save(networks.whole(make, side), path)
    session = open_session(path, threads)
    check(name, run_taut(path, x, threads, 1)[1], session.run(None, {"x": x})[0])
    rows = []
    for what, arguments, goal in runs:
        rows.append(
            evidence.race(
                f"{name}, {what}",
                lambda arguments=arguments: run_taut(path, x, threads, CALLS, arguments)[0],
                (PEER, lambda: evidence.least_microseconds(lambda: session.run(None, {"x": x}), CALLS + 1)),
                threads=threads,
                repetitions=options.repetitions,
                goal=goal,
            )
        )
    return rows


def measure(options: evidence.Options) -> list[evidence.Row]:
    """All networks on one thread, then on all."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for threads in sorted({1, options.threads}):
            for name, *made in NETWORKS:
                rows += measure_network(Path(folder) / "network.onnx", name, tuple(made), options, threads)
    return rows
