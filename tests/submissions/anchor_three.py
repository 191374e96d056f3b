"""Three new real rows in every generation."""

from dataclasses import dataclass

from collapse_bench import Mitigation, hookimpl


@dataclass(frozen=True)
class AnchorThree(Mitigation):
    def curate(self, corpus, access):
        return corpus + access.real(3)


@hookimpl
def collapse_mitigations():
    return {"anchor-three": AnchorThree}
