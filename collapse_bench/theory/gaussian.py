"""Gaussians fitted to their own samples: replaced, accumulated, subsampled, mixed with real rows.

The last three groups only use the first two moments of the truth, so they hold for any generator
with that mean and variance.
"""

from __future__ import annotations

import math

import numpy as np
import scipy

from ._law import STEPS, UNPUBLISHED, law, number, require, whole
from ._special import basel, digamma_minus_log, expm1_half_ratio, log_half_ratio

ROWS = whole("rows per fit", 2)
FITS = whole("successive fits, the first to real data; 0 is the truth", 0, STEPS)
LONG = whole("successive fits, the first to real data; 0 is the truth", 0)
STD = number("true standard deviation, in units of the data", "(0, inf)")
DDOF = whole(
    "subtracted from the number of rows in a variance: 1 unbiased, 0 maximum likelihood", 0, 1
)
GROWTH = number(
    "exponent g of the sizes: fit i + 1 reads M_i = round(M (i+1)^g) rows, i = 0 .. k - 1"
)
DIMENSION = whole("dimension", 1, STEPS)
SPECTRUM = number(
    "exponent of the spectrum: eigenvalue j of the true covariance is j^-beta, j = 1 .. d"
)
SHARE = number("share of real rows in each fit", "[0, 1]")
REAL = number("share of real rows in each fit; round(pi M) >= 1", "(0, 1]")

SHUMAILOV = "Shumailov et al., Nature 2024"
GERSTGRASSER = "Gerstgrasser et al., arXiv 2404.01413"
KAZDAN = "Kazdan et al., arXiv 2410.16713"
SURESH = "Suresh et al., arXiv 2412.17646"
LOG_CHI = (
    "the logarithm of a chi variable (Bartlett and Kendall, Suppl. J. R. Stat. Soc. 1946), k times"
)
POOLED = KAZDAN + ", for ddof = 0; ddof = 1 " + UNPUBLISHED
MIXED = (
    UNPUBLISHED
    + "; the setting of Bertrand et al., arXiv 2310.00429, and of the fresh data loop of "
    "Alemohammad et al., arXiv 2307.01850"
)


def _sizes(M: int, k: int, growth: float) -> np.ndarray:
    """Rows of the fits 1 .. k, (k,)."""
    sizes = np.rint(M * np.arange(1.0, k + 1) ** growth)
    require(k == 0 or sizes.min() >= 2, "growth", growth, "such that every fit has at least 2 rows")
    return sizes


def _log_rho(M, ddof: int):
    """ln E r, where a refit multiplies the standard deviation by r.

    r^2 = chi2_{M-1}/(M - ddof) for M rows.
    """
    return log_half_ratio((np.asarray(M, float) - 1) / 2) + (
        0 if ddof else 0.5 * np.log1p(-1 / np.asarray(M, float))
    )


def _moments_of_refit(sizes: np.ndarray, ddof: int) -> tuple[np.ndarray, ...]:
    """E (r - 1)^j of every fit, j = 1 .. 4.

    Built from E r - 1 and its remainder, since differences of moments of r cancel at large M.
    """
    nu = sizes - 1
    first, rest = expm1_half_ratio(nu / 2)  # E chi_nu/sqrt nu - 1, and the same plus 1/(4 nu)
    moments = first, -2 * first, 4 * rest + first / nu, -8 * rest - 4 * first / nu
    if ddof:
        return moments
    c = np.sqrt(nu / sizes)
    b = np.expm1(0.5 * np.log1p(-1 / sizes))  # c - 1, and r - 1 = c (chi_nu/sqrt nu - 1) + b
    powers = [np.ones_like(c), *(c**j * moment for j, moment in enumerate(moments, 1))]
    return tuple(
        sum(math.comb(j, i) * powers[i] * b ** (j - i) for i in range(j + 1)) for j in range(1, 5)
    )


def _mean_log(M: int, ddof: int) -> float:
    """E ln r of one refit."""
    return float(digamma_minus_log((M - 1) / 2) / 2) + (0 if ddof else 0.5 * math.log1p(-1 / M))


# -- one dimension, replace ------------------------------------------------------------------------


