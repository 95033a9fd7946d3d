"""The study of embeddings: its plan, its tables, an engine that resumes and names failures, and a whole small study."""

import csv
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import embedding_data
import embedding_plan as plans
import embedding_report as reports
import embedding_tables as tables
import engine

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("TAUT_PROGRAM", ROOT / "build/release/bin/taut"))


@pytest.fixture
def books(tmp_path):
    """A set of that name, with a config that says nothing."""
    config = tmp_path / "books.toml"
    config.write_text("# nothing\n")
    return engine.DataSet("book-crossing", config, 2, seeds=2, budgets=("1/10", "1/100"))


@pytest.fixture
def plan(books):
    return plans.Plan(
        sets=(books,),
        ablation_sets=(books,),
        drift_set=books,
        feature_sets=(books,),
        methods=("full", "hash", "elastic"),
    )


def run_of(seed, auc, **fields):
    sizes = {"memory_bytes": 90.0, "peak_memory_bytes": 95.0, "budget_bytes": 100.0, "full_bytes": 1000.0}
    counts = {"examples": 800.0, "test_rows": 100.0, "train_seconds": 1.0, "epochs": 1.0}
    return {"seed": seed, "auc": auc, "valid_auc": auc, "log_loss": 0.5, **sizes, **counts, **fields}


def add(outcomes, plan, data, label, budget, aucs, table="main", **fields):
    """Lays the outcome of one job of the plan down, with these AUCs."""
    jobs = [job for job in plans.all_jobs(plan, {}) if job.cell == (table, data.name, label, budget)]
    assert len(jobs) == 1
    runs = [run_of(seed, auc, **fields) for seed, auc in enumerate(aucs, start=1)]
    outcomes[jobs[0].cell] = engine.Outcome(jobs[0], runs)


