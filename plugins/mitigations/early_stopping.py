"""Stop a training where the loss on fresh real rows is lowest."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation, has_method
from collapse_bench.core.params import param
from collapse_bench.errors import Lacks
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class EarlyStopping(Mitigation):
    """Keep the weights with the lowest loss on real validation rows (Prechelt 1998).

    The book chapter: evaluate a held-out set during the training, and keep the weights with the
    lowest error there; its criteria say when to give up, which here is the end of the schedule.

    Stage: adapt; track: real, metered row by row.  The loss is that of the task where a model can
    tell: the share of wrong labels (the log loss decides ties, since few rows give many), the
    squared error of numbers, nats per token of texts.  ``gcd`` counts whole answers, and densities
    are compared by distances; there the log loss of a token and the model's own loss stand in.  It
    fits models that are trained step by step; ``tuned-penalty`` tunes the penalty of the others.
    """

    version = 2
    tunings = ({"share": 0.3}, {"share": 1.0})

    share: float = param(0.1, "real validation rows per generation, as a share of n", gt=0, le=1)

    def incompatibility(self, cell):
        model = cell.model
        if not model.trained_by_steps or not has_method(model, "with_validation"):
            return Lacks(
                f"early-stopping ends a training of many steps, and {model.title()} has none to "
                "stop"
            )
        return super().incompatibility(cell)

    def adapt(self, model, access):
        return model.with_validation(access.real(max(1, round(self.share * access.n))))


@hookimpl
def collapse_mitigations():
    return {"early-stopping": EarlyStopping}
