"""Checks of the laws and claims that a plugin offers."""

from __future__ import annotations

from .. import theory
from ..errors import PluginError
from ..foreign.calls import described
from ..suggest import nearest
from .compare import CheckFailure
from .kit import Subject, check
from .world import cells_with, goes_together


def _hook(subject: Subject, name: str):
    return getattr(subject.registry.module_of(subject.role, subject.title), name, None)


def _claims_laws(subject: Subject) -> str | None:
    has = _hook(subject, "collapse_claims")
    return None if has else f"the plugin of {subject.title} claims no law"


def _predicts(subject: Subject) -> str | None:
    has = _hook(subject, "collapse_theory")
    return None if has else f"the plugin of {subject.title} predicts nothing"


@check(applies=_claims_laws)
def check_plugin_claims_known_laws(case: Subject) -> None:
    """Every claim of the plugin names a known law and a cell and generation on which it can be
    checked."""
    laws = theory.laws()
    for claim in _hook(case, "collapse_claims")():
        prefix = f"the plugin of {case.title} claims {claim.law!r} for {claim.spec!r}"
        if claim.law not in laws:
            raise CheckFailure(f"{prefix}, but there is no such law{nearest(claim.law, laws)}")
        try:
            cell, _ = case.registry.cell(claim.spec), claim.predicted
        except Exception as problem:
            raise CheckFailure(f"{prefix}, which cannot be checked: {problem}") from problem
        reason = cell.incompatibility()
        if reason is not None:
            raise CheckFailure(f"{prefix}: {reason}")
        if not 0 <= claim.t <= cell.generations:
            raise CheckFailure(
                f"{prefix} at generation {claim.t}, but the cell ends at {cell.generations}: raise "
                f"its T"
            )


@check(applies=_predicts)
def check_plugin_predicts_every_cell(case: Subject) -> None:
    """collapse_theory(cell) returns one number per generation, or None, for every cell."""
    for cell in filter(goes_together, cells_with(case.role, case.component, case.registry)):
        try:
            case.registry.predicted(cell)
        except Exception as problem:
            cause = problem.__cause__ if isinstance(problem, PluginError) else problem
            cause = getattr(cause, "problem", cause) or problem
            raise CheckFailure(
                f"collapse_theory failed for {cell.label} ({described(cause)}); "
                f"return one number per "
                "generation 0 .. T, or None where no law is known"
            ) from problem
