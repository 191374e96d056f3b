"""Linear regression on labels of the previous model: least squares and ridge, in closed form.

Inputs are N(0, S), S = diag(j^-beta).  The labels of fit k are those of model k - 1 plus noise.
The error is the excess risk E (x w - x w_true)^2, in units of the squared label.  Ridge minimises
the mean squared error + lam |w|^2.
"""

from __future__ import annotations

import math

import numpy as np

from ._law import STEPS, UNPUBLISHED, law, number, one_of, require, whole
from ._special import basel
from ._spectra import effective_ridge, power_law, signal, variance_factor

DIMENSION = whole("input dimension", 1)
AXES = whole("input dimension", 1, STEPS)  # bounded, since the spectrum is summed
MANY = whole("rows per fit; more than d + 1", 3)
ROWS = whole("rows per fit", 1)
FITS = whole("successive fits, the first to real labels; 0 leaves the truth", 0, STEPS)
NOISE = number("standard deviation of the label noise", "[0, inf)")
RIDGE = number(
    "ridge penalty; 0 is the limit without a ridge, where the rows must differ from d", "[0, inf)"
)
SPECTRUM = number("exponent of the spectrum of the inputs, S = diag(j^-beta)")
SOURCE = number("exponent of the true weights: second moments proportional to j^-src")
SIGNAL = number("tr(S Gamma), variance of the noiseless label", "[0, inf)")

GERSTGRASSER = "Gerstgrasser et al., arXiv 2404.01413"
DEMYSTIFIED = "Dohmatob et al., arXiv 2402.07712"
GARG = "Garg et al., arXiv 2509.22341"
DEY_DONOHO = "Dey and Donoho, arXiv 2410.22812"
HE_XU_CHENG = "He, Xu and Cheng, arXiv 2502.18049"


def _enough(T: int, d: int, name: str = "T") -> None:
    require(d + 1 < T, name, T, f"more than d + 1 = {d + 1}")


@law("EXACT", DEMYSTIFIED, d=DIMENSION, T=MANY, k=FITS, s=NOISE)
def ols_replace(d, T, k, s=1.0) -> float:
    """Excess risk after k rounds of least squares on fresh inputs, replace: s^2 k d/(T - d - 1).

    The model of each round labels the inputs of the next.  The spectrum does not matter.  In units
    of the squared label; valid for T > d + 1, since with fewer rows the mean is infinite.
    """
    _enough(T, d)
    return s**2 * k * d / (T - d - 1)


@law(
    "EXACT",
    GERSTGRASSER + ", with one X; fresh X " + UNPUBLISHED,
    d=DIMENSION,
    T=MANY,
    k=FITS,
    s=NOISE,
    same_x=one_of("whether every round has the same inputs", False, True),
)
def ols_accumulate(d, T, k, s=1.0, same_x=False) -> float:
    """Excess risk after k rounds of least squares on all rows so far, T new ones each round.

    Fresh inputs: s^2 sum_i d/(i (i T - d - 1)).  The same inputs each round: s^2 d/(T - d - 1)
    sum_i 1/i^2, at most pi^2/6 times one round.  The spectrum does not matter.  In units of the
    squared label; valid for T > d + 1.
    """
    _enough(T, d)
    if same_x:
        return s**2 * d / (T - d - 1) * basel(k)
    i = np.arange(1.0, k + 1)
    return s**2 * (d / (i * (i * T - d - 1))).sum()


@law(
    "LEAD",
    UNPUBLISHED + "; real and synthetic labels of the same rows: " + GARG,
    infinite="where the denominator is not positive, as at pi = 0",
    d=DIMENSION,
    T=MANY,
    pi=number("share of fresh real rows", "[0, 1]"),
    s=NOISE,
)
def ols_mix_fresh(d, T, pi, s=1.0) -> float:
    """Stationary excess risk of least squares, pi T fresh real rows in every round.

    The other rows are labelled by the model of the previous round.  s^2 u/(1 - (1-pi)^2 - pi (1-pi)
    u) with u = d/(T - d - 1).  In units of the squared label; valid to leading order in d/T.
    """
    _enough(T, d)
    u = d / (T - d - 1)
    kept = pi * (2 - pi - (1 - pi) * u)
    return s**2 * u / kept if kept > 0 else math.inf


