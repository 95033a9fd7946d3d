#!/usr/bin/env python3
"""Makes the wheel of the Python package, with every library that it needs beside PyTorch's and pyarrow's.

Usage: make_wheel.py [--build FOLDER] [--out FOLDER]     --build: whose programs are taken (default build/release)

The system's libraries (protobuf, spdlog and the like) are copied into the wheel by auditwheel, which gives it the tag
of the oldest systems that can load it.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What the wheels of PyTorch and pyarrow bring.
OUTSIDE = ("libtorch*.so", "libc10.so", "libarrow.so.*", "libparquet.so.*")


def run(*command: object) -> None:
    """Runs a command quietly, with the programs of this Python's packages; what it printed is shown where it fails."""
    environment = {**os.environ, "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=ROOT, env=environment)
    if done.returncode != 0:
        sys.exit(f"error: {command[2]} failed\n{done.stdout}{done.stderr}")


def make_wheel(build: pathlib.Path, out: pathlib.Path) -> pathlib.Path:
    """Writes the wheel into out; returns its path."""
    with tempfile.TemporaryDirectory() as scratch:
        plain, repaired = pathlib.Path(scratch, "plain"), pathlib.Path(scratch, "repaired")
        settings = {
            "cmake.define.TAUT_WHEEL_FROM": build.resolve(),
            "build-dir": pathlib.Path(scratch, "build"),
        }
        run(
            *(sys.executable, "-m", "pip", "wheel", ROOT, "--wheel-dir", plain),
            *("--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check"),
            *(f"--config-settings={key}={value}" for key, value in settings.items()),
        )
        [wheel] = plain.glob("*.whl")
        excluded = [word for name in OUTSIDE for word in ("--exclude", name)]
        run(sys.executable, "-m", "auditwheel", "repair", *excluded, "--wheel-dir", repaired, wheel)
        [wheel] = repaired.glob("*.whl")
        out.mkdir(parents=True, exist_ok=True)
        path = out / wheel.name
        path.write_bytes(wheel.read_bytes())
    return path


def main() -> None:
    """Makes the wheel and prints where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "dist")
    options = parser.parse_args()
    print(make_wheel(options.build.absolute(), options.out.absolute()))


if __name__ == "__main__":
    main()
