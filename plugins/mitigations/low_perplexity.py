"""Read only what the previous teacher finds most plausible."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rows.selection import keep_best, likelihood, oversampled
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class LowPerplexity(Mitigation):
    """Keep the share of the rows that is likeliest under the previous teacher, of a larger pool where ``oversample`` > 1
    (self-selection of Feng et al., arXiv 2406.07515).

    Moment: curate; track: blind.  Likelihood is that of the answer: per token of a sequence, by the residual of a number
    that answers a question, by the margin of a label where a classifier states no probabilities.  It takes from a
    normal law what the teacher finds rare: on the line, |z| < c with P(|z| < c) = keep is left, of variance 1 - 2 c
    phi(c)/keep; in d dimensions of P(chi2_{d+2} < c^2)/keep, c^2 the quantile of chi2_d.
    """

    keep: float = param(0.5, "share of the pool that is kept", gt=0, le=1)
    oversample: float = param(
        1.0,
        "rows to choose from per row of a generation; those beyond it are written anew",
        ge=1,
        le=1000,
    )

    def curate(self, corpus, access):
        pool = oversampled(corpus, access, self.oversample)
        return keep_best(pool, likelihood(access.teacher, pool), self.keep)


@hookimpl
def collapse_mitigations():
    return {"low-perplexity": LowPerplexity}
