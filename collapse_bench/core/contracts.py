"""Contracts: what a plugin returned is what it promised, and what it was lent is unchanged.

Every function raises ContractError, with a sentence that names the plugin, the method and what was
expected.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch

from ..errors import ContractError
from .access import Access
from .components import Mitigation
from .corpus import Corpus
from .rows import RowsPart
from .sums import Part

T = TypeVar("T")


def same_component(who: str, method: str, out: object, role: type[T]) -> T:
    """What a method returned, if it is of this role."""
    if not isinstance(out, role):
        raise ContractError(
            f"{who}.{method} returned {type(out).__name__}; it must return a {role.__name__}"
        )
    return out


def positive_number(who: str, method: str, n: Any) -> int:
    """What a method returned, if it is a number of rows."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ContractError(f"{who}.{method} returned {n!r}; expected a whole number of rows >= 1")
    return n


def curated(name: str, act: Mitigation, corpus: Corpus, access: Access) -> Corpus:
    """What ``act.curate`` makes of the corpus, which it leaves unchanged."""
    lent = versions(corpus)
    out = same_component(name, "curate", act.curate(corpus, access), Corpus)
    untouched(name, "curate", corpus, lent)
    if out.chain_shape != corpus.chain_shape:
        raise ContractError(
            f"{name}.curate returned chains of shape {out.chain_shape}; expected "
            f"{corpus.chain_shape}"
        )
    return weighed(name, "curate", out)


def weighed(name: str, method: str, corpus: Corpus) -> Corpus:
    """The corpus, if its weights and counts are finite and >= 0.

    NaN would pass for a chain that has nothing to read, and a negative weight means nothing.
    """
    rows = (part for part in corpus._parts if isinstance(part, RowsPart))
    for value in (v for part in rows for v in (part.weight, part.count) if v is not None):
        if not (value.isfinite() & (value >= 0)).all():
            worst = value.double().nan_to_num(-torch.inf, -torch.inf, -torch.inf).argmin()
            raise ContractError(
                f"{name}.{method} gave a row the weight {value.reshape(-1)[worst]:g}; weights must "
                "be finite and >= 0, "
                "and 0 equals absent"
            )
    return corpus


def versions(corpus: Corpus) -> tuple[list[int], list[int]]:
    """How often each tensor was changed in place, which torch counts, also through a view.

    Of the parts, and of the rows in the order in which the corpus shows them, once someone has
    looked at those.
    """

    def counted(*parts: Part) -> list[int]:
        return [value._version for part in parts for value in part.tensors()]

    shown = vars(corpus).get("_table") if corpus._order is not None else None
    return counted(*corpus._parts), [] if shown is None else counted(shown)


def untouched(name: str, method: str, corpus: Corpus, lent: tuple[list[int], list[int]]) -> None:
    """Check that a corpus has the ``versions`` that it had when it was lent."""
    parts, shown = versions(corpus)
    # rows that nobody had looked at when they were lent have version 0 when they are first shown
    if parts != lent[0] or shown != (lent[1] or [0] * len(shown)):
        raise ContractError(
            f"{name}.{method} changed its input in place; return a new corpus instead, e.g. "
            "corpus.edited(y=...)"
        )
