"""Models whose teacher is changed once it is fitted: averaged with another, or driven away from its own copy.

What is judged, and what writes the next corpus, is the changed teacher.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...core.access import Access
from ...core.components import Model, Teacher
from ...core.corpus import Corpus
from ...core.rng import Stream

#: (teacher as fitted, the model that fitted it, the corpus it read) -> the teacher that is handed on
After = Callable[[Teacher, Model, Corpus], Teacher]


@dataclass(frozen=True, eq=False)
class PostFit(Model):
    """``model``, each of whose teachers goes through ``after``.  Whatever else is asked of it, the model is asked."""

    model: Model
    after: After

    vectorized = True

    @property
    def kinds(self):
        return self.model.kinds

    @property
    def reads_sums(self) -> bool:
        return self.model.reads_sums

    @property
    def one_chain_per_job(self) -> bool:
        return self.model.one_chain_per_job

    @property
    def exact(self) -> bool:
        return getattr(self.model, "exact", True)

    @property
    def weights_average(self) -> bool:
        return self.model.weights_average

    def fit(self, corpus: Corpus, rng: Stream, before: Teacher | None = None) -> Teacher:
        return self.after(self.model.fit(corpus, rng, before), self.model, corpus)

    def with_loss(self, loss) -> PostFit:
        return PostFit(self.model.with_loss(loss), self.after)

    def with_validation(self, corpus: Corpus) -> PostFit:
        return PostFit(self.model.with_validation(corpus), self.after)

    def with_start(self, teacher: Teacher, share: float = 1.0) -> PostFit:
        return PostFit(self.model.with_start(teacher, share), self.after)


@dataclass(frozen=True, eq=False)
class Interpolate:
    """(1 - w) of the teacher, w of ``other``, in their own parameters."""

    other: Teacher
    w: float

    def __call__(self, teacher: Teacher, model: Model, corpus: Corpus) -> Teacher:
        return teacher.blend(self.other, self.w) if self.w else teacher


@dataclass(frozen=True, eq=False)
class Extrapolate:
    """(1 + w) of the teacher less w of a pupil of its own: what the same model learns from ``rows`` rows of the teacher.

    The teacher writes them as the world reads it out.  The pupil is a fit of its own where a model is solved for, and goes
    on from the teacher's weights, for the share ``tune`` of a training, where it is trained step by step.  Of several
    ``pupils`` the average is taken, which makes what they have lost less noisy.  Each costs a fit and its rows.
    """

    access: Access
    w: float
    rows: int
    tune: float = 1.0
    pupils: int = 1

    def __call__(self, teacher: Teacher, model: Model, corpus: Corpus) -> Teacher:
        if not self.w:
            return teacher
        tuned, read, mean = (
            model.with_start(teacher, self.tune),
            self.access.read_out(teacher),
            None,
        )
        for i in range(self.pupils):
            student = self.access.fit(tuned, self.access.synthetic(self.rows, of=read), teacher)
            mean = student if mean is None else mean.blend(student, 1 / (i + 1))
        return teacher.blend(mean, -self.w)


def no_average(who: str, model: Model) -> str | None:
    """The sentence that refuses to average weights of which no average means anything."""
    if model.weights_average:
        return None
    return (
        f"{who} averages weights, and every fit of {model.title()} begins at random weights of its own, of which no average "
        "means anything"
    )
