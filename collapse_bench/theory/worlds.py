"""Worlds that move or grow: means and weights that drift, symbols that are new, a pool that grows.

``t`` is a generation; generation 0 reads M real rows.  A drift q is the variance of the step that
each coordinate of the truth takes per generation.  The error of generation t is that against the
truth of generation t.  A new share h: in every generation the mass of all symbols shrinks to 1 - h,
and a new block of K symbols, with the same Zipf law, gets the rest.

Laws of a mean are for one coordinate and known variance; they add up over coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain

import numpy as np
import scipy

from ._law import STEPS, UNPUBLISHED, law, number, require, whole
from ._special import binomial
from ._zipf import zipf
from .verification import taught_cosine

ROWS = whole("rows per generation", 1)
REAL_ROWS = whole("new real rows per generation", 0)
GENERATION = whole("generation", 0, STEPS)
SHARE = number("share of new real rows in each generation; round(pi M) of them", "[0, 1]")
GROWING = number("share of new real rows among those that a generation adds", "[0, 1]")
DRIFT = number("drift, the variance of a step of the truth", "[0, inf)")
STD = number("standard deviation of a row", "(0, inf)")
NOISE = number("standard deviation of the label noise", "[0, inf)")
WEIGHT = number("weight of the real rows, 1 - w that of the synthetic ones", "[0, 1]")
DIMENSION = whole("input dimension", 1, STEPS)
MANY = whole("rows per generation; more than d + 1", 3)
SPECTRUM = number("exponent of the spectrum of the inputs, diag(j^-beta)")
SYMBOLS = whole("symbols of a block", 1, STEPS)
EXPONENT = number("exponent of the Zipf law of a block; 0: uniform", "[0, inf)")
NEW = number("share of the mass that moves to a new block per generation", "[0, 1]")
ANGLE = number("angle that the truth turns by per generation, in radians", "[0, 3.141592653589794)")
SIGNAL = number("squared norm of the class mean", "[0, inf)")

WANG = "Wang, Niu and Li, arXiv 2602.16065"
HE_XU_CHENG = "He, Xu and Cheng, arXiv 2502.18049"
KALMAN = "Kalman, J. Basic Eng. 1960"

MOST = 5 * 10**7  # entries of a transition matrix, about 0.4 GB


# -- a mean that drifts ----------------------------------------------------------------------------


@law(
    "EXACT",
    UNPUBLISHED + "; a drift of 0 is the fresh data loop of Alemohammad et al., arXiv 2307.01850",
    M=ROWS,
    pi=SHARE,
    t=GENERATION,
    q=DRIFT,
    sigma=STD,
)
def mix_e(M, pi, t, q=0.0, sigma=1.0) -> float:
    """E (m_t - mu_t)^2 of a mean of known variance, round(pi M) new real rows per generation.

    The other rows come from the model before: e' = (1 - pi)^2 (e + q) + sigma^2/M, with pi the
    share after rounding.  pi = 0 is replace, a random walk of two.  In units of sigma^2; valid for
    all M and t.
    """
    keep = (1 - round(pi * M) / M) ** 2
    return _steady(sigma**2 / M, keep, keep * q + sigma**2 / M, t)


def _steady(e: float, keep: float, more: float, t: int) -> float:
    """t times e -> keep e + more."""
    if keep == 1:
        return e + t * more
    faded = keep**t
    return faded * e + (1 - faded) / (1 - keep) * more


@law(
    "EXACT",
    UNPUBLISHED + "; the setting of " + WANG,
    M=ROWS,
    real=GROWING,
    t=GENERATION,
    q=DRIFT,
    sigma=STD,
)
def accumulate_e(M, real, t, q=0.0, sigma=1.0) -> float:
    """E (m_t - mu_t)^2 of a mean of known variance over all rows so far, M more per generation.

    round(real M) of the new rows are real, the others come from the model before.  With a the share
    after rounding, e' = (1 - a/(t+1))^2 (e + q) + sigma^2/(M (t+1)^2).  Without drift it falls like
    t^-2a for a < 1/2 and like 1/t above that.  real = 1 is the oracle, which pools real rows of all
    ages.  In units of sigma^2; valid for all M and t.
    """
    a, e = round(real * M) / M, sigma**2 / M
    for s in range(2, t + 2):
        e = (1 - a / s) ** 2 * (e + q) + sigma**2 / (M * s**2)
    return e


@law(
    "EXACT",
    UNPUBLISHED + "; the setting of Kazdan et al., arXiv 2410.16713",
    M=ROWS,
    real=GROWING,
    t=GENERATION,
    q=DRIFT,
    sigma=STD,
)
def subsample_e(M, real, t, q=0.0, sigma=1.0) -> float:
    """E (m_t - mu_t)^2 of a mean of known variance over M rows, drawn from all rows so far.

    The pool gets M rows per generation, round(real M) of them real.  Followed are the expected
    square of a row about mu_t, b, and the expected product of two different rows, c: for a pool of
    N rows the error is e = b/M + (1 - 1/M) c, the product of a row and the pool's mean is b/N +
    (1 - 1/N) c, and a drift adds q to all three.  In units of sigma^2; valid for all M and t.
    """
    taught, q = M - round(real * M), q / sigma**2
    squares, products = float(M), 0.0  # sums over the rows of the pool and over its ordered pairs
    for s in range(1, t + 2):
        N = M * s
        b, c = squares / N, products / max(N * (N - 1), 1)
        e = b / M + (1 - 1 / M) * c
        if s == t + 1:
            break
        own = b / N + (1 - 1 / N) * c + q
        squares = N * (b + q) + M + taught * (e + q)
        products = N * (N - 1) * (c + q) + 2 * N * taught * own + taught * (taught - 1) * (e + q)
    return sigma**2 * e


@law("EXACT", UNPUBLISHED, M=ROWS, t=GENERATION, q=DRIFT, sigma=STD)
def frozen_e(M, t, q=0.0, sigma=1.0) -> float:
    """E (m_0 - mu_t)^2, the mean of the M real rows of generation 0 in the world of generation t.

    sigma^2/M + q t.  In units of sigma^2; valid for all M and t.
    """
    return sigma**2 / M + q * t


@law(
    "EXACT",
    HE_XU_CHENG + ", without drift; with drift " + UNPUBLISHED,
    n1=whole("new real rows per generation", 1),
    n2=whole("synthetic rows per generation", 1),
    w=WEIGHT,
    t=GENERATION,
    q=DRIFT,
    s=STD,
)
def weighted_e(n1, n2, w, t, q=0.0, s=1.0) -> float:
    """E (m_t - mu_t)^2: weight w on n1 new real rows, 1 - w on n2 rows of the model before.

    e' = (1-w)^2 (e + q + s^2/n2) + w^2 s^2/n1, from generation 0 with n1 + n2 real rows.  In units
    of s^2; valid for all sizes and t.
    """
    keep = (1 - w) ** 2
    return _steady(s**2 / (n1 + n2), keep, keep * (q + s**2 / n2) + w**2 * s**2 / n1, t)


@law(
    "EXACT",
    HE_XU_CHENG + ", without drift; with drift " + UNPUBLISHED,
    n1=whole("new real rows per generation", 1),
    n2=whole("synthetic rows per generation", 1),
    q=DRIFT,
    s=STD,
)
def best_weight(n1, n2, q=0.0, s=1.0) -> float:
    """Weight w of the real rows with the least stationary error of ``weighted_e``.

    w = x/(x + r) with x = e + q + s^2/n2 and r = s^2/n1, where e = w r is the error itself.  For
    n1 = n2 and no drift it is 0.618, the reciprocal of the golden ratio.  The square root of
    w^2 r + w (q + s^2/n2) = q + s^2/n2.  Dimensionless; valid for all sizes.
    """
    y = (q + s**2 / n2) * n1 / s**2
    return 2 / (1 + math.sqrt(1 + 4 / y))


@law(
    "EXACT",
    KALMAN,
    M=ROWS,
    m=REAL_ROWS,
    t=GENERATION,
    q=DRIFT,
    sigma=STD,
)
def kalman_e(M, m, t, q=0.0, sigma=1.0) -> float:
    """E (m_t - mu_t)^2 of the best estimate from all real rows, M at first and m more each time.

    1/P' = 1/(P + q) + m/sigma^2.  No method that reads these real rows, and synthetic rows that
    were taught by them, has a smaller error.  Without drift it is sigma^2/(M + m t), the ceiling of
    a growing web for who knows which rows are real.  In units of sigma^2; valid for all M, m and t.
    """
    P = sigma**2 / M
    for _ in range(t):
        P = P + q
        P = P / (1 + P * m / sigma**2)
    return P


@law("EXACT", KALMAN, m=whole("new real rows per generation", 1), q=DRIFT, sigma=STD)
def kalman_limit(m, q, sigma=1.0) -> float:
    """Limit of ``kalman_e``: (-q + sqrt(q^2 + 4 q r))/2 with r = sigma^2/m.

    In units of sigma^2; valid for all m and q.
    """
    r = sigma**2 / m
    return 2 * q * r / (q + math.sqrt(q * q + 4 * q * r)) if q else 0.0


# -- weights that drift ----------------------------------------------------------------------------


def _moved(d: int, q: float, beta: float) -> float:
    """Excess risk that one step of the weights adds: q times the trace of the spectrum."""
    return q * float((np.arange(1.0, d + 1) ** -beta).sum())


def _one_fit(d: int, n: int, s: float) -> float:
    require(d + 1 < n, "n", n, f"more than d + 1 = {d + 1}")
    return s**2 * d / (n - d - 1)


@law(
    "LEAD",
    UNPUBLISHED + "; real and synthetic labels of the same rows without drift: Garg et al., arXiv "
    "2509.22341",
    d=DIMENSION,
    n=MANY,
    pi=SHARE,
    t=GENERATION,
    q=DRIFT,
    beta=SPECTRUM,
    s=NOISE,
)
def ols_mix(d, n, pi, t, q=0.0, beta=0.0, s=1.0) -> float:
    """Excess risk of least squares while the weights drift, a share pi of new real rows.

    The other rows are labelled by the model before.  E' = rho (E + q sum_j j^-beta) + s^2 u with u
    = d/(n - d - 1) and rho = (1-pi)^2 + pi (1-pi) u.  In units of the squared label; valid to
    leading order in d/n, exact for pi = 0.
    """
    pi, u = round(pi * n) / n, _one_fit(d, n, 1.0)
    rho = (1 - pi) ** 2 + pi * (1 - pi) * u
    return _steady(s**2 * u, rho, rho * _moved(d, q, beta) + s**2 * u, t)


@law(
    "LEAD",
    UNPUBLISHED + "; without real rows and drift: Gerstgrasser et al., arXiv 2404.01413",
    d=DIMENSION,
    n=MANY,
    real=GROWING,
    t=GENERATION,
    q=DRIFT,
    beta=SPECTRUM,
    s=NOISE,
)
def ols_accumulate(d, n, real, t, q=0.0, beta=0.0, s=1.0) -> float:
    """Excess risk of least squares on all rows so far while the weights drift, n more each time.

    round(real n) of the new rows are real.  With i = t + 1, g = real/i and u = d/(i n - d - 1):
    E' = ((1-g)^2 + g (1-g) u) (E + q sum_j j^-beta) + s^2 u/i.  In units of the squared label;
    valid to leading order in d/n, exact for real = 0.
    """
    real, risk, step = round(real * n) / n, _one_fit(d, n, s), _moved(d, q, beta)
    for i in range(2, t + 2):
        g, u = real / i, d / (i * n - d - 1)
        risk = ((1 - g) ** 2 + g * (1 - g) * u) * (risk + step) + s**2 * u / i
    return risk


@law("EXACT", UNPUBLISHED, d=DIMENSION, n=MANY, t=GENERATION, q=DRIFT, beta=SPECTRUM, s=NOISE)
def ols_frozen(d, n, t, q=0.0, beta=0.0, s=1.0) -> float:
    """Excess risk in generation t of the least squares fit of generation 0.

    s^2 d/(n - d - 1) + q t sum_j j^-beta.  In units of the squared label; valid for n > d + 1.
    """
    return _one_fit(d, n, s) + t * _moved(d, q, beta)


# -- a direction that turns ------------------------------------------------------------------------


def _cosine(mu2: float, d: int, N: int) -> float:
    """Cosine to the truth of an averaging classifier of N true labels."""
    return math.sqrt(mu2 / (mu2 + d / N))


@law(
    "DE",
    UNPUBLISHED + "; one fit: El Firdoussi et al., ICLR 2025, arXiv 2410.08942",
    t=GENERATION,
    mu2=SIGNAL,
    d=DIMENSION,
    N=ROWS,
    angle=ANGLE,
)
def turning_accuracy(t, mu2, d, N, angle) -> float:
    """Accuracy of averaging classifiers under replace, while the class mean turns.

    Every turn multiplies the cosine between a teacher and the truth by cos(angle), on average; the
    student's follows as in ``verification.acc_average_iterated``.  A probability, at most
    Phi(|mu|); valid within about 2% for d >= 80 and d > 50 mu2 (1 + mu2).
    """
    cosine = _cosine(mu2, d, N)
    for _ in range(t):
        cosine = taught_cosine(math.cos(angle) * cosine, mu2, d, N)
    return scipy.special.ndtr(math.sqrt(mu2) * cosine)


@law(
    "DE",
    UNPUBLISHED + "; one fit: El Firdoussi et al., ICLR 2025, arXiv 2410.08942",
    t=GENERATION,
    mu2=SIGNAL,
    d=DIMENSION,
    N=ROWS,
    angle=ANGLE,
)
def turning_frozen(t, mu2, d, N, angle) -> float:
    """Accuracy in generation t of the averaging classifier of generation 0: the class mean turns.

    Phi(|mu| c cos(angle)^t) with c the cosine of one fit; that the mean cosine falls like this is
    exact.  A probability, at most Phi(|mu|); valid within about 2% for d >= 80 and d > 50 mu2 (1 +
    mu2).
    """
    return scipy.special.ndtr(math.sqrt(mu2) * _cosine(mu2, d, N) * math.cos(angle) ** t)


# -- new symbols -----------------------------------------------------------------------------------


def _ages(h: float, t: int) -> tuple[np.ndarray, np.ndarray]:
    """(mass of the first block in generations 0 .. t, mass of a new block at the ages 0 .. t)."""
    rest = (1 - h) ** np.arange(t + 1.0)
    return rest, h * rest


@law(
    "EXACT",
    UNPUBLISHED,
    K=SYMBOLS,
    beta=EXPONENT,
    M=ROWS,
    t=GENERATION,
    h=NEW,
)
def novel_frozen_missing(K, beta, M, t, h=0.0) -> float:
    """Mass in generation t of the symbols that the M real rows of generation 0 do not have.

    1 - (1-h)^t (1 - m_0), with m_0 = sum p (1-p)^M.  A probability; valid for all M and t.
    """
    p = zipf(K, beta)
    seen = 1 - p @ (1 - p) ** M
    return 1 - (1 - h) ** t * seen


@law("EXACT", UNPUBLISHED, K=SYMBOLS, beta=EXPONENT, M=ROWS, t=GENERATION, h=NEW)
def novel_frozen_tv(K, beta, M, t, h=0.0) -> float:
    """Total variation in generation t of the relative frequencies of M real rows of generation 0.

    (1/2) [1 - (1-h)^t + sum E|count/M - (1-h)^t p|].  A probability; valid for all M and t.
    """
    p, rest = zipf(K, beta), (1 - h) ** t
    return 0.5 * (1 - rest + _deviation(p, M, rest * p).sum())


def _deviation(p: np.ndarray, M: int, centre: np.ndarray) -> np.ndarray:
    """E|count/M - centre| of a binomial count of M draws with probability p.

    For X ~ Bin(M, p) and k = floor(M centre): E|X - M centre| = M (p - centre) + 2 (M centre F(k) -
    M p G(k - 1)), where F is the distribution function of X and G that of Bin(M - 1, p).
    """
    k = np.minimum(np.floor(M * centre), M)
    below = scipy.special.bdtr(k, M, p)
    others = np.where(k >= 1, scipy.special.bdtr(np.clip(k - 1, 0, M - 1), M - 1, p), 0.0)
    return p - centre + 2 * (centre * below - p * others)


@law("EXACT", UNPUBLISHED, K=SYMBOLS, beta=EXPONENT, M=ROWS, t=GENERATION, h=NEW)
def novel_nature_tv(K, beta, M, t, h=0.0) -> float:
    """Total variation of generation t and its estimate from M real rows of generation t.

    (1/2) sum E|count/M - p| over all blocks.  A probability; valid for all M and t.
    """
    p, (rest, new) = zipf(K, beta), _ages(h, t)
    blocks = [rest[t] * p, *(new[t - s] * p for s in range(1, t + 1))]
    return 0.5 * sum(float(_deviation(q, M, q).sum()) for q in blocks)


@law(
    "EXACT",
    UNPUBLISHED,
    K=SYMBOLS,
    beta=EXPONENT,
    M=ROWS,
    m=REAL_ROWS,
    t=GENERATION,
    h=NEW,
)
def novel_kept_missing(K, beta, M, m, t, h=0.0) -> float:
    """Mass in generation t of symbols that no real row had: M rows at first, m in each generation.

    It is the missing mass of a memory of all real rows, and of a pool of all rows, since synthetic
    rows bring no symbol of their own.  A probability; valid for all M, m and t.
    """
    p, (rest, new) = zipf(K, beta), _ages(h, t)
    never = (1 - p) ** M
    for mass in rest[1:]:
        never = never * (1 - mass * p) ** m
    missing = rest[t] * (p @ never)
    never = np.ones(K)
    for age in range(t):
        never = never * (1 - new[age] * p) ** m
        missing += new[age] * (p @ never)
    return missing


def _chain(p: np.ndarray, start: np.ndarray, mass: np.ndarray, m: int) -> Iterator[np.ndarray]:
    """The distribution of the count of each symbol, (K, M + 1), in each of some generations.

    ``start (K, M + 1)`` is that of the generation before; m rows of the i-th are real, with
    probability mass[i] p, and M - m come from the counts before.
    """
    M = start.shape[1] - 1
    require((M + 1) * (M - m + 1) <= MOST, "M", M, f"so small that M^2 is at most {MOST}")
    taught = binomial(np.arange(M - m + 1), M - m, (np.arange(M + 1) / M)[:, None])
    for share in mass:
        real = binomial(np.arange(m + 1), m, (share * p)[:, None])
        start = _summed(start @ taught, real)
        yield start


def _summed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distribution of the sum of two independent counts, row by row."""
    size = one.shape[1] + other.shape[1] - 1
    if min(one.shape[1], other.shape[1]) == 1:
        return one * other
    spectrum = np.fft.rfft(one, size) * np.fft.rfft(other, size)
    return np.fft.irfft(spectrum, size).clip(0)


