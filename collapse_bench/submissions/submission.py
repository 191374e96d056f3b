"""One submission: a zip file with the card, the plugin's source, the manifest and the records."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
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
MEMBER = re.compile(r"plugin/[A-Za-z_][A-Za-z0-9_.-]{0,80}\.py")

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


class NotAsDeclared(UsageError):
    """A file that is a submission, and whose parts are not what it says of them.

    faults: what is wrong, each as part of a sentence that names the part.
    """

    def __init__(self, path: Path, digest: str, about: About, faults: Sequence[str]):
        more = f" ({len(faults) - 1} more)" if faults[1:] else ""
        super().__init__(f"submission {path} is not what it says: {faults[0]}{more}; {AGAIN}")
        self.path, self.digest, self.about, self.faults = path, digest, about, tuple(faults)


@contextmanager
def opened(path: Path) -> Iterator[Submission]:
    """Read a submission; its records can be read within the context.

    Raises UsageError where the file is not there or is no submission, NotAsDeclared where one of
    its parts was changed or is not valid.
    """
    try:
        content = read_file(path, MOST_FILE)
    except FileNotFoundError as problem:
        raise UsageError(f"submission {path} is not there") from problem
    except (Rejected, Unreadable) as problem:
        raise UsageError(f"submission {problem}") from problem
    members = _members(path, content)
    about = _about(path, members)
    digest = hashlib.sha256(content).hexdigest()
    faults = [*_changed(about, members)]
    with tempfile.TemporaryDirectory(prefix="collapse-bench-") as folder:
        archive = Archive(Path(folder) / RECORDS)
        archive.path.write_bytes(members[RECORDS])
        try:
            card, manifest, source = _parts(about, members, archive)
        except (Rejected, UsageError) as problem:
            raise NotAsDeclared(path, digest, about, [*faults, str(problem)]) from problem
        if faults:
            raise NotAsDeclared(path, digest, about, faults)
        store = OverlayStore(Path(folder) / "none", archive)
        yield Submission(path, digest, card, about, manifest, source, store)


AGAIN = "get it again, or write it again with 'collapse-bench submit'"


def _changed(about: About, members: Mapping[str, bytes]) -> Iterator[str]:
    """The members that do not have the digests of ``submission.json``."""
    for name, digest in about.digests.items():
        if name not in members:
            yield f"{name} is missing, and {ABOUT} has a digest of it"
        elif (found := hashlib.sha256(members[name]).hexdigest()) != digest:
            yield f"{name} has the digest {found[:12]}, and {ABOUT} says {digest[:12]}"
    for name in sorted(members.keys() - about.digests.keys() - {ABOUT}):
        yield f"{ABOUT} has no digest of {name}"


def _parts(
    about: About, members: Mapping[str, bytes], archive: Archive
) -> tuple[Card, Manifest, Source | None]:
    """Card, manifest and source.  Raises Rejected or UsageError for a part that is not valid."""
    try:
        seal = archive.checked_seal()
    except Rejected as problem:  # its path is that of a copy
        raise type(problem)(RECORDS, problem.why) from problem
    if seal != about.seal:
        raise UsageError(f"{RECORDS} has the seal {seal[:12]}, and {ABOUT} says {about.seal[:12]}")
    card = read_card(members[CARD], CARD)
    manifest = Manifest.from_text(members[MANIFEST], MANIFEST)
    texts = {
        name.removeprefix(PLUGIN): members[name] for name in members if name.startswith(PLUGIN)
    }
    return card, manifest, _source(about, texts)


def _members(path: Path, content: bytes) -> dict[str, bytes]:
    """name -> content of the members.  Raises UsageError for a file that is no submission."""
    import io

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as zipped:
            listed = zipped.infolist()
            names = [item.filename for item in listed]
            if len(names) > MOST_MEMBERS or len(set(names)) < len(names):
                raise UsageError(f"submission {path} has too many members, or one twice; {AGAIN}")
            for name in names:
                if name not in (CARD, ABOUT, MANIFEST, RECORDS) and not MEMBER.fullmatch(name):
                    raise UsageError(f"submission {path} has a member that does not belong there")
            if sum(item.file_size for item in listed) > MOST_INSIDE:
                raise UsageError(f"submission {path} unpacks to more than {MOST_INSIDE} bytes")
            members = {}
            for item in listed:
                with zipped.open(item) as member:
                    members[item.filename] = member.read(item.file_size + 1)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError) as problem:
        raise UsageError(f"{path} is no submission: {problem}; {AGAIN}") from problem
    except Exception as problem:
        if isinstance(problem, UsageError):
            raise
        raise UsageError(f"{path} is no submission ({type(problem).__name__}); {AGAIN}") from None
    for name in (CARD, ABOUT, MANIFEST, RECORDS):
        if name not in members:
            raise UsageError(f"submission {path} has no {name}; {AGAIN}")
    return members


def _about(path: Path, members: Mapping[str, bytes]) -> About:
    try:
        about = About.model_validate(json.loads(members[ABOUT]))
    except (ValueError, RecursionError) as problem:
        why = problem.errors()[0] if isinstance(problem, ValidationError) else None
        text = f"{'.'.join(map(str, why['loc']))}: {why['msg']}" if why else "it is not JSON"
        raise UsageError(f"submission {path}: {ABOUT}: {text}; {AGAIN}") from None
    if about.format != FORMAT:
        raise UsageError(
            f"submission {path} has format {about.format}, and this version reads {FORMAT}"
        )
    return about


def _source(about: About, texts: Mapping[str, bytes]) -> Source | None:
    if about.plugin is None:
        return None
    if about.plugin not in texts:
        raise UsageError(f"the plugin file {about.plugin} is missing")
    try:
        return Source(about.plugin, {name: text.decode("utf-8") for name, text in texts.items()})
    except UnicodeDecodeError:
        raise UsageError(f"the plugin file {about.plugin} is not UTF-8") from None


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
