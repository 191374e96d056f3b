"""Files that are damaged, foreign, forged, absurd or unreadable: what a store makes of each."""

from __future__ import annotations

import base64
import dataclasses
import errno
import json
import os
import pickle
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from forked import call

from collapse_bench import api, cell_of
from collapse_bench.errors import UsageError
from collapse_bench.records import archive, checkpoint, files, key, parquet
from collapse_bench.records.contradictions import contradiction
from collapse_bench.records.facts import Prediction
from collapse_bench.records.faults import Absurd, Damaged, Foreign, Forged, Rejected, Unreadable
from collapse_bench.records.files import read_file, replace_file
from collapse_bench.records.record import _META, Record
from collapse_bench.records.store import Store
from collapse_bench.running.chains import run_chains
from collapse_bench.status import Status

SPEC = "gaussian(d=2) | gaussian-fit | accumulate | real-anchor(k=2) @ n=8 T=3"
LAW = "linear(d=3) | ols @ n=20 T=3"  # its expected losses are known


@pytest.fixture(scope="module")
def record() -> Record:
    return run_chains(cell_of(SPEC), [0, 1, 2, 3]).compared()


@pytest.fixture
def store(record, tmp_path) -> Store:
    store = Store(tmp_path / "results")
    store.write(record, cell_of(SPEC))
    return store


def place(store: Store) -> Path:
    return store.block_path(cell_of(SPEC).id, 0)


def with_meta(record: Record, change) -> bytes:
    """The file of a record whose metadata was changed and sealed again where it still can be."""
    meta = {"facts": record.facts.to_json(), "runs": record.runs, "seal": record._seal()}
    meta = json.loads(json.dumps(meta))  # the record is shared
    changed = change(meta)
    return with_text(record, json.dumps(meta if changed is None else changed))


def with_text(record: Record, text: str | None) -> bytes:
    table = pq.read_table(pa.BufferReader(record.packed())).replace_schema_metadata(None)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, store_schema=False) as writer:
        writer.write_table(table)
        if text is not None:
            writer.add_key_value_metadata({_META: text})
    return sink.getvalue().to_pybytes()


# -- odd structure -----------------------------------------------------------------------------------------------


ODD = {
    "a list": lambda meta: [],
    "no facts": lambda meta: {"runs": [], "seal": ""},
    "facts are text": lambda meta: meta.update(facts="none"),
    "seeds are text": lambda meta: meta["facts"].update(seeds="0123"),
    "a seed is a float": lambda meta: meta["facts"].update(seeds=[0, 1, 2, 3.5]),
    "a seed is huge": lambda meta: meta["facts"].update(seeds=[0, 1, 2, 2**70]),
    "status unknown": lambda meta: meta["facts"].update(status=["asleep"] * 4),
    "too few statuses": lambda meta: meta["facts"].update(status=["done"]),
    "ledger is a list": lambda meta: meta["facts"].update(ledger=[1]),
    "ledger is negative": lambda meta: meta["facts"]["ledger"].update(fits=[-1] * 4),
    "no theory": lambda meta: meta["facts"].pop("theory"),
    "theory is odd": lambda meta: meta["facts"].update(theory={"predicted": {"a": 1}}),
    "theory knows more": lambda meta: meta["facts"]["theory"].update(more=1),
    "id is a path": lambda meta: meta["facts"].update(id="../elsewhere/x"),
    "verifiers are flat": lambda meta: meta["facts"].update(verifiers=[1]),
    "verifiers are empty": lambda meta: meta["facts"].update(verifiers=[[]]),
    "sources are deep": lambda meta: meta["facts"].update(sources={"a": {"b": {}}}),
    "runs are a table": lambda meta: meta.update(runs={}),
    "a run is text": lambda meta: meta.update(runs=["today"]),
    "seconds are text": lambda meta: meta["runs"][0].update(seconds="long"),
    "remarks are text": lambda meta: meta["runs"][0].update(remarks="x"),
    "generations are huge": lambda meta: meta["facts"].update(generations=10**12),
}


