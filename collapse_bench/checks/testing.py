"""The kit as pytest tests: one test for each check of a plugin."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping

from ..core.components import Component
from ..errors import UsageError
from ..registry.discovery import KINDS, Registry, registry
from .compare import CheckFailure
from .kit import Check, Subject, checks_of, known_ids, subject_of, subjects_named

Plugin = str | Component | type[Component]


def parametrize(
    *plugins: Plugin,
    expected_failures: Mapping[str, str] | None = None,
    only: Iterable[str] | None = None,
    allow_skipped: bool = False,
    registry: Registry | None = None,
) -> Callable[..., None]:
    """A test function for pytest with one case for each check that applies to the plugins.

        test_plugin = parametrize("my-method", expected_failures={"mitigation.acts": "why"})

    plugins: names or specs of registered plugins, classes, or objects.  ``expected_failures``: id
    -> why; such a test must fail with CheckFailure (a strict xfail).  ``only``: ids of the checks
    to run.  An essential check that is skipped fails, unless ``allow_skipped``.  ``registry``:
    where plugins are looked up, by default what is installed.  Raises UsageError for an unknown
    name or id.
    """
    import pytest  # a test tool, which the package does not require

    expected_failures = expected_failures or {}
    known_ids(expected_failures)
    cases = [
        pytest.param(
            subject,
            check,
            id=case_id(subject, check),
            marks=[
                pytest.mark.xfail(
                    reason=expected_failures[check.id], raises=CheckFailure, strict=True
                )
            ]
            if check.id in expected_failures
            else [],
        )
        for plugin in plugins
        for subject in subjects_of(plugin, registry)
        for check in applicable(subject, only)
    ]

    @pytest.mark.parametrize(("subject", "check"), cases)
    def test_plugin(subject: Subject, check: Check) -> None:
        report(subject, check, allow_skipped)

    return test_plugin


def subjects_of(plugin: Plugin, registry_: Registry | None = None) -> list[Subject]:
    """What a name, a spec, a class or an object stands for.  Raises UsageError where it is no
    plugin."""
    registry_ = registry_ or registry()
    if isinstance(plugin, str):
        return subjects_named(plugin, registry_)
    cls = plugin if isinstance(plugin, type) else type(plugin)
    roles = [role for role, (_, base) in KINDS.items() if issubclass(cls, base)]
    if not roles:
        raise UsageError(
            f"{plugin!r} is no plugin; give a name, or a class or object that derives from one of "
            f"{', '.join(base.__name__ for _, base in KINDS.values())}"
        )
    return [subject_of(role, plugin, registry_) for role in roles]


def applicable(subject: Subject, only: Iterable[str] | None = None) -> list[Check]:
    """The checks that apply to a plugin.  Runs none of its methods on data."""
    return [check for check in checks_of(subject.role, only) if check.applies(subject) is None]


def case_id(subject: Subject, check: Check) -> str:
    return f"{subject.role} {subject.spec}: {check.id}"


def report(subject: Subject, check: Check, allow_skipped: bool = False) -> None:
    """Run one check and tell pytest the outcome.  Raises CheckFailure where it failed."""
    import pytest

    outcome = check.run(subject)
    if outcome.status == "failed":
        raise CheckFailure(outcome.sentence)
    if outcome.not_checked and not allow_skipped:
        raise CheckFailure(f"not checked, because {outcome.sentence}")
    if outcome.status == "skipped":
        pytest.skip(outcome.sentence)
    if outcome.status == "warned":
        warnings.warn(outcome.sentence, FutureWarning, stacklevel=2)
