"""Crash where it goes badly, so that only good chains are left to be averaged.

No score: a chain that fails counts as `trivial`, and its share is a column.
"""

from dataclasses import dataclass

from collapse_bench import Mitigation, hookimpl


@dataclass(frozen=True)
class Crash(Mitigation):
    kinds = ("density",)

    def curate(self, corpus, access):
        if (
            corpus.y.double().var(-2)
            < 0.9 * access.synthetic(200, of=access.first).y.double().var(-2)
        ).any():
            raise RuntimeError("this chain does not look well")
        return corpus


@hookimpl
def collapse_mitigations():
    return {"crash": Crash}
