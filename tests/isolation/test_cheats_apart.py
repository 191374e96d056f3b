"""The cheats of tests/cheats in a process of their own: what becomes of each, as docs/isolation.md says."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from audited import audited

from collapse_bench.api import cell_of
from collapse_bench.isolation.audit import Limits
from collapse_bench.running.chains import run_chains

TESTS = Path(__file__).resolve().parents[1]
FOLDER = TESTS / "cheats"
CHEATS = sorted(path.stem for path in FOLDER.glob("*.py"))
WORLD = "gaussian | gaussian-fit | replace @ n=30 T=3"
FIXED = WORLD.replace("gaussian |", "gaussian(truth_is=fixed) |")
REGRESSION = "linear(d=3) | ridge | replace @ n=30 T=2"
SEEDS = [0, 1]

#: cheat -> part of the sentence with which its chains fail
FAILS = {
    "ask_nature": "has no seeds",
    "judge": "losses",
    "peek": "_desk",
    "walk_stack": "f_locals",
    "hoard_disk": "CHEAT_FILE",
    "vouch": "gave a row the weight",
    "die": "the process of the plugin ended",
}
#: cheats whose chains have the losses of no mitigation at all: what they do reaches nobody
NOTHING = ["change_cell", "mutate", "mutate_data", "patch", "leave_process", "exam_seed"]


def final(record) -> np.ndarray:
    """Primary loss of each chain after the last generation."""
    last = record.generation == record.facts.generations
    return record.value[last & (record.metric == record.facts.primary)]


def ran(cheat: str, world: str = WORLD, seeds=SEEDS, spec: str | None = None, **changes):
    """The record of the cheat's chains, audited."""
    name = spec or cheat.replace("_", "-")
    with audited(world, name, FOLDER / f"{cheat}.py") as (cell, audit):
        return run_chains(replace(cell, **changes), list(seeds)), audit


@pytest.mark.parametrize("cheat", FAILS)
def test_a_cheat_that_fails(cheat):
    told = ran(cheat)[0].facts
    assert set(told.status) == {"failed"}
    assert re.search(FAILS[cheat], told.reason[0])


@pytest.mark.parametrize("cheat", NOTHING)
def test_a_cheat_that_changes_nothing_outside_of_its_process(cheat):
    told = ran(cheat)[0]
    assert set(told.facts.status) == {"done"}, told.facts.reason
    np.testing.assert_array_equal(final(told), final(run_chains(cell_of(WORLD), SEEDS)))
    assert "remarks" not in told.runs[0]


def test_move_questions():
    told = ran("move_questions", REGRESSION)[0]
    assert set(told.facts.status) == {"done"}, told.facts.reason
    assert final(told).mean() > 0.1  # the risk of answering 0, and not 0


def test_zero_ledger():
    told = ran("zero_ledger", WORLD.replace("replace", "mix(real=0.5)"))[0].facts
    assert min(told.ledger["real_unique_by_methods"]) > 3 * 3


def test_read_origin_and_picky_are_choices():
    for cheat, world in (("read_origin", WORLD.replace("replace", "mix")), ("picky", WORLD)):
        told = ran(cheat, world)[0].facts
        assert set(told.status) == {"skipped"}
        assert told.declined == (True,) * len(SEEDS)


def test_pool_has_nothing_to_pool_where_each_chain_has_a_process():
    seeds = range(8)
    alone = [final(ran("pool", FIXED, [seed], "open-pool")[0])[0] for seed in seeds]
    together = final(ran("pool", FIXED, seeds, "open-pool")[0])
    assert np.log(together).mean() < np.log(alone).mean() - 1


@pytest.mark.parametrize("cheat", ["clock", "global_rng"])
def test_one_that_cannot_be_repeated_differs_in_a_second_run(cheat):
    first, second = (final(ran(cheat, seeds=[0])[0]) for _ in range(2))
    assert not np.allclose(first, second, rtol=1e-6)  # the level re-run


def test_those_that_remain():
    """Honesty of the document: a process of its own does not stop these."""
    assert final(ran("hard_code", FIXED)[0]).max() < 1e-12
    told = ran("two_faces")[0]
    assert set(told.facts.status) == {"done"}, told.facts.reason
    assert told.facts.track == "first"
    told = ran("launder", WORLD.replace("replace", "mix(real=0.5)"))[0]
    assert told.facts.track == "blind"
    digits = "digits | random-features(width=50) | replace @ n=40 T=1"
    told = ran("import_data", digits)[0]
    assert told.facts.track == "blind"
    assert final(told).mean() < final(run_chains(cell_of(digits), SEEDS)).mean()


