"""Numbers of docs/arithmetic.md that need no training."""

from __future__ import annotations

from collapse_bench import theory

from . import Table, computed
from .measure import verified

PAGE = "docs/arithmetic.md"
PRIMES = {
    "none": 1,
    "2": 2,
    "3": 3,
    "5": 5,
    "2, 5": 10,
    "2, 3": 6,
    "2, 3, 5": 30,
    "2, 3, 5, 7": 210,
}


@computed(PAGE, "sieve")
def sieve() -> Table:
    gcd = theory.gcd
    accuracy = [f"{100 * gcd.accuracy(D=product):.2f}" for product in PRIMES.values()]
    learned = [f"{gcd.learned_count(D=product):.0f}" for product in PRIMES.values()]
    return Table(
        [
            ["primes known", *PRIMES],
            ["`gcd.accuracy`, per cent", *accuracy],
            ["`gcd.learned_count`, of 100", *learned],
        ]
    )


@computed(PAGE, "gcd-laws")
def laws() -> str:
    return verified("gcd")
