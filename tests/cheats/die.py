"""End the process where it goes badly, so that the chains look like an accident of the machine.

No score: a worker that a signal killed is run again, but one that ended itself is a failure, which counts as `trivial`.
"""

import os
from dataclasses import dataclass

from collapse_bench import Mitigation, hookimpl


@dataclass(frozen=True)
class Die(Mitigation):
    kinds = ("density",)

    def curate(self, corpus, access):
        if access.t > 1:
            os._exit(0)
        return corpus


@hookimpl
def collapse_mitigations():
    return {"die": Die}
