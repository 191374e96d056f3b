"""Synthetic labels that pass a verifier: when a classifier becomes better than its labeller.

Inputs are x = y mu + z, z ~ N(0, 1) in d dimensions, y = +-1, |mu|^2 = mu2.  A label is wrong with
probability p.  A right label is kept with probability phi, a wrong one with probability psi.  The
share kept is b = (1-p) phi + p psi.  The mean agreement of kept labels with the truth is
m = ((1-p) phi - p psi)/b, and f = d/(b N).
"""

from __future__ import annotations

import math

import scipy

from ._law import STEPS, UNPUBLISHED, law, number, require, whole

WRONG = number("probability that a label is wrong", "[0, 1]")
RIGHT_KEPT = number("probability that a right label is kept", "[0, 1]")
WRONG_KEPT = number("probability that a wrong label is kept", "[0, 1]")
SIGNAL = number("squared norm of the class mean", "[0, inf)")
DIMENSION = whole("input dimension", 1)
CANDIDATES = whole("labelled rows before selection", 1)
ANGLE = "[0, 3.141592653589794)"

FENG = "Feng et al., arXiv 2406.07515"
FIRDOUSSI = "El Firdoussi et al., ICLR 2025, arXiv 2410.08942"


def _selected(q: float, phi: float, psi: float) -> tuple[float, float]:
    """(m, b) of labels that are right with probability q."""
    right, wrong = q * phi, (1 - q) * psi
    require(right + wrong > 0, "phi", phi, "positive, or psi positive: otherwise nothing is kept")
    return (right - wrong) / (right + wrong), right + wrong


def _kept(p: float, phi: float, psi: float, d: int, N: int) -> tuple[float, float]:
    """(m, f)."""
    m, b = _selected(1 - p, phi, psi)
    return m, d / (b * N)


@law("EXACT", FENG, phi=RIGHT_KEPT, psi=WRONG_KEPT)
def threshold(phi, psi) -> float:
    """Largest share of wrong labels with a perfect classifier after selection: phi/(phi + psi).

    Above it the classifier ends inverted, worse than chance.  Without selection (phi = psi) it is
    1/2.  A probability; valid for infinitely many rows.
    """
    require(phi + psi > 0, "phi", phi, "positive, or psi positive: otherwise nothing is kept")
    return phi / (phi + psi)


@law(
    "DE",
    FIRDOUSSI + ", in the limit of infinite ridge; the setting of " + FENG,
    p=WRONG,
    phi=RIGHT_KEPT,
    psi=WRONG_KEPT,
    mu2=SIGNAL,
    d=DIMENSION,
    N=CANDIDATES,
)
def acc_average(p, phi, psi, mu2, d, N) -> float:
    """Accuracy on true labels of the averaging classifier sum y_i x_i over the kept rows.

    Averaging is ridge with infinite penalty.  Phi(m mu2/sqrt(m^2 mu2 + f)).  A probability, at most
    Phi(|mu|); valid within about 2% for d >= 80 and d > 50 mu2 (1 + mu2).  With fewer dimensions
    the step at the threshold is softer than this, since the equivalent omits the share mu2 (1 +
    mu2)/d of the classifier's own noise that lies along mu.
    """
    m, f = _kept(p, phi, psi, d, N)
    return scipy.special.ndtr(m * mu2 / math.sqrt(m**2 * mu2 + f))


@law(
    "DE",
    FIRDOUSSI + ", for one fit; its iteration " + UNPUBLISHED,
    t=whole("generation", 0, STEPS),
    mu2=SIGNAL,
    d=DIMENSION,
    N=CANDIDATES,
    p=number(
        "probability that a label of generation 0 is wrong; None: it reads true labels, unselected",
        "[0, 1]",
    ).or_none,
    phi=RIGHT_KEPT,
    psi=WRONG_KEPT,
    most=whole("the most kept rows that are read; None: all of them", 1).or_none,
)
def acc_average_iterated(t, mu2, d, N, p=None, phi=1.0, psi=1.0, most=None) -> float:
    """Accuracy of averaging classifiers, each trained on selected labels of the previous one.

    The accuracy is measured on true labels.  Let r be the cosine between a teacher and mu, and c =
    |mu| r.  Its labels are right with probability q = Phi(c), and E y x over kept rows is (phi q -
    psi (1-q))/b along mu and (phi + psi) Phi'(c)/b along the teacher, with b = phi q + psi (1-q).
    The next cosine is that of this sum plus noise of squared norm d/rows.  phi = psi means no
    selection.  A probability, at most Phi(|mu|); valid within about 2% for d >= 80 and d > 50 mu2
    (1 + mu2).  It describes the typical chain: near the threshold some chains become perfect and
    others inverted.
    """
    m, kept = (1.0, 1.0) if p is None else _selected(1 - p, phi, psi)
    cosine = m * math.sqrt(mu2) / math.sqrt(m**2 * mu2 + d / min(kept * N, most or math.inf))
    for _ in range(t):
        cosine = taught_cosine(cosine, mu2, d, N, phi, psi, most)
    return scipy.special.ndtr(math.sqrt(mu2) * cosine)


