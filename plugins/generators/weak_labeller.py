"""A flawed source of image labels: a linear model trained on few images."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.core.components import DataGenerator
from collapse_bench.core.params import param
from collapse_bench.errors import Incompatible
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class WeakLabeller(DataGenerator):
    """Ridge regression of one-hot labels on raw pixels of ``rows`` images.

    The answer is the class with the largest score.

    A first teacher of labelled images, ``digits | ... first=weak-labeller(rows=50)``, in the role
    of the synthetic source of Dohmatob et al. (arXiv 2410.04840).  Fewer rows give worse labels,
    with errors between similar classes.  Its training images are drawn per seed; they do not count
    in the ledger of any method.
    """

    rows: int = param(100, "real training images of the labeller", ge=1, le=20000)
    lam: float = param(1.0, "ridge penalty relative to a mean over images", gt=0)

    kind = "classification"
    family = "images"
    primary = "error_rate"

    def incompatibility(self, cell):
        return (
            f"{self.title()} labels the images of other data: "
            f"give it as the first teacher, first={self.title()}"
        )

    def sample_truth(self, rng, nature=None):
        if nature is None or nature.kind != "classification" or nature.labels is None:
            raise Incompatible(
                f"{self.title()} labels the questions of data with classes; it has no questions "
                "itself"
            )
        x = nature.ask(self.rows, rng.at("x"))
        y = torch.nn.functional.one_hot(nature.answer(x, rng.at("y")), nature.labels).double()
        z = _with_one(x)
        kernel = z @ z.mT
        kernel.diagonal(dim1=-2, dim2=-1).add_(self.lam * self.rows)
        return self.with_truth(
            nature=nature, v=z.mT @ torch.cholesky_solve(y, torch.linalg.cholesky(kernel))
        )

    def ask(self, n, rng):
        return self.truth.nature.ask(n, rng)

    def identity(self, x, y):
        return self.truth.nature.identity(x, y)

    def mean_answer(self, x):
        return _with_one(x) @ self.truth.v

    def answer(self, x, rng):
        return self.mean_answer(x).argmax(-1)

    def trivial(self):
        return self.truth.nature.trivial()

    def losses(self, teacher, rng):
        return self.truth.nature.losses(teacher, rng)


def _with_one(x: torch.Tensor) -> torch.Tensor:
    """x (R, n, ...) as float64 rows with a 1 appended for the intercept."""
    rows = x.double()
    return torch.cat([rows, torch.ones_like(rows[..., :1])], -1)


@hookimpl
def collapse_generators():
    return {"weak-labeller": WeakLabeller}
