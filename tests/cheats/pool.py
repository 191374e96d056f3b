"""Learn from the rows of all chains at once, where they share one truth: 12 times the data.

Neutralised: one chain is run by itself before the others, and compared.  Where its losses differ, the chains run in
smaller groups, down to single ones, and the record says so; a method that declares `couples_chains` keeps its numbers, with a remark on the board.
"""

from dataclasses import dataclass

from collapse_bench import Corpus, Mitigation, hookimpl


@dataclass(frozen=True)
class Pool(Mitigation):
    kinds = ("density",)

    def curate(self, corpus, access):
        rows = corpus.y.flatten(0, 1)
        return Corpus.of(None, rows.expand(*corpus.chain_shape, *rows.shape), corpus.chain_shape)


@dataclass(frozen=True)
class OpenPool(Pool):
    couples_chains = True


@hookimpl
def collapse_mitigations():
    return {"pool": Pool, "open-pool": OpenPool}
