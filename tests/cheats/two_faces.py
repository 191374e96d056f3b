"""State the mean and the covariance of generation 0 when judged, and answer with what was learnt.

Not detected in a run.  The conformance kit compares what a teacher states with its answers, and fails.
"""

from dataclasses import dataclass
from typing import Any

from collapse_bench import Mitigation, Teacher, hookimpl


@dataclass(frozen=True, eq=False)
class TwoFaces(Teacher):
    learnt: Any
    shown: Any

    def answer(self, x, rng):
        return self.learnt.answer(x, rng)

    def mean_and_factor(self):
        return self.shown.mean_and_factor()


@dataclass(frozen=True)
class Faces(Mitigation):
    kinds = ("density",)

    def adapt(self, model, access):
        first = access.first
        return model.with_after(lambda teacher, model, corpus: TwoFaces(teacher, first))


@hookimpl
def collapse_mitigations():
    return {"two-faces": Faces}
