"""Numbers of README.md and leaderboard/README.md from the published records of `standard`."""

from __future__ import annotations

import functools
import re
import tempfile

import pandas as pd
from scipy.stats import spearmanr

from collapse_bench.api import RunRequest, load_suite
from collapse_bench.board.collect import board_of
from collapse_bench.board.ranked import RankedBoard
from collapse_bench.board.worlds import HEADINGS, of_fewer
from collapse_bench.errors import UserError
from collapse_bench.records.archive import Archive, OverlayStore, shipped
from collapse_bench.registry.discovery import registry
from collapse_bench.suite.manifest import manifest_of

from . import ROOT, Table, computed

SUPERSEDED = ROOT / "leaderboard" / "history" / "standard-1.md"
CONTROLS = ("frozen", "real-only", "verifier-only")
#: heading -> tracks of its column
KNOWS = {
    "best blind": ("blind",),
    "best with generation 0": ("first",),
    "best with provenance": ("provenance",),
    "best with more real rows": ("real", "provenance+real"),
    "best with real rows and a verifier": ("real+verifier", "provenance+real+verifier"),
}


@functools.cache
def board() -> RankedBoard:
    """The board of the published records."""
    archive = Archive(shipped("standard"))
    suite = load_suite(RunRequest("standard"), archive.tuning)
    with tempfile.TemporaryDirectory() as folder:
        made = board_of(
            OverlayStore(folder, archive),
            manifest_of(suite, suite.seeds),
            tuning=archive.tuning,
            signs=archive.signs,
        )
        assert isinstance(made, RankedBoard)
        made.frame()
        return made


@computed("README.md", "standard-worlds")
def worlds() -> Table:
    rows = []
    for kind, heading in HEADINGS.items():
        scores = board().worlds[kind]
        table = scores.rows[scores.rows.S.notna()]
        ranked = table[table.ranked]
        controls = [table.set_index("entry").loc[name] for name in CONTROLS]
        cells = [
            f"{heading} ({len(scores.efficacy.measured.names)} tasks)",
            *(f"{row.S:+.2f}{of_fewer(row)}" for row in controls),
        ]
        for tracks in KNOWS.values():
            some = ranked[ranked.track.isin(tracks)].sort_values("S", ascending=False)
            best = next(some.itertuples(), None)
            cells.append("" if best is None else f"`{best.entry}` {best.S:+.2f}")
        rows.append(cells)
    return Table([["kind of world", *(f"`{name}`" for name in CONTROLS), *KNOWS], *rows])


def _superseded() -> pd.Series:
    """Entry -> score on the board of version 1, by the names that these settings have now."""
    head, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in SUPERSEDED.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    )
    place, found = head.index("averted"), {}
    for row in rows:
        if len(row) == len(head) and re.fullmatch(r"[+-]\d+\.\d+", row[place]):
            try:
                acts = registry().mitigations(row[2])
            except UserError:  # a setting that is gone
                continue
            found[" + ".join(act.title() for act in acts)] = float(row[place])
    return pd.Series(found)


@computed("leaderboard/README.md", "standard-agreement")
def agreement() -> Table:
    entries = load_suite(RunRequest("standard")).entries
    methods = list(dict.fromkeys(e.name for e in entries if e.role == "entry"))

    def of(rows: pd.DataFrame) -> pd.Series:
        return rows.set_index("entry").S.reindex(methods)

    kinds = {kind: of(scores.rows) for kind, scores in board().worlds.items()}
    pairs = [
        ("worlds that stand still, and version 1", kinds["still"], _superseded()),
        ("all tasks, and version 1", of(board().scores.rows), _superseded()),
        *(
            (f"{HEADINGS[kind].lower()}, and worlds that stand still", kinds[kind], kinds["still"])
            for kind in ("growing", "moving", "flawed")
        ),
    ]
    rows = []
    for name, one, other in pairs:
        both = pd.concat([one, other], axis=1, join="inner").dropna()
        r = spearmanr(both.iloc[:, 0], both.iloc[:, 1]).statistic
        rows.append([name, f"{r:+.2f}", str(len(both))])
    return Table([["rank correlation between", "Spearman", "methods"], *rows])


@computed("leaderboard/README.md", "standard-frozen")
def frozen() -> Table:
    rows = []
    for kind, scores in board().worlds.items():
        rows.append([HEADINGS[kind].lower(), scores.rows.set_index("entry").loc["frozen"]])
    table = board().scores.per_family
    rows += [[f"family {row.family}", row] for _, row in table[table.entry == "frozen"].iterrows()]
    return Table(
        [
            ["`frozen` in", "S", "95 %"],
            *([name, f"{r.S:+.2f}", f"{r.low:+.2f} to {r.high:+.2f}"] for name, r in rows),
        ]
    )
