"""Read only the rows that are least likely under the previous teacher."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rows.selection import keep_best, refilled, usual_share
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class HighSurprise(Mitigation):
    """Keep the rows that are least likely under the previous teacher.

    The paper (Gambetta et al., arXiv 2410.12341): fine-tune a language model on those documents of
    the last one that have the highest perplexity, without knowing who wrote them.  Here all kinds
    of rows with a likelihood are ranked, and the model is fitted from scratch; what is dropped is
    the head of the law, so that only a small share may go.

    Stage: size and curate; track: blind.  With ``refill`` the protocol composes n/keep rows in its
    usual mixture, so that n are kept; new real rows among the additional ones are charged to the
    method.  The likelihood of a sequence is not divided by its length, so long sequences count as
    unlikely.
    """

    tunings = ({"keep": 0.8}, {"keep": 0.95}, {"keep": 0.99})

    keep: float = param(0.5, "share of the rows that is kept", gt=0, le=1)
    refill: bool = param(True, "compose n/keep rows, so that n are kept; false: keep n times keep")

    kinds = ("density", "discrete", "sequence")
    version = 2

    def size(self, n, t):
        return refilled(n, self.keep) if self.refill else n

    def curate(self, corpus, access):
        share = usual_share(corpus, access, self.keep) if self.refill else self.keep
        return keep_best(corpus, -access.teacher.logp(corpus.x, corpus.y).sum(-1), share)


@hookimpl
def collapse_mitigations():
    return {"high-surprise": HighSurprise}
