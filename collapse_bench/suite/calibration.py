"""Which calibration belongs to which task of a suite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..records.settings import Calibration


def matching(rows: Iterable[Calibration], ids: Mapping[str, str]) -> list[Calibration]:
    """The calibration of these tasks, under the labels that they have here.

    ids: task -> id of its cell without a mitigation.  A row of a task that reads files names that
    id: it holds for the same content in any folder, and for no other content.
    """
    found: list[Calibration] = []
    for row in rows:
        if row.cell is None or (row.cell not in ids.values() and row.task not in ids):
            found.append(row)
        else:
            here = [task for task, cell_id in ids.items() if cell_id == row.cell]
            found += [row.model_copy(update={"task": task}) for task in here]
    return found
