"""Repeated resampling of a distribution on K symbols: the Wright-Fisher process.

The truth is a Zipf law p_i proportional to i^-beta on K symbols; a fit to M draws is their
empirical distribution.  The heterozygosity H = 1 - sum p^2 plays the role that the variance has for
Gaussians.
"""

from __future__ import annotations

import math

import numpy as np
import scipy

from ._law import STEPS, UNPUBLISHED, law, number, require, whole
from ._special import basel, binomial
from ._zipf import survival, zipf

SYMBOLS = whole("symbols", 1, STEPS)
EXPONENT = number("exponent of the Zipf law; 0: all symbols equally likely", "[0, inf)")
DRAWS = whole("draws per fit", 1)
LONG = whole("successive fits, the first to real data; 0 leaves the truth", 0)
FITS = whole("successive fits, the first to real data; 0 leaves the truth", 0, STEPS)
UNUSED_EXPONENT = number("exponent of the Zipf law; has no effect at this order", "[0, inf)")

WRIGHT_FISHER = "the Wright-Fisher model (Ewens, Mathematical Population Genetics, 2004)"
SURESH = "Suresh et al., arXiv 2412.17646"
DEY = "Dey and Donoho, arXiv 2410.22812"
GERSTGRASSER = "Gerstgrasser et al., arXiv 2404.01413"

MOST = 5 * 10**7  # entries of a transition matrix, about 0.6 GB


def _heterozygosity(K: int, beta: float) -> float:
    return 1 - float((zipf(K, beta) ** 2).sum())


@law("EXACT", WRIGHT_FISHER, K=SYMBOLS, beta=EXPONENT, M=DRAWS, k=LONG)
def heterozygosity(K, beta, M, k) -> float:
    """E H_k, the probability that two draws from model k differ, replace: H_0 (1 - 1/M)^k.

    A probability; valid at every M and k.
    """
    return _heterozygosity(K, beta) * (1 - 1 / M) ** k


@law("EXACT", WRIGHT_FISHER, K=SYMBOLS, beta=EXPONENT, M=DRAWS, k=LONG)
def l2_drift(K, beta, M, k) -> float:
    """E |p_k - p|^2 of model k, replace: H_0 (1 - (1 - 1/M)^k), since every p_i is a martingale.

    In squared probability; valid at every M and k.
    """
    return -_heterozygosity(K, beta) * math.expm1(scipy.special.xlog1py(k, -1 / M))


@law("EXACT", UNPUBLISHED, K=SYMBOLS, beta=EXPONENT, M=DRAWS, k=FITS)
def H_accumulate(K, beta, M, k) -> float:
    """E H_k of the model fitted to all k batches of M draws: one real, the others from the models.

    H_0 prod_j (1 - 1/(M j^2)).  A probability; valid at every M and k.
    """
    j = np.arange(1.0, k + 1)
    return _heterozygosity(K, beta) * np.prod(1 - 1 / (M * j**2))


@law(
    "EXACT",
    "Wright, Genetics 1931 (island model), for independent origins of the draws; with a fixed "
    "number of real draws " + UNPUBLISHED,
    K=SYMBOLS,
    beta=EXPONENT,
    M=DRAWS,
    pi=number("share of fresh real draws", "[0, 1]"),
)
def l2_mix_limit(K, beta, M, pi) -> float:
    """Stationary E |p_k - p|^2 when each fit reads round(pi M) fresh real draws.

    The other draws come from the model before.  H_0/(1 - pi + M pi (2 - pi)), where pi is the share
    after rounding.  In squared probability; valid at every M.
    """
    pi = round(pi * M) / M
    return _heterozygosity(K, beta) / (1 - pi + M * pi * (2 - pi))


# -- surviving symbols -----------------------------------------------------------------------------


def _transition(p: np.ndarray, M: int, counts: int):
    """P(count c of M at probability p_i), c = 0 .. counts - 1, as a sparse (len(p), counts) matrix.

    Counts more than 9 standard deviations plus 45 from the mean are dropped, which loses less than
    1e-18 of a row.
    """
    mean, reach = M * p, 9 * np.sqrt(M * p * (1 - p)) + 45
    low = np.clip(np.floor(mean - reach), 0, counts).astype(np.int64)
    high = np.clip(np.ceil(mean + reach) + 1, low, min(counts, M + 1)).astype(np.int64)
    width = high - low
    require(
        width.sum() <= MOST,
        "M",
        M,
        f"smaller, or k or K smaller: the chain has {width.sum():.3g} entries, at most {MOST:.0e} "
        "fit",
    )
    start = np.concatenate([[0], np.cumsum(width)])
    row = np.repeat(np.arange(len(p)), width)
    c = np.arange(start[-1]) - start[row] + low[row]
    return scipy.sparse.csr_array((binomial(c, M, p[row]), c, start), shape=(len(p), counts))


