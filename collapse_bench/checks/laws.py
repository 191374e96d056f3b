"""Checks of the laws and claims that a plugin offers."""

from __future__ import annotations

from .. import theory
from ..core.components import Component
from ..errors import Incompatible
from ..registry.discovery import Registry
from ..suggest import nearest
from .compare import CheckFailure
from .world import cells_with, goes_together


def claims_are_laws(kind: str, noun: Component, among: Registry) -> None:
    claims = getattr(among.module_of(kind, noun.title()), "collapse_claims", list)()
    if not claims:
        raise Incompatible(f"the plugin of {noun.title()} claims no law")
    laws = theory.laws()
    for claim in claims:
        whose = f"the plugin of {noun.title()} claims {claim.law!r} for {claim.spec!r}"
        if claim.law not in laws:
            raise CheckFailure(f"{whose}, and there is no such law{nearest(claim.law, laws)}")
        try:
            cell, _ = among.cell(claim.spec), claim.predicted
        except Exception as problem:
            raise CheckFailure(f"{whose}, which cannot be checked: {problem}") from problem
        reason = cell.incompatibility()
        if reason is not None:
            raise CheckFailure(f"{whose}: {reason}")
        if not 0 <= claim.t <= cell.generations:
            raise CheckFailure(
                f"{whose} at generation {claim.t}, and the cell ends at {cell.generations}: raise its T"
            )


def laws_bear_cells(kind: str, noun: Component, among: Registry) -> None:
    if not hasattr(among.module_of(kind, noun.title()), "collapse_theory"):
        raise Incompatible(f"the plugin of {noun.title()} predicts nothing")
    for cell in filter(goes_together, cells_with(kind, noun, among)):
        try:
            among.predicted(cell)
        except Exception as problem:
            raise CheckFailure(
                f"what is expected of {cell.label} cannot be told ({type(problem).__name__}: {problem}); "
                "collapse_theory(cell) returns one number per generation 0 .. T, or None where it knows no law"
            ) from problem
