"""A fit on the real rows of one generation and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.lib.rows.handed import as_many, none_handed
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class RealNow(Mitigation):
    """A fit on the real rows that the protocol handed out in this generation, and on no other row.

    It draws as many new real rows as the protocol did, and pays for them.  A method that reads the
    protocol's mixture must beat it before its synthetic rows can be called useful.  It refuses
    protocols that hand out no new real rows after generation 0.
    """

    control = True

    def incompatibility(self, cell):
        return none_handed(self.title(), cell) or super().incompatibility(cell)

    def curate(self, corpus, access):
        return as_many(self.title(), access)


@hookimpl
def collapse_mitigations():
    return {"real-now": RealNow}