@law(
    "EXACT",
    UNPUBLISHED + "; the leading order in " + SHUMAILOV,
    M=ROWS,
    k=FITS,
    sigma=STD,
    growth=GROWTH,
    ddof=DDOF,
)
def w2_mean(M, k, sigma=1.0, growth=0.0, ddof=1) -> float:
    """E W2^2 between the truth N(mu, sigma^2) and model k of the replace recursion.

    Each model is fitted to samples of the model before.  With ddof=1 it is sigma^2 [sum 1/M_i + 2
    (1 - prod c4(M_i))], where c4 = E r is the factor by which a refit shrinks the mean standard
    deviation.  The first term, from the mean, grows without bound unless sum 1/M_i converges; the
    second ends at 2 sigma^2.  With ddof=0 the loss of variance cancels the drift of the mean, and 2
    sigma^2 (1 - prod E r) remains.  In units of sigma^2; valid for all M and k.
    """
    sizes = _sizes(M, k, growth)
    return sigma**2 * (ddof * (1 / sizes).sum() - 2 * math.expm1(_log_rho(sizes, ddof).sum()))


@law("EXACT", UNPUBLISHED, M=ROWS, k=FITS, sigma=STD, growth=GROWTH, ddof=DDOF)
def w2_var(M, k, sigma=1.0, growth=0.0, ddof=1) -> float:
    """Var W2^2 between the truth N(mu, sigma^2) and model k, over runs of the replace recursion.

    Computed by a linear recursion of the moments of D = (m - mu)/sigma and x = s/sigma - 1, since
    W2^2 = sigma^2 (D^2 + x^2).  In units of sigma^4; valid for all M and k, at a cost linear in k.

    The published leading order, (sigma^4/2)(3 sum M_i^-2 + 4 sum_{i != j} 1/(M_i M_j)), contradicts
    simulation: the simulated variance is 1.65 to 1.70 times as large at k = 1 and 1.33 to 1.35
    times at k = 5, while this law agrees within the error of simulation (ratios 0.98 to 1.04).  One
    fit shows why: W2^2 is about (sigma^2/M)(Z1^2 + Z2^2/2), and its variance is (2 + 1/2)
    sigma^4/M^2, not (3/2) sigma^4/M^2.
    """
    sizes = _sizes(M, k, growth)
    first, e2, e3, e4 = _moments_of_refit(sizes, ddof)  # E (r - 1)^j of every fit
    a1 = a2 = a3 = a4 = 0.0  # E x^j
    b0 = b1 = b2 = 0.0  # E D^2 x^j
    d4 = 0.0  # E D^4
    for m, f1, f2, f3, f4 in zip(*(a.tolist() for a in (sizes, first, e2, e3, e4)), strict=True):
        s2, s4 = 1 + 2 * a1 + a2, 1 + 4 * a1 + 6 * a2 + 4 * a3 + a4  # E (1+x)^2, E (1+x)^4
        d4 += 6 * (b0 + 2 * b1 + b2) / m + 3 * s4 / m**2
        # The mean D moves first and the spread x second: given the previous model, the sample mean
        # and the sample variance are independent, so the two updates can be applied in turn.
        b0, b1, b2 = (
            b0 + s2 / m,
            b1 + (a1 + 2 * a2 + a3) / m,
            b2 + (a2 + 2 * a3 + a4) / m,
        )
        b1, b2 = (
            b1 + f1 * (b0 + b1),
            b2 + 2 * f1 * (b1 + b2) + f2 * (b0 + 2 * b1 + b2),
        )
        a1, a2, a3, a4 = (
            a1 + f1 * (1 + a1),
            a2 + 2 * f1 * (a1 + a2) + f2 * s2,
            a3 + 3 * f1 * (a2 + a3) + 3 * f2 * (a1 + 2 * a2 + a3) + f3 * (1 + 3 * a1 + 3 * a2 + a3),
            a4
            + 4 * f1 * (a3 + a4)
            + 6 * f2 * (a2 + 2 * a3 + a4)
            + 4 * f3 * (a1 + 3 * a2 + 3 * a3 + a4)
            + f4 * s4,
        )
    return sigma**4 * (d4 + 2 * b2 + a4 - (b0 + a2) ** 2)


@law("LEAD", SHUMAILOV, M=ROWS, k=FITS, sigma=STD, growth=GROWTH, ddof=DDOF)
def w2_mean_leading(M, k, sigma=1.0, growth=0.0, ddof=1) -> float:
    """E W2^2 of the replace recursion to leading order, (3/2) sigma^2 sum 1/M_i.

    1 of the 3/2 comes from the mean and 1/2 from the standard deviation.  In units of sigma^2;
    valid for k << M (3.7% high at M = k = 100), the same for both ddof at this order.
    """
    return 1.5 * sigma**2 * (1 / _sizes(M, k, growth)).sum()


