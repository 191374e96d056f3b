"""Closed-form laws of recursive training.  Each law has a name and returns one float.

``theory.evaluate("gaussian.w2_mean", M=64, k=7, sigma=2.0)`` evaluates one law and
``theory.laws()`` lists them all.  Each law is also a plain function:
``theory.gaussian.w2_mean(M=64, k=7)``.  Everything is computed in float64 with numpy and scipy.

Conventions:

- ``k`` (or ``t``) counts successive fits.  The first fit reads real data; 0 fits leave the truth.
- ``M``, ``T`` and ``n`` are rows per fit.
- A variance is a sum of squares divided by the number of rows minus ``ddof``.
- The error of a regression is its excess risk on real inputs, without the noise of a test label.
- Ridge minimises the mean squared error plus ``lam`` times the squared norm.
"""

from __future__ import annotations

import sys
from typing import Any

from ..suggest import nearest
from . import (
    discrete,
    gains,
    gaussian,
    gcd,
    growing,
    kde,
    preferences,
    regression,
    strong,
    tails,
    verification,
    worlds,
)
from ._law import LAWS, STATUS, Law, TheoryError

__all__ = [
    "STATUS",
    "Law",
    "TheoryError",
    "discrete",
    "documentation",
    "evaluate",
    "gains",
    "gaussian",
    "gcd",
    "growing",
    "kde",
    "laws",
    "preferences",
    "regression",
    "strong",
    "tails",
    "verification",
    "worlds",
]


def laws() -> dict[str, Law]:
    """All laws by name, sorted.

    A law has the attributes ``status``, ``source``, ``summary``, ``parameters`` and ``ranges``.
    """
    return dict(sorted(LAWS.items()))


def _law(name: str) -> Law:
    if name not in LAWS:
        family = [known for known in LAWS if known.startswith(f"{name}.")]
        raise TheoryError(
            f"{name!r} is a family of laws: {', '.join(sorted(family))}"
            if family
            else f"there is no law {name!r}{nearest(name, LAWS)}"
        )
    return LAWS[name]


def documentation(name: str) -> str:
    """Setting, units, validity, status, source and parameters of the law called ``name``.

    Raises :class:`TheoryError` if there is no such law.
    """
    formula = _law(name).formula
    return getattr(sys.modules[formula.__module__], formula.__name__).__doc__


def evaluate(name: str, /, **parameters: Any) -> float:
    """The value of the law called ``name``.

    Raises :class:`TheoryError`, a ValueError, if the name is unknown or a parameter is missing,
    unknown or out of range.
    """
    return _law(name)(**parameters)
