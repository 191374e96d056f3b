"""A memory of limited capacity: all associations are summed in one d by d matrix."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from collapse_bench.core.components import Model
from collapse_bench.core.params import param
from collapse_bench.lib.distributions.tables import RecallTeacher, recalled
from collapse_bench.registry.hookspecs import hookimpl

BYTES = 128 * 2**20  # of one chunk of scores


@dataclass(frozen=True)
class AssociativeMemory(Model):
    """W = sum_x q(x) e_y(x) u_x^T over questions x; the answer is argmax_y e_y.W u_x.

    Cabannes et al., arXiv 2310.02984.

    e and u are random unit vectors in R^d, drawn again for each fit; y(x) is the answer most often
    read to x, and the strength q(x) is the share of all reading that x had, to the power rho.  What
    was read rarely is lost in the interference of the rest.
    """

    d: int = param(64, "dimension of the embeddings", ge=1, le=8192)
    rho: float = param(
        1.0, "exponent of the strengths; 0 stores all items with equal strength", ge=0, le=8
    )

    kinds = ("discrete",)
    vectorized = True
    tiny = {"d": 16}

    def incompatibility(self, cell):
        if cell.data.contexts is None:
            return f"associative-memory answers questions, and {cell.data.title()} has none"
        return super().incompatibility(cell)

    def fit(self, corpus, rng, before=None):
        answers, mass = recalled(corpus)
        outputs, inputs = (
            _unit(rng.at(name).normal(corpus.labels, self.d)) for name in ("outputs", "inputs")
        )
        share = mass / mass.sum(-1, keepdim=True)
        strength = torch.where(mass > 0, share**self.rho, 0.0)
        stored = outputs.gather(-2, answers[..., None].expand_as(outputs))  # e_y(x)
        W = stored.mT @ (strength[..., None] * inputs)
        step = max(1, BYTES // (8 * mass.numel()))
        return RecallTeacher(
            torch.cat([(outputs @ (W @ some.mT)).argmax(-2) for some in inputs.split(step, -2)], -1)
        )


def _unit(z: torch.Tensor) -> torch.Tensor:
    z = z.double()
    return z / z.norm(dim=-1, keepdim=True)


@hookimpl
def collapse_models():
    return {"associative-memory": AssociativeMemory}
