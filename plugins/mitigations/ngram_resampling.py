"""Resample rows whose n-grams resemble those of real rows."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rows.resampling import raced
from collapse_bench.lib.text.grams import buckets, look_up, tally
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class NgramResampling(Mitigation):
    """Importance resampling by hashed n-grams (DSIR, Xie et al., arXiv 2302.03169).

    A share ``keep`` of the training set is drawn without replacement, weighted by the ratio of
    unigram and bigram frequencies in k real rows to those in the training set.

    Stage: curate; track: real, k rows once.  Real frequencies are shrunk towards those of the
    training set, as if ``prior`` of its n-grams were among the real ones.  For single symbols and
    small ``keep``, rows are drawn by the distribution of the real rows.  For synthetic text the
    known gain is very small.
    """

    k: int = param(100, "real rows of the reference", ge=1)
    keep: float = param(0.5, "share of the rows that is kept", gt=0, le=1)
    many: int = param(10_000, "buckets into which n-grams are hashed", ge=2, le=10_000_000)
    prior: float = param(
        1.0, "n-grams of the training set that are added to the real ones", gt=0, le=1e12
    )

    kinds = ("discrete", "sequence")
    tiny = {"k": 20, "many": 200}

    def curate(self, corpus, access):
        mine, real = (
            (buckets(some, self.many), some.multiplicity)
            for some in (corpus, access.real(self.k, fixed=True))
        )
        training_set, target = (
            sum(tally(*gram, mass, self.many) for gram in grams) for grams, mass in (mine, real)
        )
        training_set = training_set / training_set.sum(-1, keepdim=True).clamp_min(1e-300)
        shrunk = (target + self.prior * training_set) / (target.sum(-1, keepdim=True) + self.prior)
        ratio = (shrunk.clamp_min(1e-300) / training_set.clamp_min(1e-300)).log()
        score = sum(look_up(ratio, *gram) for gram in mine[0])
        return corpus.reweighted(raced(corpus, score, self.keep, access.rng))


@hookimpl
def collapse_mitigations():
    return {"ngram-resampling": NgramResampling}
