"""Scores of chains that no board ranks, as those of a sweep."""

from __future__ import annotations

from ..errors import NothingMatched
from ..records.manifest import Manifest
from ..records.store import Store
from ..scoring.score import Scores, score
from .collect import losses_of
from .provisional import controls_of, provisional


def scores_aside(store: Store, manifest: Manifest, planned: int) -> tuple[Scores, tuple[str, ...]]:
    """The scores of chains that no board ranks, and notes.  Without a calibrated task their units
    come from the same chains.

    planned: the chains of the exam, by which a calibrated task is judged too noisy.  Raises
    NothingMatched where there is no record, or no task can be scored.
    """
    losses, _, tasks = losses_of(store, manifest)
    if tasks:
        controls = controls_of(manifest)
        losses = losses[losses.task.isin(list(tasks))]
        found = score(losses, tasks, controls=controls, planned=planned)
        return found, tuple(found.excluded.values())
    measured, lacking = provisional(losses, manifest)
    if measured is None:
        raise NothingMatched(f"no task can be scored: {'; '.join(lacking.values())}")
    return measured.whole, tuple(f"{task} has no score: {why}" for task, why in lacking.items())