@law("LEAD", UNPUBLISHED, M=ROWS, k=FITS, sigma=STD, growth=GROWTH, ddof=DDOF)
def w2_var_leading(M, k, sigma=1.0, growth=0.0, ddof=1) -> float:
    """Var W2^2 of the replace recursion to leading order, (5/2) sigma^4 (sum 1/M_i)^2.

    In units of sigma^4; valid for k << M, the same for both ddof at this order.
    """
    return 2.5 * sigma**4 * (1 / _sizes(M, k, growth)).sum() ** 2


@law(
    "REFUTED",
    SHUMAILOV + ", as quoted by an encyclopedia",
    M=ROWS,
    k=FITS,
    sigma=STD,
    growth=GROWTH,
    ddof=DDOF,
)
def w2_var_as_published(M, k, sigma=1.0, growth=0.0, ddof=1) -> float:
    """Var W2^2 as published, (sigma^4/2)(3 sum M_i^-2 + 4 sum_{i != j} 1/(M_i M_j)): refuted.

    Kept to show that it does not hold: simulation contradicts it.  The simulated variance is 1.65
    to 1.70 times this value at k = 1 and 1.33 to 1.35 times at k = 5, up to 20 standard errors
    away, while ``w2_var`` and ``w2_var_leading`` agree with the same simulation.  The ratio tends
    to 5/3 for one fit and to 5/4 for many.  In units of sigma^4.
    """
    inverse = 1 / _sizes(M, k, growth)
    squares = (inverse**2).sum()
    return sigma**4 / 2 * (3 * squares + 4 * (inverse.sum() ** 2 - squares))


@law(
    "EXACT",
    SHUMAILOV + ", to first order; that there is no remainder is " + UNPUBLISHED,
    M=ROWS,
    k=FITS,
    sigma=STD,
    growth=GROWTH,
    ddof=DDOF,
)
def sample_var(M, k, sigma=1.0, growth=0.0, ddof=1) -> float:
    """Variance of one draw from model k, replace: sigma^2 (1 + sum 1/M_i) with ddof=1.

    With ddof=0 it stays sigma^2: the model loses as much variance as the drift of the mean adds.
    In units of sigma^2; valid for all M and k.
    """
    return sigma**2 * (1 + ddof * (1 / _sizes(M, k, growth)).sum())


@law(
    "EXACT",
    "the mean of a chi distribution, k times; the bound exp(-k/(4M)) in " + SURESH,
    M=ROWS,
    k=LONG,
    sigma=STD,
    ddof=DDOF,
)
def sigma_mean(M, k, sigma=1.0, ddof=1) -> float:
    """E s_k, mean standard deviation of model k, replace: sigma (E r)^k, about sigma exp(-k/(4M)).

    It decays even with ddof=1, where E s_k^2 is constant.  In units of sigma; valid for all M and
    k.
    """
    return sigma * math.exp(k * _log_rho(M, ddof))


@law("EXACT", "mean of " + LOG_CHI, M=ROWS, k=LONG, sigma=STD, ddof=DDOF)
def logsigma_mean(M, k, sigma=1.0, ddof=1) -> float:
    """E ln s_k of the replace recursion: ln sigma + (k/2)[psi((M-1)/2) - ln((M-ddof)/2)].

    This is the typical chain: about ln sigma - k/(2M) with ddof=1 and ln sigma - k/M with ddof=0.
    In nats; valid for all M and k.
    """
    return math.log(sigma) + k * _mean_log(M, ddof)


@law("EXACT", "variance of " + LOG_CHI, M=ROWS, k=LONG, sigma=STD, ddof=DDOF)
def logsigma_var(M, k, sigma=1.0, ddof=1) -> float:
    """Var ln s_k of the replace recursion: (k/4) psi'((M-1)/2), about k/(2M).

    The same for every sigma and ddof; in squared nats.  Valid for all M and k.
    """
    return k / 4 * scipy.special.polygamma(1, (M - 1) / 2)


# -- d dimensions, replace, ddof = 1 ---------------------------------------------------------------


