"""Docstrings for the site: examples that doctest runs are blocks of code, not quotes."""

import re

import griffe

EXAMPLE = re.compile(r"(?:^>>> .*\n?)(?:^[^\n]+\n?)*", re.MULTILINE)


def fenced(text: str) -> str:
    """The text with each example, which ends at an empty line, in a fence."""
    return EXAMPLE.sub(lambda found: f"```python\n{found[0].rstrip()}\n```\n", text)


class Examples(griffe.Extension):
    """Fences the examples of every docstring that is loaded."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Changes one object's docstring."""
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)
