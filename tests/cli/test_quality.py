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
