"""One chain of a cell run by itself, and compared with the same chain among the others.

A method that pools what it learns from several chains looks better than it is wherever the chains
share one truth, and its chains are not independent.  The comparison is made for cells with code
that is not part of the suite.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ContractError
from ..foreign.calls import described
from .cell import Cell
from .ledger import Ledger
from .loop import Generation, generations
from .progress import report_step
from .tracks import WORDS

#: largest relative difference of a loss; batched linear algebra may round differently
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}
NEGLIGIBLE = 1e-12  # differences below this are rounding

#: (id of a cell, digests of its code) -> the sentence about it, where a chain by itself had other
#: losses
_FOUND: dict[tuple[str, str], str] = {}


class Apart:
    """The losses and the ledger of one chain that ran by itself, before the others: what it learns
    there is known to nobody else.

    ``remarks`` are for the record: where a plugin declares ``couples_chains``, and where a
    comparison failed before.
    """

    def __init__(self, cell: Cell):
        self.cell, self.remarks = cell, _remarks(cell)
        self.place = int(cell.id, 16) % len(cell.seeds)
        # (losses, ledger) by generation; None: not compared
        self._by_itself: list[tuple[dict[str, Tensor], Ledger]] | None = None
        self._problem: Exception | None = None  # that ended the chain
        if cell.foreign and len(cell.seeds) > 1 and not _coupled(cell):
            self._by_itself = []
            try:
                for now in generations(cell.for_seeds([cell.seeds[self.place]])):
                    self._by_itself.append((dict(now.scores), now.ledger))
                    report_step("generation", now.t + 1, cell.generations + 1)
            except Exception as problem:
                self._problem = problem

    def compare(self, now: Generation) -> None:
        """Raise ContractError where the chain has other losses among the others than by itself, or
        is charged less there.

        What it used by itself and not among the others, it has from elsewhere.  It may be charged
        more: most amounts are the same for all chains, so a method that goes on until every chain
        has converged charges each for the slowest.  ``fits`` are the mean of all chains; what one
        has used is at most their sum.
        """
        if self._by_itself is None:
            return
        if now.t >= len(self._by_itself):
            assert self._problem is not None
            raise self._error(f"ends in generation {now.t} with {described(self._problem)}")
        losses, ledger = self._by_itself[now.t]
        for what, word in WORDS.items():
            used, among = _of(ledger, what, 0), _of(now.ledger, what, self.place)
            if used > among * (len(self.cell.seeds) if what == "fits" else 1):
                raise self._error(
                    f"has used {used} {word} by generation {now.t}, and {among} together with "
                    f"{len(self.cell.seeds) - 1} others"
                )
        for name, value in now.scores.items():
            together, by_itself = value[self.place], losses[name][0]
            if not _close(together, by_itself):
                raise self._error(
                    f"has {name} {float(by_itself):.6g} in generation {now.t}, and "
                    f"{float(together):.6g} together with {len(self.cell.seeds) - 1} others"
                )

    def _error(self, what: str) -> ContractError:
        foreign = {p.title() for _, p in self.cell.parts() if type(p).file_digests}
        names, seed = " and ".join(sorted(foreign)), self.cell.seeds[self.place]
        sentence = (
            f"{names}: chain {seed} by itself {what}; treat each chain by itself, and draw only "
            "from the streams that are passed in, or declare couples_chains = True"
        )
        # an executor then runs the chains in halves, down to single ones
        _FOUND[_key(self.cell)] = f"{sentence}; its chains then ran in smaller groups"
        return ContractError(sentence)


def _coupled(cell: Cell) -> list[str]:
    """The titles of the parts that declare that their chains depend on each other."""
    return [part.title() for _, part in cell.parts() if part.couples_chains]


def _remarks(cell: Cell) -> list[str]:
    remarks = [
        f"{title} declares that its chains depend on each other (couples_chains), so intervals of "
        "this entry are too narrow"
        for title in _coupled(cell)
    ]
    if _key(cell) in _FOUND:
        remarks.append(_FOUND[_key(cell)])
    return remarks


def _key(cell: Cell) -> tuple[str, str]:
    """An edited plugin has the same id, and other code."""
    return cell.id, repr(sorted(cell.code.items()))


def _of(ledger: Ledger, substance: str, place: int) -> int:
    """What the mitigations of one chain have used of a substance."""
    amount = ledger.by_methods(substance)
    return int(amount[place]) if isinstance(amount, Tensor) else amount


def _close(one: Tensor, other: Tensor) -> bool:
    limit = TOLERANCE.get(one.dtype, TOLERANCE[torch.float32])
    return torch.allclose(one.double(), other.double(), rtol=limit, atol=NEGLIGIBLE, equal_nan=True)
