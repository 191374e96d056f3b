"""The board of a suite that is scored by the first version of the score."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import pandas as pd

from ..scoring.comparison import Comparison
from ..scoring.first_version.score import Scores, compare
from ..scoring.rules import WORST
from .cells import HEADINGS, percent, plain, signed
from .render import named_rows, number
from .table import ScoredBoard

MOST_LOST = 1 - WORST  # limit of "tail lost" and "diversity lost", which are 1 for `none`


@dataclass(frozen=True, repr=False)
class FirstBoard(ScoredBoard):
    """The board of a suite that was calibrated without the control `trivial`."""

    scores: Scores = field(repr=False)

    def compare(self, a: str, b: str) -> Comparison:
        return compare(self.scores, a, b)

    def frame(self) -> pd.DataFrame:
        """One row per entry with unrounded numbers; controls come last, without a tier."""
        rows = self.scores.rows
        rows = rows[~rows.entry.str.startswith("real-only @ ")].copy()
        rows = self._with_usage(rows)
        known = dict(zip(self.scores.rows.entry, self.scores.rows.S, strict=True))
        rows["S_real_only"] = [known.get(f"real-only @ {entry}", math.nan) for entry in rows.entry]
        rows["beats_real_only"] = [
            self._beats(entry, f"real-only @ {entry}") for entry in rows.entry
        ]
        rows["S_frozen"] = known.get("frozen", math.nan)
        rows["beats_frozen"] = [
            "" if entry == "frozen" else self._beats(entry, "frozen") for entry in rows.entry
        ]
        return self._in_order(rows)

    def _cells(self, frame: pd.DataFrame) -> pd.DataFrame:
        out = []
        for row in named_rows(frame):
            ranked = bool(row.ranked)
            out.append(
                {
                    "track": row.track,
                    "tier": str(int(row.tier)) if ranked and not math.isnan(row.tier) else "-",
                    "entry": row.entry + (" *" if row.entry == self.suite.focus else ""),
                    "score": signed(row.S),
                    "interval": f"{signed(row.low)} {signed(row.high)}"
                    if not math.isnan(row.low)
                    else "",
                    "tail": plain(row.tail_lost),
                    "diversity": plain(row.diversity_lost),
                    "worst": f"{row.worst_family} {signed(row.worst_score)}"
                    if isinstance(row.worst_family, str)
                    else "",
                    "harmed": percent(row.harmed),
                    "fits": str(row.fits),
                    "failed": percent(row.failed),
                    "risk": signed(row.risk) + (" !" if row.risk_flag else ""),
                    "real": f"{number(row.real_unique)} / {number(row.real_rows)}"
                    if row.real_rows >= 0
                    else "",
                    "verifier": number(row.verifier_calls),
                    "cost": f"{row.cost:.1f}x" if row.cost > 0 else "",
                    "real_only": signed(row.S_real_only),
                    "beats": row.beats_real_only,
                    "frozen": row.beats_frozen,
                    "effective": number(row.effective_real),
                    "lesson": number(row.lesson),
                }
            )
        return pd.DataFrame(out).rename(columns=HEADINGS)

    def _own_notes(self) -> Iterator[str]:
        yield (
            "this suite was calibrated without the control `trivial`, so it is scored by the first "
            "version of the score: a failed chain counts -3, and so does one that is worse"
        )
        chains = self.scores.rows.chains.max()
        yield (
            "averted: the score of collapse averted, 0 for no mitigation and 1 for the oracle "
            f"teacher `nature`, after {self._horizon}, over {chains} chains; rows of one track and "
            "tier do not differ significantly (Tukey, 5 %)"
        )
        yield (
            "a task that an entry does not fit counts 0 in averted, worst family, harmed, risk "
            "score and S real-only; losses, usage and failures are averaged over the tasks that "
            "it fits"
        )
        yield (
            "tail lost, diversity lost: 0 for `nature`, 1 for no mitigation, limited to "
            f"-{MOST_LOST:g} to {MOST_LOST:g}; real rows (unique / drawn) and verifier calls: per "
            "chain, including those of the protocol; cost: seconds, as a multiple of those of "
            "`none`"
        )
        yield (
            "S real-only: score of a model trained only on as many unique real rows; n_e/n: the "
            "number of real rows that gives the same loss, over n; ESS/n: effective sample size of "
            "the last training set, over n"
        )
        unranked = self.scores.rows[~self.scores.rows.ranked & ~self.scores.rows.control]
        for row in named_rows(unranked):
            yield f"{row.entry} is not ranked: {row.reason}"
        focus = self.suite.focus
        if focus is not None and focus in set(self.scores.rows.entry):
            yield self._place(focus)
        yield from self.scores.notes
        yield from self.scores.excluded.values()