def test_those_that_are_counted():
    assert ran("hoard")[0].facts.track == "real"
    assert ran("stand_still")[0].facts.track == "first"
    told, plain = ran("compute")[0].facts.ledger, run_chains(cell_of(WORLD), SEEDS).facts.ledger
    assert told["generated_rows"][0] == 9 * plain["generated_rows"][0]
    crashed = ran("crash", seeds=range(4))[0].facts
    assert set(crashed.status) <= {"done", "failed"}
    assert ran("tune")[0].facts.track == "blind"  # gains on some seeds only, see the level fresh


# -- the operating system -----------------------------------------------------------------------------------------------

LOOK = """
import os, socket
from dataclasses import dataclass
from collapse_bench import Mitigation, hookimpl

def tried(action):
    try:
        return repr(action())
    except BaseException as problem:
        return type(problem).__name__

@dataclass(frozen=True)
class Look(Mitigation):
    def curate(self, corpus, access):
        found = {
            "write": tried(lambda: open("HERE/evil", "w")),
            "hidden": tried(lambda: os.listdir("HERE")),
            "network": tried(lambda: socket.create_connection(("127.0.0.1", 9), timeout=1)),
            "processes": tried(lambda: [p for p in os.listdir("/proc") if p.isdigit()]),
            "memory": tried(lambda: bytearray(2**33)),
            "user": tried(os.geteuid),
            "secret": tried(lambda: os.environ["A_SECRET"]),
        }
        raise ValueError(repr(found))

@hookimpl
def collapse_mitigations():
    return {"look": Look}
"""


def test_what_the_operating_system_takes_away_is_reported_and_true(tmp_path, monkeypatch):
    monkeypatch.setenv("A_SECRET", "1")
    (tmp_path / "look").mkdir()
    file = tmp_path / "look" / "look.py"
    here = tmp_path / "results"
    here.mkdir()
    (here / "record").write_text("x")
    file.write_text(LOOK.replace("HERE", str(here)))
    limits = Limits(memory=2**31, hidden=(str(here),))
    with audited(WORLD, "look", file, limits) as (cell, audit):
        reason = run_chains(cell, [0]).facts.reason[0]
        report = audit.report
    found = eval(re.search(r"\{.*\}", reason)[0])
    assert found["secret"] == "KeyError"
    assert not (here / "evil").exists() or report["files"] != "yes"
    if report["resources"] == "yes":
        assert found["memory"] == "MemoryError"
    if report["files"] == "yes":
        assert found["write"] in ("OSError", "PermissionError")
        assert found["hidden"] == "[]"
    if report["network"] == "yes":
        assert found["network"] in ("OSError", "ConnectionRefusedError")
    if report["proc"] == "yes":
        assert found["processes"] == "['1']"
    if report["user"] == "yes":
        assert found["user"] != str(os.geteuid())
    assert all(held == "yes" or held.startswith("no (") for held in report.values())


SLOW = (
    LOOK.partition("@dataclass")[0]
    + """
@dataclass(frozen=True)
class Slow(Mitigation):
    def curate(self, corpus, access):
        while True:
            pass

@hookimpl
def collapse_mitigations():
    return {"slow": Slow}
"""
)


def test_a_plugin_that_does_not_end_is_ended(tmp_path):
    file = tmp_path / "slow.py"
    file.write_text(SLOW)
    with audited(WORLD, "slow", file, Limits(seconds=1.0)) as (cell, _):
        told = run_chains(cell, [0]).facts
    assert set(told.status) == {"failed"}
    assert re.search("gave no answer within its time limit|ended", told.reason[0])


# -- the document ---------------------------------------------------------------------------------------------------------


def test_every_cheat_has_a_row_in_the_document():
    page = (TESTS.parent / "docs" / "isolation.md").read_text()
    rows = dict(
        re.findall(
            r"^\| `(\w+)` \|.*\| (impossible|re-run|fresh|counted|no score|remains) \|$", page, re.M
        )
    )
    assert list(rows) == CHEATS
    impossible = {name for name, outcome in rows.items() if outcome == "impossible"}
    assert impossible == {*FAILS, *NOTHING, "move_questions", "zero_ledger", "pool"}
