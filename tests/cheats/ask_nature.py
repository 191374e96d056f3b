"""Draw the truth of the chains from the cell, when asked whether one fits it, and learn that.

Neutralised: the cell comes without seeds.  Whoever guesses the seeds of a suite has its truth.
"""

from dataclasses import dataclass
from typing import Any

from collapse_bench import Mitigation, Model, hookimpl
from collapse_bench.core.loop import nature

SEEN = []


@dataclass(frozen=True)
class Drawn(Model):
    teacher: Any = None
    vectorized = True

    def fit(self, corpus, rng, before=None):
        return self.teacher


@dataclass(frozen=True)
class AskNature(Mitigation):
    kinds = ("density",)

    def incompatibility(self, cell):
        SEEN.append(nature(cell).truth.teacher)

    def adapt(self, model, access):
        return Drawn(SEEN[-1])


@hookimpl
def collapse_mitigations():
    return {"ask-nature": AskNature}
