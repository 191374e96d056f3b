"""The idx reader gives back what was written, and refuses with one sentence what is not an idx file."""

import gzip
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from collapse_bench.errors import UsageError
from collapse_bench.lib.images.readers import read_digits, read_idx, read_labelled_images

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(values: np.ndarray) -> bytes:
    """An array as the content of an idx file."""
    code = CODES[values.dtype.str[1:]]
    head = bytes([0, 0, code, values.ndim]) + np.array(values.shape, ">i4").tobytes()
    return head + values.astype(values.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def folder(tmp_path):
    """A folder of 12 training and 5 test images of 4 x 3 pixels, three labels, one file of each half packed."""
    rng = np.random.default_rng(0)
    for name, n in (("train", 12), ("t10k", 5)):
        images = rng.integers(0, 256, (n, 4, 3), dtype=np.uint8)
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images), mtime=0))
        (tmp_path / f"{name}-labels-idx1-ubyte").write_bytes(
            idx((np.arange(n) % 3).astype(np.uint8))
        )
    return tmp_path


arrays = st.sampled_from(sorted(CODES)).flatmap(
    lambda code: hnp.arrays(
        np.dtype(code),
        hnp.array_shapes(max_dims=4, max_side=5),
        elements=hnp.from_dtype(np.dtype(code), allow_nan=False),
    )
)


@given(arrays, st.booleans())
def test_what_was_written_is_read(tmp_path_factory, values, packed):
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(idx(values), mtime=0) if packed else idx(values))
    read = read_idx(path)
    assert read.dtype == values.dtype
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not an idx file"),
        (b"\x89PNG\r\n", "not an idx file"),
        (b"\0\0\x07\x01\0\0\0\x01a", "not an idx file"),
        (b"\0\0\x08\0", "not an idx file"),
        (b"\0\0\x08\x03\0\0\0\x01", "is truncated"),
        (idx(np.zeros((2, 3), np.uint8))[:-1], "is truncated: it has 17 bytes instead of 18"),
        (idx(np.zeros(4, np.uint8)) + b"x", "does not match its header"),
        (b"\0\0\x08\x01\xff\xff\xff\xff", "does not match its header"),
        (b"\0\0\x08\x02" + b"\0\0\0\0\x7f\xff\xff\xff" * 2, "does not match its header"),
        (b"\0\0\x08\x04" + b"\0\0\0\0" + b"\x7f\xff\xff\xff" * 3, "does not match its header"),
        (b"\0\0\x08\x03" + b"\x7f\xff\xff\xff" * 3, "does not match its header"),
        (b"\0\0\x08\x01\x7f\xff\xff\xff", "is truncated: it has 8 bytes instead of 2147483655"),
        (b"\0\0\x08\xff" + b"\0\0\0\x01" * 255 + b"x", "not an idx file"),
        (gzip.compress(idx(np.zeros(99, np.uint8)), mtime=0)[:-9], "cannot be decompressed"),
        (b"\x1f\x8bnonsense", "cannot be decompressed"),
    ],
)
def test_a_malformed_file_is_refused_by_name(tmp_path, content, why):
    path = tmp_path / "broken-idx1-ubyte"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=why) as refusal:
        read_idx(path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_no_more_is_unpacked_than_the_header_names(tmp_path):
    """A small file may unpack to a thousand times its size."""
    path = tmp_path / "bomb-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(np.zeros(4, np.uint8)) + bytes(1 << 26), 1))
    tracemalloc.start()
    with pytest.raises(UsageError, match="more than the 12 bytes for shape"):
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 22


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_idx(tmp_path / "nowhere")


def test_a_folder_is_read_under_all_its_names(folder):
    first = read_labelled_images(folder)
    assert [part.shape for part in first] == [(12, 4, 3), (12,), (5, 4, 3), (5,)]
    assert first[1].dtype == first[3].dtype == np.int64
    for path in list(folder.iterdir()):
        path.rename(folder / path.name.replace("t10k", "test").replace("-idx", ".idx"))
    for one, other in zip(first, read_labelled_images(folder), strict=True):
        np.testing.assert_array_equal(one, other)


def u1(*shape):
    return np.zeros(shape, np.uint8)


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("train-labels-idx1-ubyte", u1(11), r"12 images and .* 11 labels"),
        ("train-labels-idx1-ubyte", u1(12, 1), "does not contain labels"),
        ("train-labels-idx1-ubyte", np.full(12, -1, np.int8), "does not contain labels"),
        ("train-labels-idx1-ubyte", np.zeros(12, np.float32), "does not contain labels"),
        ("t10k-labels-idx1-ubyte", np.full(5, 10_000, ">i4"), "label 10000; labels must lie in"),
        ("train-labels-idx1-ubyte", np.full(12, 2**31 - 1, ">i4"), "label 2147483647"),
        ("t10k-images-idx3-ubyte.gz", np.full((5, 4, 3), np.nan, ">f4"), "not finite"),
        ("t10k-images-idx3-ubyte.gz", np.full((5, 4, 3), -np.inf, ">f8"), "not finite"),
        ("train-images-idx3-ubyte", np.full((12, 4, 3), 1e300, ">f8"), r"beyond \+-2\^31"),
        ("t10k-images-idx3-ubyte.gz", u1(5, 12), "has 2 dimensions"),
        ("t10k-images-idx3-ubyte.gz", u1(5, 3, 4), "4 x 3 and test images 3 x 4"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(folder, name, values, why):
    (folder / name).write_bytes(idx(values))
    with pytest.raises(UsageError, match=why):
        read_labelled_images(folder)


def test_a_half_without_images_is_refused(folder):
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(idx(u1(0, 4, 3)))
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(u1(0)))
    with pytest.raises(UsageError, match="contains no images"):
        read_labelled_images(folder)


def test_a_folder_that_lacks_a_file_is_told_which(folder):
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UsageError, match=r"lacks t10k-labels-idx1-ubyte .*test-labels"):
        read_labelled_images(folder)
    with pytest.raises(UsageError, match="is not a folder"):
        read_labelled_images(folder / "none")


def test_the_packaged_digits_are_those_of_scikit_learn():
    """Pixels and labels, in order: the class-wise split is undone by counting in the same way."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    train_x, train_y, test_x, test_y = read_digits()
    assert (train_x.dtype, train_y.dtype) == (np.float64, np.int64)
    assert (len(train_y), len(test_y)) == (1255, 542)
    for c in range(10):
        due = images[labels == c].reshape(-1, 8, 8)
        held_out = np.arange(len(due)) * 3 % 10 < 3
        np.testing.assert_array_equal(test_x[test_y == c], due[held_out])
        np.testing.assert_array_equal(train_x[train_y == c], due[~held_out])
    order = np.arange(len(labels))
    rank = np.array([(labels[:i] == labels[i]).sum() for i in order])
    np.testing.assert_array_equal(test_y, labels[rank * 3 % 10 < 3])
    np.testing.assert_array_equal(train_y, labels[rank * 3 % 10 >= 3])
