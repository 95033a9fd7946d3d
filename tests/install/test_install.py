"""The installed package serves a program of somebody else's, without LibTorch."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("TAUT_BUILD", ROOT / "build/release"))


def run(*command) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_outside_program_finds_builds_and_runs(tmp_path):
    prefix, build = tmp_path / "prefix", tmp_path / "build"
    run("cmake", "--install", BUILD, "--prefix", prefix)
    run("cmake", "-S", ROOT / "examples/cpp", "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", build)
    assert "error" in run(build / "train_one_table")
    linked = run("ldd", build / "train_one_table")
    assert "libtorch" not in linked and "libarrow" not in linked


def test_the_installed_headers_stand_alone(tmp_path):
    prefix = tmp_path / "prefix"
    run("cmake", "--install", BUILD, "--prefix", prefix)
    headers = sorted((prefix / "include").rglob("*.h"))
    assert headers
    source = tmp_path / "all.cc"
    for header in headers:
        source.write_text(f'#include "{header.relative_to(prefix / "include")}"\n')
        run("g++", "-std=c++20", "-fsyntax-only", f"-I{prefix / 'include'}", source)
