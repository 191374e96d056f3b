"""Hold every model near generation 0 by rows that generation 0 writes."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Anchor(Mitigation):
    """Loss + beta KL(p_0 || p) at every refit; p_0 is generation 0 (folklore, no single paper).

    In reinforcement learning from preferences (Ziegler et al., arXiv 1909.08593) the penalty is
    beta KL(p || p_0), estimated on rows of the model itself.  Here it is the other direction, which
    needs no gradient: -E log p over rows of p_0 is KL(p_0 || p) up to a constant, so generation 0
    writes beta times as many rows as the training set has, and they are read together.

    Stage: curate; track: first.  Generation 0 has to be kept.  For exponential families in their
    mean parameters (tables of probabilities, the mean of a Gaussian) rows of generation 0 act as a
    conjugate prior (Diaconis and Ylvisaker, Ann. Statist. 1979), and the result is in expectation
    that of ``weight-averaging`` with a = beta / (1 + beta), which also minimises |theta -
    theta_t|^2 + beta |theta - theta_0|^2 (the penalty of Li, Grandvalet and Davoine, arXiv
    1802.01483, under a quadratic loss).  Unlike an average it costs the noise of its rows, fits
    every model, and moves a covariance by the distance of the means too.  Generation 0 itself is
    left as it is, also where a flawed source teaches it.
    """

    version = 2
    tunings = ({"beta": 0.1}, {"beta": 1.0}, {"beta": 3.0})

    beta: float = param(0.5, "rows of generation 0 as a multiple of the training set", ge=0)

    def curate(self, corpus, access):
        if not self.beta or access.first is None:
            return corpus
        # every row counts once: more rows, and no weights, which a corpus known by its sums has not
        if corpus.unit:
            rows = round(self.beta * float(corpus.mass.flatten()[0]))
            return corpus + access.synthetic(rows, of=access.first) if rows else corpus
        rows = max(1, round(self.beta * access.n))
        old = access.synthetic(rows, of=access.first)
        return corpus + old.weighted(old.weight * (self.beta * corpus.mass / rows)[..., None])


@hookimpl
def collapse_mitigations():
    return {"anchor": Anchor}