@law("LEAD", UNPUBLISHED, d=whole("dimension", 1, 10**5), M=ROWS, k=LONG, beta=SPECTRUM)
def nd_frechet_leading(d, M, k, beta=0.0) -> float:
    """E W2^2 (Frechet distance) in d dimensions to leading order, for eigenvalues l_j = j^-beta.

    (k/M)[tr S + sum_ij l_i l_j (1 + delta_ij)/(2 (l_i + l_j))], which is (k/M)(d + d(d+1)/4) for
    beta = 0.  ddof=1.  In units of the covariance; valid for k d << M (6.5% high at d = 10, M =
    100, k = 10), at a cost quadratic in d.
    """
    eigenvalues = _spectrum(d, beta)
    pairs = sum((one * eigenvalues / (one + eigenvalues)).sum() for one in eigenvalues)
    return k / M * (1.25 * eigenvalues.sum() + 0.5 * pairs)


@law(
    "EXACT",
    "Bartlett's decomposition of a Wishart matrix, k times; the rates as in Newman, Commun. Math. "
    "Phys. 1986",
    d=DIMENSION,
    M=whole("rows per fit; M >= d + 1", 2),
    k=LONG,
    beta=SPECTRUM,
)
def nd_logdet(d, M, k, beta=0.0) -> float:
    """E ln det Sigma_k in d dimensions, replace: ln det S + k sum_i [psi((nu-i)/2) + ln(2/nu)].

    nu = M - 1, i = 0 .. d - 1, ddof=1.  The terms of the sum are the rates of the ordered
    log-eigenvalues.  The first shrinks slowest, so the model becomes a line before it becomes a
    point.  In nats; valid for M >= d + 1, since with fewer rows the covariance is singular after
    one fit.
    """
    require(d + 1 <= M, "M", M, f"at least d + 1 = {d + 1}")
    nu, i = M - 1, np.arange(d)
    rates = digamma_minus_log((nu - i) / 2) + np.log1p(-i / nu)
    return np.log(_spectrum(d, beta)).sum() + k * rates.sum()


@law(
    "EXACT",
    "second moments of a Wishart matrix (Haff, J. Multivariate Anal. 1979), k times",
    d=DIMENSION,
    M=ROWS,
    k=LONG,
    beta=SPECTRUM,
)
def nd_trS2(d, M, k, beta=0.0) -> float:
    """E tr Sigma_k^2 of model k in d dimensions, replace, ddof=1, true eigenvalues j^-beta.

    With x = E tr Sigma^2, y = E (tr Sigma)^2 and nu = M - 1: x' = (1 + 1/nu) x + y/nu and
    y' = y + 2x/nu.  E Sigma_k itself stays at the truth.  In squared units of the covariance; valid
    for all M and k.
    """
    eigenvalues, nu = _spectrum(d, beta), M - 1
    step = np.array([[1 + 1 / nu, 1 / nu], [2 / nu, 1]])
    start = np.array([(eigenvalues**2).sum(), eigenvalues.sum() ** 2])
    return (np.linalg.matrix_power(step, k) @ start)[0]


def _spectrum(d: int, beta: float) -> np.ndarray:
    return np.arange(1.0, d + 1) ** -beta


# -- accumulate ------------------------------------------------------------------------------------


def _pool(M: int, t: int, ddof: int) -> np.ndarray:
    """ln(E v_j / sigma^2) of the fits j = 0 .. t to all rows so far, (t + 1,)."""
    j = np.arange(1.0, t + 1)
    lost = 1 / (j * (M * j - 1)) * (j > 1) if ddof else 1 / (M * j**2)
    return np.concatenate([[0.0], np.cumsum(np.log1p(-lost))])


@law("EXACT", POOLED, M=ROWS, t=FITS, sigma=STD, ddof=DDOF)
def acc_v(M, t, sigma=1.0, ddof=0) -> float:
    """E v_t, mean variance of the model fitted to all t batches of M rows, only the first real.

    ddof=0: sigma^2 prod_j (1 - 1/(M j^2)).  ddof=1: the factor is 1 at j = 1 and 1 - 1/(j (M j -
    1)) after that.  Rows of the pool share ancestors, so Bessel's correction does not remove the
    bias.  In units of sigma^2; valid for all M and t.
    """
    return sigma**2 * math.exp(_pool(M, t, ddof)[-1])


