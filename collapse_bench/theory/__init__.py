"""What recursion on one's own samples does in closed form: every law by its name, one float each.

``theory.evaluate("gaussian.w2_mean", M=64, k=7, sigma=2.0)`` evaluates one, ``theory.laws()`` lists them all, and each
is also a plain function, ``theory.gaussian.w2_mean(M=64, k=7)``.  Computed in float64; numpy and scipy alone.

Conventions: ``k`` (or ``t``) counts successive fits, of which the first reads real data, and 0 fits leave the truth;
``M``, ``T`` and ``n`` are rows per fit; ``ddof`` is subtracted from the rows where a variance is formed; the error of
a regression is its excess risk on real inputs, without the noise of a test label; ridge minimises the mean squared
error plus ``lam`` times the squared norm.
"""

from __future__ import annotations

import sys
from typing import Any

from . import discrete, gaussian, gcd, kde, regression, strong, tails, verification
from ._law import LAWS, STATUS, Law, TheoryError, nearest

__all__ = [
    "STATUS",
    "Law",
    "TheoryError",
    "discrete",
    "documentation",
    "evaluate",
    "gaussian",
    "gcd",
    "kde",
    "laws",
    "regression",
    "strong",
    "tails",
    "verification",
]


def laws() -> dict[str, Law]:
    """Every law by its name, sorted: ``status``, ``source``, ``summary``, ``parameters`` and ``ranges`` stand on each."""
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
    """Setting, units, validity, standing, source and parameters of the law of that name."""
    formula = _law(name).formula
    return getattr(sys.modules[formula.__module__], formula.__name__).__doc__


def evaluate(name: str, /, **parameters: Any) -> float:
    """The value of the law of that name; :class:`TheoryError`, a ValueError, where name or parameters are off."""
    return _law(name)(**parameters)
