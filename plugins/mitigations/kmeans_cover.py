"""Cover the rows evenly: one row of each of many clusters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rounding import ROUNDING, settled
from collapse_bench.lib.rows.neighbours import closest, tolerance, within
from collapse_bench.lib.rows.selection import keep_best, numbers, refilled, usual_share
from collapse_bench.registry.hookspecs import hookimpl

APART = 1 << 16  # distances of a chain from which on its centers are followed one by one


@dataclass(frozen=True)
class KMeansCover(Mitigation):
    """k-means with as many clusters as rows are kept; of each cluster the row nearest its center.

    A baseline of Qiao et al., arXiv 2606.13732, who select n rows of N by n clusters and one row
    each.

    Stage: size and curate; track: blind.  With ``refill`` the protocol composes n/keep rows in its
    usual mixture, so that n are kept; new real rows among the additional ones are charged to the
    method.  The paper selects in a space of image features; here it is the data's own space.
    Centers start by k-means++ and move by Lloyd's steps, independently for each chain; rows count
    by their weight.  Dense regions lose rows and sparse ones keep them, so it raises rare modes
    and, within one mode, the tails.
    """

    keep: float = param(0.5, "share of the rows that is kept, one per cluster", gt=0, le=1)
    refill: bool = param(True, "compose n/keep rows, so that n are kept; false: keep n times keep")
    steps: int = param(20, "largest number of Lloyd's steps", ge=0, le=10000)

    kinds = ("density",)
    version = 3
    tunings = ({"keep": 0.8}, {"keep": 0.95}, {"keep": 0.25})

    def size(self, n, t):
        return refilled(n, self.keep) if self.refill else n

    def curate(self, corpus, access):
        share = usual_share(corpus, access, self.keep) if self.refill else self.keep
        if share >= 1:
            return corpus
        rows, mass = numbers(corpus), corpus.multiplicity
        present = (mass > 0).sum(-1)
        many = settled(share * present).round().clamp_min(1).long()
        centres = _seeded(rows, mass, many, access.rng)
        nearest, centres = _lloyd(rows, mass, centres, self.steps)
        # a cluster can end empty, so that a random row takes the place of its own
        one = _one_each(rows, mass, nearest, centres)
        turn = torch.where(one, 1.0, access.rng.at("empty").uniform(corpus.n) - 1)
        return keep_best(corpus, turn, share)


def _one_each(rows: Tensor, mass: Tensor, nearest: Tensor, centres: Tensor) -> Tensor:
    """Marks the present row (R, n) nearest to the center of each cluster; the first at a tie."""
    index = nearest[..., None].expand(rows.shape)
    away = torch.linalg.vector_norm(rows - centres.gather(-2, index), dim=-1)
    away = torch.where(mass > 0, away, torch.inf)
    least = torch.full_like(centres[..., 0], torch.inf).scatter_reduce(-1, nearest, away, "amin")
    place = torch.arange(rows.shape[-2], device=rows.device).expand(away.shape)
    # the two rows of a cluster of two are equally far from its center
    bound = least.gather(-1, nearest) * (1 + ROUNDING) + tolerance(rows)[..., None]
    there = (away <= bound) & (mass > 0)
    place = torch.where(there, place, rows.shape[-2])
    first = torch.full_like(nearest[..., :1], rows.shape[-2]).expand(least.shape)
    first = first.scatter_reduce(-1, nearest, place, "amin")
    return there & (place == first.gather(-1, nearest))


def _seeded(rows: Tensor, mass: Tensor, many: Tensor, rng) -> Tensor:
    """Centers (R, K, p), drawn in proportion to the squared distance from earlier ones.

    Chains have ``many (R,)`` centers; where that is fewer than K, the others are at infinity.
    """
    # written in place: small tensors kept between large ones would fragment the memory
    size = (*rows.shape[:-2], int(many.max()), rows.shape[-1])
    centres = rows.new_full(size, torch.inf)
    far = torch.ones_like(mass)
    by_axis = rows.movedim(-1, 0).contiguous()  # a sum over a short last dimension is slow
    for i in range(centres.shape[-2]):
        odds = mass * far
        # With fewer different rows than clusters all distances are 0: fall back to the weights.
        odds = torch.where((odds.sum(-1, keepdim=True) > 0), odds, mass)
        place = (odds.log() + rng.gumbel(rows.shape[-2])).argmax(-1)
        centre = rows.gather(-2, place[..., None, None].expand(*place.shape, 1, rows.shape[-1]))
        centre = torch.where((i < many)[..., None, None], centre, torch.inf)
        centres[..., i, :] = centre[..., 0, :]
        away = (by_axis - centre.movedim(-1, 0)).square_().sum(0)
        far = away if i == 0 else torch.minimum(far, away)
    return centres


def _lloyd(rows: Tensor, mass: Tensor, centres: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The clusters (R, n) and centers (R, K, p) after at most ``steps`` of Lloyd's steps.

    A chain of many rows runs by itself: only its centers that moved are compared again.
    """
    if rows.ndim == 2 or rows.shape[-2] * centres.shape[-2] < APART:
        nearest = closest(rows, centres)
        for _ in range(steps):
            centres = _means(rows, mass, nearest, centres)
            before, nearest = nearest, closest(rows, centres)
            if torch.equal(before, nearest):
                break
        return nearest, centres
    found = [
        _one_lloyd(*chain, steps)
        for chain in zip(rows.split(1), mass.split(1), centres.split(1), strict=True)
    ]
    nearest, centres = (torch.cat(values) for values in zip(*found, strict=True))
    return nearest, centres


def _one_lloyd(rows: Tensor, mass: Tensor, centres: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The same for one chain.

    A row whose center stayed keeps it, unless a center that moved is as close, up to rounding.
    """
    noise = tolerance(rows)
    nearest = closest(rows, centres)
    for _ in range(steps):
        old, centres = centres, _means(rows, mass, nearest, centres)
        moved = (centres != old).any(-1)[0]
        if not moved.any():
            break
        own = centres.gather(-2, nearest[..., None].expand(rows.shape))
        reach = torch.linalg.vector_norm(rows - own, dim=-1) * (1 + 4 * ROUNDING)
        reach = (reach + 4 * noise[..., None])[0]
        near = within(rows[0], centres[0, moved], reach) | moved[nearest[0]]
        if not near.any():
            break
        before, nearest = nearest, nearest.clone()
        nearest[:, near] = closest(rows[:, near], centres, noise)
        if torch.equal(before, nearest):
            break
    return nearest, centres


def _means(rows: Tensor, mass: Tensor, nearest: Tensor, centres: Tensor) -> Tensor:
    """The mean of each cluster's rows; the center of an empty cluster stays."""
    index = nearest[..., None].expand(rows.shape)
    total = torch.zeros_like(centres).scatter_add(-2, index, mass[..., None] * rows)
    weight = torch.zeros_like(centres[..., 0]).scatter_add(-1, nearest, mass)[..., None]
    return torch.where(weight > 0, total / weight.clamp_min(1e-300), centres)


@hookimpl
def collapse_mitigations():
    return {"kmeans-cover": KMeansCover}
