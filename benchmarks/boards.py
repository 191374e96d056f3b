"""How boards agree: the published `standard` with its first version, and kinds of worlds with one another.

    python benchmarks/boards.py

prints rank correlations over methods at their defaults, the score of `frozen` by family and by kind
of world, and the best row of each track beside what a law allows.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pandas as pd
from scipy.stats import spearmanr

from collapse_bench.api import RunRequest, load_suite
from collapse_bench.board.collect import board_of
from collapse_bench.board.ranked import RankedBoard
from collapse_bench.records.archive import Archive, OverlayStore, shipped
from collapse_bench.registry.discovery import registry
from collapse_bench.suite.manifest import manifest_of

FIRST = Path(__file__).parents[1] / "leaderboard" / "history" / "standard-1.md"


def published() -> RankedBoard:
    """The board of the records that ship."""
    archive = Archive(shipped("standard"))
    suite = load_suite(RunRequest("standard"), archive.tuning)
    with tempfile.TemporaryDirectory() as folder:
        board = board_of(
            OverlayStore(folder, archive),
            manifest_of(suite, suite.seeds),
            tuning=archive.tuning,
            signs=archive.signs,
        )
        assert isinstance(board, RankedBoard)
        board.frame()
        return board


def first_version() -> pd.Series:
    """Entry -> score on the board of version 1, by the names that the defaults have now."""
    head, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in FIRST.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    )
    place = head.index("averted")
    found = {}
    for row in rows:
        if len(row) == len(head) and re.fullmatch(r"[+-]\d+\.\d+", row[place]):
            try:
                acts = registry().mitigations(row[2])
            except Exception:
                continue
            found[" + ".join(act.title() for act in acts)] = float(row[place])
    return pd.Series(found)


def correlation(a: pd.Series, b: pd.Series) -> str:
    both = pd.concat([a, b], axis=1, join="inner").dropna()
    return f"{spearmanr(both.iloc[:, 0], both.iloc[:, 1]).statistic:+.2f} over {len(both)} methods"


def main() -> None:
    board = published()
    whole = board.scores.rows
    controls = {
        e.name for e in load_suite(RunRequest("standard")).entries if e.role == "control"
    } | {"frozen"}
    methods = [e for e in whole.entry if (e not in controls and not e.endswith(")")) or "(" not in e]
    methods = [e for e in methods if e not in controls]
    by_kind = {
        kind: scores.rows.set_index("entry").S.reindex(methods)
        for kind, scores in board.worlds.items()
    }
    by_kind["all"] = whole.set_index("entry").S.reindex(methods)
    v1 = first_version()
    print("| boards | Spearman |\n|---|---|")
    print(f"| still worlds, and version 1 | {correlation(by_kind['still'], v1)} |")
    print(f"| all tasks, and version 1 | {correlation(by_kind['all'], v1)} |")
    for kind in ("growing", "moving", "flawed"):
        print(f"| {kind}, and still worlds | {correlation(by_kind[kind], by_kind['still'])} |")
    print("\n| `frozen` | S | 95 % |\n|---|---|---|")
    for kind, scores in board.worlds.items():
        row = scores.rows.set_index("entry").loc["frozen"]
        print(f"| {kind} | {row.S:+.2f} | {row.low:+.2f} to {row.high:+.2f} |")
    table = board.scores.per_family
    for row in table[table.entry == "frozen"].itertuples():
        print(f"| family {row.family} | {row.S:+.2f} | {row.low:+.2f} to {row.high:+.2f} |")
    print("\n" + board.ceilings().to_string(index=False))


if __name__ == "__main__":
    main()