def rows_of(table):
    """Cells of a Markdown table without its two head lines."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


@pytest.mark.parametrize("everything", [False, True])
def test_the_plan_names_every_cell_once_and_its_configs_exist(everything):
    plan = plans.make_plan(plans.METHODS, everything)
    jobs = plans.all_jobs(plan, {})
    assert len({job.cell for job in jobs}) == len(jobs)
    assert all(job.data.config.is_file() for job in jobs)
    assert {job.method for job in jobs if job.table == "main"} == set(plans.METHODS)
    assert {job.table for job in jobs} == set(plans.TABLES)
    assert plan.missing == ()


def test_the_plan_takes_the_methods_that_are_there_and_names_the_others():
    plan = plans.make_plan(["full", "hash", "elastic"], everything=False)
    assert plan.missing == ("qr", "md", "frequency", "row", "cafe", "fiited")
    assert {job.method for job in plans.all_jobs(plan, {})} == {"full", "hash", "elastic"}


def test_everything_has_three_seeds_and_all_of_the_news():
    plan = plans.make_plan(plans.METHODS, everything=True)
    assert {job.seeds for job in plans.all_jobs(plan, {}) if job.table != "tuning"} == {3}
    assert "globo-news" in {data.name for data in plan.sets}


def test_every_goal_belongs_to_a_cell_of_the_whole_study():
    plan = plans.make_plan(plans.METHODS, everything=True)
    assert set(plans.GOALS) <= {(data.name, budget) for data in plan.sets for budget in data.budgets}


def test_rates_are_chosen_on_validation_rows_alone(plan, books):
    outcomes = {}
    add(outcomes, plan, books, "hash, rate 0.2", "1/10", [0.9], table="tuning", valid_auc=0.6)
    add(outcomes, plan, books, "hash, rate 0.8", "1/10", [0.5], table="tuning", valid_auc=0.7)
    assert plans.chosen_rate(plan, outcomes, books, "hash", "1/100") == "0.8"
    assert plans.chosen_rate(plan, outcomes, books, "elastic", "1/10") == plans.PUBLISHED_RATE
    rates = {
        dict(job.settings)["embedding.learning_rate"] for job in plans.main_jobs(plan, outcomes) if job.method == "hash"
    }
    assert rates == {"0.8"}


def test_the_nearest_tuned_budget_that_is_not_smaller_counts(plan):
    twice = plans.dataclasses.replace(plan, tuning_budgets=("1/10", "1/100"))
    found = {budget: plans.tuning_budget(twice, "hash", budget) for budget in ("1/4", "1/10", "1/50", "1/1000")}
    assert found == {"1/4": "1/10", "1/10": "1/10", "1/50": "1/10", "1/1000": "1/100"}
    assert plans.tuning_budget(twice, "full", "1") == "1"


def test_small_models_are_trained_as_the_chosen_full_one(plan, books):
    outcomes = {}
    add(outcomes, plan, books, "full, D 16, 1 epoch", "1", [0.70], table="features", valid_auc=0.70)
    add(outcomes, plan, books, "full, D 32, 2 epochs", "1", [0.60], table="features", valid_auc=0.71)
    assert plans.best_full_model(plan, outcomes, books) == "D 32, 2 epochs"
    for job in plans.small_model_jobs(plan, outcomes):
        assert dict(job.settings)["embedding.dim"] == "32"
        assert dict(job.settings)["train.epochs"] == "2"


def test_variants_that_need_unknown_keys_are_left_out(plan):
    keys = {"embedding.dim", "train.epochs", "embedding.learning_rate"}
    kept = {label for label, _ in plans.with_known_keys(plan, keys).full_models}
    assert "D 32, 2 epochs" in kept
    assert not any("L2" in label or "weight decay" in label for label in kept)


def test_a_figure_is_mean_and_deviation_over_seeds(plan, books):
    outcomes = {}
    add(outcomes, plan, books, "elastic", "1/10", [0.60, 0.62])
    figure = tables.figure_of(outcomes["main", books.name, "elastic", "1/10"])
    assert (figure.mean, figure.seeds) == (pytest.approx(0.61), 2)
    assert figure.spread == pytest.approx(0.0141421, abs=1e-6)
    assert str(figure) == "0.6100 ± 0.0141"
    assert str(tables.Figure(0.5, None, 1)) == "0.5000"


def test_the_best_of_each_budget_is_bold_and_rows_say_what_they_stand_on(plan, books):
    outcomes = {}
    add(outcomes, plan, books, "full", "1", [0.70, 0.70])
    add(outcomes, plan, books, "hash fp32", "1/10", [0.61])
    add(outcomes, plan, books, "hash int8", "1/10", [0.62, 0.62])
    add(outcomes, plan, books, "elastic", "1/10", [0.65, 0.65])
    add(outcomes, plan, books, "elastic", "1/100", [0.55])
    full, fp32, int8, elastic = rows_of(tables.main_table(plan, outcomes, books))
    assert full == ["full", "0.7000 ± 0.0000", "", "", "2", "800", "100", "0.4", ""]
    assert fp32[1:6] == ["", "0.6100", "-", "1", "800"]
    assert int8[2] == "0.6200 ± 0.0000"
    assert elastic[2:5] == ["**0.6500 ± 0.0000**", "**0.5500**", "1 to 2"]
    assert elastic[-1] == "0.950"


def test_a_goal_needs_a_lead_beyond_the_spread_of_seeds(plan, books):
    outcomes = {}
    add(outcomes, plan, books, "full", "1", [0.69])
    add(outcomes, plan, books, "hash fp32", "1/10", [0.64, 0.68])
    add(outcomes, plan, books, "elastic", "1/10", [0.6700, 0.6710])
    (row,) = tables.goal_rows(plan, outcomes)
    assert (row["rival"], row["goal"]) == ("hash fp32", 0.6698)
    assert row["over_rival"] == pytest.approx(0.0105)
    assert row["seed_spread"] == pytest.approx(0.02828, abs=1e-5)
    assert row["under_full"] == pytest.approx(0.0195)
    (cells,) = rows_of(tables.goals_table([row]))
    assert cells[7] == "NO"  # ahead by less than the seeds differ
    assert cells[9:11] == ["+0.0007", "yes"]
    assert cells[12] == "0.010: NO"


def test_equal_to_the_best_rival_is_not_ahead_of_it(plan, books):
    outcomes = {}
    add(outcomes, plan, books, "hash fp32", "1/10", [0.67])
    add(outcomes, plan, books, "elastic", "1/10", [0.67])
    assert rows_of(tables.goals_table(tables.goal_rows(plan, outcomes)))[0][7] == "NO"


def test_drift_is_judged_by_predictions_made_before_learning(plan, books):
    outcomes = {}
    add(outcomes, plan, books, "full", "1", [0.9], table="drift", progressive_auc=0.80, progressive_rows=600.0)
    add(outcomes, plan, books, "hash fp32", "1/10", [0.9], table="drift", progressive_auc=0.75, progressive_rows=600.0)
    add(outcomes, plan, books, "elastic", "1/10", [0.1], table="drift", progressive_auc=0.799, progressive_rows=600.0)
    rows = rows_of(tables.drift_table(plan, outcomes))
    assert [row[2] for row in rows] == ["0.8000", "0.7500", "**0.7990**"]
    assert [row[4] for row in rows] == ["", "NO", "yes"]
    assert {row[6] for row in rows} == {"600"}


def test_ablations_show_the_change_from_the_default(plan, books):
    outcomes = {}
    add(outcomes, plan, books, "elastic as it comes", "1/10", [0.60, 0.62], table="ablation")
    add(outcomes, plan, books, "beta 1", "1/10", [0.60, 0.60], table="ablation")
    rows = {row[0]: row for row in rows_of(tables.ablation_table(plan, outcomes).split("\n\n")[0])}
    assert rows["beta 1"][1] == "0.6000 ± 0.0000 (-0.0100)"
    assert rows["elastic as it comes"][3] == "2"
    assert rows["chunk 8"] == ["chunk 8", "-", "-", "0"]


FACTS = {
    "command": "make study",
    "machine": {
        "cpu": "a <cpu>",
        "processors": 2,
        "memory": "1 kB",
        "system": "an OS",
        "time": "2026-01-01T00:00:00",
        "versions": {"taut": "1"},
    },
    "program": "abc",
    "kept": {"hash": "old"},
    "seconds": 60.0,
    "train_seconds": 30.0,
}


def test_the_document_names_failures_and_missing_methods(plan, books, tmp_path):
    outcomes = {}
    add(outcomes, plan, books, "elastic", "1/10", [0.65])
    add(outcomes, plan, books, "hash fp32", "1/10", [])
    outcomes["main", books.name, "hash fp32", "1/10"].failure = "error: out of luck"
    plan = plans.dataclasses.replace(plan, missing=("cafe",))
    reports.write_all(plan, outcomes, FACTS, tmp_path / "out", tmp_path / "doc.md")
    text = (tmp_path / "doc.md").read_text()
    assert "does not have them: cafe." in text
    assert "- main: book-crossing, hash fp32 at 1/10: error: out of luck" in text
    assert "| hash fp32 |  | failed |" in text
    assert "taken over: hash by old." in text
    whole = json.loads((tmp_path / "out" / "results.json").read_text())
    assert whole["failures"] == [{"job": "main: book-crossing, hash fp32 at 1/10", "why": "error: out of luck"}]
    (row,) = csv.DictReader((tmp_path / "out" / "results.csv").read_text().splitlines())
    assert (row["label"], row["auc"], row["settings"]) == (
        "elastic",
        "0.65",
        "embedding.value_type=mixed embedding.learning_rate=0.4",
    )
    page = (tmp_path / "out" / "study.html").read_text()
    assert "a &lt;cpu&gt;" in page
    assert "src=" not in page.split("</script>", 1)[1]  # nothing is fetched


FAKE = """#!{python}
import json, os, pathlib, sys
arguments = sys.argv[1:]
if arguments[0] == "info":
    print(json.dumps({{"methods": ["full", "hash"]}}))
    sys.exit()
