"""Labelled images from a folder of idx files: MNIST, Fashion-MNIST, KMNIST and whatever is stored alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from collapse_bench.core.params import param
from collapse_bench.errors import UsageError
from collapse_bench.lib.images.images import LabelledImages, evenly
from collapse_bench.lib.images.readers import read_labelled_images
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class IdxImages(LabelledImages):
    """The training and test files (idx or idx.gz) of one folder, e.g. ``idx-images(path="data/mnist")``.

    Nothing is fetched.  Judged on ``test`` images, evenly spread over the test file, whose two halves may differ (those
    of MNIST do); the training file is the pool.  It is finite, so that it leaks realness by repetition: see
    LabelledImages, which also names the losses.
    """

    path: Path | None = param(None, "folder with the four idx files; must be given")
    test: int = param(2000, "images judged on, all where there are fewer", ge=1)

    def __post_init__(self):
        super().__post_init__()
        if self.path is None:
            raise UsageError(
                'idx-images needs the folder of its files: idx-images(path="data/mnist"); images that come with the '
                "suite are in digits"
            )
        object.__setattr__(self, "path", Path(self.path).expanduser())

    def images(self):
        train_x, train_y, test_x, test_y = read_labelled_images(self.path)
        chosen = evenly(len(test_y), self.test)
        return train_x, train_y, test_x[chosen], test_y[chosen]


@hookimpl
def collapse_generators():
    return {"idx-images": IdxImages}
