"""What a plugin promises of the engine: a law, a cell that must obey it, and the number to look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from .. import theory
from ..core.components import Composition, DataGenerator, Teacher

if TYPE_CHECKING:
    from ..core.cell import Cell

#: how far beyond four standard errors a law of this standing may lie from what is measured, as a share of the law
SLACK = {"EXACT": 0.0, "DE": 0.03, "LEAD": 0.05, "ASYM": 0.02, "HEURISTIC": 0.1, "REFUTED": 0.0}


@dataclass(frozen=True)
class Claim:
    """``metric`` of the chains of ``spec`` at generation ``t`` has the mean (or variance) ``times`` law ``+ plus``.

    ``law`` and ``given`` are a name of ``collapse_bench.theory`` and its parameters.  ``metric`` is a judged or described
    quantity, or the name for what ``read(teacher, nature) -> (R,)`` returns.  ``chains`` is how many a full check runs.
    """

    law: str
    given: Mapping[str, Any]
    spec: str
    metric: str
    t: int
    chains: int = 4000
    times: float = 1.0
    plus: float = 0.0
    statistic: Literal["mean", "variance"] = "mean"
    read: Callable[[Teacher, DataGenerator], Tensor] | None = None

    @property
    def predicted(self) -> float:
        """What the law says of the metric."""
        return self.times * theory.evaluate(self.law, **self.given) + self.plus

    @property
    def status(self) -> str:
        """The standing of the law, a key of ``theory.STATUS``."""
        return theory.laws()[self.law].status

    @property
    def setting(self) -> str:
        """The parameters as they are typed: M=64 k=7."""
        return " ".join(f"{name}={value}" for name, value in self.given.items())


def recursion(cell: Cell) -> tuple[str | None, Composition | None] | None:
    """(estimator, composition) where nothing bends the recursion: no mitigation, decoder or flawed first teacher.

    Under ``nature`` every generation is a first fit to real rows; see ``incompatibility``.
    """
    bent = cell.protocol.decode is not None or cell.first_teacher is not None
    if bent or (cell.mitigations and not cell.nature and cell.entry != "none"):
        return None
    return cell.model.estimator, cell.protocol.composition


def natural(cell: Cell) -> list[int]:
    """Real rows that each generation reads under ``nature``, the first one in any case, as far as that is known.

    It is under protocols that state their composition; where sizes grow and the real rows stay, at
    generation 0 only.
    """
    sizes = [cell.size(t) for t in range(cell.generations + 1)]
    made = cell.protocol.composition
    if made is None:
        return []
    if made.earlier == "all":
        return list(accumulate(sizes))
    return sizes if made.fresh or not cell.growth else sizes[:1]


def fits(cell: Cell) -> list[list[int]]:
    """For each generation the rows of the successive fits that led to it, the first to real data."""
    sizes = [cell.size(t) for t in range(cell.generations + 1)]
    return [[size] if cell.nature else sizes[: t + 1] for t, size in enumerate(sizes)]
