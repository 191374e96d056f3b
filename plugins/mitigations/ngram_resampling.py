"""Resample rows whose n-grams resemble those of real rows."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rows.resampling import raced
from collapse_bench.lib.rows.selection import refilled, usual_share
from collapse_bench.lib.text.grams import buckets, look_up, tally
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class NgramResampling(Mitigation):
    """Importance resampling by hashed n-grams (DSIR, Xie et al., arXiv 2302.03169).

    Bag-of-n-grams models, of 10 000 hashed unigrams and bigrams, are fitted to target and raw rows;
    a share of the raw rows is drawn without replacement, with weights in proportion to the ratio of
    the two probabilities.

    Stage: size and curate; track: real.  The target is ``real`` n real rows, the same in every
    generation.  The paper's targets have many n-grams per bucket.  The number of buckets is
    therefore at most the number of real rows times ``features``, and ``many`` only limits it:
    with too few rows per bucket the ratio is noise.  Real frequencies are shrunk towards those of
    the training set, as if ``prior`` of its n-grams were among the real ones, so that unseen ones
    have no weight of 0.

    With ``refill`` the protocol composes n/keep rows in its usual mixture, so that n are kept; new
    real rows among the additional ones are charged to the method.  For single symbols and small
    ``keep``, rows are drawn by the distribution of the real rows.  For synthetic text the known
    gain is very small.
    """

    real: float = param(1.0, "real rows of the reference, as a share of n", gt=0, le=1)
    features: float = param(10.0, "buckets per real row, into which n-grams are hashed", gt=0)
    many: int = param(10_000, "largest number of buckets", ge=2, le=10_000_000)
    keep: float = param(0.5, "share of the rows that is kept", gt=0, le=1)
    refill: bool = param(True, "compose n/keep rows, so that n are kept; false: keep n times keep")
    prior: float = param(
        1.0, "n-grams of the training set that are added to the real ones", gt=0, le=1e12
    )

    kinds = ("discrete", "sequence")
    tiny = {"many": 200}
    version = 2
    tunings = ({"keep": 0.8}, {"prior": 1000.0}, {"real": 0.1})

    def size(self, n, t):
        return refilled(n, self.keep) if self.refill else n

    def curate(self, corpus, access):
        share = usual_share(corpus, access, self.keep) if self.refill else self.keep
        n = round(access.n * self.keep) if self.refill else access.n
        k = max(1, round(self.real * n))
        many = max(2, min(self.many, round(self.features * k)))
        mine, real = (
            (buckets(some, many), some.multiplicity)
            for some in (corpus, access.real(k, fixed=True))
        )
        training_set, target = (
            sum(tally(*gram, mass, many) for gram in grams) for grams, mass in (mine, real)
        )
        training_set = training_set / training_set.sum(-1, keepdim=True).clamp_min(1e-300)
        shrunk = (target + self.prior * training_set) / (target.sum(-1, keepdim=True) + self.prior)
        ratio = (shrunk.clamp_min(1e-300) / training_set.clamp_min(1e-300)).log()
        score = sum(look_up(ratio, *gram) for gram in mine[0])
        return corpus.reweighted(raced(corpus, score, share, access.rng))


@hookimpl
def collapse_mitigations():
    return {"ngram-resampling": NgramResampling}