@pytest.mark.parametrize("how", ODD)
def test_metadata_of_odd_structure_is_damage(how, record, store):
    place(store).write_bytes(with_meta(record, ODD[how]))
    with pytest.raises(Rejected) as refused:
        store.read(cell_of(SPEC).id, 0)
    assert isinstance(refused.value, (Damaged, Foreign))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        (None, Foreign, "it has no seal"),
        ("", Damaged, "Expecting value"),
        ('{"facts":' + "[" * 100_000, Damaged, "nested too deep"),
        ('{"facts": {"schema": 2}}', Foreign, "it has schema 2, and this version reads 1"),
    ],
)
def test_metadata_that_cannot_be_parsed(text, kind, words, record, store):
    place(store).write_bytes(with_text(record, text))
    with pytest.raises(kind, match=words):
        store.read(cell_of(SPEC).id, 0)


def test_a_file_of_another_program_is_called_that(store):
    place(store).write_bytes(b"seed,generation,value\n0,0,1\n")
    with pytest.raises(Foreign, match="is a file of another program or version"):
        store.read(cell_of(SPEC).id, 0)
    pd.DataFrame({"a": [1]}).to_parquet(place(store))
    with pytest.raises(Foreign, match="no seal of collapse-bench"):
        store.read(cell_of(SPEC).id, 0)


# -- forged: sealed again after an edit ---------------------------------------------------------------------------


def facts(record: Record, **changes) -> Record:
    return dataclasses.replace(record, facts=dataclasses.replace(record.facts, **changes))


def numbers(record: Record, **columns) -> Record:
    return dataclasses.replace(record, **columns)


def ledger(record: Record, **amounts) -> Record:
    return facts(record, ledger={**record.facts.ledger, **amounts})


FORGERIES = {
    "ledger zeroed": (
        lambda r: ledger(r, **dict.fromkeys(r.facts.ledger, (0,) * 4)),
        "its track is real, that of its ledger blind",
    ),
    "ledger and track zeroed": (
        lambda r: facts(ledger(r, **dict.fromkeys(r.facts.ledger, (0,) * 4)), track="blind"),
        "fewer fits than generations",
    ),
    "methods used more than all": (
        lambda r: ledger(r, real_rows=(0,) * 4),
        "its methods used more real_rows",
    ),
    "id of another cell": (lambda r: facts(r, id="0" * 20), "its id is not the hash of its cell"),
    "no canonical form": (lambda r: facts(r, canonical=None), "does not say of which cell"),
    "horizon 0": (lambda r: facts(r, generations=0), "it has 0 generations, its cell 3"),
    "a chain twice": (lambda r: facts(r, seeds=(0, 1, 2, 2)), "seeds are not in order"),
    "chains of two records": (lambda r: facts(r, seeds=(0, 1, 2, 40)), "several records"),
    "no chains": (lambda r: r.restricted([]), "it has no chains"),
    "a chain's numbers deleted": (
        lambda r: r.rows(r.seed != 3, r.facts, r.runs),
        "chain 3 is done and lacks w2",
    ),
    "numbers of other chains": (
        lambda r: numbers(r, seed=np.where(r.seed == 3, 9, r.seed)),
        "chains that it does not list",
    ),
    "a late generation": (
        lambda r: numbers(r, generation=r.generation + 1),
        "generations that its cell does not have",
    ),
    "rows twice": (
        lambda r: r.rows(np.repeat(np.arange(len(r.seed)), 2), r.facts, r.runs),
        "several values of w2",
    ),
    "failed and called done": (
        lambda r: numbers(r, value=np.where(r.generation == 3, np.nan, r.value)),
        "its last w2 is not a number",
    ),
}


