"""Commands in README and docs are ones that there are, with options that they have."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(?:sh|shell)?\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(taut [a-z][^`]*)`")
COMMAND = re.compile(r"^(?:[A-Z_]+=\S+ +)*(?:torchrun .*?)?(taut +[a-z].*)")


def commands_of(page):
    """Calls of taut, behind settings of the environment or not: names of the command, options."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    lines = [line for block in BLOCK.findall(text) for line in block.splitlines()]
    for line in lines + INLINE.findall(text):
        if found := COMMAND.match(line):
            words = shlex.split(found[1], comments=True)
            yield words[1].split("|"), {word.split("=")[0] for word in words[2:] if re.match(r"--[a-z]", word)}


@pytest.fixture(scope="module")
def options(taut):
    """The options of a command, by its name; asked for once."""
    known = {}

    def of(command):
        if command not in known:
            shown = taut(command, "--help").out
            known[command] = set(re.findall(r"--[a-z][a-z-]*", shown))
        return known[command]

    return of


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_are_known(options, page):
    for names, given in commands_of(page):
        for name in names:
            assert given <= options(name), (name, given)


def test_there_are_commands_in_the_docs():
    assert len(list(commands_of(ROOT / "README.md"))) >= 20
    assert sum(len(list(commands_of(page))) for page in PAGES) > 60
