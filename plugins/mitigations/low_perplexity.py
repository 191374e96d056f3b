"""Read only the rows that are most likely under the previous teacher."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rows.selection import keep_best, likelihood, oversampled
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class LowPerplexity(Mitigation):
    """Keep the share of the rows that is most likely under the previous teacher.

    With ``oversample`` > 1 it chooses from a larger pool (self-selection of Feng et al., arXiv
    2406.07515).

    Stage: curate; track: blind.  The likelihood is that of the answer: per token for sequences, by
    the residual for a number that answers a question, by the margin for a classifier without
    probabilities.  It cuts the tails of a normal distribution: in one dimension |z| < c with P(|z|
    < c) = keep remains, of variance 1 - 2 c phi(c)/keep; in d dimensions the variance is
    P(chi2_{d+2} < c^2)/keep, c^2 the quantile of chi2_d.
    """

    keep: float = param(0.5, "share of the pool that is kept", gt=0, le=1)
    oversample: float = param(
        1.0,
        "rows to choose from per row of a generation; the additional ones are generated",
        ge=1,
        le=1000,
    )

    def curate(self, corpus, access):
        pool = oversampled(corpus, access, self.oversample)
        return keep_best(pool, likelihood(access.teacher, pool), self.keep)


@hookimpl
def collapse_mitigations():
    return {"low-perplexity": LowPerplexity}
