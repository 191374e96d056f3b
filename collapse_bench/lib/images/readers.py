"""Readers of labelled images: the idx format of MNIST, and the digits of the package.

An idx file consists of two zero bytes, a type code, the number of dimensions, each dimension as a
big-endian int32, and the values in C order.  Gzip files are recognised by their content.  A
malformed file raises UsageError.
"""

from __future__ import annotations

import gzip
import math
import zlib
from itertools import product
from pathlib import Path

import numpy as np

from ...errors import UsageError

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
#: first words of the file names of the two halves
TRAINING, HELD_OUT = ("train",), ("t10k", "test")
#: second word of the names, and the number of dimensions
IMAGES, LABELS = ("images", 3), ("labels", 1)


def read_idx(path: str | Path) -> np.ndarray:
    """The array in an idx or idx.gz file, in its own shape and type (native byte order)."""
    raw = _content(Path(path))
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _TYPES or not raw[3]:
        raise UsageError(
            f"{path} is not an idx file: it begins with {raw[:4].hex(' ') or 'nothing'}, expected "
            "00 00, a type code and a number of dimensions; download the file again or name "
            "another"
        )
    dtype, header = np.dtype(_TYPES[raw[2]]), 4 + 4 * raw[3]
    shape = (
        tuple(int(size) for size in np.frombuffer(raw[4:header], ">i4"))
        if len(raw) >= header
        else ()
    )
    size = header + dtype.itemsize * math.prod(shape)
    if len(shape) < raw[3] or min(shape) < 0 or len(raw) != size:
        short = len(raw) < size or len(shape) < raw[3]
        state = "is truncated" if short else "does not match its header"
        expected = f" instead of {size} for shape {shape}" if len(shape) == raw[3] else ""
        raise UsageError(
            f"{path} {state}: it has {len(raw)} bytes{expected}; download the file again"
        )
    return np.frombuffer(raw, dtype, offset=header).reshape(shape).astype(dtype.newbyteorder("="))


def read_labelled_images(
    folder: str | Path,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(train_x, train_y, test_x, test_y) of a folder: images (n, rows, columns), labels (n,) int64.

    Images keep their stored type.  File names are those of MNIST: ``train-images-idx3-ubyte``,
    ``train-labels-idx1-ubyte``, and the same two with ``t10k`` or ``test`` for ``train``.  A dot
    can replace the hyphen before ``idx``, and ``.gz`` can follow.  Raises UsageError if a file is
    missing or malformed, or if files do not match.
    """
    folder = _checked(folder)
    train_x, train_y = _half(folder, TRAINING)
    test_x, test_y = _half(folder, HELD_OUT)
    if train_x.shape[1:] != test_x.shape[1:]:
        raise UsageError(
            f"{folder}: training images are {_by(train_x)} and test images {_by(test_x)}; "
            "both must have one size"
        )
    return train_x, train_y, test_x, test_y


def read_digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(train_x, train_y, test_x, test_y) of the packaged digits: images (n, 8, 8), labels (n,).

    Images are float64, labels int64.

    Three of every ten images of each class, spread evenly over the file, are held out.
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
        raise UsageError(
            f"{path} cannot be decompressed ({problem}); download the file again"
        ) from problem


def _half(folder: Path, prefixes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one half of a data set, checked against each other."""
    images_at, labels_at = (
        _named(folder, prefixes, *IMAGES),
        _named(folder, prefixes, *LABELS),
    )
    images, labels = read_idx(images_at), read_idx(labels_at)
    if images.ndim != 3:
        raise UsageError(
            f"{images_at} has {images.ndim} dimensions; images need 3 (number, rows, columns): "
            "give an idx3 file"
        )
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or (labels.size and labels.min() < 0):
        raise UsageError(
            f"{labels_at} does not contain labels: expected integers >= 0 in 1 dimension; "
            "give an idx1 file"
        )
    if len(images) != len(labels):
        raise UsageError(
            f"{images_at} has {len(images)} images and {labels_at} {len(labels)} labels; "
            "give two files of one data set"
        )
    if not images.size:
        raise UsageError(f"{images_at} contains no images; give a file with at least one")
    return images, labels.astype(np.int64)


def files_of(folder: str | Path) -> list[str]:
    """Names of the four files of a folder that ``read_labelled_images`` reads.

    Raises UsageError if one is missing.
    """
    folder = _checked(folder)
    halves = product((TRAINING, HELD_OUT), (IMAGES, LABELS))
    return [_named(folder, prefixes, *what).name for prefixes, what in halves]


def _checked(folder: str | Path) -> Path:
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is not a folder; give the path of a folder with the four idx files of a "
            "data set"
        )
    return folder


def _names(prefixes: tuple[str, ...], what: str, dims: int) -> list[str]:
    """The accepted names of a file, in the order in which they are looked for."""
    return [
        f"{prefix}-{what}{mark}idx{dims}-ubyte{packed}"
        for prefix in prefixes
        for mark in "-."
        for packed in ("", ".gz")
    ]


def _named(folder: Path, prefixes: tuple[str, ...], what: str, dims: int) -> Path:
    names = _names(prefixes, what, dims)
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise UsageError(
        f"{folder} lacks {names[0]} (other accepted names: {', '.join(names[1:])}); "
        "add it or give another folder"
    )


def _by(images: np.ndarray) -> str:
    return " x ".join(map(str, images.shape[1:]))
