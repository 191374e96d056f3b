"""Publish the best of K answers: each row that the teacher writes is chosen among K by a reward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from collapse_bench.core.components import Mitigation
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import param
from collapse_bench.errors import Incompatible
from collapse_bench.lib.rows.selection import likelihood, unverifiable
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class BestOfK(Mitigation):
    """Every row written by the teacher is one of K answers to its question, chosen by their reward (Ferbach et al., arXiv
    2407.09499).

    Moment: curate; track: provenance, since it is the teacher's own answers that are chosen from (a real share stays as
    it is), with ``reward=verifier`` also verifier, K calls per row; K - 1 further rows are generated per row.  What is
    chosen persists in a protocol's pool.  Candidate j is taken with probability proportional to e^(strength r_j), the
    K-way form of Bradley and Terry's choice; with ``top`` the best is taken.

    Rewards: ``first``, the log-likelihood under the teacher of generation 0 (per token of a sequence; minus the squared
    residual of a number that answers a question); ``own``, that under the teacher itself; ``verifier``, 1 for a right
    answer and 0 for a wrong one; ``coordinate``, the first coordinate of a density, in its own units.

    The rewards' variance shrinks to zero: the law collapses on what is preferred, and that is meant.  Of a normal
    coordinate, the best of K shifts the mean by E max of K standard deviations and leaves Var max of the variance.
    """

    k: int = param(4, "answers to choose from", ge=1, le=10000)
    reward: Literal["first", "own", "verifier", "coordinate"] = param("first", "what is preferred")
    strength: float = param(
        1.0, "factor of the reward in the odds of a choice; 0 chooses blindly", ge=0
    )
    top: bool = param(False, "whether the best is taken for certain")

    applies_to_memory = True

    def incompatibility(self, cell):
        if cell.data.kind == "classification" and cell.first_teacher is None:
            return "best-of-k chooses among different answers, and a classifier gives one label to a question"
        if cell.data.sampler == "exact-law":
            return "best-of-k answers each question again, and sampler=exact-law has none; choose sampler=explicit"
        if self.reward == "verifier" and not cell.data.verifiable:
            return unverifiable("best-of-k(reward=verifier)", cell.data)
        if self.reward == "coordinate" and cell.data.kind != "density":
            return f"best-of-k(reward=coordinate) prefers large numbers, and {cell.data.title()} is {cell.data.kind}"
        return super().incompatibility(cell)

    def curate(self, corpus, access):
        if self.k == 1:
            return corpus
        candidates = [corpus, *(access.synthetic(x=corpus.x) for _ in range(self.k - 1))]
        score = torch.stack(
            [self._reward(candidate, access) for candidate in candidates], -1
        )  # (R, n, K)
        u = 0.0 if self.top else access.rng.gumbel(corpus.n, self.k)
        best = ((1.0 if self.top else self.strength) * score.clamp_min(-1e300) + u).argmax(-1)
        return corpus.edited(y=_chosen([candidate.y for candidate in candidates], best))

    def _reward(self, candidate: Corpus, access) -> Tensor:
        """Reward of each row, (R, n)."""
        match self.reward:
            case "first":
                return likelihood(access.first or access.teacher, candidate)
            case "own":
                return likelihood(access.teacher, candidate)
            case "verifier":
                return access.verify(candidate).double()
        if candidate.y.ndim == len(candidate.chain_shape) + 1:
            raise Incompatible(
                "best-of-k(reward=coordinate) wants answers of one or more coordinates"
            )
        return candidate.y[..., 0].double()


def _chosen(answers: list[Tensor], which: Tensor) -> Tensor:
    """Of answers (R, n, ...) the one at ``which (R, n)`` for each row."""
    out = answers[0]
    for j, answer in enumerate(answers[1:], 1):
        here = which == j
        out = torch.where(here.reshape(here.shape + (1,) * (out.ndim - here.ndim)), answer, out)
    return out


@hookimpl
def collapse_mitigations():
    return {"best-of-k": BestOfK}
