"""Readers of labelled images: the idx format of MNIST, and the digits of the package.

An idx file consists of two zero bytes, a type code, the number of dimensions, each dimension as a
big-endian int32, and the values in C order.  Gzip files are recognised by their content.  A
malformed file raises UsageError.
"""

from __future__ import annotations

import gzip
import math
import zlib
from io import BufferedReader
from itertools import product
from pathlib import Path

import numpy as np

from ...errors import UsageError
from ...paths import exists

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
MOST_DIMS = 32
LONGEST_HEADER = 4 + 4 * MOST_DIMS  # bytes
MOST_VALUES = 1 << 40  # of one file
PIECE = 1 << 22  # bytes that are read at a time
MOST_CLASSES = 10_000  # scores of all classes are held for every held-out image
LARGEST_PIXEL = 2.0**31  # the largest number of the integer types
#: first words of the file names of the two halves
TRAINING, HELD_OUT = ("train",), ("t10k", "test")
#: second word of the names, and the number of dimensions
IMAGES, LABELS = ("images", 3), ("labels", 1)


def read_idx(path: str | Path) -> np.ndarray:
    """The array in an idx or idx.gz file, in its own shape and type (native byte order).

    No more is unpacked than the header names.
    """
    path = Path(path)
    try:
        with open(path, "rb") as plain:
            packed = plain.read(2) == _GZIP
        with gzip.open(path) if packed else open(path, "rb") as stream:
            head = stream.read(LONGEST_HEADER)
            dtype, shape = _header(path, head)
            start = 4 + 4 * len(shape)
            size = start + dtype.itemsize * math.prod(shape)
            raw = head + _up_to(stream, size + 1 - len(head))
    except (gzip.BadGzipFile, EOFError, zlib.error) as problem:
        raise UsageError(
            f"{path} cannot be decompressed ({problem}); download the file again"
        ) from problem
    except OSError as problem:
        raise UsageError(
            f"{path} cannot be read ({problem.strerror}); give the path of an idx file"
        ) from problem
    if len(raw) != size:
        short = len(raw) < size
        state = f"is truncated: it has {len(raw)}" if short else "does not match its header: it has"
        more = "bytes instead of" if short else "more than the"
        raise UsageError(
            f"{path} {state} {more} {size}{'' if short else ' bytes'} for shape {shape}; "
            "download the file again"
        )
    return np.frombuffer(raw, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _header(path: Path, head: bytes) -> tuple[np.dtype, tuple[int, ...]]:
    """(type, shape) of the array.  Raises UsageError for what is no header of an idx file."""
    if (
        len(head) < 4
        or head[:2] != b"\0\0"
        or head[2] not in _TYPES
        or not 0 < head[3] <= MOST_DIMS
    ):
        raise UsageError(
            f"{path} is not an idx file: it begins with {head[:4].hex(' ') or 'nothing'}, expected "
            "00 00, a type code and a number of dimensions; download the file again or name "
            "another"
        )
    header = 4 + 4 * head[3]
    if len(head) < header:
        raise UsageError(
            f"{path} is truncated: it has {len(head)} bytes, and its header {header}; "
            "download the file again"
        )
    shape = tuple(int(size) for size in np.frombuffer(head[4:header], ">i4"))
    if min(shape) < 0 or math.prod(max(size, 1) for size in shape) > MOST_VALUES:
        raise UsageError(
            f"{path} does not match its header, which names the shape {shape}; "
            "download the file again"
        )
    return np.dtype(_TYPES[head[2]]), shape


def _up_to(stream: gzip.GzipFile | BufferedReader, size: int) -> bytes:
    """At most ``size`` bytes, read in pieces, since a header may name more than there are."""
    pieces = []
    while size > 0 and (piece := stream.read(min(size, PIECE))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


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
    if labels.size and labels.max() >= MOST_CLASSES:
        raise UsageError(
            f"{labels_at} contains the label {labels.max()}; labels must lie in 0 .. "
            f"{MOST_CLASSES - 1}: number the classes from 0"
        )
    if images.dtype.kind == "f" and not (np.abs(images) <= LARGEST_PIXEL).all():
        raise UsageError(
            f"{images_at} contains pixels that are not finite or beyond +-2^31; "
            "scale the images, or give another file"
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
    if not (exists(folder) and folder.is_dir()):
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
