"""Image networks on the command line: training, going on after a kill, and what users get wrong."""

import json
import random
import shutil
import signal
import struct
import subprocess

import pytest

SIDE = 10
LASTING = ("top1", "log_loss", "valid", "test", "sites", "pruned_share", "multiply_adds")


def write_digits(folder, name, count, seed):
    """Images with a bright corner, which is the label."""
    rng = random.Random(seed)
    labels = [rng.randrange(4) for _ in range(count)]
    pixels = bytearray()
    for label in labels:
        for place in range(SIDE * SIDE):
            low, left = place // SIDE < SIDE // 2, place % SIDE < SIDE // 2
            bright = low == (label < 2) and left == (label % 2 == 0)
            pixels.append(rng.randrange(100) + (90 if bright else 0))
    images = folder / f"{name}-images-idx3"
    images.write_bytes(struct.pack(">IIII", 0x803, count, SIDE, SIDE) + pixels)
    (folder / f"{name}-labels-idx1").write_bytes(struct.pack(">II", 0x801, count) + bytes(labels))
    return images


@pytest.fixture
def config(tmp_path):
    write_digits(tmp_path, "train", 400, 1)
    write_digits(tmp_path, "test", 100, 2)
    path = tmp_path / "images.toml"
    path.write_text("""
task = "image"
[data]
train = "train-images-idx3[:350]"
valid = "train-images-idx3[350:]"
test = "test-images-idx3"
[model]
kind = "cifar-c"
width = 0.2
winner_rate = 0.5
unit = "position"
[train]
epochs = 4
batch_size = 32
optimizer = "adam"
learning_rate = 0.003
checkpoint_every = 3
""")
    return path


def test_train_then_eval_gives_the_same_quality(taut, config, tmp_path):
    summary = taut("train", config, "--out", tmp_path / "run", "--json").json
    assert summary["top1"] > 0.8
    assert summary["task"] == "image"
    result = taut("eval", tmp_path / "run", "--json").json
    assert result["top1"] == summary["test"]["top1"]
    assert "top-1" in taut("eval", tmp_path / "run").out
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == summary["steps"]


def test_killed_runs_go_on_to_the_same_bits(program, taut, config, tmp_path):
    settings = ("--set", "train.epochs=8", "--set", "prune.share=0.5")
    whole = taut("train", config, "--out", tmp_path / "whole", *settings, "--json").json
    command = [program, "train", config, "--out", tmp_path / "killed", *settings, "--resume", "--json"]
    rng = random.Random(7)
    kills = 0
    while kills < 8:
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            process.communicate(timeout=rng.uniform(0.05, 1.0))
            shutil.rmtree(tmp_path / "killed")
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        kills += 1
    done = subprocess.run(list(map(str, command)), capture_output=True, check=True)
    assert {f: json.loads(done.stdout)[f] for f in LASTING} == {f: whole[f] for f in LASTING}


@pytest.mark.parametrize(
    ("setting", "part"),
    [
        ("model.winner_rate=0", "model.winner_rate must be in (0, 1], got 0"),
        ("model.winner_rate=1.5", "model.winner_rate must be in (0, 1], got 1.5"),
        ("model.winner_rate=[0.5, 0.5]", "one for each of 4 layers"),
        ("model.unit=neuron", "model.unit is neuron"),
        ("model.unit=pixel", "position"),
        ("model.kind=alexnet", "larger images than 10x10"),
        ("model.kind=lenett", "lenet"),
        ("prune.share=1.2", "prune.share must be in [0, 1), got 1.2"),
        ("quantize.mode=int4", "quantize.mode"),
        ("train.optimiser=sgd", "train.optimizer"),
        ("data.train=nothing-idx3", "nothing-idx3"),
        ("embedding.dim=8", "unknown key"),
    ],
)
def test_what_users_get_wrong_is_named_in_one_line(taut, config, tmp_path, setting, part):
    result = taut("train", config, "--out", tmp_path / "run", "--set", setting, check=False)
    assert result.code == 2, result.err
    assert part in result.err
    assert len(result.err.strip().splitlines()) == 1


def test_a_broken_file_names_file_and_record(taut, config, tmp_path):
    images = tmp_path / "train-images-idx3"
    images.write_bytes(images.read_bytes()[:-50])
    result = taut("train", config, "--out", tmp_path / "run", check=False)
    assert result.code == 2
    assert "train-images-idx3" in result.err
    assert "399" in result.err or "400" in result.err


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_there(taut, config, tmp_path):
    run = tmp_path / "run"
    taut("train", config, "--out", run)
    pieces = sorted((run / "checkpoint").glob("pieces-*"))
    data = bytearray(pieces[-1].read_bytes())
    data[len(data) // 2] ^= 0x40
    pieces[-1].write_bytes(data)
    result = taut("eval", run, check=False)
    assert result.code == 2
    assert pieces[-1].name in result.err


def test_a_budget_is_refused_where_there_are_no_tables(taut, config, tmp_path):
    result = taut("train", config, "--out", tmp_path / "run", "--memory-budget", "1MiB", check=False)
    assert result.code == 2
    assert "--memory-budget" in result.err
