"""A law: a formula with a name, a status, a source and a declared range for every parameter."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import numpy as np

from ..errors import UsageError
from ..suggest import nearest

#: How far a formula can be trusted.
STATUS = {
    "EXACT": "exact, an identity at finite size or in the limit that the law names",
    "DE": "deterministic equivalent, rows and dimension large together, relative error O(1/n)",
    "LEAD": "leading order in one over the number of rows",
    "ASYM": "asymptotic or mean field",
    "HEURISTIC": "heuristic, accurate to several per cent",
    "REFUTED": "leading order as published, contradicted by simulation",
}

#: the source of a law for which a search of the literature found no published form
UNPUBLISHED = "derived here (no published form found)"

STEPS = 10**7  #: the largest number of rounds that a formula sums or iterates over


class TheoryError(UsageError, ValueError):
    """The law does not exist, or a parameter is outside its range."""


# -- ranges ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Range:
    """What a parameter means, and the values that it can take."""

    meaning: str
    low: float = -math.inf
    high: float = math.inf
    brackets: str = "[]"  # a round bracket excludes its end
    whole: bool = False
    choices: tuple = ()
    optional: bool = False

    @property
    def or_none(self) -> Range:
        """The same range, with None allowed."""
        return replace(self, optional=True)

    @property
    def given(self) -> Range:
        """The same range, without None."""
        return replace(self, optional=False)

    def __str__(self) -> str:
        return self._text() + (" or None" if self.optional else "")

    def _text(self) -> str:
        if self.choices:
            return "one of " + ", ".join(map(repr, self.choices))
        if self.whole:
            return f"a whole number >= {self.low}" + (
                f" and <= {self.high}" if self.high < math.inf else ""
            )
        if (self.low, self.high) == (-math.inf, math.inf):
            return "a finite number"
        return f"a number in {self.brackets[0]}{self.low:g}, {self.high:g}{self.brackets[1]}"

    def admit(self, name: str, value: Any) -> Any:
        """``value`` in the type that the formula expects: int, float, bool, str or None.

        Raises :class:`TheoryError` if it is outside the range.
        """
        if value is None and self.optional:
            return None
        if self.choices:
            if not any(
                value is c or (isinstance(c, str) and isinstance(value, str) and c == value)
                for c in self.choices
            ):
                raise TheoryError(f"{name} must be {self}, got {value!r}")
            return value
        if isinstance(value, numbers.Real) and not isinstance(value, bool) and self._holds(value):
            return math.floor(value) if self.whole else float(value)
        raise TheoryError(f"{name} must be {self}, got {value!r}")

    def _holds(self, value) -> bool:
        above = value > self.low if self.brackets[0] == "(" else value >= self.low
        below = value < self.high if self.brackets[1] == ")" else value <= self.high
        # Every comparison with NaN is false, so this line also rejects NaN.
        if not (above and below and -math.inf < value < math.inf):
            return False
        return not self.whole or value == math.floor(value)


def whole(meaning: str, low: int, high: float = math.inf) -> Range:
    """The range of whole numbers from ``low`` to ``high``."""
    return Range(meaning, low, high, whole=True)


def number(meaning: str, interval: str = "(-inf, inf)") -> Range:
    """The range of finite numbers in an interval, written as in a paper: "[0, 1)"."""
    low, high = map(float, interval[1:-1].split(","))
    return Range(meaning, low, high, interval[0] + interval[-1])


def one_of(meaning: str, *choices) -> Range:
    """A range of a few listed values: words, or True and False."""
    return Range(meaning, choices=choices)


def require(holds: bool, name: str, given: Any, allowed: str) -> None:
    """Raise TheoryError unless ``holds``: for ranges that depend on other parameters."""
    if not holds:
        raise TheoryError(f"{name} must be {allowed}, got {given!r}")


# -- laws ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Law:
    """A formula with its status, source and ranges.  Calling it checks the parameters first."""

    name: str
    status: str  # a key of STATUS
    source: str
    formula: Callable[..., float]
    ranges: Mapping[str, Range]
    infinite: str = ""  # where the true value is infinite; empty: nowhere

    @property
    def summary(self) -> str:
        """The first line of the formula's docstring."""
        return (inspect.getdoc(self.formula) or "").partition("\n")[0]

    @property
    def parameters(self) -> dict[str, Any]:
        """Name and default of each parameter; ``inspect.Parameter.empty`` if it has no default."""
        return {p.name: p.default for p in inspect.signature(self.formula).parameters.values()}

    def __call__(self, /, **given: Any) -> float:
        for name in given:
            if name not in self.ranges:
                raise TheoryError(
                    f"{self.name} has no parameter {name!r}{nearest(name, self.ranges)}"
                )
            try:
                self.ranges[name].admit(name, given[name])
            except TheoryError as error:
                raise TheoryError(f"{self.name}: {error}") from None
        for name, default in self.parameters.items():
            if default is inspect.Parameter.empty and name not in given:
                raise TheoryError(
                    f"{self.name} needs {name}: {self.ranges[name].meaning}, {self.ranges[name]}"
                )
        return self._value(self.parameters | given)

    def _value(self, given: dict[str, Any]) -> float:
        try:
            admitted = {name: self.ranges[name].admit(name, value) for name, value in given.items()}
            with np.errstate(
                all="ignore"
            ):  # underflow gives 0 as intended; overflow is found below
                value = float(self.formula(**admitted))
        except TheoryError as error:
            raise TheoryError(f"{self.name}: {error}") from None
        except MemoryError:
            sizes = ", ".join(
                f"{name}={value}" for name, value in admitted.items() if self.ranges[name].whole
            )
            raise TheoryError(f"{self.name}: {sizes} do not fit into memory") from None
        except (OverflowError, ZeroDivisionError, np.linalg.LinAlgError):
            value = math.nan
        except ArithmeticError as error:
            raise TheoryError(f"{self.name}: {error}") from None
        # An overflow must not pass for an infinite value.
        if math.isnan(value) or (math.isinf(value) and not self.infinite):
            raise TheoryError(
                f"{self.name}: the value, or an intermediate result, is beyond the range of a float"
            )
        return value


