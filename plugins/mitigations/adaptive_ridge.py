"""Choose the penalty again in every generation, on real validation rows."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation, has_method
from collapse_bench.core.params import param
from collapse_bench.errors import Lacks
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class AdaptiveRidge(Mitigation):
    """Tune the model's regularisation on fresh real rows (Dohmatob et al., arXiv 2402.07712).

    Stage: adapt; track: real, metered row by row.  Under recursion the best penalty is larger than
    on clean data.  For a model that is trained step by step the length of the training is chosen,
    as ``early-stopping`` does.
    """

    share: float = param(0.1, "real validation rows per generation, as a share of n", gt=0, le=1)

    def incompatibility(self, cell):
        if not has_method(cell.model, "with_validation"):
            return Lacks(
                f"adaptive-ridge tunes a penalty on validation rows, and {cell.model.title()} has "
                "none to tune"
            )
        return super().incompatibility(cell)

    def adapt(self, model, access):
        return model.with_validation(access.real(max(1, round(self.share * access.n))))


@hookimpl
def collapse_mitigations():
    return {"adaptive-ridge": AdaptiveRidge}
