"""Image networks on the command line: training, and what users get wrong."""

import json

import pytest


@pytest.fixture
def config(image_workspace):
    return image_workspace / "images.toml"


def test_train_then_eval_gives_the_same_quality(taut, config, tmp_path):
    summary = taut("train", config, "--out", tmp_path / "run", "--json").json
    assert summary["top1"] > 0.8
    assert summary["task"] == "image"
    result = taut("eval", tmp_path / "run", "--json").json
    assert result["top1"] == summary["test"]["top1"]
    assert "top-1" in taut("eval", tmp_path / "run").out
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == summary["steps"]


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


def test_a_sweep_is_refused_where_there_are_no_tables(taut, config, tmp_path):
    result = taut("sweep", config, "--out", tmp_path / "sweep", check=False)
    assert (result.code, "this config has none" in result.err) == (2, True)
    assert not (tmp_path / "sweep").exists()


def test_a_run_has_no_rows_to_dump(taut, config, tmp_path):
    taut("train", config, "--out", tmp_path / "run", "--set", "train.epochs=1")
    result = taut("dump", tmp_path / "run", tmp_path / "rows.csv", check=False)
    assert (result.code, "dump is for runs of recommenders" in result.err) == (2, True)
    assert not (tmp_path / "rows.csv").exists()


def test_winners_that_never_begin_are_refused(taut, config, tmp_path):
    settings = ("--set", "train.epochs=1", "--set", "model.winner_from=1")
    result = taut("train", config, "--out", tmp_path / "run", *settings, check=False)
    assert result.code == 2
    assert "model.winner_from must be below train.epochs (1)" in result.err
