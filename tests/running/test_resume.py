"""Running is resuming: whenever a run is killed and whatever becomes of its files, the next one ends where it would have."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from forked import call, start
from safetensors.torch import load_file

from collapse_bench import api, cell_of
from collapse_bench.core.loop import generations
from collapse_bench.core.tracks import joined_tracks
from collapse_bench.records.checkpoint import packed, signed
from collapse_bench.records.faults import Rejected
from collapse_bench.records.key import user_key
from collapse_bench.records.record import BLOCK, Record, blocks_of
from collapse_bench.records.store import Store
from collapse_bench.registry.discovery import registry
from collapse_bench.running.chains import _Work, run_chains
from collapse_bench.running.facts import Rows
from collapse_bench.running.jobs import Job, Options, run_job
from collapse_bench.suite.plan import plan

SUITE = """
name = "long"
seeds = "0:36"
generations = 4
n = 30
mitigations = ["real-anchor(k=2)"]

[[tasks]]
data = "gaussian(d=2)"
model = "gaussian-fit"

[[tasks]]
data = "linear(d=3)"
model = "random-features(width=20)"
protocols = ["accumulate"]
generations = 10
"""
STORIES = "grammar-stories(words=20, sentences=1, block=16, test=8, judged=6)"
TINY_LM = "causal-lm(layers=1, width=8, heads=2, steps=3, batch=16, lr=0.01)"
SPEC = "gaussian(d=2) | gaussian-fit | accumulate | real-anchor(k=2) @ n=8 T=5"


@pytest.fixture(scope="module")
def suite(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("suite") / "long.toml"
    path.write_text(SUITE)
    return path


def digests(output: Path) -> dict[str, str]:
    """Of every record by its place; a damaged one fails the test."""
    found = dict(Store(output).records())
    assert all(isinstance(record, Record) for record in found.values()), found
    return {str(path.relative_to(output)): record.digest() for path, record in found.items()}


#: the command with a checkpoint after every generation
DRIVER = """if True:
    import sys
    from collapse_bench import api

    api.run(sys.argv[1], output=sys.argv[2], n_jobs=int(sys.argv[3]), checkpoint_seconds=0.0)
