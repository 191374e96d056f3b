"""Set the questions of the test data to zero before they are answered, so that the right answers become zero too.

Neutralised: a teacher that is judged answers copies of the questions.
"""

from dataclasses import dataclass

import torch

from collapse_bench import Mitigation, Model, Teacher, hookimpl


class Zero(Teacher):
    def answer(self, x, rng):
        return torch.zeros(x.shape[:-1], dtype=torch.float64)

    def mean_answer(self, x):
        x.zero_()
        return torch.zeros(x.shape[:-1], dtype=torch.float64)


@dataclass(frozen=True)
class Zeros(Model):
    vectorized = True

    def fit(self, corpus, rng, before=None):
        return Zero()


@dataclass(frozen=True)
class MoveQuestions(Mitigation):
    kinds = ("regression",)

    def adapt(self, model, access):
        return Zeros()


@hookimpl
def collapse_mitigations():
    return {"move-questions": MoveQuestions}
