#!/usr/bin/env python3
"""What documents and history say, against the tree: paths, the picture of dependencies, figures, sections, titles.

Usage: check_claims.py [ROOT]      prints one line a violation; exit 1 if there is any.
       check_claims.py --picture   prints the edges that the picture of docs/architecture.md must have.
"""

import json
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import check_layout
import demo

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "src/README.md")
FOLDERS = ("src", "include", "tests", "bench", "python", "scripts", "cmake", "docs", "examples")
# A path in a page; not one that goes on with a placeholder (AREA, NAME, <area>) or lies under build/.
PATH = re.compile(r"(?<![\w/.-])((?:" + "|".join(FOLDERS) + r")/[\w./*-]*\w[/\w]*)(?![\w<])")
PLACEHOLDER = re.compile(r"AREA|NAME|SET|/x_test\.|\*|^examples/s$")  # the last one: a speed
SECTION = re.compile(r"([\w/-]+\.md)`?,? sections? \d", re.IGNORECASE)
DRAWN = re.compile(r"^\s*(\w+) --> (\w+)\s*$", re.MULTILINE)
TITLE = re.compile(r"[a-z][a-z0-9_-]*(, [a-z][a-z0-9_-]*)*: \S.*")
LONGEST_TITLE = 72
# Titles are checked from here on; some older ones are longer.
FIRST_CHECKED = "7041d3d"
DEMO_RESULTS = "docs/results/demo.json"
# Tests are to be at least this share of the lines of what they test.
LEAST_TEST_RATIO = 0.6


def pages(root: pathlib.Path) -> list[pathlib.Path]:
    """The pages whose claims are checked."""
    return [root / name for name in PAGES if (root / name).is_file()] + sorted((root / "docs").glob("*.md"))


def missing_paths(root: pathlib.Path) -> Iterator[str]:
    """Paths of the repository that a page names and that are not there."""
    for page in pages(root):
        for number, line in enumerate(page.read_text("utf-8").splitlines(), start=1):
            for name in PATH.findall(line):
                if not PLACEHOLDER.search(name) and not (root / name).exists():
                    yield f"{page.relative_to(root)}:{number}: {name} is not there"


def foreign_sections(root: pathlib.Path) -> Iterator[str]:
    """References to numbered sections: our pages have no numbers, and other documents are not here."""
    for path in [*check_layout.files_of(root, "*.h", "*.cc", "*.py", "CMakeLists.txt", "*.toml"), *pages(root)]:
        # Comments go on over line ends.
        text = re.sub(r"\s*\n\s*(?:///?|#)?\s*", " ", path.read_text("utf-8"))
        for found in SECTION.finditer(text):
            yield f"{path.relative_to(root)}: names {found.group(0)}: no page here has numbered sections"


def real_edges(root: pathlib.Path) -> dict[str, set[str]]:
    """For each area, the areas that its sources include or its CMake file links."""
    rules = check_layout.read_rules(root)
    edges: dict[str, set[str]] = {area: set() for area in rules}
    for area in rules:
        folders = (root / "src" / area, root / "include/taut" / area)
        for path in (file for folder in folders for file in folder.rglob("*") if file.suffix in (".h", ".cc")):
            edges[area] |= {check_layout.included_area(name, rules) for name in check_layout.includes_of(path)}
        links = root / "src" / area / "CMakeLists.txt"
        if links.is_file():
            edges[area] |= set(check_layout.LINKED.findall(links.read_text("utf-8")))
        edges[area] = (edges[area] & set(rules)) - {area}
    return edges


def reach(edges: dict[str, set[str]], start: str) -> set[str]:
    """All areas that one uses, also through others."""
    found: set[str] = set()
    todo = [start]
    while todo:
        new = edges.get(todo.pop(), set()) - found
        found |= new
        todo += new
    return found


def picture(root: pathlib.Path) -> list[tuple[str, str]]:
    """The edges to draw: those that do not follow from the others."""
    edges = real_edges(root)
    return [
        (area, used)
        for area in reversed(edges)
        for used in sorted(edges[area], key=list(edges).index, reverse=True)
        if not any(used in reach(edges, other) for other in edges[area] - {used})
    ]


def wrong_edges(root: pathlib.Path) -> Iterator[str]:
    """Where the picture of docs/architecture.md differs from includes and link lines."""
    page = root / "docs/architecture.md"
    drawn, wanted = set(DRAWN.findall(page.read_text("utf-8"))), set(picture(root))
    for area, used in sorted(drawn - wanted):
        yield f"docs/architecture.md: draws {area} --> {used}, which is not there or follows from other edges"
    for area, used in sorted(wanted - drawn):
        yield f"docs/architecture.md: does not draw {area} --> {used}"


def wrong_tables(root: pathlib.Path) -> Iterator[str]:
    """Tables of README.md that are not those of the results file that `make demo` wrote."""
    results = json.loads((root / DEMO_RESULTS).read_text("utf-8"))
    text = (root / "README.md").read_text("utf-8")
    shown = ((demo.table_lines, "tables"), (demo.digits_lines, "digits"), (demo.engine_lines, "engine"))
    for table in (lines(results[part]) for lines, part in shown):
        if "\n".join(table) not in text:
            yield f"README.md: has not the table of {DEMO_RESULTS} that starts with {table[0]!r}: {chr(10).join(table)}"


def bad_titles(titles: list[str]) -> Iterator[str]:
    """Commit titles that are not `scope: what changed` in at most 72 characters."""
    for title in titles:
        if len(title) > LONGEST_TITLE:
            yield f"commit {title!r}: {len(title)} characters, at most {LONGEST_TITLE}"
        if re.search(r"\bwip\b", title, re.IGNORECASE):
            yield f"commit {title!r}: says wip"
        elif not TITLE.fullmatch(title):
            yield f"commit {title!r}: wanted `scope: what changed`"


def titles_since(root: pathlib.Path, first: str) -> list[str] | None:
    """Titles of the commits after one, merges left out; None where the history does not reach back so far."""
    command = ["git", "-C", str(root), "log", "--no-merges", "--format=%s", f"{first}..HEAD"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.splitlines() if done.returncode == 0 else None


def test_ratio(root: pathlib.Path) -> float:
    """Lines of tests by lines of what they test."""

    def lines(*folders: str) -> int:
        files = (path for folder in folders for path in (root / folder).rglob("*"))
        return sum(path.read_text("utf-8").count("\n") for path in files if path.suffix in (".h", ".cc", ".py"))

    return lines("tests") / max(1, lines("src", "include", "python"))


def find_violations(root: pathlib.Path) -> list[str]:
    """All violations under root, one line each."""
    found = [*missing_paths(root), *foreign_sections(root), *wrong_edges(root), *wrong_tables(root)]
    found += bad_titles(titles_since(root, FIRST_CHECKED) or [])
    if (ratio := test_ratio(root)) < LEAST_TEST_RATIO:
        found.append(f"tests: {ratio:.3f} lines for each line that they test, at least {LEAST_TEST_RATIO}")
    return found


def main(arguments: list[str]) -> int:
    """Checks the tree that the command line names, or the one that this script is in."""
    if arguments == ["--picture"]:
        print("\n".join(f"  {area} --> {used}" for area, used in picture(ROOT)))
        return 0
    root = pathlib.Path(arguments[0]).resolve() if arguments else ROOT
    violations = find_violations(root)
    print("\n".join(violations) if violations else "claims: ok")
    print(f"lines of tests for each line that they test: {test_ratio(root):.2f}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
