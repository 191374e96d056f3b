"""Choose the penalty again in every generation, on real validation rows."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation, has_method
from collapse_bench.core.params import param
from collapse_bench.errors import Lacks
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class TunedPenalty(Mitigation):
    """Tune the model's penalty on fresh real rows in every generation (folklore of validation, no
    single paper).

    Stage: adapt; track: real, metered row by row.  Under recursion the best penalty is larger than
    on clean data; ``adaptive-ridge`` says by how much without any rows.  For a model that is
    trained step by step ``early-stopping`` chooses the length of the training.
    """

    tunings = ({"share": 0.3}, {"share": 1.0})

    share: float = param(0.1, "real validation rows per generation, as a share of n", gt=0, le=1)

    def incompatibility(self, cell):
        model = cell.model
        if model.trained_by_steps:
            return Lacks(
                f"tuned-penalty tunes a penalty, and {model.title()} is trained step by step; use "
                "early-stopping instead"
            )
        if not has_method(model, "with_validation"):
            return Lacks(
                f"tuned-penalty tunes a penalty on validation rows, and {model.title()} has none "
                "to tune"
            )
        return super().incompatibility(cell)

    def adapt(self, model, access):
        return model.with_validation(access.real(max(1, round(self.share * access.n))))


@hookimpl
def collapse_mitigations():
    return {"tuned-penalty": TunedPenalty}
