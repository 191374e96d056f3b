"""Changes of a fitted teacher: interpolate to another one, or extrapolate away from a student.

Each is a ``change`` for ``Model.with_after``: the changed teacher is scored and writes the next
corpus.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...core.access import Access
from ...core.components import Model, Teacher
from ...core.corpus import Corpus
from ...errors import Lacks


@dataclass(frozen=True, eq=False)
class Interpolate:
    """(1 - w) times the teacher plus w times ``other``, in parameter space."""

    other: Teacher
    w: float

    def __call__(self, teacher: Teacher, model: Model, corpus: Corpus) -> Teacher:
        return teacher.blend(self.other, self.w) if self.w else teacher


@dataclass(frozen=True, eq=False)
class Extrapolate:
    """(1 + w) times the teacher minus w times a student, in parameter space.

    The student is the same model fitted to ``rows`` rows that the teacher writes, decoded as the
    protocol decodes.  A model that solves for its minimum fits the student from scratch.  One that
    is trained step by step continues from the teacher's weights, for the share ``tune`` of a
    training.  Several ``students`` are averaged, which reduces the noise of their error.
    Each student costs one fit and its rows.
    """

    access: Access
    w: float
    rows: int
    tune: float = 1.0
    students: int = 1

    def __call__(self, teacher: Teacher, model: Model, corpus: Corpus) -> Teacher:
        if not self.w:
            return teacher
        tuned, read = model.with_start(teacher, self.tune), self.access.read_out(teacher)
        mean = self._student(tuned, read, teacher)
        for i in range(1, self.students):
            mean = mean.blend(self._student(tuned, read, teacher), 1 / (i + 1))
        return teacher.blend(mean, -self.w)

    def _student(self, tuned: Model, read: Teacher, teacher: Teacher) -> Teacher:
        return self.access.fit(tuned, self.access.synthetic(self.rows, of=read), teacher)


def no_average(who: str, model: Model) -> str | None:
    """A sentence that says why ``who`` cannot average weights of this model; None where it can."""
    if model.weights_average:
        return None
    return Lacks(
        f"{who} averages weights, and every fit of {model.title()} begins at other random weights, "
        "so an average has no meaning"
    )
