"""A reservoir over generations: a fair sample of all rows that were read so far."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import Lacks
from collapse_bench.laws.claims import Claim
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class ReplayBuffer(Mitigation):
    """Read a buffer of earlier rows with the rows of the protocol (Rolnick et al., arXiv
    1811.11682).

    The buffer is a reservoir (Vitter, ACM Trans. Math. Softw. 1985): at any time each row that a
    training set ever had is in it with the same probability.  It begins in generation 1, since a
    method never gets the rows that generation 0 read.

    Stage: curate; track: blind.  Where the protocol hands out real rows after generation 0 it is
    real, since real rows that are kept are used again.  With room for all rows it is accumulate
    without the rows of generation 0.
    """

    capacity: float = param(1.0, "rows in the buffer as a multiple of n", gt=0, le=1000)

    tunings = ({"capacity": 0.5}, {"capacity": 4.0})

    def incompatibility(self, cell):
        made = cell.protocol.composition
        if made is not None and made.earlier == "all":
            return (
                f"replay-buffer keeps earlier rows, and {cell.protocol.title()} reads all of them "
                "already; choose replace or mix"
            )
        if cell.data.sampler == "exact-law":
            return Lacks(
                "replay-buffer keeps rows, and sampler=exact-law draws only their sums or counts; "
                "choose sampler=explicit"
            )
        return super().incompatibility(cell)

    def curate(self, corpus, access):
        kept = access.memory
        # the rows with the smallest keys are a fair sample, however many came before
        keys = access.rng.at("keys").uniform(corpus.n)
        keys = torch.where(corpus.weight > 0, keys.to(corpus.weight.device), math.inf)
        pool = corpus
        if kept is not None:
            pool, keys = kept["rows"] + corpus, torch.cat([kept["keys"], keys], -1)
        room = min(pool.n, max(1, round(self.capacity * access.n)))
        keys, rows = keys.topk(room, largest=False)
        access.memory = {"rows": pool.at(rows), "keys": keys}
        return corpus if kept is None else corpus + kept["rows"]


# -- laws ------------------------------------------------------------------------------------------


@hookimpl
def collapse_claims():
    """With room for all rows: a pool that grows from the first teacher, whose error 1/M remains."""

    def pooled(M, t):
        spec = f"gaussian | gaussian-fit | replace | replay-buffer(capacity=100) @ n={M} T={t}"
        given = {"M": M, "t": t, "ddof": 1}
        return Claim("gaussian.acc_e", given, spec, "mean_drift", t, 8000, plus=1 / M)

    return [pooled(10, 6), pooled(4, 2)]


@hookimpl
def collapse_mitigations():
    return {"replay-buffer": ReplayBuffer}
