"""Strong model collapse: one ridge fit to a mixture of real rows and wrongly labelled ones.

There are n1 = n - n2 real rows, x ~ N(0, S1), y = x w1 + noise, and n2 = round(p2 n) synthetic
rows, x ~ N(0, S2), y = x w2 + noise.  The shares in the formulas are p1 = n1/n and p2 = n2/n.  The
quality of the synthetic labels is c2 = tr(S1 Delta), the excess risk of w2 itself, where Delta is
the second moment of w2 - w1.
"""

from __future__ import annotations

import math

import numpy as np

from ._law import STEPS, UNPUBLISHED, law, number, require, whole
from ._mixture import DENSE, DIAGONAL, Mixture
from ._spectra import effective_ridge, power_law, signal, variance_factor

DIMENSION = whole("input dimension", 1)
AXES = whole("input dimension", 1, STEPS)  # bounded, since the spectrum is summed
ROWS = whole("rows, real and synthetic", 1)
RIDGE = number(
    "ridge penalty; 0 is the limit without a ridge, where the rows with weight must not be as many "
    "as the smaller of d and m",
    "[0, inf)",
)
SHARE = number("share of synthetic rows", "[0, 1]")
SPECTRUM = number("exponent of the spectrum of real inputs, S1 = diag(j^-beta1)")
SPECTRUM2 = number(
    "exponent of the spectrum of synthetic inputs, S2 = diag(j^-beta2); None: as beta1"
)
SOURCE = number("exponent of the true weights: second moments proportional to j^-src")
SIGNAL = number("tr(S1 Gamma), variance of the noiseless real label", "[0, inf)")
QUALITY = number(
    "tr(S1 Delta), excess risk of the model that labels the synthetic rows", "[0, inf)"
)
NOISE1 = number("standard deviation of the noise of real labels", "[0, inf)")
NOISE2 = number("standard deviation of the noise of synthetic labels", "[0, inf)")
WEIGHT1 = number("weight of a real row in the loss", "[0, inf)")
WEIGHT2 = number("weight of a synthetic row in the loss", "[0, inf)")
WIDTH = whole("random features, F of shape d x m with entries N(0, 1/d); None: no projection", 1)

DOHMATOB = "Dohmatob et al., arXiv 2410.04840"
PAIRS = (
    "two covariances without a ridge: Yang et al., arXiv 2010.11750, for n > d, and Song et al., "
    "arXiv 2406.13944, for n < d"
)


def _shares(n: int, p2: float) -> tuple[float, float]:
    """Shares of real and of synthetic rows."""
    n2 = round(p2 * n)
    return (n - n2) / n, n2 / n


def _mixture(
    S, n: int, p2: float, lam: float, a: tuple[float, float], m: int | None, algebra, smallest
) -> Mixture:
    """``smallest`` is the smallest eigenvalue of both covariances."""
    n2 = round(p2 * n)
    rows = (n - n2, n2)
    read = sum(count for count, weight in zip(rows, a, strict=True) if weight)
    require(
        read > 0,
        "a1",
        a[0],
        f"such that a row has weight: there are {rows[0]} real rows of weight a1 and {n2} "
        "synthetic rows of weight a2",
    )
    d = len(S[0])
    least = min(d, m or d)
    require(
        lam > 0 or read != least,
        "n",
        n,
        f"such that the number of rows with weight is not {least} where lam is 0: the risk is "
        "infinite there",
    )
    # At this penalty the risk is that without a ridge to eight digits next to the peaks, to five
    # where m = d, and to ten elsewhere.
    return Mixture(S, rows, a, lam or 1e-12 * smallest, m, algebra)


