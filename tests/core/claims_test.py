"""What documents and history say is so, and proof that the checker sees what is not."""

import os
import pathlib
import subprocess
import tomllib

import pytest

import check_claims

ROOT = pathlib.Path(__file__).resolve().parents[2]
TAUT = pathlib.Path(os.environ.get("TAUT_BUILD", ROOT / "build/release")) / "bin/taut"
EXAMPLES = sorted((ROOT / "examples").rglob("*.toml"))
PLAN = "plan.md"  # a document that is not here
# Those that describe a machine or a network; all others are configs of trainings.
PLANNED = ("cluster.toml", "model.toml")


def put(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    "check",
    [check_claims.missing_paths, check_claims.foreign_sections, check_claims.wrong_edges],
    ids=lambda c: c.__name__,
)
def test_this_tree_is_as_its_documents_say(check):
    assert list(check(ROOT)) == []


def test_the_tables_of_the_readme_are_those_of_the_results():
    assert list(check_claims.wrong_tables(ROOT)) == []


def test_the_titles_of_new_commits_keep_their_form():
    titles = check_claims.titles_since(ROOT, check_claims.FIRST_CHECKED)
    if titles is None:
        pytest.skip("the history is not here")
    assert list(check_claims.bad_titles(titles)) == []


def test_tests_do_not_fall_behind():
    assert check_claims.test_ratio(ROOT) >= check_claims.LEAST_TEST_RATIO


def test_a_path_that_is_gone_is_found_with_its_line(tmp_path):
    put(tmp_path, "README.md", "see `src/core/log.cc`,\n[this](docs/gone.md), build/src/x and src/AREA/x.cc\n")
    put(tmp_path, "src/core/log.cc", "")
    assert list(check_claims.missing_paths(tmp_path)) == ["README.md:2: docs/gone.md is not there"]


@pytest.mark.parametrize(
    "text", [f"// ({PLAN} section 7)\n", f"// as in {PLAN}\n// section 7 says\n", f"/// {PLAN} sections 1 and 2\n"]
)
def test_a_numbered_section_of_a_document_is_found(tmp_path, text):
    put(tmp_path, "src/core/a.cc", text)
    assert len(list(check_claims.foreign_sections(tmp_path))) == 1


def test_a_section_of_a_paper_is_none_of_ours(tmp_path):
    put(tmp_path, "src/core/a.cc", "// arXiv 1906.00091, section 2.1; docs/plan.md\n")
    assert list(check_claims.foreign_sections(tmp_path)) == []


@pytest.fixture
def areas(tmp_path):
    """nn uses embedding by an include, graph by a link line; both use core."""
    rows = (
        "| `core` | x | nothing |\n| `embedding` | x | `core` |\n| `graph` | x | `core` |\n| `nn` | x | all above |\n"
    )
    put(tmp_path, "src/README.md", rows)
    put(tmp_path, "src/embedding/a.cc", '#include "taut/core/log.h"\n')
    put(tmp_path, "include/taut/graph/a.h", '#include "taut/core/log.h"\n')
    put(tmp_path, "src/nn/a.cc", '#include "taut/embedding/a.h"\n#include "taut/core/log.h"\n')
    put(tmp_path, "src/nn/CMakeLists.txt", "taut_area(nn SOURCES a.cc PUBLIC taut::graph)\n")
    return tmp_path


def test_the_picture_is_of_includes_and_links_without_what_follows(areas):
    wanted = {("nn", "embedding"), ("nn", "graph"), ("embedding", "core"), ("graph", "core")}
    assert set(check_claims.picture(areas)) == wanted


def test_edges_too_many_and_too_few_are_found(areas):
    put(areas, "docs/architecture.md", "  nn --> embedding\n  embedding --> core\n  graph --> core\n  nn --> core\n")
    found = list(check_claims.wrong_edges(areas))
    assert len(found) == 2
    assert "draws nn --> core" in found[0]
    assert "does not draw nn --> graph" in found[1]


@pytest.mark.parametrize(
    ("title", "complaint"),
    [
        ("core: " + "x" * 67, "73 characters, at most 72"),
        ("wip", "says wip"),
        ("core: more WIP", "says wip"),
        ("Internal change.", "wanted `scope: what changed`"),
        ("core:files", "wanted `scope: what changed`"),
    ],
)
def test_a_bad_title_is_found(title, complaint):
    found = list(check_claims.bad_titles([title]))
    assert len(found) == 1
    assert complaint in found[0]


def test_a_good_title_passes():
    assert list(check_claims.bad_titles(["core: " + "x" * 66, "graph, parallel: one network"])) == []


def test_a_table_that_is_not_that_of_the_results_is_found(tmp_path):
    row = {"data": "flights", "method": "full", "budget": "1", "auc": 0.7, "best": None, "memory_bytes": 1024}
    work = {"top1": 0.9, "multiply_adds": {"dense": 4, "needed": 1}, "examples_per_second": 5}
    times = {"engine_microseconds": 1.5, "onnxruntime_microseconds": 3}
    rows = [{**row, "examples_per_second": 9}]
    results = {"tables": rows, "digits": [["dense", work]], "engine": [["dense", times]]}
    put(tmp_path, check_claims.DEMO_RESULTS, check_claims.json.dumps(results))
    demo = check_claims.demo
    lines = demo.table_lines(results["tables"]) + demo.digits_lines(results["digits"])
    lines += demo.engine_lines(results["engine"])
    put(tmp_path, "README.md", "\n".join(lines))
    assert list(check_claims.wrong_tables(tmp_path)) == []
    put(tmp_path, "README.md", "\n".join(lines).replace("0.7000", "0.8000"))
    assert len(list(check_claims.wrong_tables(tmp_path))) == 1
    put(tmp_path, "README.md", "\n".join(lines).replace("2.00x", "3.00x"))
    assert len(list(check_claims.wrong_tables(tmp_path))) == 1


def test_the_ratio_counts_lines_of_tests_by_lines_of_code(tmp_path):
    put(tmp_path, "tests/core/a.cc", "\n" * 3)
    put(tmp_path, "src/core/a.cc", "\n" * 4)
    put(tmp_path, "python/taut/a.py", "\n" * 2)
    assert check_claims.test_ratio(tmp_path) == 0.5


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT / "examples")))
def test_every_example_is_toml(path):
    assert tomllib.loads(path.read_text("utf-8"))


def command(*words, **environment):
    done = subprocess.run(
        [str(TAUT), *map(str, words)], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    return done.returncode, done.stderr


def test_the_example_of_a_model_is_planned_on_the_example_of_a_cluster():
    cluster = ROOT / "examples/cluster.toml"
    assert command("plan", ROOT / "examples/model.toml", "--cluster", cluster, "--batch", 256)[0] == 0


@pytest.mark.parametrize(
    "path",
    [path for path in EXAMPLES if path.name not in PLANNED],
    ids=lambda path: str(path.relative_to(ROOT / "examples")),
)
def test_every_config_of_a_training_is_read_up_to_its_missing_data(path, tmp_path):
    # A config is checked as a whole before its data is looked for, so the data can be the first thing missing.
    train = ("train", path, "--out", tmp_path / "run", "--set")
    folders = {"TAUT_DATA": str(tmp_path), "TAUT_STUDY": str(tmp_path)}
    status, message = command(*train, f'data.train="{tmp_path}/gone.parquet"', **folders)
    assert status == 2
    assert str(tmp_path) in message
    status, message = command(*train, "train.epochz=1", **folders)
    assert status == 2
    assert "epochz" in message