def taught_cosine(cosine, mu2, d, N, phi=1.0, psi=1.0, most=None) -> float:
    """Cosine to the truth of an averaging classifier whose teacher has the cosine ``cosine``.

    One step of ``acc_average_iterated``.  Parameters are not checked here.
    """
    c = math.sqrt(mu2) * cosine
    m, kept = _selected(scipy.special.ndtr(c), phi, psi)
    own = (phi + psi) * math.exp(-(c**2) / 2) / math.sqrt(2 * math.pi) / kept
    norm = m**2 * mu2 + 2 * m * own * c + own**2
    return (m * math.sqrt(mu2) + own * cosine) / math.sqrt(
        norm + d / min(kept * N, most or math.inf)
    )


@law(
    "DE",
    FIRDOUSSI + ", in the limit of zero ridge; the setting of " + FENG,
    p=WRONG,
    phi=RIGHT_KEPT,
    psi=WRONG_KEPT,
    mu2=SIGNAL,
    d=DIMENSION,
    N=whole("labelled rows before selection; more than d/b", 1),
)
def acc_ols(p, phi, psi, mu2, d, N) -> float:
    """Accuracy on true labels of least squares on the kept rows.

    Phi([m mu2/((1-f) G)]/sqrt(m^2 (mu2+f)/((1-f)^3 G^2) + (1-m^2) f/(1-f))), G = 1 + (mu2+f)/(1-f).
    A probability, at most Phi(|mu|); valid for f < 1, within about 2% for d >= 80 and d > 50 mu2
    (1 + mu2).
    """
    m, f = _kept(p, phi, psi, d, N)
    require(f < 1, "N", N, f"more than d/b = {f * N:g}")
    G = 1 + (mu2 + f) / (1 - f)
    spread = m**2 * (mu2 + f) / ((1 - f) ** 3 * G**2) + (1 - m**2) * f / (1 - f)
    return scipy.special.ndtr(m * mu2 / ((1 - f) * G) / math.sqrt(spread))


@law(
    "DE",
    FIRDOUSSI + ", with labels that are flawed and questions that are not",
    p=WRONG,
    phi=RIGHT_KEPT,
    psi=WRONG_KEPT,
    mu2=SIGNAL,
    d=DIMENSION,
    N=CANDIDATES,
    lam=number("penalty on |w|^2, added to a mean of squares", "(0, inf)"),
    real=number(
        "real rows, with true labels, that are read together with the kept rows", "[0, inf)"
    ),
)
def acc_ridge(p, phi, psi, mu2, d, N, lam, real=0.0) -> float:
    """Accuracy on true labels of ridge on real rows and the kept rows together.

    With R real rows, n = R + b N rows have the mean agreement m' = (R + b N m)/n.  Let f = d/n and
    D(lam) the positive root of D (1/(1 + D) + lam) = f, a = 1/(1 + D), t = -dD/dlam, and q(lam) =
    mu2/(a (1 + mu2) + lam).  Then mu.w -> M = a m' q and |w|^2 -> a (m' a (-m' q' - a t m' q) + a t
    (1 - m' M)), primes of q for derivatives in lam, and the accuracy is Phi(M/|w|).  lam -> 0 gives
    ``acc_ols``, lam -> inf ``acc_average``.  A probability, at most Phi(|mu|); valid within about
    2% for d >= 80 and d > 50 mu2 (1 + mu2).
    """
    kept = (1 - p) * phi + p * psi
    require(real + kept > 0, "real", real, "positive where nothing is kept")
    rows = real + kept * N
    m, f = (real + ((1 - p) * phi - p * psi) * N) / rows, d / rows
    # (1 + lam - f) may be negative; the positive root of lam D^2 + (1 + lam - f) D = f, without
    # the difference of two large numbers
    linear = 1 + lam - f
    root = math.sqrt(linear**2 + 4 * lam * f)
    D = 2 * f / (linear + root) if linear > 0 else (root - linear) / (2 * lam)
    a, t = 1 / (1 + D), (D + D**2) / (2 * lam * D + linear)
    bottom = a * (1 + mu2) + lam
    along = a * m * mu2 / bottom
    slope = mu2 * (1 + t * a**2 * (1 + mu2)) / bottom**2  # -dq/dlam, as da/dlam = t a^2
    square = a * (m * a * (m * slope - t * along) + a * t * (1 - m * along))
    return scipy.special.ndtr(along / math.sqrt(square))


