#!/usr/bin/env python3
"""Enforces the table of src/README.md and the rules of the layout: who may include and link whom.

Usage: check_layout.py [ROOT]     prints one line a violation; exit 1 if there is any.
"""

import pathlib
import re
import sys
from collections.abc import Iterator

# Headers that tell a library; the first path component, or the whole name.
LIBTORCH = ("torch", "ATen", "c10", "caffe2")
ARROW = ("arrow", "parquet")
FMT = ("spdlog", "fmt")
ONNX = ("onnx", "google")
# Areas that are built without LibTorch and Arrow, so that they can be embedded anywhere.
FREE_AREAS = ("core", "graph", "embedding", "sparsity", "parallel", "infer")
INTRINSICS = re.compile(r"(\w*mmintrin|immintrin|x86intrin|x86gprintrin|avx\w*intrin|arm_neon|arm_sve)\.h")
SOURCE_FOLDERS = ("src", "include", "tests", "bench", "python", "scripts", "examples")
MOST_LINES = 500
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
LINKED = re.compile(r"\btaut(?:::|_)(\w+)\b")


def read_rules(root: pathlib.Path) -> dict[str, set[str]]:
    """For each area, the areas that it may use, from the table of src/README.md."""
    rules: dict[str, set[str]] = {}
    for line in (root / "src" / "README.md").read_text("utf-8").splitlines():
        row = re.match(r"\| `(\w+)` \|[^|]*\|([^|]*)\|", line)
        if row is None:
            continue
        area, allowed = row.groups()
        rules[area] = set(rules) if "all above" in allowed else set(re.findall(r"`(\w+)`", allowed))
    return rules


def files_of(root: pathlib.Path, *patterns: str) -> Iterator[pathlib.Path]:
    """Files in the source folders by pattern, in a fixed order."""
    for folder in SOURCE_FOLDERS:
        for pattern in patterns:
            yield from sorted(path for path in (root / folder).rglob(pattern) if "__pycache__" not in path.parts)


def includes_of(path: pathlib.Path) -> list[str]:
    """What a file includes, as written."""
    return [name for _, name in INCLUDE.findall(path.read_text("utf-8"))]


def is_from(name: str, libraries: tuple[str, ...]) -> bool:
    """Whether an included name belongs to one of the libraries."""
    return name.split("/", maxsplit=1)[0] in libraries


def area_of(root: pathlib.Path, path: pathlib.Path) -> str | None:
    """The area whose rules a file keeps: by its folder under src, include/taut, tests or bench."""
    parts = path.relative_to(root).parts
    if parts[0] == "include":
        return parts[2] if len(parts) > 3 else None
    return parts[1] if parts[0] in ("src", "tests", "bench") and len(parts) > 2 else None


def our_header(root: pathlib.Path, includer: pathlib.Path, name: str) -> pathlib.Path | None:
    """The file of ours that an include names, or None for a library's."""
    for folder in (root / "include", root / "src", root / "tests", includer.parent):
        if (folder / name).is_file():
            return folder / name
    return None


def included_area(name: str, rules: dict[str, set[str]]) -> str | None:
    """The area that an included name belongs to: "taut/AREA/x.h" or, inside the project, "AREA/x.h"."""
    parts = name.split("/")
    if parts[0] == "taut":
        return parts[1] if len(parts) > 2 else None
    return parts[0] if len(parts) > 1 and parts[0] in rules else None


def check_areas(root: pathlib.Path, rules: dict[str, set[str]]) -> Iterator[str]:
    """Every folder has its row in the table."""
    for folder in ("src", "include/taut"):
        for path in sorted((root / folder).iterdir()) if (root / folder).is_dir() else []:
            if path.is_dir() and path.name not in rules:
                yield f"{path.relative_to(root)}: no row for this area in src/README.md"


