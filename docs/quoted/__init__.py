"""The parts of pages that a program computes, one module for each page.

A page marks such a part with two comments, which a reader does not see:

    <!-- computed: images-minority -->
    | a table |
    <!-- /computed -->

and a module of this folder has a function ``@computed("docs/images.md", "images-minority")`` that
returns the text between them.  ``python docs/refresh.py`` writes the text into the page, and
``tests/docs`` compares the two.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MARK = re.compile(
    r"<!-- computed: (?P<name>[\w-]+) -->\n(?P<body>.*?)<!-- /computed -->", re.DOTALL
)


@dataclass(frozen=True)
class Number:
    """A measured value, the text that the page shows, and its standard error over chains.

    The text begins with the value; its error can follow.
    """

    value: float
    text: str
    error: float


Cell = str | Number


@dataclass(frozen=True)
class Table:
    """A Markdown table; the first row is its head."""

    rows: Sequence[Sequence[Cell]]

    def __str__(self) -> str:
        # a bar would end the cell, also within a span of code
        texts = [[str(getattr(c, "text", c)).replace("|", r"\|") for c in row] for row in self.rows]
        head, *rows = texts
        lines = ["".join(f" {c} |" if c else " |" for c in row) for row in (head, *rows)]
        lines.insert(1, "---|" * len(head))
        return "".join(f"|{line}\n" for line in lines)


@dataclass(frozen=True)
class Part:
    """A computed part of a page.

    long: takes more than a minute of CPU time, so that only ``docs/refresh.py NAME`` computes it.
    rounding: the last bit of a sum decides where the chains go, as in the training of a network,
    so that another CPU gives other values of the same distribution.
    """

    page: str
    name: str
    make: Callable[[], Table | str]
    long: bool = False
    rounding: bool = False

    def on_page(self) -> str:
        """The text that the page has now."""
        [body] = [
            found["body"]
            for found in MARK.finditer((ROOT / self.page).read_text(encoding="utf-8"))
            if found["name"] == self.name
        ]
        return body

    def write(self, text: str) -> bool:
        """Put the text into the page.  Returns whether it has changed."""
        path = ROOT / self.page
        before = path.read_text(encoding="utf-8")
        start = f"<!-- computed: {self.name} -->\n"
        head, rest = before.split(start)
        after = head + start + text + rest[rest.index("<!-- /computed -->") :]
        path.write_text(after, encoding="utf-8")
        return after != before


PARTS: dict[str, Part] = {}


def computed(page: str, name: str, *, long: bool = False, rounding: bool = False):
    """Register the function that computes the part ``name`` of a page."""

    def register(make: Callable[[], Table | str]) -> Callable[[], Table | str]:
        PARTS[name] = Part(page, name, make, long, rounding)
        return make

    return register


def differences(part: Part, fresh: Table | str) -> list[str]:
    """Where the page does not say what was computed; [] if it does.

    A page agrees if its text is the same.  If rounding decides the chains, a value may differ by
    four standard errors of the difference of two runs.
    """
    page, now = part.on_page(), str(fresh)
    if page == now:
        return []
    if not (part.rounding and isinstance(fresh, Table)):
        pairs = zip(page.splitlines(), now.splitlines(), strict=False)
        return [f"page: {a}\nnow:  {b}" for a, b in pairs if a != b] or ["other number of lines"]
    lines = [line for line in page.splitlines() if not line.startswith("|---")]
    cells = [
        [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line[1:-1])]
        for line in lines
    ]
    if [len(row) for row in cells] != [len(row) for row in fresh.rows]:
        return ["the table has another shape"]
    return [
        f"page: {here}, now: {getattr(new, 'text', new)}"
        for old, row in zip(cells, fresh.rows, strict=True)
        for here, new in zip(old, row, strict=True)
        if not _agrees(here, new)
    ]


def _agrees(here: str, new: Cell) -> bool:
    if isinstance(new, str):
        return here == new.strip()
    shown = here.partition(" ")[0]
    last_digit = 10.0 ** -len(shown.partition(".")[2])
    return abs(float(shown) - new.value) <= 4 * math.sqrt(2) * new.error + last_digit / 2
