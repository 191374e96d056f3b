"""What a method adds to the side information that it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from .comparison import compared
from .score import Scores

#: part of a track -> controls that know as much and do nothing else, by their names
SIDE_INFORMATION: Mapping[str, Sequence[str]] = {
    "first": ("frozen", "keep-first"),
    "provenance": ("real-now",),
    "real": ("real-now", "real-only"),
    "verifier": ("verifier-only",),
}
#: a control for every entry that drops rows: a random share of them
THINNED = "thinned"


def controls_of(track: str, entries: Sequence[str], thins: bool = False) -> list[str]:
    """The controls among ``entries`` whose side information an entry of this track has too.

    thins: whether the entry drops rows.  A blind entry that drops none has `none`.
    """
    wanted = [name for part in track.split("+") for name in SIDE_INFORMATION.get(part, ())]
    wanted += [THINNED] if thins else []
    found = [
        entry
        for entry in entries
        for name in wanted
        if entry == name or entry.startswith(f"{name}(")
    ]
    return list(dict.fromkeys(found)) or ["none"]


def values(
    scores: Scores, tracks: Mapping[str, str], thins: Mapping[str, bool] | None = None
) -> pd.DataFrame:
    """Each entry minus the best control of its side information, on the tasks that both fit.

    Returns columns entry, control, value, low, high and verdict (yes, no, or cannot tell: whether
    it adds something).  The control is the one against which the entry does worst.  Entries and
    controls without a score are left out.
    """
    rows, names = [], list(scores.entries)
    mean = dict(zip(names, scores.efficacy.mean, strict=True))
    for entry in scores.rows[~scores.rows.control].entry:
        controls = controls_of(tracks.get(entry, "blind"), names, bool((thins or {}).get(entry)))
        pairs = [
            compared(names, scores.efficacy, entry, control)
            for control in controls
            if mean[entry] == mean[entry] and mean[control] == mean[control]
            if scores.efficacy.common(names.index(entry), names.index(control)).any()
        ]
        if pairs:
            worst = min(pairs, key=lambda pair: pair.difference)
            row = (worst.b, worst.difference, worst.low, worst.high, worst.verdict)
            rows.append((entry, *row))
    return pd.DataFrame(rows, columns=["entry", "control", "value", "low", "high", "verdict"])
