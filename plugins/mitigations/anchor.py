"""Hold every model to generation 0 by a penalty on how far it goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rows.wrapping import Interpolate, no_average
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Anchor(Mitigation):
    """Loss + beta times the distance from generation 0, at every refit (folklore of fine-tuning, from no one paper).

    Moment: adapt (l2) or curate (kl); track: blind.  It needs generation 0 kept.  ``l2`` is the pull to the starting
    point of Li, Grandvalet and Davoine (arXiv 1802.01483); ``kl`` the anchor of reinforcement learning from preferences
    (Ziegler et al., arXiv 1909.08593), where it is KL(p || p_0).

    ``l2``: (theta_t + beta theta_0) / (1 + beta), the exact minimiser of |theta - theta_t|^2 + beta |theta -
    theta_0|^2, and so of loss + penalty where the loss is quadratic in theta with the metric of the penalty, as of a
    mean of known variance.  ``kl``: loss + beta KL(p_0 || p) by Monte Carlo: beta times as many rows as the lesson has
    are written by generation 0 and read beside it.  For exponential families in their mean parameters (tables of
    probabilities, the mean of a Gaussian) both are one in expectation (derived here).  Where a flawed source teaches
    generation 0 there is nothing to hold that one to.
    """

    beta: float = param(0.5, "weight of the distance beside a mean loss", ge=0)
    kind: Literal["l2", "kl"] = param("l2", "squared distance of parameters, or KL(p_0 || p)")

    def incompatibility(self, cell):
        return super().incompatibility(cell) or (
            no_average(self.title(), cell.model) if self.kind == "l2" else None
        )

    def curate(self, corpus, access):
        if self.kind == "l2" or not self.beta or access.first is None:
            return corpus
        if corpus.unit:  # rows that count once each: as many more as it takes, which corpora known by sums can bear
            rows = round(self.beta * float(corpus.mass.flatten()[0]))
            return corpus + access.synthetic(rows, of=access.first) if rows else corpus
        rows = max(1, round(self.beta * access.n))
        told = access.synthetic(rows, of=access.first)
        return corpus + told.weighted(told.weight * (self.beta * corpus.mass / rows)[..., None])

    def adapt(self, model, access):
        if self.kind == "kl" or access.first is None:
            return model
        return model.with_after(Interpolate(access.first, self.beta / (1 + self.beta)))


@hookimpl
def collapse_mitigations():
    return {"anchor": Anchor}
