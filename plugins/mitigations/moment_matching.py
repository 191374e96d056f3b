"""Select rows whose mean and covariance match those of a few real rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import Unsupported
from collapse_bench.lib.rounding import at_least, settled
from collapse_bench.lib.rows.selection import numbers, refilled, usual_share
from collapse_bench.registry.hookspecs import hookimpl

WIDEST = 256  # columns of a covariance that is matched
ROUNDS = 12


@dataclass(frozen=True)
class MomentMatching(Mitigation):
    """Choose the rows of a pool whose mean and covariance together match a real reference.

    Center and covariance matching are baselines of Qiao et al., arXiv 2606.13732: of N rows the n
    are selected whose moments are nearest to those of a reference set.  The paper selects in a
    space of image features, against references that are biased.  Here it is the data's own space,
    and the reference is ``real`` n real rows, the same in every generation.

    Stage: size and curate; track: real.  The protocol composes ``pool`` n rows in its usual
    mixture; new real rows among the additional ones are charged to the method, as is the
    reference.  The gap is |mean - real mean|^2 + |second moment about the real mean - real
    covariance|^2, in units of the real standard deviations; rows are questions and answers
    together, labels as one-hot vectors.  It is the selected rows as a set that match: a row far
    from the center may be among them.  The search starts from a random selection and swaps the
    rows that increase the gap most for those that decrease it most; when a swap does not help, it
    halves the number of rows.  The gap never grows.  A selection cannot be closer to the truth than
    its reference, whose mean has the error variance/(real n).
    """

    pool: float = param(2.0, "rows to choose from per row read", ge=1, le=1000)
    real: float = param(1.0, "rows of the real reference, as a share of n", gt=0, le=1)
    match: Literal["mean", "covariance"] = param(
        "covariance", "match the mean, or mean and covariance"
    )

    kinds = ("density", "regression", "classification")
    version = 2
    tunings = ({"match": "mean"}, {"real": 0.1}, {"pool": 4.0})

    def size(self, n, t):
        return refilled(n, 1 / self.pool)

    def curate(self, corpus, access):
        n = round(access.n / self.pool)
        reference = access.real(max(2, round(self.real * n)), fixed=True)
        rows, target = self._standardised(numbers(corpus), numbers(reference))
        there = corpus.weight > 0
        share = usual_share(corpus, access, 1 / self.pool)
        quota = (share * there.sum(-1, keepdim=True)).round().clamp_min(1).long()
        turn = torch.where(there, access.rng.uniform(corpus.n), 2.0)
        chosen = _lowest(turn, quota) & there
        taken = closest(rows, corpus.multiplicity, chosen, there, target)
        return corpus.weighted(corpus.weight * taken)

    def _standardised(self, rows: Tensor, reference: Tensor) -> tuple[Tensor, Tensor | None]:
        """Rows standardised by the reference, and its correlations (None with match=mean)."""
        centre = reference.mean(-2, keepdim=True)
        sd = reference.std(-2, keepdim=True)
        sd = torch.where(sd > 0, sd, 1.0)
        if self.match == "mean":
            return (rows - centre) / sd, None
        if rows.shape[-1] > WIDEST:
            raise Unsupported(
                f"moment-matching(match=covariance) supports at most {WIDEST} columns, and these "
                f"rows have {rows.shape[-1]}; choose match=mean"
            )
        z = (reference - centre) / sd
        return (rows - centre) / sd, z.mT @ z / (z.shape[-2] - 1)


def closest(
    rows: Tensor, mass: Tensor, chosen: Tensor, there: Tensor, target: Tensor | None
) -> Tensor:
    """A selection (R, N) of rows (R, N, p) with a smaller moment gap to 0 and ``target (R, p, p)``.

    It has as many rows as ``chosen (R, N)``.  mass (R, N) is the weight of a row; there (R, N)
    marks rows that can be chosen.
    """
    columns = rows.mT.contiguous()  # products are twice as fast in this layout
    gap, pull = _gap(columns, mass * chosen, target)
    swaps = chosen.sum(-1, keepdim=True) // 4
    for _ in range(ROUNDS):
        leaves = _lowest(torch.where(chosen, -pull, torch.inf), swaps)
        enters = _lowest(torch.where(there & ~chosen, pull, torch.inf), swaps)
        other = (chosen & ~leaves) | enters
        new_gap, new_pull = _gap(columns, mass * other, target)
        as_many = leaves.sum(-1) == enters.sum(-1)  # false for ties, or if too few rows can enter
        better = (~at_least(new_gap, gap) & as_many)[..., None]
        chosen, pull = torch.where(better, other, chosen), torch.where(better, new_pull, pull)
        gap, swaps = (
            torch.where(better[..., 0], new_gap, gap),
            torch.where(better, swaps, swaps // 2),
        )
        if not (swaps > 0).any():
            break
    return chosen


def _gap(columns: Tensor, mass: Tensor, target: Tensor | None) -> tuple[Tensor, Tensor]:
    """(gap (R,), its derivative (R, N) in the weight of each row, up to a constant)."""
    share = (mass / mass.sum(-1, keepdim=True).clamp_min(1e-300))[..., None, :]
    mean = columns @ share.mT  # (R, p, 1)
    gap, pull = mean.square().sum((-2, -1)), (mean.mT @ columns)[..., 0, :]
    if target is None:
        return gap, pull
    off = (columns * share) @ columns.mT - target
    return gap + off.square().sum((-2, -1)), pull + (off @ columns).mul_(columns).sum(-2)


def _lowest(values: Tensor, many: Tensor) -> Tensor:
    """Which of the finite values (R, N) are among the ``many (R, 1)`` lowest, bool."""
    values = settled(values)
    ranked = values.topk(max(1, int(many.max())), dim=-1, largest=False).values
    last = ranked.gather(-1, (many - 1).clamp_min(0))
    return (values <= last) & (many > 0) & values.isfinite()


@hookimpl
def collapse_mitigations():
    return {"moment-matching": MomentMatching}
