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

    Stage: adapt; track: real, metered row by row.  It fits models that are trained step by step;
    ``adaptive-ridge`` tunes the penalty of the others.
    """

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
