"""The study of winners-take-all networks, declared: networks, variants and goals (docs/sparsity_study.md shows it)."""

import dataclasses
from pathlib import Path

Settings = tuple[tuple[str, str], ...]

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "examples" / "images"
DENSE = "dense"
LONGER = "dense, trained on"  # as long as what is fine-tuned, with the dense network as teacher


@dataclasses.dataclass(frozen=True)
class Variant:
    """One row of a network's table. fine_tuned: goes on from the dense run of the same seed, which teaches it."""

    label: str
    settings: Settings = ()
    fine_tuned: bool = True
    unit: str = ""  # with rate: a point of the curves
    rate: float | None = None


@dataclasses.dataclass(frozen=True)
class Goal:
    """At most so many points of top-1 below `base`."""

    label: str
    points: float
    base: str = DENSE


@dataclasses.dataclass(frozen=True)
class Network:
    """One network on one data set."""

    name: str
    title: str
    config: Path
    variants: tuple[Variant, ...]
    seconds: float  # of the dense run on one idle processor: shapes the estimate of the time left
    dense: Settings = ()
    tuning: Settings = ()  # of every fine-tuned variant
    goals: tuple[Goal, ...] = ()
    seeds: int = 3


def winners(unit: str, rate: float, *more: tuple[str, str]) -> Variant:
    """Winners of a unit at one rate everywhere."""
    settings = (("model.unit", unit), ("model.winner_rate", str(rate)), *more)
    return Variant(f"{unit} {rate:g}", settings, unit=unit, rate=rate)


def from_scratch(variant: Variant, epochs: int, ramp: int) -> Variant:
    """The same rates, trained from the start: dense at first, then rates that fall over `ramp` epochs."""
    schedule = (("train.epochs", str(epochs)), ("model.winner_from", "1"), ("model.winner_ramp", str(ramp)))
    return Variant(f"{variant.label}, from scratch", variant.settings + schedule, fine_tuned=False)


PRUNED = (("prune.share", "0.8"), ("prune.ramp", "2"))
INT8 = (("quantize.mode", "train"), ("quantize.from", "2"))
# All at once asks for more than five epochs.
COMBINED_LONGER = "position 0.3, 80 % pruned, int8, 12 epochs"
PRUNED_SLOWLY = (("prune.share", "0.8"), ("prune.ramp", "5"), ("train.epochs", "12"))
INT8_LATER = (("quantize.mode", "train"), ("quantize.from", "5"))
BY_LAYER = (("model.unit", "position"), ("model.winner_rate", "[0.3, 0.2, 0.2, 0.12, 0.12]"))


def static_maps(rate: float) -> Variant:
    """The same maps for every image, those of the largest mean activation."""
    return Variant(f"static maps {rate:g}", (("prune.maps", str(rate)),), unit="static maps", rate=rate)


def mnist_mlp() -> Network:
    """784-300-100-10, neurons."""
    tuning = (("train.epochs", "5"), ("train.learning_rate", "0.001"), ("train.schedule", '"cosine"'))
    rates = (0.5, 0.3, 0.2, 0.1, 0.05)
    return Network(
        "mnist-mlp",
        "MNIST, 784-300-100-10",
        CONFIGS / "mnist.toml",
        (
            Variant(LONGER),
            *(winners("neuron", rate) for rate in rates),
            from_scratch(winners("neuron", 0.3), 5, 0),
            Variant("static maps 0.3", (("prune.maps", "0.3"),), unit="static maps", rate=0.3),
            Variant("neuron 0.3, 80 % pruned, int8", winners("neuron", 0.3).settings + PRUNED + INT8),
        ),
        seconds=12,
        dense=(("train.epochs", "5"), ("model.winner_rate", "[]"), ("train.schedule", '"one_cycle"')),
        tuning=tuning,
        goals=(
            Goal("neuron 0.3", 0.15),
            Goal("neuron 0.1", 0.6),
            Goal("neuron 0.3, 80 % pruned, int8", 1.0),
        ),
    )


def mnist_lenet() -> Network:
    """LeNet with caffe's widths."""
    tuning = (("train.epochs", "3"), ("train.learning_rate", "0.001"), ("train.schedule", '"cosine"'))
    return Network(
        "mnist-lenet",
        "MNIST, LeNet (20-50-500)",
        CONFIGS / "mnist-lenet.toml",
        (
            Variant(LONGER),
            *(winners("position", rate) for rate in (0.3, 0.1)),
            winners("element", 0.3),
            winners("channel", 0.3),
            static_maps(0.3),
            Variant("position 0.3, 80 % pruned, int8", winners("position", 0.3).settings + PRUNED + INT8),
        ),
        seconds=70,
        tuning=tuning,
        goals=(Goal("position 0.3", 0.1), Goal("position 0.3, 80 % pruned, int8", 1.0)),
    )


def cifar_vgg(everything: bool) -> Network:
    """The small VGG."""
    tuning = (("train.epochs", "5"), ("train.learning_rate", "0.05"), ("train.schedule", '"cosine"'))
    position = winners("position", 0.3)
    more: tuple[Variant, ...] = ()
    if everything:
        curves = tuple(winners(unit, rate) for unit in ("position", "element") for rate in (0.5, 0.1, 0.05))
        more = (*curves, Variant("twice the width", (("model.width", "2"),), fine_tuned=False))
    return Network(
        "cifar-vgg",
        "CIFAR-10, vgg-small",
        CONFIGS / "cifar10.toml",
        (
            Variant(LONGER),
            position,
            winners("element", 0.3),
            Variant("position, rates by layer", BY_LAYER),
            static_maps(0.55),
            winners("channel", 0.3),
            static_maps(0.3),
            Variant("position 0.3, 80 % pruned, int8", position.settings + PRUNED + INT8),
            winners("position", 0.15),
            winners("block", 0.3),
            Variant("80 % pruned", PRUNED),
            Variant("int8", INT8),
            winners("element", 0.15),
            Variant("0.55 of the width", (("model.width", "0.55"),), fine_tuned=False),
            from_scratch(position, 24 if everything else 16, 8),
            Variant(COMBINED_LONGER, position.settings + PRUNED_SLOWLY + INT8_LATER),
            *more,
        ),
        seconds=330,
        dense=() if everything else (("train.epochs", "16"),),
        tuning=tuning,
        goals=(
            Goal("position 0.3", 0.5),
            Goal("element 0.3", 0.5),
            Goal("position, rates by layer", 1.0),
            Goal("position 0.3, 80 % pruned, int8", 1.0),
            Goal(COMBINED_LONGER, 1.0),
        ),
    )


def cifar_resnet(everything: bool) -> Network:
    """ResNet-20, short unless everything is asked for."""
    tuning = (("train.epochs", "4"), ("train.learning_rate", "0.05"), ("train.schedule", '"cosine"'))
    short = (("train.epochs", "10"), ("data.limit", "20000"))
    return Network(
        "cifar-resnet",
        "CIFAR-10, ResNet-20",
        CONFIGS / "cifar10.toml",
        (Variant(LONGER), winners("position", 0.3), winners("element", 0.3), static_maps(0.55)),
        seconds=360,
        dense=(("model.kind", '"resnet-20"'), *(() if everything else short)),
        tuning=tuning,
        goals=(Goal("position 0.3", 0.5), Goal("element 0.3", 0.5)),
        seeds=3 if everything else 1,
    )


def networks(everything: bool) -> tuple[Network, ...]:
    """What is run as it comes, or with FULL=1."""
    return (mnist_mlp(), mnist_lenet(), cifar_vgg(everything), cifar_resnet(everything))
