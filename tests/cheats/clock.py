"""Draw from a generator of one's own that is seeded by the clock: nobody can repeat the result.

In the record: a chain that is run twice gives two results, a remark says so, and the conformance kit fails.
"""

import time
from dataclasses import dataclass

import torch

from collapse_bench import Mitigation, hookimpl


@dataclass(frozen=True)
class Clock(Mitigation):
    def curate(self, corpus, access):
        rng = torch.Generator().manual_seed(time.time_ns() % 2**63)
        return corpus.reweighted(
            torch.rand(corpus.weight.shape, generator=rng, dtype=torch.float64)
        )


@hookimpl
def collapse_mitigations():
    return {"clock": Clock}
