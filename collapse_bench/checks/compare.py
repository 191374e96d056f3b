"""How two teachers or corpora are compared, and how a failed check is reported."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.components import DataGenerator, Teacher
from ..core.corpus import Corpus
from ..core.rng import Stream
from ..core.sums import SumsPart
from ..errors import Incompatible


class CheckFailure(AssertionError):
    """A plugin breaks a rule; the sentence says which, and the most likely mistake."""


class RunFailure(CheckFailure):
    """A cell does not run; the plugin under test is to blame if the cell runs without it."""


class OldNamesInUse(Exception):
    """A plugin uses names that are removed in the next release; it still works."""


def behaviour(
    teacher: Teacher, x: Tensor, y: Tensor, rng: Stream, drawing: bool = True
) -> dict[str, Tensor]:
    """What a teacher returns from each of its methods (R, ...); methods that it lacks are left out.

    Without ``drawing``, its drawn answers are left out where another method gives their
    distribution: a covariance factor is known up to signs, so that equal distributions may draw
    different numbers.
    """
    values: dict[str, Tensor] = {}
    try:
        values["mean"], factor = teacher.mean_and_factor()
        values["covariance"] = factor @ factor.mT
    except Incompatible:
        pass
    for method, call in (
        ("mean_answer", lambda: teacher.mean_answer(x)),
        ("logp", lambda: teacher.logp(x, y)),
    ):
        try:
            values[method] = call()
        except Incompatible:
            continue
    if drawing or not values:
        values["answer"] = teacher.answer(x, rng.at("answer"))
    return values


def _differ(left: Tensor, right: Tensor) -> str | None:
    """None where two tensors agree to 1e-6 of their scale (float32: 1e-3), else how they differ."""
    if left.shape != right.shape:
        return f"shapes {tuple(left.shape)} and {tuple(right.shape)}"
    if not left.is_floating_point():
        return None if torch.equal(left, right) else f"{int((left != right).sum())} entries differ"
    finite = torch.isfinite(left) & torch.isfinite(right)
    same = (left == right) | (torch.isnan(left) & torch.isnan(right))
    if not (finite | same).all():
        return "one is finite where the other is not"
    gap = torch.where(finite & ~same, left.double() - right.double(), 0.0).abs()
    scale = torch.where(finite, left.double().abs(), 0.0)
    limit = 1e-6 if left.dtype == right.dtype == torch.float64 else 1e-3
    worst = float(gap.max()) if gap.numel() else 0.0
    if worst <= limit * float(scale.max() if scale.numel() else 0.0):
        return None
    return f"largest difference {worst:.3g} at scale {float(scale.max()):.3g}"


def alike(left: Mapping[str, Tensor], right: Mapping[str, Tensor], sentence: str) -> None:
    """Raise CheckFailure with the sentence where two sets of values differ."""
    if left.keys() != right.keys():
        raise CheckFailure(f"{sentence} (one has {sorted(left)}, the other {sorted(right)})")
    for name in left:
        difference = _differ(left[name], right[name])
        if difference:
            raise CheckFailure(f"{sentence} ({name}: {difference})")


def chain_at(values: Mapping[str, Tensor], r: tuple[int, ...]) -> dict[str, Tensor]:
    return {name: value[r] for name, value in values.items()}


def tensors_of(corpus: Corpus) -> dict[str, Tensor]:
    """A corpus as tensors to compare."""
    if not corpus.has_rows:
        sums = corpus.moments()
        return {"weight": sums.weight, "mean": sums.mean, "scatter": sums.scatter}
    return {"x": corpus.x, "y": corpus.y, "weight": corpus.weight, "count": corpus.count}


class Lent:
    """Tensors that are passed to a plugin, remembered so that a change in place is found."""

    def __init__(self, **tensors: Any):
        self.tensors = {name: value for name, value in tensors.items() if isinstance(value, Tensor)}
        self.copies = {
            name: (value._version, value.clone()) for name, value in self.tensors.items()
        }

    @classmethod
    def of(cls, corpus: Corpus) -> Lent:
        held: dict[str, Any] = {}
        for i, part in enumerate(corpus._parts):
            values = vars(part.sums if isinstance(part, SumsPart) else part)
            held |= {f"{name} of part {i}": value for name, value in values.items()}
        return cls(**held)

    def untouched(self, who: str) -> None:
        for name, value in self.tensors.items():
            version, copy = self.copies[name]
            if value._version != version or _differ(value, copy):
                raise CheckFailure(
                    f"{who} changed {name} in place; inputs are read-only: return a new tensor (`a "
                    f"+ b`, not `a += b`)"
                )


def disturb(seed: int) -> None:
    """Seed the global random generators, which no plugin may read."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