@law(
    "LEAD",
    UNPUBLISHED + "; real and synthetic labels of the same rows: " + GARG,
    d=DIMENSION,
    T=MANY,
    pi=number("share of real rows; pi T > d + 1", "(0, 1]"),
    s=NOISE,
)
def ols_mix_fixedreal(d, T, pi, s=1.0) -> float:
    """Stationary excess risk of least squares, the same pi T real rows in every round.

    The other rows are labelled by the model of the previous round.  s^2 d [1/(pi T - d - 1) +
    (1-pi)/(pi (2-pi)(T - d - 1))]: no better than the real rows without synthetic ones.  In units
    of the squared label; valid to leading order in d/T, for pi T > d + 1.
    """
    require(pi * T > d + 1, "pi", pi, f"more than (d + 1)/T = {(d + 1) / T:g}")
    return s**2 * d * (1 / (pi * T - d - 1) + (1 - pi) / (pi * (2 - pi) * (T - d - 1)))


@law(
    "DE",
    UNPUBLISHED
    + "; the exponential loss without noise, n < d: "
    + DEMYSTIFIED
    + "; with real labels "
    "of the same rows: " + GARG,
    d=AXES,
    n=ROWS,
    lam=RIDGE,
    k=whole("successive ridge fits; 0 leaves the truth", 0, STEPS),
    beta=SPECTRUM,
    src=SOURCE,
    r2=SIGNAL,
    s=NOISE,
)
def ridge_iterated(d, n, lam, k, beta=1.0, src=0.0, r2=1.0, s=0.5) -> float:
    """Excess risk after k rounds of ridge on fresh inputs, labelled by the previous model.

    Along an axis of eigenvalue l, E w_k is r^k w with r = l/(l + kappa).  The second moment X about
    that mean follows X' = r^2 X + C [kappa^2 sum E w^2 l D^2 + s^2] l D^2, D = 1/(l + kappa), C =
    (1 + u)/n.  Without noise and ridge, and with n < d, the signal decays like (n/d)^k.  In units
    of the squared label; valid within about 3% from n, d >= 80; cost linear in k d.
    """
    S = power_law(d, beta)
    gamma = signal(S, src, r2)
    kappa = effective_ridge(S, n, lam)
    D, r = 1 / (S + kappa), S / (S + kappa)
    forgets, spreads = kappa**2 * S * D**2, (1 + variance_factor(S, kappa, n)) / n * S * D**2
    # Second moments along the axes: of E w_k, and of w_k about E w_k.
    mean, about = gamma.copy(), np.zeros(d)
    for _ in range(k):
        cost = forgets @ (mean + about) + s**2
        mean, about = r**2 * mean, r**2 * about + cost * spreads
    lost = -np.expm1(-k * np.log1p(kappa / S))  # 1 - r^k
    return S @ (about + gamma * lost**2)