def check_includes(root: pathlib.Path, path: pathlib.Path, rules: dict[str, set[str]]) -> Iterator[str]:
    """One file's own includes against its area's row."""
    place = path.relative_to(root)
    area = area_of(root, path)
    for name in includes_of(path):
        if INTRINSICS.fullmatch(name):
            yield f"{place}: includes {name}: no raw intrinsics, use Highway"
        if place.parts[0] == "include" and is_from(name, FMT):
            yield f"{place}: includes {name}: public headers hide spdlog and fmt"
        if area not in rules:
            continue
        used = included_area(name, rules)
        if used is not None and used != area and used not in rules[area]:
            yield f"{place}: includes {name}: `{area}` may not use `{used}`"
        if area in FREE_AREAS and is_from(name, LIBTORCH + ARROW):
            yield f"{place}: includes {name}: `{area}` is free of LibTorch and Arrow"


def check_mixtures(root: pathlib.Path, path: pathlib.Path) -> Iterator[str]:
    """Libraries that bring clashing copies of fmt or protobuf never meet, not even through our headers."""
    seen: set[pathlib.Path] = set()
    names: set[str] = set()
    todo = [path]
    while todo:
        current = todo.pop()
        if current in seen:
            continue
        seen.add(current)
        for name in includes_of(current):
            header = our_header(root, current, name)
            if header is None:
                names.add(name)
            else:
                todo.append(header)
    with_torch = sorted(name for name in names if is_from(name, LIBTORCH))
    for label, libraries in (("fmt", FMT), ("protobuf", ONNX)):
        clashing = sorted(name for name in names if is_from(name, libraries))
        if with_torch and clashing:
            both = f"{clashing[0]} and {with_torch[0]} in one file"
            yield f"{path.relative_to(root)}: {both}: LibTorch bundles another {label}"


def check_links(root: pathlib.Path, rules: dict[str, set[str]]) -> Iterator[str]:
    """What an area's CMake file links against its row."""
    for path in sorted((root / "src").glob("*/CMakeLists.txt")):
        area = path.parent.name
        for used in sorted(set(LINKED.findall(path.read_text("utf-8"))) & set(rules)):
            if used != area and used not in rules.get(area, set()):
                yield f"{path.relative_to(root)}: links taut::{used}: `{area}` may not use `{used}`"


def check_build_flags(root: pathlib.Path) -> Iterator[str]:
    """No flag that ties what is built to the machine that built it."""
    names = ("CMakeLists.txt", "CMakePresets.json", "Makefile")
    paths = [root / name for name in names] + sorted((root / "cmake").glob("*"))
    paths += list(files_of(root, "CMakeLists.txt", "*.cmake", "*.h", "*.cc"))
    for path in paths:
        if path.is_file() and re.search(r"-m(arch|tune|cpu)=native", path.read_text("utf-8")):
            yield f"{path.relative_to(root)}: builds for this machine only: Highway picks instructions at run time"


def check_lengths(root: pathlib.Path) -> Iterator[str]:
    """No file grows beyond what one can keep in mind."""
    for path in files_of(root, "*.h", "*.cc", "*.py", "*.sh", "CMakeLists.txt"):
        lines = path.read_text("utf-8").count("\n")
        if lines > MOST_LINES:
            yield f"{path.relative_to(root)}: {lines} lines, at most {MOST_LINES}: split it"


def find_violations(root: pathlib.Path) -> list[str]:
    """All violations under root, one line each, in a fixed order."""
    rules = read_rules(root)
    if not rules:
        return ["src/README.md: the table of areas was not found"]
    found = list(check_areas(root, rules))
    for path in files_of(root, "*.h", "*.cc"):
        found += check_includes(root, path, rules)
        found += check_mixtures(root, path)
    return [*found, *check_links(root, rules), *check_build_flags(root), *check_lengths(root)]


def main(arguments: list[str]) -> int:
    """Checks the tree that the command line names, or the one that this script is in."""
    root = pathlib.Path(arguments[0]) if arguments else pathlib.Path(__file__).resolve().parent.parent
    violations = find_violations(root.resolve())
    print("\n".join(violations) if violations else "layout: ok")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
