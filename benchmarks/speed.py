"""How fast the harness is, as a ratio against the plain per-seed numpy loop that papers use.

    python benchmarks/speed.py            # all, about three minutes on one core
    python benchmarks/speed.py gaussian   # those whose name contains the word

One process, one thread, CPU time, best of three on each side (one where it takes long); both sides
judge every generation, as curves need it.  Before a ratio is printed both sides must obey the same
law within four standard errors (ten per cent where no closed form is at hand); a case that does not
is an error.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import Ridge

from collapse_bench import cell_of, generations, theory
from collapse_bench.core.loop import nature
from collapse_bench.plugins.models.random_features._nested import shortest
from collapse_bench.registry.discovery import registry
from collapse_bench.running.jobs import Job, Options, run_job

Losses = np.ndarray  # (seeds,) final loss of each chain


def engine(spec: str, seeds: int) -> Callable[[], Losses]:
    def run() -> Losses:
        cell = cell_of(spec, seeds=range(seeds))
        for _last in generations(cell):
            pass
        return _last.scores[cell.data.primary].numpy()

    return run


# -- what a user would otherwise run


def gaussian_1d(n: int, T: int, seeds: int) -> Losses:
    out = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        mean, sd = 0.0, 1.0
        for _ in range(T + 1):
            x = rng.normal(mean, sd, n)
            mean, sd = x.mean(), x.std(ddof=1)
            risk = mean**2 + (sd - 1) ** 2
        out.append(risk)
    return np.array(out)


def gaussian_nd(d: int, n: int, T: int, seeds: int) -> Losses:
    out = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        mean, cov = np.zeros(d), np.eye(d)
        for _ in range(T + 1):
            x = rng.multivariate_normal(mean, cov, n)
            mean, cov = x.mean(0), np.cov(x.T)
            root = np.sqrt(np.clip(np.linalg.eigvalsh(cov), 0, None))
            risk = mean @ mean + ((root - 1) ** 2).sum()
        out.append(risk)
    return np.array(out)


def ols_accumulate(d: int, n: int, T: int, seeds: int) -> Losses:
    out = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        true = w = rng.normal(size=d) / math.sqrt(d)
        X, y = np.empty((0, d)), np.empty(0)
        for _ in range(T + 1):
            x = rng.normal(size=(n, d))
            X, y = np.concatenate([X, x]), np.concatenate([y, x @ w + rng.normal(size=n)])
            w = np.linalg.lstsq(X, y, rcond=None)[0]
            risk = ((w - true) ** 2).sum()
        out.append(risk)
    return np.array(out)


def ridge_sklearn(d: int, n: int, lam: float, T: int, seeds: int) -> Losses:
    out = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        true = w = rng.normal(size=d) / math.sqrt(d)
        for _ in range(T + 1):
            x = rng.normal(size=(n, d))
            y = x @ w + rng.normal(size=n)
            w = Ridge(alpha=n * lam, fit_intercept=False).fit(x, y).coef_
            risk = ((w - true) ** 2).sum()
        out.append(risk)
    return np.array(out)


def zipf_symbols(K: int, n: int, T: int, seeds: int) -> Losses:
    true = np.arange(1, K + 1) ** -1.5
    true /= true.sum()
    out = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        p = true
        for _ in range(T + 1):
            p = np.bincount(rng.choice(K, size=n, p=p), minlength=K) / n
            risk = 0.5 * np.abs(p - true).sum()
        out.append(risk)
    return np.array(out)


def bigram_tokens(K: int, n: int, seeds: int) -> Losses:
    """n tokens one by one, each context in turn, by inversion of its distribution function."""
    out = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        true = np.arange(1, K + 1) ** -1.5
        rows = rng.permuted(np.tile(true / true.sum(), (K, 1)), axis=1)
        reach, seen = rows.cumsum(1), np.zeros((K, K))
        for i in range(n):
            seen[i % K, reach[i % K].searchsorted(rng.random())] += 1
        out.append(0.5 * np.abs(seen / seen.sum(1, keepdims=True) - rows).sum(1).mean())
    return np.array(out)


# name, engine spec, engine seeds, plain loop over some seeds, plain seeds, goal
CASES: list[tuple[str, str, int, Callable[[int], Losses], int, float]] = [
    (
        "gaussian d=1 n=100 T=100, exact-law",
        "gaussian(sampler=exact-law) | gaussian-fit @ n=100 T=99",
        100,
        lambda seeds: gaussian_1d(100, 99, seeds),
        100,
        100,
    ),
    (
        "gaussian d=1 n=100 T=100, exact-law, 1000 seeds",
        "gaussian(sampler=exact-law) | gaussian-fit @ n=100 T=99",
        1000,
        lambda seeds: gaussian_1d(100, 99, seeds),
        100,
        100,
    ),
    (
        "gaussian d=1 n=100 T=100, explicit",
        "gaussian | gaussian-fit @ n=100 T=99",
        100,
        lambda seeds: gaussian_1d(100, 99, seeds),
        100,
        4,
    ),
    (
        "gaussian d=10 n=1000 T=20, exact-law",
        "gaussian(d=10, sampler=exact-law) | gaussian-fit @ n=1000 T=19",
        100,
        lambda seeds: gaussian_nd(10, 1000, 19, seeds),
        100,
        30,
    ),
    (
        "gaussian d=10 n=1000 T=20, explicit",
        "gaussian(d=10) | gaussian-fit @ n=1000 T=19",
        100,
        lambda seeds: gaussian_nd(10, 1000, 19, seeds),
        100,
        3,
    ),
    (
        "ols accumulate d=10 n=1000 T=20, explicit",
        "linear | ols | accumulate @ n=1000 T=19",
        100,
        lambda seeds: ols_accumulate(10, 1000, 19, seeds),
        10,
        30,
    ),
    (
        "ols accumulate d=10 n=1000 T=20, exact-law",
        "linear(sampler=exact-law) | ols | accumulate @ n=1000 T=19",
        100,
        lambda seeds: ols_accumulate(10, 1000, 19, seeds),
        10,
        30,
    ),
    (
        "ridge d=300 n=1000 T=10, exact-law",
        "linear(d=300, sampler=exact-law) | ridge(lam=0.1) @ n=1000 T=9",
        20,
        lambda seeds: ridge_sklearn(300, 1000, 0.1, 9, seeds),
        10,
        5,
    ),
    (
        "ridge d=300 n=1000 T=10, explicit",
        "linear(d=300) | ridge(lam=0.1) @ n=1000 T=9",
        20,
        lambda seeds: ridge_sklearn(300, 1000, 0.1, 9, seeds),
        10,
        5,
    ),
    (
        "zipf K=1000 n=1e6 T=10, exact-law",
        "zipf(sampler=exact-law) | counts @ n=1000000 T=9",
        20,
        lambda seeds: zipf_symbols(1000, 1_000_000, 9, seeds),
        2,
        100,
    ),
    (
        "bigram K=200 n=1e7, one fit, token by token",
        "bigram(K=200, sampler=exact-law) | counts @ n=10000000 T=0",
        20,
        lambda seeds: bigram_tokens(200, 10_000_000, seeds),
        2,
        1000,
    ),
]


LONG = 20.0  # seconds: what takes longer is timed once


def timed(run: Callable[[], Losses], repeats: int = 3) -> tuple[float, Losses]:
    best, out = math.inf, None
    for _ in range(repeats):
        began = time.process_time()
        out = run()
        best = min(best, time.process_time() - began)
        if best > LONG:
            break
    return best, out


def same_law(name: str, ours: Losses, plain: Losses) -> None:
    spread = math.hypot(ours.std(ddof=1) / len(ours) ** 0.5, plain.std(ddof=1) / len(plain) ** 0.5)
    if abs(ours.mean() - plain.mean()) > max(4 * spread, 1e-12):
        raise SystemExit(
            f"{name}: the two sides do not obey the same law: {ours.mean()} against {plain.mean()}"
        )


def harness_cost() -> tuple[float, float]:
    """CPU ms per cell in a warm process: what a whole job costs, record and all, beside the loop,
    the descriptions and the law, which are the plugins' own work; and the whole."""
    seeds = tuple(range(32))
    with tempfile.TemporaryDirectory() as folder:
        options = Options(Path(folder))
        cells = [
            cell_of(f"gaussian | gaussian-fit | replace @ n={n} T=10", seeds=seeds)
            for n in range(80, 180)
        ]

        def bare(cell) -> None:
            data = nature(cell)
            for now in generations(cell):
                data.diagnostics(now.teacher)
            registry().predicted(cell)

        run_job(Job(cells[0], seeds), options)
        extra, whole = [], []
        for cell in cells[
            1:
        ]:  # a job and the bare loop in turn, so that both meet the same noise; medians
            began = time.process_time()
            run_job(Job(cell, seeds), options)
            middle = time.process_time()
            bare(cell)
            whole.append(middle - began)
            extra.append(middle - began - (time.process_time() - middle))
    return 1e3 * float(np.median(extra)), 1e3 * float(np.median(whole))


