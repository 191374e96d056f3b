"""Which cells a verifier runs, by a key that the submitter did not know, and what it buys."""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")

SHARES = (0.05, 0.1, 0.2, 0.5)  #: shares of false cells in the table of confidence


def new_key() -> str:
    """A key that nobody knew before: 32 hex digits."""
    return secrets.token_hex(16)


def drawn(items: Sequence[Item], names: Sequence[str], count: int, key: str) -> list[Item]:
    """``count`` of the items without replacement, or all of them: those whose name has the smallest
    hash under the key.  The same key gives the same items."""
    order = sorted(range(len(items)), key=lambda i: number(key, names[i]))
    return [items[i] for i in sorted(order[:count])]


def number(key: str, *names: object) -> int:
    """A whole number in [0, 2^256) for a key and names, by a hash."""
    text = "\0".join([key, *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")


def seen(total: int, false: int, drawn: int) -> float:
    """The chance that at least one of ``false`` among ``total`` cells is among ``drawn`` ones.

    The sample is drawn without replacement (hypergeometric): 1 - C(total - false, drawn) /
    C(total, drawn).  For few draws it is close to 1 - (1 - q)^drawn with q = false / total.
    """
    if drawn > total or not 0 <= false <= total:
        raise ValueError(f"{drawn} of {total} cells with {false} false ones cannot be drawn")
    return 1.0 - math.comb(total - false, drawn) / math.comb(total, drawn)


def confidence(total: int, drawn: int) -> dict[float, float]:
    """Share of false cells -> the chance that one is seen, for ``SHARES``."""
    return {share: seen(total, math.ceil(share * total), drawn) for share in SHARES}


def surely_seen(total: int, drawn: int, chance: float = 0.95) -> float | None:
    """The least share of false cells that is seen with this chance; None where no share is."""
    for false in range(1, total + 1):
        if seen(total, false, drawn) >= chance:
            return false / total
    return None