@law(
    "DE",
    DOHMATOB
    + ", for S1 = S2 and unit weights; "
    + PAIRS
    + "; weights and features together "
    + UNPUBLISHED,
    d=AXES,
    n=ROWS,
    lam=RIDGE,
    p2=SHARE,
    beta1=SPECTRUM,
    beta2=SPECTRUM2.or_none,
    src=SOURCE,
    r2=SIGNAL,
    c2=QUALITY,
    s1=NOISE1,
    s2=NOISE2,
    a1=WEIGHT1,
    a2=WEIGHT2,
    m=WIDTH.or_none,
)
def mixture(
    d,
    n,
    lam,
    p2,
    beta1=0.0,
    beta2=None,
    src=0.0,
    r2=1.0,
    c2=1.0,
    s1=1.0,
    s2=1.0,
    a1=1.0,
    a2=1.0,
    m=None,
) -> float:
    """Excess risk of ridge on a mixture of real and synthetic rows.

    Both kinds of rows have spectra, noise and sample weights of their own, and the model may use
    random features.  The objective is (1/n) sum a_i (x_i w - y_i)^2 + lam |w|^2; with random
    features w = F v the penalty is lam |v|^2.  Delta is (c2/d) S1^-1.  As n grows at fixed d and p2
    the risk tends to a floor, which is (a2 p2/(a1 p1 + a2 p2))^2 c2 for S1 = S2.  In units of the
    squared label; valid within about 3% from n, d >= 80, and within 5 to 10% near the peaks at m =
    n and, for small lam, n = d.
    """
    return sum(mixture_parts(d, n, lam, p2, beta1, beta2, src, r2, c2, s1, s2, a1, a2, m))


def mixture_parts(
    d,
    n,
    lam,
    p2,
    beta1=0.0,
    beta2=None,
    src=0.0,
    r2=1.0,
    c2=1.0,
    s1=1.0,
    s2=1.0,
    a1=1.0,
    a2=1.0,
    m=None,
) -> tuple[float, float, float]:
    """Bias, variance and the additional cost of wrong labels, the three terms of ``mixture``.

    The parameters are those of ``mixture`` and are not checked here.  In units of the squared
    label.
    """
    S1 = power_law(d, beta1)
    S2 = S1 if beta2 is None else power_law(d, beta2)
    fit = _mixture((S1, S2), n, p2, lam, (a1, a2), m, DIAGONAL, min(S1.min(), S2.min()))
    return fit.parts(signal(S1, src, r2), c2 / d / S1, (s1**2, s2**2))


@law(
    "DE",
    DOHMATOB + ", Theorem 1",
    d=AXES,
    n=ROWS,
    lam=number("ridge penalty; 0 is the limit without a ridge, for n other than d", "[0, inf)"),
    p2=SHARE,
    beta1=SPECTRUM,
    src=SOURCE,
    r2=SIGNAL,
    c2=QUALITY,
    s1=NOISE1,
    s2=NOISE2,
)
def mixture_equal(d, n, lam, p2, beta1=0.0, src=0.0, r2=1.0, c2=1.0, s1=1.0, s2=1.0) -> float:
    """Excess risk of ridge on a mixture whose real and synthetic inputs share S = diag(j^-beta1).

    kappa^2 (1+u) tr[Gamma S (S+kappa)^-2] + (p1 s1^2 + p2 s2^2) u + p2^2 (1 + p1 u) tr[Delta S^3
    (S+kappa)^-2] + p2 u tr[Delta S (p1 S + kappa)^2 (S+kappa)^-2], Delta = (c2/d) S^-1, u = df_2/(n
    - df_2).  In units of the squared label; valid within about 3% from n, d >= 80, and within 5 to
    10% near n = d for small lam.
    """
    p1, p2 = _shares(n, p2)
    S = power_law(d, beta1)
    kappa = effective_ridge(S, n, lam)
    u = variance_factor(S, kappa, n)
    bias = kappa**2 * (1 + u) * (signal(S, src, r2) * S / (S + kappa) ** 2).sum()
    floor = p2**2 * (1 + p1 * u) * ((S / (S + kappa)) ** 2).sum()
    spread = p2 * u * (((p1 * S + kappa) / (S + kappa)) ** 2).sum()
    return bias + (p1 * s1**2 + p2 * s2**2) * u + c2 / d * (floor + spread)


