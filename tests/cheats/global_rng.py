"""Draw from the generator that all code of the process shares: nobody can repeat the result.

In the record: a remark says so, the board repeats it, and the conformance kit fails.
"""

from dataclasses import dataclass

import torch

from collapse_bench import Mitigation, hookimpl


@dataclass(frozen=True)
class GlobalRng(Mitigation):
    def curate(self, corpus, access):
        return corpus.reweighted(torch.rand(corpus.weight.shape, dtype=torch.float64))


@hookimpl
def collapse_mitigations():
    return {"global-rng": GlobalRng}
