"""Draw real rows once, keep them in the module, and read them again in every generation.

In the ledger: the rows are counted when they are drawn, the entry is on track `real`, and `real-only` at as many rows
is shown next to it.  What is kept from one cell to the next is read without being drawn there; the conformance kit, in
which a method meets one cell after another, finds that.  ``access.memory`` is the honest place to keep them.
"""

from dataclasses import dataclass

from collapse_bench import Mitigation, hookimpl

KEPT = []


@dataclass(frozen=True)
class Hoard(Mitigation):
    def curate(self, corpus, access):
        if access.t == 1 or not KEPT:
            KEPT[:] = [access.real(50)]
        return corpus + KEPT[0]


@hookimpl
def collapse_mitigations():
    return {"hoard": Hoard}
