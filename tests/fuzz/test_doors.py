"""Whatever a file of a run holds, what reads it ends with a result or one sentence.

Real files of a small run are mutated: bits, cuts, and values of the JSON, TOML and Parquet inside,
sealed or signed again where that is possible.  No case may end in another exception or hang.  Cases
that once did are examples in ``tests/records/test_rejected.py``.
"""

from __future__ import annotations

import copy
import json
import os
import random
import re
import shutil
import signal
import tomllib
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from collapse_bench import api, cell_of
from collapse_bench.cli import main
from collapse_bench.errors import UserError
from collapse_bench.records import archive, checkpoint
from collapse_bench.records.archive import Archive
from collapse_bench.records.faults import Rejected
from collapse_bench.records.key import user_key
from collapse_bench.records.record import _META, Record
from collapse_bench.records.store import Store
from collapse_bench.running.chains import run_chains

SUITE = """
name = "doors"
seeds = "0:3"
generations = 2
n = 20
mitigations = ["real-anchor(k=2)"]
focus = "real-anchor(k=2)"

[[tasks]]
data = "gaussian(d=2)"
model = "gaussian-fit"

[[calibration]]
task = "gaussian(d=2) | gaussian-fit | replace @ n=20 T=2"
floor = 0.01
gap = 1.0
gap_sd = 0.1
harm = 1.0
harm_sd = 0.1
chains = 256
"""
SPEC = "linear(d=3, signal=2) | ridge(lam=0.1) | mix(real=0.1) | anchor + golden-ratio @ n=20 T=2"
SECONDS = 60  # a case that takes longer hangs
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, 1e308, -0.0, float("nan")),
    *(
        float("inf"),
        float("-inf"),
        "",
        "x",
        "../../x",
        "/dev/zero",
        "\0",
        "\ud800",
        "a\nb",
        "\x1b[2J",
    ),
    *(
        [],
        {},
        [[]],
        [None],
        {"": None},
        [0] * 100,
        "9" * 5000,
        "x" * 100_000,
        "=1",
        "0:99999999999",
    ),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """The folder of a run, with its archive."""
    root = tmp_path_factory.mktemp("doors")
    (root / "doors.toml").write_text(SUITE)
    api.run(root / "doors.toml", output=root / "results")
    api.publish_run(root / "results", root / "out", force=True)
    shutil.copy(root / "out" / "doors.parquet", root / "results" / "doors.parquet")
    return root / "results"


# -- mutations ----------------------------------------------------------------------------------------------------


def mutated(plain: Any, dice: random.Random) -> Any:
    """A copy of a JSON tree with one to three values changed, removed, added, moved or nested."""
    tree = copy.deepcopy(plain)
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        holders = [node for node in nodes(tree) if node]
        if not holders:
            return dice.choice(ODD)
        holder = dice.choice(holders)
        key = dice.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        what = dice.randrange(6)
        if what == 0:
            del holder[key]
        elif what == 1:
            holder[key] = deep(dice)
        elif what == 2 and isinstance(holder, dict):
            holder[dice.choice(["", "x", "seeds", "id", "__class__", "\ud800"])] = holder.pop(key)
        elif what == 3:
            other = dice.choice(holders)
            holder[key] = copy.deepcopy(
                dice.choice([*(other.values() if isinstance(other, dict) else other)])
            )
        elif (
            what == 4
            and isinstance(holder[key], (int, float))
            and not isinstance(holder[key], bool)
        ):
            holder[key] = holder[key] * dice.choice([-1, 0, 0.5, 2, 10**6]) + dice.choice(
                [0, 1, -1]
            )
        else:
            holder[key] = copy.deepcopy(dice.choice(ODD))
    return tree


def nodes(tree: Any) -> list[Any]:
    """All lists and tables of a tree."""
    found, waiting = [], [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (dict, list)):
            found.append(node)
            waiting += node.values() if isinstance(node, dict) else node
    return found