@law("EXACT", POOLED, M=ROWS, t=FITS, sigma=STD, ddof=DDOF)
def acc_e(M, t, sigma=1.0, ddof=0) -> float:
    """E (m_t - mu)^2, error of the mean of all t accumulated batches: sum_j E v_{j-1}/(M j^2).

    With ddof=0 it equals sigma^2 - E v_t.  In units of sigma^2; valid for all M and t.
    """
    pool = _pool(M, t, ddof)
    if ddof == 0:
        return -(sigma**2) * math.expm1(pool[-1])
    return sigma**2 * (np.exp(pool[:-1]) / (M * np.arange(1.0, t + 1) ** 2)).sum()


@law("EXACT", KAZDAN, M=ROWS, sigma=STD)
def acc_limit_v(M, sigma=1.0) -> float:
    """Limit of E v_t when all batches are kept (ddof=0): sigma^2 sin(pi/sqrt M)/(pi/sqrt M).

    In units of sigma^2; valid for all M.
    """
    return sigma**2 * np.sinc(1 / math.sqrt(M))


@law(
    "LEAD",
    "Dey and Donoho, arXiv 2410.22812, for the squared W2 distance",
    M=ROWS,
    t=FITS,
    sigma=STD,
)
def acc_w2_leading(M, t, sigma=1.0) -> float:
    """E W2^2 when all batches are kept, to leading order: (3/2)(sigma^2/M) sum_{j <= t} 1/j^2.

    At most pi^2/6 times the risk of one fit.  In units of sigma^2; valid for M >> 1.
    """
    return 1.5 * sigma**2 / M * basel(t)


def _subsample(M: int, t: int, ddof: int) -> tuple[float, float]:
    """(E v_t, E (m_t - mu)^2) for sigma = 1, from two moments of the rows of the pool.

    a is half the expected squared difference of two rows and b the expected squared distance of a
    row from mu; the error of the mean is e = b - (1 - 1/M) a.  The recursion updates a and e
    directly, because computing e as that difference would lose all digits at large M.
    """
    if t == 0:
        return 1.0, 0.0
    a, e, q = 1.0, 1 / M, 1 - 1 / M
    for s in range(1, t):
        N = M * (s + 1)
        if ddof:
            lost, more = M * (2 - s) / (N * (N - 1)), (3 * M + s - 3) / (N * (N - 1))
        else:
            lost, more = (3 * M - 1) / (N * (N - 1)), q * (3 * M - 1) / (N * (N - 1))
        a, e = a * (1 - lost), e + a * more
    return (1.0 if ddof else q) * a, e


@law("EXACT", UNPUBLISHED + "; the setting of " + KAZDAN, M=ROWS, t=FITS, sigma=STD, ddof=DDOF)
def accsub_v(M, t, sigma=1.0, ddof=0) -> float:
    """E v_t, mean variance of the model fitted to M rows subsampled from the pool of t batches.

    The M rows are drawn without replacement.  ddof=0 ends on a plateau (0.739 sigma^2 at M = 10,
    against 0.843 with the whole pool); ddof=1 grows like t^(1/M).  In units of sigma^2; valid for
    all M and t, at a cost linear in t.
    """
    return sigma**2 * _subsample(M, t, ddof)[0]


@law("EXACT", UNPUBLISHED + "; the setting of " + KAZDAN, M=ROWS, t=FITS, sigma=STD, ddof=DDOF)
def accsub_e(M, t, sigma=1.0, ddof=0) -> float:
    """E (m_t - mu)^2, squared error of the mean of M rows subsampled from the pool of t batches.

    The M rows are drawn without replacement.  In units of sigma^2; valid for all M and t, at a cost
    linear in t.
    """
    return sigma**2 * _subsample(M, t, ddof)[1]


# -- real rows in every fit ------------------------------------------------------------------------


def _mix(M: int, pi: float, t: int, ddof: int) -> tuple[float, float]:
    """(E v, E e) after t fits for sigma = 1: an affine map of second moments, t times."""
    pi, bessel = round(pi * M) / M, M / (M - ddof)
    e = np.array([(1 - pi) ** 2, (1 - pi) / M, pi / M])  # of the previous (e, v, 1)
    v = bessel * (np.array([1 - pi, 1 - pi, pi]) - e)
    e, v, _ = np.linalg.matrix_power(np.array([e, v, [0, 0, 1]]), t) @ [0.0, 1.0, 1.0]
    return v, e


