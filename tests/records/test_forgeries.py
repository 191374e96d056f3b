"""What becomes of a run whose manifest or records were edited and sealed again to rank higher.

Each forgery is stopped when it is read, remarked on by the board, or refused by `publish`.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from collapse_bench import UsageError, api
from collapse_bench.errors import NothingMatched
from collapse_bench.records import archive
from collapse_bench.records.archive import Archive
from collapse_bench.records.store import Store
from collapse_bench.registry import discovery

SUITE = """
name = "forge"
seeds = "0:32"
generations = 8
n = 40
mitigations = ["real-anchor", "weight-averaging", "golden-ratio"]

[[tasks]]
data = "gaussian(d=2)"
model = "gaussian-fit"

[[tasks]]
data = "zipf(K=40)"
model = "counts"
"""


@pytest.fixture(scope="module")
def honest(tmp_path_factory) -> Path:
    """The folder of a calibrated run."""
    root = tmp_path_factory.mktemp("forge")
    (root / "forge.toml").write_text(SUITE)
    api.calibrate(root / "forge.toml")
    ran = api.run(root / "forge.toml", output=root / "results")
    assert not ran.board().doubts
    return root / "results"


@pytest.fixture
def run(honest, tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(discovery, "_REGISTRY", None)
    return Path(shutil.copytree(honest, tmp_path / "results"))


def edited(run: Path, change) -> None:
    path = run / "forge.manifest.json"
    plain = json.loads(path.read_text())
    change(plain)
    path.write_text(json.dumps(plain))


def entry(plain: dict, name: str, data: str = "gaussian") -> dict:
    (found,) = (
        e
        for e in plain["entries"]
        if e["name"] == name and e["role"] != "curve" and e["task"].startswith(data)
    )
    return found


def scaled(run: Path, name: str, factor: float) -> None:
    """The losses of an entry scaled, with all that follows from them, and sealed again."""
    plain = json.loads((run / "forge.manifest.json").read_text())
    for data in ("gaussian", "zipf"):
        path = run / entry(plain, name, data)["id"] / "0-31.parquet"
        (record,) = (r for p, r in Store(run).records() if p == path)
        loss = record.metric == record.facts.primary
        value = record.value * (1 + (factor - 1) * loss)
        path.write_bytes(dataclasses.replace(record, value=value).compared().packed())


def notes(run: Path) -> str:
    return " ".join(api.results(run).board().notes)


def test_an_honest_run_is_published(run, tmp_path):
    assert "manifest" not in notes(run)
    api.publish_run(run, tmp_path / "out")


def test_a_default_that_was_typed_is_published(run, tmp_path):
    typed = "temperature(t=1.1)"
    ran = api.run(run / "forge.suite.toml", mitigations=typed, output=run)
    assert typed in set(ran.board().losses.entry)  # 1.1 is the default of t
    api.publish_run(run, tmp_path / "out")


def test_the_id_of_another_row(run, tmp_path):
    """weight-averaging takes the records of nature."""

    def forge(plain):
        for data in ("gaussian", "zipf"):
            entry(plain, "weight-averaging", data)["id"] = entry(plain, "nature", data)["id"]

    edited(run, forge)
    words = "it is a record of .*nature"
    with pytest.raises(
        UsageError, match=f"weight-averaging on .* is not what the manifest says: {words}"
    ):
        api.publish_run(run, tmp_path / "out", force=True)
    assert "its record is left out, since it is not what the manifest says" in notes(run)
    assert "weight-averaging" not in set(api.results(run).board().losses.dropna().entry)


def test_a_frame_and_curves_leave_out_what_the_board_leaves_out(run):
    def forge(plain):
        entry(plain, "weight-averaging", "zipf")["id"] = entry(plain, "nature", "zipf")["id"]

    edited(run, forge)
    frame = api.results(run).frame()
    tasks = set(frame[frame.entry == "weight-averaging"].task)
    assert len(tasks) == 1
    assert next(iter(tasks)).startswith("gaussian")


def test_a_horizon_of_0(run, tmp_path):
    def forge(plain):
        for e in plain["entries"]:
            e["horizon"] = 0

    edited(run, forge)
    with pytest.raises(NothingMatched, match=r"no chain of suite forge in .* can be used"):
        api.results(run).board()
    with pytest.raises(UsageError, match="it has 8 generations, the entry 0"):
        api.publish_run(run, tmp_path / "out", force=True)


def delete(plain: dict) -> None:
    gone = next(task for task in plain["tasks"] if task.startswith("zipf"))
    del plain["tasks"][gone]
    plain["entries"] = [e for e in plain["entries"] if e["task"] != gone]


def skip(plain: dict) -> None:
    gone = next(task for task in plain["tasks"] if task.startswith("zipf"))
    delete(plain)
    plain["skipped_tasks"][gone] = "its parts do not fit"


def unfit(plain: dict) -> None:
    entry(plain, "weight-averaging", "zipf")["skip"] = "it does not fit"


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (delete, "zipf.* is missing"),
        (skip, "zipf.* is said to be skipped, and its parts fit"),
        (unfit, "weight-averaging on zipf.* is said not to fit, and it fits"),
        (lambda plain: plain["entries"].remove(entry(plain, "weight-averaging")), "is missing"),
        (
            lambda plain: plain["suite"]["mitigations"].remove("weight-averaging"),
            "weight-averaging on .* with 40 rows does not belong to the suite",
        ),
        (lambda plain: plain.update(seeds=[1, 5]), "2 chains that are not the 32 of its suite"),
        (
            lambda plain: next(iter(plain["tasks"].values())).update(log_loss=True),
            "has other properties than its data generator gives it",
        ),
    ],
)
def test_a_manifest_that_the_suite_does_not_make(forge, words, run, tmp_path):
    edited(run, forge)
    with pytest.raises(
        UsageError, match=f"is not the one that the installed suite makes .*{words}"
    ):
        api.publish_run(run, tmp_path / "out")


@pytest.mark.parametrize("unit", ["gap", "harm"])
def test_units_scaled(unit, run, tmp_path):
    def forge(plain):
        for row in plain["suite"]["calibration"]:
            row[unit] *= 3

    edited(run, forge)
    toml = run / "forge.suite.toml"
    toml.unlink()  # it holds the same calibration
    assert "in these chains and" in notes(run)
    with pytest.raises(UsageError, match=r"nats in these chains and .* in its calibration"):
        api.publish_run(run, tmp_path / "out")


def test_losses_below_those_of_nature(run, tmp_path):
    scaled(run, "real-anchor", 0.01)
    words = "real-anchor is significantly better than the oracle teacher `nature`"
    assert words in notes(run)
    with pytest.raises(UsageError, match=words):
        api.publish_run(run, tmp_path / "out")
    api.publish_run(run, tmp_path / "out", force=True)


def test_losses_of_none_raised(run, tmp_path):
    """No loss counts as worse than that of trivial, which hides the size of the factor."""
    scaled(run, "none", 20.0)
    assert "in these chains and" in notes(run)
    with pytest.raises(UsageError, match="publish with --force once you have checked it"):
        api.publish_run(run, tmp_path / "out")


def test_a_ledger_zeroed(run, tmp_path):
    plain = json.loads((run / "forge.manifest.json").read_text())
    path = run / entry(plain, "real-anchor")["id"] / "0-31.parquet"
    (record,) = (r for p, r in Store(run).records() if p == path)
    ledger = dict.fromkeys(record.facts.ledger, (0,) * len(record.seeds))
    facts = dataclasses.replace(record.facts, ledger=ledger, track="blind")
    path.write_bytes(dataclasses.replace(record, facts=facts).packed())
    assert "its ledger counts fewer fits than generations" in notes(run)
    with pytest.raises(NothingMatched, match="contradicts itself and was not written by a run"):
        api.publish_run(run, tmp_path / "out", force=True)


def test_an_archive_of_others_is_named_on_the_board(run, tmp_path, monkeypatch):
    api.publish_run(run, tmp_path / "out")
    file = tmp_path / "out" / "forge.parquet"
    request = {"output": tmp_path / "new", "mitigations": "temperature(t=0.9)", "quick": True}
    ran = api.run(run / "forge.suite.toml", published=file, **request)
    assert any(f"rows of this board come from {file} (seal" in note for note in ran.board().notes)
    monkeypatch.setitem(archive.SHIPPED, "forge", Archive(file).seal)
    assert not any("rows of this board come from" in note for note in ran.board().notes)
    shutil.copy(file, tmp_path / "shipped.parquet")
    monkeypatch.setattr(archive, "shipped", lambda suite: tmp_path / "shipped.parquet")
    assert len(archive.shipped_archive("forge")) == len(Archive(file))
    monkeypatch.setitem(archive.SHIPPED, "forge", "0" * 64)
    with pytest.raises(UsageError, match="is not the file that this version ships"):
        len(archive.shipped_archive("forge"))
    planned = api.plan(api.RunRequest(run / "forge.suite.toml", output=run))
    assert planned.estimate().chains == 0  # without the times of the other file


def test_an_edit_that_is_carried_through_is_not_found(run, tmp_path):
    """Small and consistent: only running the cell again shows it, as docs/records.md says."""
    before = api.results(run).board().frame().set_index("entry").S["weight-averaging"]
    scaled(run, "weight-averaging", 0.9)
    after = api.results(run).board().frame().set_index("entry").S["weight-averaging"]
    assert after > before
    api.publish_run(run, tmp_path / "out")
    again = api.run(run / "forge.suite.toml", output=tmp_path / "again")
    fresh = again.board().frame().set_index("entry").S["weight-averaging"]
    assert fresh == pytest.approx(before, abs=1e-12)