@law(
    "DE",
    DEMYSTIFIED + ", with the constants of a random signal",
    d=AXES,
    T0=whole("rows of each least-squares fit of the chain; more than d + 1 where g > 0", 1),
    g=whole("least-squares fits of the chain; 0: real labels", 0),
    T=whole("rows of the final ridge fit", 1),
    lam=RIDGE,
    beta=SPECTRUM,
    src=SOURCE,
    r2=SIGNAL,
    s=NOISE,
    s0=number("standard deviation of the label noise within the chain", "[0, inf)"),
)
def ols_chain_then_ridge(d, T0, g, T, lam, beta=1.0, src=0.0, r2=1.0, s=0.5, s0=0.5) -> float:
    """Excess risk of a ridge fit to T rows labelled by the last of g successive least-squares fits.

    Each of those fits reads T0 rows.  The risk is that of plain ridge, B = kappa^2 (1+u) sum g_i
    l_i/(l_i+kappa)^2 and V = s^2 u, plus the cost of the chain: g s0^2/(T0 - d - 1) [df_2 + u
    kappa^2 sum 1/(l_i+kappa)^2].  In units of the squared label; valid within about 3% from T, d >=
    80, for T0 > d + 1.
    """
    S = power_law(d, beta)
    kappa = effective_ridge(S, T, lam)
    u = variance_factor(S, kappa, T, "T")
    D = 1 / (S + kappa)
    risk = kappa**2 * (1 + u) * (signal(S, src, r2) * S * D**2).sum() + s**2 * u
    if g:
        _enough(T0, d, "T0")
        risk += g * s0**2 / (T0 - d - 1) * (((S * D) ** 2).sum() + u * kappa**2 * (D**2).sum())
    return risk


@law(
    "ASYM",
    "the best penalty in the rates of " + DEMYSTIFIED,
    beta=number("exponent of the spectrum (capacity), l_j = j^-beta", "(0, inf)"),
    r=number(
        "source exponent: l_j times the second moment of weight j is j^-(1 + 2 r beta)", "(0, 1]"
    ),
    b=number("exponent of the labeller's rows, T0 = T^b", "(0, inf)"),
)
def opt_ridge_exponent(beta, r, b) -> float:
    """Exponent a of the excess risk T^-a of ridge at its best penalty, labeller of T0 = T^b rows.

    2 r beta min(1, b)/(1 + 2 r beta), at lam = T^-l with l = beta min(1, b)/(1 + 2 r beta).  With b
    < 1 the best penalty is larger than for clean labels.  Dimensionless; valid for T, T0 >> d.
    """
    return 2 * r * beta * min(1.0, b) / (1 + 2 * r * beta)


@law("LEAD", DEY_DONOHO, d=DIMENSION, n=ROWS, k=FITS)
def glm_replace(d, n, k) -> float:
    """E KL after k maximum-likelihood fits of a generalised linear model, replace: k d/(2 n).

    Every label is sampled from the previous model.  The link, the signal and the distribution of
    the inputs do not matter.  In nats per label; valid to leading order in k d/n.
    """
    return k * d / (2 * n)


@law("LEAD", DEY_DONOHO, d=DIMENSION, n=ROWS, k=FITS)
def glm_accumulate(d, n, k) -> float:
    """E KL after k maximum-likelihood fits of a generalised linear model to all rows so far.

    n new rows each round with sampled labels: d/(2 n) sum_i 1/i^2, at most pi^2/6 times one fit.
    In nats per label; valid to leading order in d/n.
    """
    return d / (2 * n) * basel(k)


@law(
    "LEAD",
    HE_XU_CHENG,
    d=DIMENSION,
    n=ROWS,
    pi=number("share of fresh real rows", "(0, 1)"),
    t=whole("generation; generation 0 reads n real rows", 0, STEPS),
    w=number("share of all weight on the real rows; None: pi", "[0, 1]").or_none,
)
def glm_mix_fresh(d, n, pi, t, w=None) -> float:
    """E KL of maximum likelihood with a share pi of fresh real rows, the rest sampled by the model.

    V' = u [w^2/pi + (1-w)^2/(1-pi)] + (1-w)^2 V from V = u = d/(2 n).  At pi = 1/2 the best
    constant weight is the golden ratio 0.618, and V tends to 1.236 u, 0.618 times the error d/n of
    its n/2 real rows.  In nats per label; valid to leading order in d/n.
    """
    u = d / (2 * n)
    w, found = pi if w is None else w, u
    for _ in range(t):
        found = u * (w**2 / pi + (1 - w) ** 2 / (1 - pi)) + (1 - w) ** 2 * found
    return found
