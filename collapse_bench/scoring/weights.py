"""The weights of tasks: families count equally, and no task decides a board."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .rules import MOST_WEIGHT, Array, Mask


def family_weights(families: Sequence[str], part: Sequence[int]) -> Array:
    """w_k (K,): families count equally, and so do tasks within a family (rule 4).

    0 for tasks outside ``part``.
    """
    inside = [families[k] for k in part]
    weight = np.zeros(len(families))
    weight[part] = [1 / (len(set(inside)) * inside.count(family)) for family in inside]
    return weight


def capped(weight: Array, most: float) -> Array:
    """The weights (K,) with none above ``most``; the rest is given to the others in proportion.

    Weights are >= 0 and add up to 1.  They are returned as they are where ``most`` is too small for
    the number of tasks.
    """
    inside = weight > 0
    if most * inside.sum() < 1 - 1e-12:
        return weight
    out, full = weight, np.zeros(len(weight), bool)
    while (out > most * (1 + 1e-12)).any():
        full |= out > most * (1 + 1e-12)
        free = inside & ~full
        left = 1 - most * full.sum()
        share = weight * free
        out = np.where(full, most, share * (left / share.sum() if free.any() else 0.0))
    return out


class Weighting:
    """Weights of tasks for the rows of a board.

    families: of the K tasks.  part: indices of the tasks that enter means.  A row that fits only
    some of them has families of equal weight again, and no task weighs more in it than 5 % of the
    part of the suite that it fits.
    """

    def __init__(self, families: Sequence[str], part: Sequence[int]):
        self.families, self.part = families, np.asarray(part, np.intp)
        plain = family_weights(families, part)
        self.limited = MOST_WEIGHT * len(part) >= 1 - 1e-12  #: whether there are tasks enough
        self.suite: Array = capped(plain, MOST_WEIGHT) if self.limited else plain  #: (K,)

    def coverage(self, fits: Mask) -> Array:
        """Share (...) of the weight of the suite on the tasks where ``fits (..., K)`` is true."""
        return np.asarray(np.asarray(fits, float) @ self.suite)

    def of(self, fits: Mask) -> Array:
        """w_k (K,) of a row that fits these tasks (K,); all 0 where it fits none."""
        inside = [int(k) for k in self.part if fits[k]]
        if not inside:
            return np.zeros(len(self.families))
        weight = family_weights(self.families, inside)
        if not self.limited:
            return weight
        return capped(weight, MOST_WEIGHT / float(self.coverage(fits)))

    def note(self) -> str | None:
        """A sentence where the suite has too few tasks for the limit of 5 %."""
        if self.limited:
            return None
        return (
            f"with {len(self.part)} tasks the largest weight of a task is "
            f"{100 * self.suite.max():.0f} %; the limit of {100 * MOST_WEIGHT:.0f} % needs "
            f"{round(1 / MOST_WEIGHT)} tasks or more"
        )
