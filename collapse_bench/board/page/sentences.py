"""What the numbers say, in three sentences; and the best rows of each kind of world."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from ..cells import signed
from ..ranked import RankedBoard, method_of
from ..render import named_rows
from ..worlds import CONTROLS, of_fewer
from ..worlds import HEADINGS as WORLDS
from .model import Text, World

MOST = 6  # names in one sentence
FEW = 3  # names in a part of one
#: each kind of world in two words
_SHORT = {
    "still": "still worlds",
    "growing": "growing webs",
    "moving": "moving worlds",
    "flawed": "flawed beginnings",
}
_PAID = "real|verifier|external"  # tracks of methods that read what others have to pay for


def sentences(board: RankedBoard, anchors: Mapping[str, str]) -> list[list[Text]]:
    """What is on top in each kind of world, what is above no mitigation where, and what is not."""
    rows = board.frame()
    rows = rows[~rows.control & rows.S.notna()]
    return [
        sentence
        for sentence in (
            _on_top(board, rows, anchors),
            _above(board, rows, anchors),
            _below(rows, anchors),
        )
        if sentence
    ]


def _row_text(row: Any, anchors: Mapping[str, str]) -> list[Text]:
    return [Text(row.entry, anchors[row.entry]), Text(f" ({signed(row.S)})")]


def _list(rows: pd.DataFrame, anchors: Mapping[str, str], most: int = MOST) -> list[Text]:
    """a (+0.31), b (+0.20) and 3 more."""
    texts: list[Text] = []
    for i, row in enumerate(named_rows(rows.head(most))):
        texts += [Text(", ")] * (i > 0) + _row_text(row, anchors)
    return [*texts, Text(f" and {len(rows) - most} more")] if len(rows) > most else texts


def _on_top(board: RankedBoard, rows: pd.DataFrame, anchors: Mapping[str, str]) -> list[Text]:
    """The best method of each kind of world, and the best that pays for nothing."""
    places = [
        (f"in {WORLDS[kind][0].lower()}{WORLDS[kind][1:]}", board.worlds[kind].rows)
        for kind in WORLDS
        if kind in board.worlds
    ] or [("", rows)]
    texts: list[Text] = []
    for words, table in places:
        ranked = table[table.ranked & ~table.control & table.S.notna()]
        ranked = ranked.sort_values("S", ascending=False)
        free = ranked[~ranked.track.str.contains(_PAID)].head(1)
        for row in named_rows(ranked.head(1)):
            texts.append(Text("; " if texts else "Best "))
            texts.append(Text(f"{words}: " if words else "of all tracks: "))
            texts += _row_text(row, anchors)
            if row.entry not in set(free.entry):
                texts[-1] = Text(f" ({signed(row.S)}, reads {_reads(row.track)})")
                for other in named_rows(free):
                    texts += [Text(" or, without them, "), *_row_text(other, anchors)]
    return [*texts, Text(".")] if texts else []


def _reads(track: str) -> str:
    words = {"real": "real rows", "external": "external data", "verifier": "a verifier"}
    return " and ".join(word for part, word in words.items() if part in track)


def _above(board: RankedBoard, rows: pd.DataFrame, anchors: Mapping[str, str]) -> list[Text]:
    """Methods above no mitigation: in every kind of world, and in one but not in another."""
    sure = rows.sort_values("S", ascending=False)
    sure = sure[sure.low > 0]
    helps = len(sure) > 0 and bool(sure.entry.map(board.words).eq("helps").all())
    more = ", and the sign holds at other numbers of rows and generations" if helps else ""
    which = f"for {len(sure)} of {len(rows)} methods"
    texts = [Text(f"The whole 95 % interval is above no mitigation {which}{more}")]
    if not board.worlds:
        return [*texts, *([Text(": "), *_list(sure, anchors)] if len(sure) else []), Text(".")]
    tables = {kind: scores.rows for kind, scores in board.worlds.items()}
    above = {kind: set(table.entry[table.low > 0]) for kind, table in tables.items()}
    everywhere = set(sure.entry).intersection(*above.values())
    some = sure[sure.entry.isin(everywhere)]
    texts.append(Text(f", {len(some) or 'none'} of them in every kind of world"))
    texts += [Text(": "), *_list(some, anchors)] if len(some) else []
    both = _both(tables, above, set(rows.entry[rows.ranked]))
    if both:
        texts.append(Text("; above in one kind and below in another: "))
        for i, (entry, best, worst) in enumerate(both[:FEW]):
            texts += [Text(", ")] * (i > 0)
            texts += [Text(entry, anchors[entry]), Text(f" ({best}, {worst})")]
        texts += [Text(f" and {len(both) - FEW} more")] if len(both) > FEW else []
    return [*texts, Text(".")]


def _both(
    tables: Mapping[str, pd.DataFrame], above: Mapping[str, set[str]], entries: Iterable[str]
) -> list[tuple[str, str, str]]:
    """(entry, its best and its worst kind of world) of those above 0 in one and below in another,
    the widest first."""
    found = []
    for entry in entries:
        scores = {
            kind: (float(row.S), bool(row.high < 0))
            for kind, table in tables.items()
            for row in named_rows(table[table.entry == entry])
        }
        up = [kind for kind in scores if entry in above[kind]]
        down = [kind for kind, (_, below) in scores.items() if below]
        if up and down:
            best = max(up, key=lambda kind: scores[kind][0])
            worst = min(down, key=lambda kind: scores[kind][0])
            found.append((scores[best][0] - scores[worst][0], entry, best, worst, scores))
    return [
        (entry, _in_world(scores[best][0], best), _in_world(scores[worst][0], worst))
        for _, entry, best, worst, scores in sorted(found, key=lambda one: (-one[0], one[1]))
    ]


def _in_world(score: float, kind: str) -> str:
    return f"{signed(score)} in {_SHORT.get(kind, kind)}"


def _below(rows: pd.DataFrame, anchors: Mapping[str, str]) -> list[Text]:
    worse = rows[rows.high < 0].sort_values("S")
    are = "method is" if len(worse) < 2 else "methods are"
    texts = [Text(f"{len(worse) or 'No'} {are} below no mitigation")]
    texts += [Text(": "), *_list(worse, anchors, 4)] if len(worse) else []
    used = rows[rows.value_control.notna() & (rows.value_control != "none")]
    beaten = used[used.value_verdict != "yes"]
    if len(used):
        texts.append(
            Text(
                f"; and {len(beaten)} of the {len(used)} methods that read more than the training "
                "set are not better than the control that reads as much and does nothing else"
            )
        )
    return [*texts, Text(".")]


def worlds_of(board: RankedBoard, anchors: Mapping[str, str]) -> list[World]:
    """For each kind of world the best method of each track, and the controls."""
    worlds = []
    for kind, heading in WORLDS.items():
        if kind not in board.worlds:
            continue
        scores = board.worlds[kind]
        table = scores.rows[scores.rows.S.notna()]
        best = table[table.ranked].sort_values("S", ascending=False).groupby("track").head(1)
        controls = table[table.control & table.entry.map(method_of).isin(CONTROLS)]
        worlds.append(
            World(
                heading,
                len(scores.efficacy.measured.names),
                [
                    (
                        row.track,
                        row.entry,
                        anchors[row.entry],
                        signed(row.S),
                        f"{signed(row.low)} to {signed(row.high)}" if row.low == row.low else "",
                    )
                    for row in named_rows(best)
                ],
                [
                    (row.entry, anchors[row.entry], signed(row.S) + of_fewer(row))
                    for row in named_rows(controls.sort_values("S", ascending=False))
                ],
            )
        )
    return worlds
