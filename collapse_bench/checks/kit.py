"""The conformance kit: what the harness takes for granted of a plugin, as checks that anyone can run over theirs.

    for name, check in checks_of("model", Ridge):
        check()  # silent; or CheckFailure with a sentence; or Unfit where there is nothing to hold it to

The kit knows no plugin by name: whatever a check needs beside the plugin (data for a model to read, a model for a
mitigation to steer) is taken from the registry, one registered plugin per kind of data that fits.

Three things an author may state in the class body, and need not:

- ``tiny = {"d": 4}``: parameters at which the checks run, where the defaults would take long;
- ``truth_is = "fixed"``: of a data generator whose seeds share one truth (a field of this name will do);
- ``exact = False``: of a model fitted by random steps, whose weights are obeyed in law and not number by number.
"""

from __future__ import annotations

import dataclasses
import pickle
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from ..core.components import Component, Kind
from ..core.identity import written
from ..errors import Incompatible, UsageError
from ..registry.discovery import KINDS, Registry, registry
from .compare import CheckFailure
from .generators import generator_checks
from .laws import claims_are_laws, laws_bear_cells
from .mitigations import mitigation_checks
from .models import model_checks
from .protocols import protocol_checks
from .world import Check, cells_with, name_of, small, without_default


@dataclass(frozen=True)
class Outcome:
    """What became of one check."""

    name: str
    status: Literal["passed", "failed", "skipped"]
    sentence: str = ""


def checks_of(
    kind: str, thing: type[Component] | Component, among: Registry | None = None
) -> Iterator[tuple[str, Check]]:
    """All checks of a plugin class (at its small variant) or object, each with its name.

    kind: generator, model, protocol or mitigation; ``among``: where partners are taken from, by default what is
    installed.  A check raises CheckFailure, or Unfit where the plugin has nothing that it could be held to.
    """
    if kind not in KINDS:
        raise UsageError(f"unknown kind of plugin {kind!r}; known: {', '.join(KINDS)}")
    among = among or registry()
    noun = small(thing) if isinstance(thing, type) else thing
    if noun is None:
        (first, *_) = missing = without_default(thing)
        raise UsageError(
            f"{thing.title()} has no default for {', '.join(missing)}: check it with its parameters, "
            f"{thing.title()}({first}=...), or state `tiny` in the class body, tiny = {{{first!r}: ...}}"
        )
    base = KINDS[kind][1]
    if not isinstance(noun, base):
        raise UsageError(
            f"{noun.title()} is not a {base.__name__}, and checks of a {kind} were asked for"
        )
    yield "is read as it is written", partial(_read_as_written, kind, noun, among)
    yield "says in a sentence why it does not fit", partial(_fits_or_says_why, kind, noun, among)
    yield from _CHECKS[kind](noun, among)
    yield "claims laws that are there", partial(claims_are_laws, kind, noun, among)
    yield "its laws bear every cell", partial(laws_bear_cells, kind, noun, among)


def outcomes(
    kind: str, thing: type[Component] | Component, among: Registry | None = None
) -> Iterator[Outcome]:
    """Run all checks of a plugin; nothing is raised."""
    for name, check in checks_of(kind, thing, among):
        try:
            check()
        except Incompatible as reason:
            yield Outcome(name, "skipped", str(reason))
        except CheckFailure as failure:
            yield Outcome(name, "failed", str(failure))
        except Exception as problem:
            yield Outcome(name, "failed", f"{type(problem).__name__}: {problem}")
        else:
            yield Outcome(name, "passed")


# -- which objects --------------------------------------------------------------------------------------------------


# -- a small world --------------------------------------------------------------------------------------------------


# -- every noun -----------------------------------------------------------------------------------------------------


def _read_as_written(kind: str, noun: Component, among: Registry) -> None:
    who = noun.title()
    for cls in type(noun).__mro__[:1]:
        if not dataclasses.is_dataclass(cls) or not cls.__dataclass_params__.frozen:
            raise CheckFailure(
                f"{who} must be a frozen dataclass: put @dataclass(frozen=True) above the class"
            )
    if type(noun.version) is not int or noun.version < 1:
        raise CheckFailure(f"{who}.version must be a whole number >= 1, got {noun.version!r}")
    unknown = set(noun.kinds or ()) - set(typing.get_args(Kind))
    if unknown or isinstance(noun.kinds, str):
        raise CheckFailure(
            f"{who}.kinds must be a tuple of {', '.join(typing.get_args(Kind))}; got {noun.kinds!r} "
            "(a tuple of one needs its comma)"
        )
    if pickle.loads(pickle.dumps(noun)) != noun:
        raise CheckFailure(
            f"{who} does not survive pickling, and executors send it to other processes"
        )
    if among.classes[kind].get(who) is type(noun) and among.build(kind, written(noun)) != noun:
        raise CheckFailure(
            f"{name_of(noun)} is not read as it is written; give every parameter a type that a spec can express "
            "(numbers, words, true and false, lists, paths, nested plugins)"
        )
    if kind in ("generator", "model", "protocol", "mitigation") and who not in among.classes[kind]:
        clash = [name for name, cls in among.classes[kind].items() if cls is type(noun)]
        if clash:
            raise CheckFailure(
                f"{clash[0]!r} calls itself {who!r}; leave `name` out, the hook that offers the class gives it"
            )


def _fits_or_says_why(kind: str, noun: Component, among: Registry) -> None:
    for cell in cells_with(kind, noun, among):
        said = noun.incompatibility(cell)
        if said is not None and not (isinstance(said, str) and said.strip()):
            raise CheckFailure(
                f"{noun.title()}.incompatibility returned {said!r} for {cell.label}; return None where the cell fits, else one "
                "sentence that says why not"
            )


# -- data generators ------------------------------------------------------------------------------------------------


# -- models ---------------------------------------------------------------------------------------------------------


# -- protocols ------------------------------------------------------------------------------------------------------


# -- mitigations ----------------------------------------------------------------------------------------------------


_CHECKS: dict[str, Callable[[Any, Registry], Iterator[tuple[str, Check]]]] = {
    "generator": generator_checks,
    "model": model_checks,
    "protocol": protocol_checks,
    "mitigation": mitigation_checks,
}
