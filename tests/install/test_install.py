"""The installed tree: components that need only their own, programs that run, headers that stand alone."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("TAUT_BUILD", ROOT / "build/release"))
# Areas whose headers include LibTorch's.
TORCH_AREAS = ("nn", "train")


def run(*command, expected=0, **options) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout if expected == 0 else done.stdout + done.stderr


@pytest.fixture(scope="module")
def prefix(tmp_path_factory) -> Path:
    """A tree that `cmake --install` made, moved after it was installed."""
    folder = tmp_path_factory.mktemp("installed")
    run("cmake", "--install", BUILD, "--prefix", folder / "first")
    return (folder / "first").rename(folder / "prefix")


def project(folder: Path, line: str) -> Path:
    """A project of somebody else's with one line of CMake."""
    folder.mkdir()
    (folder / "CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.25)\nproject(user LANGUAGES CXX)\n{line}\n"
    )
    return folder


def test_a_component_needs_its_own_packages_alone(prefix, tmp_path):
    build = tmp_path / "build"
    hidden = ["Torch", "tomlplusplus", "nlohmann_json", "JPEG", "PNG", "ZLIB", "CLI11", "Python3"]
    hide = [f"-DCMAKE_DISABLE_FIND_PACKAGE_{name}=ON" for name in hidden]
    arrow = "-DTAUT_ARROW_LIBRARIES=/nowhere"
    run("cmake", "-S", ROOT / "examples/cpp", "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", arrow, *hide)
    run("cmake", "--build", build)
    assert "error" in run(build / "train_one_table")
    linked = run("ldd", build / "train_one_table")
    assert not any(name in linked for name in ("libtorch", "libarrow", "libonnx"))


def test_the_engine_is_called_from_c(prefix, tmp_path):
    onnx = pytest.importorskip("onnx")
    build = tmp_path / "build"
    run("cmake", "-S", ROOT / "examples/c", "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", build)
    half = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> half (float[1, 3] x) => (float[1, 3] y)'
        " <float[3] b = {1, 2, 3}> { y = Add(x, b) }"
    )
    onnx.save(half, tmp_path / "half.onnx")
    assert run(build / "run_model", tmp_path / "half.onnx").split() == ["1", "2", "3"]
    assert "not there" in run(build / "run_model", "not there", expected=1)


@pytest.mark.parametrize(
    ("component", "hidden"),
    [("sparsity", "HWY"), ("embedding", "HWY"), ("parallel", "tomlplusplus"), ("data", "PNG"), ("torch", "Torch")],
)
def test_a_component_without_its_package_is_not_found(prefix, tmp_path, component, hidden):
    source = project(tmp_path / "user", f"find_package(taut REQUIRED COMPONENTS {component})")
    arguments = ("cmake", "-S", source, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    output = run(*arguments, f"-DCMAKE_DISABLE_FIND_PACKAGE_{hidden}=ON", expected=1)
    assert hidden in output


def test_an_unknown_component_is_an_error_that_names_the_known_ones(prefix, tmp_path):
    source = project(tmp_path / "user", "find_package(taut REQUIRED COMPONENTS embedding engine)")
    output = run("cmake", "-S", source, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}", expected=1)
    words = " ".join(output.split())
    assert "taut has no component engine; this installation has core, embedding" in words


def test_all_components_are_found_together(prefix, tmp_path):
    source = project(
        tmp_path / "user",
        "find_package(taut REQUIRED)\n"
        "foreach(name core embedding sparsity graph parallel infer data nn train torch)\n"
        '  if(NOT TARGET taut::${name})\n    message(FATAL_ERROR "no taut::${name}")\n  endif()\nendforeach()',
    )
    run("cmake", "-S", source, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}")


def test_every_public_header_is_installed(prefix):
    def names(folder):
        return {path.relative_to(folder) for path in folder.rglob("*.h")}

    assert names(prefix / "include") == names(ROOT / "include")


def test_the_installed_headers_stand_alone(prefix, tmp_path):
    include = prefix / "include"
    headers = sorted(path.relative_to(include) for path in include.rglob("*.h"))
    source = tmp_path / "all.cc"
    for header in headers:
        if header.parts[1] in TORCH_AREAS:
            continue
        source.write_text(f'#include "{header}"\n')
        run("g++", "-std=c++20", "-fsyntax-only", f"-I{include}", source)


def test_the_installed_headers_over_libtorch_compile_together(prefix, tmp_path):
    torch = pytest.importorskip("torch.utils.cpp_extension")
    include = prefix / "include"
    names = sorted(path.relative_to(include) for area in TORCH_AREAS for path in (include / "taut" / area).rglob("*.h"))
    source = tmp_path / "all.cc"
    source.write_text("".join(f'#include "{name}"\n' for name in names))
    folders = [f"-isystem{folder}" for folder in torch.include_paths()]
    run("g++", "-std=c++20", "-fsyntax-only", f"-I{include}", *folders, source)


def test_the_installed_programs_run_without_the_build_tree(prefix, tmp_path):
    taut = prefix / "bin/taut"
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    for name in ("taut", "taut-torch"):
        path = run("readelf", "-d", prefix / "bin" / name)
        assert "$ORIGIN/../lib" in path
        assert str(BUILD) not in path
        assert "not found" not in run("ldd", prefix / "bin" / name, env=clean)
    library = next((prefix / "lib").rglob("libtaut_torch.so"))
    assert "not found" not in run("ldd", library, env=clean)
    assert run(taut, "--version", env=clean).strip()
    assert json.loads(run(taut, "info", "lenet-c", "--json", env=clean))
    assert "lenet-c" in run(taut, "plan", "lenet-c", env=clean).lower()

    out = tmp_path / "run"
    config = ROOT / "examples/flights.toml"
    run(taut, "train", config, "--out", out, "--memory-budget", "1/100", env=clean)
    assert (out / "summary.json").is_file()
