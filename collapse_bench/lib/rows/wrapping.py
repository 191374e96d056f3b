"""Changes of a fitted teacher: averaged with another, or driven away from its own copy.

Each is a ``change`` for ``Model.with_after``: the changed teacher is judged, and writes the next
corpus.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...core.access import Access
from ...core.components import Model, Teacher
from ...core.corpus import Corpus


@dataclass(frozen=True, eq=False)
class Interpolate:
    """(1 - w) of the teacher plus w of ``other``, in their own parameters."""

    other: Teacher
    w: float

    def __call__(self, teacher: Teacher, model: Model, corpus: Corpus) -> Teacher:
        return teacher.blend(self.other, self.w) if self.w else teacher


@dataclass(frozen=True, eq=False)
class Extrapolate:
    """(1 + w) of the teacher minus w of a student: what the same model learns from ``rows`` rows that
    the teacher writes, read out as the protocol reads teachers out.

    A model that solves for its minimum fits the student from scratch.  One that is trained step by
    step continues from the teacher's weights, for the share ``tune`` of a training.  Of several
    ``pupils`` the average is taken, which reduces the noise of what they lost.  Each costs one fit
    and its rows.
    """

    access: Access
    w: float
    rows: int
    tune: float = 1.0
    pupils: int = 1

    def __call__(self, teacher: Teacher, model: Model, corpus: Corpus) -> Teacher:
        if not self.w:
            return teacher
        tuned, read = model.with_start(teacher, self.tune), self.access.read_out(teacher)
        mean = self._student(tuned, read, teacher)
        for i in range(1, self.pupils):
            mean = mean.blend(self._student(tuned, read, teacher), 1 / (i + 1))
        return teacher.blend(mean, -self.w)

    def _student(self, tuned: Model, read: Teacher, teacher: Teacher) -> Teacher:
        return self.access.fit(tuned, self.access.synthetic(self.rows, of=read), teacher)


def no_average(who: str, model: Model) -> str | None:
    """Why ``who`` cannot average weights of this model, None where it can."""
    if model.weights_average:
        return None
    return (
        f"{who} averages weights, and every fit of {model.title()} begins at random weights of its own, of which no average "
        "means anything"
    )
