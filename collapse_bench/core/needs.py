"""What a mitigation may declare that it cannot do without.

The harness checks it, so that a method cannot call a task that it would lose one that it cannot do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..errors import Lacks, UsageError

if TYPE_CHECKING:
    from .cell import Cell

#: (component, name) -> whether its class defines the method
Defines = Callable[[object, str], bool]

#: name -> (whether a cell has it, what is missing where it has not)
NEEDS: dict[str, tuple[Callable[[Cell, Defines], bool], str]] = {
    "rows": (
        lambda cell, defines: cell.data.sampler != "exact-law",
        "rows one by one, and sampler=exact-law draws only their sums; choose sampler=explicit",
    ),
    "real rows": (
        lambda cell, defines: cell.protocol.reads_real,
        "real rows in later generations, and {protocol} provides none",
    ),
    "verify": (
        lambda cell, defines: cell.data.verifiable,
        "a verifier, and {data} cannot verify an answer",
    ),
    "within": (
        lambda cell, defines: defines(cell.data, "within"),
        "true parameters for its verifier, and {data} has none",
    ),
    "with_loss": (
        lambda cell, defines: defines(cell.model, "with_loss"),
        "a loss that can be replaced, and {model} has none",
    ),
    "with_validation": (
        lambda cell, defines: defines(cell.model, "with_validation"),
        "a model that is tuned on validation rows, and {model} has nothing to tune",
    ),
}


def lacking(title: str, needs: Sequence[str], cell: Cell, defines: Defines) -> Lacks | None:
    """The sentence of the first need that the cell does not meet; None where it meets all.

    Raises UsageError for a need that has no name here.
    """
    for need in needs:
        if need not in NEEDS:
            raise UsageError(
                f"{title} needs {need!r}, which is not known; known: {', '.join(NEEDS)}"
            )
        met, what = NEEDS[need]
        if not met(cell, defines):
            parts = {"data": cell.data, "model": cell.model, "protocol": cell.protocol}
            return Lacks(
                f"{title} needs "
                + what.format(**{name: part.title() for name, part in parts.items()})
            )
    return None
