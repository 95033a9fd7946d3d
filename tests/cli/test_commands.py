"""Every command once, as a user would call it."""

import csv
import json

import pyarrow
import pytest
from pyarrow import parquet

import digits


def test_train_writes_everything_that_the_contract_names(taut, workspace):
    run = workspace / "run"
    result = taut("train", workspace / "ctr.toml", "--out", run, "--json").json
    summary = json.loads((run / "summary.json").read_text())
    assert summary == result
    for field in (
        "auc log_loss normalized_entropy examples_per_second memory_bytes full_bytes compression method seed threads"
    ).split():
        assert field in summary
    assert summary["auc"] > 0.7
    assert summary["memory_bytes"] <= 32 * 1024
    assert (run / "config.toml").exists()
    assert list((run / "checkpoint").iterdir())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for field in "step examples seconds loss auc memory_bytes resident_rows rebalance_seconds".split():
        assert all(field in line for line in lines), field


def test_the_resolved_config_trains_to_the_same_result(taut, workspace):
    first = taut("train", workspace / "ctr.toml", "--out", workspace / "a", "--json").json
    again = taut("train", workspace / "a/config.toml", "--out", workspace / "b", "--json").json
    assert first["auc"] == again["auc"]
    assert first["log_loss"] == again["log_loss"]


def test_options_lie_over_the_config(taut, workspace):
    result = taut(
        *("train", workspace / "ctr.toml", "--out", workspace / "run", "--json"),
        *("--memory-budget", "1/2", "--seed", 5, "--set", "embedding.method=hash", "--threads", 1),
    ).json
    assert (result["method"], result["seed"], result["threads"]) == ("hash", 5, 1)
    assert result["budget_bytes"] == result["full_bytes"] // 2


def test_eval_export_and_predict_agree(taut, workspace):
    run, package = workspace / "run", workspace / "model.taut"
    trained = taut("train", workspace / "ctr.toml", "--out", run, "--json").json
    evaluated = taut("eval", run, "--json").json
    assert evaluated["auc"] == trained["auc"]
    assert evaluated["log_loss"] == trained["log_loss"]
    exported = taut("export", run, package, "--json").json
    assert exported["bytes"] == package.stat().st_size
    assert taut("eval", package, "--json").json["auc"] == pytest.approx(trained["auc"], abs=1e-6)

    scores = workspace / "scores.csv"
    predicted = taut("predict", package, workspace / "test.csv", "--out", scores, "--json").json
    assert predicted["rows"] == 1000
    assert predicted["latency"]["p50_microseconds"] <= predicted["latency"]["p99_microseconds"]
    with scores.open() as file:
        rows = list(csv.DictReader(file))
    with (workspace / "test.csv").open() as file:
        labels = [int(row["label"]) for row in csv.DictReader(file)]
    pairs = sorted((float(row["score"]), label) for row, label in zip(rows, labels, strict=True))
    seen_negative, won = 0, 0
    for _, label in pairs:
        won += seen_negative if label else 0
        seen_negative += 1 - label
    auc = won / (seen_negative * (len(labels) - seen_negative))
    assert auc == pytest.approx(trained["auc"], abs=2e-3)  # ties are counted in full here


def test_predict_needs_no_label_and_writes_parquet(taut, workspace):
    import pyarrow.parquet

    run, package = workspace / "run", workspace / "model.taut"
    taut("train", workspace / "ctr.toml", "--out", run)
    taut("export", run, package)
    unlabelled = workspace / "unlabelled.csv"
    with (workspace / "test.csv").open() as file:
        unlabelled.write_text("".join(line.split(",", 1)[1] for line in file))
    with_label = taut("predict", package, workspace / "test.csv").out
    assert taut("predict", package, unlabelled).out == with_label
    taut("predict", package, unlabelled, "--out", workspace / "scores.parquet")
    table = pyarrow.parquet.read_table(workspace / "scores.parquet")
    assert table.num_rows == 1000
    first = float(with_label.splitlines()[1].split(",")[1])
    assert table["score"][0].as_py() == pytest.approx(first, abs=1e-6)


def test_predict_does_not_load_libtorch(program):
    import subprocess

    linked = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
    assert "libtorch" not in linked


def test_info_tells_about_build_run_checkpoint_and_package(taut, workspace):
    assert "elastic" in taut("info", "--json").json["methods"]
    run, package = workspace / "run", workspace / "model.taut"
    taut("train", workspace / "ctr.toml", "--out", run)
    taut("export", run, package)
    assert taut("info", run, "--json").json["summary"]["method"] == "elastic"
    checkpoint = next((run / "checkpoint").glob("step-*.taut"))
    held = taut("info", checkpoint, "--json").json
    assert held["kind"] == "ckpt" and "embedding/options" in held["sections"]
    info = taut("info", package, "--json").json
    assert info["metadata"]["input"]["categorical"] == ["c_user", "c_item"]


