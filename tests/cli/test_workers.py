"""Commands that several processes run together, started by torchrun or by the same variables."""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from taut.plans import Plan


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def together(program):
    """Starts a command on some workers without torchrun, the first of them hosting; (code, out, err) of each."""

    def start(workers: int, *args) -> list[tuple[int, str, str]]:
        meeting = {"WORLD_SIZE": workers, "LOCAL_WORLD_SIZE": workers, "MASTER_ADDR": "127.0.0.1"}
        meeting["MASTER_PORT"] = free_port()
        started = [
            subprocess.Popen(
                [program, *map(str, args)],
                env=os.environ | {k: str(v) for k, v in {**meeting, "RANK": rank, "LOCAL_RANK": rank}.items()},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(workers)
        ]
        ended = [one.communicate(timeout=120) for one in started]
        return [(one.returncode, out, err) for one, (out, err) in zip(started, ended, strict=True)]

    return start


def errors_of(texts) -> list[str]:
    return [line for text in texts for line in text.splitlines() if line.startswith("error:")]


def children_of(parent: int) -> list[str]:
    """The processes that a process has started and that are there."""
    children = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # gone meanwhile
            if int(status.read_text().rpartition(")")[2].split()[1]) == parent:
                children.append(status.parent.name)
    return children


def test_a_killed_worker_is_named_and_torchrun_goes_on_from_the_last_checkpoint(program, image_workspace):
    run = image_workspace / "run"
    options = "--standalone --local-addr 127.0.0.1 --no-python --nproc-per-node 2"
    torchrun = [sys.executable, "-m", "torch.distributed.run", *options.split()]
    training = ["train", image_workspace / "images.toml", "--plan", "dp", "--out", run, "--resume"]
    settings = ["--set", "train.piece=16", "--set", "train.epochs=20", "--set", "train.log_every=1"]
    command = [*torchrun, "--max-restarts", "1", program, *training, *settings]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        while not list((run / "checkpoint").glob("step-*.taut")):
            assert started.poll() is None, started.communicate()
            time.sleep(0.01)
        workers = children_of(started.pid)
        ranks = {Path(f"/proc/{pid}/environ").read_bytes().split(b"\0RANK=")[1][:1]: int(pid) for pid in workers}
        os.kill(ranks[b"1"], signal.SIGKILL)
        out, err = started.communicate(timeout=300)
    assert started.returncode == 0, err
    assert len(errors_of([err])) == 1, err
    assert "error: worker 1 is gone or silent: the " in err
    assert "going on from step" in err
    summary = json.loads((run / "summary.json").read_text())
    assert "workers: 2, plan dp" in out
    assert (summary["steps"], summary["workers"]["count"]) == (200, 2)
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 201))


def run_torchrun(program, restarts: int, log: Path, *args) -> subprocess.Popen:
    options = f"--standalone --local-addr 127.0.0.1 --max-restarts {restarts} --no-python --nproc-per-node 2"
    command = [sys.executable, "-m", "torch.distributed.run", *options.split(), program, *args]
    with log.open("w") as output:
        return subprocess.Popen(command, stdout=output, stderr=output)


