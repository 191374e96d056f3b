"""Make submissions for tests, and forge them: every digest and seal is computed again."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from collapse_bench import api
from collapse_bench.records.archive import Archive, OverlayStore, publish, whole
from collapse_bench.records.manifest import Manifest, ManifestEntry
from collapse_bench.records.record import Record
from collapse_bench.records.store import Store
from collapse_bench.running.inline import run_here
from collapse_bench.running.jobs import Options
from collapse_bench.submissions.pack import claim_of
from collapse_bench.submissions.submission import (
    CARD,
    MANIFEST,
    PLUGIN,
    RECORDS,
    about_of,
    opened,
    zipped,
)
from collapse_bench.suite.manifest import save_run

CARD_TEXT = """
mitigation = "{name}"
title = "A method"
description = "What it does, in more than twenty characters."
track = "{track}"
licence = "Apache-2.0"

[[authors]]
name = "A. Author"
"""


def ran(suite: Path, file: Path, name: str, output: Path) -> None:
    """Run a suite with a plugin in this process, as `run` does in workers."""
    request = api.RunRequest(str(suite), mitigations=name, plugins=[str(file)], output=str(output))
    planned = api.plan(request)
    store = Store(output).create()
    assert all(outcome.good for outcome in run_here(planned.jobs, Options(store.path)))
    save_run(planned.suite, planned.suite.seeds, store)


def submitted(suite: Path, file: Path, name: str, track: str, folder: Path) -> Path:
    """An honest submission of one method."""
    ran(suite, file, name, folder / f"{name}-results")
    card = folder / f"{name}.toml"
    card.write_text(CARD_TEXT.format(name=name, track=track))
    to = folder / f"{name}.submission.zip"
    assert api.submit(folder / f"{name}-results", name, card, to, plugin=file) == to
    return to


Change = Callable[[Record, ManifestEntry], Record]


def forged(
    path: Path,
    to: Path,
    record: Change = lambda record, entry: record,
    manifest: Callable[[Manifest], Manifest] = lambda manifest: manifest,
    files: Mapping[str, str] | None = None,
    claim: Mapping[str, float] | None = None,
) -> Path:
    """A copy of a submission with other records, another manifest, source or claim.

    All that follows from the change is carried through; ``claim``: None is what the records give.
    """
    with opened(path) as old, tempfile.TemporaryDirectory() as work:
        pairs = [(record(one, entry), entry) for one, entry in whole(old.store, old.manifest)]
        other = manifest(old.manifest)
        kept = {entry.id for entry in other.entries if entry.skip is None}
        file = Path(work) / RECORDS
        publish([pair for pair in pairs if pair[1].id in kept], other, file)
        archive = Archive(file)
        store = OverlayStore(Path(work) / "none", archive)
        source = old.source.files if files is None else files
        members = {
            CARD: _card(path),
            MANIFEST: json.dumps(other.to_json()).encode(),
            RECORDS: file.read_bytes(),
            **{f"{PLUGIN}{name}": text.encode() for name, text in source.items()},
        }
        about = old.about.model_dump(exclude={"format", "digests"})
        about |= {"seal": archive.seal, "claim": claim or claim_of(store, other, old.name)}
        to.write_bytes(zipped({"submission.json": about_of(about, members), **members}))
    return to


def with_members(
    path: Path, to: Path, change: Callable[[dict[str, bytes]], None], digests: bool
) -> Path:
    """A copy of a submission with changed members; ``digests``: they are computed again."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    change(members)
    about = json.loads(members.pop("submission.json"))
    if digests:
        text = about_of({k: v for k, v in about.items() if k != "digests"}, members)
    else:
        text = json.dumps(about).encode()
    to.write_bytes(zipped({"submission.json": text, **members}))
    return to


def one_number(members: dict[str, bytes]) -> None:
    """One loss in the records is lower, and their seal is left as it was."""
    file = pq.ParquetFile(io.BytesIO(members[RECORDS]))
    table = file.read()
    values = table["value"].to_numpy().copy()
    values[len(values) // 2] *= 0.5
    place = table.column_names.index("value")
    changed = table.set_column(place, "value", pa.array(values))
    out = io.BytesIO()
    with pq.ParquetWriter(out, changed.schema) as writer:
        writer.write_table(changed)
        own = {k: v for k, v in file.metadata.metadata.items() if k.startswith(b"collapse")}
        writer.add_key_value_metadata(own)
    members[RECORDS] = out.getvalue()


def _card(path: Path) -> bytes:
    with zipfile.ZipFile(path) as file:
        return file.read(CARD)


def better(factor: float, name: str) -> Change:
    """Losses of a method multiplied by a factor after generation 0, with all that follows."""

    def change(record: Record, entry: ManifestEntry) -> Record:
        if entry.name != name or entry.role != "entry":
            return record
        mine = (record.metric == record.facts.primary) & (record.generation > 0)
        value = record.value.copy()
        value[mine] *= factor
        return replace(record, value=value).compared()

    return change


def of_other(path: Path, name: str) -> Change:
    """The records of the method of another submission, under this name."""
    with opened(path) as other:
        tasks = {e.task: e for e in other.own}
        known = {
            (task, seeds[0] // 32): other.store.read(entry.id, seeds[0] // 32)
            for task, entry in tasks.items()
            for seeds in [other.manifest.seeds]
        }

    def change(record: Record, entry: ManifestEntry) -> Record:
        if entry.name != name or entry.role != "entry":
            return record
        theirs, facts = known[entry.task, record.seeds[0] // 32], record.facts
        named = replace(
            theirs.facts, id=facts.id, label=facts.label, entry=facts.entry, sources=facts.sources
        )
        return replace(theirs, facts=replace(named, published=None))

    return change
