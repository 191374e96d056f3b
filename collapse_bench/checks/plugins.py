"""Checks that hold for plugins of every role."""

from __future__ import annotations

import pickle
import typing

from ..core.components import Component, Kind, Model, Teacher
from ..core.identity import written
from ..registry.discovery import KINDS, shadowed_by
from .compare import CheckFailure, OldNamesInUse
from .kit import Subject, check
from .models import first_fit, readable
from .world import cells_with, name_of


def _writes_incompatibility(subject: Subject) -> str | None:
    if type(subject.component).incompatibility is Component.incompatibility:
        return f"{subject.title} does not define incompatibility()"
    return None


@check(essential=True)
def check_plugin_is_read_as_written(case: Subject) -> None:
    """The plugin is a frozen dataclass whose spec, pickle, version and kinds are valid."""
    component, title, classes = case.component, case.title, case.registry.classes[case.role]
    cls = type(component)
    settings = vars(cls).get("__dataclass_params__")  # of the class itself, not of its base
    if settings is None or not settings.frozen:
        raise CheckFailure(
            f"{title} must be a frozen dataclass: put @dataclass(frozen=True) above the class"
        )
    base = KINDS[case.role][1]
    if hidden := shadowed_by(cls, base):
        raise CheckFailure(
            f"{title} has a parameter {hidden!r}, which hides {base.__name__}.{hidden}; rename the "
            f"parameter"
        )
    if type(component.version) is not int or component.version < 1:
        raise CheckFailure(
            f"{title}.version must be a whole number >= 1, got {component.version!r}"
        )
    known = typing.get_args(Kind)
    if isinstance(component.kinds, str) or set(component.kinds or ()) - set(known):
        raise CheckFailure(
            f"{title}.kinds must be a tuple of {', '.join(known)}; got {component.kinds!r} (a "
            f"tuple of one needs its comma)"
        )
    if pickle.loads(pickle.dumps(component)) != component:
        raise CheckFailure(
            f"{title} is not equal to its copy after pickling, and executors pickle it for other "
            f"processes"
        )
    if (
        classes.get(title) is cls
        and case.registry.build(case.role, written(component)) != component
    ):
        raise CheckFailure(
            f"the spec {name_of(component)} does not build the plugin that it describes; give "
            f"every parameter a type that a "
            "spec can express (numbers, words, true and false, lists, paths, nested plugins)"
        )
    offered = [name for name, other in classes.items() if other is cls]
    if title not in classes and offered:
        raise CheckFailure(
            f"{offered[0]!r} states the name {title!r}; leave `name` out, the hook that offers the "
            f"class sets it"
        )


@check(applies=_writes_incompatibility)
def check_plugin_says_why_not(case: Subject) -> None:
    """incompatibility(cell) returns None or a sentence for every cell, and raises nothing."""
    for cell in cells_with(case.role, case.component, case.registry):
        reason = case.component.incompatibility(cell)
        if reason is not None and not (isinstance(reason, str) and reason.strip()):
            raise CheckFailure(
                f"{case.title}.incompatibility returned {reason!r} for {cell.label}; return None "
                f"where the cell fits, "
                "else one sentence that says why not"
            )


@check()
def check_plugin_uses_current_names(case: Subject) -> None:
    """Neither the plugin nor the teachers of a model use names that the next release removes."""
    classes: list[type[Component | Teacher]] = [type(case.component)]
    if isinstance(case.component, Model):
        cases = (candidate for world in case.worlds(readable) for candidate in world.candidates)
        results = (first_fit(one) for one in cases)
        classes += {type(result) for result in results if isinstance(result, Teacher)}
    old = {
        f"{cls.__name__}.{old} is now called {new}"
        for cls in classes
        for old, new in cls.written_with_old_names.items()
    }
    if old:
        raise OldNamesInUse(f"{'; '.join(sorted(old))}; the old names are removed in version 0.3")
