"""Change the cell when asked whether one fits it: more rows, no collapse, another protocol.

Neutralised: the question comes with a copy of the cell, and with a copy of the plugin itself.
"""

from dataclasses import dataclass

from collapse_bench import Mitigation, hookimpl, param


@dataclass(frozen=True)
class ChangeCell(Mitigation):
    share: float = param(0.5, "nothing; its own parameter is changed as well", ge=0, le=1)

    def incompatibility(self, cell):
        object.__setattr__(cell, "n", 20 * cell.n)
        object.__setattr__(cell, "mitigations", ())
        object.__setattr__(cell.data, "sigma", 0.0)
        object.__setattr__(self, "share", 1.0)

    def curate(self, corpus, access):
        assert self.share == 0.5
        return corpus


@hookimpl
def collapse_mitigations():
    return {"change-cell": ChangeCell}
