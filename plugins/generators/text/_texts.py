"""Reading texts from a file, a saved data set or a hub."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from collapse_bench.errors import UsageError
from collapse_bench.lib.sources import fetched

SUFFIXES = (".txt", ".jsonl", ".parquet")
DEFAULT_SPLIT = "train"
#: first bytes of a file -> its encoding; the marks of UTF-16 begin those of UTF-32
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True)
class Place:
    """A source of texts, and how to read it.

    source: a file ending in .txt, .jsonl or .parquet, a folder written by ``Dataset.save_to_disk``,
    or a hub id.  field: the column or key that contains the text.  config, split and revision
    belong to a data set.  whose: the plugin and parameter, for messages.
    """

    source: Path | str
    whose: str
    field: str = "text"
    config: str | None = None
    split: str | None = None
    revision: str | None = None

    def texts(self) -> list[str]:
        """All texts in order, one per row; a .txt file is one text.

        Raises UsageError or Unreachable.
        """
        if isinstance(self.source, str):
            return self._rows(self._from_hub())
        if self.source.is_dir():
            return self._rows(self._from_folder())
        read = {".txt": self._plain, ".jsonl": self._lines, ".parquet": self._parquet}.get(
            self.source.suffix.lower()
        )
        if read is None:
            raise UsageError(
                f"{self.whose}: {self.source} ends in {self.source.suffix or 'nothing'}; texts are "
                f"read from {', '.join(SUFFIXES)}, a folder written by save_to_disk, or a hub id; "
                "rename or convert it"
            )
        return read()

    # -- files -------------------------------------------------------------------------------------

    def _plain(self) -> list[str]:
        return [self._decoded()]

    def _lines(self) -> list[str]:
        texts = []
        for i, line in enumerate(self._decoded().split("\n"), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as problem:
                raise UsageError(
                    f"{self.whose}: line {i} of {self.source} is not JSON ({problem}); fix the "
                    "line or download the file again"
                ) from problem
            texts.append(self._text_of(row, f"line {i}"))
        return texts

    def _parquet(self) -> list[str]:
        Dataset = _datasets().Dataset
        # Keep the rows in memory and write nothing to the user's cache.
        with TemporaryDirectory() as cache:
            return self._rows(
                self._opened(
                    lambda: Dataset.from_parquet(
                        str(self.source), cache_dir=cache, keep_in_memory=True
                    )
                )
            )

    def _decoded(self) -> str:
        """The characters of the file, without a byte order mark, with lines that end in \\n."""
        try:
            raw = Path(self.source).read_bytes()
            for mark, encoding in MARKS.items():
                if raw.startswith(mark):
                    raise UsageError(
                        f"{self.whose}: {self.source} is {encoding.upper()}, and texts are read as "
                        f"UTF-8; convert it with iconv -f {encoding} -t utf-8"
                    )
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as problem:
            raise UsageError(
                f"{self.whose}: {self.source} is not UTF-8 (byte {problem.start} is "
                f"{problem.object[problem.start]:#04x}); convert it, e.g. with iconv -t utf-8"
            ) from problem
        except OSError as problem:
            raise UsageError(
                f"{self.whose}: {self.source} cannot be read ({problem.strerror}); give a readable "
                "file"
            ) from problem
        if "\0" in text:
            raise UsageError(
                f"{self.whose}: {self.source} holds the character 0 at place {text.index(chr(0))}, "
                "so it is no text, or UTF-16 without a mark; convert it, e.g. with "
                "iconv -f utf-16le -t utf-8"
            )
        return text.replace("\r\n", "\n").replace("\r", "\n")

    # -- data sets ---------------------------------------------------------------------------------

    def _from_folder(self):
        dataset = self._opened(lambda: _datasets().load_from_disk(str(self.source)))
        if not isinstance(dataset, dict):
            if self.split is not None:
                raise UsageError(
                    f"{self.whose}: {self.source} has no splits; leave out split={self.split}"
                )
            return dataset
        return self._split(dataset)

    def _from_hub(self):
        def load():
            return _datasets().load_dataset(self.source, self.config, revision=self.revision)

        return self._split(fetched(self.source, self.whose, load, "the data set", self.revision))

    def _split(self, splits):
        """The requested split, by default ``train``."""
        split = self.split or DEFAULT_SPLIT
        if split not in splits:
            raise UsageError(
                f"{self.whose}: {self.source} has no split {split!r}; choose one of "
                f"{', '.join(map(str, splits))}"
            )
        return splits[split]

    def _opened(self, read):
        """``read()``; any error becomes a UsageError: libraries raise many types for bad files."""
        try:
            return read()
        except Exception as problem:
            reason = " ".join(str(problem).split())[:200] or type(problem).__name__
            raise UsageError(
                f"{self.whose}: {self.source} cannot be read as a data set ({reason}); download or "
                "save it again"
            ) from problem

    def _rows(self, dataset) -> list[str]:
        if self.field not in dataset.column_names:
            raise UsageError(
                f"{self.whose}: {self.source} has no column {self.field!r}; set field to one of "
                f"{', '.join(dataset.column_names)}"
            )
        return [
            self._text_of({self.field: value}, f"row {i}")
            for i, value in enumerate(dataset[self.field], 1)
        ]

    def _text_of(self, row: object, where: str) -> str:
        """The text of a row.  Raises UsageError for a row without text, or with half a character.

        ``where`` names the row or line.
        """
        value = row.get(self.field) if isinstance(row, dict) else None
        if not isinstance(value, str):
            keys = ", ".join(map(str, row)) if isinstance(row, dict) else type(row).__name__
            shown = keys.encode("utf-8", "backslashreplace").decode()[:200]
            raise UsageError(
                f"{self.whose}: {where} of {self.source} has no text under {self.field!r} (it has "
                f"{shown}); choose another field, or remove such rows from the file"
            )
        try:
            value.encode()
        except UnicodeEncodeError as problem:
            half = ascii(value[problem.start])
            raise UsageError(
                f"{self.whose}: {where} of {self.source} holds {half}, one half of a character "
                "that takes two; remove it, or write the character itself"
            ) from problem
        return value


def saved_files(folder: Path, splits: Iterable[str | None]) -> list[str] | None:
    """Names of the files that hold these splits of a folder written by ``save_to_disk``.

    A split of None is the default one.  None where the folder is not of that kind.
    """
    if not folder.is_dir():
        return None
    try:
        if not (folder / "dataset_dict.json").is_file():
            return _table_files(folder, "")
        names = dict.fromkeys(split or DEFAULT_SPLIT for split in splits)
        return [file for name in names for file in _table_files(folder, f"{name}/")]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # reading the folder says what is wrong


def _table_files(folder: Path, prefix: str) -> list[str]:
    """The two descriptions of a saved table, and the files that its state names."""
    described = [f"{prefix}state.json", f"{prefix}dataset_info.json"]
    state = json.loads((folder / described[0]).read_bytes())
    return described + [f"{prefix}{file['filename']}" for file in state["_data_files"]]


def _datasets():
    """The datasets library without progress bars and logs: stderr belongs to the command line."""
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    return datasets
