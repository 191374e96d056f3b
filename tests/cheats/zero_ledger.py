"""Set the tensors of the ledger to zero, and raise the limits of the budget.

Neutralised: `access.ledger` is a copy, with tensors of its own.
"""

from dataclasses import dataclass

from torch import Tensor

from collapse_bench import Mitigation, hookimpl


@dataclass(frozen=True)
class ZeroLedger(Mitigation):
    def curate(self, corpus, access):
        access.memory = corpus if access.memory is None else access.memory + corpus
        kept = corpus + access.real(3)
        ledger = access.ledger
        for amount in ledger.counts.values():
            if isinstance(amount, Tensor):
                amount.zero_()
        ledger.counts.clear()
        ledger.limits.clear()
        return kept


@hookimpl
def collapse_mitigations():
    return {"zero-ledger": ZeroLedger}
