"""Each synthetic row is chosen among K answers, by one of two preferences that disagree."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import Incompatible, Lacks
from collapse_bench.laws.claims import Claim
from collapse_bench.lib.rounding import settled
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class PluralPreferences(Mitigation):
    """Choices among K answers of the teacher, a share q of them by one reward, the rest by its
    opposite.

    Falahati et al., arXiv 2605.07724: p' = p (q e^{r1}/Z1 + (1 - q) e^{r2}/Z2).

    Stage: curate; track: provenance, as of best-of-k: only the teacher's answers are replaced and
    real rows stay.  K - 1 additional rows are generated per row, and the chosen answers persist in
    the pool of a protocol.  One answer of K is taken with odds e^(strength r), which is the tilted
    law in the limit of many answers.

    Rewards: for symbols r1 is 1 for even numbers and r2 for odd ones; for a density r1 is the first
    coordinate, in its own units, and r2 minus it.  One preference (q = 0 or 1) ends in one of the
    two sets; with two, both survive while kappa < q < 1 - kappa, kappa = 1/(1 + e^strength) for
    many answers.  With K = 2 kappa is 1/2.
    """

    q: float = param(0.5, "share of the choices that follow the first preference", ge=0, le=1)
    k: int = param(8, "answers per row to choose from", ge=2, le=10000)
    strength: float = param(1.0, "factor of the reward in the log odds of a choice", gt=0, le=500)

    kinds = ("discrete", "density")
    applies_to_memory = True

    def incompatibility(self, cell):
        if cell.data.sampler == "exact-law":
            return Lacks(
                "plural-preferences answers each question again, and sampler=exact-law draws no "
                "questions; choose sampler=explicit"
            )
        return super().incompatibility(cell)

    def curate(self, corpus, access):
        more = [access.synthetic(x=corpus.x).y for _ in range(self.k - 1)]
        axis = len(corpus.chain_shape) + 1
        answers = torch.stack([corpus.y, *more], axis)  # (R, n, K, ...)
        first = access.rng.at("preference").uniform(corpus.n) < self.q
        sign = torch.where(first, 1.0, -1.0).double()[..., None]
        odds = self.strength * sign * _reward(answers, axis) + access.rng.at("choice").gumbel(
            corpus.n, self.k
        )
        best = settled(odds).argmax(-1, keepdim=True)
        best = best.reshape(*best.shape, *(1,) * (answers.ndim - best.ndim))
        return corpus.edited(y=answers.take_along_dim(best, axis).squeeze(axis))


def _reward(answers: Tensor, axis: int) -> Tensor:
    """r1 of each answer, (R, n, K) float64; r2 is minus it, up to a constant."""
    if answers.ndim == axis + 1:
        return (answers % 2 == 0).double()
    if not answers.shape[-1]:
        raise Incompatible("plural-preferences needs answers with at least one coordinate")
    return answers[..., 0].double()


# -- laws ------------------------------------------------------------------------------------------


def _even(teacher, data):
    """The share of symbols with an even number."""
    return teacher.p[..., 0::2].sum(-1)


@hookimpl
def collapse_claims():
    def share(q, k, s, t, beta, chains=200):
        x = 1 / (1 + 2**-beta)  # of two symbols
        spec = (
            f"zipf(K=2, beta={beta}, truth_is=fixed) | counts | replace | "
            f"plural-preferences(q={q}, k={k}, strength={s}) @ n=2000 T={t}"
        )
        given = {"x": x, "q": q, "s": s, "t": t, "k": k}
        return Claim("preferences.share", given, spec, "share of even", t, chains, read=_even)

    return [
        share(0.5, 8, 1.0, 6, 1.5),  # both survive
        share(0.7, 4, 2.0, 5, 0.0),
        share(0.2, 8, 1.0, 8, 1.5),  # below kappa
        share(1.0, 8, 0.5, 3, 1.0),  # one preference
    ]


@hookimpl
def collapse_mitigations():
    return {"plural-preferences": PluralPreferences}