LAWLESS = {
    "values halved": (
        lambda r: numbers(r, value=r.value * 0.5),
        r"compares with its law \(measured\)",
    ),
    "law's figures scaled": (
        lambda r: facts(
            r, theory=dataclasses.replace(r.facts.theory, ratio=(1.0,) * len(r.facts.theory.ratio))
        ),
        r"compares with its law \(ratio\)",
    ),
    "law is short": (lambda r: facts(r, theory=Prediction((1.0,))), "its law has 1 values"),
}


@pytest.mark.parametrize("how", LAWLESS)
def test_an_edit_of_losses_contradicts_the_comparison_with_their_law(how, tmp_path):
    forge, words = LAWLESS[how]
    cell, store = cell_of(LAW), Store(tmp_path)
    record = store.write(run_chains(cell, [0, 1, 2, 3]), cell)
    assert contradiction(record) is None
    store.block_path(cell.id, 0).write_bytes(forge(record).packed())
    with pytest.raises(Forged, match=words):
        store.read(cell.id, 0)


@pytest.mark.parametrize("how", FORGERIES)
def test_an_edit_that_is_sealed_again_contradicts_itself(how, record, store):
    forge, words = FORGERIES[how]
    assert contradiction(record) is None
    forged = forge(record)
    place(store).write_bytes(forged.packed())
    with pytest.raises(Forged, match=words) as refused:
        store.read(cell_of(SPEC).id, 0)
    assert "contradicts itself and was not written by a run" in str(refused.value)


def test_a_record_under_another_name_contradicts_its_place(record, store):
    other = cell_of("gaussian | gaussian-fit")
    store.block_path(other.id, 0).parent.mkdir()
    store.block_path(other.id, 0).write_bytes(record.packed())
    with pytest.raises(Forged, match="it is the record of another cell"):
        store.read(other.id, 0)
    store.block_path(cell_of(SPEC).id, 1).write_bytes(record.packed())
    with pytest.raises(Forged, match="it holds the chains of another block"):
        store.read(cell_of(SPEC).id, 1)


def test_what_no_check_can_find(record, store):
    """A forger who carries an edit through all facts is found only by running the cell again."""
    scaled = numbers(record, value=record.value * 0.5).compared()
    place(store).write_bytes(scaled.packed())
    assert store.read(cell_of(SPEC).id, 0).digest() != record.digest()
    assert run_chains(cell_of(SPEC), [0, 1, 2, 3]).compared().digest() == record.digest()


# -- absurd -------------------------------------------------------------------------------------------------------


def test_more_rows_than_a_run_has_are_not_read(record, store, monkeypatch):
    monkeypatch.setattr(parquet, "MOST_ROWS", 10)
    with pytest.raises(Absurd, match=r"it has \d+ rows, and at most 10 are read"):
        store.read(cell_of(SPEC).id, 0)
    monkeypatch.setattr("collapse_bench.records.record.MOST_ROWS", 10)
    with pytest.raises(UsageError, match="a record holds at most 10; run fewer generations"):
        record.packed()


def test_a_small_file_of_many_rows_is_refused_before_it_is_decoded(tmp_path):
    rows = parquet.MOST_ROWS + 1
    table = pa.table(
        {
            "seed": pa.array(np.zeros(rows, np.int64)),
            "generation": pa.array(np.zeros(rows, np.int32)),
            "metric": pa.DictionaryArray.from_arrays(np.zeros(rows, np.int8), ["w2"]),
            "value": pa.array(np.zeros(rows)),
        }
    )
    path = tmp_path / "0-31.parquet"
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({_META: "{}"})
    assert path.stat().st_size < 2**21
    before = pa.total_allocated_bytes()
    with pytest.raises(Absurd, match=f"it has {rows} rows"):
        Record.read(path)
    assert pa.total_allocated_bytes() - before < 2**24


