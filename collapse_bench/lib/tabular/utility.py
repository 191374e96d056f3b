"""What rows of a table are good for: a logistic regression learnt on them, examined on others."""

from __future__ import annotations

import torch
from torch import Tensor

from ..rounding import settled

PENALTY = 1.0  # on half the squared weights, next to a sum over rows
STEPS = 10  # of Newton's method


def logistic_scores(x: Tensor, label: Tensor, classes: int, tests: Tensor) -> Tensor:
    """Scores (R, m, C) of tests (m, d): log-odds of each class against all others.

    Learnt on rows x (R, n, d) with labels (R, n) by logistic regression of each class against the
    rest, with an intercept and the ridge penalty |w|^2 / 2 + sum of log losses, which is the
    default of scikit-learn except that the intercept, too, is penalised.  For two classes one
    regression decides.  Classes that no row has get the same scores, up to rounding, so scores are
    on a grid (``lib.rounding``), for comparisons.
    """
    rows = _with_one(x)
    wanted = torch.nn.functional.one_hot(label, classes).double()
    if classes == 2:
        score = _with_one(tests) @ _newton(rows, wanted[..., 1:])
        return settled(torch.cat([-score, score], -1))
    return settled(_with_one(tests) @ _newton(rows, wanted))


def _with_one(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones_like(x[..., :1])], -1)


def _newton(rows: Tensor, wanted: Tensor) -> Tensor:
    """Weights (R, d, C) that minimise the penalised log loss, each column by itself.

    Newton's steps are halved until they lower the loss, at most four times.
    """
    targets = wanted.mT.contiguous()  # (R, C, n)
    w = rows.new_zeros(*targets.shape[:-1], rows.shape[-1])

    def loss(w: Tensor) -> Tensor:
        score = w @ rows.mT
        fit = (torch.nn.functional.softplus(score) - targets * score).sum(-1)
        return fit + PENALTY * w.square().sum(-1) / 2

    now = loss(w)
    eye = PENALTY * torch.eye(rows.shape[-1], dtype=rows.dtype, device=rows.device)
    for _ in range(STEPS):
        p = (w @ rows.mT).sigmoid()
        slope = (p - targets) @ rows + PENALTY * w
        # one product of (d, n) and (n, d) for each class and chain
        curvature = (rows.mT[..., None, :, :] * (p * (1 - p))[..., None, :]) @ rows[
            ..., None, :, :
        ] + eye
        step = torch.linalg.solve(curvature, slope[..., None])[..., 0]
        size = torch.ones_like(now)
        for _ in range(4):
            worse = loss(w - size[..., None] * step) > now
            if not worse.any():
                break
            size = torch.where(worse, size / 2, size)
        w = w - size[..., None] * step
        now = loss(w)
    return w.mT


def auc(score: Tensor, positive: Tensor) -> Tensor:
    """The area under the ROC curve (R,) of scores (R, m), for positive (m,) bool.

    The share of pairs of a positive and a negative row in which the positive one has the larger
    score; equal scores count half.
    """
    gap = score[..., positive, None] - score[..., None, ~positive]
    return ((gap > 0).double() + (gap == 0).double() / 2).mean((-2, -1))