def _mixed(K, beta, M, pi, t, h, loss) -> np.ndarray:
    """Sum over all blocks of ``loss(distribution of counts (K, M + 1), probabilities (K,))``.

    In the generations 0 .. t, (t + 1,).  All new blocks have the same history, so one is followed.
    """
    p, m, (rest, new) = zipf(K, beta), round(pi * M), _ages(h, t)
    first = binomial(np.arange(M + 1), M, p[:, None])
    absent = np.zeros((K, M + 1))
    absent[:, 0] = 1.0
    old = chain([first], _chain(p, first, rest[1:], m))
    at_age = zip(new[:t], _chain(p, absent, new[:t], m), strict=True)
    of_new = np.cumsum([0.0, *(loss(counts, mass * p) for mass, counts in at_age)])
    return of_new + [loss(counts, mass * p) for mass, counts in zip(rest, old, strict=True)]


def _unread(counts: np.ndarray, p: np.ndarray) -> float:
    """Mass of the symbols that were not read."""
    return p @ counts[:, 0]


def _half_distance(counts: np.ndarray, p: np.ndarray) -> float:
    """Half the expected distance between the relative frequencies and the probabilities."""
    return 0.5 * float((counts * np.abs(np.linspace(0, 1, counts.shape[1]) - p[:, None])).sum())


