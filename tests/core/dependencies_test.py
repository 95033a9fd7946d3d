"""Who may include and link whom (src/README.md), and proof that the checker sees what it forbids."""

import pathlib

import pytest

import check_layout

ROOT = pathlib.Path(__file__).resolve().parents[2]

TABLE = """# Folders
| folder | owns | may use |
| --- | --- | --- |
| `core` | errors | nothing of ours |
| `graph` | the model | `core` |
| `embedding` | tables | `core` |
| `data` | readers | `core` |
| `nn` | models | `core`, `embedding` |
| `train` | the loop | all above |
"""


@pytest.fixture
def tree(tmp_path):
    """A small tree that keeps all rules."""
    put(tmp_path, "src/README.md", TABLE)
    put(tmp_path, "include/taut/core/log.h", "#include <string>\n")
    put(tmp_path, "include/taut/embedding/table.h", '#include "taut/core/log.h"\n')
    put(tmp_path, "src/core/log.cc", '#include "taut/core/log.h"\n#include <spdlog/spdlog.h>\n')
    put(tmp_path, "src/core/CMakeLists.txt", "taut_area(core SOURCES log.cc)\n")
    put(tmp_path, "src/embedding/table.cc", '#include "taut/embedding/table.h"\n#include "embedding/store.h"\n')
    put(tmp_path, "src/embedding/store.h", '#include "taut/core/log.h"\n')
    put(tmp_path, "src/embedding/CMakeLists.txt", "taut_area(embedding SOURCES table.cc PUBLIC taut::core)\n")
    put(tmp_path, "src/data/parquet.cc", "#include <arrow/api.h>\n#include <parquet/file_reader.h>\n")
    put(tmp_path, "src/nn/dlrm.cc", '#include <torch/torch.h>\n#include "taut/embedding/table.h"\n')
    put(tmp_path, "src/train/loop.cc", '#include "nn/dlrm.h"\n#include "taut/data/reader.h"\n')
    put(tmp_path, "tests/embedding/table_test.cc", '#include "taut/embedding/table.h"\n')
    put(tmp_path, "CMakeLists.txt", "project(taut)\n")
    return tmp_path


def put(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_this_tree_keeps_the_rules():
    assert check_layout.find_violations(ROOT) == []


def test_the_table_of_this_tree_has_the_areas_of_the_design_and_no_cycle():
    rules = check_layout.read_rules(ROOT)
    assert set(rules) >= {"core", "graph", "embedding", "sparsity", "parallel", "infer", "data", "nn", "train", "cli"}
    assert rules["core"] == set()
    assert rules["cli"] == set(rules) - {"cli"}
    order = list(rules)
    for area, allowed in rules.items():
        assert all(order.index(used) < order.index(area) for used in allowed), area


def test_free_areas_may_only_use_free_areas():
    rules = check_layout.read_rules(ROOT)
    for area in check_layout.FREE_AREAS:
        assert rules[area] <= set(check_layout.FREE_AREAS), area


def test_a_tree_that_keeps_the_rules_has_no_violations(tree):
    assert check_layout.find_violations(tree) == []


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("src/core/a.cc", '#include "taut/embedding/table.h"', "`core` may not use `embedding`"),
        ("src/core/a.cc", '#include "embedding/store.h"', "`core` may not use `embedding`"),
        ("src/embedding/a.cc", '#include "taut/graph/model.h"', "`embedding` may not use `graph`"),
        ("src/embedding/a.cc", '  #  include "taut/graph/model.h"', "`embedding` may not use `graph`"),
        ("include/taut/embedding/a.h", '#include "taut/data/reader.h"', "`embedding` may not use `data`"),
        ("src/nn/a.cc", '#include "taut/train/loop.h"', "`nn` may not use `train`"),
        ("tests/embedding/a.cc", '#include "taut/nn/dlrm.h"', "`embedding` may not use `nn`"),
        ("src/core/a.cc", "#include <torch/torch.h>", "`core` is free of LibTorch"),
        ("src/embedding/a.h", "#include <ATen/ATen.h>", "`embedding` is free of LibTorch"),
        ("include/taut/graph/a.h", "#include <c10/util/Half.h>", "`graph` is free of LibTorch"),
        ("tests/core/a.cc", "#include <arrow/api.h>", "`core` is free of LibTorch and Arrow"),
        ("bench/embedding/a.cc", "#include <torch/torch.h>", "`embedding` is free of LibTorch"),
        ("src/nn/a.cc", "#include <torch/torch.h>\n#include <fmt/core.h>", "bundles another fmt"),
        ("src/nn/a.cc", "#include <torch/torch.h>\n#include <onnx/onnx_pb.h>", "bundles another protobuf"),
        ("include/taut/core/a.h", "#include <spdlog/spdlog.h>", "hide spdlog and fmt"),
        ("src/embedding/a.cc", "#include <immintrin.h>", "no raw intrinsics"),
        ("bench/embedding/a.cc", "#include <arm_neon.h>", "no raw intrinsics"),
        ("src/embedding/CMakeLists.txt", "taut_area(embedding PRIVATE taut::data)", "may not use `data`"),
        ("src/embedding/CMakeLists.txt", "target_link_libraries(taut_embedding taut_nn)", "may not use `nn`"),
        ("src/dist/a.cc", "", "src/dist: no row for this area"),
        ("include/taut/dist/a.h", "", "include/taut/dist: no row for this area"),
        ("src/embedding/a.cc", "\n" * 501, "501 lines, at most 500"),
        ("python/taut/a.py", "\n" * 501, "501 lines, at most 500"),
        ("tests/embedding/a_test.py", "\n" * 501, "501 lines, at most 500"),
        ("src/embedding/CMakeLists.txt", "add_compile_options(-march=native)", "for this machine only"),
        ("cmake/Flags.cmake", "set(CMAKE_CXX_FLAGS -mtune=native)", "for this machine only"),
        ("CMakePresets.json", '{"CMAKE_CXX_FLAGS": "-O3 -march=native"}', "for this machine only"),
    ],
)
def test_a_violation_is_found_and_names_its_file(tree, name, text, complaint):
    put(tree, name, text)
    violations = check_layout.find_violations(tree)
    assert len(violations) == 1, violations
    assert complaint in violations[0]
    assert violations[0].startswith(name if "no row" not in complaint else name.rsplit("/", 1)[0])


def test_a_clash_through_our_own_header_is_found(tree):
    put(tree, "src/nn/printing.h", "#include <fmt/core.h>\n")
    put(tree, "src/nn/model.h", '#include "printing.h"\n')
    put(tree, "src/nn/model.cc", '#include "nn/model.h"\n#include <ATen/ATen.h>\n')
    violations = check_layout.find_violations(tree)
    assert violations == ["src/nn/model.cc: fmt/core.h and ATen/ATen.h in one file: LibTorch bundles another fmt"]


def test_headers_that_include_each_other_end_the_search(tree):
    put(tree, "src/nn/a.h", '#include "nn/b.h"\n')
    put(tree, "src/nn/b.h", '#include "nn/a.h"\n')
    assert check_layout.find_violations(tree) == []


def test_a_table_that_is_gone_is_a_violation(tree):
    put(tree, "src/README.md", "# nothing here\n")
    assert check_layout.find_violations(tree) == ["src/README.md: the table of areas was not found"]


def test_the_command_prints_violations_and_fails(tree, capsys):
    assert check_layout.main([str(tree)]) == 0
    put(tree, "src/core/a.cc", "#include <torch/torch.h>\n")
    assert check_layout.main([str(tree)]) == 1
    assert "src/core/a.cc: includes torch/torch.h" in capsys.readouterr().out
