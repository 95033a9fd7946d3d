"""The study of embeddings, declared: sets, methods, budgets, variants and goals (docs/embedding_study.md shows it).

Stages go one after another, because later ones take what earlier ones chose on validation data: learning rates, and the
best full model. The number of jobs never depends on results, so the whole length is known from the start.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from engine import DataSet, Job, Outcome, Settings

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "examples" / "studies"

METHODS = ("full", "hash", "qr", "md", "frequency", "row", "cafe", "fiited", "elastic")
LEARNING_RATES = ("0.2", "0.4", "0.8")
PUBLISHED_RATE = "0.4"
Outcomes = dict[tuple[str, str, str, str], Outcome]


@dataclasses.dataclass(frozen=True)
class Goal:
    """What an earlier study of the same sets reached in one cell, ours and the best rival's."""

    elastic: float
    rival: str
    rival_auc: float


# One epoch, one seed, an earlier implementation: set, budget -> its best setting of elastic, its best rival.
GOALS: dict[tuple[str, str], Goal] = {
    ("anime-ratings", "1/4"): Goal(0.8202, "md", 0.818),
    ("anime-ratings", "1/10"): Goal(0.8169, "md", 0.811),
    ("anime-ratings", "1/100"): Goal(0.7816, "md", 0.702),
    ("anime-ratings", "1/1000"): Goal(0.667, "md", 0.589),
    ("book-crossing", "1/4"): Goal(0.6858, "md", 0.660),
    ("book-crossing", "1/10"): Goal(0.6698, "md", 0.633),
    ("book-crossing", "1/100"): Goal(0.5714, "md", 0.560),
    ("book-crossing", "1/1000"): Goal(0.525, "md", 0.519),
    ("globo-third", "1/10"): Goal(0.8404, "row", 0.840),
    ("globo-third", "1/100"): Goal(0.8308, "row", 0.823),
    ("globo-third", "1/1000"): Goal(0.8043, "md", 0.764),
    ("flights", "1/1000"): Goal(0.6257, "hash", 0.538),
}
# How far below the full table a tenth may be.
NEAR_FULL = {"globo-news": 0.001, "globo-third": 0.001}
NEAR_FULL_ELSEWHERE = 0.010
DRIFT_GOAL = 0.002

