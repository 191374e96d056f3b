"""The registry of checks: what each one is called, whom it concerns, and what became of it.

A check is a function ``check_<role>_<name>(case)`` marked with ``@check(...)``.  Its id is
``<role>.<name>``, and does not depend on the data or the shapes that it runs on.  The role
``plugin`` stands for all roles.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple

from ..core.components import Component
from ..core.identity import written
from ..errors import ContractError, Incompatible, UsageError
from ..foreign import calls
from ..foreign.calls import Broke, contained, printing_to_stderr
from ..foreign.process import OF_LATER_IMPORTS
from ..registry.discovery import KINDS, Registry, registry
from ..spec import Call, parse_call
from ..suggest import nearest
from .compare import CheckFailure, OldNamesInUse, RunFailure
from .world import C, small, without_default

Verdict = Literal["passed", "failed", "warned", "skipped"]
NEED_ATTENTION: tuple[Verdict, ...] = ("failed", "warned")


class World(NamedTuple):
    """What a check runs on: a label for messages, and candidates, of which the first that is not
    refused is used."""

    label: str
    candidates: Iterable[Any]


class Subject(Generic[C]):
    """A plugin under test, with the registry from which its partners are taken.

    Unless ``thorough``, data come at their small parameters only.
    """

    def __init__(self, role: str, component: C, registry: Registry, thorough: bool = True):
        self.role, self.component, self.registry = role, component, registry
        self.thorough = thorough
        self._worlds: dict[Callable, tuple[World, ...]] = {}

    @property
    def title(self) -> str:
        return self.component.title()

    @cached_property
    def spec(self) -> str:
        return str(written(self.component))

    def worlds(self, enumerate_worlds: Callable[[Subject], Iterator[World]]) -> tuple[World, ...]:
        """The worlds that a function finds for this plugin, worked out once."""
        if enumerate_worlds not in self._worlds:
            self._worlds[enumerate_worlds] = tuple(enumerate_worlds(self))
        return self._worlds[enumerate_worlds]


def itself(subject: Subject) -> Iterator[World]:
    """One world, which is the plugin itself."""
    yield World("", (subject,))


@dataclass(frozen=True)
class Outcome:
    """What became of one check of one plugin."""

    id: str
    status: Verdict
    sentence: str = ""
    not_checked: bool = False  # skipped, although it is essential and applies


@dataclass(frozen=True)
class Check:
    """A check function with what the kit knows about it."""

    id: str
    role: str  # generator, model, protocol, mitigation, or plugin for all four
    essential: bool  # a plugin is not known to work while this check is skipped
    sentence: str  # what it checks
    function: Callable[[Any], None]
    applies: Callable[[Subject], str | None]  # None, or why this plugin has nothing to check; cheap
    worlds: Callable[[Subject], Iterator[World]]

    def run(self, subject: Subject) -> Outcome:
        """The outcome over all worlds of the plugin.  Raises nothing.  Its prints go to stderr."""
        with printing_to_stderr():
            return self._outcome(subject)

    def _outcome(self, subject: Subject) -> Outcome:
        reason = self.applies(subject)
        if reason is not None:
            return Outcome(self.id, "skipped", reason)
        results: dict[Verdict, list[tuple[str, str]]] = {}
        try:
            for world in subject.worlds(self.worlds):
                status, sentence = self._in_world(subject, world)
                results.setdefault(status, []).append((world.label, sentence))
        except Exception as problem:
            results.setdefault("failed", []).append(("", described(problem, subject.component)))
        for status in NEED_ATTENTION:
            if status in results:
                return Outcome(self.id, status, _joined(results[status]))
        if "passed" in results:
            return Outcome(self.id, "passed")
        skipped = results.get("skipped", [("", "no registered plugins go together with this one")])
        return Outcome(self.id, "skipped", skipped[0][1], not_checked=self.essential)

    def _in_world(self, subject: Subject, world: World) -> tuple[Verdict, str]:
        """(status, sentence) of the first candidate that nobody refuses."""
        reason = None
        for candidate in world.candidates:
            problem = self._problem_of(candidate)
            if problem is None:
                return "passed", ""
            if isinstance(problem, Incompatible):
                reason = reason or str(problem)
                continue
            if isinstance(problem, OldNamesInUse):
                return "warned", str(problem)
            partner = None
            if not isinstance(problem, CheckFailure) or isinstance(problem, RunFailure):
                partner = getattr(candidate, "broken_partner", _nobody)(problem)
            if partner is None:
                return "failed", described(problem, subject.component)
            reason = reason or partner
        return "skipped", reason or "no registered plugins go together with this one"

    def _problem_of(self, candidate: Any) -> BaseException | None:
        """What the check raised, or None where it passed.

        A plugin may also raise SystemExit or KeyboardInterrupt; what it prints goes to stderr.
        """
        try:
            with contained(keep=OF_LATER_IMPORTS):
                self.function(candidate)
        except Broke as broke:
            return broke.problem
        return None


def _nobody(problem: BaseException) -> None:
    """No partner is to blame."""


CHECKS: dict[str, Check] = {}


def check(
    *,
    essential: bool = False,
    applies: Callable[[Subject], str | None] = lambda subject: None,
    worlds: Callable[[Subject], Iterator[World]] = itself,
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Register a function ``check_<role>_<name>``; its docstring is one sentence that says what
    holds."""

    def register(function: Callable[[Any], None]) -> Callable[[Any], None]:
        _, role, name = function.__name__.split("_", 2)
        id = f"{role}.{name.replace('_', '-')}"
        sentence = " ".join((inspect.getdoc(function) or "").split())
        CHECKS[id] = Check(id, role, essential, sentence, function, applies, worlds)
        return function

    return register