def deep(dice: random.Random) -> Any:
    nest: Any = 0
    for _ in range(dice.choice([30, 100])):
        nest = [nest] if dice.random() < 0.5 else {"a": nest}
    return nest


def spoilt(content: bytes, dice: random.Random) -> bytes:
    """Bytes with flipped bits, a cut, a hole, zeros, or something inserted."""
    data = bytearray(content)
    what = dice.randrange(6)
    if what == 0 or not data:
        return dice.randbytes(dice.randrange(200))
    at = dice.randrange(len(data))
    if what == 1:
        return bytes(data[:at])
    if what == 2:
        for _ in range(dice.randrange(1, 8)):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    elif what == 3:
        data[at : at + dice.randrange(1, 64)] = b""
    elif what == 4:
        data[at : at + 32] = bytes(len(data[at : at + 32]))
    else:
        data[at:at] = dice.randbytes(dice.randrange(1, 40))
    return bytes(data)


def text_of(tree: Any, dice: random.Random) -> str:
    return json.dumps(tree) if dice.random() < 0.9 else json.dumps(tree)[: dice.randrange(1, 50)]


def parquet(table: pa.Table, key: bytes, text: bytes | str) -> bytes:
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({key: text})
    return sink.getvalue().to_pybytes()


def columns(table: pa.Table, dice: random.Random) -> pa.Table:
    """A table with a column of odd values, of another type, missing, or with fewer or more rows."""
    name = dice.choice(table.column_names)
    at = table.column_names.index(name)
    what = dice.randrange(5)
    if what == 0:
        return table.drop_columns([name])
    if what == 1:
        return table.set_column(at, name, pa.array([None] * len(table), table.schema.types[at]))
    if what == 2:
        return table.set_column(at, name, table[name].cast(pa.string()))
    if what == 3:
        return table.slice(0, dice.randrange(len(table)))
    if table.schema.types[at] == pa.string():
        return pa.concat_tables([table, table])
    odd = dice.choice([-1, 0, 2**30, 7])
    return table.set_column(at, name, pa.array(np.full(len(table), odd), table.schema.types[at]))


# -- doors: each mutates a file of a run and reads it as commands do -----------------------------------------------


def record(run: Path, dice: random.Random) -> None:
    path = dice.choice(sorted(run.glob("*/*.parquet")))
    whole = Record.read(path)
    if dice.random() < 0.25:
        path.write_bytes(spoilt(path.read_bytes(), dice))
    else:
        table = pq.read_table(path).replace_schema_metadata(None)
        meta = {"facts": whole.facts.to_json(), "runs": whole.runs, "seal": whole._seal()}
        if dice.random() < 0.25:
            table = columns(table, dice)
        else:
            meta = mutated(json.loads(json.dumps(meta)), dice)
        path.write_bytes(parquet(table, _META, text_of(sealed(meta, table), dice)))
    try:
        Store(run).read(path.parent.name, 0)
    except Rejected:
        if dice.random() < 0.7:
            raise  # what the board says of it is always the same code
    shown(run)


def sealed(meta: Any, table: pa.Table) -> Any:
    """The metadata with the seal of this table, where there are facts to seal."""
    try:
        from collapse_bench.records.facts import CellFacts

        meta["seal"] = Record(
            *(table[name].to_numpy() for name in ("seed", "generation")),
            np.asarray(table["metric"].to_pylist(), dtype=object),
            table["value"].to_numpy(),
            CellFacts.from_json(meta["facts"]),
            meta["runs"],
        )._seal()
    except Exception:  # a mutation that cannot be sealed is read with its old seal
        pass
    return meta


