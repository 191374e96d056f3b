"""Return generation 0 for ever: it never collapses, and learns nothing.

In the record: it scores what the control `frozen` does, to the last digit, and the column "beats frozen" says "cannot tell".
"""

from dataclasses import dataclass
from typing import Any

from collapse_bench import Mitigation, Model, hookimpl


@dataclass(frozen=True)
class Always(Model):
    teacher: Any = None
    vectorized = True

    def fit(self, corpus, rng, before=None):
        return self.teacher


@dataclass(frozen=True)
class StandStill(Mitigation):
    def adapt(self, model, access):
        return Always(access.first)


@hookimpl
def collapse_mitigations():
    return {"stand-still": StandStill}
