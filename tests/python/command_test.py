"""The commands from Python: results as dicts, packages that score files and frames, errors as exceptions."""

import concurrent.futures
import doctest
import os
import signal
import subprocess
import sys
import threading
import time

import numpy
import pyarrow
import pyarrow.parquet
import pytest
from embedding_support import run_python

import taut
from taut import command


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Made-up clicks, the run that learnt from them and its package."""
    folder = tmp_path_factory.mktemp("clicks")
    taut.run("synth", folder / "data.parquet", rows=4000)
    taut.train(
        config_of(folder),
        folder / "run",
        progress=False,
        memory_budget="1/10",
        set={"train.epochs": 1, "train.seed": 2},
    )
    taut.run("export", folder / "run", folder / "model.taut")
    return folder


def config_of(folder):
    path = folder / "ctr.toml"
    path.write_text(run_python("import sys; from taut.__main__ import main; main()", "init", folder / "data.parquet"))
    return path


def test_examples_run():
    found = doctest.testmod(command)
    assert found.attempted > 0 and found.failed == 0


def test_training_returns_its_summary_and_takes_settings(folder):
    again = taut.train(
        folder / "ctr.toml",
        folder / "again",
        progress=False,
        memory_budget="1/10",
        set={"train.epochs": 1, "train.seed": 2},
    )
    assert again["method"] == "elastic" and again["seed"] == 2
    assert again["memory_bytes"] <= again["full_bytes"] / 9


def test_a_package_gives_what_its_onnx_file_reads(folder):
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (scripts/setup.sh)")
    taut.run("export", folder / "run", folder / "model.onnx")
    package = taut.load(folder / "model.taut")
    rows = pyarrow.parquet.read_table(folder / "data.parquet")
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    logits = session.run(None, package.inputs(rows))[0][:, 0]
    scores = package.predict(rows)["score"].to_numpy()
    numpy.testing.assert_allclose(1 / (1 + numpy.exp(-logits)), scores, atol=1e-6)


def test_a_package_scores_files_and_frames_alike(folder):
    package = taut.load(folder / "model.taut")
    assert package.info["kind"] == "package"
    assert repr(package) == f"Package({str(folder / 'model.taut')!r})"
    scores = package.predict(folder / "data.parquet")
    assert scores.num_rows == 4000 and scores.column_names == ["row", "score"]
    table = pyarrow.parquet.read_table(folder / "data.parquet")
    columns = {name: table[name].to_numpy() for name in table.column_names if name != "label"}
    for data in ([folder / "data.parquet"], str(folder / "data.parquet"), table, columns):
        assert package.predict(data, batch=100).equals(scores)


def test_several_threads_predict_at_once(folder):
    package = taut.load(folder / "model.taut")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        one, two, three = pool.map(lambda _: package.predict(folder / "data.parquet", threads=1), range(3))
    assert one.equals(two) and two.equals(three)


def test_options_become_the_programs():
    plan = taut.plan("lenet-c", accelerators=4, batch=64, method=["hypar", "dp"], raw_sums=True, cluster=None)
    assert plan["model"] == "lenet-c"
    sizes = taut.plan("lenet-c", accelerators=4, batch=128)["bytes_per_step"]
    assert sizes != taut.plan("lenet-c", accelerators=8, batch=128)["bytes_per_step"]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: taut.plan("lenet-d"), "lenet-c"),
        (lambda: taut.plan("lenet-c", acelerators=4), "did you mean --accelerators"),
        (lambda: taut.run("trian"), "did you mean train"),
    ],
)
def test_what_the_caller_can_mend_is_one_line(call, message):
    with pytest.raises(taut.CommandError, match=message) as refused:
        call()
    assert refused.value.exit_code == 2
    assert "\n" not in str(refused.value) and not str(refused.value).startswith("error")


def test_files_that_are_not_there_are_named(folder):
    with pytest.raises(FileNotFoundError, match="no such file, lenet-c"):
        taut.load("lenet-c")
    with pytest.raises(taut.CommandError, match="no such file, nothing"):
        taut.load(folder / "model.taut").predict("nothing.parquet")


def test_what_is_no_package_is_told_from_what_is_not_there(folder):
    for path, kind, message in (
        (folder / "run", IsADirectoryError, "found the folder of a run, .*taut export RUN PACKAGE"),
        (folder, IsADirectoryError, "found a directory"),
        ("/", IsADirectoryError, "found a directory"),
        ("/dev/null", OSError, "found a pipe or device, /dev/null"),
        (folder / "ctr.toml", ValueError, "expected a package or an .onnx file, found the description of a network"),
        (folder / "data.parquet", ValueError, "expected a package or an .onnx file, found a table"),
    ):
        with pytest.raises(kind, match=message) as refused:
            taut.load(path)
        assert str(path) in str(refused.value) and not isinstance(refused.value, FileNotFoundError)


@pytest.fixture(scope="module")
def few(folder):
    """Five rows as a dict of arrays, and the package's scores of them."""
    table = pyarrow.parquet.read_table(folder / "data.parquet").slice(0, 5)
    columns = {name: table[name].to_numpy() for name in table.column_names if name != "label"}
    return columns, taut.load(folder / "model.taut").predict(table)


