"""Numbers of docs/their-numbers.md: published numbers, and ours in the same setting.

Everything is measured here, by this suite or by a few lines of numpy and scikit-learn that follow
the description of the other code.  The exception is ``HISTORIES``, which ``histories`` reads from a
copy of the run histories of Kazdan et al.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.neighbors import KernelDensity

from collapse_bench import cell_of, generations
from collapse_bench.core.loop import nature
from collapse_bench.theory import discrete, gaussian, kde, regression, verification

from . import Table, computed

PAGE = "docs/their-numbers.md"

#: (setting, n, fits, quantity, runs, mean, standard error) from the run histories that Kazdan et
#: al. published; each run is read once, although 76 of 688 are stored twice.
HISTORIES = [
    ("Replace", 10, 1, "v", 100, 0.9469, 0.045),
    ("Replace", 10, 1, "e", 100, 0.09966, 0.012),
    ("Replace", 10, 5, "v", 100, 0.5279, 0.06),
    ("Replace", 10, 5, "e", 100, 0.3626, 0.045),
    ("Replace", 10, 20, "v", 100, 0.1001, 0.025),
    ("Replace", 10, 20, "e", 100, 0.8808, 0.17),
    ("Replace", 10, 100, "log v", 100, -21.84, 0.52),
    ("Replace", 10, 100, "e", 100, 0.9556, 0.18),
    ("Replace", 32, 1, "v", 100, 0.9818, 0.024),
    ("Replace", 32, 1, "e", 100, 0.03317, 0.0038),
    ("Replace", 32, 5, "v", 100, 0.8645, 0.05),
    ("Replace", 32, 5, "e", 100, 0.1444, 0.02),
    ("Replace", 32, 20, "v", 100, 0.5049, 0.058),
    ("Replace", 32, 20, "e", 100, 0.4049, 0.067),
    ("Replace", 32, 100, "log v", 100, -6.207, 0.26),
    ("Replace", 32, 100, "e", 100, 0.7458, 0.13),
    ("Replace", 100, 1, "v", 100, 0.9934, 0.014),
    ("Replace", 100, 1, "e", 100, 0.008736, 0.0011),
    ("Replace", 100, 5, "v", 100, 0.9481, 0.031),
    ("Replace", 100, 5, "e", 100, 0.04353, 0.007),
    ("Replace", 100, 20, "v", 100, 0.7781, 0.048),
    ("Replace", 100, 20, "e", 100, 0.1847, 0.024),
    ("Replace", 100, 100, "v", 100, 0.3178, 0.045),
    ("Replace", 100, 100, "e", 100, 0.639, 0.12),
    ("Replace", 316, 1, "v", 44, 1.001, 0.011),
    ("Replace", 316, 1, "e", 44, 0.002851, 0.00075),
    ("Replace", 316, 5, "v", 44, 0.9672, 0.024),
    ("Replace", 316, 5, "e", 44, 0.01887, 0.0034),
    ("Replace", 316, 20, "v", 44, 0.9363, 0.053),
    ("Replace", 316, 20, "e", 44, 0.07785, 0.016),
    ("Replace", 316, 100, "v", 44, 0.7401, 0.084),
    ("Replace", 316, 100, "e", 44, 0.2004, 0.047),
    ("Accumulate", 10, 1, "v", 100, 0.9469, 0.045),
    ("Accumulate", 10, 1, "e", 100, 0.09966, 0.012),
    ("Accumulate", 10, 5, "v", 100, 0.8688, 0.046),
    ("Accumulate", 10, 5, "e", 100, 0.1397, 0.017),
    ("Accumulate", 10, 20, "v", 100, 0.8706, 0.049),
    ("Accumulate", 10, 20, "e", 100, 0.1573, 0.02),
    ("Accumulate", 10, 100, "v", 100, 0.8658, 0.051),
    ("Accumulate", 10, 100, "e", 100, 0.16, 0.02),
    ("Accumulate", 32, 1, "v", 100, 0.9818, 0.024),
    ("Accumulate", 32, 1, "e", 100, 0.03317, 0.0038),
    ("Accumulate", 32, 5, "v", 100, 0.9625, 0.027),
    ("Accumulate", 32, 5, "e", 100, 0.04658, 0.0059),
    ("Accumulate", 32, 20, "v", 100, 0.9601, 0.029),
    ("Accumulate", 32, 20, "e", 100, 0.04975, 0.006),
    ("Accumulate", 32, 100, "v", 100, 0.9601, 0.03),
    ("Accumulate", 32, 100, "e", 100, 0.05138, 0.0064),
    ("Accumulate", 100, 1, "v", 99, 0.9936, 0.014),
    ("Accumulate", 100, 1, "e", 99, 0.008788, 0.0011),
    ("Accumulate", 100, 5, "v", 99, 0.9901, 0.017),
    ("Accumulate", 100, 5, "e", 99, 0.01321, 0.002),
    ("Accumulate", 100, 20, "v", 99, 0.9873, 0.017),
    ("Accumulate", 100, 20, "e", 99, 0.01406, 0.0022),
    ("Accumulate", 100, 100, "v", 99, 0.9898, 0.018),
    ("Accumulate", 100, 100, "e", 99, 0.01447, 0.0023),
    ("Accumulate", 316, 1, "v", 45, 1.002, 0.011),
    ("Accumulate", 316, 1, "e", 45, 0.002818, 0.00073),
    ("Accumulate", 316, 5, "v", 45, 0.9963, 0.014),
    ("Accumulate", 316, 5, "e", 45, 0.004695, 0.0011),
    ("Accumulate", 316, 20, "v", 45, 0.9986, 0.015),
    ("Accumulate", 316, 20, "e", 45, 0.005231, 0.0013),
    ("Accumulate", 316, 100, "v", 45, 1.001, 0.015),
    ("Accumulate", 316, 100, "e", 45, 0.005034, 0.0012),
]
QUANTITIES = {"v": "variance", "e": "squared error of the mean", "log v": "log variance"}


def measured(spec: str, t: int, metric: str, chains: int) -> np.ndarray:
    """A loss or diagnostic of generation t, (chains,)."""
    cell = cell_of(spec, seeds=range(10**6, 10**6 + chains))
    data = nature(cell)
    *_, now = (step for step in generations(cell) if step.t <= t)
    return ({**data.diagnostics(now.teacher), **now.scores})[metric].double().numpy()


def summary(sample) -> tuple[float, float]:
    """Mean and standard error."""
    sample = np.asarray(sample, float)
    return float(sample.mean()), float(sample.std(ddof=1)) / math.sqrt(len(sample))


def shown(mean: float, error: float) -> str:
    """0.1234 +- 0.0012, with two digits of the error."""
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{mean:.{digits}f} ± {error:.{digits}f}"


def z(one: tuple[float, float], other: tuple[float, float]) -> str:
    """The difference in joint standard errors."""
    return f"{(one[0] - other[0]) / math.hypot(one[1], other[1]):+.1f}"


# -- Kazdan et al. ---------------------------------------------------------------------------------


def exact(setting: str, n: int, k: int, quantity: str) -> float:
    """The law of a maximum-likelihood Gaussian after k fits."""
    if quantity == "log v":
        return 2 * gaussian.logsigma_mean(n, k, ddof=0)
    if setting == "Replace":
        v = (1 - 1 / n) ** k
        return v if quantity == "v" else 1 - v
    return (gaussian.acc_v if quantity == "v" else gaussian.acc_e)(n, k)


def histories(path: Path) -> Iterator[tuple]:
    """The entries of ``HISTORIES`` from a copy of the published file."""
    import pandas as pd

    fits = "Model-Fitting Iteration"
    runs = pd.read_parquet(path).drop_duplicates(["run_id", fits])
    for setting in ("Replace", "Accumulate"):
        for n in (10, 32, 100, 316):
            for k in (1, 5, 20, 100):
                some = runs[
                    (runs.Setting == setting)
                    & (runs["Num. Samples per Iteration"] == n)
                    & (runs[fits] == k)
                ]
                v = some["Fit Covariance (Numerical)"].astype(float)
                e = some["Squared Error of Fit Mean (Numerical)"].astype(float)
                # Few paths carry the mean of a variance that has nearly vanished.
                rare = setting == "Replace" and k >= 3 * n
                for quantity, sample in (("log v", np.log(v)) if rare else ("v", v), ("e", e)):
                    yield setting, n, k, quantity, len(sample), *summary(sample)


@computed(PAGE, "their-gaussians")
def gaussians() -> str:
    """The published histories, this suite and the law."""
    rows, worst = [], [0.0, 0.0]
    metrics = {"v": "variance", "e": "mean_drift", "log v": "log_variance"}
    for setting, n, k, quantity, runs, mean, error in HISTORIES:
        law = exact(setting, n, k, quantity)
        spec = f"gaussian(sampler=exact-law) | gaussian-fit(ddof=0) | {setting.lower()} @ n={n} "
        ours = summary(measured(f"{spec}T={k - 1}", k - 1, metrics[quantity], 4000))
        gaps = [(mean - law) / error, (mean - ours[0]) / math.hypot(error, ours[1])]
        worst = [max(a, abs(b)) for a, b in zip(worst, gaps, strict=True)]
        if n in (10, 100) and k in (1, 20, 100):
            rows.append(
                [
                    setting.lower(),
                    str(n),
                    str(k),
                    QUANTITIES[quantity],
                    f"{shown(mean, error)} ({runs} runs)",
                    shown(*ours),
                    f"{law:.4g}",
                    f"{gaps[1]:+.1f}",
                ]
            )
    head = ["protocol", "n", "fits", "quantity", "theirs", "ours", "law", "z"]
    text = (
        f"Of {len(HISTORIES)} comparisons the largest |z| is {worst[1]:.1f} against this suite and "
        f"{worst[0]:.1f} against the laws."
    )
    return f"{Table([head, *rows])}\n{text}\n"


@computed(PAGE, "their-kernels")
def kernels() -> Table:
    """Variance after 21 estimates: scikit-learn, and both rules of this suite."""
    rows = []
    for n, d, chains in ((50, 1, 800), (30, 2, 800)):
        rng, theirs = np.random.RandomState(0), []
        for _ in range(chains):
            x = rng.standard_normal((n, d))
            for t in range(21):
                estimate = KernelDensity(bandwidth="silverman").fit(x)
                if t < 20:
                    x = estimate.sample(n, random_state=rng)
            theirs.append(x.var(0).mean() + estimate.bandwidth_**2)
        b = (4 / ((d + 2) * n)) ** (1 / (d + 4))
        found = summary(theirs)
        for rule, law in (
            ("sklearn-silverman", kde.var(n, b, 21) + b**2),
            ("silverman", (1 + b**2) * kde.var_scaled(n, b, 21)),
        ):
            spec = f"gaussian(d={d}) | kde(rule={rule}) | replace @ n={n} T=20"
            ours = summary(measured(spec, 20, "variance", chains))
            same = rule.startswith("sklearn")
            rows.append(
                [
                    str(n),
                    str(d),
                    f"`{rule}`",
                    shown(*found) if same else "",
                    shown(*ours),
                    f"{law:.4g}",
                    z(found, ours) if same else "",
                ]
            )
    return Table([["n", "d", "rule", "scikit-learn", "ours", "law", "z"], *rows])


@computed(PAGE, "their-densities")
def densities() -> Table:
    """The peak of a density drawn with a variance in the place of a standard deviation."""
    rows = []
    for k in (1, 20, 100):
        v = exact("Replace", 100, k, "v")
        rows.append(
            [
                str(k),
                f"{v:.3f}",
                f"{1 / (v * math.sqrt(2 * math.pi)):.3f}",
                f"{1 / math.sqrt(2 * math.pi * v):.3f}",
            ]
        )
    return Table([["fits", "variance", "peak as drawn", "peak of that variance"], *rows])


# -- He, Xu and Cheng ------------------------------------------------------------------------------


@computed(PAGE, "their-golden")
def golden() -> Table:
    """Scenario 1: the first synthetic fit, with the seed set again and with a seed of its own."""
    n, p, reps = 100, 4, 4000
    found: dict[str, list[list[float]]] = {"again": [], "apart": []}
    for rep in range(reps):
        for name, seed in (("again", rep), ("apart", reps + rep)):
            rng = np.random.RandomState(rep)
            X = rng.multivariate_normal(np.zeros(p), np.eye(p) / p, n)
            first = np.linalg.lstsq(X, rng.normal(0, 1, n), rcond=None)[0]
            mean, covariance = X.mean(0), np.cov(X, rowvar=False)
            rng = np.random.RandomState(seed)
            drawn = rng.multivariate_normal(mean, covariance, n)
            rng = np.random.RandomState(seed)
            again = rng.normal(size=(n, p))
            w = first + np.linalg.lstsq(again, rng.normal(size=n), rcond=None)[0]
            found[name].append([w @ w, drawn.mean(0) @ drawn.mean(0)])
    again, apart = np.array(found["again"]), np.array(found["apart"])
    # In units of |w|^2: inputs of variance 1/4 in the first fit, of variance 1 in the second.
    fit = regression.ols_replace(p, n, 1)
    laws = p * fit + fit, 2 / n
    names = "least squares, squared error of the weights", "Gaussian, squared error of the mean"
    rows = [
        [name, shown(*summary(again[:, i])), shown(*summary(apart[:, i])), f"{law:.4f}", gap]
        for i, (name, law) in enumerate(zip(names, laws, strict=True))
        for gap in [z(summary(apart[:, i]), (law, 0.0))]
    ]
    return Table([["quantity", "seed set again", "seeds apart", "law", "z of seeds apart"], *rows])


# -- El Firdoussi et al. ---------------------------------------------------------------------------


@computed(PAGE, "their-pruned")
def pruned() -> Table:
    """Accuracy and the larger of accuracy and its complement, on both sides of the threshold."""
    phi, psi, mu2, d, n = 0.9, 0.3, 1.0, 100, 800
    rows = []
    for p in (0.3, 0.6, 0.75, 0.9):
        spec = (
            f"half-space(d={d}, mu2={mu2}) | averaging | verify-filter(oversample=1, phi={phi}, "
            f"psi={psi}) @ n={n} T=0 first=noisy-labels(p={p})"
        )
        accuracy = 1 - measured(spec, 0, "error_rate", 400)
        law = verification.acc_average(p, phi, psi, mu2, d, n)
        rows.append(
            [
                f"{p:g}",
                shown(*summary(accuracy)),
                f"{law:.4f}",
                shown(*summary(np.maximum(accuracy, 1 - accuracy))),
            ]
        )
    return Table([["wrong labels p", "accuracy, ours", "law", "mean of max(a, 1 - a)"], *rows])


# -- Suresh et al. ---------------------------------------------------------------------------------


@computed(PAGE, "their-surviving")
def surviving() -> Table:
    """Survival of a symbol with p = 0.01 in samples of 100: theorem, corollary, chain, loop."""
    K = n = 100
    rows = []
    for k in (1, 10, 20, 50):
        spec = f"zipf(K={K}, beta=0, sampler=exact-law) | counts | replace @ n={n} T={k}"
        ours = summary(measured(spec, k, "support", 1000) / K)
        law = discrete.support(K, 0.0, n, k + 1) / K
        rows.append(
            [
                str(k),
                f"{1 - math.exp(-1 / (k + 1)):.4f}",
                f"{discrete.survive_count(1.0, k):.4f}",
                shown(*ours),
                f"{law:.4f}",
                z(ours, (law, 0.0)),
            ]
        )
    head = ["fits after the first", "corollary", "Theorem 1", "ours", "exact chain", "z"]
    return Table([head, *rows])


# -- Shumailov et al. ------------------------------------------------------------------------------


@computed(PAGE, "their-wasserstein")
def wasserstein() -> Table:
    """Variance of the squared W2 distance at n = 100: the printed form, ours and the law."""
    rows = []
    for k in (1, 5):
        spec = f"gaussian(sampler=exact-law) | gaussian-fit | replace @ n=100 T={k - 1}"
        w2 = measured(spec, k - 1, "w2", 20_000)
        ours = summary((w2 - w2.mean()) ** 2)
        printed, law = (f(100, k) for f in (gaussian.w2_var_as_published, gaussian.w2_var))
        in_squares = tuple(1e4 * value for value in ours)
        rows.append(
            [
                str(k),
                f"{1e4 * printed:.3f}",
                shown(*in_squares),
                f"{1e4 * law:.3f}",
                z(ours, (printed, 0.0)),
                z(ours, (law, 0.0)),
            ]
        )
    head = ["fits", "printed", "ours", "law", "z of the printed form", "z of the law"]
    return Table([[*head[:1], *(f"{name} (10⁻⁴ σ⁴)" for name in head[1:4]), *head[4:]], *rows])


# -- kernel density estimates with new real rows ---------------------------------------------------

#: share of real rows -> drift of the variance after 20 generations, per cent, as published
DRIFTS = {0.1: 108.38, 0.5: 24.72, 0.9: 13.77}
WIDTH = 0.3516  # the bandwidth in units of sigma, fitted to the three


@computed(PAGE, "their-drifts")
def drifts() -> Table:
    """The variance of a draw about the true mean, relative to the truth, per cent."""
    rows, n, chains = [], 250, 400
    for a, theirs in DRIFTS.items():
        cell = cell_of(
            f"gaussian | kde(rule=fixed, h={WIDTH}) | mix(real={a:g}) @ n={n} T=19",
            seeds=range(10**6, 10**6 + chains),
        )
        truth = nature(cell).mean_and_factor()[0]
        *_, now = generations(cell)
        mean, factor = now.teacher.mean_and_factor()
        square = (mean - truth).square().sum(-1) + factor.square().sum((-2, -1))
        ours = summary(100 * (square.double().numpy() - 1))
        law = 100 * (kde.mix_drawn(n, WIDTH, a, 20) - 1)
        rows.append([f"{a:g}", f"+{theirs}", shown(*ours), f"{law:.2f}", z(ours, (law, 0.0))])
    return Table([["a", "published, %", "ours, %", "law, %", "z"], *rows])
