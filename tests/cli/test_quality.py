"""Quality on real data: what the README promises."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def test_flights_keeps_its_quality_at_a_tenth_and_a_hundredth(taut, tmp_path):
    def auc(method, budget):
        out = tmp_path / f"{method}-{budget.replace('/', '-')}"
        result = taut(
            *("train", EXAMPLES / "flights.toml", "--out", out, "--memory-budget", budget, "--json"),
            *("--set", f"embedding.method={method}"),
        ).json
        if method != "full":
            assert result["peak_memory_bytes"] <= result["budget_bytes"]
        return result["auc"]

    full = auc("full", "1")
    assert full >= 0.69
    assert auc("elastic", "1/10") >= full - 0.003
    assert auc("elastic", "1/100") >= full - 0.003


def mean_auc(taut, config, out, seeds, *settings):
    """The mean test AUC over seeds."""
    sets = [word for setting in settings for word in ("--set", setting)]
    runs = [("train", EXAMPLES / config, "--out", out / str(seed), "--seed", seed, "--json", *sets) for seed in seeds]
    return sum(taut(*run).json["auc"] for run in runs) / len(runs)


def test_flights_keeps_its_quality_with_winners(taut, tmp_path):
    """What docs/train.md reports: half of the neurons cost under 0.001, 0.3 of them about 0.001."""
    dense = mean_auc(taut, "flights.toml", tmp_path / "dense", (1, 2, 3))
    half = mean_auc(taut, "flights.toml", tmp_path / "half", (1, 2, 3), "model.winner_rate=0.5")
    assert half >= dense - 0.001
    third = mean_auc(taut, "flights.toml", tmp_path / "third", (1, 2, 3), "model.winner_rate=0.3")
    assert third >= dense - 0.002


@pytest.mark.skipif("TAUT_DATA" not in os.environ, reason="set TAUT_DATA to the folder of the data sets")
def test_book_crossing_keeps_its_quality_with_winners_after_a_dense_start(taut, tmp_path):
    dense = mean_auc(taut, "book-crossing.toml", tmp_path / "dense", (1, 2, 3))
    late = ("model.winner_rate=0.3", "model.winner_from=0.5", "model.winner_ramp=0.3")
    assert mean_auc(taut, "book-crossing.toml", tmp_path / "winners", (1, 2, 3), *late) >= dense - 0.001


@pytest.mark.skipif("TAUT_DATA" not in os.environ, reason="set TAUT_DATA to the folder of the data sets")
def test_book_crossing_at_a_tenth_is_near_full_and_far_above_hash(taut, tmp_path):
    sweep = taut(
        *("sweep", EXAMPLES / "book-crossing.toml", "--out", tmp_path / "sweep", "--json"),
        *("--methods", "full,hash,elastic", "--budgets", "1/10", "--seeds", 3),
        timeout=1800,
    ).json
    auc = {row["method"]: row["auc"] for row in sweep["rows"]}
    assert auc["full"] >= 0.68
    assert auc["elastic"] >= 0.655
    assert auc["elastic"] >= auc["hash"] + 0.05
