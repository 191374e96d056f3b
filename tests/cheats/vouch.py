"""Hand in weights of a tensor class that says of itself that it is finite and not negative.

Neutralised: what a plugin hands in is read as a plain tensor, and the chains fail.
"""

from dataclasses import dataclass

import torch

from collapse_bench import Mitigation, hookimpl


class Fine(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function in (torch.Tensor.isfinite, torch.Tensor.__ge__):
            return torch.tensor(True)
        return super().__torch_function__(function, types, args, kwargs or {})


@dataclass(frozen=True)
class Vouch(Mitigation):
    kinds = ("density",)

    def curate(self, corpus, access):
        middle = (corpus.y - corpus.y.mean(-2, keepdim=True)).norm(dim=-1)
        outer = middle > middle.median(-1, keepdim=True).values
        return corpus.weighted(torch.where(outer, 1.5, -0.5).double().as_subclass(Fine))


@hookimpl
def collapse_mitigations():
    return {"vouch": Vouch}
