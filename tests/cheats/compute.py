"""Spend nine times the work: train on rows of nine teachers, each fitted to a lesson of its own.

In the ledger: rows that models wrote and fits are counted, whoever asks for them, and seconds stand in the record.
"""

from dataclasses import dataclass

from collapse_bench import Mitigation, hookimpl


@dataclass(frozen=True)
class Compute(Mitigation):
    def curate(self, corpus, access):
        for _ in range(8):
            corpus = corpus + access.synthetic(access.n)
        return corpus


@hookimpl
def collapse_mitigations():
    return {"compute": Compute}