def measured(run: Path) -> tuple[dict, list[dict]]:
    """What a run's summary and lines of metrics tell that no kill may change."""
    summary = json.loads((run / "summary.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for one in (summary, *lines):
        for field in ("run", "seconds", "train_seconds", "examples_per_second", "rebalance_seconds", "workers"):
            one.pop(field, None)
    return summary, lines


@pytest.mark.skipif("TAUT_WORKER_KILLS" not in os.environ, reason="set TAUT_WORKER_KILLS to how many kills (30)")
@pytest.mark.parametrize(
    ("folder", "config", "settings"),
    [
        ("workspace", "ctr.toml", ("train.epochs=40", "embedding.budget=150KiB", "train.checkpoint_every=5")),
        ("image_workspace", "images.toml", ("train.epochs=60", "train.piece=16", "train.checkpoint_every=5")),
    ],
)
def test_workers_that_are_killed_at_random_moments_change_nothing(program, request, folder, config, settings):
    workspace = request.getfixturevalue(folder)
    wanted = int(os.environ["TAUT_WORKER_KILLS"])
    sets = [word for setting in settings for word in ("--set", setting)]
    training = ("train", workspace / config, *sets, "--resume", "--out")
    whole, killed = workspace / "whole", workspace / "killed"
    log = workspace / "log"
    with run_torchrun(program, 0, log, *training, whole) as started:
        assert started.wait(timeout=600) == 0, log.read_text()
    rng, kills = random.Random(1607), 0
    while kills < wanted:
        shutil.rmtree(killed, ignore_errors=True)
        with run_torchrun(program, wanted, log, *training, killed) as started:
            while started.poll() is None:
                time.sleep(rng.uniform(0.2, 3.0))
                workers = children_of(started.pid)
                if kills < wanted and workers:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(rng.choice(workers)), signal.SIGKILL)
                        kills += 1
            assert started.returncode == 0, log.read_text()
        assert measured(killed) == measured(whole)


def test_links_are_measured_into_a_cluster_that_plans_are_made_for(together, taut, tmp_path):
    cluster = tmp_path / "cluster.toml"
    first, second = together(2, "calibrate", "--out", cluster, "--repetitions", 3, "--json")
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert second[1:] == ("", "")
    measured = json.loads(first[1])
    assert measured["workers"] == 2
    assert measured["macs_per_second"] > 1e8
    assert 1e6 < measured["levels"][0]["bytes_per_second"] < 1e12
    assert 0 < measured["levels"][0]["latency_seconds"] < 10
    plan = taut("plan", "lenet-c", "--cluster", cluster, "--batch", 64, "--json").json
    assert plan["seconds_per_step"] > 0


def test_tables_are_dealt_to_workers(together, taut, workspace):
    config, run = workspace / "ctr.toml", workspace / "run"
    settings = ("--set", "embedding.budget=150KiB", "--set", "train.epochs=1", "--threads", 1)
    (code, out, err), (_, quiet, _) = together(2, "train", config, "--out", run, *settings)
    assert (code, quiet) == (0, ""), err
    assert "workers: 2, plan dp" in out
    summary = json.loads((run / "summary.json").read_text())
    alone = taut("train", config, "--out", workspace / "alone", *settings, "--json").json
    assert summary["auc"] == pytest.approx(alone["auc"], abs=0.002)
    assert (summary["memory_bytes"], summary["budget_bytes"]) == (alone["memory_bytes"], alone["budget_bytes"])
    assert summary["workers"]["sent_bytes"]["tables"] > 0
    assert taut("eval", run, "--json").json["auc"] == pytest.approx(summary["auc"], abs=1e-6)


def test_what_workers_cannot_do_is_refused_in_one_line(together, workspace, tmp_path):
    command = ("train", workspace / "ctr.toml", "--out", tmp_path / "run", "--set", "embedding.method=qr")
    ended = together(2, *command)
    assert [code for code, _, _ in ended] == [2, 2]
    lines = errors_of(err for _, _, err in ended)
    assert len(lines) == 1
    assert "tables of method qr cannot be divided among processes" in lines[0]


def test_a_plan_is_made_for_a_cluster_and_kept_in_the_run(together, image_workspace):
    cluster = image_workspace / "cluster.toml"
    cluster.write_text("[[level]]\nbytes_per_second = 1e9\n")
    run = image_workspace / "run"
    training = ("train", image_workspace / "images.toml", "--out", run, "--set", "model.winner_rate=1.0")
    (code, out, err), _ = together(2, *training, "--plan", "auto", "--cluster", cluster, "--set", "train.epochs=1")
    assert code == 0, err
    assert "workers: 2, plan auto" in out
    plan = json.loads((run / "plan.json").read_text())
    assert (plan["plan"], plan["levels"]) == ("auto", 1)
    assert [layer["name"] for layer in plan["layers"]][:2] == ["conv1", "conv2"]
    workers = json.loads((run / "summary.json").read_text())["workers"]
    assert workers["words_per_step"] == plan["words_per_step"] > 0


def test_a_planned_file_is_run(together, taut, image_workspace):
    config = image_workspace / "images.toml"
    settings = ("--set", "model.winner_rate=1.0", "--set", "train.epochs=1")
    made = taut("plan", config, "--accelerators", 2, "--fix", "conv*=I,fc*=III", "--json").json
    splits = {layer["name"]: layer["splits"] for layer in made["layers"]}
    command, python = image_workspace / "command.json", image_workspace / "python.json"
    command.write_text(json.dumps(made))
    Plan({**made, "parameters": {}, "factors": [2]}).to_json(python)
    ran = image_workspace / "run0" / "plan.json"
    for number, file in enumerate((command, python, ran)):
        run = image_workspace / f"run{number}"
        (code, _, err), _ = together(2, "train", config, "--out", run, *settings, "--plan", file)
        assert code == 0, err
        kept = json.loads((run / "plan.json").read_text())
        assert {layer["name"]: layer["splits"] for layer in kept["layers"]} == splits
    again = taut("plan", config, "--accelerators", 2, "--evaluate", ran, "--json").json
    assert again["bytes_per_step"] == made["bytes_per_step"]


def test_a_plan_whose_layers_stay_whole_is_refused(together, taut, image_workspace):
    config = image_workspace / "images.toml"
    path = image_workspace / "whole.json"
    made = taut("plan", config, "--accelerators", 2, "--replicate", "--fix", "fc1=R", "--json").json
    path.write_text(json.dumps(made))
    settings = ("--set", "model.winner_rate=1.0", "--plan", path)
    ended = together(2, "train", config, "--out", image_workspace / "run", *settings)
    assert [code for code, _, _ in ended] == [2, 2]
    assert "layer fc1: stays whole (R) at a level" in errors_of(err for _, _, err in ended)[0]


def test_plans_are_for_workers(taut, workspace, tmp_path):
    arguments = ("train", workspace / "ctr.toml", "--out", tmp_path / "run", "--plan", "dp")
    alone = taut(*arguments, check=False)
    assert (alone.code, "this process is alone" in alone.err) == (2, True)
    meeting = {"RANK": "x", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    wrong = taut(*arguments, check=False, env=meeting)
    assert (wrong.code, "the variable RANK must be in 0..0" in wrong.err) == (2, True)
    assert taut("calibrate", "--out", tmp_path / "c.toml", check=False).code == 2
