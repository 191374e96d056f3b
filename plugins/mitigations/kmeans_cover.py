"""Cover the rows evenly: every cluster has the same weight."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.lib.rows.neighbours import closest
from collapse_bench.lib.rows.selection import numbers
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class KMeansCover(Mitigation):
    """Every cluster of k-means gets the same weight, shared among its rows.

    A baseline of Qiao et al., arXiv 2606.13732, who take one row per cluster.

    Stage: curate; track: blind.  Centers start by k-means++ and move by Lloyd's steps,
    independently for each chain; rows count by their weight.  It raises rare modes and, within one
    mode, the tails.
    """

    clusters: int = param(10, "number of clusters", ge=1, le=10000)
    steps: int = param(20, "largest number of Lloyd's steps", ge=0, le=10000)

    kinds = ("density",)

    def curate(self, corpus, access):
        rows, mass = numbers(corpus), corpus.multiplicity
        centres = _seeded(rows, mass, self.clusters, access.rng)
        nearest = closest(rows, centres)
        for _ in range(self.steps):
            centres = _means(rows, mass, nearest, centres)
            before, nearest = nearest, closest(rows, centres)
            if torch.equal(before, nearest):
                break
        within = (
            torch.zeros_like(centres[..., 0]).scatter_add(-1, nearest, mass).gather(-1, nearest)
        )
        return corpus.reweighted(torch.where(within > 0, 1 / within.clamp_min(1e-300), 0.0))


def _seeded(rows: Tensor, mass: Tensor, k: int, rng) -> Tensor:
    """k centers (R, k, p), drawn in proportion to the squared distance from earlier ones."""
    far, chosen = torch.ones_like(mass), []
    for i in range(k):
        odds = mass * far
        # With fewer different rows than clusters all distances are 0: fall back to the weights.
        odds = torch.where((odds.sum(-1, keepdim=True) > 0), odds, mass)
        place = (odds.log() + rng.gumbel(rows.shape[-2])).argmax(-1)
        centre = rows.gather(-2, place[..., None, None].expand(*place.shape, 1, rows.shape[-1]))
        chosen.append(centre)
        away = (rows - centre).square().sum(-1)
        far = away if i == 0 else torch.minimum(far, away)
    return torch.cat(chosen, -2)


def _means(rows: Tensor, mass: Tensor, nearest: Tensor, centres: Tensor) -> Tensor:
    """The mean of each cluster's rows; the center of an empty cluster stays."""
    index = nearest[..., None].expand(rows.shape)
    total = torch.zeros_like(centres).scatter_add(-2, index, mass[..., None] * rows)
    weight = torch.zeros_like(centres[..., 0]).scatter_add(-1, nearest, mass)[..., None]
    return torch.where(weight > 0, total / weight.clamp_min(1e-300), centres)


@hookimpl
def collapse_mitigations():
    return {"kmeans-cover": KMeansCover}
