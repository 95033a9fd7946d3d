"""Choosing winners: taut.winners beside torch.topk and scatter, forward, the same tensors.

Neurons: 128 examples of n features. Positions: 16 examples of [channels, height, width], one choice among the channels
at each position, in both memory formats. Answers are compared first: the kept magnitudes must be equal (of values that
tie, topk takes any). The peer does not sort its result (sorted=False), as nobody needs it.
A figure is the least of several calls in a row, on one thread and on all: a busy machine slows PyTorch's OpenMP threads
by far more than it slows ours, and that is not what is compared.
"""

import torch

import evidence

GOAL = 5.0
PEER = "torch.topk + scatter"
BATCH = 128
RATE = 0.3
LEAST_CALLS, SECONDS = 3, 0.03  # of a figure


def load_operators() -> None:
    """The operators from this build."""
    library = evidence.ROOT / "build/release/lib/libtaut_torch.so"
    if not library.exists():
        raise evidence.BenchError(f"{library} is missing, run make build")
    torch.ops.load_library(str(library))


def by_topk(x: torch.Tensor, winners: int) -> torch.Tensor:
    """The largest magnitudes along dimension 1, 0 elsewhere."""
    chosen = x.abs().topk(winners, dim=1, sorted=False).indices
    return torch.zeros_like(x).scatter_(1, chosen, x.gather(1, chosen))


def check_answers(name: str, ours: torch.Tensor, peer: torch.Tensor) -> None:
    """Ours and the peer's winners have the same magnitudes: which of those that tie won is left open."""
    ours, peer = (y.float().abs().sort(dim=1).values for y in (ours, peer))
    if not torch.equal(ours, peer):
        raise evidence.BenchError(f"answers differ: {name}, {int((ours != peer).sum())} of {ours.numel()} values")


def cases(*, quick: bool) -> list[tuple[str, torch.Tensor, str, int]]:
    """Name, tensor, unit and number of winners."""
    made = []
    random = torch.Generator().manual_seed(1)
    for dtype, short in ((torch.float32, "fp32"), (torch.bfloat16, "bf16")):
        for features in (512,) if quick else (512, 1024, 4096, 25088):
            x = torch.randn(BATCH, features, generator=random).to(dtype)
            made.append((f"neurons n={features} {short}", x, "neuron", -(-features * 3 // 10)))
        for channels, side in ((64, 8),) if quick else ((64, 32), (128, 16), (256, 16), (512, 8)):
            for memory_format, form in ((torch.channels_last, "NHWC"), (torch.contiguous_format, "NCHW")):
                x = torch.randn(16, channels, side, side, generator=random).to(dtype)
                x = x.to(memory_format=memory_format)
                name = f"positions C={channels} {side}x{side} {form} {short}"
                made.append((name, x, "position", -(-channels * 3 // 10)))
    return made


def measure_case(
    name: str, x: torch.Tensor, unit: str, winners: int, *, threads: int, repetitions: int
) -> evidence.Row:
    """One row."""
    torch.set_num_threads(threads)

    def ours() -> torch.Tensor:
        return torch.ops.taut.winners(x, RATE, unit)

    def peer() -> torch.Tensor:
        return by_topk(x, winners)

    check_answers(name, ours(), peer())
    return evidence.race(
        name,
        lambda: evidence.least_microseconds(ours, LEAST_CALLS, SECONDS),
        (PEER, lambda: evidence.least_microseconds(peer, LEAST_CALLS, SECONDS)),
        threads=threads,
        repetitions=repetitions,
        goal=GOAL,
    )


def measure(options: evidence.Options) -> list[evidence.Row]:
    """All cases on one thread, then on all."""
    load_operators()
    return [
        measure_case(*case, threads=threads, repetitions=options.repetitions)
        for threads in sorted({1, options.threads})
        for case in cases(quick=options.quick)
    ]
