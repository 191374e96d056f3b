"""Parquet files of records and archives: read within limits, checked before they are decoded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .faults import Absurd, Damaged, Foreign, Unreadable
from .files import read_file

MOST_BYTES = 2**29  # of a file
MOST_ROWS = 2**24  # of a table; 32 chains of 50 000 generations have 8 numbers each
MOST_TEXT = 2**27  # bytes of metadata, unpacked
MOST_NAMES = 10_000  # different metrics
_MAGIC = b"PAR1"
_BYTES_PER_ROW = 64  # decoded, with room for page headers


def read_parquet(path: Path, mark: bytes, columns: Mapping[str, Any]) -> tuple[pa.Table, bytes]:
    """(the table, the metadata under the key ``mark``) of a file.

    columns: name -> type.  Raises FileNotFoundError, Unreadable, or Rejected where the file is not
    such a table within the limits above.
    """
    content = read_file(path, MOST_BYTES)
    try:
        return _parsed(path, content, mark, columns)
    except MemoryError as problem:  # the file may be whole
        raise Unreadable(path, f"there is not enough memory for it: {problem}") from problem


def _parsed(
    path: Path, content: bytes, mark: bytes, columns: Mapping[str, Any]
) -> tuple[pa.Table, bytes]:
    if content and not content.startswith(_MAGIC):
        raise Foreign(path, "it is not a Parquet file")
    limits = {"thrift_string_size_limit": MOST_TEXT, "thrift_container_size_limit": 2**20}
    try:
        about = pq.ParquetFile(pa.BufferReader(content), **limits).metadata
        marks = about.metadata or {}
        groups = [about.row_group(i) for i in range(about.num_row_groups)]
        unpacked = sum(group.total_byte_size for group in groups)
    except MemoryError:
        raise
    except Exception as problem:  # the content is in memory, so no error comes from the disk
        raise Damaged(path, f"{type(problem).__name__}: {problem}") from problem
    if mark not in marks:
        raise Foreign(path, "it has no seal of collapse-bench")
    if about.num_rows > MOST_ROWS:
        raise Absurd(path, f"it has {about.num_rows} rows, and at most {MOST_ROWS} are read")
    if unpacked > MOST_ROWS * _BYTES_PER_ROW:
        raise Absurd(path, f"its columns unpack to {unpacked} bytes")
    try:
        kinds = {field.name: field.type for field in about.schema.to_arrow_schema()}
        texts = [name for name in kinds if columns.get(name) == pa.string()]
        table = pq.ParquetFile(
            pa.BufferReader(content),
            read_dictionary=texts,
            page_checksum_verification=True,
            **limits,
        ).read()
    except MemoryError:
        raise
    except Exception as problem:
        raise Damaged(path, f"{type(problem).__name__}: {problem}") from problem
    for name, kind in columns.items():
        if (found := kinds.get(name)) != kind:
            raise Foreign(path, f"its column {name} is {found or 'missing'}, expected {kind}")
        if table[name].null_count:
            raise Damaged(path, f"its column {name} has missing values")
    return table, marks[mark]


def texts_of(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """The values of a column of text; equal ones are one object.

    Raises ValueError where there are more different texts than a run can have metrics.
    """
    packed = column.combine_chunks()
    if not pa.types.is_dictionary(packed.type):
        packed = packed.dictionary_encode()
    if len(packed.dictionary) > MOST_NAMES:
        raise ValueError(
            f"it names {len(packed.dictionary)} metrics, at most {MOST_NAMES} are read"
        )
    names = np.empty(len(packed.dictionary), dtype=object)
    names[:] = packed.dictionary.to_pylist()
    picked: NDArray[np.object_] = names[packed.indices.to_numpy(zero_copy_only=False)]
    return picked
