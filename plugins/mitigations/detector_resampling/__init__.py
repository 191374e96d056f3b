"""Train a detector of synthetic rows, and resample rows that look real."""

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
    """Resample rows by their probability of being human.

    Drayson, Yilmaz and Lampos, arXiv 2502.15654: a row that a detector of machine text gives the
    probability q of being human has the weight q^10; 1.5 n rows are drawn without replacement from
    3 copies of each.

    The paper's detector was trained once, on other and larger data than the loop reads.  Here it is
    a logistic regression on half of ``real`` n real rows and as many synthetic rows of the current
    teacher, calibrated on the other half: among rows with score s a share s is synthetic, if both
    kinds are equally frequent.  The real rows are the same in every generation and are charged.
    The number of copies becomes the weight of the row, where the paper repeats the row.  The
    features of numbers are the numbers, their squares, and answer times question; those of tokens
    are frequencies of unigrams and bigrams.

    Stage: curate; track: real.
    """

    real: float = param(
        1.0,
        "real rows to train the detector, as a share of n, with as many synthetic ones",
        gt=0,
        le=100,
    )
    power: float = param(10.0, "power of the probability of being real", ge=0, le=1000)
    oversample: float = param(
        1.5, "rows drawn per row of the training set, at most `copies`", gt=0, le=100
    )
    copies: int = param(3, "largest number of times that a row is drawn", ge=1, le=100)
    ridge: float = param(
        1.0, "penalty ridge/2 |w|^2 relative to a sum over rows, on standardised features", gt=0
    )

    version = 2
    tunings = ({"power": 1.0}, {"power": 3.0}, {"power": 1.0, "real": 0.2})

    def curate(self, corpus, access):
        k = max(4, round(self.real * access.n))
        real, synthetic = access.real(k, fixed=True), access.synthetic(k)
        real_numbers = corpus.y.is_floating_point() or (
            corpus.width and corpus.x.is_floating_point()
        )
        tokens = corpus.labels is not None and not real_numbers
        s = detector(synthetic, real, access.rng.at("detector"), tokens, self.ridge)(corpus)
        passing = self.power * torch.nn.functional.logsigmoid(-s)
        return corpus.reweighted(
            raced(corpus, passing, self.oversample, access.rng.at("race"), self.copies)
        )


@hookimpl
def collapse_mitigations():
    return {"detector-resampling": DetectorResampling}
