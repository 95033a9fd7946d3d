"""The look of all pages, from one file: page.css, which CMake also puts into the pages that the commands write."""

import re
from pathlib import Path

STYLE = Path(__file__).with_name("page.css").read_text("utf-8")

_VALUES = dict(re.findall(r"--([\w-]+): ([^;]+);", STYLE))

FONT = _VALUES["font"]
TEXT = _VALUES["text"]
GRID = _VALUES["grid"]
PALETTE = tuple(_VALUES[f"series-{number}"] for number in range(1, 11))


def colour(index: int) -> str:
    """The colour of the index-th run, method or part."""
    return PALETTE[index % len(PALETTE)]
