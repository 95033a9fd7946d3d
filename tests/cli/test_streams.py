"""Standard streams, signals and what an output path may lead to: results that cannot be written are one line and exit
code 1, nothing lands in the wrong file, nothing is replaced that is no plain file."""

import json
import os
import signal
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest
from conftest import write_csv

# What prints a result, of every command.
COMMANDS = {
    "version": ("--version",),
    "help": ("--help",),
    "help of a command": ("train", "--help"),
    "info": ("info",),
    "info json": ("info", "--json"),
    "info options": ("info", "--options"),
    "info model": ("info", "lenet-c"),
    "info run": ("info", "run"),
    "info package": ("info", "model.taut"),
    "init": ("init", "train.csv"),
    "synth": ("synth", "made.csv", "--rows", "100"),
    "synth json": ("synth", "made.csv", "--rows", "100", "--json"),
    "predict": ("predict", "model.taut", "test.csv"),
    "predict json": ("predict", "model.taut", "test.csv", "--json"),
    "eval run": ("eval", "run"),
    "eval package": ("eval", "model.taut"),
    "plan": ("plan", "lenet-c", "--accelerators", "4", "--batch", "64"),
    "plan json": ("plan", "lenet-c", "--accelerators", "4", "--batch", "64", "--json"),
    "simulate": ("simulate", "lenet-c", "--accelerators", "4", "--batch", "64"),
    "figures": ("figures", "--out", "figures.html", "--json"),
    "train": ("train", "ctr.toml", "--out", "again", "--set", "train.epochs=1"),
    "export": ("export", "run", "other.taut"),
    "dump": ("dump", "run", "rows.csv"),
    "sweep": ("sweep", "ctr.toml", "--out", "sweep", "--methods", "hash", "--budgets", "1/2", "--seeds", "1"),
}


def errors(text):
    return [line for line in text.splitlines() if line.startswith("error:")]


def run(program, folder, args, **more):
    return subprocess.run([program, *args], cwd=folder, stderr=subprocess.PIPE, text=True, timeout=300, **more)


@pytest.mark.parametrize("args", COMMANDS.values(), ids=COMMANDS.keys())
@pytest.mark.parametrize("how", ["full", "closed"])
def test_a_result_that_cannot_be_written_is_one_line_and_exit_code_1(program, trained, how, args):
    subprocess.run(["rm", "-rf", trained / "again", trained / "sweep"], check=True)
    if how == "full":
        with Path("/dev/full").open("w") as full:
            done = run(program, trained, args, stdout=full)
    else:
        done = run(program, trained, args, preexec_fn=lambda: os.close(1))
    assert done.returncode == 1, done.stderr
    assert len(errors(done.stderr)) == 1 and "standard output" in errors(done.stderr)[0], done.stderr


def test_a_reader_that_goes_away_is_an_error_and_no_signal(program, trained):
    read, write = os.pipe()
    os.close(read)
    done = run(program, trained, ("predict", "model.taut", "test.csv"), stdout=write)
    os.close(write)
    assert done.returncode == 1 and len(errors(done.stderr)) == 1, done.stderr


def test_log_lines_do_not_land_in_files_when_standard_error_is_closed(program, trained):
    subprocess.run(["rm", "-rf", trained / "quiet"], check=True)
    done = subprocess.run(
        [program, "train", "ctr.toml", "--out", "quiet", "--json"],
        cwd=trained,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: (os.close(0), os.close(2)),
        timeout=300,
    )
    assert done.returncode == 0
    json.loads(done.stdout)
    for line in (trained / "quiet/metrics.jsonl").read_text().splitlines():
        assert json.loads(line)["step"] > 0
    for name in ("config.toml", "summary.json", "network.json"):
        assert "info" not in (trained / "quiet" / name).read_text().split("\n")[0]


def test_output_goes_through_links_and_pipes(taut, trained):
    out = trained / "out"
    out.mkdir()
    (out / "kept.csv").write_text("old")
    (out / "link.csv").symlink_to("kept.csv")
    taut("predict", trained / "model.taut", trained / "test.csv", "--out", out / "link.csv")
    assert (out / "link.csv").is_symlink() and (out / "kept.csv").read_text().startswith("row,score")
    os.mkfifo(out / "pipe.csv")
    got = []
    reader = threading.Thread(target=lambda: got.append((out / "pipe.csv").read_text()))
    reader.start()
    taut("predict", trained / "model.taut", trained / "test.csv", "--out", out / "pipe.csv")
    reader.join()
    assert got == [(out / "kept.csv").read_text()]
    assert stat.S_ISFIFO((out / "pipe.csv").stat().st_mode)
    assert sorted(path.name for path in out.iterdir()) == ["kept.csv", "link.csv", "pipe.csv"]


