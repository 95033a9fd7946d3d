"""Data as people have it: rows that are bad, scores that are no numbers, files without labels, classes that
are missing, files that change."""

import json
import random
import shutil

import pyarrow
import pytest
from conftest import write_csv
from pyarrow import csv as arrow_csv
from pyarrow import parquet

FAST = ("--set", "train.epochs=1")


def errors(result):
    return [line for line in result.err.splitlines() if line.startswith("error: ")]


@pytest.fixture
def package(taut, workspace):
    """A package of the workspace's config; its run lies beside it."""
    taut("train", workspace / "ctr.toml", "--out", workspace / "run", *FAST)
    taut("export", workspace / "run", workspace / "model.taut")
    return workspace / "model.taut"


def scores(text):
    return [line.split(",") for line in text.splitlines()[1:]]


def test_predict_keeps_the_inputs_row_numbers_around_bad_rows(taut, workspace, package):
    lines = (workspace / "test.csv").read_text().splitlines()[:5]
    good = workspace / "good.csv"
    good.write_text("\n".join(lines) + "\n")
    bad = workspace / "bad.csv"
    bad.write_text("\n".join([*lines[:2], "1,oops,u1,2", lines[2], "1,0.5", *lines[3:]]) + "\n")
    failed = taut("predict", package, bad, check=False)
    assert failed.code == 2 and "bad.csv, row 2" in failed.err
    done = taut("predict", package, bad, "--set", "data.on_bad_row=skip")
    rows, wanted = scores(done.out), scores(taut("predict", package, good).out)
    assert [row for row, _ in rows] == [str(i) for i in range(6)]
    assert [score for _, score in rows] == [wanted[0][1], "", wanted[1][1], "", wanted[2][1], wanted[3][1]]
    assert "2 bad rows left out" in done.err and "bad.csv, row 2" in done.err
    taut("predict", package, bad, "--set", "data.on_bad_row=skip", "--out", workspace / "s.parquet")
    column = parquet.read_table(workspace / "s.parquet")["score"]
    assert column.null_count == 2 and not column[1].is_valid
    told = taut("predict", package, bad, "--set", "data.on_bad_row=skip", "--json").json
    assert (told["rows"], told["bad_rows"], told["unscored_rows"]) == (6, 2, 0)


def test_predict_reads_the_same_rows_in_any_format(taut, workspace, package):
    wanted = taut("predict", package, workspace / "test.csv").out
    table = arrow_csv.read_csv(workspace / "test.csv").drop_columns(["label"])
    parquet.write_table(table, workspace / "p.parquet")
    arrow_csv.write_csv(table, workspace / "p.tsv", arrow_csv.WriteOptions(delimiter="\t"))
    assert taut("predict", package, workspace / "p.parquet").out == wanted
    assert taut("predict", package, workspace / "p.tsv").out == wanted
    shutil.copy(workspace / "p.tsv", workspace / "named.data")
    assert taut("predict", package, workspace / "named.data", "--set", "data.format=tsv").out == wanted
    parquet.write_table(arrow_csv.read_csv(workspace / "test.csv"), workspace / "t.parquet")
    for source in (package, workspace / "run"):
        by_csv = taut("eval", source, "--json").json
        by_parquet = taut("eval", source, "--data", workspace / "t.parquet", "--json").json
        assert by_parquet["auc"] == by_csv["auc"]


def criteo_lines(rows, seed, label=True):
    rng = random.Random(seed)
    for _ in range(rows):
        item = rng.randrange(20)
        fields = [str(int(rng.random() < (0.9 if item % 2 else 0.1)))] if label else []
        fields += [str(rng.randrange(9)) for _ in range(13)]
        yield "\t".join([*fields, *(f"c{item}{i}" for i in range(26))])


def test_predict_takes_criteo_lines_without_a_label(taut, tmp_path):
    for name, seed in (("train.txt", 1), ("test.txt", 2)):
        (tmp_path / name).write_text("\n".join(criteo_lines(1500, seed)) + "\n")
    config = taut("init", tmp_path / "train.txt", "--set", "data.format=criteo").out
    assert '"I13"' in config.split("dense =")[1].split("]")[0]
    (tmp_path / "c.toml").write_text(config)
    run, package = tmp_path / "run", tmp_path / "m.taut"
    taut("train", tmp_path / "c.toml", "--out", run, *FAST)
    taut("export", run, package)
    labelled = tmp_path / "labelled.tsv"
    labelled.write_text("\n".join(criteo_lines(9, 3)) + "\n")
    bare = tmp_path / "bare.tsv"
    bare.write_text("".join(line.split("\t", 1)[1] for line in labelled.open()))
    assert taut("predict", package, bare).out == taut("predict", package, labelled).out


