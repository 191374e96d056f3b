"""Choose the weight of real rows against synthetic ones, on held-out real rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_bench.core.access import Access
from collapse_bench.core.components import Mitigation, Model, Teacher
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.params import param
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Incompatible
from collapse_bench.lib.rounding import settled
from collapse_bench.lib.rows.mixing import unmixed, weighed
from collapse_bench.registry.hookspecs import hookimpl

WORST = 1000.0  # nats; the loss of an answer to which a candidate gives probability 0


@dataclass(frozen=True)
class TunedWeighting(Mitigation):
    """The share of the weight that real rows get is chosen per chain and generation among 1/(steps
    + 1), ..., steps/(steps + 1), by the loss on fresh real rows (folklore, no single paper).

    The best real share of ridge is not the golden one (Garg, Bhattacharya and Sur, arXiv
    2509.22341), who derive it from the spectrum; validation needs no spectrum, and rows instead.

    Stage: adapt; track: real and provenance.  It costs ``steps`` more fits.  The loss is -log p
    where the model states one, otherwise the squared error of its mean answer, or its share of
    wrong labels.
    """

    share: float = param(
        0.1,
        "real validation rows per generation, as a multiple of n, which may exceed 1",
        gt=0,
        le=100,
    )
    steps: int = param(9, "candidate weights, equally spaced between 0 and 1", ge=1, le=100)

    tunings = ({"share": 0.3}, {"share": 1.0})
    tiny = {"steps": 3}

    def incompatibility(self, cell):
        return unmixed(cell, self.title()) or super().incompatibility(cell)

    def adapt(self, model, access):
        rows = access.real(max(1, round(self.share * access.n)))
        return model.with_training(Weighted(access, rows, self.steps))


@dataclass(frozen=True, eq=False)
class Weighted:
    """The training under the share of real weight that does best on ``rows``."""

    access: Access
    rows: Corpus
    steps: int

    def __call__(self, model: Model, corpus: Corpus, rng: Stream, before: Teacher | None):
        real, own = self.access.provenance(corpus) == 0, rng.at("chosen")

        def loss(w: float) -> Tensor:
            teacher = self.access.fit(model, weighed(corpus, real, w), before, own)
            return validated(teacher, self.rows)

        grid = [(i + 1) / (self.steps + 1) for i in range(self.steps)]
        losses = torch.stack([loss(w) for w in grid], -1)
        w = torch.tensor(grid, dtype=torch.float64, device=losses.device)[
            settled(losses).argmin(-1)
        ]
        return model.fit(weighed(corpus, real, w[..., None]), own, before)


def validated(teacher: Teacher, rows: Corpus) -> Tensor:
    """Mean loss (R,) on these rows."""
    mass = rows.multiplicity
    try:
        loss = -teacher.logp(rows.x, rows.y).sum(-1).clamp_min(-WORST)
    except Incompatible:
        answers = teacher.mean_answer(rows.x)
        numbers = rows.y.is_floating_point()
        loss = (answers - rows.y).square() if numbers else (answers.argmax(-1) != rows.y).double()
    return (mass * loss).sum(-1) / mass.sum(-1)


@hookimpl
def collapse_mitigations():
    return {"tuned-weighting": TunedWeighting}
