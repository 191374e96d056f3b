"""One submission: a zip file with the card, the plugin's source, the manifest and the records."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import UsageError
from ..isolation.audit import Source
from ..records.archive import Archive, OverlayStore
from ..records.faults import Rejected, Unreadable
from ..records.files import read_file
from ..records.manifest import Manifest, ManifestEntry
from .card import Card, read_card

FORMAT = 1
ENDING = ".submission.zip"
CARD, ABOUT, MANIFEST, RECORDS = "card.toml", "submission.json", "manifest.json", "records.parquet"
PLUGIN = "plugin/"
MOST_FILE = 2**28  # bytes of the file
MOST_INSIDE = 2**29  # bytes that its members unpack to
MOST_MEMBERS = 64
_NAME = re.compile(r"plugin/[A-Za-z_][A-Za-z0-9_.-]{0,80}\.py")

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Claim(_Strict):
    """The score of the row as its authors claim it: with its 95 % interval and coverage."""

    S: Number
    low: Number
    high: Number
    coverage: Number


class About(_Strict):
    """What a submission says of itself, besides the card."""

    format: int
    suite: Annotated[str, Field(max_length=200)]
    suite_version: int
    mitigation: Annotated[str, Field(max_length=200)]
    claim: Claim
    plugin: (
        Annotated[str, Field(max_length=100)] | None
    )  # the file; None: by repository or built in
    digests: dict[str, Digest]  # member -> SHA-256 of its content
    seal: Digest  # of the records
    environment: dict[str, str]
    made: Annotated[str, Field(max_length=40)]  # ISO time, UTC


@dataclass(frozen=True)
class Submission:
    """A submission that was read: well-formed, and nothing else is said of it."""

    path: Path
    digest: str  # SHA-256 of the file
    card: Card
    about: About
    manifest: Manifest
    source: Source | None  # the plugin's code; None: it is named by repository, or built in
    store: OverlayStore  # its records

    @property
    def name(self) -> str:
        """The row on a board."""
        return self.about.mitigation

    @property
    def own(self) -> list[ManifestEntry]:
        """The entries of the method, one per task."""
        return [e for e in self.manifest.entries if e.role == "entry" and e.name == self.name]


@contextmanager
def opened(path: Path) -> Iterator[Submission]:
    """Read a submission; its records can be read within the context.

    Raises UsageError where the file is not there or is no submission.
    """
    try:
        content = read_file(path, MOST_FILE)
    except FileNotFoundError as problem:
        raise UsageError(f"submission {path} is not there") from problem
    except (Rejected, Unreadable) as problem:
        raise UsageError(f"submission {problem}") from problem
    members = _members(path, content)
    about = _about(path, members)
    for name, digest in about.digests.items():
        if hashlib.sha256(members.get(name, b"")).hexdigest() != digest:
            raise UsageError(f"submission {path}: {name} is not what the submission says; {_AGAIN}")
    if others := members.keys() - about.digests.keys() - {ABOUT}:
        raise UsageError(f"submission {path}: nothing is said of {sorted(others)[0]}; {_AGAIN}")
    card = read_card(members[CARD], f"{path}: {CARD}")
    try:
        manifest = Manifest.from_text(members[MANIFEST], f"{path}: {MANIFEST}")
    except Rejected as problem:
        raise UsageError(f"{problem}; {_AGAIN}") from problem
    texts = {
        name.removeprefix(PLUGIN): members[name] for name in members if name.startswith(PLUGIN)
    }
    with tempfile.TemporaryDirectory(prefix="collapse-bench-") as folder:
        file = Path(folder) / RECORDS
        file.write_bytes(members[RECORDS])
        archive = Archive(file)
        if archive.seal != about.seal:
            raise UsageError(f"submission {path}: its records have another seal; {_AGAIN}")
        yield Submission(
            path,
            hashlib.sha256(content).hexdigest(),
            card,
            about,
            manifest,
            _source(path, about, texts),
            OverlayStore(Path(folder) / "none", archive),
        )


_AGAIN = "write it again with 'collapse-bench submit'"


def _members(path: Path, content: bytes) -> dict[str, bytes]:
    """name -> content of the members.  Raises UsageError for a file that is no submission."""
    import io

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as zipped:
            listed = zipped.infolist()
            names = [item.filename for item in listed]
            if len(names) > MOST_MEMBERS or len(set(names)) < len(names):
                raise UsageError(f"submission {path} has too many members, or one twice; {_AGAIN}")
            for name in names:
                if name not in (CARD, ABOUT, MANIFEST, RECORDS) and not _NAME.fullmatch(name):
                    raise UsageError(f"submission {path} has a member that does not belong there")
            if sum(item.file_size for item in listed) > MOST_INSIDE:
                raise UsageError(f"submission {path} unpacks to more than {MOST_INSIDE} bytes")
            members = {}
            for item in listed:
                with zipped.open(item) as member:
                    members[item.filename] = member.read(item.file_size + 1)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError) as problem:
        raise UsageError(f"{path} is no submission: {problem}; {_AGAIN}") from problem
    except Exception as problem:
        if isinstance(problem, UsageError):
            raise
        raise UsageError(f"{path} is no submission ({type(problem).__name__}); {_AGAIN}") from None
    for name in (CARD, ABOUT, MANIFEST, RECORDS):
        if name not in members:
            raise UsageError(f"submission {path} has no {name}; {_AGAIN}")
    return members


def _about(path: Path, members: Mapping[str, bytes]) -> About:
    try:
        about = About.model_validate(json.loads(members[ABOUT]))
    except (ValueError, RecursionError) as problem:
        why = problem.errors()[0] if isinstance(problem, ValidationError) else None
        text = f"{'.'.join(map(str, why['loc']))}: {why['msg']}" if why else "it is not JSON"
        raise UsageError(f"submission {path}: {ABOUT}: {text}; {_AGAIN}") from None
    if about.format != FORMAT:
        raise UsageError(
            f"submission {path} has format {about.format}, and this version reads {FORMAT}"
        )
    return about


def _source(path: Path, about: About, texts: Mapping[str, bytes]) -> Source | None:
    if about.plugin is None:
        return None
    if about.plugin not in texts:
        raise UsageError(f"submission {path} has no plugin file {about.plugin}; {_AGAIN}")
    try:
        return Source(about.plugin, {name: text.decode("utf-8") for name, text in texts.items()})
    except UnicodeDecodeError:
        raise UsageError(f"submission {path}: its plugin is not UTF-8; {_AGAIN}") from None


def zipped(members: Mapping[str, bytes]) -> bytes:
    """The members as a zip file, the same bytes for the same content."""
    import io

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name, content in members.items():
            # a fixed date, so that the file does not depend on when it was written
            item = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            item.compress_type, item.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            file.writestr(item, content)
    return out.getvalue()


def about_of(values: Mapping[str, Any], members: Mapping[str, bytes]) -> bytes:
    """The text of ``submission.json`` for these members."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    about = About.model_validate({**values, "format": FORMAT, "digests": digests})
    return (json.dumps(about.model_dump(mode="json"), indent=1, sort_keys=True) + "\n").encode()
