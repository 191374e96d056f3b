"""What recursion on one's own samples does in expectation, in closed form, float64; numpy and scipy alone.

Conventions: ``M`` rows per fit; ``sizes`` the rows of fits 1, 2, ..., k, so that generation t is fit k = t + 1;
``ddof`` is subtracted from M where a variance is formed; ``v`` is the variance of the fitted model and ``e`` the
squared error of its mean; ``sigma`` is the true standard deviation, or that of the label noise.  Unless a docstring
says otherwise a form is exact at finite size.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, gammaln, polygamma
from scipy.stats import binom


def sizes(M: int, k: int, growth: float = 0.0) -> list[int]:
    """Rows of the first k fits: round(M i^growth), i = 1 .. k."""
    return [round(M * i**growth) for i in range(1, k + 1)]


# -- Gaussians: one dimension, replace -----------------------------------------------------------------------------


def rho(b: float, M: int, ddof: int = 1) -> float:
    """E (s'/s)^b of one refit: s'^2/s^2 is chi-squared with M - 1 degrees of freedom over M - ddof."""
    return float(
        (2 / (M - ddof)) ** (b / 2) * np.exp(gammaln((M - 1 + b) / 2) - gammaln((M - 1) / 2))
    )


def replace_v(sizes, sigma=1.0, ddof=1) -> float:
    """E s_k^2 = sigma^2 prod rho_2: constant with ddof=1, sigma^2 (1 - 1/M)^k with ddof=0."""
    return sigma**2 * float(np.prod([rho(2, M, ddof) for M in sizes]))


def replace_s(sizes, sigma=1.0, ddof=1) -> float:
    """E s_k = sigma prod rho_1: decays also where E s_k^2 does not."""
    return sigma * float(np.prod([rho(1, M, ddof) for M in sizes]))


def replace_e(sizes, sigma=1.0, ddof=1) -> float:
    """E (m_k - mu)^2 = sum_i E s_{i-1}^2 / M_i: the mean walks with the spread of each model in turn."""
    return sum(replace_v(sizes[:i], sigma, ddof) / M for i, M in enumerate(sizes))


def replace_w2(sizes, sigma=1.0, ddof=1) -> float:
    """E W2^2 = E (m - mu)^2 + E (s - sigma)^2; with ddof=1 sigma^2 [sum 1/M_i + 2 (1 - prod c4(M_i))]."""
    spread = replace_v(sizes, sigma, ddof) - 2 * sigma * replace_s(sizes, sigma, ddof) + sigma**2
    return replace_e(sizes, sigma, ddof) + spread


def replace_w2_leading(sizes, sigma=1.0) -> float:
    """Leading order in 1/M: (3/2) sigma^2 sum 1/M_i."""
    return 1.5 * sigma**2 * sum(1 / M for M in sizes)


def replace_w2_variance(sizes, sigma=1.0, ddof=1) -> float:
    """Var W2^2 by the linear recursion of the moments m(a, b) = E D^a s^b, D = m - mu."""
    zero = {b: sigma**b for b in range(5)}
    two, four = dict.fromkeys(range(3), 0.0), 0.0
    for M in sizes:
        r = {b: rho(b, M, ddof) if b else 1.0 for b in range(5)}
        four = four + 6 * two[2] / M + 3 * zero[4] / M**2
        two = {b: r[b] * (two[b] + zero[b + 2] / M) for b in two}
        zero = {b: r[b] * zero[b] for b in zero}
    cross = two[2] - 2 * sigma * two[1] + sigma**2 * two[0]
    spread = sum(c * zero[b] * (-sigma) ** (4 - b) for b, c in enumerate((1, 4, 6, 4, 1)))
    return four + 2 * cross + spread - replace_w2(sizes, sigma, ddof) ** 2


def replace_w2_variance_published(sizes, sigma=1.0) -> float:
    """The form in print, (sigma^4/2)(3 sum 1/M_i^2 + 4 sum_{i != j} 1/(M_i M_j)).  It does not hold."""
    squares, total = sum(1 / M**2 for M in sizes), sum(1 / M for M in sizes)
    return sigma**4 / 2 * (3 * squares + 4 * (total**2 - squares))


def log_variance(sizes, sigma=1.0, ddof=1) -> float:
    """E ln s_k^2: the typical fate, about -k/M (ddof=1) and -2k/M (ddof=0) at constant M."""
    return 2 * np.log(sigma) + sum(digamma((M - 1) / 2) - np.log((M - ddof) / 2) for M in sizes)


def log_variance_variance(sizes) -> float:
    """Var ln s_k^2 = sum psi'((M_i - 1)/2), about 2k/M."""
    return float(sum(polygamma(1, (M - 1) / 2) for M in sizes))


# -- Gaussians: d dimensions, replace, ddof = 1 --------------------------------------------------------------------


def log_spectrum_rates(d: int, M: int) -> np.ndarray:
    """Growth per fit of the ordered log-eigenvalues of the covariance, (d,): psi((M-1-i)/2) + ln(2/(M-1))."""
    nu = M - 1
    return digamma((nu - np.arange(d)) / 2) + np.log(2 / nu)


def log_determinant(eigenvalues, M: int, k: int) -> float:
    """E ln det Sigma_k: the sum of those rates holds at every k."""
    return float(np.log(eigenvalues).sum() + k * log_spectrum_rates(len(eigenvalues), M).sum())


def trace_of_square(eigenvalues, M: int, k: int) -> float:
    """E tr Sigma_k^2, coupled with E (tr Sigma_k)^2."""
    nu = M - 1
    x, y = float((eigenvalues**2).sum()), float(eigenvalues.sum() ** 2)
    for _ in range(k):
        x, y = (1 + 1 / nu) * x + y / nu, y + 2 * x / nu
    return x


def frechet_leading(eigenvalues, M: int, k: int) -> float:
    """E W2^2 to leading order in k d / M: (k/M)[tr Sigma + sum_ij l_i l_j (1 + delta_ij) / (2 (l_i + l_j))]."""
    pairs = np.outer(eigenvalues, eigenvalues) * (1 + np.eye(len(eigenvalues)))
    return float(
        k / M * (eigenvalues.sum() + (pairs / (2 * np.add.outer(eigenvalues, eigenvalues))).sum())
    )


# -- Gaussians (and any law with two moments): pools and mixes -----------------------------------------------------


def accumulate_v(M: int, t: int, sigma=1.0, ddof=0) -> float:
    """E v_t of a fit to all t batches: sigma^2 prod_j (1 - 1/(M j^2)) with ddof=0.

    With ddof=1 the factors are 1 at j = 1 and 1 - 1/(j (M j - 1)) after: pooled rows share ancestors, so that
    Bessel's correction does not make the pool unbiased.
    """
    j = np.arange(1, t + 1)
    lost = 1 / (M * j**2) if ddof == 0 else np.where(j == 1, 0.0, 1 / (j * (M * j - 1.0)))
    return sigma**2 * float(np.prod(1 - lost))


def accumulate_v_limit(M: int, sigma=1.0) -> float:
    """Its limit with ddof=0: sigma^2 sin(pi/sqrt M) / (pi/sqrt M)."""
    return float(sigma**2 * np.sinc(1 / np.sqrt(M)))


def accumulate_e(M: int, t: int, sigma=1.0, ddof=0) -> float:
    """E (m_t - mu)^2 = sum_j E v_{j-1} / (M j^2)."""
    return sum(accumulate_v(M, j - 1, sigma, ddof) / (M * j**2) for j in range(1, t + 1))


def accumulate_w2_leading(M: int, t: int, sigma=1.0) -> float:
    """Leading order in 1/M: (3/2)(sigma^2/M) sum 1/j^2, at most pi^2/6 times the risk of one fit."""
    return 1.5 * sigma**2 / M * basel(t)


def basel(t: int) -> float:
    """sum_{j <= t} 1/j^2."""
    return float((1 / np.arange(1, t + 1) ** 2.0).sum())


def subsample_ve(M: int, t: int, sigma=1.0, ddof=0) -> tuple[float, float]:
    """(E v_t, E (m_t - mu)^2) of a fit to M rows drawn without replacement from the pool of all t batches.

    a is half the expected squared difference of two rows of the pool, b the expected square of a row about mu.
    """
    a = b = sigma**2
    keep = 1.0 if ddof else 1 - 1 / M
    for s in range(1, t):
        v, e, N = keep * a, b - (1 - 1 / M) * a, M * (s + 1)
        pairs = M * s * (M * s - 1) + M * (M - 1) * keep + M**2 * s * (keep + 1 + (1 - 2 / s) / M)
        a, b = a * pairs / (N * (N - 1)), (s * b + v + e) / (s + 1)
    return keep * a, b - (1 - 1 / M) * a


def mix_ve(M: int, pi: float, sigma=1.0, ddof=0) -> tuple[float, float]:
    """Stationary (E v, E e) where each fit reads pi M fresh real rows and (1 - pi) M of the previous model.

    ddof=0: e = sigma^2 / (1 - pi + M pi (2 - pi)), v = sigma^2 - e.  ddof=1, with s2 = sigma^2: the fixed point of
    e = pi s2/M + (1-pi)^2 e + (1-pi) v/M,  v = M/(M-1) [pi s2 + (1-pi)(e + v) - e].
    """
    if ddof == 0:
        e = sigma**2 / (1 - pi + M * pi * (2 - pi))
        return sigma**2 - e, e
    c = M / (M - 1)
    system = [[1 - (1 - pi) ** 2, -(1 - pi) / M], [c * pi, 1 - c * (1 - pi)]]  # of (e, v)
    e, v = np.linalg.solve(system, [pi * sigma**2 / M, c * pi * sigma**2])
    return float(v), float(e)


def mix_fixed_ve(M: int, pi: float, sigma=1.0) -> tuple[float, float]:
    """Stationary (E v, E e), ddof=0, where the pi M real rows are the same ones for ever."""
    real = pi * M
    K = (1 - pi) / (M * pi * (2 - pi) + 1 - pi)
    rest = sigma**2 * (1 - 1 / real)
    return rest * (1 - K), sigma**2 / real + K * rest


def weighted_mean_limit(w: float, n1: int, n2: int, sigma=1.0) -> float:
    """Stationary squared error of a mean that gives weight w to n1 fresh real rows and 1 - w to n2 synthetic ones.

    sigma^2 [w^2/n1 + (1-w)^2/n2] / (1 - (1-w)^2), the variance being known; least, for n1 = n2, at w^2 + w = 1.
    """
    return sigma**2 * (w**2 / n1 + (1 - w) ** 2 / n2) / (1 - (1 - w) ** 2)


def trusted(decay: float, fits: int) -> list[np.ndarray]:
    """The shares of the batches of an accumulating pool in fits 1, 2, ..., each of weight decay^age.

    Real rows have age 0, those of a model 1 + the mean age of what it read.
    """
    ages, shares = [0.0], []
    for _ in range(fits):
        trust = decay ** np.array(ages)
        shares.append(trust / trust.sum())
        ages.append(1 + float(shares[-1] @ np.array(ages)))
    return shares


def weighted_batches(shares, rows, sigma=1.0, ddof=0) -> list[tuple[float, float]]:
    """(E v_t, E e_t), t = 1, 2, ...: the recursion of second moments behind replace and accumulate alike.

    Batch 0 holds real rows, chain_shape b those of the model of fit b; fit t reads batches 0 .. t - 1 and gives chain_shape b the
    share ``shares[t-1][b]`` of the weight (one in all), its ``rows[b]`` rows alike.  With ddof=1 the variance divides
    by one minus the sum of squared weights, as if rows were independent.
    """
    sigma2, n = sigma**2, len(shares)
    C = np.zeros((n + 1, n + 1))  # E (chain_shape mean - mu)(chain_shape mean - mu)
    square = np.zeros(n + 1)  # E (row - mu)^2
    C[0, 0], square[0] = sigma2 / rows[0], sigma2
    out = []
    for t, share in enumerate(shares, 1):
        u = np.zeros(n + 1)
        u[: len(share)] = share
        spent = float(
            (u[: len(rows)] ** 2 / np.asarray(rows, float)).sum()
        )  # sum of squared weights
        e = float(u @ C @ u)
        v = (float(u @ square) - e) / (1 - spent if ddof else 1)
        out.append((v, e))
        C[t, :t] = C[:t, t] = (C @ u)[:t]
        if t < len(rows):
            C[t, t], square[t] = e + v / rows[t], e + v
    return out


def weighted_mix(w: float, n1: int, n2: int, t: int, sigma=1.0, ddof=1) -> tuple[float, float]:
    """(E v, E e) at generation t, first fit (t = 0) to n1 + n2 real rows, then weight w on n1 fresh real rows."""
    s2, n = sigma**2, n1 + n2
    v, e = (s2 if ddof else s2 * (1 - 1 / n)), s2 / n
    spent = w**2 / n1 + (1 - w) ** 2 / n2
    for _ in range(t):
        new = w**2 * s2 / n1 + (1 - w) ** 2 * (e + v / n2)
        v = (w * s2 + (1 - w) * (e + v) - new) / (1 - spent if ddof else 1)
        e = new
    return v, e


# -- linear regression ---------------------------------------------------------------------------------------------


def ols_replace(d: int, sizes, sigma=1.0) -> float:
    """Excess risk after k rounds of relabelling: sigma^2 sum d/(T_i - d - 1), whatever the spectrum."""
    return sigma**2 * sum(d / (T - d - 1) for T in sizes)


def ols_accumulate(d: int, T: int, k: int, sigma=1.0, same_x=False) -> float:
    """All rows so far: with one X for ever d/(T-d-1) sum 1/i^2, with a new X each round sum d/(i (i T - d - 1))."""
    if same_x:
        return sigma**2 * d / (T - d - 1) * basel(k)
    return sigma**2 * sum(d / (i * (i * T - d - 1)) for i in range(1, k + 1))


def ols_mix(d: int, T: int, pi: float, sigma=1.0) -> float:
    """Stationary risk with pi T fresh real rows per round; leading order in d/T."""
    u = d / (T - d - 1)
    return sigma**2 * u / (1 - (1 - pi) ** 2 - pi * (1 - pi) * u)


def ols_mix_fixed(d: int, T: int, pi: float, sigma=1.0) -> float:
    """Stationary risk with the same pi T real rows every round; leading order in d/T."""
    return sigma**2 * d * (1 / (pi * T - d - 1) + (1 - pi) / (pi * (2 - pi) * (T - d - 1)))


def strong_mix(d: int, n: int, p2: float, c2=1.0, sigma=1.0) -> float:
    """One fit to n rows of which a share p2 follows other weights, off by c2 in risk; isotropic, n > d.

    sigma^2 u + c2 (p2^2 + p1 p2 u), u = d/(n - d): a deterministic equivalent, whose floor p2^2 c2 no n removes.
    """
    u = d / (n - d)
    return sigma**2 * u + c2 * (p2**2 + (1 - p2) * p2 * u)


def strong_mix_iterated(d: int, n: int, p2: float, t: int, c2=1.0, sigma=1.0) -> float:
    """Risk of generation t when the share p2 is relabelled by the generation before: E' = sigma^2 u + rho E."""
    u = d / (n - d)
    E = c2
    for _ in range(t + 1):
        E = sigma**2 * u + (p2**2 + (1 - p2) * p2 * u) * E
    return E


def ridge_iterated(
    d: int, n: int, lam: float, k: int, beta=0.0, source=0.0, signal=1.0, sigma=1.0
) -> float:
    """Risk after k rounds of relabelling by ridge, new X each round: a deterministic equivalent.

    kappa = lam + kappa df_1(kappa)/n; the second moments W_i of the weights along the axes follow
    W' = (l D)^2 W + C [kappa^2 sum W l D^2 + sigma^2] l D^2 with D = 1/(l + kappa), C = 1/(n (1 - df_2/n)).
    """
    j = np.arange(1, d + 1, dtype=float)
    spectrum, prior = j**-beta, j**-source
    prior *= signal / (spectrum * prior).sum()
    top = 2 * lam + spectrum.sum() / n  # beyond the root, since kappa df_1 <= sum l
    kappa = brentq(
        lambda x: x - lam - x * (spectrum / (spectrum + x)).sum() / n, lam, top, xtol=1e-14
    )
    D = 1 / (spectrum + kappa)
    shrunk = spectrum * D
    C = 1 / (n - (shrunk**2).sum())
    W = prior.copy()
    for _ in range(k):
        W = (
            shrunk**2 * W
            + C * (kappa**2 * (W * spectrum * D**2).sum() + sigma**2) * spectrum * D**2
        )
    return float((spectrum * (W - 2 * prior * shrunk**k + prior)).sum())


# -- discrete laws -------------------------------------------------------------------------------------------------


def zipf(K: int, beta: float) -> np.ndarray:
    """p_i proportional to i^-beta, i = 1 .. K."""
    p = np.arange(1, K + 1, dtype=float) ** -beta
    return p / p.sum()


def heterozygosity(p) -> float:
    """1 - sum p^2: the variance of one draw, and for a multinomial what sigma^2 is for a Gaussian."""
    return float(1 - (np.asarray(p) ** 2).sum())


def replace_heterozygosity(p, sizes) -> float:
    """E H_k = H_0 prod (1 - 1/M_i), the Wright-Fisher law."""
    return heterozygosity(p) * float(np.prod([1 - 1 / M for M in sizes]))


def replace_l2(p, sizes) -> float:
    """E |p_k - p|^2 = H_0 - E H_k, since every p_i is a martingale."""
    return heterozygosity(p) - replace_heterozygosity(p, sizes)


def alive(p, sizes, most=None) -> np.ndarray:
    """Probability that a symbol of probability p_i is still said after the fits, by the chain of its count.

    The count is binomial(M_1, p_i) at first, and binomial(M_{j+1}, c/M_j) after a count of c; read backwards.  Counts
    beyond ``most`` are taken never to be lost within the k fits, which leaves out about exp(-2 most/k).
    """
    counts = [np.arange(min(M, most or M) + 1) for M in sizes]
    dead = (counts[-1] == 0).astype(float)  # probability of being lost in the end, by the count now
    for j in reversed(range(len(sizes) - 1)):
        dead = binom.pmf(counts[j + 1], sizes[j + 1], counts[j][:, None] / sizes[j]) @ dead
    return 1 - binom.pmf(counts[0], sizes[0], np.asarray(p)[:, None]) @ dead


def support(p, sizes, most=None) -> float:
    """Expected number of symbols still said."""
    return float(alive(p, sizes, most).sum())


def missing_mass(p, sizes, most=None) -> float:
    """Expected true probability of the symbols that are no longer said."""
    return float(np.asarray(p) @ (1 - alive(p, sizes, most)))


def unseen(p, T: int) -> float:
    """Expected true probability of what T draws do not show: sum p (1 - p)^T."""
    return float((p * (1 - p) ** T).sum())


def kl_replace_leading(K: int, M: int, k: int) -> float:
    """E KL(p || p_k) while k << M min p: k (K - 1)/(2 M)."""
    return k * (K - 1) / (2 * M)


def kl_accumulate_leading(K: int, M: int, t: int) -> float:
    """E KL(p || p_t) of a fit to the pool: (K - 1)/(2 M) sum 1/j^2."""
    return (K - 1) / (2 * M) * basel(t)
