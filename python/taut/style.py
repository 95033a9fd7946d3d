"""The look of all pages: page.html and page.css, which CMake also puts into the pages that the commands write."""

import html
import re
from pathlib import Path

FRAME = Path(__file__).with_name("page.html").read_text("utf-8")
STYLE = Path(__file__).with_name("page.css").read_text("utf-8")

_VALUES = dict(re.findall(r"--([\w-]+): ([^;]+);", STYLE))

FONT = _VALUES["font"]
TEXT = _VALUES["text"]
GRID = _VALUES["grid"]
PALETTE = tuple(_VALUES[f"series-{number}"] for number in range(1, 11))


def page(title: str, body: str, head: str = "") -> str:
    """A whole page: title is text and gets escaped, body and what is added to the head are markup."""
    parts = {"TITLE": html.escape(title), "STYLE": STYLE, "HEAD": head, "BODY": body}
    return re.sub("%(TITLE|STYLE|HEAD|BODY)%", lambda found: parts[found[1]], FRAME)


def colour(index: int) -> str:
    """The colour of the index-th run, method or part."""
    return PALETTE[index % len(PALETTE)]
