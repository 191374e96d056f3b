"""Follow a truth that moves: move the last teacher towards a fit of the new real rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import Incompatible, Lacks
from collapse_bench.laws.claims import Claim, drift_of, without_drift
from collapse_bench.lib.rows.wrapping import no_average
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Tracking(Mitigation):
    """The Kalman filter of a random walk (Kalman, J. Basic Eng. 1960), in the model's parameters.

    theta_t = (1 - g) theta_{t-1} + g fit(new real rows).  Synthetic rows are not read: they say
    nothing that the last teacher does not know.  The gain follows from the age of what is known.
    In units of the variance of a row, the last teacher has the error P = 1/n at first; a step of
    the truth adds ``drift`` to it, and m new rows have the error 1/m, so that g = (P + drift)/(P +
    drift + 1/m), and P becomes (1 - g) (P + drift).  With drift=0 all real rows count alike,
    however old they are.

    Stage: curate and adapt; track: provenance.  That tells the protocol's real rows; where it asks
    for ``k`` of its own, the track is real instead.  For a mean of known variance in a
    world of this drift no method that reads the same real rows has a smaller error:
    ``worlds.kalman_e``.
    """

    drift: float = param(0.01, "variance of a step of the truth over that of a row", ge=0, le=1e6)
    k: int = param(0, "real rows of its own per generation; 0: those of the protocol", ge=0)

    tunings = ({"drift": 0.0}, {"drift": 0.001}, {"drift": 0.1})

    def incompatibility(self, cell):
        made = cell.protocol.composition
        handed = made is not None and made.earlier == "none" and made.fresh and made.real > 0
        if not self.k and not handed:
            return Lacks(
                "tracking needs new real rows in every generation, apart from older ones: choose "
                "mix with real > 0 and fresh=true, or set k"
            )
        if not self.k and cell.data.sampler == "exact-law" and cell.data.kind != "discrete":
            return Lacks(
                "tracking picks the real rows, and sampler=exact-law draws only sums of all rows; "
                "choose sampler=explicit, or set k"
            )
        return super().incompatibility(cell) or no_average(self.title(), cell.model)

    def curate(self, corpus, access):
        if self.k:
            rows, m = access.real(self.k), self.k
        else:
            real = access.provenance(corpus) == 0
            m = _common(corpus.multiplicity * real)
            rows = corpus.weighted(corpus.weight * real) if m else corpus
        access.memory = self._updated(access.memory, m, access.n, access.t == 0)
        return rows

    def _updated(self, kept, m, n, beginning):
        """{error: P after m new real rows, gain: g}."""
        if not m:
            before = kept["error"] if kept else 1 / n
            return {"error": before + self.drift, "gain": 1.0 if beginning else 0.0}
        if beginning:  # a flawed source wrote the other rows, so only the real ones count
            return {"error": 1 / m, "gain": 1.0}
        ahead = (kept["error"] if kept else 1 / n) + self.drift
        gain = ahead / (ahead + 1 / m)
        return {"error": (1 - gain) * ahead, "gain": gain}

    def adapt(self, model, access):
        return model.with_training(Towards(access.memory["gain"]))


def _common(mass):
    """The number of real rows (R, n) in each chain.  Raises Incompatible where chains differ."""
    m = mass.sum(-1)
    if (m != m.reshape(-1)[0]).any():
        raise Incompatible(
            "tracking needs equally many real rows in all chains; put the method that removes rows "
            "after it"
        )
    return round(float(m.reshape(-1)[0]))


@dataclass(frozen=True, eq=False)
class Towards:
    """The training that moves the last teacher towards a fit, by a gain in [0, 1]."""

    gain: float

    def __call__(self, model, corpus, rng, before):
        if before is None or self.gain == 1:
            return model.fit(corpus, rng, before)
        return model.fit(corpus, rng, before).blend(before, 1 - self.gain) if self.gain else before


# -- laws ------------------------------------------------------------------------------------------


@hookimpl
def collapse_theory(cell):
    """Squared error of a mean of known variance, also where the filter assumes another drift.

    e' = (1 - g)^2 (e + q) + g^2 s^2/m, with the true drift q and the gain of the assumed one.
    """
    data, model = cell.data, cell.model
    if [type(act) for act in cell.mitigations] != [Tracking] or cell.first_teacher is not None:
        return None
    act, still = cell.mitigations[0], without_drift(data)
    if (still.distribution, model.estimator) != ("gaussian", "gaussian-fit"):
        return None
    if model.sigma != data.sigma or (data.d > 1 and data.beta) or cell.growth:
        return None
    if cell.protocol.decode is not None or act.incompatibility(cell) is not None:
        return None
    m = act.k or round(cell.protocol.composition.real * cell.n)
    kept, e, curve = None, 1 / cell.n, [1 / cell.n]
    for _ in range(cell.generations):
        kept = act._updated(kept, m, cell.n, False)
        g = kept["gain"]
        e = (1 - g) ** 2 * (e + drift_of(data) / data.sigma**2) + (g**2 / m if m else 0.0)
        curve.append(e)
    return [data.d * data.sigma**2 * value for value in curve]


@hookimpl
def collapse_claims():
    def best(q, how, act, n, m, t, s=1.0, sampler="explicit"):
        spec = (
            f"gaussian(sigma={s}, drift={q}, sampler={sampler}) | gaussian-fit(sigma={s}) | {how} "
            f"| {act} @ n={n} T={t}"
        )
        given = {"M": n, "m": m, "t": t, "q": q, "sigma": s}
        return Claim("worlds.kalman_e", given, spec, "w2", t, 4000)

    first = best(0.01, "mix(real=0.1)", "tracking(drift=0.01)", 100, 10, 60)
    return [
        first,
        replace(first, law="worlds.kalman_limit", given={"m": 10, "q": 0.01, "sigma": 1.0}),
        best(0.4, "mix(real=0.3)", "tracking(drift=0.1)", 20, 6, 3, 2.0),
        best(0.02, "replace", "tracking(drift=0.02, k=5)", 20, 5, 10, sampler="exact-law"),
        best(0.0, "mix(real=0.2)", "tracking(drift=0)", 20, 4, 20),
        # all real rows of a growing web, for who knows which they are
        best(0.0, "accumulate(real=0.2)", "mix-weights(synthetic=0)", 20, 4, 20),
    ]


@hookimpl
def collapse_mitigations():
    return {"tracking": Tracking}