def checks_of(role: str, only: Iterable[str] | None = None) -> list[Check]:
    """The checks of a role, or those of them whose ids are in ``only``.

    Raises UsageError for an unknown role or id.
    """
    if role not in KINDS:
        raise UsageError(f"unknown role {role!r}; known: {', '.join(KINDS)}")
    only = None if only is None else known_ids(only)
    checks = [c for c in CHECKS.values() if c.role == "plugin"]
    checks += [c for c in CHECKS.values() if c.role == role]
    return [c for c in checks if only is None or c.id in only]


def known_ids(ids: Iterable[str]) -> frozenset[str]:
    """The ids, if there is a check of each.  Raises UsageError with the nearest one where there is
    none."""
    for id in (ids := frozenset(ids)):
        if id not in CHECKS:
            raise UsageError(
                f"no check is called {id!r}{nearest(id, CHECKS)}; "
                "'collapse-bench check --list' shows all"
            )
    return ids


def subject_of(
    role: str,
    thing: type[Component] | Component,
    registry_: Registry | None = None,
    thorough: bool = True,
) -> Subject:
    """A plugin class, at its small variant, or a plugin object, ready to be checked.

    Raises UsageError where the class cannot be built without parameters, or has another role.
    """
    if role not in KINDS:
        raise UsageError(f"unknown role {role!r}; known: {', '.join(KINDS)}")
    component = _built_small(thing) if isinstance(thing, type) else thing
    base = KINDS[role][1]
    if not isinstance(component, base):
        raise UsageError(
            f"{component.title()} is not a {base.__name__}, so checks of a {role} cannot run on it"
        )
    return Subject(role, component, registry_ or registry(), thorough)


def _built_small(cls: type[Component]) -> Component:
    component = small(cls)
    if component is None:
        first, *_ = missing = without_default(cls)
        raise UsageError(
            f"{cls.title()} has no default for {', '.join(missing)}: check it with its parameters, "
            f"{cls.title()}({first}=...), or state `tiny` in the class body, tiny = "
            f"{{{first!r}: ...}}"
        )
    return component


def subjects_named(text: Call | str, registry: Registry) -> list[Subject]:
    """The registered plugins of a name, in each role that has one, or the one that a spec
    describes.

    Raises UsageError where there is none.
    """
    call = parse_call(text) if isinstance(text, str) else text
    roles = [role for role in KINDS if call.name in registry.classes[role]]
    if not roles:
        known = {name for role in KINDS for name in registry.classes[role]}
        raise UsageError(f"no plugin is called {call.name!r}{nearest(call.name, known)}")
    things = (
        registry.build(role, call) if call.args else registry.find(role, call.name)
        for role in roles
    )
    return [subject_of(role, thing, registry) for role, thing in zip(roles, things, strict=True)]


def outcomes(
    role: str,
    thing: type[Component] | Component,
    registry: Registry | None = None,
    only: Iterable[str] | None = None,
    thorough: bool = True,
) -> Iterator[Outcome]:
    """Run the checks of a plugin, one outcome each.

    role: generator, model, protocol or mitigation; ``registry``: where partners are taken from, by
    default what is installed; ``only``: ids of the checks to run; not ``thorough``: on small data
    only.  Raises UsageError where the plugin cannot be built, and nothing else.
    """
    subject = subject_of(role, thing, registry, thorough)
    for check in checks_of(role, only):
        yield check.run(subject)


# -- how an error inside a plugin is reported


REMEDY = {
    "model": "if {title} cannot read such data, say so: state `kinds`, or return a sentence from "
    "incompatibility(cell)",
    "protocol": "if {title} does not go with such a cell, return a sentence from "
    "incompatibility(cell)",
    "mitigation": "if {title} does not go with such a cell, say so: state `kinds`, or return a "
    "sentence from "
    "incompatibility(cell)",
}


def described(problem: BaseException, component: Component) -> str:
    """An error inside a plugin in one sentence: what it is, the line of the plugin's file, and the
    remedy."""
    if isinstance(problem, (CheckFailure, ContractError)):
        return str(problem)
    role = next(role for role, (_, base) in KINDS.items() if isinstance(component, base))
    line = line_of(problem, component)
    remedy = REMEDY.get(role, "").format(title=component.title())
    return f"{calls.described(problem)}{f' ({line})' if line else ''}" + (
        f"; {remedy}" if remedy else ""
    )


def line_of(problem: BaseException, component: Component) -> str | None:
    """The innermost line of the files that define the component at which an error passed; None
    where there is none."""
    files = {inspect.getsourcefile(cls) for cls in type(component).__mro__ if _of_a_plugin(cls)}
    lines = [
        frame for frame in traceback.extract_tb(problem.__traceback__) if frame.filename in files
    ]
    return f"{Path(lines[-1].filename).name}, line {lines[-1].lineno}" if lines else None


def _of_a_plugin(cls: type) -> bool:
    return cls is not object and not cls.__module__.startswith("collapse_bench.core.")


def _joined(results: list[tuple[str, str]]) -> str:
    """The sentence of the first world, and the names of the others."""
    label, sentence = results[0]
    others = [other for other, _ in results[1:]]
    also = f" (also on {', '.join(others[:3])}{', ...' * (len(others) > 3)})" if others else ""
    return (f"on {label}: " if label else "") + sentence + also
