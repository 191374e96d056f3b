"""A memoriser on a heavy-tailed distribution: correct exactly on the inputs that it has seen.

Inputs follow a Zipf law p_i = i^-beta/zeta(beta).  The model is correct on i if and only if i is
one of its T training inputs, drawn from some q.  Its test error is the mass of p that it has not
seen, E = sum p_i (1 - q_i)^T.  Laws with a parameter N use p truncated to N symbols and
renormalised, for every beta >= 0; laws without N use the infinite distribution, beta > 1.  The
model is that of Hutter (arXiv 2102.04074), the recursion that of Dohmatob et al. (arXiv
2402.07043).  c = 1 - 1/beta.
"""

from __future__ import annotations

import math

import numpy as np
import scipy

from ._law import STEPS, UNPUBLISHED, law, number, one_of, require, whole
from ._special import binomial
from ._zipf import survival, zipf

INFINITE = number("exponent of the Zipf law on infinitely many symbols", "(1, inf)")
EXPONENT = number("exponent of the Zipf law on N symbols; 0: all equally likely", "[0, inf)")
INPUTS = whole("training inputs", 0)
SEEN = whole("training inputs", 1)
SYMBOLS = whole("symbols at which the Zipf law is truncated", 1, 10 * STEPS)
RANK = whole("rank at which the training law is cut", 1)
GENERATIONS = whole("generations; 0 is the truth, which is never wrong", 0, STEPS)

HUTTER = "Hutter, arXiv 2102.04074"
TAILS = "Dohmatob et al., arXiv 2402.07043"

#: the parameters that each training distribution needs in addition to beta, T and N
NEEDS = {
    "real": (),
    "cut": ("k",),
    "topp": ("top_p",),
    "narrow": ("beta2",),
    "temp": ("temp",),
    "mix": ("k", "pi"),
}


def _cut(p: np.ndarray, k: int) -> np.ndarray:
    """p without the symbols beyond rank k."""
    q = np.where(np.arange(len(p)) < k, p, 0.0)
    return q / q.sum()


@law(
    "EXACT",
    HUTTER + " for real data; " + TAILS + " for cut and narrowed tails",
    beta=EXPONENT,
    T=INPUTS,
    kind=one_of(
        "training law: real, cut (k), topp (top_p), narrow (beta2), temp (temp) or mix (k, pi)",
        *NEEDS,
    ),
    N=SYMBOLS,
    k=RANK.or_none,
    beta2=number("exponent of the narrowed training law", "[0, inf)").or_none,
    pi=number("share of real inputs; the rest is cut", "[0, 1]").or_none,
    top_p=number("mass kept by nucleus sampling", "(0, 1]").or_none,
    temp=number("temperature, q proportional to p^(1/temp)", "(0, inf)").or_none,
)
def hutter(
    beta, T, kind="real", N=200000, k=None, beta2=None, pi=None, top_p=None, temp=None
) -> float:
    """Expected test error of a memoriser that saw T inputs from q: sum p_i (1 - q_i)^T.

    q is p itself (real); p cut after rank k and renormalised (cut); p cut after the first symbol at
    which the mass reaches top_p (topp); Zipf with exponent beta2 (narrow) or beta/temp (temp);
    pi p + (1 - pi) cut_k (mix).  A probability; valid at every T.
    """
    given = {"k": k, "beta2": beta2, "pi": pi, "top_p": top_p, "temp": temp}
    for name, value in given.items():
        allowed = (
            f"{hutter.law.ranges[name].given}, where" if name in NEEDS[kind] else "left out where"
        )
        require(
            (value is not None) == (name in NEEDS[kind]), name, value, f"{allowed} kind is {kind!r}"
        )
    p = zipf(N, beta)
    if kind == "real":
        q = p
    elif kind == "cut":
        q = _cut(p, k)
    elif kind == "topp":
        q = _cut(p, int(np.searchsorted(np.cumsum(p), top_p)) + 1)
    elif kind == "mix":
        q = pi * p + (1 - pi) * _cut(p, k)
    else:
        q = zipf(N, beta2 if kind == "narrow" else beta / temp)
    return p @ np.exp(scipy.special.xlog1py(T, -np.minimum(q, 1.0)))


@law("ASYM", HUTTER + ", for the rate; the constant " + UNPUBLISHED, beta=INFINITE, T=SEEN)
def asym_real(beta, T) -> float:
    """Test error of a memoriser of T real inputs as T grows: A T^-c.

    A = Gamma(c) zeta(beta)^(-1/beta)/beta.  A probability; valid for T >> 1 (to 0.1% at T = 2000).
    """
    return _power(beta, beta, T)


@law(
    "ASYM",
    TAILS + ", for the rates; the constants " + UNPUBLISHED,
    beta=INFINITE,
    T=SEEN,
    k=RANK,
)
def asym_cut(beta, T, k) -> float:
    """Test error of a memoriser of T inputs whose law is cut at rank k, as T and k grow.

    tail(k) + (P/beta)(zeta P)^(-1/beta) T^-c GammaUpper(c, T (k + 1/2)^-beta/(zeta P)), with
    tail(k) = (k + 1/2)^(1-beta)/((beta - 1) zeta) the mass beyond the cut and P = 1 - tail(k).  Up
    to constants this is the law T^-c + k^-(beta-1).  A probability; valid for T, k >> 1.
    """
    zeta, c = scipy.special.zeta(beta), 1 - 1 / beta
    tail = (k + 0.5) ** (1 - beta) / ((beta - 1) * zeta)
    P = 1 - tail
    upper = scipy.special.gamma(c) * scipy.special.gammaincc(c, T * (k + 0.5) ** -beta / (zeta * P))
    return _reached(tail + P / beta * (zeta * P) ** (-1 / beta) * T**-c * upper, T)


