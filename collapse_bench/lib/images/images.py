"""Real labelled images as data generators: a finite training pool and held-out images."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from ...core.components import DataGenerator, Teacher
from ...core.content import cached_by_content, same_files, unchanged
from ...core.params import param
from ...core.rng import Stream
from ...errors import Incompatible, UsageError
from ..kept import LastOf
from ..rows.pools import deal

BUDGET = 1 << 25  # bytes of pixels that are processed at a time


@dataclass(frozen=True)
class ImagePool(DataGenerator):
    """Real images with true labels.

    A subclass defines ``images`` (their source), questions and answers.

    Images are drawn from the training pool without replacement within one draw; a draw larger than
    the pool starts a new pass in another order.  Pixels are shifted and scaled by two numbers so
    that over the pool they have mean 0 and standard deviation 1.  With ``fresh=false`` every draw
    returns the same images in the same order, in every generation.

    ``minority`` makes one class rare: its images in the pool are thinned, evenly over the file,
    until they make up this share.  The scale of the pixels stays that of the whole pool.

    The pool is finite and images repeat: after some generations a method has seen all of them.  The
    ledger counts unique real rows as different images.
    """

    fresh: bool = param(
        True, "new images in every draw; false: the same images in every generation"
    )
    minority: float | None = param(
        None,
        "share of the pool that one class is reduced to; null: unchanged",
        gt=0,
        lt=1,
        later=True,
    )
    rare: int | None = param(
        None, "class that minority reduces; null: the one with the fewest images", ge=0, later=True
    )

    family = "images"

    def __post_init__(self):
        super().__post_init__()
        if self.rare is not None and self.minority is None:
            raise UsageError(
                f"{self.title()}: rare={self.rare} names the class that minority reduces; "
                f"give its share too, e.g. {self.title()}(minority=0.02, rare={self.rare})"
            )

    def images(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(train_x, train_y, test_x, test_y): images (n, rows, columns), integer labels (n,)."""
        raise NotImplementedError

    @property
    def shared(self) -> ImagePool:
        """The canonical generator of this pool: the key under which the images are cached.

        Fields that do not change the pool, such as ``fresh``, are set to their defaults.
        """
        return same_files(self, fresh=True)

    @property
    def table(self) -> SimpleNamespace:
        """All images and their lookup table, on the CPU; see ``_table``."""
        return _table(self.shared)

    @property
    def pool_size(self) -> int:
        return self.table.pool

    def sample_truth(self, rng, nature=None):
        table = {
            name: value.to(rng.device) if isinstance(value, Tensor) else value
            for name, value in vars(self.table).items()
        }
        return self.with_truth(
            **table,
            chain_shape=rng.chain_shape,
            questions=rng.at("questions"),
            kept=LastOf(),  # losses and diagnostics share what the last teacher answered
        )

    def dealt(self, n: int, rng: Stream) -> Tensor:
        """Indices into the pool for a draw of n images, (R, n) int64."""
        return deal(n, self.truth.pool, rng if self.fresh else self.truth.questions.at("x"))

    def number(self, images: Tensor) -> Tensor:
        """The index of each image, (R, n) int64 for images (R, n, pixels).

        Training images count from 0, held-out images from ``pool_size``.  Identical images share
        the lowest index.  Images are looked up by a 64-bit hash of their content.  Raises
        Incompatible for an image that is neither in the pool nor held out, since its true label is
        unknown.
        """
        hashes = _hashes(images.reshape(-1, images.shape[-1]), self.truth.keys)
        place = torch.searchsorted(self.truth.hashes, hashes).clamp_max(len(self.truth.hashes) - 1)
        strange = (self.truth.hashes[place] != hashes).sum()
        if strange:
            raise Incompatible(
                f"{int(strange)} questions are not images of {self.title()}, so their true labels "
                "are unknown; ask only about its images, unchanged"
            )
        return self.truth.ids[place].reshape(images.shape[:-1])