LAWS: dict[str, Law] = {}


class Formula(Protocol):
    """A public formula: called as it was written, with its declaration at hand."""

    law: Law

    def __call__(self, *args: Any, **kwargs: Any) -> float: ...


def law(
    status: str, source: str, *, infinite: str = "", **ranges: Range
) -> Callable[[Callable[..., Any]], Formula]:
    """Make a formula public: check its parameters before each call, and say in its docstring what
    was declared here.

    The decorated function checks its parameters before each call, so the formula's body only sees
    values inside their ranges.  Status, source and ranges are added to its docstring, and
    ``infinite``, which says where the true value is infinite.  Without it, an infinite result is an
    overflow and raises TheoryError.
    """

    def public(formula: Callable[..., Any]) -> Formula:
        name = f"{formula.__module__.rpartition('.')[2]}.{formula.__name__}"
        signature = inspect.signature(formula)
        assert set(ranges) == set(signature.parameters), f"{name}: declare each parameter once"
        assert status in STATUS, status
        this = LAWS[name] = Law(
            name, status, source, formula, {p: ranges[p] for p in signature.parameters}, infinite
        )

        @functools.wraps(formula)
        def checked(*args, **kwargs) -> float:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return this._value(bound.arguments)

        lines = [f"    {p}: {r.meaning}; {r}" for p, r in this.ranges.items()]
        parts = [inspect.getdoc(formula) or "", *([f"Infinite: {infinite}."] if infinite else [])]
        parts += [f"Status: {STATUS[status]}.", f"Source: {source}."]
        checked.__doc__ = "\n\n".join([*parts, "\n".join(["Parameters:", *lines])])
        public_formula = cast(Formula, checked)
        public_formula.law = this
        return public_formula

    return public
