"""A fit on all real rows that the protocol handed out after generation 0."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.lib.rows.handed import as_many, none_handed
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class RealOnly(Mitigation):
    """A fit on all real rows that the protocol handed out in generations 1 .. t, pooled.

    It draws as many new real rows as the protocol did in each generation, pays for them and keeps
    them.  The rows of generation 0 are not among them, since no method is handed those; where a
    flawed source teaches generation 0, methods act there too, and its real rows count.  In a world
    that moves, the pool holds rows of earlier worlds.  A method that keeps real rows must beat it.
    It refuses protocols that hand out no new real rows after generation 0.
    """

    control = True

    def incompatibility(self, cell):
        return none_handed(self.title(), cell) or super().incompatibility(cell)

    def curate(self, corpus, access):
        pool, new = access.memory, as_many(self.title(), access)
        pool = new if pool is None else pool + new
        access.memory = pool
        return pool


@hookimpl
def collapse_mitigations():
    return {"real-only": RealOnly}
