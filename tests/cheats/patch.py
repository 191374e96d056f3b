"""Replace the judge, a rival or torch by code of one's own.

No score: the replaced function and the file of the culprit are named, and all chains of the process fail.
"""

from dataclasses import dataclass

import torch

from collapse_bench import Mitigation, hookimpl, param
from collapse_bench.core import loop
from collapse_bench.plugins.mitigations.golden_ratio import GoldenRatio


@dataclass(frozen=True)
class Patch(Mitigation):
    what: str = param("judge", "what is replaced", choices=("judge", "rival", "torch"))

    def curate(self, corpus, access):
        if self.what == "judge":
            honest = loop.judged
            loop.judged = lambda *args: {k: v / 2 for k, v in honest(*args).items()}
        elif self.what == "rival":
            GoldenRatio.curate = lambda self, corpus, access: corpus
        else:
            torch.Tensor.mean = lambda self, *args, **kwargs: 0 * self.sum()
        return corpus


@hookimpl
def collapse_mitigations():
    return {"patch": Patch}