def _lost(p: np.ndarray, M: int, k: int) -> np.ndarray:
    """Probability that each symbol is extinct after k fits, (K,), by the exact chain of its count.

    Computed backwards: extinct in the last fit, in one of the last two, and so on, as a vector over
    the count.  Large counts that go extinct with a probability below 1e-18 within k fits are
    treated as never extinct.  This is safe: with Poisson draws c copies die out with probability
    q_k^c, and binomial draws die out less often.
    """
    if k == 0:
        return np.zeros(len(p))
    safe = math.ceil(-41.5 / math.log1p(-survival(k)))
    counts = min(M, safe) + 1
    lost = np.zeros(counts)
    lost[0] = 1.0
    if k > 1:
        step = _transition(np.arange(counts) / M, M, counts)
        for _ in range(k - 1):
            lost = step @ lost
    return _transition(p, M, counts) @ lost


@law("EXACT", WRIGHT_FISHER, K=SYMBOLS, beta=EXPONENT, M=DRAWS, k=FITS)
def support(K, beta, M, k) -> float:
    """Expected number of symbols that model k still generates, replace, by the exact chain.

    In symbols; valid at every M and k.  M = 1000, k = 1000 takes about a second, M = 10^4, k = 500
    several.  Cost and memory grow with min(M, 21 k)^(3/2); sizes that do not fit are rejected.
    """
    return K - _lost(zipf(K, beta), M, k).sum()


@law("EXACT", WRIGHT_FISHER, K=SYMBOLS, beta=EXPONENT, M=DRAWS, k=FITS)
def missing_mass(K, beta, M, k) -> float:
    """Expected true mass of the symbols that model k has lost, replace, by the exact chain.

    A probability; valid at every M and k.  It costs as much as ``support``.
    """
    p = zipf(K, beta)
    return p @ _lost(p, M, k)


@law("ASYM", SURESH + ", Theorem 1, summed over symbols", K=SYMBOLS, beta=EXPONENT, M=DRAWS, k=FITS)
def support_branching(K, beta, M, k) -> float:
    """Expected number of surviving symbols if all are rare: sum 1 - exp(-M p (1 - q_{k-1})).

    q_0 = 0, q' = exp(q - 1).  In symbols; valid for rare symbols and k << M (3% low where some are
    common).
    """
    if k == 0:
        return K
    return -np.expm1(-M * survival(k - 1) * zipf(K, beta)).sum()


@law(
    "ASYM",
    SURESH + ", Theorem 1, there a lower bound; its corollary is 1 - exp(-c/k)",
    c=number("expected copies of the symbol in the real sample", "[0, inf)"),
    k=whole("fits after the first", 0, STEPS),
    M=whole("draws per fit; has no effect, since the value is the limit of large M", 1).or_none,
)
def survive_count(c, k, M=None) -> float:
    """Probability that a symbol with c expected copies in the real sample survives k more fits.

    1 - exp(-c g), where g is 1 mapped k times by x -> 1 - exp(-x); about 1 - exp(-2c/k).  For
    finite M it is a lower bound.  A probability; valid for c, k << M.
    """
    return -math.expm1(-c * survival(k))


@law("LEAD", WRIGHT_FISHER, p=number("probability of one of two symbols", "[0, 1]"), M=DRAWS)
def fixation_time(p, M) -> float:
    """Expected fits until one of two symbols is lost: -2M [p ln p + (1 - p) ln(1 - p)].

    In fits; valid for M >> 1 (2 to 4% high at M = 60).
    """
    return -2 * M * (scipy.special.xlogy(p, p) + scipy.special.xlog1py(1 - p, -p))


# -- Kullback-Leibler ------------------------------------------------------------------------------


@law("LEAD", DEY, K=SYMBOLS, beta=UNUSED_EXPONENT, M=DRAWS, k=LONG)
def kl_replace(K, beta, M, k) -> float:
    """E KL(p || p_k) of model k, replace: k (K - 1)/(2M).

    In nats; valid while k << M min p.  The true value is infinite once a symbol is lost.
    """
    return k * (K - 1) / (2 * M)


@law("LEAD", DEY, K=SYMBOLS, beta=UNUSED_EXPONENT, M=DRAWS, k=FITS)
def kl_accumulate(K, beta, M, k) -> float:
    """E KL(p || p_k) of the model fitted to all k batches: (K - 1)/(2M) sum_j 1/j^2.

    At most pi^2/6 times that of one fit.  In nats; valid for M min p >> 1.
    """
    return (K - 1) / (2 * M) * basel(k)