BLIND = "other than pi - tg, where generator and verifier never agree"
GENERATOR = number("angle between generator and truth, in radians", ANGLE)
VERIFIER = number("angle between verifier and truth, in radians", ANGLE)


def _bisector(tg: float, tv: float) -> tuple[float, float, float]:
    """(r, share of rows that are kept, cosine of the bisector to the truth)."""
    r = math.cos(tg) * math.cos(tv)
    kept = 1 - math.acos(r) / math.pi
    require(kept > 1e-12, "tv", tv, BLIND)
    return r, kept, (math.cos(tg) + math.cos(tv)) / math.sqrt(2 + 2 * r)


@law("EXACT", UNPUBLISHED + "; the setting of " + FENG, tg=GENERATOR, tv=VERIFIER)
def halfspace(tg, tv) -> float:
    """Accuracy of averaging on infinitely many labels that a linear verifier agrees with.

    x ~ N(0, 1), and the labels are those of a linear generator.  The errors of generator and
    verifier are independent: cos(generator, verifier) = cos tg cos tv =: r.  Averaging learns their
    bisector, at cosine (cos tg + cos tv)/sqrt(2 + 2r) to the truth, and the accuracy is
    1 - angle/pi.  A verifier somewhat worse than the generator still helps, since its errors are
    independent.  A probability; valid for infinitely many rows.
    """
    cosine = _bisector(tg, tv)[2]
    return 1 - math.acos(max(-1.0, min(1.0, cosine))) / math.pi


@law(
    "DE",
    UNPUBLISHED + "; the setting of " + FENG,
    tg=GENERATOR,
    tv=VERIFIER,
    N=CANDIDATES,
    d=DIMENSION,
)
def halfspace_rows(tg, tv, N, d) -> float:
    """Accuracy of averaging on those of N labels that a linear verifier agrees with.

    As ``halfspace``, with a cosine that shrinks by 1/sqrt(1 + d/(n |v|^2)), where n = N (1 -
    arccos(r)/pi) rows are kept and |v|^2 = (1 + r)/(pi (n/N)^2) is the squared norm of their mean.
    A probability; valid within about 1% from d = 40.
    """
    r, kept, cosine = _bisector(tg, tv)
    cosine /= math.sqrt(1 + d * math.pi * kept / (N * (1 + r)))
    return 1 - math.acos(max(-1.0, min(1.0, cosine))) / math.pi


@law(
    "DE",
    UNPUBLISHED + "; the setting of " + FENG,
    t=whole("generation; 0 is the first fit", 0, STEPS),
    tg=number("angle between the first generator and truth, in radians", ANGLE),
    tv=VERIFIER,
    N=CANDIDATES,
    d=DIMENSION,
)
def halfspace_iterated(t, tg, tv, N, d) -> float:
    """Accuracy of averaging after t + 1 rounds of selection by one imperfect verifier.

    Each round reads the rows on which the previous classifier and the verifier agree.  Let s be the
    cosine between the classifier and the truth and r that between the classifier and the verifier,
    at first cos tg and cos tg cos tv.  A round averages the two directions: s' = g (s + cos
    tv)/sqrt(2 + 2r) and r' = g sqrt((1 + r)/2), with the factor g of ``halfspace_rows``.  With many
    rows r tends to 1: selection leads to the verifier, not to the truth.  A probability; t = 0 is
    ``halfspace_rows``.  Valid within about 1% from d = 40.
    """
    s, v = math.cos(tg), math.cos(tv)
    r = s * v
    for _ in range(t + 1):
        s, r = selected_cosines(s, r, v, N, d)
    return 1 - math.acos(max(-1.0, min(1.0, s))) / math.pi


def selected_cosines(s, r, v, N, d) -> tuple[float, float]:
    """(cosine to the truth, cosine to the verifier) after one round of ``halfspace_iterated``.

    ``v`` is the cosine between verifier and truth.  Parameters are not checked here.
    """
    kept = 1 - math.acos(max(-1.0, min(1.0, r))) / math.pi
    require(kept > 1e-12, "tv", math.acos(v), BLIND)
    g = 1 / math.sqrt(1 + d * math.pi * kept / (N * (1 + r)))
    return g * (s + v) / math.sqrt(2 + 2 * r), g * math.sqrt((1 + r) / 2)