@dataclass(frozen=True)
class LabelledImages(ImagePool):
    """Questions are images x (R, n, pixels), answers are their labels (R, n) int64 without noise.

    The images come from a pool, see ImagePool.

    Every question is a real image, whichever teacher answers it, so a method gains real images
    through the questions.  With ``fresh=false`` the images are the same in every generation and
    only the labels are inherited.

    Losses, all on the held-out images, which ``minority`` does not reduce: ``error_rate``;
    ``error_rarest_class``, on the class with the fewest images in the pool; ``error_worst_class``,
    on the class where the teacher is worst.  Losses use only ``teacher.mean_answer``; a class
    without a column, because the student never saw it, counts as -inf.  Diagnostics: the entropy of
    the answered labels (nats), the share of the rarest class, and the share of classes that occur.
    """

    kind = "classification"
    primary = "error_rate"
    tail_metric = "error_rarest_class"

    @property
    def resolution(self) -> float:
        return 1 / len(self.table.test_labels)

    @property
    def labels(self) -> int:
        return self.table.classes

    def ask(self, n, rng):
        return self.truth.images[self.dealt(n, rng)]

    def identity(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The index of each question's image, (R, n) int64."""
        return self.number(x)

    def answer(self, x, rng):
        return self._label(x)

    def mean_answer(self, x):
        return torch.nn.functional.one_hot(self._label(x), self.truth.classes).double()

    def verify(self, x, y):
        return y == self._label(x)

    def trivial(self):
        """The most frequent class of the pool for every image; the first of equals."""
        often = int(self.truth.share.argmax())
        score = torch.zeros(
            self.truth.classes, dtype=torch.float64, device=self.truth.images.device
        )
        score[often] = 1.0
        return OneClass(score)

    def losses(self, teacher, rng):
        wrong = (self._given(teacher) != self.truth.test_labels).double()
        by_class = wrong @ self.truth.per_class  # (R, C); 0 for classes without held-out images
        return {
            "error_rate": wrong.mean(-1),
            "error_rarest_class": by_class[..., self.truth.rarest],
            "error_worst_class": by_class.amax(-1),
        }

    def diagnostics(self, teacher):
        given, classes = self._given(teacher), self.truth.classes
        share = torch.stack([(given == c).double().mean(-1) for c in range(classes)], -1)
        return described(share, self.truth.rarest)

    def _label(self, x: Tensor) -> Tensor:
        return self.truth.labels[self.number(x)]

    def _given(self, teacher: Teacher) -> Tensor:
        """The teacher's label for each held-out image, (R, m) int64; cached for the last one."""
        given: Tensor = self.truth.kept.of(teacher, lambda: self._answers(teacher))
        return given

    def _answers(self, teacher: Teacher) -> Tensor:
        tests, chain_shape = self.truth.images[self.truth.pool :], self.truth.chain_shape
        rows = max(1, BUDGET // (8 * tests.shape[-1] * max(1, int(np.prod(chain_shape)))))
        labels = []
        for x in tests.split(rows):
            scores = teacher.mean_answer(x.expand(*chain_shape, *x.shape))  # (R, rows, C)
            if tuple(scores.shape[:-1]) != (*chain_shape, len(x)):
                raise Incompatible(
                    f"{type(teacher).__name__}.mean_answer returned shape {tuple(scores.shape)}; "
                    f"expected class scores of shape {(*chain_shape, len(x), self.truth.classes)}"
                )
            # A class without a column is never the largest, as if its score were -inf.
            labels.append(scores.argmax(-1))
        return torch.cat(labels, -1)


@dataclass(frozen=True, eq=False)
class OneClass(Teacher):
    """score (C,) float64: the class of the largest score, whatever the image x (R, n, pixels)."""

    score: Tensor

    def mean_answer(self, x: Tensor) -> Tensor:
        return self.score.expand(*x.shape[:-1], -1)

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        return self.mean_answer(x).argmax(-1)


def described(share: Tensor, rarest: int) -> dict[str, Tensor]:
    """Diagnostics (R,) of class shares (R, C): entropy, rarest class, classes present."""
    return {
        "label_entropy": torch.special.entr(share).sum(-1),
        "rarest_class_share": share[..., rarest],
        "classes_given": (share > 0).double().mean(-1),
    }


@cached_by_content(maxsize=2)
def _table(data: ImagePool) -> SimpleNamespace:
    """All images of a generator, training images first, with their lookup table; read once."""
    with unchanged(data):
        train_x, train_y, test_x, test_y = data.images()
    values = train_x.reshape(-1)
    mean = float(values.mean(dtype=np.float64))
    square = (
        float(np.einsum("i,i->", values, values, dtype=np.float64, casting="unsafe")) / values.size
    )
    rare = _cut_down(data, train_y)
    if rare is not None and data.minority is not None:
        kept = thinned(train_y, rare, data.minority)
        train_x, train_y = train_x[kept], train_y[kept]
    pool, labels = (
        len(train_y),
        torch.from_numpy(np.concatenate([train_y, test_y]).astype(np.int64)),
    )
    images = torch.from_numpy(
        np.concatenate([train_x, test_x]).reshape(len(labels), -1).astype(np.float32)
    )
    images.sub_(mean).div_(max(square - mean**2, 0.0) ** 0.5 or 1.0)

    keys = _keys(images.shape[-1])
    hashes, order = _hashes(images, keys).sort(stable=True)
    # The stable sort puts identical images next to each other with the lowest index first; a left
    # search then maps each of them to that index.
    first = torch.searchsorted(hashes, hashes)
    test_labels, classes = labels[pool:], int(labels.max()) + 1
    counts = torch.bincount(labels[:pool], minlength=classes)
    held_out = torch.bincount(test_labels, minlength=classes)
    return SimpleNamespace(
        images=images,  # (pool + m, pixels) float32
        labels=labels,  # (pool + m,) int64
        pool=pool,
        test_labels=test_labels,  # (m,)
        classes=classes,
        shape=train_x.shape[1:],
        share=counts.double() / pool,  # (C,), share of each class in the pool
        rarest=int(torch.where(held_out > 0, counts, pool + 1).argmin()) if rare is None else rare,
        per_class=torch.nn.functional.one_hot(test_labels, classes).double()
        / held_out.clamp_min(1),  # (m, C)
        keys=keys,
        hashes=hashes,
        ids=order[first],
    )


def _cut_down(data: ImagePool, labels: np.ndarray) -> int | None:
    """The class that ``minority`` reduces, or None if it is not set.

    Raises UsageError if the class does not exist or is already rarer than ``minority``.
    """
    if data.minority is None:
        return None
    counts = np.bincount(labels)
    rare = (
        int(np.where(counts > 0, counts, len(labels)).argmin()) if data.rare is None else data.rare
    )
    have = counts[rare] if rare < len(counts) else 0
    if not have:
        raise UsageError(
            f"{data.title()} has the classes 0 to {len(counts) - 1}, and rare={rare} is not one of "
            "them"
        )
    if data.minority > have / len(labels):
        raise UsageError(
            f"class {rare} makes up {have / len(labels):.4g} of the images of {data.title()}; "
            f"minority must be less than that, got {data.minority:g}"
        )
    return rare


def thinned(labels: np.ndarray, rare: int, share: float) -> np.ndarray:
    """Indices of the rows that remain when class ``rare`` is thinned to ``share`` of all rows.

    At least one row of the class remains; the remaining ones are spread evenly.
    """
    own = labels == rare
    wanted = max(1, round(share / (1 - share) * float((~own).sum())))
    kept = np.flatnonzero(own)
    return np.sort(np.concatenate([np.flatnonzero(~own), kept[evenly(len(kept), wanted)]]))


def evenly(n: int, most: int) -> np.ndarray:
    """At most ``most`` of the indices 0 .. n - 1, evenly spread."""
    return np.linspace(0, n - 1, min(most, n)).astype(np.int64)


def _keys(pixels: int) -> Tensor:
    """Fixed odd 64-bit factors, one per pixel."""
    halves = Stream(0, "image-hash").integers(2**31, pixels, 2)
    return (halves[:, 0] << 33) | (halves[:, 1] << 1) | 1


def _hashes(x: Tensor, keys: Tensor) -> Tensor:
    """A 64-bit hash of each row of ``x (N, pixels)``: the float32 bits times the keys, summed."""
    words = x.float().contiguous().view(torch.int32)
    rows = max(1, BUDGET // (8 * x.shape[-1]))
    return (
        torch.cat([(chunk * keys).sum(-1) for chunk in words.split(rows)])
        if len(x)
        else keys.new_empty(0)
    )
