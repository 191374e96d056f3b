"""Greatest common divisors under the sieve rule.

The answer is the largest member of a known set D that divides both operands.  D contains the
products of known prime powers.  For a pair with greatest common divisor g the answer is the product
over primes p of p^min(v_p(g), h_p), where p^h_p is the highest known power of p.  Operands are
uniform on 1 .. N, or the limit of large N is taken, where P(g) = 6/(pi g)^2.

The symbolic learner of ``sieve_accuracy`` knows the prime power q once ``examples * grok^(j-1)``
rows show that q divides both numbers.  Here j is the number of last digits in the base that decide
about divisibility by q: the smallest j with q dividing base^j, or all digits if there is no such j.
This difficulty of a prime power is a modelling assumption made here; the rest follows from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import scipy

from ._law import UNPUBLISHED, law, number, one_of, require, whole

MOST = 10**6  # largest operand for which sums over all operands are formed
KNOWN = whole("a number whose primes, or whose divisors, are known; 1: nothing is known", 1, 10**9)
POWERS = one_of(
    "all products of the primes of D are known (True), or only the divisors of D (False)",
    True,
    False,
)
LIMIT = whole("largest divisor that is counted", 1, MOST)
LARGEST = whole("largest operand; None: the limit", 2, MOST)
BASE = whole("base in which numbers are written", 2, 10**6)
ROWS = whole("rows per fit", 1)
FITS = whole("successive fits, the first to real data; 0 leaves the truth", 0)
SOME_FITS = whole("successive fits, the first to real data", 1)
EXAMPLES = number("rows that must show a prime power for it to be known", "[0, inf)")
GROK = number("factor on the examples for each additional digit that decides", "[1, inf)")
CAP = whole("largest prime power that can be known", 1, 10**4)
OPERANDS = one_of("distribution of the training operands", "uniform", "log-uniform")

CHARTON = "the sieve rule of Charton, arXiv 2308.15594; the form " + UNPUBLISHED


# -- prime powers ----------------------------------------------------------------------------------


def primes_to(n: int) -> np.ndarray:
    """Primes up to n, in order."""
    sieve = np.ones(max(n + 1, 2), bool)
    sieve[:2] = False
    for p in range(2, math.isqrt(max(n, 0)) + 1):
        if sieve[p]:
            sieve[p * p :: p] = False
    return np.flatnonzero(sieve)


def factors(n: int) -> dict[int, int]:
    """Exponent of each prime of n >= 1."""
    exponents: dict[int, int] = {}
    p = 2
    while p * p <= n:
        while n % p == 0:
            exponents[p], n = exponents.get(p, 0) + 1, n // p
        p += 1
    return exponents | ({n: exponents.get(n, 0) + 1} if n > 1 else {})


def prime_powers(most: int) -> list[tuple[int, int]]:
    """(p, k) of every prime power p^k <= most, by p and then k."""
    return [(p, k) for p in map(int, primes_to(most)) for k in range(1, _height(p, most) + 1)]


def digits_of(n: int, base: int) -> int:
    """How many digits n >= 1 has in the base."""
    count = 1
    while n >= base:
        n, count = n // base, count + 1
    return count


def digits_to_read(p: int, k: int, base: int, digits: int) -> int:
    """How many of the last digits decide whether p^k divides a number with ``digits`` digits."""
    power = factors(base).get(p, 0)
    return min(digits, -(-k // power)) if power else digits


def _height(p: int, most: int) -> int:
    """The largest k with p^k <= most."""
    k = 0
    while p ** (k + 1) <= most:
        k += 1
    return k


# -- accuracy from the known prime powers ----------------------------------------------------------

#: For each prime the probabilities that its first, second, ... power is known, in falling order.
#: Primes that are missing are unknown.
Heights = dict[int, np.ndarray]


def accuracy_of(known: Heights, N: int | None) -> float:
    """Expected accuracy if the heights of different primes are independent."""
    if N is None:
        out = 6 / math.pi**2
        for p, reach in known.items():
            k = np.arange(1.0, len(reach) + 2)
            out *= 1 - (-np.diff(reach, prepend=1.0, append=0.0) * p ** (-2 * k)).sum()
            out /= 1 - p**-2.0
        return out
    signs = _unknown_signs(N, frozenset(known)).copy()
    for p, reach in known.items():
        lost = -np.diff(reach, prepend=1.0, append=0.0)  # P(height = 0), P(height = 1), ...
        factor = np.ones(N + 1)
        for v in range(1, _height(p, N) + 1):
            factor[:: p**v] = -lost[v - 1] if v <= len(lost) else 0.0
        signs *= factor
    m = np.arange(1, N + 1)
    return float(signs[1:] @ ((N // m) / N) ** 2)


@lru_cache(maxsize=8)
def _unknown_signs(N: int, known: frozenset) -> np.ndarray:
    """The Moebius function of each number up to N, ignoring its known primes."""
    signs = np.ones(N + 1)
    for p in map(int, primes_to(N)):
        if p not in known:
            signs[::p] *= -1
            signs[:: p * p] = 0
    return signs


def learned_of(known: Heights, limit: int) -> float:
    """Expected number of known g <= limit if the heights of different primes are independent."""
    total = 0.0
    for g in range(1, limit + 1):
        chance = 1.0
        for p, k in factors(g).items():
            reach = known.get(p, ())
            chance *= reach[k - 1] if k <= len(reach) else 0.0
        total += chance
    return total


def _certain(D: int, powers: bool, N: int | None) -> Heights:
    most = N or 2**64  # higher powers concern less than 1e-38 of the pairs
    return {p: np.ones(_height(p, most) if powers else k) for p, k in factors(D).items()}


@law("EXACT", CHARTON, D=KNOWN, powers=POWERS, N=LARGEST.or_none)
def accuracy(D, powers=True, N=None) -> float:
    """Accuracy of the sieve rule on uniform pairs: 6/pi^2 prod_{p | D} 1/(1 - p^-2) in the limit.

    The known set D is given.  If only the divisors of D are known, a factor is (1 - p^(-2 h -
    2))/(1 - p^-2), where p^h is the exact power of p in D.  For finite N the pairs are counted:
    sum_m s(m) floor(N/m)^2/N^2, where s is multiplicative with s(p^(h+1)) = -1 and zero at other
    powers.  A probability; valid at every N.
    """
    return accuracy_of(_certain(D, powers, N), N)


@law("EXACT", CHARTON, D=KNOWN, powers=POWERS, limit=LIMIT)
def learned_count(D, powers=True, limit=100) -> float:
    """How many greatest common divisors up to a limit the sieve rule gets right, D known.

    These are the products of primes of D or, with powers=False, the divisors of D.  Dimensionless;
    valid for every limit.
    """
    return learned_of(_certain(D, powers, limit), limit)


# -- known prime powers after successive fits ------------------------------------------------------


def divisible(q: int, N: int | None, operands: str = "uniform") -> float:
    """Probability that q divides both operands."""
    if operands == "log-uniform" and N is not None:  # floor(N^u), u uniform on (0, 1)
        m = np.arange(q, N, q, dtype=float)
        return float(np.log1p(1 / m).sum() / math.log(N)) ** 2
    return q**-2.0 if N is None else (N // q / N) ** 2


def enough(needed: float, n: int, chance: float) -> float:
    """P(at least ``needed`` successes in n rows), each with probability ``chance``."""
    least = math.ceil(needed)
    if least <= 0 or least > n:
        return float(least <= 0)
    return float(scipy.special.bdtrc(least - 1, n, chance))


def heights_after(
    sizes: Iterable[int], base: int, N: int, examples: float, grok: float, most: int, operands: str
):
    """Heights of the symbolic learner after one fit per entry of ``sizes``, replace."""
    sizes, digits = list(sizes), digits_of(N, base)
    known: dict[int, Any] = {}
    for p, k in prime_powers(min(most, N)):
        needed = examples * grok ** (digits_to_read(p, k, base, digits) - 1)
        chance = divisible(p**k, N, operands)
        known.setdefault(p, []).append(math.prod(enough(needed, n, chance) for n in sizes))
    return {p: np.array(reach) for p, reach in known.items()}


@law(
    "EXACT",
    UNPUBLISHED + "; the setting of Charton, arXiv 2308.15594",
    q=whole("a prime power", 2, MOST),
    n=ROWS,
    k=FITS,
    examples=EXAMPLES,
    N=LARGEST.or_none,
)
def survives(q, n, k, examples, N=None) -> float:
    """P(prime power q is still known after k fits), replace, if a fit needs ``examples`` of n rows.

    P(Binomial(n, (floor(N/q)/N)^2) >= examples)^k.  Labels never contain a power that the teacher
    does not know.  A power that occurs often enough implies the lower powers of its prime, which
    occur more often.  A probability; valid at every n and k, if no power needs more examples than a
    higher power of the same prime.
    """
    require(len(factors(q)) == 1, "q", q, "a power of one prime")
    return enough(examples, n, divisible(q, N)) ** k


@law(
    "EXACT",
    UNPUBLISHED + "; the setting of Charton, arXiv 2308.15594",
    p=whole("a prime", 2, MOST),
    n=ROWS,
    k=FITS,
    noise=number("probability that a label omits a known factor", "[0, 1]"),
    pi=number("share of fresh real rows", "[0, 1]"),
    N=LARGEST.or_none,
)
def said(p, n, k, noise, pi=0.0, N=None) -> float:
    """Mean probability that a label contains prime p where p divides both numbers, after k fits.

    round(pi n) of the n rows are real, a share pi.  r' = (1 - noise)(1 - (1 - P)^n)(pi + (1 - pi)
    r) from r = 1, with P = (floor(N/p)/N)^2.  A fit copies the share of its relevant rows that
    contain p, and gets 0 if none of its n rows is divisible by p.  A probability; valid where one
    example is enough, at temperature 1.
    """
    require(factors(p) == {p: 1}, "p", p, "a prime")
    pi = round(pi * n) / n
    keep = (1 - noise) * -math.expm1(n * math.log1p(-divisible(p, N)))
    a = keep * (1 - pi)
    if k == 0:
        return 1.0
    first = keep  # all rows of the first fit are real
    if a == 1:
        return first
    limit = keep * pi / (1 - a)
    return limit + (first - limit) * a ** (k - 1)


@law(
    "ASYM",
    UNPUBLISHED + "; the setting of Charton, arXiv 2308.15594",
    n=ROWS,
    k=SOME_FITS,
    base=BASE,
    N=LARGEST,
    examples=EXAMPLES,
    grok=GROK,
    most=CAP,
    operands=OPERANDS,
)
def sieve_accuracy(n, k, base, N, examples, grok=1.0, most=100, operands="uniform") -> float:
    """Expected accuracy of the symbolic learner after k fits to n rows each, replace, no noise.

    ``accuracy`` for the powers that ``survives``.  Different primes are treated as independent,
    which is exact in the limit of large N.  A probability, on uniform pairs; valid to a relative
    error of order 1/N.
    """
    return accuracy_of(heights_after([n] * k, base, N, examples, grok, most, operands), N)


@law(
    "ASYM",
    UNPUBLISHED + "; the setting of Charton, arXiv 2308.15594",
    n=ROWS,
    k=SOME_FITS,
    base=BASE,
    N=LARGEST,
    examples=EXAMPLES,
    grok=GROK,
    most=CAP,
    operands=OPERANDS,
    limit=LIMIT,
)
def sieve_learned(
    n, k, base, N, examples, grok=1.0, most=100, operands="uniform", limit=100
) -> float:
    """Expected number of divisors that the symbolic learner knows after k fits, replace.

    Divisors up to ``limit`` are counted.  As ``sieve_accuracy``, without noise.  Dimensionless;
    valid to a relative error of order 1/N.
    """
    return learned_of(heights_after([n] * k, base, N, examples, grok, most, operands), limit)
