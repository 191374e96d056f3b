"""Hold every model near generation 0 by a penalty on its distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rows.wrapping import Interpolate, no_average
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Anchor(Mitigation):
    """Loss + beta times the distance from generation 0, at every refit (folklore, no single paper).

    Stage: adapt (l2) or curate (kl); track: first.  Generation 0 has to be kept.  ``l2`` is the
    pull to the starting point of Li, Grandvalet and Davoine (arXiv 1802.01483).  ``kl`` is the
    anchor of reinforcement learning from preferences (Ziegler et al., arXiv 1909.08593), where it
    is KL(p || p_0).

    ``l2``: (theta_t + beta theta_0) / (1 + beta), the exact minimiser of |theta - theta_t|^2 + beta
    |theta - theta_0|^2, and so of loss + penalty where the loss is quadratic in theta with the
    metric of the penalty, as for a mean of known variance.  ``kl``: loss + beta KL(p_0 || p) by
    Monte Carlo:  generation 0 writes beta times as many rows as the training set has, and they are
    read together.  For exponential families in their mean parameters (tables of probabilities, the
    mean of a Gaussian) both are the same in expectation: rows of generation 0 act as a conjugate
    prior (Diaconis and Ylvisaker, Ann. Statist. 1979).  Generation 0 itself is left as it is, also
    where a flawed source teaches it.
    """

    beta: float = param(0.5, "weight of the distance relative to a mean loss", ge=0)
    kind: Literal["l2", "kl"] = param("l2", "squared distance of parameters, or KL(p_0 || p)")

    def incompatibility(self, cell):
        return super().incompatibility(cell) or (
            no_average(self.title(), cell.model) if self.kind == "l2" else None
        )

    def curate(self, corpus, access):
        if self.kind == "l2" or not self.beta or access.first is None:
            return corpus
        # every row counts once: more rows, and no weights, which a corpus known by its sums has not
        if corpus.unit:
            rows = round(self.beta * float(corpus.mass.flatten()[0]))
            return corpus + access.synthetic(rows, of=access.first) if rows else corpus
        rows = max(1, round(self.beta * access.n))
        old = access.synthetic(rows, of=access.first)
        return corpus + old.weighted(old.weight * (self.beta * corpus.mass / rows)[..., None])

    def adapt(self, model, access):
        if self.kind == "kl" or access.first is None:
            return model
        return model.with_after(Interpolate(access.first, self.beta / (1 + self.beta)))


@hookimpl
def collapse_mitigations():
    return {"anchor": Anchor}
