"""Read only the rows that are most likely under the previous teacher."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rows.selection import keep_best, likelihood, refilled, usual_share
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class LowPerplexity(Mitigation):
    """Keep the share of the rows that is most likely under the previous teacher.

    Perplexity filters of web text (CCNet, Wenzek et al., arXiv 1911.00359) keep the documents that
    a reference model finds likely.  Here the reference is the teacher itself, for want of a better
    one.  The method drops whole rows, questions included; the choice among several answers to one
    question is `self-selection`.

    Stage: size and curate; track: blind.  With ``refill`` the protocol composes n/keep rows in its
    usual mixture, so that n are kept; new real rows among the additional ones are charged to the
    method.  The likelihood is that of the answer: per token for sequences, by the residual for a
    number that answers a question, by the margin for a classifier without probabilities.  It cuts
    the tails of a normal distribution: in one dimension |z| < c with P(|z| < c) = keep remains, of
    variance 1 - 2 c phi(c)/keep; in d dimensions the variance is P(chi2_{d+2} < c^2)/keep, c^2 the
    quantile of chi2_d.
    """

    keep: float = param(0.5, "share of the rows that is kept", gt=0, le=1)
    refill: bool = param(True, "compose n/keep rows, so that n are kept; false: keep n times keep")

    version = 2
    tunings = ({"keep": 0.8}, {"keep": 0.95}, {"keep": 0.99})

    def size(self, n, t):
        return refilled(n, self.keep) if self.refill else n

    def curate(self, corpus, access):
        share = usual_share(corpus, access, self.keep) if self.refill else self.keep
        return keep_best(corpus, likelihood(access.teacher, corpus), share)


@hookimpl
def collapse_mitigations():
    return {"low-perplexity": LowPerplexity}
