"""The scores of a run at other numbers of rows and generations, as it stores them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from ..errors import UsageError
from .faults import Damaged, Rejected
from .files import read_file, replace_file
from .plain import fault_of

MOST_BYTES = 2**22  # of the file
CELLS = 9
Score = Annotated[float, Field(allow_inf_nan=False)] | None
Nine = Annotated[tuple[Score, ...], Field(min_length=CELLS, max_length=CELLS)]


@dataclass(frozen=True)
class SignGrid:
    """The scores of all entries in the nine cells of the grid."""

    chains: Annotated[int, Field(ge=1)]  # per cell, on calibration seeds
    tasks: tuple[str, ...]  # the marked tasks of the suite
    # entry -> its score in each cell, by rising n and there by rising T; None where it has none
    scores: Mapping[str, Nine]
    notes: tuple[str, ...] = ()  # where a task could not run, and why
    # entry -> its cells at n and T, which a board has too as long as nothing is changed
    ids: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def of_board(self, rows: Collection[str], cells: Collection[str]) -> tuple[SignGrid, list[str]]:
        """The entries among these rows whose cells are all among these ids, and a sentence on the
        rows that were run with other cells."""
        there = [entry for entry in self.scores if entry in rows]
        gone = [entry for entry in there if not set(self.ids.get(entry, ())) <= set(cells)]
        kept = {entry: self.scores[entry] for entry in there if entry not in gone}
        notes = [
            f"no signs for {', '.join(gone)}: they are of other settings or another version; run "
            "the suite again with --signs"
        ]
        return replace(self, scores=kept), notes if gone else []

    def with_others(self, others: SignGrid) -> SignGrid:
        """This grid with the entries of another one that it lacks."""
        return SignGrid(
            min(self.chains, others.chains),
            tuple(dict.fromkeys([*self.tasks, *others.tasks])),
            {**others.scores, **self.scores},
            tuple(dict.fromkeys([*self.notes, *others.notes])),
            {**others.ids, **self.ids},
        )


def signs_of(text: str | bytes) -> SignGrid:
    """The grid in a JSON text.  Raises ValidationError where it is none."""
    return TypeAdapter(SignGrid).validate_json(text)


def _file(output: Path, suite: str) -> Path:
    return output / f"{suite}.signs.json"


def save_signs(output: Path, suite: str, grid: SignGrid) -> None:
    """Write the grid of a run into its output folder."""
    replace_file(_file(output, suite), json.dumps(grid.to_json(), indent=1).encode())


def saved_signs(output: Path, suite: str) -> SignGrid | None:
    """The grid in an output folder; None where the run has none.

    Raises UsageError where the file is not valid, Unreadable where it cannot be read now.
    """
    path = _file(output, suite)
    remedy = "run the suite again with --signs, which writes it again, or remove it"
    try:
        return signs_of(read_file(path, MOST_BYTES))
    except FileNotFoundError:
        return None
    except Rejected as problem:
        raise UsageError(f"{problem}; {remedy}") from problem
    except ValidationError as problem:
        raise UsageError(f"{Damaged(path, fault_of(problem))}; {remedy}") from problem
