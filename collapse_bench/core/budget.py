"""Limits on what an entry may use: `real=0.1,verifier=1000`, per chain and over a whole run.

What the protocol itself uses does not count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import UsageError

#: name in a budget -> substance in the ledger
NAMES = {
    "real": "real_unique",
    "real-drawn": "real_rows",
    "real-tokens": "real_tokens",
    "verifier": "verifier_calls",
    "provenance": "provenance_lookups",
    "external": "external_calls",
    "generated": "generated_rows",
    "fits": "fits",
}
#: names whose limit, if below 1, is a share of the rows that all generations read
SHARES = ("real", "real-drawn")


@dataclass(frozen=True)
class Budget:
    """Limits per chain as typed, ``(("real", 0.1), ("verifier", 1000.0))``.

    A budget is not part of a cell's id.
    """

    limits: tuple[tuple[str, float], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Parse `real=0.1,verifier=1000`.  Raises UsageError where it cannot be read."""
        limits: dict[str, float] = {}
        for piece in filter(None, (piece.strip() for piece in text.split(","))):
            name, equals, value = (part.strip() for part in piece.partition("="))
            if name not in NAMES:
                raise UsageError(f"a budget has no {name!r}; known: {', '.join(NAMES)}")
            if name in limits:
                raise UsageError(f"the budget names {name} twice")
            limits[name] = _number(name, value if equals else "nothing")
        if not limits:
            raise UsageError(f"budget {text!r} names nothing; write real=0.1,verifier=1000")
        return cls(tuple(limits.items()))

    def allowed(self, rows: int) -> Mapping[str, int]:
        """substance -> limit per chain, where all generations together read ``rows`` rows."""
        return {
            NAMES[name]: math.floor(value * rows + 1e-9)
            if name in SHARES and value < 1
            else int(value)
            for name, value in self.limits
        }

    def __str__(self) -> str:
        return ",".join(f"{name}={value:g}" for name, value in self.limits)


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    whole = value == math.floor(value) if math.isfinite(value) else False
    if not (value >= 0 and (whole or (name in SHARES and value < 1))):
        share = ", or a share of the rows read below 1" if name in SHARES else ""
        raise UsageError(f"budget: {name} must be a whole number >= 0{share}, got {text}")
    return value
