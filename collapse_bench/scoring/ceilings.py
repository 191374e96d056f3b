"""What no method of a track can exceed, where a law says so."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from .rules import Array, Mask, mean_where, ratio_where
from .score import Scores
from .task import log_of_loss

COLUMNS = ["task", "track", "ceiling", "entry", "reached", "error"]


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

    Returns columns task, track, ceiling, entry, reached (the best entry of that track there,
    "" and NaN without one) and error: the standard error of reached - ceiling, by the jackknife
    over chains.  Tasks that are not scored are left out.  By chance a row can exceed its ceiling
    by a few of these errors.
    """
    measured = scores.efficacy.measured
    rows: list[tuple[str, str, float, str, float, float]] = []
    if oracle not in measured.entries:
        return pd.DataFrame(rows, columns=COLUMNS)
    a, live = _in_nats(scores), measured.live
    in_nats = np.array([task.log_loss for task in measured.tasks])
    level = _levels(a, live, in_nats)
    without = [  # the levels without one chain
        _levels(a, live & (np.arange(live.shape[-1]) != c), in_nats) for c in range(live.shape[-1])
    ]
    none, best = level[measured.none], level[measured.entries.index(oracle)]
    of_row = dict(zip(scores.rows.entry, scores.rows.track, strict=True))
    track = {} if tracks is None else tracks
    control = dict(zip(scores.rows.entry, scores.rows.control, strict=True))
    for (name, of_track), loss in sorted(known.items()):
        if name not in measured.names:
            continue
        k = measured.names.index(name)
        task = measured.tasks[k]
        law = float(log_of_loss(np.asarray(float(loss)), task.floor, task.log_loss))
        gap = none[k] - best[k]
        ceiling = float(ratio_where(none[k] - law, gap, gap > 0))
        share = ratio_where(none[k] - level[:, k], gap, gap > 0)
        reached = {
            entry: float(share[n])
            for n, entry in enumerate(measured.entries)
            if track.get((entry, name), of_row[entry]) == of_track
            and not control[entry]
            and np.isfinite(share[n])
        }
        top = max(reached, key=lambda entry: reached[entry], default="")
        error = np.nan
        if top:
            n, oracle_row = measured.entries.index(top), measured.entries.index(oracle)
            beyond = [
                (law - some[n, k]) / (some[measured.none, k] - some[oracle_row, k])
                for c, some in enumerate(without)
                if live[k, c]
            ]
            error = float(np.sqrt(max(len(beyond) - 1, 0)) * np.std(beyond))
        rows.append((name, of_track, ceiling, top, reached.get(top, np.nan), error))
    return pd.DataFrame(rows, columns=COLUMNS)


def _in_nats(scores: Scores) -> Array:
    """log(E + r), or E in nats, of every chain (N, K, C); NaN where it is not known."""
    measured = scores.efficacy.measured
    return np.where(measured.known & measured.live, measured.a, np.nan)


def _levels(a: Array, live: Mask, in_nats: Mask) -> Array:
    """log of the mean of E + r over the live chains, (N, K); for losses in nats their mean.

    NaN where an entry lacks chains.
    """
    plain = mean_where(a, live)
    exact = logsumexp(np.where(live, a, -np.inf), axis=-1) - np.log(live.sum(-1))
    return np.where(in_nats, plain, exact)
