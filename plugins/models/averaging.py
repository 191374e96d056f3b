"""Classification by class averages: the questions of each label are summed."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Model
from collapse_bench.lib.linear.classification import LinearClassifier, class_sums
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Averaging(Model):
    """Scores x.w_c, where w_c is the mean of x over all rows, with 0 for other labels.

    The class with the largest score is the answer.

    For two classes, +1 and -1, this is the sign of x.(sum of y x): ridge regression on labels as
    its penalty grows (Feng et al., arXiv 2406.07515).  Without intercept.
    """

    kinds = ("classification",)
    vectorized = True
    estimator = "averaging"

    def fit(self, corpus, rng, before=None):
        return LinearClassifier(class_sums(corpus) / corpus.mass.clamp_min(1e-300)[..., None, None])


@hookimpl
def collapse_models():
    return {"averaging": Averaging}
