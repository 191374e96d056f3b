"""What no method of a track can exceed, where a law says so."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from .rules import Array, mean_where, ratio_where
from .score import Scores
from .task import log_of_loss

COLUMNS = ["task", "track", "ceiling", "entry", "reached"]


def ceilings(
    scores: Scores,
    known: Mapping[tuple[str, str], float],
    tracks: Mapping[tuple[str, str], str] | None = None,
    oracle: str = "nature",
) -> pd.DataFrame:
    """What no method of a track can exceed on a task, and the best that one reached.

    known: (task, track) -> the least expected loss that the knowledge of the track allows, by a
    law.  tracks: (entry, task) -> the track of the entry there; None: that of its row.

    A law is about the mean of the loss, so means over chains are taken first and logarithms then: 0
    is `none` and 1 is ``oracle`` in these chains.  (S is a mean of logarithms, which such a law
    does not limit.)

    Returns columns task, track, ceiling, entry and reached (the best entry of that track there,
    "" and NaN without one).  Tasks that are not scored are left out.  By chance a row
    can exceed its ceiling by its standard error.
    """
    measured = scores.efficacy.measured
    rows: list[tuple[str, str, float, str, float]] = []
    if oracle not in measured.entries:
        return pd.DataFrame(rows, columns=COLUMNS)
    level = _levels(scores)
    none, best = level[measured.none], level[measured.entries.index(oracle)]
    of_row = dict(zip(scores.rows.entry, scores.rows.track, strict=True))
    track = {} if tracks is None else tracks
    control = dict(zip(scores.rows.entry, scores.rows.control, strict=True))
    for (name, of_track), loss in sorted(known.items()):
        if name not in measured.names:
            continue
        k = measured.names.index(name)
        task = measured.tasks[k]
        a = float(log_of_loss(np.asarray(float(loss)), task.floor, task.log_loss))
        gap = none[k] - best[k]
        ceiling = float(ratio_where(none[k] - a, gap, gap > 0))
        share = ratio_where(none[k] - level[:, k], gap, gap > 0)
        reached = {
            entry: float(share[n])
            for n, entry in enumerate(measured.entries)
            if track.get((entry, name), of_row[entry]) == of_track
            and not control[entry]
            and np.isfinite(share[n])
        }
        top = max(reached, key=lambda entry: reached[entry], default="")
        rows.append((name, of_track, ceiling, top, reached.get(top, np.nan)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _levels(scores: Scores) -> Array:
    """log of the mean of E + r over chains, (N, K); for losses in nats their mean.

    NaN where an entry lacks chains.
    """
    measured = scores.efficacy.measured
    a = np.where(measured.known & measured.live, measured.a, np.nan)
    in_nats = np.array([task.log_loss for task in measured.tasks])
    plain = mean_where(a, measured.live)
    exact = logsumexp(np.where(measured.live, a, -np.inf), axis=-1) - np.log(measured.chains)
    return np.where(in_nats, plain, exact)
