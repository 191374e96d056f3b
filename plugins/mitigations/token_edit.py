"""Read real text in which the teacher redraws predictable tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import Lacks
from collapse_bench.lib.rounding import at_least
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class TokenEdit(Mitigation):
    """Read n real rows instead of synthetic ones; tokens with teacher probability >= p are redrawn.

    They are redrawn from the k likeliest tokens (ToEdit, Zhu et al., arXiv 2412.14689).

    Stage: curate; track: real, n rows once, or in every generation with ``fresh``.  The rows of the
    protocol stay at weight 0.  The end of a text is not a token.  For single symbols, if symbol 0
    is always redrawn, k cuts nothing and rows are fresh, E p_t(0) = p(0)^(t + 1) after t
    generations (derived here; no published form found): edits without other synthetic data collapse
    too, on the symbols that they redraw.
    """

    p: float = param(0.99, "probability from which a token is redrawn", ge=0, le=1)
    k: int = param(8, "number of likeliest tokens it is redrawn from", ge=1)
    fresh: bool = param(False, "new real rows in every generation; false: the same rows")

    kinds = ("discrete", "sequence")

    def incompatibility(self, cell):
        if cell.data.sampler == "exact-law":
            return Lacks("token-edit edits rows one by one; choose sampler=explicit")
        return super().incompatibility(cell)

    def curate(self, corpus, access):
        real = access.real(access.n, fixed=not self.fresh)
        predictable = at_least(
            access.teacher.logp(real.x, real.y).exp().reshape(real.y.shape), self.p
        )
        y = access.teacher.decoded(top_k=self.k).redraw(
            real.x, real.y, predictable & (real.y >= 0), access.rng
        )
        return corpus.weighted(torch.zeros_like(corpus.weight)) + real.edited(y=y)


@hookimpl
def collapse_mitigations():
    return {"token-edit": TokenEdit}