@lru_cache(maxsize=16)
def novel_mix_curve(K, beta, M, pi, t, h) -> tuple[float, ...]:
    """``novel_mix_tv`` in the generations 0 .. t.  Parameters are not checked here."""
    return tuple(map(float, _mixed(K, beta, M, pi, t, h, _half_distance)))


@law("EXACT", UNPUBLISHED, K=SYMBOLS, beta=EXPONENT, M=ROWS, pi=SHARE, t=GENERATION, h=NEW)
def novel_mix_missing(K, beta, M, pi, t, h=0.0) -> float:
    """Mass in generation t of the symbols that the model of generation t has lost or never read.

    Each generation reads round(pi M) new real rows, and rows of the model before.  By the exact
    chain of the count of each symbol.  A probability; valid for all M and t, at a cost of K M^2 t.
    """
    return _mixed(K, beta, M, pi, t, h, _unread)[-1]


@law("EXACT", UNPUBLISHED, K=SYMBOLS, beta=EXPONENT, M=ROWS, pi=SHARE, t=GENERATION, h=NEW)
def novel_mix_tv(K, beta, M, pi, t, h=0.0) -> float:
    """Total variation of generation t and its model, with round(pi M) new real rows in each.

    By the exact chain of the count of each symbol.  A probability; valid for all M and t, at a cost
    of K M^2 t.
    """
    return _mixed(K, beta, M, pi, t, h, _half_distance)[-1]
