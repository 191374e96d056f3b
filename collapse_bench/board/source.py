"""What the PATH of a command names: a folder of records, or a file of published records."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import NothingMatched, UsageError
from ..paths import exists, named, named_folder
from ..records.archive import Archive, shipped, shipped_archive
from ..suggest import nearest

ENDING = ".parquet"  # of a file of published records


@dataclass(frozen=True)
class Source:
    """Where the records of a board are.

    path: the folder or the file.  archive: the published records of a file; None for a folder.
    suite: the suite of a file, by its name or the path of its suite file; None for a folder.
    """

    path: Path
    archive: Archive | None = None
    suite: str | None = None


def source_of(path: str | Path, suite: str | None = None) -> Source:
    """The records that ``path`` names: a folder of records, a parquet file of published records, or
    the name of a published suite.  A file or folder of that name comes first.

    suite: of a file whose name does not say it.  Raises UsageError for another file,
    NothingMatched where there is no such path and no such suite.
    """
    place = named(path, "the results")
    if exists(place, "the results: ") and not place.is_dir():
        if place.suffix != ENDING:
            raise UsageError(
                f"{place} is no folder of records and no file of published records; name a folder, "
                f"a file that ends in {ENDING}, or a published suite{_known()}"
            )
        return Source(place, Archive(place), suite or _suite_of(place))
    text = str(path)
    if not place.exists() and re.fullmatch(r"[\w.-]+", text):
        if shipped(text).is_file():
            return Source(shipped(text), shipped_archive(text), text)
        if (hint := nearest(text, published_suites())).endswith("?"):
            raise NothingMatched(f"there is no folder {text} and no published suite {text}{hint}")
    return Source(named_folder(path, "the results"))


def published_suites() -> list[str]:
    """Names of the suites whose published records ship with this version."""
    return sorted(file.stem for file in shipped("*").parent.glob(f"*{ENDING}"))


def _suite_of(file: Path) -> str:
    """The suite file next to published records, or else the name of the file."""
    beside = (file.with_suffix(ending) for ending in (".suite.toml", ".toml"))
    return next((str(path) for path in beside if path.is_file()), file.stem)


def _known() -> str:
    names = published_suites()
    return f" ({', '.join(names)})" if names else ""
