"""Contracts: a plugin returns what its role requires, and leaves its input unchanged.

Every check raises ContractError with a sentence that names the plugin, the method and what was
expected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..errors import ContractError
from ..foreign.calls import bounded, shown
from .access import Access
from .cell import MOST_ROWS
from .components import Mitigation, Teacher
from .corpus import Corpus
from .rows import RowsPart
from .sums import Part, SumsPart

T = TypeVar("T")
MOST_REMARKS = 100


def same_component(who: str, method: str, out: object, role: type[T]) -> T:
    """The value that a method returned, if it has this role."""
    if not isinstance(out, role):
        raise ContractError(
            f"{who}.{method} returned {type(out).__name__}; it must return a {role.__name__}"
        )
    return out


def same_corpus(who: str, method: str, out: object) -> Corpus:
    """The value that a method returned, if it is a Corpus.

    A subclass could report other rows to the ledger than to the model.
    """
    corpus = same_component(who, method, out, Corpus)
    if type(corpus) is not Corpus or any(
        type(part) not in (RowsPart, SumsPart) for part in corpus._parts
    ):
        raise ContractError(
            f"{who}.{method} returned a subclass of Corpus; return a Corpus, e.g. from Corpus.of"
        )
    return corpus


def positive_number(who: str, method: str, n: Any) -> int:
    """The value that a method returned, if it is a number of rows."""
    if type(n) is not int or not 1 <= n <= MOST_ROWS:
        raise ContractError(
            f"{who}.{method} returned {shown(n, 40)}; expected a whole number of rows >= 1 "
            f"and <= {MOST_ROWS}"
        )
    return n


def curated(name: str, act: Mitigation, corpus: Corpus, access: Access, copied: bool) -> Corpus:
    """The corpus that ``act.curate`` returned; its input must be unchanged.

    copied: the plugin gets a copy and its result is copied, see ``Loan``.  It is ``corpus`` itself
    where the plugin returned its input.
    """
    loan = Loan(corpus, copied)
    out = same_corpus(name, "curate", act.curate(loan.lent, access))
    loan.check(name, "curate")
    if out is loan.lent:
        return corpus
    if out.chain_shape != corpus.chain_shape:
        raise ContractError(
            f"{name}.curate returned chains of shape {out.chain_shape}; expected "
            f"{corpus.chain_shape}"
        )
    return weighed(name, "curate", out._lent() if copied else out)


def weighed(name: str, method: str, corpus: Corpus) -> Corpus:
    """The corpus, if its weights and counts are finite and >= 0.

    A NaN would look like a chain with an empty training set, and a negative weight has no meaning.
    """
    rows = (part for part in corpus._parts if isinstance(part, RowsPart))
    for value in (v for part in rows for v in (part.weight, part.count) if v is not None):
        if not (value.isfinite() & (value >= 0)).all():
            worst = value.double().nan_to_num(-torch.inf, -torch.inf, -torch.inf).argmin()
            raise ContractError(
                f"{name}.{method} gave a row the weight {value.reshape(-1)[worst]:g}; weights must "
                "be finite and >= 0, and 0 equals absent"
            )
    return corpus


class Loan:
    """A corpus that is handed to a plugin, and the check that it came back unchanged.

    torch counts changes in place, also those of views, but not those through ``.data`` and
    ``.numpy()``, nor those that are made after the check.  So code that is not part of the suite
    gets a copy of the rows (``copied``), which is compared with the rows afterwards.
    """

    def __init__(self, corpus: Corpus, copied: bool):
        self.corpus = corpus
        self.lent = corpus._lent() if copied else corpus
        self._before = _versions(self.lent)

    def check(self, name: str, method: str) -> None:
        """Raise ContractError where the plugin changed the corpus in place."""
        parts, shown = _versions(self.lent)
        # a table of rows that was created during the call starts with version 0
        same = parts == self._before[0] and shown == (self._before[1] or [0] * len(shown))
        if not same or not (self.lent is self.corpus or _equal(self.lent, self.corpus)):
            raise ContractError(
                f"{name}.{method} changed its input in place; return a new corpus instead, e.g. "
                "corpus.edited(y=...)"
            )


def _versions(corpus: Corpus) -> tuple[list[int], list[int]]:
    """How often each tensor of the corpus was changed in place; torch counts this, also for views.

    The first list is for the parts, the second for the table of rows in shown order, if it exists.
    """

    def counted(*parts: Part) -> list[int]:
        return [value._version for part in parts for value in part.tensors()]

    shown = _shown(corpus)
    return counted(*corpus._parts), [] if shown is None else counted(shown)


def _shown(corpus: Corpus) -> RowsPart | None:
    """The table of rows that the corpus shows, where it was built and has tensors of its own."""
    table = vars(corpus).get("_table")
    return None if any(table is part for part in corpus._parts) else table


def _equal(lent: Corpus, corpus: Corpus) -> bool:
    """Whether a copy of a corpus still has the same rows."""
    pairs: list[tuple[Part, Part]] = list(zip(lent._parts, corpus._parts, strict=True))
    if (shown := _shown(lent)) is not None:
        pairs.append((shown, corpus._table))
    return all(
        _same_bits(left, right)
        for one, other in pairs
        for left, right in zip(one.tensors(), other.tensors(), strict=True)
    )


def _same_bits(left: Tensor, right: Tensor) -> bool:
    if torch.equal(left, right):
        return True
    return bool(((left == right) | (left.isnan() & right.isnan())).all())  # NaN differs from itself


def accounted(who: str, teacher: Teacher) -> dict[str, float]:
    """The account of a teacher's training, if it maps names to finite numbers."""
    account = dict(teacher.account)
    for name, value in account.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not isinstance(name, str) or not number or not math.isfinite(value):
            raise ContractError(
                f"the account of a teacher of {who} holds {shown(name, 40)}: "
                f"{shown(value, 40)}; expected names and finite numbers"
            )
    return account


def measured(who: str, metrics: Mapping[str, Any], chains: int) -> dict[str, torch.Tensor]:
    """The losses and diagnostics of a generation, if each is one real number per chain."""
    for name, value in metrics.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor) or value.is_complex():
            raise ContractError(
                f"{who} measured {shown(name, 40)} as {shown(value, 40)}; expected a "
                "name and a tensor of real numbers"
            )
        if tuple(value.shape) != (chains,):
            raise ContractError(
                f"{who}: {name} has shape {tuple(value.shape)}; expected one number per chain, "
                f"({chains},)"
            )
    return dict(metrics)


def sentences(who: str, remarks: Any) -> list[str]:
    """The remarks of a data generator, if they are a list of sentences."""
    if not isinstance(remarks, (list, tuple)) or not all(isinstance(r, str) for r in remarks):
        raise ContractError(
            f"{who}.remarks returned {shown(remarks, 60)}; expected a list of sentences"
        )
    return [bounded(remark) for remark in remarks[:MOST_REMARKS]]
