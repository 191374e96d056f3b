"""The suite of a quick run: the named entries among those with complete records."""

from __future__ import annotations

from dataclasses import replace

from ..errors import NothingMatched
from .expand import Suite
from .plan import CellPlan


def thinned(suite: Suite, steps: list[CellPlan], only: set[str]) -> tuple[Suite, list[CellPlan]]:
    """The suite of a quick run: controls, the named entries, and entries with complete records.

    An entry with a missing record is left out of all its tasks.  Raises NothingMatched where all
    other entries would be left out.
    """
    to_run = {step.entry.cell.id for step in steps if step.todo}
    stale = {step.entry.name: step.why for step in steps if step.verdict == "stale"}
    missing = [
        e.name
        for e in suite.entries
        if e.role == "entry" and e.name not in only and e.cell.id in to_run
    ]
    gone = dict.fromkeys(missing)
    others = {e.name for e in suite.entries if e.role == "entry" and e.skip is None} - only
    if gone and gone.keys() >= others:
        why = next((f" ({name}: {stale[name]})" for name in gone if name in stale), "")
        raise NothingMatched(
            f"no other entry of {suite.name} has records with these chains, settings and versions"
            f"{why}, so a quick run has nothing to compare with; leave out --seeds and --set, or "
            "run without --quick"
        )
    entries = tuple(
        e
        for e in suite.entries
        if e.name not in gone and (e.role != "curve" or e.cell.id not in to_run)
    )
    ids = {entry.cell.id for entry in entries}
    kept = [
        step if step.entry.cell.id in ids else CellPlan(step.entry, "left out", _why_left_out(step))
        for step in steps
    ]
    return replace(suite, entries=entries, left_out=tuple(gone)), kept


def _why_left_out(step: CellPlan) -> str:
    """Either the records are stale, or they are not complete."""
    return step.why if step.verdict == "stale" else "no complete record to compare with"