def test_a_score_that_is_no_number_is_named_and_left_out(taut, workspace):
    lines = (workspace / "test.csv").read_text().splitlines()
    lines[17] = "1,3.4e38,u1,2"
    (workspace / "test.csv").write_text("\n".join(lines) + "\n")
    small = (workspace / "train.csv").read_text().splitlines()
    scaled = [small[0]]
    for line in small[1:]:
        label, dense, *rest = line.split(",")
        scaled.append(",".join([label, str(float(dense) / 1e4), *rest]))
    (workspace / "train.csv").write_text("\n".join(scaled) + "\n")
    run, package = workspace / "run", workspace / "model.taut"
    done = taut("train", workspace / "ctr.toml", "--out", run, *FAST, "--json", timeout=120)
    assert "1 score is not a number" in done.err and "test.csv, row 17" in done.err
    assert done.json["test"]["examples"] == 999 and done.json["test"]["unscored_rows"] == 1
    assert done.json["test"]["log_loss"] > 0
    again = taut("eval", run, "--json", timeout=60)
    assert again.json["auc"] == done.json["auc"] and "row 17" in again.err
    taut("export", run, package)
    by_package = taut("eval", package, "--json", timeout=60)
    assert by_package.json["log_loss"] == pytest.approx(done.json["log_loss"], abs=1e-5)
    assert by_package.json["unscored_rows"] == 1
    predicted = taut("predict", package, workspace / "test.csv")
    assert scores(predicted.out)[16] == ["16", ""] and "row 17" in predicted.err


def test_one_class_in_valid_is_told_and_the_log_loss_decides(taut, workspace):
    lines = (workspace / "valid.csv").read_text().splitlines()
    (workspace / "valid.csv").write_text("\n".join(line for line in lines if not line.startswith("1,")) + "\n")
    settings = ("--set", "train.early_stop=1", "--set", "train.epochs=3")
    run = workspace / "run"
    done = taut("train", workspace / "ctr.toml", "--out", run, *settings, "--json")
    assert "data.valid: every label is 0, so there will be no AUC" in done.err
    assert done.json["valid"]["auc"] is None and "one class" in done.json["valid"]["note"]
    assert done.json["test"]["auc"] > 0.5
    assert (run / "checkpoint/best.taut").exists()
    said = taut("eval", run, "--data", workspace / "valid.csv").out
    assert "null" not in said and "the AUC is not defined" in said


@pytest.mark.parametrize("part", ["test", "valid"])
@pytest.mark.parametrize(
    "spoil, message",
    {
        "no label": (lambda text: "\n".join(line.split(",", 1)[1] for line in text.splitlines()), "label"),
        "no column": (lambda text: text.replace("c_item", "item"), "c_item"),
        "bad label in the last row": (lambda text: text + "7,0.1,u1,2\n", "row 1001"),
    }.values(),
    ids=["no label", "no column", "bad label"],
)
def test_files_of_later_are_checked_before_the_first_step(taut, workspace, part, spoil, message):
    path = workspace / f"{part}.csv"
    path.write_text(spoil(path.read_text()))
    done = taut("train", workspace / "ctr.toml", "--out", workspace / "run", check=False)
    assert done.code == 2
    assert len(errors(done)) == 1 and f"{part}.csv" in errors(done)[0] and message in errors(done)[0]
    assert not list((workspace / "run").glob("checkpoint/step-*"))


def test_unknown_settings_are_refused_by_every_command(taut, workspace, package):
    run, data = workspace / "run", workspace / "test.csv"
    for args in (
        ("predict", package, data),
        ("eval", run),
        ("eval", package),
        ("init", data),
        ("export", run, workspace / "x.taut"),
        ("dump", run, workspace / "x.parquet"),
        ("info", run),
        ("synth", workspace / "x.csv"),
        ("figures", "--out", workspace / "x.html"),
        ("train", workspace / "ctr.toml", "--out", workspace / "y"),
    ):
        done = taut(*args, "--set", "data.formt=csv", check=False)
        assert done.code == 2 and len(errors(done)) == 1 and "data.formt" in errors(done)[0], (args, done.err)
    assert "did you mean data.format?" in taut("predict", package, data, "--set", "data.formt=csv", check=False).err
    done = taut("eval", run, "--set", "data.format=xml", check=False)
    assert done.code == 2 and "xml" in errors(done)[0]
    done = taut("eval", package, "--set", "data.on_bad_row=drop", check=False)
    assert done.code == 2 and "drop" in errors(done)[0]


def test_a_run_gives_its_old_answers_when_its_training_data_changed_or_went(taut, workspace):
    run, package = workspace / "run", workspace / "model.taut"
    taut("train", workspace / "ctr.toml", "--out", run, *FAST)
    before = taut("eval", run, "--json").json
    taut("export", run, package)
    kept = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    rows = (workspace / "test.csv").read_text()
    write_csv(workspace / "train.csv", 300, 99)
    for _ in ("changed", "gone"):
        assert taut("eval", run, "--json").json == before
        taut("export", run, workspace / "again.taut")
        assert (
            taut("predict", workspace / "again.taut", workspace / "test.csv").out
            == taut("predict", package, workspace / "test.csv").out
        )
        taut("dump", run, workspace / "rows.parquet", "--data", workspace / "test.csv")
        (workspace / "train.csv").unlink(missing_ok=True)
    assert rows == (workspace / "test.csv").read_text()
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == kept, "nothing writes there"


