"""What a run found besides its chains, together with what was published of other methods."""

from __future__ import annotations

from pathlib import Path

from .archive import Archive
from .signs import SignGrid, saved_signs
from .tuning import Tuned, saved_tuning


def choices_of_run(output: Path, suite: str, archive: Archive | None) -> tuple[Tuned, ...]:
    """The choices of a run, and the published ones of other methods."""
    published = () if archive is None else archive.tuning
    known = {choice.method: choice for choice in published}
    known |= {choice.method: choice for choice in saved_tuning(output, suite)}
    return tuple(known.values())


def signs_of_run(output: Path, suite: str, archive: Archive | None) -> SignGrid | None:
    """The grid of signs of a run, with the published entries that it lacks."""
    own = saved_signs(output, suite)
    published = None if archive is None else archive.signs
    return own.with_others(published) if own and published else own or published