def test_a_larger_file_than_a_run_writes_is_not_read(store, monkeypatch):
    monkeypatch.setattr(parquet, "MOST_BYTES", 100)
    with pytest.raises(Absurd, match=r"it has \d+ bytes, and at most 100 are read"):
        store.read(cell_of(SPEC).id, 0)


def test_the_metadata_of_an_archive_does_not_inflate_beyond_its_limit(monkeypatch):
    bomb = base64.b64encode(zlib.compress(b" " * 2**22, 9))
    assert len(bomb) < 2**13
    monkeypatch.setattr(archive, "MOST_TEXT", 2**20)
    with pytest.raises(OverflowError, match="unpacks to more than 1048576 bytes"):
        archive._unpacked(bomb)


@pytest.mark.parametrize("what", ["fifo", "folder", "device"])
def test_only_regular_files_are_read(what, store):
    path = place(store)
    path.unlink()
    if what == "fifo":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(Unreadable, match="it is not a regular file"):
        store.read(cell_of(SPEC).id, 0)


def test_records_of_many_row_groups_and_of_none_come_back(tmp_path, record):
    empty = record.rows(np.zeros(len(record.seed), bool), record.facts, record.runs)
    (tmp_path / "empty.parquet").write_bytes(empty.packed())
    assert Record.read(tmp_path / "empty.parquet").digest() == empty.digest()
    names = np.array(["w2", "effective_size", "more"], dtype=object)
    n = 2**20 + 5
    large = Record(
        np.zeros(n, np.int64),
        np.zeros(n, np.int32),
        names[np.arange(n) * 3 // n],  # the second row group has other names than the first
        np.arange(float(n)),
        record.facts,
        [],
    )
    (tmp_path / "large.parquet").write_bytes(large.packed())
    assert Record.read(tmp_path / "large.parquet").digest() == large.digest()


# -- cannot be read now -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.EACCES, errno.ESTALE, errno.EIO, errno.ENOMEM])
def test_a_record_that_cannot_be_read_now_stops_the_run_and_stays(
    number, record, store, monkeypatch
):
    content, opened = place(store).read_bytes(), os.open

    def refuse(path, *args, **more):
        if path == place(store):
            raise OSError(number, os.strerror(number), str(path))
        return opened(path, *args, **more)

    monkeypatch.setattr(os, "open", refuse)
    words = re.escape(f"{place(store)} cannot be read ({os.strerror(number)}); it is left as it is")
    with pytest.raises(Unreadable, match=words):
        api.run(SPEC, seeds="0:2", output=store.path)
    with pytest.raises(Unreadable, match=words):
        store.write(record.restricted([0]), cell_of(SPEC))
    monkeypatch.undo()
    assert place(store).read_bytes() == content
    assert store.read(cell_of(SPEC).id, 0).seeds == [0, 1, 2, 3]


def test_memory_that_cannot_be_had_is_no_damage(store, monkeypatch):
    def refuse(*_, **__):
        raise pa.ArrowMemoryError("malloc of size 64 failed")

    monkeypatch.setattr(pq.ParquetFile, "read", refuse)
    with pytest.raises(Unreadable, match="there is not enough memory for it"):
        store.read(cell_of(SPEC).id, 0)


def test_a_folder_that_cannot_be_listed_is_not_called_empty(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(Unreadable, match="cannot be read"):
        api.results(tmp_path)


def test_what_is_replaced_is_kept_until_all_its_chains_are_there(record, store):
    path, cell = place(store), cell_of(SPEC)
    spoilt = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(0).column(3)
    spoilt[column.data_page_offset + column.total_compressed_size // 2] ^= 0x10
    path.write_bytes(spoilt)
    kept = path.with_name("_0-31.parquet.damaged")
    store.write(record.restricted([0, 1]), cell)
    assert kept.read_bytes() == spoilt
    assert store.read(cell.id, 0).seeds == [0, 1]
    store.write(record.restricted([2]), cell)
    assert kept.exists()
    store.write(record.restricted([3]), cell)
    assert not kept.exists()
    assert store.read(cell.id, 0).digest() == record.digest()


def test_a_second_damage_keeps_what_the_first_left(record, store):
    path, cell = place(store), cell_of(SPEC)
    for content in (b"first", b"second"):
        path.write_bytes(content)
        store.write(record.restricted([0, 1]), cell)
    kept = [path.with_name(f"_0-31.parquet{more}.damaged") for more in ("", ".2")]
    assert [file.read_bytes() for file in kept] == [b"first", b"second"]
    store.write(record, cell)
    assert all(file.exists() for file in kept)  # they name no chains, so they may hold all 32


@pytest.mark.parametrize(
    "odd", [3, None, [], {"data.path": 3}, {"data.path": {"path": "x", "files": {"a": 0}}}]
)
def test_odd_files_in_the_description_of_a_cell(odd, store):
    description = place(store).with_name("_cell.json")
    content = json.loads(description.read_text())
    description.write_text(json.dumps({**content, "id": "0" * 20}))
    assert Store(store.path).cells()
    description.write_text(json.dumps({**content, "id": "0" * 20, "files": odd}))
    assert not Store(store.path).cells()
    place(store).unlink()
    planned = api.plan(api.RunRequest(SPEC, seeds="0:2", output=store.path))
    assert all(step.verdict == "run" for step in planned.steps)


# -- code, links and paths ----------------------------------------------------------------------------------------


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_no_code_of_a_checkpoint_of_others_runs(tmp_path):
    store, cell, seeds = Store(tmp_path / "results"), cell_of(SPEC), [0, 1]
    path, sprung = store.checkpoint_path(cell.id, seeds), tmp_path / "sprung"
    path.parent.mkdir(parents=True)
    header = {"schema": 1, "id": cell.id, "seeds": seeds, "weights": None}
    for content in (
        pickle.dumps(Trap(sprung)),
        pickle.dumps({**header, "state": pickle.dumps(Trap(sprung))}),
        checkpoint.signed(b"a key of another user" + bytes(11), header, pickle.dumps(Trap(sprung))),
    ):
        path.write_bytes(content)
        assert store.load_checkpoint(cell.id, seeds) is None
        assert run_chains(cell, seeds, store).runs[-1]["resumed_from"] is None
        assert not sprung.exists()
    path.write_bytes(checkpoint.signed(key.user_key(), header, pickle.dumps(Trap(sprung))))
    store.load_checkpoint(cell.id, seeds)
    assert sprung.exists()  # the trap works: it is the signature that holds it


def test_the_key_is_private_and_made_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with ThreadPoolExecutor(8) as crew:
        keys = set(crew.map(lambda _: key.user_key(), range(32)))
    assert len(keys) == 1
    assert len(next(iter(keys))) == key.LENGTH
    (path,) = (tmp_path / "collapse-bench").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    assert key.user_key() is None  # others may know it
    path.chmod(0o600)
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    assert key.user_key() is None


def test_a_run_warns_once_where_there_is_no_key(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    specs = [SPEC, "zipf(K=5) | counts @ n=8 T=1"]
    with pytest.warns(UserWarning, match="/dev/null/collapse-bench/checkpoint-key cannot") as said:
        api.run(specs, seeds="0:2", output=tmp_path)
    assert sum("checkpoint" in str(one.message) for one in said) == 1
    env = {"XDG_CACHE_HOME": "/dev/null"}
    ended = call("run", SPEC, "--seeds", "2:4", "-o", tmp_path / "new", env=env)
    assert ended.code == 0
    assert ended.err.count("warning: an interrupted cell starts again") == 1
    monkeypatch.undo()
    assert key.why_no_key() is None


def test_without_a_key_a_run_goes_without_checkpoints(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    cell, store = cell_of(SPEC), Store(tmp_path)
    assert run_chains(cell, [0], store, checkpoint_seconds=0.0).facts.status == (Status.DONE,)
    assert not list(tmp_path.rglob("*.ckpt"))


def test_links_are_not_followed(record, tmp_path):
    cell, store = cell_of(SPEC), Store(tmp_path / "results")
    precious = tmp_path / "precious"
    precious.write_text("mine")
    folder = store.folder(cell.id)
    folder.mkdir(parents=True)
    (folder / ".lock").symlink_to(precious)
    with pytest.raises(Unreadable, match=r"\.lock cannot be read \(it is a symbolic link\)"):
        store.write(record, cell)
    assert precious.read_text() == "mine"
    (folder / ".lock").unlink()
    folder.rmdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "0-31.ckpt").write_text("mine")
    folder.symlink_to(elsewhere)
    for use in (
        lambda: store.write(record, cell),
        lambda: store.read(cell.id, 0),
        lambda: store.drop_checkpoint(cell.id, [0]),
    ):
        with pytest.raises(Unreadable, match="it is a symbolic link"):
            use()
    assert [path.name for path in elsewhere.iterdir()] == ["0-31.ckpt"]


@pytest.mark.parametrize(
    "text", ["../elsewhere/x", "", "0" * 19, "0" * 21, "A" * 20, "0" * 20 + "\n"]
)
def test_an_id_has_twenty_hex_digits(text, tmp_path):
    with pytest.raises(UsageError, match="is not the id of a cell"):
        Store(tmp_path).read(text, 0)


def test_a_description_that_is_odd_is_ignored(store):
    folder = store.folder(cell_of(SPEC).id)
    label = cell_of(SPEC).label
    assert store.cells()[label][cell_of(SPEC).id]["T"] == 3
    (folder / "_cell.json").rename(folder / "cell.json")  # as version 0.1 called it
    assert store.cells()[label][cell_of(SPEC).id]["T"] == 3
    (folder / "cell.json").unlink()
    for text in ("[" * 100_000, "[]", '{"label": 3}', '{"label": "x", "id": "../x"}', "\udc80"):
        (folder / "_cell.json").write_text(text, errors="surrogateescape")
        assert store.cells() == {}
    (folder / "_cell.json").unlink()
    os.mkfifo(folder / "_cell.json")
    assert store.cells() == {}


# -- names of temporary files -------------------------------------------------------------------------------------


def test_writers_with_one_process_number_do_not_meet(tmp_path, monkeypatch):
    """As in two containers that share a volume."""
    monkeypatch.setattr(os, "getpid", lambda: 7)
    path = tmp_path / "x.manifest.json"
    contents = [bytes([65 + i]) * 50_000 for i in range(6)]
    replace_file(path, contents[0])

    def write(content: bytes) -> None:
        for _ in range(30):
            replace_file(path, content)
            assert read_file(path, 2**20) in contents

    with ThreadPoolExecutor(6) as crew:
        list(crew.map(write, contents))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_unfinished_files_of_killed_runs_are_swept_at_every_level(store, monkeypatch):
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(SystemExit))
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)  # as after SIGKILL
    for path in (store.path / "a.manifest.json", place(store)):
        with pytest.raises(SystemExit):
            files.replace_file(path, b"half")
    monkeypatch.undo()
    litter = [*store.path.rglob("*.tmp")]
    assert len(litter) == 2
    for path in litter:
        os.utime(path, (0, 0))
    store.create()
    assert not [*store.path.rglob("*.tmp")]


# -- readers of other programs -------------------------------------------------------------------------------------


def test_pandas_reads_the_folder_of_a_cell(record, store):
    cell = cell_of(SPEC)
    store.write(run_chains(cell, [40]), cell)
    frame = pd.read_parquet(store.folder(cell.id))
    assert sorted(set(frame.seed)) == [0, 1, 2, 3, 40]
    assert list(frame.columns) == ["seed", "generation", "metric", "value"]
