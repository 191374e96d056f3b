"""Numbers as texts for readers, and tables of them that fit a terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import pandas as pd

from ..display import shortened, visible
from ..errors import NothingMatched
from ..suggest import nearest
from .render import needed, number

EIGHTHS = "\u258f\u258e\u258d\u258c\u258b\u258a\u2589"  # of a block, filled from the left
LEAST = 16  # characters of a text that is cut to fit a terminal
HEADINGS = {
    "track": "track",
    "tier": "tier",
    "entry": "entry",
    "score": "averted",
    "interval": "95 %",
    "tail": "tail lost",
    "diversity": "diversity lost",
    "ranks": "ranks",
    "tunings": "default / best",
    "coverage": "covers",
    "signs": "signs",
    "refused": "refused",
    "value": "value",
    "worst": "worst family",
    "harmed": "harmed",
    "failed": "failed",
    "risk": "risk score",
    "real": "real rows",
    "verifier": "verifier calls",
    "generated": "generated rows",
    "refits": "fits of method",
    "cost": "cost",
    "frozen": "beats frozen",
    "effective": "n_e/n",
    "lesson": "ESS/n",
}

#: columns of text, aligned left
WORDS = ("entry", "track", "task", "family", "worst family", "beats frozen", "status")
#: columns that a narrow terminal leaves out first, in this order
DISPENSABLE = (
    *(
        "lesson",
        "effective",
        "refits",
        "generated",
        "cost",
        "frozen",
        "diversity",
        "risk",
        "failed",
    ),
    *("refused", "verifier", "worst", "harmed", "real", "tail"),
    *("value", "tunings", "signs", "coverage", "ranks"),
)
#: columns that stay in any case
KEPT = (
    *(HEADINGS["tier"], HEADINGS["entry"], HEADINGS["score"]),
    *("task", "loss", "S_k", "status"),
)


def scores_across(frame: pd.DataFrame, short: dict[str, str]) -> pd.DataFrame:
    texts = {name: [signed(value) for value in frame[name]] for name in ("S", *short)}
    return frame.assign(**texts).rename(columns={**short, "S": HEADINGS["score"]})


def as_words(frame: pd.DataFrame) -> pd.DataFrame:
    """Numbers rounded for readers."""
    numeric = frame.select_dtypes("number").columns
    return frame.assign(**{name: [number(v) for v in frame[name]] for name in numeric}).astype(str)


def signed(value: float) -> str:
    return "" if math.isnan(value) else f"{value:+.2f}"


def plain(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


def p_value(value: float) -> str:
    """A p value with two digits, as 0.043 or 2e-05."""
    return "" if math.isnan(value) else "< 1e-99" if value < 1e-99 else f"{value:.2g}"


def method_of(entry: str) -> str:
    """The name of an entry without its parameters: variants of one method share it."""
    while (shorter := re.sub(r"\([^()]*\)", "", entry)) != entry:
        entry = shorter
    return entry.strip()


def chosen(frame: pd.DataFrame, entries: Sequence[str]) -> pd.DataFrame:
    """The rows of these names or methods, or that match one of these patterns; all for none.

    Raises NothingMatched where one matches no row.
    """
    if not entries:
        return frame
    known = list(dict.fromkeys(frame.entry))
    wanted: set[str] = set()
    for text in entries:
        some = {e for e in known if text in (e, method_of(e)) or fnmatchcase(e, text)}
        if not some:
            raise NothingMatched(f"the board has no row {text!r}{nearest(text, known)}")
        wanted |= some
    return frame[frame.entry.isin(list(wanted))].reset_index(drop=True)


def bar(value: float, size: int = 6) -> str:
    """A bar from the middle, 0, to the right for a score up to 1, and to the left for one down to
    -1; "" without a value."""
    if math.isnan(value):
        return ""
    half = size // 2
    eighths = min(round(abs(value) * half * 8), half * 8)
    if value < 0:  # there are no blocks that are filled from the right, except half ones
        full, rest = divmod(eighths, 8)
        blocks = ("\u2590" if rest >= 4 else "") + "\u2588" * full
        return f"{blocks:>{half}}\u2502".ljust(size + 1)
    full, rest = divmod(eighths, 8)
    blocks = "\u2588" * full + EIGHTHS[:rest][-1:]
    return f"{'':>{half}}\u2502{blocks:<{half}}"


def color_of(low: float, high: float) -> str:
    """The colour of a score: green where its whole interval is above 0, red where it is below."""
    return "green" if low > 0 else "red" if high < 0 else ""


def percent(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.0f} %"


def narrowed(cells: pd.DataFrame, width: int) -> tuple[pd.DataFrame, list[str]]:
    """The table without the columns that do not fit, and the names of the columns left out.

    The less important columns go first, then the others from right to left; a column with a
    warning goes last.
    """
    named = [HEADINGS[key] for key in DISPENSABLE if HEADINGS[key] in cells]
    kept = {*KEPT, cells.columns[0]}  # a board begins with the track
    others = [name for name in reversed(cells.columns) if name not in {*named, *kept}]
    order = sorted([*named, *others], key=lambda name: alarming(name, cells[name]))
    gone: list[str] = []
    while order and needed(cells) > width:
        gone.append(order.pop(0))
        cells = cells.drop(columns=gone[-1])
    return cut_short(cells, width), gone


def alarming(name: str, column: Any) -> bool:
    """Whether a column warns of something."""
    if name == HEADINGS["risk"]:
        return bool(column.str.contains("!").any())
    return name == HEADINGS["failed"] and bool(set(column) - {"0 %", ""})


def cut_short(cells: pd.DataFrame, width: int) -> pd.DataFrame:
    """The table with its longest texts cut in the middle, if it is still too wide."""
    cells = cells.map(visible)
    while (beyond := needed(cells) - width) > 0:
        lengths = {name: max(map(len, cells[name]), default=0) for name in cells.columns}
        longest = max(lengths, key=lambda name: lengths[name])
        if lengths[longest] <= LEAST:
            break
        room = max(LEAST, lengths[longest] - beyond)
        cells = cells.assign(**{longest: [shortened(text, room) for text in cells[longest]]})
    return cells