def test_arrays_of_any_layout_and_tensors_score_as_others(folder, few):
    columns, wanted = few
    package = taut.load(folder / "model.taut")
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for changed in (
        lambda a: a.astype(a.dtype.newbyteorder(">")),
        lambda a: a.astype(numpy.longdouble) if a.dtype.kind == "f" else a,
        lambda a: numpy.repeat(a, 2)[::2],
        torch.tensor,
        list,
    ):
        given = {name: changed(column) for name, column in columns.items()}
        assert package.predict(given).equals(wanted)


@pytest.mark.parametrize(
    "change, kind, message",
    [
        ({"d_0": [1 + 2j] * 5}, ValueError, 'column "d_0"'),
        ({"d_0": numpy.ones(5, complex)}, ValueError, r'column "d_0" \(complex128\)'),
        ({"c_0": numpy.ones((5, 2, 2), int)}, ValueError, 'column "c_0"'),
        ({"c_0": [2**70] * 5}, ValueError, 'column "c_0"'),
        ({"c_0": [1, "a", 2.5, None, 3]}, ValueError, 'column "c_0"'),
        ({"c_0": 7}, ValueError, 'column "c_0"'),
        ({"c_0": [1, 2]}, ValueError, 'column "c_0" has 2 rows, column "time" has 5'),
        ({"d_0": [1, 2, numpy.inf, 4, 5]}, taut.CommandError, "the value is inf.*, the table, row 3, column d_0"),
        ({"d_0": [1, 2, 1e300, 4, 5]}, taut.CommandError, r"1e\+300.*float32.*, the table, row 3, column d_0"),
        ({"d_0": None}, taut.CommandError, 'no column "d_0", the table'),
    ],
)
def test_a_column_that_cannot_be_read_is_named(folder, few, change, kind, message):
    columns = {name: column for name, column in {**few[0], **change}.items() if column is not None}
    with pytest.raises(kind, match=message) as refused:
        taut.load(folder / "model.taut").predict(columns)
    assert "/tmp" not in str(refused.value)


@pytest.mark.parametrize("data", [None, 5, numpy.ones(5)])
def test_what_is_no_table_says_what_one_is(folder, data):
    with pytest.raises(TypeError, match=r"data must be a path, .* or a dict of columns, got"):
        taut.load(folder / "model.taut").predict(data)


def test_progress_is_shown_where_it_is_asked_for(folder, capfd):
    taut.train(folder / "ctr.toml", folder / "quiet", progress=False, set={"train.epochs": 1})
    assert capfd.readouterr() == ("", "")
    taut.train(folder / "ctr.toml", folder / "loud", set={"train.epochs": 1})
    told = capfd.readouterr()
    assert told.out == "" and told.err != ""


def test_an_interrupt_reaches_the_command(folder):
    """The interrupted process ends as the command does: with a checkpoint, from which it goes on."""
    code = (
        "import sys, taut\n"
        "taut.train(sys.argv[1], sys.argv[2], progress=False, set={'train.epochs': 10000, 'train.early_stop': 0})\n"
    )
    out = folder / "stopped"
    process = subprocess.Popen(
        [sys.executable, "-c", code, folder / "ctr.toml", out],
        start_new_session=True,
        text=True,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )
    timer = threading.Timer(60, process.kill)
    timer.start()
    while process.poll() is None and not (out / "metrics.jsonl").exists():
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    errors = process.communicate()[1]
    timer.cancel()
    assert "KeyboardInterrupt" in errors
    assert any((out / "checkpoint").iterdir())
