"""Keep real text, and let the teacher rewrite only what it could have foretold."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class TokenEdit(Mitigation):
    """Read n real rows in place of the lesson, tokens of teacher's probability >= p redrawn from its k likeliest (ToEdit, Zhu et
    al., arXiv 2412.14689).

    Moment: curate; track: real, n rows once and for all, or in every generation with ``fresh``.  The rows that the protocol
    gives stay, at weight 0.  The end of a text is no token.  Of single symbols, where one symbol 0 is foretold
    throughout, E p_t(0) = p(0)^(t + 1) after t generations of edits with a k that cuts nothing and fresh rows (derived
    here): edits alone collapse too, as far as they reach.
    """

    p: float = param(0.99, "probability from which a token is drawn anew", ge=0, le=1)
    k: int = param(8, "likeliest tokens among which it is drawn", ge=1)
    fresh: bool = param(False, "new real rows in every generation; false: the same ones")

    kinds = ("discrete", "sequence")

    def incompatibility(self, cell):
        if cell.data.sampler == "exact-law":
            return "token-edit edits rows one by one; choose sampler=explicit"
        return super().incompatibility(cell)

    def curate(self, corpus, access):
        real = access.real(access.n, fixed=not self.fresh)
        foretold = access.teacher.logp(real.x, real.y).exp().reshape(real.y.shape) >= self.p
        y = access.teacher.decoded(top_k=self.k).redraw(
            real.x, real.y, foretold & (real.y >= 0), access.rng
        )
        return corpus.weighted(torch.zeros_like(corpus.weight)) + real.edited(y=y)


@hookimpl
def collapse_mitigations():
    return {"token-edit": TokenEdit}
