"""Labelled images from a folder of idx files: MNIST, Fashion-MNIST, KMNIST and similar."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from collapse_bench.core.params import param
from collapse_bench.errors import UsageError
from collapse_bench.lib.images.images import LabelledImages, evenly
from collapse_bench.lib.images.readers import files_of, read_labelled_images
from collapse_bench.paths import expanded
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class IdxImages(LabelledImages):
    """The idx or idx.gz files of one folder, e.g. ``idx-images(path="data/mnist")``.

    Nothing is downloaded.  The training file is the pool.  The losses use ``test`` images, spread
    evenly over the test file, since its two halves can differ (those of MNIST do).  The pool is
    finite, so real images repeat: see LabelledImages, also for the losses.
    """

    path: Path | None = param(None, "folder with the four idx files; must be given")
    test: int = param(2000, "test images for the losses, all if there are fewer", ge=1)

    def __post_init__(self):
        super().__post_init__()
        if self.path is None:
            raise UsageError(
                'idx-images needs the folder of its files: idx-images(path="data/mnist"); '
                "digits needs no files"
            )
        object.__setattr__(self, "path", expanded(self.path))

    def files_read(self, parameter, folder):
        return files_of(folder)

    def images(self):
        train_x, train_y, test_x, test_y = read_labelled_images(self.path)
        chosen = evenly(len(test_y), self.test)
        return train_x, train_y, test_x[chosen], test_y[chosen]


@hookimpl
def collapse_generators():
    return {"idx-images": IdxImages}
