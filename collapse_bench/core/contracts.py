"""Contracts: what a plugin returned is what it promised, and what it was lent is unchanged."""

from __future__ import annotations

import torch

from ..errors import ContractError
from .access import Access
from .components import Mitigation
from .corpus import Corpus
from .rows import Part


def same_component(who: str, verb: str, out: object, noun: type) -> object:
    if not isinstance(out, noun):
        raise ContractError(
            f"{who}.{verb} returned {type(out).__name__}; it must return a {noun.__name__}"
        )
    return out


def curated(name: str, act: Mitigation, corpus: Corpus, access: Access) -> Corpus:
    lent = versions(corpus)
    out = same_component(name, "curate", act.curate(corpus, access), Corpus)
    untouched(name, "curate", corpus, lent)
    if out.chain_shape != corpus.chain_shape:
        raise ContractError(
            f"{name}.curate returned replicates {out.chain_shape}; {corpus.chain_shape} were lent"
        )
    return weighed(name, "curate", out)


def weighed(name: str, verb: str, corpus: Corpus) -> Corpus:
    """The corpus, if its weights are weights: NaN would pass for a starved chain, and less than nothing is no trust."""
    for value in (v for part in corpus._parts for v in (part.weight, part.count) if v is not None):
        if not (value.isfinite() & (value >= 0)).all():
            worst = value.double().nan_to_num(-torch.inf, -torch.inf, -torch.inf).argmin()
            raise ContractError(
                f"{name}.{verb} gave a row the weight {value.reshape(-1)[worst]:g}; weights must be finite and >= 0, "
                "and 0 equals absent"
            )
    return corpus


def versions(corpus: Corpus) -> tuple[list[int], list[int]]:
    """How often each tensor was changed in place (torch counts it, also through a view): of the parts, and of the rows
    in the order in which the corpus shows them, where somebody has looked at those."""

    def told(*parts: Part) -> list[int]:
        return [
            v._version
            for part in parts
            for v in (part.x, part.y, part.weight, part.count)
            if v is not None
        ]

    shown = vars(corpus).get("_table") if corpus._order is not None else None
    return told(*corpus._parts), [] if shown is None else told(shown)


def untouched(name: str, verb: str, corpus: Corpus, lent: tuple[list[int], list[int]]) -> None:
    parts, shown = versions(corpus)
    if parts != lent[0] or shown != (
        lent[1] or [0] * len(shown)
    ):  # rows are unchanged when they are first shown
        raise ContractError(
            f"{name}.{verb} changed its input in place; return a new corpus instead, e.g. corpus.edited(y=...)"
        )