@law(
    "DE",
    DOHMATOB + ", Theorem 1, for equal eigenvalues and no ridge",
    d=DIMENSION,
    n=whole("rows, real and synthetic; more than d", 2),
    p2=SHARE,
    c2=QUALITY,
    s1=NOISE1,
    s2=NOISE2,
)
def iso_ridgeless(d, n, p2, c2=1.0, s1=1.0, s2=1.0) -> float:
    """Excess risk of least squares on a mixture: (p1 s1^2 + p2 s2^2) u + c2 (p2^2 + p1 p2 u).

    u = d/(n - d).  No n removes the floor p2^2 c2.  In units of the squared label; valid for n > d,
    within about 3% from n - d >= 80.
    """
    require(n > d, "n", n, f"more than d = {d}")
    (p1, p2), u = _shares(n, p2), d / (n - d)
    return (p1 * s1**2 + p2 * s2**2) * u + c2 * (p2**2 + p1 * p2 * u)


@law(
    "DE",
    PAIRS + "; with ridge, weights and features " + UNPUBLISHED,
    d=whole("input dimension", 1, 5000),
    n=ROWS,
    lam=RIDGE,
    p2=SHARE,
    m=WIDTH.or_none,
    s1=NOISE1,
    s2=NOISE2,
    a1=WEIGHT1,
    a2=WEIGHT2,
    seed=whole("seed of numpy's default generator, for the axes", 0),
)
def noncommuting(d, n, lam, p2, m=None, s1=0.5, s2=0.2, a1=1.2, a2=0.7, seed=7) -> float:
    """Excess risk of ridge on a mixture whose covariances have different axes.

    Otherwise as ``mixture``.  For each of S1, S2 in turn: draw a d x d matrix of standard normals,
    take its orthogonal factor Q, and set S = Q diag(j^-0.8) Q'.  Gamma = 1/tr S1; Delta is (S2 +
    0.1)^-1, scaled to tr(S1 Delta) = 1.  In units of the squared label; valid where ``mixture`` is,
    at a cost cubic in d.
    """
    rng = np.random.default_rng(seed)
    axes = [np.linalg.qr(rng.standard_normal((d, d)))[0] for _ in range(2)]
    eigenvalues = power_law(d, 0.8)
    S1, S2 = (q * eigenvalues @ q.T for q in axes)
    Delta = np.linalg.inv(S2 + 0.1 * np.eye(d))
    fit = _mixture((S1, S2), n, p2, lam, (a1, a2), m, DENSE, eigenvalues.min())
    return fit.risk(np.eye(d) / np.trace(S1), Delta / np.trace(S1 @ Delta), (s1**2, s2**2))


@law(
    "LEAD",
    UNPUBLISHED + "; the setting of " + DOHMATOB,
    d=DIMENSION,
    n=whole("rows per round; more than d", 2),
    p2=SHARE,
    t=whole("rounds; 0 leaves the first labeller", 0, STEPS),
    c2=number("excess risk of the first labeller", "[0, inf)"),
    s=number("standard deviation of the label noise", "[0, inf)"),
)
def iter_mix(d, n, p2, t, c2=1.0, s=1.0) -> float:
    """Excess risk after t rounds of least squares, a share p2 labelled by the previous model.

    E_0 = c2, E' = s^2 u + rho E with u = d/(n - d), rho = p2^2 + p1 p2 u.  It approaches the limit
    s^2 u/(1 - rho) like p2^(2t); there is no limit if rho >= 1.  In units of the squared label;
    isotropic inputs, valid for n >> d.
    """
    require(n > d, "n", n, f"more than d = {d}")
    (p1, p2), u = _shares(n, p2), d / (n - d)
    rho = p2**2 + p1 * p2 * u
    rounds = (
        t if rho == 1 else math.expm1(t * math.log(rho)) / (rho - 1) if rho and t else min(t, 1)
    )
    return s**2 * u * rounds + c2 * rho**t
