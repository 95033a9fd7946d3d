"""Reports are clear about what is wrong, and write nothing then."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_support import CSV_HEADER

from taut import plots, report, runs

ROOT = Path(__file__).resolve().parents[2]


def broken(folder, name, text):
    (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("metrics.jsonl", '{"step": 1}\n{"step": 2, "loss": 0.5\n{"step": 3}\n', "metrics.jsonl, line 2"),
        ("metrics.jsonl", "[1, 2]\n", "wanted a JSON object"),
        ("metrics.jsonl", '{"loss": 0.5}\n', '"step" is missing'),
        ("metrics.jsonl", '{"step": null}\n', '"step" is missing'),
        ("metrics.jsonl", '{"step": 1, "loss": "low"}\n', '"loss" must be a number, got "low"'),
        ("metrics.jsonl", '{"step": 1, "auc": true}\n', '"auc" must be a number, got true'),
        ("metrics.jsonl", '{"step": 1, "memory_parts": [1]}\n', '"memory_parts" must be a JSON object'),
        ("metrics.jsonl", '{"step": 1, "rows_by_width": {}}\n', '"rows_by_width" must be a JSON list'),
        ("metrics.jsonl", '{"step": 1, "rows_by_width": [1, "x"]}\n', '"rows_by_width" must hold whole numbers'),
        ("metrics.jsonl", '{"step": 1, "memory_parts": {"pool": -1}}\n', '"memory_parts" must hold whole numbers'),
        ("summary.json", '{\n"auc": \n}', "summary.json, line 3"),
        ("summary.json", "[]", "wanted a JSON object"),
        ("summary.json", "", "not JSON"),
        ("summary.json", "[" * 200_000 + "]" * 200_000, "not JSON of ours"),
        ("summary.json", '{"auc": ' + "1" * 10_000 + "}", "not JSON of ours"),
        ("metrics.jsonl", '{"a":' * 200_000 + "1" + "}" * 200_000 + "\n", "not JSON of ours"),
        ("config.toml", "a = " + "[" * 200_000 + "]" * 200_000 + "\n", "not TOML"),
        ("config.toml", "[data\n", "not TOML"),
    ],
)
def test_a_broken_file_is_named_with_its_line(make_run, name, text, complaint):
    with pytest.raises(runs.ReportError) as problem:
        runs.read_folder(broken(make_run("run"), name, text))
    assert complaint in str(problem.value)
    assert name in str(problem.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NUMBER = st.none() | st.integers(-9, 10**15) | st.floats()
LINE = st.fixed_dictionaries(
    {"step": st.integers(0, 10**9) | JSON},
    optional={
        **{name: NUMBER | JSON for name in runs.NUMBERS if name != "step"},
        "memory_parts": st.dictionaries(st.text(), NUMBER | JSON, max_size=3) | JSON,
        "rows_by_width": st.lists(NUMBER | JSON, max_size=4) | JSON,
    },
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.text() | JSON.map(json.dumps) | LINE.map(json.dumps))
def test_any_line_is_metrics_or_an_error_that_names_it(text):
    try:
        line = runs.parse_line(text, Path("metrics.jsonl"), 7)
    except runs.ReportError as problem:
        assert "metrics.jsonl, line 7" in str(problem)
    else:
        assert line["step"] is not None
        run = runs.Run(Path("run"), [line], {}, {}, label="run")
        assert plots.run_figures([run]) is not None
        assert plots.memory_by_part([run]) is not None


def test_a_metrics_file_that_is_not_text_is_named(make_run):
    folder = make_run("run")
    (folder / "metrics.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(runs.ReportError, match=r"cannot read the file.*metrics\.jsonl"):
        runs.read_folder(folder)


@pytest.mark.parametrize("task", ["speech", 7, ["image"]])
def test_a_task_that_is_not_known_is_named(make_run, task):
    folder = make_run("run", summary={"task": task, "auc": 0.7})
    with pytest.raises(runs.ReportError, match=r"unknown task .*, .*run, known: ctr, image"):
        report.make_page([folder])


def test_a_run_without_a_task_is_a_recommenders(make_run):
    assert runs.read_run(make_run("run")).task == "ctr"


@pytest.mark.parametrize(
    ("header", "body", "complaint"),
    [
        ("method,budget,seed\n", "full,1,1\n", "columns are missing: auc, log_loss, memory_bytes"),
        (CSV_HEADER, "", "there are no rows"),
        (CSV_HEADER, "full,1,1,high,0.5,0.9,1,1,1\n", "results.csv, line 2, mend the line"),
        (CSV_HEADER, "full,1,1,0.7\n", "wanted 9 fields"),
        (CSV_HEADER, "full,1,1,0.7,0.5,0.9,1,1,1,1\n", "wanted 9 fields"),
    ],
)
def test_a_broken_sweep_is_named(make_sweep, header, body, complaint):
    with pytest.raises(runs.ReportError) as problem:
        runs.read_folder(make_sweep(body, header))
    assert complaint in str(problem.value)
    assert "results.csv" in str(problem.value)


def test_a_sweep_without_any_result_is_an_error(make_sweep):
    with pytest.raises(runs.ReportError, match="no run of the sweep has an AUC"):
        report.make_page([make_sweep("full,1,1,,,,1,1,1\n")])


def test_folders_that_are_no_runs_are_errors(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for name, complaint in (("absent", "no such folder"), ("file", "found a file"), ("empty", "holds no run")):
        with pytest.raises(runs.ReportError, match=complaint):
            runs.read_folder(tmp_path / name)


def test_the_command_writes_the_page_and_prints_its_path(make_run, tmp_path, capsys):
    assert report.main([str(make_run("run"))]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'run' / 'report.html'}\n"
    out = tmp_path / "deep" / "page.html"
    assert report.main([str(tmp_path / "run"), "--out", str(out)]) == 0
    assert out.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert [path.name for path in out.parent.iterdir()] == ["page.html"]


def test_the_command_says_in_one_line_what_is_wrong_and_writes_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "taut.report", str(tmp_path / "absent"), "--out", str(tmp_path / "page.html")],
        capture_output=True,
        text=True,
        cwd=ROOT / "python",
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"error: there is no such folder, .*absent, name the folder of a run or of a sweep\n", done.stderr
    )
    assert not (tmp_path / "page.html").exists()


def test_a_page_that_cannot_be_written_is_an_error(make_run, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert report.main([str(make_run("run")), "--out", str(tmp_path / "file" / "page.html")]) == 2
    assert "error: cannot write the page" in capsys.readouterr().err
