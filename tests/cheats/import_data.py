"""Import the data set of a task from a library, and train on it in silence.

Not detected: knowledge that comes with an import leaves no trace in the ledger.  An honest method declares it with
`access.external`.
"""

from dataclasses import dataclass

import torch

from collapse_bench import Corpus, Mitigation, hookimpl
from collapse_bench.lib.images.readers import read_digits


@dataclass(frozen=True)
class ImportData(Mitigation):
    kinds = ("classification",)

    def curate(self, corpus, access):
        low, high = corpus.x.min(), corpus.x.max()  # of pixels as the data generator scales them
        images, labels, *_ = map(torch.tensor, read_digits())
        x = (images.flatten(1) / 16 * (high - low) + low).to(corpus.x.dtype)
        y = labels
        chains = corpus.chain_shape
        x, y = x.expand(*chains, *x.shape), y.expand(*chains, *y.shape)
        return Corpus.of(x, y, chains, origin=access.t, labels=corpus.labels)


@hookimpl
def collapse_mitigations():
    return {"import-data": ImportData}