def test_resume_notices_other_training_data(taut, workspace):
    run = workspace / "run"
    taut("train", workspace / "ctr.toml", "--out", run, *FAST)
    state = run / "checkpoint"
    more = ("--set", "train.epochs=1")
    # As if it had been stopped: the last checkpoint goes, the one before it stays.
    run2 = workspace / "run2"
    taut("train", workspace / "ctr.toml", "--out", run2, *more, "--set", "train.checkpoint_every=20")
    sorted((run2 / "checkpoint").glob("step-*.taut"))[-1].unlink()
    text = (workspace / "train.csv").read_text()
    (workspace / "train.csv").write_text(text.replace("u1,", "u2,", 1))
    resume = ("train", workspace / "ctr.toml", "--out", run2, *more, "--set", "train.checkpoint_every=20", "--resume")
    done = taut(*resume, check=False)
    assert done.code == 2 and "train.csv has other content" in errors(done)[0]
    (workspace / "train.csv").write_text(text)  # another time, the same content
    assert taut(*resume, "--json").json["auc"] > 0.5
    assert state.exists()


def test_init_without_other_files_proposes_parts_and_train_prints_a_quality(taut, tmp_path):
    write_csv(tmp_path / "all.csv", 6000, 4)
    (tmp_path / "r.toml").write_text(taut("init", tmp_path / "all.csv").out)
    done = taut("train", tmp_path / "r.toml", "--out", tmp_path / "r", "--json").json
    assert done["auc"] > 0.6
    assert done["test"]["examples"] == pytest.approx(600, abs=90)
    assert done["test"]["examples"] != done["valid"]["examples"]
    # In order of time, the last rows are the test.
    lines = (tmp_path / "all.csv").read_text().splitlines()
    timed = [lines[0] + ",ts"] + [f"{line},{1700000000 + 5 * i}" for i, line in enumerate(lines[1:])]
    random.Random(5).shuffle(timed[1:])
    (tmp_path / "timed.csv").write_text("\n".join(timed) + "\n")
    config = taut("init", tmp_path / "timed.csv").out
    assert "timed.csv[ts=1700027000:]" in config
    (tmp_path / "t.toml").write_text(config)
    done = taut("train", tmp_path / "t.toml", "--out", tmp_path / "t", "--json").json
    assert done["valid"]["examples"] == 600 and done["test"]["examples"] == 600
    taut("export", tmp_path / "t", tmp_path / "t.taut")
    assert taut("eval", tmp_path / "t.taut", "--json").json["examples"] == 600
    wrong = taut(
        "train", tmp_path / "r.toml", "--out", tmp_path / "x", "--set", "data.test=all.csv[9%:2%]", check=False
    )
    assert wrong.code == 2 and "empty" in errors(wrong)[0]


def test_ratings_become_labels_by_a_threshold(taut, tmp_path):
    rng = random.Random(7)
    users = [rng.randrange(40) for _ in range(4000)]
    items = [rng.randrange(60) for _ in range(4000)]
    ratings = [
        min(5, max(1, round((4.2 if u * 7 % 3 == i * 5 % 3 else 2.4) + rng.gauss(0, 0.7))))
        for u, i in zip(users, items, strict=True)
    ]
    parquet.write_table(pyarrow.table({"user": users, "item": items, "rating": ratings}), tmp_path / "all.parquet")
    done = taut("init", tmp_path / "all.parquet")
    assert 'label = "rating >= 4"' in done.out and "the label is rating >= 4" in done.err
    (tmp_path / "c.toml").write_text(done.out)
    run = tmp_path / "run"
    assert taut("train", tmp_path / "c.toml", "--out", run, "--json").json["auc"] > 0.7
    other = taut("init", tmp_path / "all.parquet", "--label", "rating >= 3").out
    assert 'label = "rating >= 3"' in other
    (tmp_path / "all.csv").write_text(
        "user,item,rating\n" + "".join(f"{u},{i},{r}\n" for u, i, r in zip(users, items, ratings, strict=True))
    )
    by_csv = taut("eval", run, "--data", tmp_path / "all.csv", "--json").json
    assert by_csv["auc"] == taut("eval", run, "--data", tmp_path / "all.parquet", "--json").json["auc"]


def test_images_without_labels_are_predicted(taut, image_workspace):
    run, package = image_workspace / "run", image_workspace / "model.taut"
    taut("train", image_workspace / "images.toml", "--out", run, *FAST)
    taut("export", run, package)
    wanted = taut("predict", package, image_workspace / "test-images-idx3").out
    bare = image_workspace / "bare-images"
    shutil.copy(image_workspace / "test-images-idx3", bare)
    assert taut("predict", package, bare).out == wanted
    info = taut("predict", package, bare, "--json").json
    assert info["rows"] == 100
    assert json.dumps(info)
