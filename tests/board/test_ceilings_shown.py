"""What no method of a track can exceed: from a law, through the manifest, to the board."""

from __future__ import annotations

import json
import math

import pytest
from calibrated import calibrated_run

from collapse_bench import cell_of
from collapse_bench.board.words import report
from collapse_bench.records.manifest import Manifest
from collapse_bench.registry.discovery import registry
from collapse_bench.suite.regenerated import differences

TASK = "gaussian | gaussian-fit(sigma=1) | accumulate(real=0.2) @ n=20 T=10"
TRACKS = {"blind", "first", "provenance", "first+provenance"}
SUITE = """
name = "web"
seeds = "0:256"
n = 20
generations = 10
protocols = ["accumulate(real=0.2)"]
mitigations = ["ratio-debias", "mix-weights(synthetic=0)", "noise-augmentation"]

[[tasks]]
data = "gaussian"
model = "gaussian-fit(sigma=1)"

[[tasks]]
data = "gaussian"
model = "gaussian-fit"
protocols = ["replace"]
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return calibrated_run(tmp_path_factory.mktemp("web") / "web.toml", SUITE)


def test_the_manifest_holds_the_ceilings_of_each_task(results):
    known = registry().ceilings(cell_of(TASK))
    tasks = {name: dict(task.ceilings) for name, task in results.manifest.tasks.items()}
    assert tasks[TASK] == {track: curve[10] for track, curve in known.items()}
    assert set(tasks[TASK]) == TRACKS
    (other,) = set(tasks) - {TASK}
    assert tasks[other] == {}
    assert not differences(results.manifest, registry())


def test_a_manifest_without_ceilings_is_read_and_is_that_of_the_suite(results):
    text = (results.output / "web.manifest.json").read_text()
    plain = json.loads(text)
    assert [("ceilings" in task) for task in plain["tasks"].values()].count(True) == 1
    for task in plain["tasks"].values():
        task.pop("ceilings", None)
    older = Manifest.from_text(json.dumps(plain))
    assert older.tasks[TASK].ceilings == {}
    assert not differences(older, registry())
    plain["tasks"][TASK]["ceilings"] = {"blind": 1e-9, "provenance": 1e-9}
    (sentence,) = differences(Manifest.from_text(json.dumps(plain)), registry())
    assert "has other properties" in sentence


def test_the_best_row_of_each_track_is_shown_with_its_ceiling(results):
    board = results.board()
    table = board.ceilings().set_index("track")
    assert table.task.unique().tolist() == [TASK]
    assert set(table.index) == TRACKS
    assert (table.entry[["first", "first+provenance"]] == "").all()  # no entry is on these
    assert table.entry["blind"] == "ratio-debias"
    assert table.entry["provenance"] == "mix-weights(synthetic=0)"
    there = table.entry != ""
    assert (table.reached - table.ceiling).abs()[there].lt(4 * table.error[there]).all()
    assert table.error.notna().equals(there)
    # the error of the log of the mean of 256 losses, chi-square of one degree, in units of the gap
    losses = board.losses[board.losses.task == TASK].groupby("entry").loss.mean()
    gap = math.log(losses["none"]) - math.log(losses["nature"])
    assert table.error["blind"] == pytest.approx((2 / 256) ** 0.5 / gap, rel=0.3)
    assert "by a law, no method of track blind exceeds" in board.render()
    page = report(board)
    assert "What no method of a track can exceed" in page
    assert page.count("mix-weights(synthetic=0)") > 2


def test_an_entry_counts_on_the_track_of_the_task(results):
    """mix-weights is blind where the protocol hands out no real rows, and not in this web."""
    board = results.board()
    tracks = {track for (entry, task), track in board.tracks.items() if task == TASK}
    assert {"blind", "provenance"} <= tracks