class Undisturbed:
    """Restores the global random generators on exit."""

    def __enter__(self):
        self.torch, self.numpy = torch.get_rng_state(), np.random.get_state()
        self.python = random.getstate()

    def __exit__(self, *_):
        torch.set_rng_state(self.torch)
        np.random.set_state(self.numpy)
        random.setstate(self.python)


def z_score(gap: Tensor) -> float:
    """Mean of independent differences (R,) over its standard error."""
    gap = gap.double()
    mean, error = float(gap.mean()), float(gap.std() / math.sqrt(gap.numel()))
    return 0.0 if abs(mean) < 1e-12 else mean / max(error, 1e-300)


DRAWS = 16384  # answers per chain in which a teacher shows that it answers as it states
BLOCK = 512  # of them, whose mean is compared


def answers_as_stated(teacher: Teacher, data: DataGenerator, rng: Stream) -> str | None:
    """None where a teacher's answers have the distribution that its other methods state, else what
    differs: a teacher is judged by those methods, and teaches by its answers.

    Two independent draws are compared with the statement.  Their gaps have a product of mean 0
    unless the statement is wrong, whatever the distribution of the answers.
    """
    x = data.ask(DRAWS, rng.at("x"))
    one, two = (teacher.answer(x, rng.at("answer", i)) for i in (1, 2))
    try:
        if data.kind == "density":
            mean, factor = teacher.mean_and_factor()
            spread = (factor @ factor.mT).diagonal(dim1=-2, dim2=-1)[..., None, :]
            gaps = [_blocks(y) - mean[..., None, :] for y in (one, two)]
            if _biased(gaps, spread.sqrt()):
                return "mean_and_factor states another mean than that of its answers"
            squares = [(y - mean[..., None, :]) ** 2 for y in (one, two)]
            if _biased([_blocks(value) - spread for value in squares], spread):
                return "mean_and_factor states another variance than that of its answers"
        elif data.kind == "regression":
            mean = teacher.mean_answer(x)
            if _biased([one - mean, two - mean], mean.std(-1, keepdim=True)):
                return "mean_answer states other answers than those that it gives"
        elif data.kind == "discrete" and data.labels is not None:
            likeliest = one.mode(-1, keepdim=True).values.expand(one.shape)
            share = teacher.logp(x, likeliest)[..., 0].exp()
            if _biased([(y == likeliest).double() - share for y in (one, two)], torch.ones(())):
                return "logp states another probability than that of its answers"
    except Incompatible:
        pass
    return None


def _blocks(y: Tensor) -> Tensor:
    """Means of blocks of rows, (R, n / BLOCK, d)."""
    return y.double().unflatten(-2, (-1, BLOCK)).mean(-2)


def _biased(gaps: list[Tensor], scale: Tensor) -> bool:
    """Whether two independent estimates of one quantity, both minus what is stated, are off by more
    than chance (6 standard errors) and by more than rounding."""
    one, two = gaps
    product = (one / scale.clamp_min(1e-300)) * (two / scale.clamp_min(1e-300))
    product = product[product.isfinite()].flatten()
    return bool(product.numel()) and float(product.mean()) > 1e-6 and z_score(product) > 6