# One change of elastic each; the first is what all are compared with.
ABLATIONS: tuple[tuple[str, Settings], ...] = (
    ("elastic as it comes", ()),
    ("beta 1", (("embedding.beta", "1"),)),
    ("beta 3", (("embedding.beta", "3"),)),
    ("chunk 2, beta 3", (("embedding.chunk", "2"), ("embedding.beta", "3"))),
    ("chunk 8", (("embedding.chunk", "8"),)),
    ("chunk 16: whole rows", (("embedding.chunk", "16"),)),
    ("int8 values", (("embedding.value_type", "int8"),)),
    ("bf16 values", (("embedding.value_type", "bf16"),)),
    ("fp32 values", (("embedding.value_type", "fp32"),)),
    ("sampled admission", (("embedding.admission", "sampled"),)),
    ("sketch admission", (("embedding.admission", "sketch"),)),
    ("no cold pool", (("embedding.cold_share", "0"),)),
    ("cold pool 0.25", (("embedding.cold_share", "0.25"),)),
    ("cold pool 0.5", (("embedding.cold_share", "0.5"),)),
    ("cold pool 0.8", (("embedding.cold_share", "0.8"),)),
    ("decay 0.998", (("embedding.decay", "0.998"),)),
    ("decay 0.98", (("embedding.decay", "0.98"),)),
    ("period 5", (("embedding.period", "5"),)),
    ("period 60", (("embedding.period", "60"),)),
    ("16 bits from 64 times the line", (("embedding.precision_ratio", "64"),)),
    ("held counts 50 % more", (("embedding.hysteresis", "0.5"),)),
    ("exact keys", (("embedding.keys", "exact"),)),
)
IN_TIME: Settings = (("data.shuffle", "0"),)
DRIFT_VARIANTS: tuple[tuple[str, Settings], ...] = (
    ("elastic", ()),
    ("elastic, sampled", (("embedding.admission", "sampled"),)),
    ("elastic, sampled, pool 0.5", (("embedding.admission", "sampled"), ("embedding.cold_share", "0.5"))),
    ("elastic, decay 0.998", (("embedding.decay", "0.998"),)),
    ("elastic, decay 0.98", (("embedding.decay", "0.98"),)),
)
# Full models for the full feature set; a variant is left out where the program lacks its keys.
TWO_EPOCHS = (("train.epochs", "2"),)
THREE_EPOCHS = (("train.epochs", "3"),)
DIM_64 = (("embedding.dim", "64"),)
DIM_32 = (("embedding.dim", "32"),)
DENSE_DECAY = (("train.weight_decay", "1e-4"),)
SLOW = (("embedding.learning_rate", "0.1"),)
WEAK_L2 = (("embedding.l2", "0.03"),)
STRONG_L2 = (("embedding.l2", "0.3"),)
FULL_MODELS: tuple[tuple[str, Settings], ...] = (
    ("D 16, 1 epoch", ()),
    ("D 32, 1 epoch", DIM_32),
    ("D 16, 2 epochs", TWO_EPOCHS),
    ("D 32, 2 epochs", DIM_32 + TWO_EPOCHS),
    ("D 64, 2 epochs", DIM_64 + TWO_EPOCHS),
    ("D 32, 3 epochs", DIM_32 + THREE_EPOCHS),
    ("D 32, 2 epochs, rate 0.1", DIM_32 + TWO_EPOCHS + SLOW),
    ("D 16, 2 epochs, weight decay 1e-4", TWO_EPOCHS + DENSE_DECAY),
    ("D 16, 2 epochs, L2 0.03", TWO_EPOCHS + WEAK_L2),
    ("D 16, 2 epochs, L2 0.3", TWO_EPOCHS + STRONG_L2),
)


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much of everything is run."""

    sets: tuple[DataSet, ...]
    ablation_sets: tuple[DataSet, ...]
    drift_set: DataSet
    feature_sets: tuple[DataSet, ...]
    methods: tuple[str, ...] = METHODS
    rates: tuple[str, ...] = LEARNING_RATES
    tuning_budgets: tuple[str, ...] = ("1/10",)
    ablations: tuple[tuple[str, Settings], ...] = ABLATIONS
    ablation_budgets: tuple[str, ...] = ("1/10", "1/100")
    most_int8_seeds: int = 3
    drift_budget: str = "1/10"
    drift_variants: tuple[tuple[str, Settings], ...] = DRIFT_VARIANTS
    drift_seeds: int = 1
    full_models: tuple[tuple[str, Settings], ...] = FULL_MODELS
    feature_budgets: tuple[str, ...] = ("1/10", "1/100")
    feature_seeds: int = 1
    missing: tuple[str, ...] = ()


def data_set(name: str, seconds: float, **more) -> DataSet:
    """A set whose config is one of examples/studies."""
    return DataSet(name, CONFIGS / f"{name}.toml", seconds, **more)


def make_plan(known_methods: Sequence[str], everything: bool) -> Plan:
    """The plan of `make study`, or with FULL=1: all of globo-news, three seeds and every budget everywhere."""
    seeds = 3 if everything else 1
    anime, books = data_set("anime-ratings", 2.3, seeds=3), data_set("book-crossing", 8.5, seeds=3)
    flights = data_set("flights", 2.8, seeds=3)
    budgets = DataSet.budgets if everything else ("1/10", "1/100", "1/1000")
    third = data_set("globo-third", 18, seeds=seeds, budgets=budgets, eight_bit_rivals=everything)
    all_news = (data_set("globo-news", 54, seeds=3),) if everything else ()
    return Plan(
        sets=(anime, books, third, *all_news, flights),
        ablation_sets=(dataclasses.replace(anime, seeds=max(seeds, 2)), dataclasses.replace(books, seeds=seeds)),
        drift_set=third,
        feature_sets=(data_set("anime-ratings-all", 5), data_set("book-crossing-all", 16)),
        methods=tuple(method for method in METHODS if method in known_methods),
        tuning_budgets=("1/10", "1/100") if everything else ("1/10",),
        most_int8_seeds=seeds,
        drift_seeds=seeds,
        feature_seeds=seeds,
        missing=tuple(method for method in METHODS if method not in known_methods),
    )


def value_types(method: str) -> tuple[str, ...]:
    """Rivals run as published and in 8 bits."""
    return {"full": ("fp32",), "elastic": ("mixed",)}.get(method, ("fp32", "int8"))


def row_label(method: str, value_type: str) -> str:
    """What tables call a method with its values."""
    return method if method in ("full", "elastic") else f"{method} {value_type}"


def base_settings(method: str, value_type: str, rate: str) -> Settings:
    """The settings that every job has."""
    return (("embedding.value_type", value_type), ("embedding.learning_rate", rate))


def laid_over(under: Settings, over: Settings) -> Settings:
    """Both, later ones in place of earlier ones of the same key."""
    return tuple({**dict(under), **dict(over)}.items())


def mean_of(outcome: Outcome | None, field: str) -> float | None:
    """Mean over the seeds, or None without runs."""
    values = [run[field] for run in (outcome.runs if outcome else []) if run.get(field) is not None]
    return sum(values) / len(values) if values else None


def best_label(outcomes: Outcomes, cells: dict[str, tuple[str, str, str, str]], default: str) -> str:
    """The label whose cell has the highest validation AUC; default before there are any."""
    scores = {label: mean_of(outcomes.get(cell), "valid_auc") for label, cell in cells.items()}
    known = {label: score for label, score in scores.items() if score is not None}
    return max(known, key=lambda label: known[label]) if known else default


def tuning_budget(plan: Plan, method: str, budget: str) -> str:
    """The budget whose tuning counts here: the nearest one that is not smaller, or else the largest."""
    if method == "full":
        return "1"
    size = {name: fraction(name) for name in plan.tuning_budgets}
    larger = [name for name in plan.tuning_budgets if size[name] >= fraction(budget)]
    return min(larger, key=lambda name: size[name]) if larger else max(size, key=lambda name: size[name])


def fraction(budget: str) -> float:
    """ "1/10" as a number."""
    above, _, below = budget.partition("/")
    return float(above) / float(below or "1")


def chosen_rate(plan: Plan, outcomes: Outcomes, data: DataSet, method: str, budget: str) -> str:
    """The learning rate with the best validation AUC."""
    at = tuning_budget(plan, method, budget)
    cells = {rate: ("tuning", data.name, f"{method}, rate {rate}", at) for rate in plan.rates}
    return best_label(outcomes, cells, PUBLISHED_RATE)


def tuning_jobs(plan: Plan, outcomes: Outcomes) -> list[Job]:
    """Learning rates, for rivals and ours alike, with one seed."""
    jobs = []
    for data in plan.sets:
        for method in plan.methods:
            for budget in ("1",) if method == "full" else plan.tuning_budgets:
                for rate in plan.rates:
                    settings = base_settings(method, value_types(method)[0], rate)
                    jobs.append(Job("tuning", data, f"{method}, rate {rate}", method, budget, 1, settings))
    return jobs


def main_jobs(plan: Plan, outcomes: Outcomes) -> list[Job]:
    """Methods by budgets by sets."""
    jobs = []
    for data in plan.sets:
        for method in plan.methods:
            for value_type in value_types(method)[: 2 if data.eight_bit_rivals else 1]:
                for budget in ("1",) if method == "full" else data.budgets:
                    rate = chosen_rate(plan, outcomes, data, method, budget)
                    settings = base_settings(method, value_type, rate)
                    seeds = min(data.seeds, plan.most_int8_seeds) if value_type == "int8" else data.seeds
                    jobs.append(Job("main", data, row_label(method, value_type), method, budget, seeds, settings))
    return jobs


def drift_jobs(plan: Plan, outcomes: Outcomes) -> list[Job]:
    """The rows in time order, every prediction made before its label is learnt."""
    data, jobs = plan.drift_set, []

    def add(label: str, method: str, budget: str, extra: Settings) -> None:
        rate = chosen_rate(plan, outcomes, data, method, budget)
        settings = laid_over(base_settings(method, value_types(method)[0], rate), IN_TIME + extra)
        jobs.append(Job("drift", data, label, method, budget, plan.drift_seeds, settings))

    for method in plan.methods:
        if method == "elastic":
            for label, extra in plan.drift_variants:
                add(label, method, plan.drift_budget, extra)
        else:
            add(row_label(method, value_types(method)[0]), method, "1" if method == "full" else plan.drift_budget, ())
    return jobs


def ablation_jobs(plan: Plan, outcomes: Outcomes) -> list[Job]:
    """One change of elastic at a time."""
    jobs = []
    for data in plan.ablation_sets if "elastic" in plan.methods else ():
        for budget in plan.ablation_budgets:
            rate = chosen_rate(plan, outcomes, data, "elastic", budget)
            for label, change in plan.ablations:
                settings = laid_over(base_settings("elastic", "mixed", rate), change)
                jobs.append(Job("ablation", data, label, "elastic", budget, data.seeds, settings))
    return jobs


def full_model_jobs(plan: Plan, outcomes: Outcomes) -> list[Job]:
    """Full models on all features, to find the baseline that users would have."""
    jobs = []
    for data in plan.feature_sets if "full" in plan.methods else ():
        for label, change in plan.full_models:
            settings = laid_over(base_settings("full", "fp32", PUBLISHED_RATE), change)
            jobs.append(Job("features", data, f"full, {label}", "full", "1", plan.feature_seeds, settings))
    return jobs


def best_full_model(plan: Plan, outcomes: Outcomes, data: DataSet) -> str:
    """The full model with the best validation AUC."""
    cells = {label: ("features", data.name, f"full, {label}", "1") for label, _ in plan.full_models}
    return best_label(outcomes, cells, plan.full_models[0][0])


def small_model_jobs(plan: Plan, outcomes: Outcomes) -> list[Job]:
    """Every method in a part of the best full model's bytes, trained as that one was."""
    jobs = []
    for data in plan.feature_sets:
        best = best_full_model(plan, outcomes, data)
        for method in ("hash", "elastic"):
            for budget in plan.feature_budgets if method in plan.methods else ():
                value_type = value_types(method)[0]
                settings = base_settings(method, value_type, PUBLISHED_RATE)
                settings = laid_over(settings, dict(plan.full_models)[best])
                label = row_label(method, value_type)
                jobs.append(Job("features", data, label, method, budget, plan.feature_seeds, settings))
    return jobs


TABLES = ("tuning", "main", "drift", "features", "ablation")
STAGES: tuple[Callable[[Plan, Outcomes], list[Job]], ...] = (
    tuning_jobs,
    main_jobs,
    drift_jobs,
    full_model_jobs,
    small_model_jobs,
    ablation_jobs,
)


def all_jobs(plan: Plan, outcomes: Outcomes) -> list[Job]:
    """The jobs of all stages as they stand."""
    return [job for stage in STAGES for job in stage(plan, outcomes)]


def with_known_keys(plan: Plan, keys: set[str]) -> Plan:
    """The plan without the full models that set keys which this program does not have."""
    kept = tuple((label, change) for label, change in plan.full_models if {key for key, _ in change} <= keys)
    return dataclasses.replace(plan, full_models=kept)
