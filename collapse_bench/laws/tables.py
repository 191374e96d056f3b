"""The table of laws: predicted and measured values, and whether they agree."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ..board.render import csv, markdown, number, terminal
from ..display import json_text
from .verify import Verdict

_WORDS = ("law", "parameters", "metric", "verdict")


def laws_frame(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """One row per claim, with unrounded numbers."""
    return pd.DataFrame(
        {
            "law": v.claim.law,
            "status": v.claim.status,
            "parameters": v.claim.setting,
            "cell": v.claim.spec,
            "metric": v.claim.metric
            if v.claim.statistic == "mean"
            else f"variance of {v.claim.metric}",
            "generation": v.claim.t,
            "chains": v.chains,
            "predicted": v.predicted,
            "measured": v.measured,
            "error": v.error,
            "ratio": v.ratio,
            "z": v.z,
            "detects": v.detects,
            "verdict": v.word,
        }
        for v in verdicts
    )


def render_laws(verdicts: Sequence[Verdict], form: str = "table", width: int | None = None) -> str:
    """The verdicts as ``table`` (terminal), ``markdown``, ``csv`` or ``json``.

    csv and json have every column, unrounded.
    """
    frame = laws_frame(verdicts)
    if form == "csv":
        return csv(frame)
    if form == "json":
        # JSON has no NaN
        rows = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
        return json_text(rows)
    cells = pd.DataFrame(
        {
            "law": frame.law,
            "parameters": frame.parameters,
            "metric": frame.metric,
            "predicted": [number(v, 4) for v in frame.predicted],
            "measured": [number(v, 4) for v in frame.measured],
            "+-": [number(v, 2) for v in frame.error],
            "ratio": [f"{v:.3f}" for v in frame.ratio],
            "z": [f"{v:+.1f}" for v in frame.z],
            "detects": [f"{100 * v:.1f} %" for v in frame.detects],
            "verdict": frame.verdict,
        }
    )
    wrong = sum(not v.good for v in verdicts)
    notes = [
        f"{len(verdicts)} claims of {frame.law.nunique()} laws, {wrong} violated; "
        "+- is one standard error over chains",
        "a law passes within four standard errors, plus 3 % of the law for a deterministic "
        "equivalent, 5 % for a leading order, 2 % for an asymptotic form and 10 % for a heuristic; "
        "a published formula known to be wrong must fail",
        "detects: a law that is wrong by this share fails in half of all runs",
    ]
    title = "The engine compared with the laws"
    return (
        markdown(title, cells, notes)
        if form == "markdown"
        else terminal(title, cells, notes, width, _WORDS)
    )
