"""Generate more rows than needed, and read those with the most uncertain questions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_bench.core.components import Mitigation
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import param
from collapse_bench.errors import Incompatible, Lacks
from collapse_bench.lib.rows.mixing import exchanged, rows_in, surprisal
from collapse_bench.lib.rows.selection import best
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class DeliberatePractice(Mitigation):
    """Replace a share of the training set by synthetic rows on which the learner is most uncertain.

    They are chosen from ``oversample`` times as many new rows (Askari-Hemmat et al., arXiv
    2502.15588).

    Stage: curate; track: blind, at the cost of the generated rows.  The learner is the model of the
    previous generation.  Its uncertainty about a class is the entropy of the softmax of its scores.
    For a symbol or a text it is the surprisal per token of a second answer to the same question,
    whose mean is the entropy; the first answer would favour unusual answers.
    """

    share: float = param(0.5, "share of the training set that is replaced", ge=0, le=1)
    oversample: float = param(4.0, "rows generated per replaced row", ge=1, le=1000)

    kinds = ("classification", "discrete", "sequence")

    def incompatibility(self, cell):
        data = cell.data
        if data.kind == "discrete" and data.contexts is None:
            return Lacks(
                f"deliberate-practice chooses among questions, and {data.title()} asks none"
            )
        if data.sampler == "exact-law":
            return Lacks(
                "deliberate-practice asks chosen questions, and sampler=exact-law draws none; "
                "choose sampler=explicit"
            )
        return super().incompatibility(cell)

    def curate(self, corpus, access):
        m = round(self.share * rows_in(corpus))
        if m == 0:
            return corpus
        pool = access.synthetic(round(self.oversample * m))
        kept = best(pool, _uncertainty(pool, access), m)
        return exchanged(
            corpus,
            pool.at(kept.sort(dim=-1, descending=True, stable=True).indices[..., :m]),
            access.rng,
        )


def _uncertainty(pool: Corpus, access) -> Tensor:
    """Uncertainty of the learner about each question, (R, n) nats."""
    try:
        return torch.special.entr(access.teacher.mean_answer(pool.x).softmax(-1)).sum(-1)
    except Incompatible:  # symbols and texts have no scores
        return surprisal(access.teacher, access.synthetic(x=pool.x))


@hookimpl
def collapse_mitigations():
    return {"deliberate-practice": DeliberatePractice}
