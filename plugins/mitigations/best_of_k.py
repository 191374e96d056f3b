"""Best of K: each synthetic row is chosen among K answers, by a reward or by own likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from collapse_bench.core.cell import Cell
from collapse_bench.core.components import Mitigation
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import param
from collapse_bench.errors import Lacks, Unsupported
from collapse_bench.lib.rounding import settled
from collapse_bench.lib.rows.selection import likelihood, unverifiable
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class BestOfK(Mitigation):
    """Every synthetic row is chosen among K answers of the teacher by a reward.

    Ferbach et al., arXiv 2407.09499.

    Stage: curate; track: first and provenance, since only the teacher's answers are replaced and
    real rows stay; with ``reward=verifier`` also verifier, K calls per row.  K - 1 additional rows
    are generated per row.  The chosen answers persist in the pool of a protocol.  Candidate j is
    chosen with probability proportional to e^(strength r_j), the K-way Bradley-Terry choice; with
    ``top`` the best is chosen.

    Rewards: ``first``, the log-likelihood under the teacher of generation 0 (per token for
    sequences; minus the squared residual for a number that answers a question); ``own``, the same
    under the teacher itself; ``verifier``, 1 for a right answer and 0 for a wrong one;
    ``coordinate``, the first coordinate of a density, in its own units.

    The variance of the reward shrinks to zero: the distribution collapses on preferred answers, by
    design.  For a normal coordinate, the best of K shifts the mean by E max of K standard normals,
    in standard deviations, and multiplies the variance by Var max.
    """

    k: int = param(4, "answers per row to choose from", ge=1, le=10000)
    reward: Literal["first", "own", "verifier", "coordinate"] = param("first", "the reward")
    strength: float = param(
        1.0, "factor of the reward in the log odds of a choice; 0: random choice", ge=0
    )
    top: bool = param(False, "always choose the best answer")

    applies_to_memory = True
    tunings = ({"k": 2}, {"strength": 0.1}, {"reward": "own", "top": True})

    def incompatibility(self, cell):
        reason = _no_choice(self.title(), cell)
        if reason is not None:
            return reason
        if self.reward == "verifier" and not cell.data.verifiable:
            return unverifiable("best-of-k(reward=verifier)", cell.data)
        if self.reward == "coordinate" and cell.data.kind != "density":
            return Lacks(
                f"best-of-k(reward=coordinate) prefers large numbers, and {cell.data.title()} is "
                f"{cell.data.kind}"
            )
        return super().incompatibility(cell)

    def curate(self, corpus, access):
        if self.k == 1:
            return corpus
        candidates = [corpus, *(access.synthetic(x=corpus.x) for _ in range(self.k - 1))]
        # (R, n, K)
        score = torch.stack([self._reward(candidate, access) for candidate in candidates], -1)
        u = 0.0 if self.top else access.rng.gumbel(corpus.n, self.k)
        odds = (1.0 if self.top else self.strength) * score.clamp_min(-1e300) + u
        best = settled(odds).argmax(-1)
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
            raise Unsupported(
                "best-of-k(reward=coordinate) needs answers with at least one coordinate"
            )
        return candidate.y[..., 0].double()


@dataclass(frozen=True)
class SelfSelection(Mitigation):
    """Of K answers to a question the one that the teacher itself finds likeliest is read.

    Self-selection of Feng et al., arXiv 2406.07515: the generator gives 50 candidates for each
    question and keeps the one of lowest perplexity under itself.  Their candidates are the beams of
    a beam search; here they are independent draws, since not every teacher has a beam.

    Stage: curate; track: provenance, since only the teacher's answers are replaced and real rows
    stay; K - 1 additional rows are generated per row.  It is `best-of-k` with ``reward=own`` and
    ``top=true``.  For a normal distribution in one dimension, the smallest |z| of K is kept; its
    variance shrinks by the factor E min z^2 per generation.
    """

    k: int = param(50, "answers per row to choose from", ge=1, le=10000)

    applies_to_memory = True
    tiny = {"k": 3}
    tunings = ({"k": 2}, {"k": 4}, {"k": 16})

    def incompatibility(self, cell):
        return _no_choice(self.title(), cell) or super().incompatibility(cell)

    def curate(self, corpus, access):
        return BestOfK(self.k, "own", top=True).curate(corpus, access)


def _no_choice(who: str, cell: Cell) -> str | None:
    """Why ``who`` has no different answers to a question to choose from, or None if it has."""
    if cell.data.kind == "classification" and cell.first_teacher is None:
        return Lacks(
            f"{who} chooses among different answers, and a classifier gives one label to a question"
        )
    if cell.data.sampler == "exact-law":
        return Lacks(
            f"{who} answers each question again, and sampler=exact-law draws no questions; choose "
            "sampler=explicit"
        )
    return None


def _chosen(answers: list[Tensor], which: Tensor) -> Tensor:
    """The answer with index ``which (R, n)`` of each row."""
    out = answers[0]
    for j, answer in enumerate(answers[1:], 1):
        chosen = which == j
        out = torch.where(
            chosen.reshape(chosen.shape + (1,) * (out.ndim - chosen.ndim)), answer, out
        )
    return out


@hookimpl
def collapse_mitigations():
    return {"best-of-k": BestOfK, "self-selection": SelfSelection}
