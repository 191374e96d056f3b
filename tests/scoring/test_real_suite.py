"""What a method cannot gain: eight real tasks of four families, from a suite file to its tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from collapse_bench import Mitigation, api
from collapse_bench.plugins.mitigations.distrust import Distrust
from collapse_bench.registry.discovery import registry
from collapse_bench.suite.model import read_suite

SUITE = """
name = "eight"
version = 2
title = "Four families under two protocols"
seeds = "0:32"
n = 30
generations = 8
protocols = ["replace", "mix(real=0.1)"]
mitigations = [
    "real-anchor(share=0.2)",
    "weight-averaging",
    "weight-averaging(a=0.25)",
    "keep-first",
    "keep-first(a=0.5)",
    "keep-first(a=0.25)",
    "distrust(decay=0.2)",
    "chooser",
    "half-idle",
    "idler",
    "redrawn",
    "reckless",
    "crashing",
]

[[tasks]]
data = "gaussian(d=5)"
model = "gaussian-fit"

[[tasks]]
data = "linear(d=5)"
model = "ols"
n = 60

[[tasks]]
data = "zipf(K=50)"
model = "counts"
n = 100

[[tasks]]
data = "half-space(d=20)"
model = "least-squares"
n = 60
"""
HARMED = "gaussian(d=5) | gaussian-fit | mix(real=0.1) @ n=30 T=8"
TRACKS = (None, "blind", "first", "provenance", "real")


@dataclass(frozen=True)
class Chooser(Distrust):
    """A copy of `distrust` that refuses data of the kind on which it harms."""

    decay: float = 0.2

    def incompatibility(self, cell):
        return "chooser would rather not" if cell.data.kind == "density" else None


@dataclass(frozen=True)
class HalfIdle(Distrust):
    """A copy of `distrust` that does nothing on the data that Chooser refuses."""

    decay: float = 0.2

    def curate(self, corpus, access):
        numbers = not corpus.width and corpus.y.is_floating_point()
        return corpus if numbers else super().curate(corpus, access)


@dataclass(frozen=True)
class Idler(Mitigation):
    """`none` under another name."""


@dataclass(frozen=True)
class Redrawn(Mitigation):
    """`none` under another name, with draws of its own where all rows are synthetic."""

    def curate(self, corpus, access):
        if access.t == 0 or access.natural or access.composition.real:
            return corpus
        return access.synthetic(access.n)


@dataclass(frozen=True)
class Reckless(Mitigation):
    """Widens the answers a little in every generation."""

    kinds = ("density", "regression")

    def curate(self, corpus, access):
        mean = corpus.y.mean(len(corpus.chain_shape), keepdim=True)
        return corpus.edited(y=mean + 1.03 * (corpus.y - mean))


@dataclass(frozen=True)
class Crashing(Reckless):
    """The same, and raises an error in the chains that have become wide."""

    def curate(self, corpus, access):
        spread = corpus.y.flatten(len(corpus.chain_shape)).std(-1)
        if access.memory is None:
            access.memory = spread
        if (spread > 1.3 * access.memory).any():
            raise RuntimeError("this chain does not look well")
        return super().curate(corpus, access)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eight")
    path = folder / "eight.toml"
    path.write_text(SUITE)
    mine = {
        "chooser": Chooser,
        "half-idle": HalfIdle,
        "idler": Idler,
        "redrawn": Redrawn,
        "reckless": Reckless,
        "crashing": Crashing,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, cls in mine.items():
            patch.setattr(cls, "name", name)
            patch.setitem(registry(()).classes["mitigation"], name, cls)
        api.calibrate(path)
        yield api.run(path, output=folder / "out")


@pytest.fixture(scope="module")
def boards(results):
    """Track -> the board of it; None: of all."""
    return {track: results.board(track=track) for track in TRACKS}


@pytest.fixture(scope="module")
def board(boards):
    return boards[None]


def rows_of(board):
    return board.frame().set_index("entry")


def tasks_of(board, entry):
    return board.per_task().query("entry == @entry").set_index("task")


def test_the_suite_has_eight_tasks_of_four_families_and_all_count(board):
    assert not board.scores.excluded
    tasks = tasks_of(board, "none")
    assert (len(tasks), tasks.family.nunique()) == (8, 4)


@pytest.mark.parametrize("track", TRACKS)
def test_none_under_another_name_is_0_in_every_table(boards, track):
    """Its chains are those of `none`, so that only rounding is left."""
    board = boards[track]
    row = rows_of(board).loc["idler"]
    families = board.scores.per_family.query("entry == 'idler'")
    assert len(families) == 4
    assert row.ranked
    for S in (row.S, *families.S, *tasks_of(board, "idler").S_k):
        assert abs(S) < 1e-9
    assert row.low <= row.S <= row.high
    assert row.harmed == 0


@pytest.mark.parametrize("track", TRACKS)
def test_none_with_draws_of_its_own_is_0_within_its_interval_in_every_table(boards, track):
    """Four standard errors: there are 25 intervals, and two units within each of them."""
    board = boards[track]
    row = rows_of(board).loc["redrawn"]
    families = board.scores.per_family.query("entry == 'redrawn'").set_index("family")
    assert len(families) == 4
    for found in (row, *(families.loc[name] for name in families.index)):
        # two standard errors reach to the ends, each with the unit of its side
        low, high = (found.S + 2 * (end - found.S) for end in (found.low, found.high))
        assert low < 0 < high
        assert found.low < found.high
    # it is far from 0 in no unit: nature is at 1
    assert row.high - row.low < 0.3


def test_who_refuses_where_it_harms_gains_nothing_over_doing_nothing_there(board):
    plain = tasks_of(board, "distrust(decay=0.2)")
    chooser, idle = (tasks_of(board, name) for name in ("chooser", "half-idle"))
    assert plain.harmed[HARMED]
    assert plain.S_k[HARMED] < -0.05
    refused = chooser.index[chooser.status == "refused"]
    assert set(refused) == {task for task in plain.index if task.startswith("gaussian")}
    assert (chooser.S_k[refused] == 0).all()
    np.testing.assert_allclose(chooser.S_k, idle.S_k[chooser.index], atol=1e-9)

    rows = rows_of(board)
    assert (rows.coverage["chooser"], rows.refused["chooser"]) == (1, 2)
    assert (rows.coverage["half-idle"], rows.refused["half-idle"]) == (1, 0)
    for column in ("S", "low", "high", "se"):
        assert rows[column]["chooser"] == pytest.approx(rows[column]["half-idle"], abs=1e-9)
    assert rows.tier["chooser"] == rows.tier["half-idle"]
    pair = board.compare("chooser", "half-idle")
    assert abs(pair.difference) < 1e-9
    assert pair.p == pytest.approx(1)
    # on the rest it is the method; the refused tasks keep their weight
    weights = plain.weight
    done = [task for task in plain.index if task not in set(refused)]
    assert rows.S["chooser"] == pytest.approx((weights * plain.S_k)[done].sum())


def test_a_chain_that_crashes_where_it_goes_badly_counts_as_trivial(results, board):
    calibration = read_suite(results.output / "eight.suite.toml").calibration
    units = {row.task: row for row in calibration}
    chains = board.losses.pivot_table(
        index=["task", "seed"], columns="entry", values="loss", dropna=False
    )
    ended = board.losses.set_index(["entry", "task", "seed"]).status.sort_index()
    crashing, reckless = (tasks_of(board, name) for name in ("crashing", "reckless"))
    crashed = 0
    for task in (task for task in crashing.index if task.startswith(("gaussian", "linear"))):
        unit, losses = units[task], chains.loc[task]
        failed = (ended["crashing", task].reindex(losses.index) == "failed").to_numpy()
        assert failed.sum() == crashing.failed[task]
        crashed += failed.sum()
        a = np.log(losses + unit.floor)
        mine = np.where(failed, a.trivial, np.minimum(a.crashing, a.trivial))
        change = np.minimum(a.none, a.trivial) - mine
        mean = change.mean()
        # rule 3: the gap serves where that of trivial is below five standard errors
        large = unit.harm >= max(np.log(1.05), 5 * unit.harm_sd / 32**0.5)
        harm = unit.harm if large else unit.gap
        assert crashing.S_k[task] == pytest.approx(mean / (unit.gap if mean >= 0 else harm))
        # the chains that did not crash are those of the method that never does
        np.testing.assert_allclose(losses.crashing[~failed], losses.reckless[~failed])
        assert crashing.S_k[task] <= reckless.S_k[task]
    assert 20 < crashed < 100  # of 128
    rows = rows_of(board)
    assert rows.S["crashing"] < rows.S["reckless"] < 0
    assert rows.failed["crashing"] == pytest.approx(crashed / 128)


def test_keep_first_appears_once_per_weight_and_as_a_control(board):
    rows = rows_of(board)
    assert rows.index.is_unique
    curve = [name for name in rows.index if name.startswith("keep-first")]
    assert sorted(curve) == ["keep-first(a=0.25)", "keep-first(a=0.5)"]
    assert rows.control[curve].all()
    assert not rows.ranked[curve].any()
    assert rows.tier[curve].isna().all()


@pytest.mark.parametrize(
    ("method", "control"),
    [
        ("weight-averaging", "keep-first(a=0.5)"),
        ("weight-averaging(a=0.25)", "keep-first(a=0.25)"),
    ],
)
def test_weight_averaging_is_worth_nothing_more_than_the_control_of_its_weight(
    board, method, control
):
    rows = rows_of(board)
    assert rows.S[method] == rows.S[control] > 0.3
    assert rows.value[method] <= 0
    assert board.compare(method, control).difference == 0
