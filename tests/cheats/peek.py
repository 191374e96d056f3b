"""Fetch the truth from where `access` keeps it, and learn that.

Not detected: `access` hands out no judge and no truth, but a name with an underscore leads to both, in Python as ever.
The proof of a result is its reproduction by people who have read the code.
"""

from dataclasses import dataclass
from typing import Any

from collapse_bench import Mitigation, Model, hookimpl


@dataclass(frozen=True)
class Told(Model):
    teacher: Any = None
    vectorized = True

    def fit(self, corpus, rng, before=None):
        return self.teacher


@dataclass(frozen=True)
class Peek(Mitigation):
    kinds = ("density",)

    def adapt(self, model, access):
        return Told(access._desk.data.truth.teacher)


@hookimpl
def collapse_mitigations():
    return {"peek": Peek}
