"""Claims of plugins: a law, a cell that must obey it, and the metric to compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from .. import theory
from ..core.components import Composition, DataGenerator, Teacher
from ..core.content import same_files

if TYPE_CHECKING:
    from ..core.cell import Cell

#: status of a law -> the deviation that is allowed in addition to four standard errors, as a share
#: of the law
SLACK = {"EXACT": 0.0, "DE": 0.03, "LEAD": 0.05, "ASYM": 0.02, "HEURISTIC": 0.1, "REFUTED": 0.0}


@dataclass(frozen=True)
class Claim:
    """The claim that a metric of a cell has the mean (or variance) ``times * law + plus``.

    law, given: a name of ``collapse_bench.theory`` and its parameters.
    spec, t: the cell and the generation.
    metric: a loss or a diagnostic of the data generator; with ``read``, the name of the value that
    ``read(teacher, nature) -> (R,)`` returns, where nature is the world of generation t.
    chains: how many chains a full check runs.
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
        """The value of the metric according to the law."""
        return self.times * theory.evaluate(self.law, **self.given) + self.plus

    @property
    def status(self) -> str:
        """The status of the law, a key of ``theory.STATUS``."""
        return theory.laws()[self.law].status

    @property
    def setting(self) -> str:
        """The parameters as text: M=64 k=7."""
        return " ".join(f"{name}={value}" for name, value in self.given.items())


def recursion(cell: Cell) -> tuple[str | None, Composition | None] | None:
    """(estimator, composition) of a cell to which the recursion of a law applies; else None.

    It applies without a mitigation, a decoder and a flawed first teacher, in a world that stands
    still.  Under ``nature`` every generation is a first fit to real rows; see ``incompatibility``.
    """
    if cell.data.moves or frozen(cell) or not pure(cell):
        return None
    return cell.model.estimator, cell.protocol.composition


def pure(cell: Cell) -> bool:
    """Whether nothing but the protocol, nature or frozen decides what a generation reads."""
    acts = cell.mitigations
    plain = (
        not acts or cell.nature or cell.entry == "none" or [a.keeps_first for a in acts] == [True]
    )
    return plain and cell.protocol.decode is None and cell.first_teacher is None


def without_drift(data: DataGenerator) -> DataGenerator:
    """The world with its parameter ``drift`` at 0, for laws that follow the walk themselves."""
    return same_files(data, drift=0.0) if data.moves and hasattr(data, "drift") else data


def drift_of(data: DataGenerator) -> float:
    """The parameter ``drift`` of the world; 0 where it has none."""
    return getattr(data, "drift", 0.0)


def frozen(cell: Cell) -> bool:
    """Whether the teacher of generation 0 stays."""
    return any(act.keeps_first for act in cell.mitigations)


def natural(cell: Cell) -> list[int]:
    """The number of real rows that each generation reads under ``nature``, as far as it is known.

    It is known for protocols that state their composition.  If sizes grow and the protocol keeps
    the same real rows, it is known for generation 0 only.
    """
    sizes = [cell.size(t) for t in range(cell.generations + 1)]
    made = cell.protocol.composition
    if made is None:
        return []
    if made.earlier == "all":
        return list(accumulate(sizes))
    return sizes if made.fresh or not cell.growth else sizes[:1]


def fits(cell: Cell) -> list[list[int]]:
    """For each generation, the numbers of rows of the fits that led to it; the first is to real
    data."""
    sizes = [cell.size(t) for t in range(cell.generations + 1)]
    return [[size] if cell.nature else sizes[: t + 1] for t, size in enumerate(sizes)]