def manifest(run: Path, dice: random.Random) -> None:
    path = run / "doors.manifest.json"
    if dice.random() < 0.2:
        path.write_bytes(spoilt(path.read_bytes(), dice))
    else:
        path.write_text(text_of(mutated(json.loads(path.read_text()), dice), dice))
    if dice.random() < 0.1:
        (run / "doors.suite.toml").unlink()
    shown(run)
    if dice.random() < 0.2:
        api.publish_run(run, run / "published", force=dice.random() < 0.5)


def suite(run: Path, dice: random.Random) -> None:
    path = run / "doors.suite.toml"
    text = path.read_text()
    if dice.random() < 0.3:
        path.write_bytes(spoilt(text.encode(), dice))
    else:
        tree = mutated(tomllib.loads(text), dice)
        path.write_text("\n".join(toml(tree)), errors="surrogatepass")
    planned(run, path)
    shown(run)


def toml(tree: Any) -> list[str]:
    """The keys of a table as inline values, so that any tree can be written."""

    def value(item: Any) -> str:
        if isinstance(item, dict):
            inner = ", ".join(f"{json.dumps(str(k))} = {value(v)}" for k, v in item.items())
            return "{" + inner + "}"
        if isinstance(item, list):
            return "[" + ", ".join(map(value, item)) + "]"
        return json.dumps(item) if not isinstance(item, float) else repr(item)

    pairs = tree.items() if isinstance(tree, dict) else [("x", tree)]
    return [f"{json.dumps(str(key))} = {value(item)}" for key, item in pairs]


def published(run: Path, dice: random.Random) -> None:
    path = run / "doors.parquet"
    if dice.random() < 0.25:
        path.write_bytes(spoilt(path.read_bytes(), dice))
    else:
        table = pq.read_table(path).replace_schema_metadata(None)
        header = archive._unpacked(pq.read_metadata(path).metadata[archive._META])
        if dice.random() < 0.25:
            table = columns(table, dice)
        else:
            header = mutated(header, dice)
        try:
            header["seal"] = archive._seal(table, header)
            text = archive._packed(header)
        except Exception:  # a mutation that cannot be sealed
            text = b"x" + archive._packed({"seal": "x"})
        path.write_bytes(parquet(table, archive._META, text))
    len(Archive(path))
    for gone in run.glob("*/*.parquet"):
        gone.unlink()
    plain = json.loads((run / "doors.manifest.json").read_text())
    plain["published"] = str(path)
    (run / "doors.manifest.json").write_text(json.dumps(plain))
    shown(run)


def signed(run: Path, dice: random.Random) -> None:
    cell, seeds, store = cell_of("gaussian | gaussian-fit @ n=4 T=3"), [0, 1], Store(run)
    run_chains(cell, seeds, store, checkpoint_seconds=0.0)
    path = store.checkpoint_path(cell.id, seeds)
    content = path.read_bytes()
    if dice.random() < 0.5:
        path.write_bytes(spoilt(content, dice))
    else:
        header = {"schema": 1, "id": cell.id, "seeds": seeds, "weights": None}
        header = mutated(header, dice)
        state = content[content.index(b"}") + 1 :]
        state = spoilt(state, dice) if dice.random() < 0.3 else state
        try:
            path.write_bytes(checkpoint.signed(user_key() or b"", header, state))
        except UnicodeEncodeError:
            return
    record = run_chains(cell, seeds, store)
    assert set(record.facts.status) == {"done"}, record.facts.reason


def description(run: Path, dice: random.Random) -> None:
    for path in run.glob("*/_cell.json"):
        plain = json.loads(path.read_text())
        plain["files"] = {"data.path": {"path": "x", "files": {"a": "0"}}}
        if dice.random() < 0.5:
            plain["id"] = "0" * 20  # of another version, so that the plan compares the two
        if dice.random() < 0.3:
            path.write_bytes(spoilt(json.dumps(plain).encode(), dice))
        else:
            path.write_text(text_of(mutated(plain, dice), dice))
    for gone in run.glob("*/*.parquet"):
        gone.unlink()  # so that the plan compares descriptions
    planned(run, run / "doors.suite.toml")


