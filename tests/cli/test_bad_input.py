"""What users get wrong: one line that says what, where and how to mend it; exit code 2; nothing half written."""

import resource
import subprocess

import pytest
from conftest import ROOT


def fails(taut, *args, env=None):
    """The one line of an error that the user can mend."""
    result = taut(*args, check=False, env=env)
    lines = [line for line in result.err.splitlines() if not line.startswith(("info:", "warning:"))]
    assert result.code == 2, result.err
    assert len(lines) == 1 and lines[0].startswith("error: "), result.err
    assert result.out == ""
    return lines[0]


def train_with(taut, workspace, *settings):
    sets = [word for setting in settings for word in ("--set", setting)]
    message = fails(taut, "train", workspace / "ctr.toml", "--out", workspace / "run", *sets)
    assert not (workspace / "run/checkpoint").exists()
    assert not (workspace / "run/summary.json").exists()
    return message


def test_missing_file(taut, workspace):
    assert "nowhere.csv" in train_with(taut, workspace, f"data.train={workspace}/nowhere.csv")


def test_directory_instead_of_file(taut, workspace):
    (workspace / "folder.csv").mkdir()
    assert "folder.csv" in train_with(taut, workspace, f"data.train={workspace}/folder.csv")


def test_broken_parquet(taut, workspace):
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"label": [0, 1] * 500, "d_x": [0.5] * 1000, "c_user": ["a"] * 1000}
    columns["c_item"] = list(range(1000))
    whole = workspace / "whole.parquet"
    pq.write_table(pa.table(columns), whole)
    data = whole.read_bytes()
    (workspace / "cut.parquet").write_bytes(data[: len(data) // 2])
    (workspace / "magic.parquet").write_bytes(b"NOPE" + data[4:-4] + b"NOPE")
    for name in ("cut.parquet", "magic.parquet"):
        assert name in train_with(taut, workspace, f"data.train={workspace}/{name}")


BAD_ROWS = {
    "too few fields": ("1,0.5,u1\n", None),
    "letter in a number": ("1,0.5x,u1,2\n", "d_x"),
    "label outside 0 and 1": ("2,0.5,u1,2\n", "label"),
    "nan in a dense column": ("1,nan,u1,2\n", "d_x"),
}


@pytest.mark.parametrize("row, column", BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_bad_row_is_named_by_file_row_and_column(taut, workspace, row, column):
    bad = workspace / "bad.csv"
    bad.write_text("label,d_x,c_user,c_item\n0,0.1,u1,1\n1,0.2,u2,2\n" + row + "0,0.1,u1,1\n")
    message = train_with(taut, workspace, f"data.train={bad}")
    assert "bad.csv" in message and "row 3" in message
    assert column is None or column in message
    result = taut(
        *("train", workspace / "ctr.toml", "--out", workspace / "skipped", "--json"),
        *("--set", f"data.train={bad}", "--set", "data.on_bad_row=skip"),
    )
    assert result.json["bad_rows"] == 1
    assert "row 3" in result.err


def test_empty_file(taut, workspace):
    (workspace / "empty.csv").write_text("")
    assert "empty.csv" in train_with(taut, workspace, f"data.train={workspace}/empty.csv")


def test_unknown_column_suggests_the_nearest(taut, workspace):
    message = train_with(taut, workspace, 'data.categorical=["c_usr"]')
    assert "c_usr" in message and "c_user" in message


def test_budget_too_small(taut, workspace):
    message = train_with(taut, workspace, "embedding.budget=100B")
    assert "budget" in message


def test_winner_rates_that_are_none(taut, workspace):
    for rate in ("0", "1.5", "-0.3"):
        assert f"model.winner_rate must be in (0, 1], got {rate}" in train_with(
            taut, workspace, f"model.winner_rate={rate}"
        )


def test_unknown_names_suggest_the_nearest(taut, workspace):
    config = workspace / "ctr.toml"
    assert "did you mean train?" in fails(taut, "trian", config)
    for command in ("info", "plan", "simulate"):
        assert "did you mean gpt2-small?" in fails(taut, command, "gpt-2-small")
    assert "--memory-budget" in fails(taut, "train", config, "--out", "x", "--memory-budgt", "1/10")
    assert "did you mean train.epochs?" in train_with(taut, workspace, "train.epoch=3")
    assert "did you mean elastic?" in train_with(taut, workspace, "embedding.method=elastc")


def test_no_command_says_which_there_are(taut):
    for arguments in ((), ("--threads",)):
        message = fails(taut, *arguments)
        assert "taut info|" in message
        assert "|train" in message


def test_toml_of_another_kind_is_named(taut, workspace):
    cluster, model = ROOT / "examples/cluster.toml", ROOT / "examples/model.toml"
    for command in ("plan", "simulate", "info", "bench"):
        assert "this is a cluster" in fails(taut, command, cluster)
    for command in ("train", "sweep"):
        assert "this is a model" in fails(taut, command, model, "--out", workspace / "x")
        assert "this is a cluster" in fails(taut, command, cluster, "--out", workspace / "x")
    assert "this is a model" in fails(taut, "plan", "lenet-c", "--cluster", model)
    assert "this is a training config" in fails(taut, "plan", "lenet-c", "--cluster", workspace / "ctr.toml")
    assert not (workspace / "x").exists()


@pytest.mark.parametrize(
    "command, message",
    [
        ("plan vgg-a --accelerators -1", "Value -1 not in range 1 to 65536"),
        ("plan vgg-a --accelerators --batch 0", "Value --batch not in range 1 to 65536"),
        ("plan vgg-a --batch 99999999999999999999", "got 99999999999999999999"),
        ("plan vgg-a --threads 20000", "Value 20000 not in range 0 to 1024"),
        ("plan vgg-a --seed -1", "must be a whole number from 0 to 18446744073709551615, got -1"),
        ("info --seed 18446744073709551616", "got 18446744073709551616"),
        ("synth x.csv --rows 99999999999999999999", "to 9223372036854775807, got 99999999999999999999"),
        ("synth x.csv --rows -99999999999999999999", "from -9223372036854775808 to"),
        ("synth x.csv --ids 5,99999999999999999999", "got 99999999999999999999"),
    ],
)
def test_numbers_out_of_bounds_are_repeated_as_they_were_typed(taut, command, message):
    refused = taut(*command.split(), check=False)
    assert refused.code == 2 and message in refused.err
    assert len(refused.err) < 200 and refused.err.count("\n") == 1


def test_the_largest_seed_is_one(taut):
    assert taut("plan", "lenet-c", "--seed", 2**64 - 1, "--threads", 1024, "--json").json["model"] == "lenet-c"


def test_missing_config_and_run(taut, workspace):
    assert "none.toml" in fails(taut, "train", workspace / "none.toml", "--out", workspace / "x")
    assert "no run there" in fails(taut, "eval", workspace)
    assert "none.taut" in fails(taut, "predict", workspace / "none.taut", workspace / "test.csv")


def test_disk_full_on_checkpoint_keeps_the_earlier_one(program, taut, workspace):
    """Files may not grow past a limit, as on a full disk: the first checkpoint is written before."""
    config, run = workspace / "ctr.toml", workspace / "run"
    settings = ("--set", "train.checkpoint_every=10")
    taut("train", config, "--out", run, *settings)
    kept = {path: path.read_bytes() for path in (run / "checkpoint").iterdir()}
    limit = max(map(len, kept.values())) // 2

    def limit_file_size():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    full = workspace / "full"
    done = subprocess.run(
        [program, "train", config, "--out", full, *settings],
        capture_output=True,
        text=True,
        preexec_fn=limit_file_size,
    )
    assert done.returncode == 2, done.stderr
    error = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(error) == 1 and "checkpoint/pieces-" in error[0], done.stderr
    for whole in (full / "checkpoint").iterdir():
        taut("info", whole)  # verifies every checksum
    taut("train", config, "--out", full, "--resume", *settings)
    assert {path: path.read_bytes() for path in (run / "checkpoint").iterdir()} == kept


def test_checkpoint_of_another_version_and_with_a_flipped_bit(taut, workspace):
    config, run = workspace / "ctr.toml", workspace / "run"
    taut("train", config, "--out", run)
    newest = sorted((run / "checkpoint").iterdir())[-1]
    good = newest.read_bytes()
    other_version = good[:16] + bytes([good[16] + 1]) + good[17:]
    newest.write_bytes(other_version)
    assert f"version {good[16] + 1}" in fails(taut, "train", config, "--out", run, "--resume")
    for position in (20, len(good) // 3, len(good) // 2, len(good) - 10):
        flipped = bytearray(good)
        flipped[position] ^= 16
        newest.write_bytes(flipped)
        assert newest.name in fails(taut, "train", config, "--out", run, "--resume")
        assert newest.name in fails(taut, "eval", run)
    newest.write_bytes(good[: len(good) // 2])
    assert newest.name in fails(taut, "eval", run)


def test_flipped_bit_in_a_package(taut, workspace):
    run, package = workspace / "run", workspace / "model.taut"
    taut("train", workspace / "ctr.toml", "--out", run)
    taut("export", run, package)
    good = package.read_bytes()
    for position in (10, len(good) // 2, len(good) - 10):
        flipped = bytearray(good)
        flipped[position] ^= 1
        package.write_bytes(flipped)
        assert "model.taut" in fails(taut, "predict", package, workspace / "test.csv", "--json")


def test_unset_data_variable_is_named(taut, workspace):
    settings = ("--set", "data.train=${TAUT_NO_SUCH_VARIABLE}/x.csv")
    message = fails(taut, "train", workspace / "ctr.toml", "--out", workspace / "x", *settings)
    assert "TAUT_NO_SUCH_VARIABLE" in message