@law(
    "ASYM",
    TAILS + ", for the rate; the constant " + UNPUBLISHED,
    beta=INFINITE,
    beta2=number("exponent of the narrowed training law", "(1, inf)"),
    T=SEEN,
)
def asym_narrow(beta, beta2, T) -> float:
    """Test error of a memoriser of T inputs from a Zipf law with exponent beta2, as T grows.

    Gamma(c')/(beta2 zeta(beta)) (T/zeta(beta2))^-c', c' = (beta - 1)/beta2.  A probability; valid
    for T >> 1.
    """
    return _power(beta, beta2, T)


def _power(beta: float, beta2: float, T: int) -> float:
    c = (beta - 1) / beta2
    log = scipy.special.gammaln(c) - c * math.log(T / scipy.special.zeta(beta2))
    return _reached(np.exp(log) / (beta2 * scipy.special.zeta(beta)), T)


def _reached(error: float, T: int) -> float:
    """``error``, refused where the asymptotic form is far from its limit and exceeds one."""
    require(not error > 1, "T", T, "larger: the asymptotic form exceeds 1 there")
    return error


@law(
    "ASYM",
    "the survival of Suresh et al., arXiv 2412.17646, Theorem 1, summed over symbols; the law g^c "
    "T^-c in " + TAILS,
    beta=EXPONENT,
    T=SEEN,
    g=GENERATIONS,
    N=SYMBOLS,
)
def gens_resample(beta, T, g, N=200000) -> float:
    """Test error of memoriser g, each trained on T draws from the counts of the previous one.

    sum p_i exp(-T p_i (1 - q_{g-1})), q' = exp(q - 1) from q_0 = 0; about A (g/2)^c T^-c.  A
    probability; valid to about 0.5% from T = 2000, for g << T.
    """
    p = zipf(N, beta)
    return p @ np.exp(-T * survival(g - 1) * p) if g else 0.0


@law(
    "ASYM",
    UNPUBLISHED + "; the setting of " + TAILS,
    beta=EXPONENT,
    T=SEEN,
    g=GENERATIONS,
    N=SYMBOLS,
)
def gens_relabel(beta, T, g, N=200000) -> float:
    """Test error of memoriser g, each trained on fresh inputs among the known symbols.

    p is restricted to the symbols that the previous memoriser still knows and renormalised: s_i' =
    s_i (1 - exp(-T p_i/m)), m = sum p_i s_i.  The error is 1 - m.  A probability; valid to about 1%
    from T = 2000, at a cost linear in g N.
    """
    p = zipf(N, beta)
    lost = np.zeros(N)  # 1 - s_i
    for _ in range(g):
        lost += (1 - lost) * np.exp(-T / (1 - p @ lost) * p)
    return float(p @ lost)


@law(
    "EXACT",
    UNPUBLISHED + "; the setting of " + TAILS,
    beta=EXPONENT,
    T=INPUTS,
    g=GENERATIONS,
    N=SYMBOLS,
)
def gens_mislabel(beta, T, g, N=200000) -> float:
    """Test error of memoriser g, each trained on fresh inputs with labels of the previous one.

    Each memoriser reads T fresh draws from p, labelled by the previous memoriser.  1 - sum p_i (1 -
    (1 - p_i)^T)^g: a student is wrong on inputs that it has not seen, and on inputs that its
    teacher got wrong.  A probability; valid at every T.
    """
    p = zipf(N, beta)
    known = -np.expm1(scipy.special.xlog1py(T, -np.minimum(p, 1.0)))
    return -(p @ np.expm1(scipy.special.xlogy(g, known)))


@law(
    "EXACT",
    "the mean absolute deviation of de Moivre (Diaconis and Zabell, Statist. Sci. 1991), summed",
    beta=EXPONENT,
    T=whole("visits of the row", 1),
    N=SYMBOLS,
)
def bigram_tv(beta, T, N=200000) -> float:
    """Expected total variation of a Zipf law of next tokens and its estimate from T visits.

    (1/2) sum_j E|count_j/T - p_j| = sum_j p_j (1 - p_j) P(floor(T p_j) of T - 1), which decays like
    T^-min(c, 1/2).  A probability; valid at every T.
    """
    p = zipf(N, beta)
    return (p * (1 - p)) @ binomial(np.minimum(np.floor(T * p), T - 1), T - 1, p)


@law(
    "HEURISTIC",
    UNPUBLISHED + "; the setting of Cabannes et al., arXiv 2310.02984, whose bounds have the rates",
    beta=EXPONENT,
    d=whole("dimension of the embeddings", 1),
    N=whole("symbols, inputs and outputs alike", 1, 30000),
    rho=number("exponent of the stored strengths, q proportional to p^rho", "[0, inf)"),
)
def memory_error(beta, d, N, rho=1.0) -> float:
    """Error of an associative memory with random unit embeddings in R^d, read out by argmax.

    The memory is W = sum_x q(x) e_x u_x'.  sum_x p_x [1 - prod_{y != x} Phi(q_x/sqrt(q_y^2/d + 2
    |q|^2/d^2))].  A probability.  It is too high, since competitors share the noise of the correct
    score: by 4 to 8% at d = 256 .. 512 (beta = 1.5, N = 500 .. 1000), by 12 to 30% at d = 40 ..
    128.  Do not fit an exponent to it: at these sizes the slope in d has not yet reached its limit.
    Cost N^2.
    """
    p = zipf(N, beta)
    q = np.arange(1.0, N + 1) ** (-rho * beta)
    noise = np.sqrt(q**2 / d + 2 * (q @ q) / d**2)
    kept = np.array([scipy.special.log_ndtr(strength / noise).sum() for strength in q])
    return -(p @ np.expm1(kept - scipy.special.log_ndtr(q / noise)))