def spec(run: Path, dice: random.Random) -> None:
    pieces = re.findall(r"\w+|[^\w\s]|\s", SPEC)
    for _ in range(dice.randrange(1, 4)):
        at = dice.randrange(len(pieces))
        pieces[at : at + dice.randrange(2)] = [
            dice.choice(
                [*pieces, "(" * 60, '"', "\\", "1e999", "-", "9" * 400, "[[", "\ud800", "nan"]
            )
        ]
    cell = cell_of("".join(pieces))
    assert re.fullmatch("[0-9a-f]{20}", cell.id)


def environment(run: Path, dice: random.Random) -> None:
    names = ("BOARD_FORMAT", "BOARD_FOCUS", "BOARD_SUITE", "BOARD_TASKS", "BOARD_ACROSS", "PLUGINS")
    name = f"COLLAPSE_BENCH_{dice.choice(names)}"
    odd = ["", "x", "\x1b[2J", "/dev/null", "a\nb", "=1", "9" * 5000, "../..", "json", "typed", "1"]
    before = os.environ.get(name)
    os.environ[name] = dice.choice(odd)
    try:
        with pytest.raises(SystemExit) as ended:
            main(["board", str(run)])
    finally:
        os.environ.pop(name) if before is None else os.environ.update({name: before})
    assert ended.value.code in (0, 2, 3, 5)


def shown(run: Path) -> None:
    board = api.results(run).board()
    board.render("markdown")
    board.render("json", per_task=True)


def planned(run: Path, path: Path) -> None:
    ready = api.plan(api.RunRequest(path, output=run))
    ready.estimate()


#: what is mutated -> (how, cases of the fast test, cases of the slow test)
DOORS: dict[str, tuple[Callable[[Path, random.Random], None], int, int]] = {
    "record": (record, 40, 700),
    "manifest": (manifest, 15, 400),
    "suite": (suite, 10, 300),
    "archive": (published, 15, 300),
    "checkpoint": (signed, 10, 200),
    "description": (description, 5, 100),
    "spec": (spec, 20, 400),
    "environment": (environment, 5, 60),
}


class Hang(BaseException):
    """A case took too long; no reader catches it."""


def attempt(door: str, case: int, base: Path, folder: Path) -> str:
    """How one case ended: fine, sentence, hang, or a traceback."""

    def ring(*_: Any) -> None:
        raise Hang

    shutil.copytree(base, folder)
    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        DOORS[door][0](folder, random.Random(f"{door} {case}"))
    except (UserError, Rejected) as problem:
        said = str(problem)
        return "sentence" if said and "\n" not in said and len(said) < 20_000 else f"told {said!r}"
    except Hang:
        return "hang"
    except Exception:
        return traceback.format_exc()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        shutil.rmtree(folder, ignore_errors=True)
    return "fine"


def ends(door: str, cases: range, base: Path, tmp_path: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    failures = []
    for case in cases:
        end = attempt(door, case, base, tmp_path / "run")
        found[end if end in ("fine", "sentence", "hang") else "traceback"] += 1
        if end not in ("fine", "sentence"):
            failures.append(f"case {case}: {end}")
    print(f"{door}: {len(cases)} cases, {dict(found)}")
    assert not failures, f"{len(failures)} of {len(cases)}\n" + "\n".join(failures[:3])
    return found


@pytest.mark.parametrize("door", DOORS)
def test_some_mutations(door, base, tmp_path):
    found = ends(door, range(DOORS[door][1]), base, tmp_path)
    assert found["sentence"] or door in ("checkpoint", "description", "environment")


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
def test_many_mutations(door, base, tmp_path):
    ends(door, range(DOORS[door][2]), base, tmp_path)


def test_the_slow_tests_have_two_thousand_cases():
    assert sum(many for _, _, many in DOORS.values()) >= 2000
