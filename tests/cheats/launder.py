"""Keep real rows of the protocol as tensors, and read them again as if a model had written them.

Not detected: a corpus made of tensors counts as real unless its author says where it comes from, and this author lies.
What is kept as a corpus, or made without ``origin``, is charged.
"""

from dataclasses import dataclass

import torch

from collapse_bench import Corpus, Mitigation, hookimpl


@dataclass(frozen=True)
class Launder(Mitigation):
    def curate(self, corpus, access):
        kept, old = corpus.y.clone(), access.memory
        access.memory = kept if old is None else torch.cat([old, kept], -2)
        if old is None:
            return corpus
        return corpus + Corpus.of(None, old, corpus.chain_shape, origin=access.t)


@hookimpl
def collapse_mitigations():
    return {"launder": Launder}
