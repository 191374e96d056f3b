"""Which configuration of each method is best, from chains that no board ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import UsageError
from ..records.manifest import Manifest
from ..records.store import Store
from ..records.tuning import Tuned
from ..scoring.tuning import complete, picks, tuning_fits
from .collect import losses_of
from .render import named_rows


def choices_of(
    store: Store, manifest: Manifest, groups: Mapping[str, Sequence[str]], planned: int
) -> list[Tuned]:
    """The choice for each method.

    manifest: of the chains on calibration seeds.  groups: method -> its configurations.  planned:
    the chains of the exam, which decide which tasks are too noisy.  Raises UsageError where a
    configuration lacks chains.
    """
    losses, usage, tasks = losses_of(store, manifest)
    if lacking := complete(losses, groups):
        raise UsageError("; ".join(lacking))
    chosen = picks(losses, tasks, groups, planned)
    fits = tuning_fits(usage, groups)
    return [
        Tuned(
            method,
            tuple(names),
            {row.family: row.entry for row in named_rows(chosen) if row.method == method},
            fits[method],
        )
        for method, names in groups.items()
    ]