value = lambda name: arguments[arguments.index(name) + 1]
if value("--methods") == "none":
    sys.exit("error: unknown key" if "a.b=1" in arguments else "error: unknown method")
if value("--methods") == "hash":
    sys.exit("info: started\\nerror: no luck, hash")
out = pathlib.Path(value("--out"))
with (out.parent / "calls").open("a") as calls:
    print(value("--seeds"), os.environ["TAUT_STUDY"], file=calls)
runs = []
for seed in range(1, int(value("--seeds")) + 1):
    run = out / f"run{{seed}}"
    (run / "checkpoint").mkdir(parents=True, exist_ok=True)
    runs.append({{"run": str(run), "seed": seed, "auc": 0.5 + seed / 10, "test": {{"examples": 7}}}})
print(json.dumps({{"runs": runs}}))
"""


@pytest.fixture
def fake(tmp_path):
    """An engine over a program that trains nothing; its calls lie in runs/book-crossing/calls."""
    program = tmp_path / "taut"
    program.write_text(FAKE.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return lambda: engine.Engine(program, tmp_path / "study", {"TAUT_STUDY": tmp_path}, workers=2)


def job_of(data, label="full", method="full", seeds=1, **settings):
    return engine.Job("main", data, label, method, "1", seeds, tuple(settings.items()))


def calls_of(tmp_path):
    return (tmp_path / "study" / "runs" / "book-crossing" / "calls").read_text().splitlines()


def test_jobs_that_ask_for_the_same_training_share_it(fake, books, tmp_path):
    jobs = [job_of(books, "full"), job_of(books, "full, twice", seeds=2), job_of(books, "other", a="1")]
    one, two, other = fake().run(jobs, engine.Progress(3))
    assert [run["auc"] for run in one.runs] == [0.6]
    assert [run["auc"] for run in two.runs] == [0.6, 0.7]
    assert two.runs[0]["test_rows"] == 7
    assert len(other.runs) == 1
    assert sorted(calls_of(tmp_path)) == [f"1 {tmp_path}", f"2 {tmp_path}"]
    assert not list((tmp_path / "study").glob("runs/*/*/*/checkpoint"))


def test_a_later_call_trains_only_what_is_missing_or_changed(fake, books, tmp_path):
    fake().run([job_of(books)], engine.Progress(1))
    again = fake().run([job_of(books)], engine.Progress(1))
    assert len(again[0].runs) == 1
    assert len(calls_of(tmp_path)) == 1
    fake().run([job_of(books, seeds=2)], engine.Progress(1))
    assert len(calls_of(tmp_path)) == 2
    books.config.write_text("# changed\n")
    fake().run([job_of(books)], engine.Progress(1))
    assert len(calls_of(tmp_path)) == 3


def test_a_new_program_trains_again_but_for_methods_that_are_kept(fake, books, tmp_path):
    first = fake()
    first.keep_versions([])
    first.run([job_of(books)], engine.Progress(1))
    program = tmp_path / "taut"
    program.write_text(program.read_text() + "# rebuilt\n")
    kept = fake()
    kept.keep_versions(["full"])
    kept.run([job_of(books)], engine.Progress(1))
    assert kept.kept == {"full": first.version}
    assert len(calls_of(tmp_path)) == 1
    anew = fake()
    anew.keep_versions([])
    anew.run([job_of(books)], engine.Progress(1))
    assert len(calls_of(tmp_path)) == 2
    with pytest.raises(engine.StudyError, match="no earlier runs of this method, --keep qr, known: full, hash"):
        anew.keep_versions(["qr"])


def test_a_failed_job_is_named_and_others_go_on(fake, books, capsys):
    study = fake()
    failed, fine = study.run([job_of(books, "hash fp32", "hash"), job_of(books)], engine.Progress(2))
    assert (failed.runs, failed.failure) == ([], "error: no luck, hash")
    assert len(fine.runs) == 1
    assert study.failures() == [failed]
    assert "FAILED main: book-crossing, hash fp32 at 1: error: no luck, hash" in capsys.readouterr().err


def test_the_program_is_asked_for_its_keys(fake, books):
    study = fake()
    assert not study.knows(books, "a.b", "1")
    assert study.knows(books, "a.c", "1")


def test_a_missing_program_says_how_to_get_it(tmp_path):
    with pytest.raises(engine.StudyError, match=r"not there, .*/nothing, run make build"):
        engine.Engine(tmp_path / "nothing", tmp_path, {})


def test_the_time_left_follows_from_what_was_trained():
    now = [0.0]
    progress = engine.Progress(100, clock=lambda: now[0])
    progress.advance(40, "kept from earlier", trained=False)
    assert progress.left() == "time left unknown"
    now[0] = 20.0
    progress.advance(10, "trained", trained=True)
    assert progress.left() == "2 min left"  # 50 to go at 2 s each
    progress.advance(50, "trained", trained=True)
    assert progress.left() == "0 s left"


def test_books_get_their_title_words_and_sane_ages(tmp_path):
    source = tmp_path / "book-crossing"
    source.mkdir()
    rows = pa.table({"label": [1, 0, 0], "d_age": pa.array([-1, 200, 30], pa.float32()), "c_book": [7, 5, 7]})
    for part in ("train", "valid", "test"):
        pq.write_table(rows, source / f"{part}.parquet")
    pq.write_table(pa.table({"c_book": [5, 7], "c_title_words": [[1, 2], [3]]}), source / "title-words.parquet")
    made = tmp_path / "made"
    made.mkdir()
    embedding_data.make_book_crossing_all(tmp_path, made)
    table = pq.read_table(made / "test.parquet")
    assert table["d_age"].to_pylist() == [None, 90, 30]
    assert table["c_title_words"].to_pylist() == [[3], [1, 2], [3]]


def test_the_third_of_the_news_is_the_middle_and_scored_on_its_own_days(tmp_path):
    source = tmp_path / "globo-news"
    source.mkdir()
    pq.write_table(pa.table({"time": list(range(5))}), source / "train-0.parquet")
    pq.write_table(pa.table({"time": list(range(5, 9))}), source / "train-1.parquet")
    for part in ("valid", "test"):
        pq.write_table(pa.table({"time": [0, 3, 5, 8]}), source / f"{part}.parquet")
    made = tmp_path / "made"
    made.mkdir()
    embedding_data.make_globo_third(tmp_path, made)
    assert pq.read_table(made / "train.parquet")["time"].to_pylist() == [3, 4, 5]
    assert pq.read_table(made / "test.parquet")["time"].to_pylist() == [3, 5]


def test_made_data_is_whole_or_not_there(tmp_path):
    def fails(folder):
        (folder / "half").write_text("")
        raise OSError("full disk")

    with pytest.raises(OSError, match="full disk"):
        embedding_data.make_once(tmp_path / "made", fails)
    assert not (tmp_path / "made").exists()
    embedding_data.make_once(tmp_path / "made", lambda folder: (folder / "all").write_text(""))
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["all"]


def study(*arguments, **environment):
    command = [sys.executable, str(ROOT / "bench/studies/run.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=600)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--area", "nothing"], 'no study for "nothing", AREA, known: embedding'),
        (["--area", "embedding", "--data", "/no/such/folder"], 'no such folder, DATA = "/no/such/folder"'),
        (["--area", "embedding"], "name the folder of the data sets"),
        (["--area", "embedding", "--quick", "--tables", "none"], "no such table, --tables none, known: tuning"),
    ],
)
def test_mistakes_are_named(arguments, message, tmp_path):
    done = study(*arguments, "--out", tmp_path, "--program", PROGRAM)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_quick_study_fills_every_table_and_a_second_call_trains_nothing(tmp_path):
    arguments = ("--area", "embedding", "--quick", "--out", tmp_path, "--program", PROGRAM)
    done = study(*arguments)
    assert done.returncode == 0, done.stderr
    whole = json.loads((tmp_path / "embedding/results.json").read_text())
    assert whole["failures"] == []
    assert {run["table"] for run in whole["runs"]} == set(plans.TABLES)
    assert all(0.4 < run["auc"] < 1 for run in whole["runs"])
    small = [run for run in whole["runs"] if run["method"] != "full"]
    assert all(run["peak_memory_bytes"] <= run["budget_bytes"] for run in small)
    drift = [run for run in whole["runs"] if run["table"] == "drift"]
    assert all(run["progressive_auc"] > 0.4 and 3400 <= run["progressive_rows"] <= 3600 for run in drift)
    assert "| elastic |" in (tmp_path / "embedding/study.md").read_text()
    assert (tmp_path / "embedding/study.html").stat().st_size > 1_000_000
    again = study(*arguments)
    assert again.returncode == 0, again.stderr
    assert "done main" not in again.stderr
