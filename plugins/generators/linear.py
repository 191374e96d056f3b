"""Linear regression with a power-law spectrum: generations pass on labels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch

from collapse_bench.core.components import ACCUMULATE, REPLACE
from collapse_bench.core.params import param
from collapse_bench.laws.claims import Claim, frozen, natural, pure
from collapse_bench.lib.linear.regression import LinearWorld, power_spectrum
from collapse_bench.lib.moving import Moving, Path
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import regression, strong, worlds


@dataclass(frozen=True)
class Linear(Moving, LinearWorld):
    """y = x.w + noise z, with x ~ N(0, diag(j^-beta)), j = 1..d.  x (R, n, d), y (R, n).

    The data generator adds the noise to the answers of every teacher.  For each seed w_j ~ N(0,
    g_j) with g_j proportional to j^-source, scaled so that the expected signal E (x.w)^2 is
    ``signal``; ``truth_is=fixed`` uses w_j = sqrt(g_j).  The loss is the excess risk; see
    LinearWorld.

    With ``drift`` the weights move: in every generation each w_j takes a normal step of this
    variance.  That adds drift sum_j j^-beta to the excess risk of a model that stands still, per
    generation.
    """

    d: int = param(10, "number of covariates", ge=1, le=100000)
    noise: float = param(1.0, "standard deviation of the label noise", ge=0)
    beta: float = param(
        0.0, "exponent of the spectrum: covariate j has variance j^-beta", ge=0, le=8
    )
    source: float = param(
        0.0, "exponent of the signal: w_j has variance proportional to j^-source", ge=0, le=16
    )
    signal: float = param(1.0, "expected signal variance E (x.w)^2", ge=0)
    fresh: bool = param(True, "new questions in every generation; false: always the same")
    truth_is: Literal["drawn", "fixed"] = param("drawn", "w random per seed, or w_j = sqrt(g_j)")
    sampler: Literal["explicit", "exact-law"] = param(
        "explicit", "draw rows, or their sums of products from the exact distribution"
    )
    drift: float = param(
        0.0, "variance of the step of each weight per generation", ge=0, later=True
    )

    moving = {"drift": 0.1}

    @property
    def moves(self):
        return self.drift > 0

    def sample_truth(self, rng, nature=None):
        spectrum, prior = (
            power_spectrum(self.d, exponent, rng.device) for exponent in (self.beta, self.source)
        )
        size = (prior * (self.signal / (spectrum * prior).sum())).sqrt()
        z = (
            rng.at("w").normal(self.d).double()
            if self.truth_is == "drawn"
            else torch.ones(*rng.chain_shape, self.d).double()
        )
        questions = None if self.fresh else rng.at("questions")
        own = {"noise": self.noise, "questions": questions, "verifier_rng": rng.at("aside")}
        moving = {"drift_rng": rng.at("drift"), "path": Path()}
        return self.with_truth(w=z.to(rng.device) * size, spectrum=spectrum, **own, **moving)

    def following(self, t):
        step = math.sqrt(self.drift) * self.truth.drift_rng.at(t).normal(self.d).double()
        return self.with_changed(w=self.truth.w + step)


# -- laws ------------------------------------------------------------------------------------------

LARGE = 80  # from these rows, dimension and width on, deterministic equivalents hold within 3 %
SMALL = 0.05  # largest d/n at which the leading order in d/n is accurate enough


@dataclass(frozen=True)
class _Flaw:
    """The first teacher for the laws: its excess risk, and how its rows differ from real rows."""

    c2: float = 0.0
    beta: float | None = None
    noise: float | None = None

    @property
    def plain(self) -> bool:
        return self.beta is None and self.noise is None


def _flaw(cell) -> _Flaw | None:
    """The flaw of the first teacher, or None if the laws do not cover it."""
    source, data = cell.first_teacher, cell.data
    if source is None or cell.nature:
        return _Flaw()
    if source.distribution == "linear-surrogate":
        return _Flaw(source.c2, source.beta, source.noise)
    if source.distribution == "ols-chain" and source.rows > data.d + 1:
        within = data.noise if source.noise is None else source.noise
        return _Flaw(regression.ols_replace(data.d, source.rows, source.links, within))
    return None


def _shrinkage(model) -> tuple[float, int | None] | None:
    """(lam, width of the projection) of a model, or None if the laws do not cover it."""
    match model.estimator:
        case "ols":
            return 0.0, None
        case "ridge":
            return model.lam, None
        case "random-projection":
            return model.lam, model.width
    return None


def _synthetic(protocol) -> float | None:
    """Share of rows that the teacher labels, or None for protocols without a law."""
    made = protocol.composition
    if made is None or made.earlier == "sample" or made.verified:
        return None
    return 1 - made.real


def _weights(cell, p2: float) -> tuple[float, float]:
    """Weights of a real and of a synthetic row, scaled to mean one over the mixture.

    The loss of ridge is a mean over weights, so only this scale gives it the penalty of the law.
    """
    given = (act.row_weights for act in cell.mitigations)
    a1, a2 = next((weights for weights in given if weights is not None), (1.0, 1.0))
    mean = (1 - p2) * a1 + p2 * a2
    return (a1 / mean, a2 / mean) if mean else (math.nan, math.nan)


def _one_fit(cell, n: int, p2: float, flaw: _Flaw) -> float:
    """Excess risk of one fit to n rows, a share p2 from the flawed source; NaN where no law is
    valid."""
    shrinkage = _shrinkage(cell.model)
    if shrinkage is None:
        return math.nan
    data, (lam, m), (a1, a2) = cell.data, shrinkage, _weights(cell, p2)
    d, squares = data.d, cell.model.estimator == "ols" and flaw.plain
    if math.isnan(a1):
        return math.nan
    if squares and p2 in (0, 1):
        return flaw.c2 * p2 + regression.ols_replace(d, n, 1, data.noise) if n > d + 1 else math.nan
    if squares and a1 == a2 and d < SMALL * n:
        return _rounds(d, n, p2, 1, flaw.c2, data.noise)
    # Rows without weight do not count: the risk peaks where the others are as many as d or m.
    rows = n * ((1 - p2) * (a1 > 0) + p2 * (a2 > 0))
    peaked = lam < 0.01 and any(abs(rows - size) < 0.3 * rows for size in (d, m or 0))
    if min(d, rows, m or d) < LARGE or peaked:
        return math.nan
    s2 = data.noise if flaw.noise is None else flaw.noise
    beta2 = data.beta if flaw.beta is None else flaw.beta
    world = (data.beta, beta2, data.source, data.signal, flaw.c2, data.noise, s2)
    return strong.mixture(d, n, lam, p2, *world, a1, a2, m)


def _rounds(d: int, n: int, p2: float, t: int, c2: float, noise: float) -> float:
    """Excess risk after t rounds of least squares, starting from c2.

    The leading order omits p1 p2/n from the factor of each round.  NaN where that changes the
    remainder of c2 noticeably.
    """
    risk, p1 = strong.iter_mix(d, n, p2, t, c2, noise), 1 - p2
    left_out = c2 * t * p1 * p2 / n * (p2**2 + p1 * p2 * d / (n - d)) ** (t - 1)
    return risk if left_out <= SMALL * risk else math.nan


def _settled(d: int, n: int, pi: float, k: int, c2: float, noise: float) -> float:
    """Excess risk of k rounds of least squares with fixed real rows, once the start is forgotten.

    NaN before.  A flaw of the first labeller shrinks by about p2 per round.  The factor varies
    between chains and, since the real rows are fixed, stays the same within a chain.  The mean of
    its powers is therefore larger than the power of its mean.
    """
    if pi * n <= d + 1:
        return math.nan
    risk, p2 = regression.ols_mix_fixedreal(d, n, pi, noise), 1 - pi
    spread = (d + 1) * pi / (p2 * n) if p2 else 0.0  # relative variance of the factor
    left = c2 * (p2 * math.exp(min(k * spread, 2 * spread**0.5))) ** (2 * k)
    return risk if p2 ** (k - 1) < 0.005 and left < 0.005 * risk else math.nan


def _chain(cell, t: int, flaw: _Flaw) -> float:
    """Excess risk of generation t >= 1, each trained on labels of the previous one."""
    data, made, k = cell.data, cell.protocol.composition, t + 1
    d, n, ols = data.d, cell.n, cell.model.estimator == "ols"
    if ols and flaw.plain and made == REPLACE:
        sizes = [cell.size(i) for i in range(k)]
        enough = min(sizes) > d + 1
        return (
            flaw.c2 + sum(regression.ols_replace(d, T, 1, data.noise) for T in sizes)
            if enough
            else math.nan
        )
    if cell.growth:
        return math.nan
    if ols and flaw.plain and made == ACCUMULATE and n > d + 1:
        return flaw.c2 + regression.ols_accumulate(d, n, k, data.noise, same_x=not data.fresh)
    if ols and flaw.plain and made.real and data.fresh and d < SMALL * n:
        pi = round(made.real * n) / n
        if made.fresh:
            first: tuple[int, float] = (
                (t, regression.ols_replace(d, n, 1, data.noise))
                if cell.first_teacher is None
                else (k, flaw.c2)
            )
            return _rounds(d, n, 1 - pi, *first, data.noise)
        return _settled(d, n, pi, k, flaw.c2, data.noise)
    plain = (
        cell.model.estimator == "ridge"
        and made == REPLACE
        and cell.first_teacher is None
        and data.fresh
    )
    if plain and not math.isnan(_one_fit(cell, n, 0.0, flaw)):
        return regression.ridge_iterated(
            d, n, cell.model.lam, k, data.beta, data.source, data.signal, data.noise
        )
    return math.nan


def _drifting(cell):
    """The law of weights that drift.

    Without real rows after generation 0 nothing follows the truth, so that its steps add up: every
    law of a world that stands still gains the excess risk of a step per generation.
    """
    data, made = cell.data, cell.protocol.composition
    if not pure(cell) or made is None or made.verified:
        return None
    new = cell.nature or (made.real > 0 and made.fresh)
    oracle = cell.nature and made.earlier == "none" and made.fresh  # one fit to the world it is in
    if new and not (frozen(cell) or oracle):
        return _new_rows(cell)
    first = {"mitigations": (), "generations": 0} if frozen(cell) else {}
    still = collapse_theory(replace(cell, data=replace(data, drift=0.0), **first))
    if still is None or cell.nature:
        return still
    step = data.drift * float(power_spectrum(data.d, data.beta).sum())
    steps = range(cell.generations + 1)
    return [(still[0] if frozen(cell) else still[t]) + step * t for t in steps]


def _new_rows(cell):
    """Least squares with new real rows in every generation, to leading order in d/n."""
    data, made = cell.data, cell.protocol.composition
    small = data.d < SMALL * cell.n and data.fresh
    if cell.model.estimator != "ols" or cell.growth or not small or made.earlier == "sample":
        return None
    if cell.nature and not made.fresh:
        return None
    law = worlds.ols_accumulate if made.earlier == "all" else worlds.ols_mix
    real = 1.0 if cell.nature else made.real
    return [
        law(data.d, cell.n, real, t, data.drift, data.beta, data.noise)
        for t in range(cell.generations + 1)
    ]


@hookimpl
def collapse_theory(cell):
    """Expected excess risk of each generation.

    Least squares: exact under replace and accumulate, to leading order in d/n under mix (with fixed
    real rows once the start is forgotten).  Ridge and random projections by their deterministic
    equivalent:  after one fit, also to labels of a flawed source; ridge under replace in every
    generation.  Where the weights drift: least squares.
    """
    if isinstance(cell.data, Linear) and cell.data.moves:
        return _drifting(cell)
    if (
        not isinstance(cell.data, Linear)
        or cell.protocol.decode is not None
        or _shrinkage(cell.model) is None
    ):
        return None
    made = cell.protocol.composition
    growing = made is not None and made.earlier == "all"
    if growing and made.real and not cell.nature:
        return _new_rows(cell) if pure(cell) else None
    flaw, share = _flaw(cell), 1.0 if growing else _synthetic(cell.protocol)
    acts = [act.row_weights for act in cell.mitigations if not act.control]
    if (
        flaw is None
        or share is None
        or (acts and (len(acts) > 1 or acts[0] is None or cell.first_teacher is None))
    ):
        return None
    if not cell.data.fresh and (growing if cell.nature else 0 < share < 1):
        return None  # the same questions recur within one corpus
    read, risks = natural(cell), []
    for t in range(cell.generations + 1):
        if cell.nature:
            risks.append(_one_fit(cell, read[t], 0.0, flaw) if t < len(read) else math.nan)
        elif t == 0:
            p2 = (
                (cell.size(0) - round((1 - share) * cell.size(0))) / cell.size(0)
                if cell.first_teacher
                else 0.0
            )
            risks.append(_one_fit(cell, cell.size(0), p2, flaw))
        else:
            risks.append(math.nan if acts else _chain(cell, t, flaw))
    return risks if any(map(math.isfinite, risks)) else None


@hookimpl
def collapse_claims():
    def claim(law, given, spec, k, chains):
        return Claim(law, given, spec, "excess_risk", k - 1, chains)

    def fits(
        law,
        d,
        T,
        k,
        chains,
        protocol="replace",
        data="",
        model="ols",
        horizon=None,
        first="",
        **more,
    ):
        given = {"d": d, "T": T, "k": k, **more}
        horizon = (k if horizon is None else horizon) - 1
        spec = f"linear(d={d}{data}) | {model} | {protocol} @ n={T} T={horizon}{first}"
        return claim(f"regression.{law}", given, spec, horizon + 1 if first else k, chains)

    def stationary(law, d, T, pi, protocol, t=25, data=""):
        spec = f"linear(d={d}{data}) | ols | {protocol} @ n={T} T={t}"
        return claim(f"regression.{law}", {"d": d, "T": T, "pi": pi}, spec, t + 1, 4000)

    def ridges(d, n, lam, k, beta, src, sampler="exact-law", s=0.5, model=None):
        given = {"d": d, "n": n, "lam": lam, "k": k, "beta": beta, "src": src, "s": s}
        world = f"linear(d={d}, noise={s}, beta={beta}, source={src}, sampler={sampler})"
        return claim(
            "regression.ridge_iterated",
            given,
            f"{world} | {model or f'ridge(lam={lam})'} @ n={n} T={k - 1}",
            k,
            400,
        )

    def mixed(law, d, n, p2, lam=None, chains=400, sampler="exact-law", **more):
        """One fit to a mixture, with the law's parameters translated to those of the plugins."""
        given = {"d": d, "n": n, **({} if lam is None else {"lam": lam}), "p2": p2, **more}
        get = given.get
        world = (
            f"linear(d={d}, beta={get('beta1', 0)}, source={get('src', 0)}, noise={get('s1', 1)}, "
            f"sampler={sampler})"
        )
        own = {"c2": get("c2", 1), "beta": get("beta2"), "noise": get("s2", 1)}
        first = ", ".join(f"{name}={value}" for name, value in own.items() if value is not None)
        model = (
            "ols"
            if lam is None
            else f"ridge(lam={lam})"
            if get("m") is None
            else f"random-projection(lam={lam}, width={get('m')})"
        )
        weights = (
            f" | mix-weights(real={get('a1')}, synthetic={get('a2')})" if "a1" in given else ""
        )
        protocol = f"mix(real={round(1 - p2, 9)})"
        spec = (
            f"{world} | {model} | {protocol}{weights} @ n={n} T=0 first=linear-surrogate({first})"
        )
        return claim(f"strong.{law}", given, spec, 1, chains)

    def rounds(d, n, p2, t, protocol, c2, data=""):
        spec = (
            f"linear(d={d}{data}) | ols | {protocol} @ n={n} T={t - 1} "
            f"first=linear-surrogate(c2={c2})"
        )
        return claim("strong.iter_mix", {"d": d, "n": n, "p2": p2, "t": t, "c2": c2}, spec, t, 1000)

    def moving(law, how, d, n, t, q, beta=0.0, s=1.0, chains=4000, **more):
        spec = (
            f"linear(d={d}, beta={beta}, noise={s}, drift={q}, sampler=exact-law) | ols | {how} @ "
            f"n={n} T={t}"
        )
        given = {"d": d, "n": n, "t": t, "q": q, "beta": beta, "s": s, **more}
        return claim(f"worlds.{law}", given, spec, t + 1, chains)

    law = ", sampler=exact-law"
    chained = {"d": 100, "T0": 300, "g": 5, "T": 200, "lam": 0.05}
    return [
        moving("ols_mix", "replace", 4, 30, 6, 0.02, 1.0, 0.7, pi=0.0),
        moving("ols_mix", "mix(real=0.1)", 4, 200, 30, 0.003, 1.0, pi=0.1),
        moving("ols_mix", "mix(real=0.4)", 5, 200, 10, 0.01, pi=0.4),
        moving("ols_accumulate", "accumulate", 4, 30, 8, 0.01, real=0.0),
        moving("ols_accumulate", "accumulate(real=0.2)", 4, 100, 20, 0.0, real=0.2),
        moving("ols_accumulate", "accumulate(real=0.5)", 4, 100, 12, 0.004, 1.0, real=0.5),
        moving("ols_accumulate", "accumulate | nature", 4, 100, 12, 0.004, 1.0, real=1.0),
        moving("ols_frozen", "accumulate | frozen", 4, 30, 6, 0.02, 1.0, 0.7),
        fits("ols_replace", 4, 30, 1, 20000, horizon=6),
        fits("ols_replace", 4, 30, 6, 20000),
        fits("ols_replace", 3, 16, 5, 20000, data=", noise=2, beta=1.5" + law, s=2.0),
        fits("ols_replace", 4, 30, 4, 20000, horizon=1, first=" first=ols-chain(rows=30, links=3)"),
        fits("ols_accumulate", 4, 30, 12, 8000, "accumulate"),
        fits("ols_accumulate", 6, 20, 3, 8000, "accumulate", data=", noise=0.7" + law, s=0.7),
        fits("ols_accumulate", 4, 30, 12, 8000, "accumulate", data=", fresh=false", same_x=True),
        stationary("ols_mix_fresh", 2, 100, 0.1, "mix(real=0.1)", 40, law),
        stationary("ols_mix_fresh", 5, 200, 0.4, "mix(real=0.4)", data=law),
        stationary("ols_mix_fixedreal", 3, 300, 0.5, "mix(real=0.5, fresh=false)", data=law),
        stationary("ols_mix_fixedreal", 3, 300, 0.5, "iterative-mix(real=0.5)"),
        ridges(80, 160, 0.1, 1, 0.0, 0.0),
        ridges(80, 160, 0.1, 5, 0.0, 0.0),
        ridges(100, 250, 0.02, 5, 1.0, 0.5),
        ridges(120, 80, 0.05, 2, 1.0, 0.0, "explicit"),
        ridges(120, 80, 0.05, 5, 1.0, 0.0, "explicit"),
        ridges(90, 60, 0.0, 3, 0.0, 0.0, "explicit", 0.0, "ols"),
        claim(
            "regression.ols_chain_then_ridge",
            chained,
            "linear(d=100, beta=1, noise=0.5, sampler=exact-law) | ridge(lam=0.05) @ n=200 T=0 "
            "first=ols-chain(rows=300, links=5)",
            1,
            400,
        ),
        mixed("iso_ridgeless", 100, 1000, 0.2),
        mixed("iso_ridgeless", 80, 400, 0.5, c2=3.0, s2=0.3),
        mixed(
            "mixture_equal",
            100,
            300,
            0.3,
            0.05,
            sampler="explicit",
            beta1=1.0,
            c2=0.5,
            s1=0.5,
            s2=0.5,
        ),
        mixed("mixture_equal", 150, 100, 0.3, 0.02, sampler="explicit", c2=2.0, s1=0.5, s2=0.2),
        mixed(
            "mixture", 100, 300, 0.4, 0.05, beta1=1.0, beta2=0.3, src=0.5, c2=0.5, s1=0.5, s2=0.2
        ),
        mixed(
            "mixture", 120, 90, 0.5, 0.02, sampler="explicit", beta1=0.3, beta2=1.0, s1=0.3, s2=0.6
        ),
        mixed("mixture", 100, 200, 0.25, 0.05, sampler="explicit", a1=1.2, a2=0.4, c2=2.0),
        mixed(
            "mixture",
            100,
            200,
            0.5,
            0.05,
            sampler="explicit",
            a1=0.4,
            a2=1.6,
            beta1=0.5,
            beta2=1.0,
            s2=0.3,
        ),
        *(
            mixed(
                "mixture", 200, 100, 0.3, 0.001, sampler="explicit", chains=200, m=m, s1=0.5, s2=0.5
            )
            for m in (65, 140, 400)
        ),
        mixed("mixture", 100, 250, 0.3, 0.01, sampler="explicit", m=140, beta1=0.5, s1=0.5, s2=0.2),
        mixed("mixture", 100, 250, 1.0, 0.05, c2=2.0),
        *(rounds(20, 800, 0.5, t, "mix(real=0.5)", 2.0, law) for t in (1, 2, 4)),
        rounds(10, 400, 0.7, 3, "iterative-mix(real=0.3, fresh=true)", 1.0),
    ]


@hookimpl
def collapse_generators():
    return {"linear": Linear}