def test_data_does_not_come_out_of_a_pipe(taut, trained, tmp_path):
    """Each command says so at once: nobody writes into this one, whatever opened it would wait."""
    rows = tmp_path / "rows.csv"
    os.mkfifo(rows)
    commands = [
        ("info", rows),
        ("init", rows),
        ("train", trained / "ctr.toml", "--out", tmp_path / "out", "--set", f"data.train={rows}"),
        ("train", trained / "ctr.toml", "--out", tmp_path / "out", "--set", f"data.valid={rows}"),
        ("eval", trained / "run", "--data", rows),
        ("eval", trained / "model.taut", "--data", rows),
        ("predict", trained / "model.taut", rows),
        ("predict", trained / "model.taut", rows, "--set", "data.format=csv"),
    ]
    for command in commands:
        done = taut(*command, check=False, timeout=60)
        assert done.code in (1, 2), command
        assert "expected a file, found a pipe or device" in done.err, (command, done.err)


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_a_config_may_come_out_of_a_pipe(program, trained, tmp_path, command):
    """Read once, its relative paths taken from the current folder."""
    more = {
        "train": "--memory-budget 32KiB",
        "sweep": "--methods hash --budgets 1/2 --seeds 1",
    }
    line = f'"$0" {command} <(cat ctr.toml) --out "$1" --set train.epochs=1 {more[command]} --json'
    done = run("bash", trained, ("-c", line, program, tmp_path / "out"), stdout=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    assert "auc" in done.stdout


def test_what_a_killed_command_left_goes_with_the_next_one(program, taut, tmp_path):
    process = subprocess.Popen(
        [program, "synth", "big.csv", "--rows", "100000000"], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    while not list(tmp_path.iterdir()):
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert [path.name for path in tmp_path.iterdir()] == [f"big.csv.taut.tmp.{process.pid}"]
    taut("synth", tmp_path / "small.csv", "--rows", "100")
    assert [path.name for path in tmp_path.iterdir()] == ["small.csv"]


def start_training(program, folder, out, **more):
    """A run that takes minutes, once it has written a line of metrics."""
    process = subprocess.Popen(
        [program, "train", "ctr.toml", "--out", out, "--set", "train.epochs=5000"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )
    while not (folder / out / "metrics.jsonl").exists() or not (folder / out / "metrics.jsonl").stat().st_size:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_signals_write_a_checkpoint_first(program, taut, trained, number):
    out = f"stopped{int(number)}"
    process = start_training(program, trained, out)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2 and "--resume to go on" in errors(said)[0], said
    step = int(errors(said)[0].split("stopped at step ")[1].split(",")[0])
    assert f"step-{step:012}.taut" in [path.name for path in (trained / out / "checkpoint").iterdir()]


def test_nohup_stays_deaf_to_the_terminal_that_goes(program, trained):
    process = start_training(program, trained, "nohup", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=60)


def test_two_runs_in_one_folder_at_once_are_refused_until_the_first_is_gone(program, taut, trained):
    process = start_training(program, trained, "shared")
    command = ("train", trained / "ctr.toml", "--out", trained / "shared", "--resume")
    second = taut(*command, check=False)
    assert second.code == 2 and "another process is at work" in second.err and "shared" in second.err
    process.kill()
    process.communicate()
    third = taut(*command, "--set", "train.epochs=1", check=False)
    assert "another process" not in third.err


def test_a_package_that_is_cut_while_it_is_mapped_is_one_line(program, trained, tmp_path):
    package = tmp_path / "cut.taut"
    package.write_bytes((trained / "model.taut").read_bytes())
    write_csv(tmp_path / "long.csv", 400000, 9)
    process = subprocess.Popen(
        [program, "predict", package, tmp_path / "long.csv", "--out", tmp_path / "scores.csv", "--threads", "1"],
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(tmp_path.glob("scores.csv.*")):
        assert process.poll() is None
    os.truncate(package, 0)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1, said
    assert len(errors(said)) == 1 and "cut short while it was read" in said and "cut.taut" in said
    assert not (tmp_path / "scores.csv").exists()
