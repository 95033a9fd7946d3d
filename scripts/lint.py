#!/usr/bin/env python3
"""Format and lint checks over the files that git knows; --fix rewrites instead of complaining.

clang-tidy runs on the sources of the preset tidy: the areas that need neither LibTorch nor Arrow, with
their tests. A file is not checked again while it, the headers and .clang-tidy are the same.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
COMPILE_DIR = ROOT / "build" / "tidy"
CACHE = COMPILE_DIR / "checked"


def tracked(*patterns: str) -> list[str]:
    """Files of the checkout, new ones that git does not ignore included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return sorted(name for name in set(listed) if (ROOT / name).is_file())


def passes(title: str, command: list[str]) -> bool:
    """Runs one check, prints its output if it fails, and its duration always."""
    start = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    print(f"{title}: {'ok' if done.returncode == 0 else 'FAILED'} ({time.monotonic() - start:.1f} s)", flush=True)
    if done.returncode != 0:
        print(done.stdout + done.stderr, flush=True)
    return done.returncode == 0


def content_hash(names: list[str], seed: str = "") -> str:
    """SHA-256 over names and contents of the files, after a seed."""
    digest = hashlib.sha256(seed.encode())
    for name in names:
        digest.update(name.encode() + b"\0" + (ROOT / name).read_bytes() + b"\0")
    return digest.hexdigest()


def tidy_sources() -> list[str]:
    """Our sources in the compilation database, as paths from the root."""
    database = json.loads((COMPILE_DIR / "compile_commands.json").read_text("utf-8"))
    files = {pathlib.Path(entry["directory"], entry["file"]).resolve() for entry in database}
    inside = {str(path.relative_to(ROOT)) for path in files if path.is_relative_to(ROOT)}
    return sorted(inside & set(tracked("*.cc")))


def tidy_one(name: str, key: str) -> tuple[str, str]:
    """Checks one file; returns its name and what was found, "" for nothing."""
    stamp = CACHE / key
    if stamp.exists():
        return name, ""
    command = [
        str(BIN / "clang-tidy"),
        "--quiet",
        "--warnings-as-errors=*",
        "--extra-arg=-Wno-unknown-warning-option",
        f"--header-filter={re.escape(str(ROOT))}/(include|src|tests)/.*",
        f"-p={COMPILE_DIR}",
        name,
    ]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode == 0:
        stamp.touch()
        return name, ""
    return name, done.stdout + done.stderr


def tidy(jobs: int) -> bool:
    """clang-tidy over all sources that changed, several at a time."""
    start = time.monotonic()
    CACHE.mkdir(parents=True, exist_ok=True)
    shared = content_hash(["requirements.txt", *tracked("*.clang-tidy", "include/*.h", "src/*.h", "tests/*.h")])
    sources = {name: content_hash([name], shared) for name in tidy_sources()}
    old = set(CACHE.iterdir()) - {CACHE / key for key in sources.values()}
    for stamp in old:
        stamp.unlink()
    todo = [name for name, key in sources.items() if not (CACHE / key).exists()]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        found = [(name, text) for name, text in pool.map(lambda name: tidy_one(name, sources[name]), todo) if text]
    seconds = time.monotonic() - start
    state = "FAILED" if found else "ok"
    print(f"clang-tidy: {state} ({len(todo)} of {len(sources)} files checked, the rest unchanged, {seconds:.1f} s)")
    for name, text in found:
        print(f"{name}:\n{text}")
    return not found


def main() -> int:
    """Runs all checks, or rewrites with --fix; 1 if anything is left to mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--fix", action="store_true", help="rewrite files in the project's format; no clang-tidy")
    options = parser.parse_args()
    cxx_files = tracked("*.h", "*.cc")
    clang_format = [str(BIN / "clang-format")]
    ruff = str(BIN / "ruff")
    if options.fix:
        fixed = [
            passes("clang-format", [*clang_format, "-i", *cxx_files]),
            passes("ruff check", [ruff, "check", "--quiet", "--fix", "."]),
            passes("ruff format", [ruff, "format", "--quiet", "."]),
        ]
        return 0 if all(fixed) else 1
    results = [
        passes("clang-format", [*clang_format, "--dry-run", "-Werror", *cxx_files]),
        passes("ruff check", [ruff, "check", "."]),
        passes("ruff format", [ruff, "format", "--check", "."]),
        tidy(options.jobs),
    ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