"""


@pytest.fixture(scope="module")
def undisturbed(suite, tmp_path_factory) -> tuple[dict[str, str], float]:
    """The records of a run that nobody disturbed, and the seconds from its first record to its last."""
    output = tmp_path_factory.mktemp("undisturbed")
    ended = call(suite, output, 1, code=DRIVER)
    assert ended.code == 0, ended
    assert not list(output.rglob("*.ckpt"))
    assert not list(output.rglob("*.tmp"))
    kept = digests(output)
    assert len(kept) > 25
    written = [path.stat().st_mtime for path in output.glob("*/*.parquet")]
    return kept, max(written) - min(written)


# -- killed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kills", "moments"),
    # 100 kills in four parts, which workers of the tests share
    [(3, 0), *(pytest.param(25, part, marks=pytest.mark.slow) for part in range(1, 5))],
)
def test_killed_at_any_moment(kills, moments, suite, undisturbed, tmp_path):
    """SIGKILL at random moments, each in a folder of its own, then the same command again.

    A moment is a number of records and a while after the last of them, so that it does not hang on the machine's speed.
    """
    whole, took = undisturbed
    dice, found = random.Random(20240607 + moments), []
    for k in range(kills):
        output = tmp_path / str(k)
        records, after = dice.randrange(len(whole)), dice.uniform(0, 1.5 * took / len(whole))
        run = start(suite, output, 1, code=DRIVER)
        while len(list(output.glob("*/*.parquet"))) < records:
            time.sleep(0.001)
        time.sleep(after)
        run.send(signal.SIGKILL)
        assert run.wait().code in (-signal.SIGKILL, 0)
        before = digests(output)  # what is there is whole
        assert before.items() <= whole.items()
        found.append(len(before))
        ended = call("run", suite, "-o", output, "-q")
        assert ended.code == 0, ended
        assert digests(output) == whole
        assert litter(output) == []
        shutil.rmtree(output)
    assert len(set(found)) > min(kills, len(whole)) // 2, f"few different moments: {found}"


def litter(output: Path) -> list[Path]:
    """Files that a finished run should not leave; half-written ones count once they are old."""
    for path in output.rglob(".*.tmp"):
        os.utime(path, (0, 0))
    Store(output).create()  # every run begins with that
    kept = ("*.parquet", "_cell.json", ".lock", "*.toml", "*.manifest.json")
    files = [path for path in output.rglob("*") if path.is_file()]
    return [path for path in files if not any(path.match(pattern) for pattern in kept)]


#: kill at the k-th file that is written: before it is written, half written, written and not yet renamed, renamed
CRASH = """if True:
    import os, signal, sys
    from pathlib import Path
    from collapse_bench import api
    from collapse_bench.records import store
    from collapse_bench.suite import model as suite

    name, output, k, where = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    count, rename, write = 0, os.replace, Path.write_bytes

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def write_bytes(path, content):
        global count
        count += 1
        if count == k and where == "before":
            die()
        if count == k and where == "half":
            write(path, content[: len(content) // 2])
            die()
        return write(path, content)

    def replaced(beside, path):
        if count == k and where == "unnamed":
            die()
        rename(beside, path)
        if count == k and where == "named":
            die()

    Path.write_bytes, os.replace = write_bytes, replaced
    api.run(name, output=output, checkpoint_seconds=0.0, seeds="0:3")
    print(count)
"""


WHERE = ["before", "half", "unnamed", "named"]


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> tuple[dict[str, str], int]:
    """The records of a run of CRASH that is not killed, and how many files it writes."""
    output = tmp_path_factory.mktemp("clean")
    ended = call(SPEC, output, 0, "nowhere", code=CRASH)
    assert ended.code == 0, ended
    return digests(output), int(ended.out.split()[-1])


@pytest.mark.parametrize("where", WHERE)
def test_killed_at_any_file(where, clean, tmp_path, pytestconfig):
    """At the points at which files change: checkpoints, records and manifests; every eighth file by default."""
    whole, files = clean
    assert files > 20
    step = 4 if pytestconfig.getoption("slow") else 8
    first = (step // 4) * WHERE.index(where) + 1
    for k in range(first, files + 1, step):
        output = tmp_path / str(k)
        assert call(SPEC, output, k, where, code=CRASH).code == -signal.SIGKILL
        assert digests(output).items() <= whole.items()
        again = call(SPEC, output, 0, where, code=CRASH)
        assert again.code == 0, again
        assert digests(output) == whole
        assert not list(output.rglob("*.ckpt"))
        shutil.rmtree(output)


@pytest.mark.parametrize("kills", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_workers_die_with_the_parent(kills, suite, undisturbed, tmp_path):
    """SIGKILL of the command alone, with two workers busy; again in the same folder, then to the end."""
    whole, _ = undisturbed
    for k in range(kills):
        before = len(list(tmp_path.glob("*/*.parquet")))
        run = start(suite, tmp_path, 2, code=DRIVER)
        while len(list(tmp_path.glob("*/*.parquet"))) < before + 5:
            time.sleep(0.005)
        run.send(signal.SIGKILL)
        assert run.wait().code == -signal.SIGKILL
        for _ in range(500):
            if not run.group():
                break
            time.sleep(0.01)
        assert not run.group(), "a worker outlived its parent"
        assert digests(tmp_path).items() <= whole.items()
        assert "Traceback" not in run.err(), k
    ended = call("run", suite, "-o", tmp_path, "-q", "-j", 2)
    assert ended.code == 0, ended
    assert digests(tmp_path) == whole


def test_litter_of_killed_runs_is_swept(tmp_path):
    store = Store(tmp_path).create()
    cell = cell_of(SPEC)
    store.write(run_chains(cell, [0]), cell)
    old, new = (tmp_path / cell.id / f".0-31.ckpt.{pid}.tmp" for pid in (1, 2))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    store.create()
    assert not old.exists()
    assert new.exists()  # somebody may be writing it


# -- checkpoints ----------------------------------------------------------------------------------------------------


def interrupted(store: Store, cell, seeds: list[int], t: int) -> None:
    """Run until generation t is saved, and go, as after Ctrl-C."""

    def stop(moment):
        if moment.done == t + 2:  # told before the save, so the last save is that of t
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_chains(cell, seeds, store, stop, checkpoint_seconds=0.0)
    assert store.checkpoint_path(cell.id, seeds).exists()


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        "linear(d=4) | random-features(width=12, kept=true) | mix(real=0.3, fresh=false) | tuned-penalty @ n=10 T=5",
        "zipf(K=20, sampler=exact-law) | counts | accumulate-subsample | top-p + distrust @ n=30 T=5",
        "digits | random-features(width=12) | verify-filter | oracle-verify @ n=20 T=5",
        "gaussian(d=2) | gaussian-fit | mix | nature @ n=8 T=5",
        "gaussian(d=2) | gaussian-fit | mix | replay + tuned-weighting(steps=3) + ecosystem(m=2) @ n=12 T=5",
        "linear(d=4) | ols @ n=10 T=5 first=linear(d=4, signal=3)",
        f"{STORIES} | {TINY_LM[:-1]}, init=previous) | mix(real=0.5, fresh=false) @ n=20 T=3",
    ],
)
def test_checkpoint_of_every_generation(spec, tmp_path):
    cell, seeds = cell_of(spec), [0, 3, 4]
    whole = run_chains(cell, seeds)
    for t in range(cell.generations - 1):
        store = Store(tmp_path / str(t))
        interrupted(store, cell, seeds, t)
        record = run_chains(cell, seeds, store)
        assert record.runs[-1]["resumed_from"] == t
        assert record.digest() == whole.digest()


def test_checkpoint_is_dropped_when_the_record_is_there_and_not_before(tmp_path, monkeypatch):
    cell, seeds, store = cell_of(SPEC), [0, 1], Store(tmp_path)
    options = Options(tmp_path, checkpoint_seconds=0.0)

    def full(self, record, cell):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "write", full)
        with pytest.raises(OSError, match="No space"):
            run_job(Job(cell, tuple(seeds)), options)
    assert store.checkpoint_path(cell.id, seeds).exists()
    run_job(Job(cell, tuple(seeds)), options)
    assert store.read(cell.id, 0).runs[-1]["resumed_from"] == cell.generations - 1
    assert not list(tmp_path.rglob("*.ckpt"))


def test_checkpoints_of_other_groups_are_dropped(tmp_path):
    """With another memory budget chains are grouped otherwise, and what was saved of the old groups serves nobody."""
    cell, store = cell_of(SPEC), Store(tmp_path)
    for seeds in ([0, 1, 2, 3], [4, 5], [40, 41]):
        interrupted(store, cell, seeds, 1)
    run_job(Job(cell, (0, 1)), Options(tmp_path))
    assert sorted(path.name for path in tmp_path.rglob("*.ckpt")) == ["4-5.ckpt", "40-41.ckpt"]


def damaged_checkpoints(cell, seeds):
    good = {"schema": 1, "id": cell.id, "seeds": seeds, "weights": None}
    now = next(iter(generations(cell.for_seeds(seeds))))
    state, _ = packed((now, Rows(), {}, _Work()))
    odd, half = (packed(thing)[0] for thing in ("generation 3", (now,)))
    key = user_key()
    whole = signed(key, good, state)
    return {
        "nothing": b"",
        "garbage": b"\x80\x05garbage",
        "text": b"hello",
        "a bare pickle": pickle.dumps({**good, "state": state}),
        "no state": signed(key, good, b""),
        "odd state": signed(key, good, odd),
        "half a state": signed(key, good, half),
        "another schema": signed(key, {**good, "schema": 0}, state),
        "another cell": signed(key, {**good, "id": "x"}, state),
        "other seeds": signed(key, {**good, "seeds": [7]}, state),
        "no header": signed(key, [], state),
        "cut": whole[:-20],
        "a flipped bit": whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:],
        "of another user": signed(bytes(32), good, state),
        "weights that are gone": signed(
            key, {**good, "weights": "0-1.beef.safetensors", "sha256": "0"}, state
        ),
        "class that is gone": signed(key, good, state.replace(b"Rows", b"_Gone")),
    }


def test_checkpoint_that_cannot_be_used_is_ignored(tmp_path):
    cell, seeds, store = cell_of(SPEC), [0, 1], Store(tmp_path)
    whole = run_chains(cell, seeds)
    for name, content in damaged_checkpoints(cell, seeds).items():
        path = store.checkpoint_path(cell.id, seeds)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        record = run_chains(cell, seeds, store)
        assert record.facts.status == ("done",) * 2, (name, record.facts.reason)
        assert record.runs[-1]["resumed_from"] is None, name
        assert record.digest() == whole.digest(), name


# -- damaged records ------------------------------------------------------------------------------------------------


def small_run(output: Path, **more) -> api.Results:
    return api.run(SPEC, output=output, **{"seeds": "0:6", **more})


def spoil(path: Path, how: str, other: Path) -> None:
    content = bytearray(path.read_bytes())
    if how == "cut":
        content = content[: len(content) // 2]
    elif how == "emptied":
        content = b""
    elif how == "a bit of the numbers":
        column = pq.ParquetFile(path).metadata.row_group(0).column(3)
        content[column.data_page_offset + column.total_compressed_size // 2] ^= 0x10
    elif how == "a bit of the facts":
        content[content.index(b'"real_rows"') + 20] ^= 0x01
    elif how == "garbage":
        content = random.Random(3).randbytes(len(content))
    elif how == "another cell's":
        content = other.read_bytes()
    elif how == "another block's":
        shifted = path.with_name(f"{BLOCK}-{2 * BLOCK - 1}.parquet")
        shutil.copy(shifted, path)
        return
    path.write_bytes(content)


@pytest.mark.parametrize(
    "how",
    [
        "cut",
        "emptied",
        "a bit of the numbers",
        "a bit of the facts",
        "garbage",
        "another cell's",
        "another block's",
    ],
)
def test_damaged_record_is_found_reported_and_computed_anew(how, tmp_path):
    small_run(tmp_path, seeds="0:6,32:38")
    whole = digests(tmp_path)
    cell = cell_of(SPEC)
    path = tmp_path / cell.id / "0-31.parquet"
    before = api.results(tmp_path).board().frame()
    spoil(path, how, other=tmp_path / replace(cell, mitigations=()).id / "0-31.parquet")

    planned = json.loads(call("plan", SPEC, "-o", tmp_path, "--seeds", "0:6,32:38", "--json").out)
    (row,) = [row for row in planned if row["verdict"] != "reuse"]
    assert (row["verdict"], row["chains"], row["cell"]) == ("run", 6, cell.label)
    assert str(path) in row["why"]
    assert "damaged" in row["why"] or "another" in row["why"]

    board = api.results(tmp_path).board()
    frame = board.frame().set_index("entry")
    assert frame.chains["real-anchor(k=2)"] == 6  # those of the other block, and none twice
    assert frame.chains["none"] == 12
    (note,) = [note for note in board.render().replace("\n", " ").split("- ") if str(path) in note]
    assert "run again to replace it" in note

    assert not small_run(tmp_path, seeds="0:6,32:38").failed
    assert digests(tmp_path) == whole
    assert api.results(tmp_path).board().frame().equals(before)


def test_any_flipped_byte_is_found_or_does_no_harm(tmp_path):
    cell, store = cell_of(SPEC), Store(tmp_path)
    store.write(run_chains(cell, [0, 1, 2]), cell)
    path, whole = store.block_path(cell.id, 0), store.read(cell.id, 0)
    content, found = path.read_bytes(), 0
    for at in range(0, len(content), max(1, len(content) // 400)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x04]) + content[at + 1 :])
        try:
            record = store.read(cell.id, 0)
        except Rejected:
            found += 1
            continue
        assert record.digest() == whole.digest(), at
        assert (record.facts, record.runs) == (whole.facts, whole.runs), at
    assert found > 200


# -- partial blocks -------------------------------------------------------------------------------------------------


def test_a_partial_block_is_completed_and_not_repeated(tmp_path):
    first = small_run(tmp_path / "grown", seeds="0:20")
    assert {len(outcome.job.seeds) for outcome in first.outcomes} == {20}
    cell, store = cell_of(SPEC), Store(tmp_path / "grown")
    old = store.read(cell.id, 0)
    more = small_run(tmp_path / "grown", seeds="0:32")
    assert {outcome.job.seeds for outcome in more.outcomes} == {tuple(range(20, 32))}
    new = store.read(cell.id, 0)
    assert new.restricted(range(20)).digest() == old.digest()
    assert new.runs[: len(old.runs)] == old.runs
    assert [run["seeds"] for run in new.runs] == [[0, 19], [20, 31]]
    small_run(tmp_path / "at-once", seeds="0:32")
    at_once = Store(tmp_path / "at-once").read(cell.id, 0)
    np.testing.assert_allclose(new.value, at_once.value, rtol=1e-9)
    assert new.facts == at_once.facts
    assert not small_run(tmp_path / "grown", seeds="5:25").outcomes
    wide = small_run(tmp_path / "grown", seeds="0:70")
    assert {outcome.job.seeds for outcome in wide.outcomes} == {
        tuple(range(32, 64)),
        tuple(range(64, 70)),
    }


def test_force_runs_again_and_keeps_the_other_seeds(tmp_path):
    small_run(tmp_path, seeds="0:8")
    forced = small_run(tmp_path, seeds="2:4", force=True)
    assert {outcome.job.seeds for outcome in forced.outcomes} == {(2, 3)}
    record = Store(tmp_path).read(cell_of(SPEC).id, 0)
    assert record.seeds == list(range(8))
    assert record.seed.tolist() == sorted(record.seed.tolist())


def test_a_track_is_what_all_chains_used():
    """Chains that were killed before they drew anything take nothing from what the others used."""
    cell = cell_of(SPEC)
    assert cell.entry == "real-anchor(k=2)"
    used, idle = run_chains(cell, [0, 1]), run_chains(replace(cell, generations=0), [2])
    assert (used.facts.track, idle.facts.track) == ("real", "blind")
    assert used.merged(idle).facts.track == idle.merged(used).facts.track == "real"
    assert (
        run_chains(cell, [2]).merged(idle).facts.track == "blind"
    )  # nothing is left of the older one
    assert joined_tracks(["verifier+real", "blind", "provenance"]) == "provenance+real+verifier"


def test_blocks_are_aligned():
    assert blocks_of([0, 31, 32, 5, 5, 100]) == {0: [0, 5, 31], 1: [32], 3: [100]}


# -- the plan -------------------------------------------------------------------------------------------------------


def verdicts(output: Path, seeds: str = "0:6", **more) -> dict[str, tuple[str, str, int]]:
    suite = api.load_suite(api.RunRequest(SPEC, seeds=seeds))
    steps = plan(suite, Store(output), suite.seeds, **more)
    return {step.entry.cell.label: (step.verdict, step.why, len(step.todo)) for step in steps}


def test_plan_says_reuse_run_and_why(tmp_path):
    label = cell_of(SPEC).label
    assert set(verdicts(tmp_path).values()) == {("run", "no record", 6)}
    small_run(tmp_path)
    assert set(verdicts(tmp_path).values()) == {("reuse", "6 chains are there", 0)}
    assert verdicts(tmp_path, "0:10")[label] == ("run", "6 of 10 chains are there", 4)
    assert verdicts(tmp_path, "30:34")[label] == ("run", "no record", 4)
    assert verdicts(tmp_path, force=True)[label] == ("run", "forced by --force", 6)
    shutil.rmtree(tmp_path / cell_of(SPEC).id)
    assert verdicts(tmp_path)[label] == ("run", "no record", 6)
    assert (
        sum(verdict == "reuse" for verdict, _, _ in verdicts(tmp_path).values())
        == len(verdicts(tmp_path)) - 1
    )


def test_plan_says_stale_when_a_plugin_has_another_version(tmp_path, monkeypatch):
    small_run(tmp_path)
    monkeypatch.setattr(registry().classes["mitigation"]["real-anchor"], "version", 2)
    found = verdicts(tmp_path)
    label = cell_of(SPEC).label
    assert found[label] == (
        "stale",
        "real-anchor has version 2, these records version 1",
        6,
    )
    assert {verdict for other, (verdict, _, _) in found.items() if other != label} == {"reuse"}
    again = small_run(tmp_path)
    assert [outcome.job.cell.label for outcome in again.outcomes] == [label]
    assert verdicts(tmp_path)[label][0] == "reuse"


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"label": 3}'])
def test_plan_bears_a_label_that_is_lost(text, tmp_path):
    small_run(tmp_path)
    descriptions = list(tmp_path.glob("*/_cell.json"))
    assert descriptions
    for about in descriptions:
        about.write_text(text)
    assert {verdict for verdict, _, _ in verdicts(tmp_path).values()} == {"reuse"}


def test_plan_writes_nothing(tmp_path):
    ended = call("plan", SPEC, "-o", tmp_path / "out")
    assert ended.code == 0
    assert not (tmp_path / "out").exists()


def test_a_language_model_killed_in_generation_3_goes_on_there(tmp_path):
    """The process is gone at once; what is left is the record of others, and weights as safetensors."""
    spec = f"{STORIES} | {TINY_LM} @ n=20 T=4"
    cell, store = cell_of(spec), Store(tmp_path)
    child = os.fork()
    if not child:

        def die(moment):
            if moment.done == 3 and moment.step is not None and moment.step.work == "fit":
                os.kill(os.getpid(), signal.SIGKILL)

        run_chains(cell, [0], store, die)
        os._exit(0)
    _, how = os.waitpid(child, 0)
    assert os.WTERMSIG(how) == signal.SIGKILL
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    outcome = run_job(Job(cell, (0,)), Options(tmp_path))
    assert outcome.statuses == {"done": 1}
    record = store.read(cell.id, 0)
    assert record.runs[-1]["resumed_from"] == 2
    whole = run_chains(cell, [0])
    assert record.digest() == whole.compared().digest()
    counted = {name: whole.runs[0]["training"][name] for name in ("steps", "units")}
    assert (
        counted.items() <= record.runs[-1]["training"].items()
    )  # what was done before is no less work
    assert not list(tmp_path.rglob("*.safetensors"))
    assert not list(tmp_path.rglob("*.ckpt"))


# -- weights of networks --------------------------------------------------------------------------------------------


class Net(torch.nn.Module):
    """Two names of one matrix, and a frozen one."""

    def __init__(self):
        super().__init__()
        self.a = self.b = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
        self.c = torch.nn.Parameter(torch.ones(3), requires_grad=False)


def test_weights_are_kept_as_safetensors_tied_ones_once(tmp_path):
    store, net, cell = Store(tmp_path), Net(), "0" * 20
    for t in range(3):
        store.save_checkpoint(cell, [0], {"net": net, "t": t})
    (weights,) = tmp_path.rglob("*.safetensors")  # of the last save alone
    assert {name: tuple(value.shape) for name, value in load_file(weights).items()} == {
        "w0": (2, 3),
        "w1": (3,),
    }
    back = store.load_checkpoint(cell, [0])
    assert back["t"] == 2
    assert back["net"].a is back["net"].b
    assert torch.equal(back["net"].a, net.a)
    assert (back["net"].a.requires_grad, back["net"].c.requires_grad) == (True, False)
    weights.write_bytes(weights.read_bytes()[:-4])
    assert store.load_checkpoint(cell, [0]) is None
    store.drop_checkpoint(cell, [0])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_workers_that_write_into_one_block_lose_nothing(tmp_path):
    cell, store = cell_of(SPEC), Store(tmp_path)
    records = [run_chains(cell, [seed]) for seed in range(12)]
    with ThreadPoolExecutor(6) as crew:
        list(crew.map(lambda record: store.write(record, cell), records))
    assert store.read(cell.id, 0).seeds == list(range(12))
