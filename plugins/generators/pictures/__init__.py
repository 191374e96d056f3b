"""Real images as a density: generations pass on the images themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from collapse_bench.core.components import Teacher
from collapse_bench.core.content import cached_by_content, same_files
from collapse_bench.core.params import param
from collapse_bench.errors import Incompatible, UsageError
from collapse_bench.lib.distributions.gaussians import GaussianTeacher
from collapse_bench.lib.images.images import ImagePool, described, evenly, thinned
from collapse_bench.lib.images.readers import files_of, read_digits, read_labelled_images
from collapse_bench.paths import expanded
from collapse_bench.registry.hookspecs import hookimpl

from ._features import FeatureExtractor
from ._measures import NEAREST, Reference, recall


@dataclass(frozen=True)
class Pictures(ImagePool):
    """Answers are images y (R, n, pixels) from a pool (see ImagePool), for self-consuming loops.

    The pool is that of ``digits``, or with ``path="data/mnist"`` that of a folder of idx files.
    There are no questions (x of width 0).  With ``given=class`` a question is the class to
    generate, as a one-hot vector x (R, n, C), with the class shares of the pool; an answer is
    verified by a fixed classifier.

    The losses use as many generated images as there are held-out images.  The classifier is trained
    on the whole training pool with a fixed seed, the same for every cell.  It labels the images,
    and its last hidden layer of 32 units provides the features.

    - ``frechet_distance`` to the held-out images on these features (primary, in their units).  A
      finite sample of real images has a distance too, see the control ``nature``.
    - ``precision_lost``, ``recall_lost``, ``density_lost``, ``coverage_lost``: 1 minus the measure,
      with balls to the 5th neighbour.  A density above 1 gives a loss below 0.
    - ``class_shares_off``: total variation between the class shares and those of the pool.
    - ``rarest_class_lost``: the missing part of the share of the rarest class;
      ``rarest_class_recall_lost``: 1 minus the recall of all its held-out images.
    - ``class_missed``, with ``given=class``: the share of images that show another class.

    Diagnostics: entropy of the generated classes (nats), share of the rarest class, share of
    classes that occur.  ``minority`` reduces the held-out images in the same way, except for the
    recall of the rarest class.
    """

    path: Path | None = param(None, "folder with four idx files; null: the packaged digits")
    test: int = param(2000, "images held out to be judged on, all where there are fewer", ge=10)
    given: Literal["nothing", "class"] = param(
        "nothing", "the question: none, or the class of the image"
    )

    kind = "density"
    primary = "frechet_distance"
    tail_metric = "rarest_class_recall_lost"
    diversity_metric = "recall_lost"
    resolution = 1e-6
    tiny = {"test": 60}

    def __post_init__(self):
        super().__post_init__()
        if self.path is not None:
            object.__setattr__(self, "path", expanded(self.path))

    def images(self):
        train_x, train_y, test_x, test_y = (
            read_digits() if self.path is None else read_labelled_images(self.path)
        )
        chosen = evenly(len(test_y), self.test)
        return train_x, train_y, test_x[chosen], test_y[chosen]

    def files_read(self, parameter, folder):
        return files_of(folder)

    @property
    def shared(self):
        return same_files(self, fresh=True, given="nothing")

    def sample_truth(self, rng, nature=None):
        data = super().sample_truth(rng, nature)
        data.truth.test_rng = rng.at("exam")
        return data

    # -- questions and answers --------------------------------------------------------------------

    def ask(self, n, rng):
        if self.given == "nothing":
            return torch.empty(*rng.chain_shape, n, 0, device=rng.device)
        classes = self.truth.labels[self.dealt(n, rng)]
        return torch.nn.functional.one_hot(classes, self.truth.classes).float()

    def answer(self, x, rng):
        n = x.shape[len(rng.chain_shape)]
        if self.given == "nothing":
            return self.truth.images[self.dealt(n, rng)]
        # Choose an image of the requested class: sort the pool by class, then index within the
        # class.
        ordered = self.truth.labels[: self.truth.pool].argsort(stable=True)
        count = torch.bincount(self.truth.labels[: self.truth.pool], minlength=self.truth.classes)
        asked = x.argmax(-1)
        place = (rng.uniform(n) * count[asked]).long().minimum(count[asked] - 1)
        return self.truth.images[ordered[(count.cumsum(0) - count)[asked] + place]]

    def trivial(self):
        """Independent pixels N(0, 1), the mean and variance of all pixels of the pool."""
        pixels, images = self.truth.images.shape[-1], self.truth.images
        mean = torch.zeros(
            *self.truth.chain_shape, pixels, dtype=torch.float64, device=images.device
        )
        eye = torch.eye(pixels, dtype=torch.float64, device=images.device)
        return GaussianTeacher(mean, eye.expand(*mean.shape, pixels))

    def identity(self, x, y):
        """The index of the image of each real row, (R, n) int64."""
        return self.number(y)

    @property
    def verifiable(self):
        return self.given == "class"

    def verify(self, x, y):
        """Whether the classifier assigns each image to the requested class, (R, n)."""
        if self.given == "nothing":
            raise Incompatible(
                f"{self.title()} has nothing to verify without questions; choose given=class"
            )
        _, seen = _extractor(self.shared).to(y.device)(y.reshape(-1, y.shape[-1]))
        return seen.reshape(y.shape[:-1]) == x.argmax(-1)

    # -- losses -----------------------------------------------------------------------------------

    def losses(self, teacher, rng):
        return self._seen(teacher)[0]

    def diagnostics(self, teacher):
        return described(self._seen(teacher)[1], self.truth.rarest)

    def _seen(self, teacher: Teacher) -> tuple[dict[str, Tensor], Tensor]:
        """(losses, class shares (R, C)) of one sample of images, always by the same random draws.

        Cached for the last teacher, so that losses and diagnostics sample once.
        """
        return self.truth.kept.of(teacher, lambda: self._measured(*self._sample(teacher)))

    def _sample(self, teacher: Teacher) -> tuple[Tensor, Tensor]:
        """(x, y) with as many rows as there are held-out images."""
        m, chain_shape, pixels = (
            len(self._held_out[0].features),
            self.truth.chain_shape,
            self.truth.images.shape[-1],
        )
        x = self.ask(m, self.truth.test_rng.at("x"))
        y = teacher.answer(x, self.truth.test_rng.at("y"))
        if tuple(y.shape) != (*chain_shape, m, pixels):
            raise Incompatible(
                f"{type(teacher).__name__}.answer returned shape {tuple(y.shape)}; "
                f"expected images of shape {(*chain_shape, m, pixels)}"
            )
        return x, y

    def _measured(self, x: Tensor, y: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        extractor, classes = _extractor(self.shared).to(y.device), self.truth.classes
        # Chain by chain, so that the features of a chain do not depend on the other chains of the
        # batch, not even by rounding.
        outputs = [extractor(images) for images in y.reshape(-1, *y.shape[-2:])]
        features, seen = (
            torch.stack(s).reshape(*y.shape[:-1], *s[0].shape[1:])
            for s in zip(*outputs, strict=True)
        )
        share = torch.nn.functional.one_hot(seen, classes).double().mean(-2)
        true_share, rarest = self.truth.share, self.truth.rarest
        reference, rare = self._held_out
        losses = reference.losses(features)
        losses["class_shares_off"] = 0.5 * (share - true_share).abs().sum(-1)
        losses["rarest_class_lost"] = (1 - share[..., rarest] / true_share[rarest]).clamp_min(0)
        if len(rare):
            losses["rarest_class_recall_lost"] = 1 - recall(features.double(), rare, reference.k)
        if self.given == "class":
            losses["class_missed"] = (seen != x.argmax(-1)).double().mean(-1)
        return losses, share

    @property
    def _held_out(self) -> tuple[Reference, Tensor]:
        return _held_out(self.shared, self.truth.images.device)


@cached_by_content(maxsize=2)
def _extractor(source: Pictures) -> FeatureExtractor:
    """The classifier trained on all images of a source, before ``minority`` reduces a class."""
    whole = same_files(source, minority=None, rare=None).table
    return FeatureExtractor(
        whole.images[: whole.pool], whole.labels[: whole.pool], whole.classes, whole.shape
    )


@cached_by_content(maxsize=4)
def _held_out(source: Pictures, device: torch.device) -> tuple[Reference, Tensor]:
    """Features of the held-out images, reduced like the pool, and of all of the rarest class."""
    table = source.table
    features, _ = _extractor(source).to(device)(table.images[table.pool :].to(device))
    features = features.double()
    kept = features
    if source.minority is not None:
        kept = features[thinned(table.test_labels.numpy(), table.rarest, source.minority)]
    if len(kept) < 2:
        raise UsageError(
            f"{source.title()}: {len(kept)} images are held out, and at least 2 are needed"
        )
    return Reference(kept, k=min(NEAREST, len(kept) - 1)), features[
        (table.test_labels == table.rarest).to(device)
    ]


@hookimpl
def collapse_generators():
    return {"pictures": Pictures}
