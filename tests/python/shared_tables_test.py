"""Tables whose rows lie on several processes: after the same gradients, the bits of one process."""

from pathlib import Path

import pytest
from process_answers import answers_of

RUNNER = Path(__file__).with_name("shared_runner.py")

CASES = [
    {"mode": "sum", "options": {"method": "elastic"}},
    {"mode": "mean", "options": {"method": "elastic", "on_nan": "skip", "value_type": "bf16"}},
    {"mode": "none", "options": {"method": "elastic"}},
    {"mode": "sum", "options": {"method": "row"}},
    {"mode": "sum", "options": {"method": "cafe"}},
    {"mode": "mean", "options": {"method": "full", "memory_budget": "4MiB"}},
    {"mode": "sum", "options": {"method": "hash"}},
]

# A state says how long rebalances took, and ends with a checksum; all other bytes must be equal.
SECONDS_AND_CHECKSUM = 8 + 8


@pytest.fixture(scope="module")
def found():
    return answers_of(RUNNER, CASES, 300)


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda case: f"{CASES[case]['options']['method']}-{case}")
def test_processes_hold_together_what_one_holds(found, case, processes):
    answers = [answers[case] for answers in found[processes - 2]["answers"]]
    assert len(answers) == processes
    for answer in answers:
        assert answer["differ"] <= SECONDS_AND_CHECKSUM and answer["copied"] == answer["saved"] == 0, answer
        assert answer["off"] <= 1e-6 and max(answer["further"]) <= 1e-6, answer  # sums in another order
        assert 0 < answer["parts"] <= answer["bytes"], answer
        assert answer["skipped"] == ([1, 1] if "on_nan" in CASES[case]["options"] else [0, 0])


def test_some_of_them_have_no_room_for_all_rows(found):
    assert found[0]["answers"][0][3]["evicted"] > 0


def test_what_one_process_must_do_is_said(found):
    answer = found[0]["answers"][1][0]
    assert "call the model that taut.parallelize split" in answer["called"]
    assert "shared already" in answer["twice"]
    assert "several processes share cannot be read row by row" in answer["read"]
    assert "cannot take rows in" in answer["load"]
    qr, outside = found[0]["wrong"]
    assert "tables of method qr cannot be divided among processes" in qr
    assert "share must be of one process or more" in outside
