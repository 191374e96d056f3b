"""Read the rows whose n-grams look most like those of real ones."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rows.resampling import raced
from collapse_bench.lib.text.grams import buckets, look_up, tally
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class NgramResampling(Mitigation):
    """Importance resampling by hashed n-grams (DSIR, Xie et al., arXiv 2302.03169): a share ``keep`` of the lesson is
    drawn without replacement, by the ratio of its tokens' and pairs' frequencies among k real rows and in the lesson.

    Moment: curate; track: real, k rows once and for all.  Frequencies of real grams are shrunk towards those of the lesson as if
    ``prior`` grams of it stood among them.  Of single symbols, few of many are drawn by the law of the real rows.  Of
    synthetic text it is known to gain next to nothing.
    """

    k: int = param(100, "real rows that are looked at", ge=1)
    keep: float = param(0.5, "share of the rows that is kept", gt=0, le=1)
    many: int = param(10_000, "buckets into which n-grams are hashed", ge=2, le=10_000_000)
    prior: float = param(1.0, "grams of the lesson that stand among the real ones", gt=0, le=1e12)

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
