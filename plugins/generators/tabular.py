"""Tables of real rows with a class, judged by what synthetic rows teach a classifier."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from collapse_bench.core.components import DataGenerator, Teacher
from collapse_bench.core.params import param
from collapse_bench.errors import Incompatible
from collapse_bench.lib.distributions.mixtures import drawn_by
from collapse_bench.lib.kept import LastOf
from collapse_bench.lib.tabular.readers import nearest_class, split_table
from collapse_bench.lib.tabular.utility import auc, logistic_scores
from collapse_bench.registry.hookspecs import hookimpl

LESSON = 512  # rows that a teacher writes for the classifier


@dataclass(frozen=True)
class Tabular(DataGenerator):
    """Rows of a real table with the class as last column; answers (R, n, d + 1).

    ``breast-cancer`` is the Wisconsin diagnostic set (569 rows, 30 columns, 2 classes), ``wine``
    three growers' wines (178 rows, 13 columns); both are of the UCI repository and part of the
    package.  A share ``held_out`` of the rows of each class, spread evenly over the file, is kept
    for the exam.  The others are the pool, from which real rows are drawn with replacement.
    Columns have mean 0 and standard deviation 1 over the pool.  The class is a number from 0; a
    teacher's class is the nearest of them.

    Losses, on the held-out rows.  A logistic regression learns the class from 512 rows that the
    teacher writes, see ``lib.tabular.utility``: ``error_rate`` of its largest score, and
    ``auc_lost``, 1 - AUC, the mean over classes of one class against the rest.  ``log_loss``: the
    mean of -log p of the whole row, nats per row, of a teacher with a density.  For a teacher that
    takes the class as one more number, p is a density in it too.

    Diagnostics, of the same 512 rows: ``variance``, that of a column over that of the pool, mean
    over columns; ``rarest_class_share``; ``correlation_gap``, the root mean square over pairs of
    columns of the difference of correlations between the 512 rows and the pool.
    """

    table: Literal["breast-cancer", "wine"] = param("breast-cancer", "the table")
    held_out: float = param(0.3, "share of the rows of each class in the exam", ge=0.1, le=0.5)

    kind = "density"
    family = "tabular"
    primary = "error_rate"

    @property
    def split(self):
        """The pool and the tests, on the CPU; see ``split_table``."""
        return split_table(self.table, self.held_out)

    @property
    def resolution(self) -> float:
        return 1 / len(self.split.tests)

    @property
    def labels(self) -> int:
        return self.split.classes

    @property
    def pool_size(self) -> int:
        return len(self.split.pool)

    def sample_truth(self, rng, nature=None):
        split = {
            name: value.to(rng.device) if isinstance(value, Tensor) else value
            for name, value in vars(self.split).items()
        }
        # losses and diagnostics share what the last teacher wrote for the classifier
        return self.with_truth(**split, lesson=rng.at("lesson"), kept=LastOf())

    def ask(self, n, rng):
        return torch.empty(*rng.chain_shape, n, 0, device=rng.device)

    def answer(self, x, rng):
        pool = self.truth.pool
        return pool[rng.integers(len(pool), x.shape[len(rng.chain_shape)])]

    def identity(self, x: Tensor, y: Tensor) -> Tensor:
        """The index of each row in the pool, (R, n) int64; the lowest of equal rows.

        Raises Incompatible for a row that is not in the pool.
        """
        pool, rows = self.truth.pool, y.reshape(-1, y.shape[-1])
        out = rows.new_empty(len(rows), dtype=torch.int64)
        for i in range(0, len(rows), 1024):
            gap = torch.cdist(rows[i : i + 1024], pool, p=float("inf"))
            nearest = gap.min(-1)
            if (nearest.values > 0).any():
                raise Incompatible(f"a row is not one of the real rows of {self.title()}")
            out[i : i + 1024] = nearest.indices
        return out.reshape(y.shape[:-1])

    def trivial(self):
        """Classes with the shares of the pool, and N(0, I) for the columns of each of them."""
        chain_shape = self.truth.lesson.chain_shape
        return StandardLaw(self.truth.share.expand(*chain_shape, -1), self.truth.pool.shape[-1] - 1)

    def losses(self, teacher, rng):
        x, label = self._split(self.truth.tests)
        rows, given = self._split(self._lesson(teacher))
        score = logistic_scores(rows, given, self.truth.classes, x)
        found = {
            "error_rate": (score.argmax(-1) != label).double().mean(-1),
            "auc_lost": 1
            - torch.stack([auc(score[..., c], label == c) for c in range(self.truth.classes)]).mean(
                0
            ),
        }
        try:
            return found | {"log_loss": self._log_loss(teacher)}
        except Incompatible:
            return found

    def diagnostics(self, teacher):
        rows, label = self._split(self._lesson(teacher))
        pool, _ = self._split(self.truth.pool)
        d = pool.shape[-1]
        gap = _correlation(rows) - _correlation(pool)
        return {
            "variance": (rows.var(-2, correction=0) / pool.var(-2, correction=0)).mean(-1),
            "rarest_class_share": (label == int(self.truth.share.argmin())).double().mean(-1),
            "correlation_gap": (gap.square().sum((-2, -1)) / (d * (d - 1))).sqrt(),
        }

    def _split(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Columns (..., n, d) and classes (..., n) of rows (..., n, d + 1)."""
        return rows[..., :-1].double(), nearest_class(rows[..., -1], self.truth.classes)

    def _lesson(self, teacher: Teacher) -> Tensor:
        """The rows that a teacher writes for the classifier, (R, 512, d + 1)."""
        rng = self.truth.lesson
        rows: Tensor = self.truth.kept.of(
            teacher, lambda: teacher.answer(self.ask(LESSON, rng), rng.at("rows"))
        )
        return rows

    def _log_loss(self, teacher: Teacher) -> Tensor:
        tests = self.truth.tests.expand(*self.truth.lesson.chain_shape, -1, -1)
        return -teacher.logp(tests[..., :0], tests)[..., 0].mean(-1)


@dataclass(frozen=True, eq=False)
class StandardLaw(Teacher):
    """Classes with ``share (R, C)``, and N(0, I) in ``d`` columns, whatever the class."""

    share: Tensor
    d: int

    def answer(self, x, rng):
        n = x.shape[len(rng.chain_shape)]
        z = rng.at("z").normal(n, self.d).double()
        label = drawn_by(self.share, rng.at("class").uniform(n))
        return torch.cat([z, label[..., None].double()], -1)

    def logp(self, x, y):
        label = nearest_class(y[..., -1], self.share.shape[-1])
        normal = -(y[..., :-1].double().square() + math.log(2 * math.pi)).sum(-1) / 2
        return (normal + self.share.log().gather(-1, label))[..., None]


def _correlation(rows: Tensor) -> Tensor:
    """Of the columns of rows (..., n, d); a column without spread has correlation 0."""
    about = rows - rows.mean(-2, keepdim=True)
    about = about / torch.linalg.vector_norm(about, dim=-2, keepdim=True).clamp_min(1e-150)
    return about.mT @ about


@hookimpl
def collapse_generators():
    return {"tabular": Tabular}
