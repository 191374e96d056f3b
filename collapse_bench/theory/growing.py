"""A web that grows: every round adds M rows, a share of them real, and nothing is labelled.

The truth is N(mu, sigma^2) with known sigma, so that only the mean is estimated.  Round 0 adds M
real rows.  Round t >= 1 adds m = round(a M) new real rows and M - m rows that the model of round t
- 1 writes.  The errors are E (m_t - mu)^2.
"""

from __future__ import annotations

from ._law import STEPS, UNPUBLISHED, law, number, require, whole

ROWS = whole("rows that each round adds", 1)
SHARE = number("share of real rows among those that a round adds", "[0, 1]")
ROUND = whole("round; 0 is the first fit, to real rows only", 0, STEPS)
STD = number("known standard deviation, in units of the data", "(0, inf)")

WANG = "the setting of Wang, Niu and Li, arXiv 2602.16065, and of Amin et al., arXiv 2601.15468"


def _real(M: int, a: float) -> float:
    """The share of real rows after rounding to whole rows."""
    return round(a * M) / M


@law("EXACT", UNPUBLISHED + "; " + WANG, M=ROWS, a=SHARE, t=ROUND, sigma=STD)
def share_known(M, a, t, sigma=1.0) -> float:
    """Error of the mean for who knows the share of real rows, but not which rows are real.

    The estimate z_t = (mean of the new rows - (1 - a) m_{t-1})/a is unbiased with variance
    sigma^2/(M a^2), whatever m_{t-1}.  All of them, with weights a^2, and round 0 with weight 1
    give sigma^2/(M (1 + a^2 t)).  In units of sigma^2; valid at every M, a and t.
    """
    return sigma**2 / (M * (1 + _real(M, a) ** 2 * t))


@law("EXACT", "the variance of a mean; " + WANG, M=ROWS, a=SHARE, t=ROUND, sigma=STD)
def provenance_known(M, a, t, sigma=1.0) -> float:
    """Error of the mean of the real rows so far: sigma^2/(M (1 + a t)).

    Rows that a model wrote tell who knows that model nothing new.  In units of sigma^2; valid at
    every M, a and t.
    """
    return sigma**2 / (M * (1 + _real(M, a) * t))


@law(
    "LEAD",
    UNPUBLISHED + "; " + WANG,
    d=whole("input dimension", 1),
    T=whole("rows that each round adds; more than d + 1", 3),
    a=SHARE,
    t=ROUND,
    s=number("standard deviation of the label noise", "[0, inf)"),
)
def ols_share_known(d, T, a, t, s=1.0) -> float:
    """Excess risk of least squares for who knows the share of real rows, but not which are real.

    The labels of the other rows are those of the last model plus noise.  s^2 u/(1 + a^2 t), u =
    d/(T - d - 1): a step of a/(1 + a^2 t) towards the fit to the residuals of the new rows.  In
    units of the squared label; valid to leading order in d/T.
    """
    require(d + 1 < T, "T", T, f"more than d + 1 = {d + 1}")
    return s**2 * d / (T - d - 1) / (1 + _real(T, a) ** 2 * t)
