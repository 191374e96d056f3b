"""Numbers as texts for readers, and tables of them that fit a terminal."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from ..display import shortened, visible
from .render import needed, number

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
    order = sorted([*named, *others], key=lambda name: _alarming(name, cells[name]))
    gone: list[str] = []
    while order and needed(cells) > width:
        gone.append(order.pop(0))
        cells = cells.drop(columns=gone[-1])
    return _cut_short(cells, width), gone


def _alarming(name: str, column: Any) -> bool:
    """Whether a column warns of something."""
    if name == HEADINGS["risk"]:
        return bool(column.str.contains("!").any())
    return name == HEADINGS["failed"] and bool(set(column) - {"0 %", ""})


def _cut_short(cells: pd.DataFrame, width: int) -> pd.DataFrame:
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
