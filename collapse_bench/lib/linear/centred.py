"""Linear fits about a centre: the model is fitted to what a linear teacher leaves unexplained.

Shapes: ``R`` chains as leading dimensions, ``n`` rows, ``d`` covariates.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.components import Model, Teacher
from ...core.corpus import Corpus
from ...core.rng import Stream
from ...core.sums import Products
from ...errors import Incompatible
from .regression import LinearTeacher


def weights_of(teacher: Teacher, d: int, chain_shape: tuple[int, ...]) -> Tensor:
    """The weights (R, d) of a linear teacher, read from its answers at the unit vectors.

    Raises Incompatible for a teacher that is not linear.
    """
    if not teacher.linear:
        raise Incompatible(
            f"{type(teacher).__name__} is not linear, so it has no weights to move; use ols or "
            "ridge"
        )
    if isinstance(teacher, LinearTeacher):
        return teacher.w
    basis = torch.eye(d, dtype=torch.float64)
    return teacher.mean_answer(basis.expand(*chain_shape, d, d))


def residual(sums: Products, w: Tensor) -> Products:
    """The sums with y - x.w in place of y, for weights w (R, d)."""
    along = (sums.xx @ w[..., None])[..., 0]
    square = sums.yy - 2 * (w * sums.xy).sum(-1) + (w * along).sum(-1)
    return Products(sums.weight, sums.xx, sums.xy - along, square)


def fit_about(
    centre: Teacher, model: Model, corpus: Corpus, rng: Stream, before: Teacher | None
) -> LinearTeacher:
    """The linear model fitted to y - centre(x), plus the centre.

    For ridge this is the minimiser of the loss plus lam |w - centre|^2.
    """
    shape = corpus.chain_shape
    gap = corpus.edited(y=corpus.y.double() - centre.mean_answer(corpus.x))
    d = corpus.width
    step = weights_of(model.fit(gap, rng, before), d, shape)
    return LinearTeacher(weights_of(centre, d, shape) + step)
