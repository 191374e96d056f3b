"""Read real text in which the teacher redraws predictable tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.core.components import DataGenerator, Mitigation
from collapse_bench.core.params import param
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Incompatible, Lacks
from collapse_bench.lib.rounding import at_least
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class TokenEdit(Mitigation):
    """Read n real rows instead of synthetic ones; tokens with teacher probability >= p are redrawn.

    ToEdit, Zhu et al., arXiv 2412.14689: human text is kept, and where a language model gives a
    token the probability 0.99 or more, it is drawn again from the 8 likeliest.

    As in the paper, n real rows are read and no synthetic ones: the rows of the protocol stay at
    weight 0.  The end of a text is not a token.  Data of single symbols are refused where no symbol
    is so likely: nothing would be edited, and the method would be n real rows.

    Stage: curate; track: real, n rows once, or in every generation with ``fresh``.  For single
    symbols, if symbol 0 is always redrawn, k cuts nothing and rows are fresh,
    E p_t(0) = p(0)^(t + 1) after t generations (derived here; no published form found): edits
    without other synthetic data collapse too, on the symbols that they redraw.
    """

    p: float = param(0.99, "probability from which a token is redrawn", ge=0, le=1)
    k: int = param(8, "number of likeliest tokens it is redrawn from", ge=1)
    fresh: bool = param(False, "new real rows in every generation; false: the same rows")

    kinds = ("discrete", "sequence")
    tunings = ({"p": 0.9}, {"p": 0.8, "k": 50}, {"fresh": True})

    def incompatibility(self, cell):
        if cell.data.sampler == "exact-law":
            return Lacks("token-edit edits rows one by one; choose sampler=explicit")
        reason = super().incompatibility(cell)
        if reason is None and cell.data.kind == "discrete" and cell.first_teacher is None:
            largest = _likeliest(cell.data)
            if largest is not None and largest < self.p:
                return Lacks(
                    f"token-edit redraws symbols of probability {self.p:g} or more, and the "
                    f"likeliest one of {cell.data.title()} has {largest:.2g}; choose p below that"
                )
        return reason

    def curate(self, corpus, access):
        real = access.real(access.n, fixed=not self.fresh)
        predictable = at_least(
            access.teacher.logp(real.x, real.y).exp().reshape(real.y.shape), self.p
        )
        y = access.teacher.decoded(top_k=self.k).redraw(
            real.x, real.y, predictable & (real.y >= 0), access.rng
        )
        return corpus.weighted(torch.zeros_like(corpus.weight)) + real.edited(y=y)


def _likeliest(data: DataGenerator) -> float | None:
    """The largest probability of a symbol, after any context; None where none is stated.

    It is that of one seed.
    """
    if data.labels is None:
        return None
    try:
        true = data.sample_truth(Stream(0).at("truth"))
        symbols = torch.arange(data.labels)
        if data.contexts is None:
            x = true.ask(data.labels, Stream(0))
            return float(true.logp(x, symbols).exp().max())
        context = torch.arange(data.contexts)[:, None].expand(-1, data.labels)
        y = symbols.expand(context.shape).reshape(-1)
        return float(true.logp(context.reshape(-1, 1), y).exp().max())
    except Incompatible:
        return None


@hookimpl
def collapse_mitigations():
    return {"token-edit": TokenEdit}
