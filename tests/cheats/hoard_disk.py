"""Write real rows to a file, and read them as one's own in the next run.

Not detected in the next run, whose ledger shows no real row; a remark tells of the first.  Seeds with truths of their
own make the file worthless; where all seeds share one truth, it works.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from collapse_bench import Corpus, Mitigation, hookimpl


@dataclass(frozen=True)
class HoardDisk(Mitigation):
    kinds = ("density",)

    def curate(self, corpus, access):
        file = Path(os.environ["CHEAT_FILE"])
        if not file.exists():
            torch.save(access.real(500).y[0], file)
            return corpus
        rows = torch.load(file).expand(*corpus.chain_shape, -1, -1)
        return Corpus.of(None, rows, corpus.chain_shape, origin=access.t)


@hookimpl
def collapse_mitigations():
    return {"hoard-disk": HoardDisk}