def widths_cost(n: int = 300, d: int = 100, repeats: int = 5) -> tuple[float, float, float]:
    """Ridgeless random features at 20 widths through n: CPU ms of numpy's pinv width by width and
    of ``shortest``, and the largest relative error of the second against a singular value
    decomposition in float64."""
    rng = np.random.default_rng(0)
    shares = (
        0.1,
        0.2,
        0.35,
        0.5,
        0.65,
        0.8,
        0.9,
        0.95,
        0.98,
        1,
        1.02,
        1.05,
        1.1,
        1.2,
        1.35,
        1.5,
        2,
        2.5,
        3,
        4,
    )
    widths = [round(share * n) for share in shares]
    A = np.tanh(rng.normal(size=(n, d)) @ rng.normal(size=(d, widths[-1])) / math.sqrt(d))
    y = rng.normal(size=(n, 1))
    ours_s, ours = timed(lambda: shortest(A, y, widths), repeats)
    plain_s, _ = timed(lambda: [np.linalg.pinv(A[:, :m]) @ y for m in widths], repeats)
    worst = 0.0
    for m, v in zip(widths, ours, strict=True):
        U, S, Vh = np.linalg.svd(A[:, :m], full_matrices=False)
        exact = Vh.T @ (U.T @ y / S[:, None])
        worst = max(worst, float(np.linalg.norm(v - exact) / np.linalg.norm(exact)))
    return 1e3 * plain_s, 1e3 * ours_s, worst


