"""Learn to tell synthetic rows from real ones, and draw anew those that pass for real."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rows.resampling import raced
from collapse_bench.registry.hookspecs import hookimpl

from ._detection import detector


@dataclass(frozen=True)
class DetectorResampling(Mitigation):
    """Weigh rows by how little a detector takes them for synthetic (Drayson, Yilmaz and Lampos, arXiv 2502.15654).

    A logistic regression is trained on k real rows against k that the teacher writes, on half of each, and calibrated on the other
    half: of rows scored s a share s is synthetic where as many are real.  With the score s of a row its weight is
    (1 - s)^power; ``oversample`` n rows are drawn by it without replacement from ``copies`` copies of each.  A row's weight is
    the number of its copies, where the paper writes them out.  Rows of numbers are seen by themselves, squares and answer times
    question, tokens by frequencies of tokens and pairs.

    Moment: curate; track: real, k rows once and for all.
    """

    k: int = param(100, "real rows that the detector learns from, and as many synthetic ones", ge=4)
    power: float = param(10.0, "power of the probability of being real", ge=0, le=1000)
    oversample: float = param(
        1.5, "rows drawn per row of the lesson, at most `copies`", gt=0, le=100
    )
    copies: int = param(3, "times that a row can be drawn", ge=1, le=100)
    ridge: float = param(
        1.0, "penalty ridge/2 |w|^2 beside a sum over rows, features standardised", gt=0
    )

    tiny = {"k": 20}

    def curate(self, corpus, access):
        real, synthetic = access.real(self.k, fixed=True), access.synthetic(self.k)
        tokens = corpus.labels is not None and not (corpus.width and corpus.x.is_floating_point())
        s = detector(synthetic, real, access.rng.at("detector"), tokens, self.ridge)(corpus)
        passing = self.power * torch.nn.functional.logsigmoid(-s)
        return corpus.reweighted(
            raced(corpus, passing, self.oversample, access.rng.at("race"), self.copies)
        )


@hookimpl
def collapse_mitigations():
    return {"detector-resampling": DetectorResampling}
