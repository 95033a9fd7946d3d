"""The runner of all tests must never read a broken run as a passed one."""

import pathlib
import subprocess
import sys

import pytest

import run_tests

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """The module, with its results in a folder of the test."""
    monkeypatch.setattr(run_tests, "RESULTS", tmp_path)
    return run_tests


def use_command(runner, monkeypatch, script):
    monkeypatch.setattr(
        runner, "command_of", lambda _name, junit, _jobs: [sys.executable, "-c", script, str(junit)], raising=True
    )


JUNIT = """import pathlib, sys
pathlib.Path(sys.argv[1]).write_text('''<testsuite>{cases}</testsuite>''')
sys.exit({status})"""


def test_counts_what_ctest_writes(runner, tmp_path):
    path = tmp_path / "junit.xml"
    path.write_text(
        "<testsuite><testcase name='a' status='run'/><testcase name='b' status='fail'><failure/></testcase>"
        "<testcase name='c' status='notrun'><skipped/></testcase><testcase name='d' status='disabled'/></testsuite>"
    )
    counts = runner.read_junit(path)
    assert (counts.passed, counts.failed, counts.skipped) == (1, 1, 2)


def test_counts_what_pytest_writes(runner, tmp_path):
    path = tmp_path / "junit.xml"
    path.write_text(
        "<testsuites><testsuite><testcase name='a'/><testcase name='b'><failure/></testcase>"
        "<testcase name='c'><error/></testcase><testcase name='d'><skipped/></testcase></testsuite></testsuites>"
    )
    counts = runner.read_junit(path)
    assert (counts.passed, counts.failed, counts.skipped) == (1, 2, 1)


def test_a_run_that_passes_counts_its_tests(runner, monkeypatch):
    use_command(runner, monkeypatch, JUNIT.format(cases="<testcase/><testcase/>", status=0))
    counts = runner.run("pytest", 1)
    assert (counts.passed, counts.failed) == (2, 0)


@pytest.mark.parametrize(
    "script",
    [
        "import os; os.abort()",
        "pass",
        JUNIT.format(cases="<testcase/>", status=3),
        JUNIT.format(cases="", status=0),
        "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('<cut')",
    ],
    ids=["crash", "no file", "bad status beside passed tests", "no tests", "broken file"],
)
def test_a_runner_that_ends_badly_is_one_failure(runner, monkeypatch, script):
    use_command(runner, monkeypatch, script)
    assert runner.run("pytest", 1).failed == 1


def test_the_summary_adds_a_failure_for_a_stage_whose_tests_all_passed(runner, tmp_path):
    (tmp_path / "pytest.json").write_text('{"passed": 3, "failed": 0, "skipped": 0, "seconds": 1.0}')
    assert sum(counts.failed for counts in runner.summarize(["test=0", "check=0"]).values()) == 0
    assert sum(counts.failed for counts in runner.summarize(["test=0", "check=2"]).values()) == 1
    assert sum(counts.failed for counts in runner.summarize(["build=2", "test=2", "check=2"]).values()) == 3


def test_the_summary_counts_a_failed_test_once(runner, tmp_path):
    (tmp_path / "pytest.json").write_text('{"passed": 3, "failed": 1, "skipped": 0, "seconds": 1.0}')
    assert sum(counts.failed for counts in runner.summarize(["test=2", "check=0"]).values()) == 1


def test_failed_tests_are_named_at_the_end_with_what_they_said(runner, monkeypatch, capsys):
    said = (
        "<testcase classname='Rows' name='a'><failure message='expected 3'/><system-out>found 4</system-out></testcase>"
    )
    use_command(runner, monkeypatch, JUNIT.format(cases="<testcase name='b'/>" + said.replace("'", '"'), status=1))
    runner.run("pytest", 1)
    monkeypatch.setattr(sys, "argv", ["run_tests.py", "--summary", "test=2"])
    assert runner.main() == 1
    out = capsys.readouterr().out
    assert "FAILED Rows::a\n    expected 3\n    found 4\n" in out
    assert out.endswith("1 passed, 1 failed\n")


def test_an_unknown_runner_is_an_error_that_names_the_known_ones():
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "run_tests.py"), "nose"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "known: pytest, ctest:PRESET" in done.stderr