@law(
    "EXACT",
    MIXED,
    M=ROWS,
    pi=SHARE,
    t=LONG,
    sigma=STD,
    ddof=DDOF,
)
def mix_v(M, pi, t, sigma=1.0, ddof=0) -> float:
    """E v_t, mean variance when each fit reads round(pi M) fresh real rows, the rest synthetic.

    The other rows come from the model before.  With pi the share after rounding, ddof=0 tends to
    sigma^2 (1 - 1/(1 - pi + M pi (2 - pi))), so the number M pi of real rows decides about
    collapse.  ddof=1 can grow without bound at small M pi.  In units of sigma^2; valid for all M
    and t.
    """
    return sigma**2 * _mix(M, pi, t, ddof)[0]


@law(
    "EXACT",
    MIXED,
    M=ROWS,
    pi=SHARE,
    t=LONG,
    sigma=STD,
    ddof=DDOF,
)
def mix_e(M, pi, t, sigma=1.0, ddof=0) -> float:
    """E (m_t - mu)^2, squared error of the mean with round(pi M) fresh real rows in every fit.

    The other rows come from the model before.  With pi the share after rounding, ddof=0 tends to
    sigma^2/(1 - pi + M pi (2 - pi)).  In units of sigma^2; valid for all M and t.
    """
    return sigma**2 * _mix(M, pi, t, ddof)[1]


def _mix_fixed(M: int, pi: float, t: int) -> tuple[float, float]:
    """(E v, E e) after t fits for sigma = 1, ddof = 0.

    The means m_t are followed about the mean a of the real rows: with D = m - a, the state is
    (E D^2, E v, 1), and E (a - mu) D shrinks by 1 - pi with every fit.
    """
    real = round(pi * M)
    require(real >= 1, "pi", pi, f"such that at least one row is real: round(pi {M}) >= 1")
    if t == 0:
        return 1.0, 0.0
    pi = real / M
    away_later = np.array([(1 - pi) ** 2, (1 - pi) / M, 0])
    v_later = np.array([pi * (1 - pi), (1 - pi) * (1 - 1 / M), pi * (1 - 1 / real)])
    step = np.array([away_later, v_later, [0, 0, 1]])
    away, v, _ = np.linalg.matrix_power(step, t - 1) @ [(1 - pi) / real, 1 - 1 / M, 1.0]
    return v, 1 / real + away - 2 * (1 - pi) ** t / real


@law(
    "EXACT",
    MIXED,
    M=ROWS,
    pi=REAL,
    t=LONG,
    sigma=STD,
)
def mixfixed_v(M, pi, t, sigma=1.0) -> float:
    """E v_t when every fit reads the same M_r = round(pi M) real rows (ddof=0).

    The other rows come from the model before; the first fit reads M real rows, M_r of them kept.
    It tends to sigma^2 (1 - 1/M_r)(1 - K) with K = (1 - pi)/(M pi (2 - pi) + 1 - pi), where pi is
    M_r/M.  In units of sigma^2; valid for all M and t.
    """
    return sigma**2 * _mix_fixed(M, pi, t)[0]


@law(
    "EXACT",
    MIXED,
    M=ROWS,
    pi=REAL,
    t=LONG,
    sigma=STD,
)
def mixfixed_e(M, pi, t, sigma=1.0) -> float:
    """E (m_t - mu)^2 when every fit reads the same M_r = round(pi M) real rows (ddof=0).

    The other rows come from the model before; the first fit reads M real rows, M_r of them kept.
    It tends to sigma^2/M_r + K sigma^2 (1 - 1/M_r) with K as in ``mixfixed_v``: no better than the
    real rows without synthetic ones.  In units of sigma^2; valid for all M and t.
    """
    return sigma**2 * _mix_fixed(M, pi, t)[1]


@law(
    "EXACT",
    "He et al., J. R. Stat. Soc. B, arXiv 2502.18049",
    infinite="at w = 0, where the mean is a random walk",
    n1=whole("fresh real rows per fit", 1),
    n2=whole("synthetic rows per fit", 1),
    w=number("weight of the real rows, 1 - w that of the synthetic ones", "[0, 1]"),
    s=STD,
)
def weighted_mean_limit(n1, n2, w, s=1.0) -> float:
    """Stationary squared error of a mean: weight w on n1 real rows, 1 - w on n2 synthetic rows.

    s^2 [w^2/n1 + (1-w)^2/n2]/(1 - (1-w)^2), for a known variance.  For n1 = n2 the minimum is at w
    = 0.618, the reciprocal of the golden ratio.  In units of s^2; valid for all sizes.
    """
    return s**2 * (w**2 / n1 + (1 - w) ** 2 / n2) / (w * (2 - w)) if w else math.inf