def test_sweep_compares_and_is_resumable(taut, workspace):
    args = ("sweep", workspace / "ctr.toml", "--out", workspace / "sweep", "--methods", "full,elastic")
    args += ("--budgets", "24KiB,32KiB", "--seeds", 2, "--json")
    sweep = taut(*args).json
    assert [(row["method"], row["seeds"]) for row in sweep["rows"]] == [
        ("full", 2),
        ("elastic", 2),
        ("elastic", 2),
    ]
    stamp = (workspace / "sweep/full_1_seed1/summary.json").stat().st_mtime_ns
    assert taut(*args).json["rows"] == sweep["rows"]
    assert (workspace / "sweep/full_1_seed1/summary.json").stat().st_mtime_ns == stamp
    assert (workspace / "sweep/sweep.html").exists()


def test_init_writes_a_config_that_trains(taut, workspace):
    written = taut("init", workspace / "train.csv").out
    (workspace / "made.toml").write_text(written)
    more = ("--set", "train.epochs=8", "--set", "train.batch_size=128", "--memory-budget", "32KiB")
    made = taut("train", workspace / "made.toml", "--out", workspace / "run", "--json", *more).json
    assert made["auc"] > 0.6


def test_same_bits_for_any_number_of_threads(taut, workspace):
    results = []
    for threads in (1, 2, 3):
        out = workspace / f"run{threads}"
        results.append(taut("train", workspace / "ctr.toml", "--out", out, "--threads", threads, "--json").json)
    for field in ("auc", "log_loss", "normalized_entropy", "memory_bytes", "resident_rows"):
        assert len({result[field] for result in results}) == 1, field


def test_dump_and_initial_carry_rows_over(taut, workspace):
    settings = (
        "--set",
        "embedding.value_type=fp32",
        "--set",
        "embedding.keys=exact",
        "--set",
        "embedding.budget=64KiB",
    )
    run, rows, package = workspace / "run", workspace / "rows.parquet", workspace / "model.taut"
    summary = taut("train", workspace / "ctr.toml", "--out", run, *settings, "--json").json
    dumped = taut("dump", run, rows, "--json").json
    assert dumped["rows"] == summary["resident_rows"] and dumped["ids"] == 350
    table = parquet.read_table(rows)
    assert table.column_names == ["table", "id", "width", "mask", "importance", "vector"]
    assert set(table["table"].to_pylist()) == {"c_user", "c_item"}
    assert all(len(vector) == 16 for vector in table["vector"].to_pylist())
    taut("export", run, package)
    assert taut("dump", package, workspace / "again.parquet", "--data", workspace / "train.csv", "--json").json[
        "rows"
    ] == len(table)
    assert parquet.read_table(workspace / "again.parquet")["vector"] == table["vector"]

    # The rows go on in another run: untouched by an epoch of next to no learning, they are the same.
    still = ("--set", "embedding.learning_rate=1e-30", "--set", "train.epochs=1", "--set", f"embedding.initial={rows}")
    taut("train", workspace / "ctr.toml", "--out", workspace / "next", *settings, *still)
    taut("dump", workspace / "next", workspace / "next.parquet")
    after = parquet.read_table(workspace / "next.parquet")
    assert after["id"] == table["id"]
    for width, old, new in zip(
        table["width"].to_pylist(), table["vector"].to_pylist(), after["vector"].to_pylist(), strict=True
    ):
        shared = width * len(old) // 8
        assert old[:shared] == new[:shared]


def test_initial_rows_that_do_not_fit_are_named(taut, workspace):
    rows = workspace / "rows.parquet"

    def message(table, *settings):
        parquet.write_table(table, rows)
        done = taut(
            "train",
            workspace / "ctr.toml",
            "--out",
            workspace / "x",
            "--set",
            f"embedding.initial={rows}",
            *settings,
            check=False,
        )
        assert done.code == 2
        return next(line for line in done.err.splitlines() if line.startswith("error: "))

    vector = pyarrow.array([[0.5] * 8], pyarrow.list_(pyarrow.float32()))
    good = {"table": ["c_item"], "id": [7], "vector": pyarrow.array([[0.5] * 16], pyarrow.list_(pyarrow.float32()))}
    found = message(pyarrow.table({**good, "vector": vector}))
    assert "rows.parquet" in found and '"vector"' in found and "8 values" in found and "dim 16" in found
    found = message(pyarrow.table({**good, "id": ["7"]}))
    assert "rows.parquet" in found and '"id"' in found and "string" in found
    found = message(pyarrow.table({**good, "table": ["c_itme"]}))
    assert "c_itme" in found and "c_item" in found
    found = message(pyarrow.table({name: good[name] for name in ("table", "id")}))
    assert 'no column "vector"' in found and "rows.parquet" in found
    found = message(pyarrow.table(good), "--set", "embedding.method=hash")
    assert "method hash" in found


def test_dump_of_a_method_without_rows_is_named(taut, workspace):
    run = workspace / "run"
    taut("train", workspace / "ctr.toml", "--out", run, "--set", "embedding.method=qr")
    done = taut("dump", run, workspace / "rows.parquet", check=False)
    assert "method qr has no row of its own" in done.err
    assert not (workspace / "rows.parquet").exists()


def test_info_says_what_a_set_of_images_holds(taut, tmp_path):
    images = digits.write_digits(tmp_path)["test"]
    info = taut("info", f"{images}[0:100]", "--json").json
    assert (info["kind"], info["count"], info["height"], info["width"], info["channels"]) == ("images", 100, 8, 8, 1)
    assert sum(info["images_per_class"]) == 100
    assert "359 images of 8 x 8, grey, 10 classes" in taut("info", images).out
