"""Labelled images: files in the idx format of MNIST, and the handwritten digits that come with the package.

An idx file is two zero bytes, a type code, the number of dimensions, each dimension as a big-endian int32, then the
values in C order; ``.gz`` files are told by their content.  A file that is not what its name says is refused with one
sentence.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from ...errors import UsageError

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"


def read_idx(path: str | Path) -> np.ndarray:
    """The array in an idx or idx.gz file, in its own shape and type (native byte order)."""
    raw = _content(Path(path))
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _TYPES or not raw[3]:
        raise UsageError(
            f"{path} is not an idx file: it begins with {raw[:4].hex(' ') or 'nothing'}, and 00 00, a type code and a "
            "number of dimensions were due; fetch the file anew or name another"
        )
    dtype, header = np.dtype(_TYPES[raw[2]]), 4 + 4 * raw[3]
    shape = (
        tuple(int(size) for size in np.frombuffer(raw[4:header], ">i4"))
        if len(raw) >= header
        else ()
    )
    due = header + dtype.itemsize * math.prod(shape)
    if len(shape) < raw[3] or min(shape) < 0 or len(raw) != due:
        state = "cut short" if len(raw) < due or len(shape) < raw[3] else "not what its header says"
        said = f" instead of {due} for shape {shape}" if len(shape) == raw[3] else ""
        raise UsageError(f"{path} is {state}: it holds {len(raw)} bytes{said}; fetch the file anew")
    return np.frombuffer(raw, dtype, offset=header).reshape(shape).astype(dtype.newbyteorder("="))


def read_labelled_images(
    folder: str | Path,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(train_x, train_y, test_x, test_y) of a folder: images (n, rows, columns) as stored, labels (n,) int64.

    Names are those of MNIST: ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and the same two with ``t10k``
    or ``test``; a dot may stand before ``idx``, and ``.gz`` behind.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is not a folder; give the path of one that holds the four idx files of a data set"
        )
    train_x, train_y = _half(folder, ("train",))
    test_x, test_y = _half(folder, ("t10k", "test"))
    if train_x.shape[1:] != test_x.shape[1:]:
        raise UsageError(
            f"{folder}: training images are {_by(train_x)} and test images {_by(test_x)}; give both in one size"
        )
    return train_x, train_y, test_x, test_y


def read_digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(train_x, train_y, test_x, test_y) of the packaged digits: float64 images (n, 8, 8), int64 labels (n,).

    Three of every ten images of each class, evenly spread over the file, are held out.
    """
    x, y = _half(Path(__file__).parent / "optdigits", ("test",))
    rank = np.empty_like(y)
    for c in np.unique(y):
        rank[y == c] = np.arange((y == c).sum())
    test, x = 3 * rank % 10 < 3, x.astype(np.float64)
    return x[~test], y[~test], x[test], y[test]


def _content(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as problem:
        raise UsageError(
            f"{path} cannot be read ({problem.strerror}); give the path of an idx file"
        ) from problem
    if not raw.startswith(_GZIP):
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as problem:
        raise UsageError(f"{path} does not unpack ({problem}); fetch the file anew") from problem


def _half(folder: Path, prefixes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one half of a data set, held against each other."""
    images_at, labels_at = (
        _named(folder, prefixes, "images", 3),
        _named(folder, prefixes, "labels", 1),
    )
    images, labels = read_idx(images_at), read_idx(labels_at)
    if images.ndim != 3:
        raise UsageError(
            f"{images_at} has {images.ndim} dimensions; images want 3 (number, rows, columns): name an idx3 file"
        )
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or (labels.size and labels.min() < 0):
        raise UsageError(
            f"{labels_at} holds no labels: whole numbers >= 0 in 1 dimension were due; name an idx1 file"
        )
    if len(images) != len(labels):
        raise UsageError(
            f"{images_at} holds {len(images)} images and {labels_at} {len(labels)} labels; give a pair that belongs together"
        )
    if not images.size:
        raise UsageError(f"{images_at} holds no image; give a file with some")
    return images, labels.astype(np.int64)


def _named(folder: Path, prefixes: tuple[str, ...], what: str, dims: int) -> Path:
    names = [
        f"{prefix}-{what}{mark}idx{dims}-ubyte{packed}"
        for prefix in prefixes
        for mark in "-."
        for packed in ("", ".gz")
    ]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise UsageError(
        f"{folder} lacks {names[0]} (also {', '.join(names[1:])}); put it there or give another folder"
    )


def _by(images: np.ndarray) -> str:
    return " x ".join(map(str, images.shape[1:]))