def mixture_cost(repeats: int = 20) -> float:
    """CPU ms of a deterministic equivalent: two covariances, weights and a projection, d = 120."""
    law = {
        "d": 120,
        "n": 90,
        "lam": 0.01,
        "p2": 0.3,
        "beta1": 0.4,
        "beta2": 0.9,
        "a1": 1.2,
        "a2": 0.7,
        "m": 150,
    }
    spent, _ = timed(lambda: np.array([theory.evaluate("strong.mixture", **law)]), repeats)
    return 1e3 * spent


def main(words: list[str]) -> None:
    torch.set_num_threads(1)
    print(f"{'case':<50}{'plain':>12}{'ours':>12}{'ratio':>9}{'goal':>7}   (ms CPU per chain)")
    for name, spec, seeds, plain, plain_seeds, goal in CASES:
        if words and not any(word in name for word in words):
            continue
        run = engine(spec, seeds)
        run()
        ours_s, ours = timed(run)
        plain_s, theirs = timed(lambda plain=plain, seeds=plain_seeds: plain(seeds))
        same_law(name, ours, theirs)
        a, b = 1e3 * plain_s / plain_seeds, 1e3 * ours_s / seeds
        print(f"{name:<50}{a:>12.3f}{b:>12.4f}{a / b:>8.1f}x{goal:>6}x")
    if not words or "widths" in words:
        plain_ms, ours_ms, worst = widths_cost()
        name = "random features, 20 widths, ridgeless, against pinv"
        print(
            f"{name:<50}{plain_ms:>12.1f}{ours_ms:>12.2f}{plain_ms / ours_ms:>8.1f}x{8:>6}x   "
            f"(error {worst:.1e})"
        )
    if not words or "mixture" in words:
        print(
            f"strong.mixture at d=120, two covariances, weights, projection: {mixture_cost():.1f} "
            f"ms (goal 50 ms)"
        )
    if not words or "harness" in words:
        extra, whole = harness_cost()
        print(
            f"harness cost per cell: {extra:.2f} ms beside loop, descriptions and law ({whole:.2f} "
            f"ms with them; goal 3 ms)"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
