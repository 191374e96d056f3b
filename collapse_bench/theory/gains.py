"""Ridge fits that gain from synthetic labels: in two stages, and by self-distillation.

Inputs are N(0, S), S = diag(j^-beta), and labels x w1 + noise.  The error is the excess risk E (x w
- x w1)^2, in units of the squared label.  Ridge minimises the mean squared error + lam |w|^2.
"""

from __future__ import annotations

from ._law import STEPS, UNPUBLISHED, law, number, require, whole
from ._spectra import effective_ridge, power_law, signal, variance_factor

AXES = whole("input dimension", 1, STEPS)  # bounded, since the spectrum is summed
RIDGE = number("ridge penalty", "(0, inf)")
SPECTRUM = number("exponent of the spectrum of the inputs, S = diag(j^-beta)")
SOURCE = number("exponent of the true weights: second moments proportional to j^-src")
SIGNAL = number("tr(S Gamma), variance of the noiseless label", "[0, inf)")
NOISE = number("standard deviation of the label noise", "[0, inf)")

DOHMATOB = "the setting of Dohmatob et al., arXiv 2410.04840"
DANG = "Dang, Patil and Rinaldo, arXiv 2602.17565"


@law(
    "DE",
    UNPUBLISHED + "; " + DOHMATOB,
    d=AXES,
    n=whole("rows, real and synthetic", 2),
    lam=number("ridge penalty of the first stage, on synthetic rows", "(0, inf)"),
    p2=number("share of synthetic rows; 1 <= round(p2 n) < n", "(0, 1)"),
    lam2=number("penalty of the second stage, on real rows; None: as lam", "(0, inf)").or_none,
    beta=SPECTRUM,
    src=SOURCE,
    r2=SIGNAL,
    c2=number("excess risk of the model that labels the synthetic rows", "[0, inf)"),
    s1=number("standard deviation of the noise of real labels", "[0, inf)"),
    s2=number("standard deviation of the noise of synthetic labels", "[0, inf)"),
)
def two_stage(d, n, lam, p2, lam2=None, beta=0.0, src=0.0, r2=1.0, c2=1.0, s1=1.0, s2=1.0) -> float:
    """Excess risk of ridge on real rows, with a fit to synthetic rows as the centre of its penalty.

    The second stage is ridge whose signal is w1 - c, the difference of the labeller and the centre
    c, with n1 = n - n2 rows; c is ridge on n2 = round(p2 n) rows labelled by w2 = w1 + delta,
    second moments Delta = (c2/d) S^-1.  Along an axis of eigenvalue l the second moment of w1 - c
    is (1 - r)^2 g + r^2 Delta + C (kappa^2 sum (g + Delta) l D^2 + s2^2) l D^2, with D = 1/(l +
    kappa), r = l D, C = (1 + u)/n2.  In units of the squared label; valid within about 3% from d,
    n1, n2 >= 80.
    """
    n2 = round(p2 * n)
    require(0 < n2 < n, "p2", p2, f"such that there are rows of both kinds among {n}")
    S = power_law(d, beta)
    gamma, delta = signal(S, src, r2), c2 / d / S
    kappa = effective_ridge(S, n2, lam)
    D = 1 / (S + kappa)
    cost = kappa**2 * ((gamma + delta) * S * D**2).sum() + s2**2
    spread = cost * (1 + variance_factor(S, kappa, n2)) / n2 * S * D**2
    gap = (kappa * D) ** 2 * gamma + (S * D) ** 2 * delta + spread
    kappa = effective_ridge(S, n - n2, lam if lam2 is None else lam2)
    u = variance_factor(S, kappa, n - n2)
    return kappa**2 * (1 + u) * (S * gap / (S + kappa) ** 2).sum() + s1**2 * u


@law(
    "DE",
    DANG,
    d=AXES,
    n=whole("rows per fit", 1),
    lam=RIDGE,
    xi=number("weight of the teacher's answers; None: the best one").or_none,
    beta=SPECTRUM,
    src=SOURCE,
    r2=SIGNAL,
    s=NOISE,
)
def self_distilled(d, n, lam, xi=None, beta=0.0, src=0.0, r2=1.0, s=0.5) -> float:
    """Excess risk of a ridge student fitted to (1 - xi) y + xi y', y' the teacher's answers.

    Teacher and student read the same X.  The risk is

    R + xi lam R' + xi^2 D, where R(lam) is the risk of the teacher and D = lam^2 E |dw/dlam|_S^2;
    exact for given rows, with R, R' and D of these rows.  The best xi is -lam R'/(2 D) and leaves R
    - lam^2 R'^2/(4 D).  It is negative where lam is too large.  R' and D follow from the risk of
    two penalties, C = [k1 k2 sum g l D1 D2 + s^2 f]/(1 - f), f = (1/n) sum l^2 D1 D2.  In units of
    the squared label; valid within about 3% from n, d >= 80.
    """
    teacher, first, second = distillation(d, n, lam, beta, src, r2, s)
    if xi is None:
        return teacher - first**2 / (4 * second) if second else teacher
    return teacher + xi * first + xi**2 * second


def distillation(d, n, lam, beta, src, r2, s) -> tuple[float, float, float]:
    """R, lam R' and D of ``self_distilled``; the parameters are not checked here."""
    S = power_law(d, beta)
    gamma = signal(S, src, r2)
    kappa = effective_ridge(S, n, lam)
    D = 1 / (S + kappa)
    # f, and its derivatives by one penalty and by both
    f, f1, f12 = (sign * (S**2 * D**power).sum() / n for sign, power in ((1, 2), (-1, 3), (1, 4)))
    total = kappa**2 * (gamma * S * D**2).sum() + s**2 * f
    total1 = kappa * (gamma * S**2 * D**3).sum() + s**2 * f1
    total12 = (gamma * S**3 * D**4).sum() + s**2 * f12
    q = 1 / (1 - f)
    slope = total1 * q + total * f1 * q**2
    curvature = total12 * q + (2 * total1 * f1 + total * f12) * q**2 + 2 * total * f1**2 * q**3
    # dkappa/dlam = 1 + u
    grows = lam * (1 + variance_factor(S, kappa, n))
    return total * q, 2 * grows * slope, grows**2 * curvature
