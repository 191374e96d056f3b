"""Plugins that cheat, one file for each way: what becomes of each, as docs/cheating.md says."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from collapse_bench import checks
from collapse_bench.api import cell_of, run
from collapse_bench.core import loop as engine
from collapse_bench.core.budget import Budget
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Lacks
from collapse_bench.plugins.mitigations.golden_ratio import GoldenRatio
from collapse_bench.records.store import Store
from collapse_bench.registry import discovery as registry
from collapse_bench.running.chains import run_chains
from collapse_bench.running.inline import run_here
from collapse_bench.running.jobs import Job, Options

FOLDER = Path(__file__).parent / "cheats"
CHEATS = sorted(path.stem for path in FOLDER.glob("*.py"))
SEEDS = list(range(12))
WORLD = "gaussian | gaussian-fit | replace @ n=30 T=8"


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", None)  # what a cheat offers is not for other tests


def offered(cheat: str):
    """The registry with the plugin file, and the name of what it offers."""
    return registry.registry([FOLDER / f"{cheat}.py"]), cheat.replace("_", "-")


def ran(cheat: str, world: str = WORLD, seeds=SEEDS, **parameters):
    """The record of the cheat's chains."""
    reg, name = offered(cheat)
    cell = cell_of(world)
    return run_chains(
        replace(cell, mitigations=(reg.find("mitigation", name)(**parameters),)), list(seeds)
    )


def final(record) -> np.ndarray:
    """Primary loss of each chain after the last generation."""
    last = record.generation == record.facts.generations
    return record.value[last & (record.metric == record.facts.primary)]


def honest(world: str = WORLD, seeds=SEEDS):
    return run_chains(cell_of(world), list(seeds))


def kit_failures(cheat: str) -> list[str]:
    reg, name = offered(cheat)
    return [
        o.id
        for o in checks.outcomes("mitigation", reg.find("mitigation", name), reg)
        if o.status == "failed"
    ]


# -- one test for each file -----------------------------------------------------------------------------------------


def test_hoard():
    told = ran("hoard").facts
    assert told.track == "real"
    assert set(told.ledger["real_unique_by_methods"]) == {50}
    assert kit_failures("hoard")  # what it keeps of one cell is of no use in another


def test_hard_code():
    assert final(ran("hard_code")).mean() > final(honest()).mean()  # the truth is drawn
    known = WORLD.replace("gaussian |", "gaussian(truth_is=fixed) |")
    assert final(ran("hard_code", known)).max() < 1e-12


def test_read_origin():
    told = ran("read_origin", WORLD.replace("replace", "mix")).facts
    assert set(told.status) == {"skipped"}
    assert "ask access.provenance" in told.reason[0]


def test_stand_still(tmp_path):
    file = FOLDER / "stand_still.py"
    results = run(
        "smoke",
        seeds="0:10",
        output=tmp_path,
        plugins=[file],
        mitigations="stand-still",
        settings={"mitigations": "stand-still", "protocols": "replace"},
    )
    frame = results.board().frame().set_index("entry")
    assert frame.S["stand-still"] == pytest.approx(frame.S["frozen"], abs=1e-12)
    assert frame.beats_frozen["stand-still"] == "cannot tell"


def test_crash(tmp_path):
    results = run(
        "smoke",
        seeds="0:10",
        output=tmp_path,
        plugins=[FOLDER / "crash.py"],
        settings={"mitigations": "crash", "protocols": "replace"},
    )
    frame = results.board().per_task()
    mine = frame[(frame.entry == "crash") & frame.task.str.startswith("gaussian")].iloc[0]
    assert mine.failed > 0
    trivial = frame[(frame.entry == "trivial") & (frame.task == mine.task)].iloc[0]
    assert trivial.S_k < mine.S_k < 0  # each chain that fails counts as that of trivial


def test_judge():
    told = ran("judge").facts
    assert set(told.status) == {"failed"}
    assert "judge" in told.reason[0]


def test_peek():
    """Honesty of the document: this one is not detected."""
    told = ran("peek")
    assert final(told).max() < 1e-12
    assert told.facts.track == "blind"


def test_compute():
    told, plain = ran("compute").facts.ledger, honest().facts.ledger
    assert told["generated_rows"][0] == 9 * plain["generated_rows"][0]


def test_launder():
    """Honesty of the document: with the lie it is blind; without it, the same rows are charged."""
    world = "gaussian | gaussian-fit | mix(real=0.5) @ n=10 T=8"
    seeds = list(range(200))
    told, plain = ran("launder", world, seeds), honest(world, seeds)
    assert told.facts.track == "blind"
    assert np.log(final(told)).mean() < np.log(final(plain)).mean() - 0.3


def test_exam_seed():
    reg, name = offered("exam_seed")
    act = reg.find("mitigation", name)()
    list(engine.generations(replace(cell_of(WORLD, seeds="0:3"), mitigations=(act,))))
    seen = act.curate.__globals__["SEEN"]
    exam = Stream(range(3)).at("exam").at("x").normal(4)
    assert seen
    assert not any(torch.equal(numbers, exam) for numbers in seen)


def test_tune():
    """The luckiest of twenty does better on the seeds it was chosen on than on others."""

    def gain(variant, seeds):
        return np.log(
            final(honest(seeds=seeds)) / final(ran("tune", seeds=seeds, variant=variant))
        ).mean()

    tried = {variant: gain(variant, SEEDS) for variant in range(20)}
    lucky = max(tried, key=tried.get)
    fresh = [gain(lucky, range(100 * k, 100 * k + 12)) for k in range(1, 5)]
    assert tried[lucky] > np.mean(fresh)
    assert np.mean(fresh) < np.max(list(tried.values()))


def test_mutate():
    told = ran("mutate").facts
    assert set(told.status) == {"failed"}
    assert "changed its input in place" in told.reason[0]


def test_global_rng():
    told = ran("global_rng")
    assert any("global random numbers were drawn" in remark for remark in told.runs[0]["remarks"])
    assert "remarks" not in honest().runs[0]
    assert "mitigation.is-repeatable" in kit_failures("global_rng")


def test_change_cell():
    told = ran("change_cell")
    np.testing.assert_array_equal(final(told), final(honest()))
    assert told.facts.ledger["generated_rows"] == honest().facts.ledger["generated_rows"]


def test_ask_nature():
    told = ran("ask_nature").facts
    assert set(told.status) == {"failed"}
    assert "this cell has no seeds" in told.reason[0]


def test_zero_ledger():
    told = ran("zero_ledger", WORLD.replace("replace", "mix(real=0.5)")).facts
    # 3 rows asked for in each of 8 generations, and the protocol's rows that are kept
    assert min(told.ledger["real_unique_by_methods"]) > 3 * 8
    reg, name = offered("zero_ledger")
    cell = replace(
        cell_of(WORLD), mitigations=(reg.find("mitigation", name)(),), budget=Budget.parse("real=5")
    )
    assert set(run_chains(cell, SEEDS).facts.status) == {"over-budget"}


@pytest.mark.parametrize("how", ["data", "numpy"])
def test_mutate_data(how):
    told = ran("mutate_data", how=how).facts
    assert set(told.status) == {"failed"}
    assert "changed its input in place" in told.reason[0]


def test_mutate_data_of_cached_sums():
    world = WORLD.replace("replace", "accumulate")
    told = ran("mutate_data", world, how="sums")
    np.testing.assert_array_equal(final(told), final(honest(world)))


def test_mutate_data_a_generation_later():
    world = "gaussian | kde | accumulate @ n=30 T=4"  # a model that reads all rows again
    reg, _ = offered("mutate_data")
    late = reg.find("mitigation", "mutate-later")()
    told = run_chains(replace(cell_of(world), mitigations=(late,)), SEEDS)
    np.testing.assert_array_equal(final(told), final(honest(world)))


def test_vouch():
    told = ran("vouch").facts
    assert set(told.status) == {"failed"}
    assert "gave a row the weight -0.5" in told.reason[0]


def test_move_questions():
    world = "linear(d=3) | ridge | replace @ n=30 T=3"
    zero = ran("move_questions", world)
    assert set(zero.facts.status) == {"done"}
    assert final(zero).mean() > 0.2  # the risk of answering 0 is the signal, 1 on average


def job(cheat: str, world: str, folder: Path, name: str | None = None):
    """The records of a job with the cheat, in the folder, as a worker runs it."""
    reg, named = offered(cheat)
    cell = replace(cell_of(world), mitigations=(reg.find("mitigation", name or named)(),))
    list(run_here([Job(cell, tuple(SEEDS))], Options(folder)))
    return Store(folder).read(cell.id, 0)


FIXED = "gaussian(truth_is=fixed) | gaussian-fit | replace @ n=30 T=8"


def test_pool(tmp_path):
    told = job("pool", FIXED, tmp_path)
    assert set(told.facts.status) == {"done"}
    assert all("chains then ran in smaller groups" in run["remarks"][0] for run in told.runs)
    # one chain by itself pools nothing: its own rows count as real and have no origin
    assert final(told).mean() > final(honest(FIXED)).mean() / 2
    declared = job("pool", FIXED, tmp_path, "open-pool")
    assert final(declared).mean() < final(told).mean() / 4
    assert "its chains depend on each other" in declared.runs[0]["remarks"][0]


def test_pool_names_the_chain_and_both_losses():
    told = ran("pool", FIXED).facts
    assert set(told.status) == {"failed"}
    assert re.search(
        r"pool: chain \d+ by itself has w2 [\d.e-]+ in generation 1, and [\d.e-]+ together with 11 "
        r"others; treat each chain by itself",
        told.reason[0],
    )


def test_clock(tmp_path):
    told = job("clock", WORLD, tmp_path)
    assert set(told.facts.status) == {"done"}
    assert any("draw only from the streams" in remark for remark in told.runs[0]["remarks"])
    assert "mitigation.is-repeatable" in kit_failures("clock")


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("judge", "collapse_bench.core.loop.judged"),
        ("rival", "collapse_bench.plugins.mitigations.golden_ratio.GoldenRatio.curate"),
        ("torch", "torch.Tensor.mean"),
    ],
)
def test_patch(what, name, monkeypatch):
    for owner, method in [(engine, "judged"), (GoldenRatio, "curate"), (torch.Tensor, "mean")]:
        monkeypatch.setattr(owner, method, getattr(owner, method))  # restored after the test
    told = ran("patch", what=what).facts
    assert set(told.status) == {"failed"}
    assert f"patch.py replaced {name}; a plugin must not change code" in told.reason[0]
    rival = honest(WORLD.replace("@", "| golden-ratio @").replace("replace", "mix"))
    assert set(rival.facts.status) == {"failed"}  # in this process no number can be believed
    assert f"patch.py replaced {name}" in rival.facts.reason[0]


def test_leave_process():
    reg, name = offered("leave_process")
    cheat = reg.find("mitigation", name)
    told = run_chains(replace(cell_of(WORLD), mitigations=(cheat(),)), SEEDS)
    left = sys.modules[cheat.__module__]
    left.END.set()
    left.LEFT[0].communicate()  # ends it
    assert re.search(
        r"leave-process: process \d+, thread helper still ran when the chains had ended",
        told.runs[0]["remarks"][0],
    )


def test_walk_stack():
    """Honesty of the document: this one is not detected."""
    told = ran("walk_stack")
    assert final(told).max() < 1e-12
    assert told.facts.track == "blind"


def test_hoard_disk(tmp_path, monkeypatch):
    """Honesty of the document: the second run is not detected."""
    monkeypatch.setenv("CHEAT_FILE", str(tmp_path / "rows.pt"))
    first = job("hoard_disk", FIXED, tmp_path)
    assert "by itself has used 500 real rows by generation 1, and 0" in first.runs[0]["remarks"][0]
    again = ran("hoard_disk", FIXED)
    assert again.facts.track == "blind"
    assert final(again).mean() < final(honest(FIXED)).mean() / 4
    drawn = WORLD.replace("T=8", "T=1")  # each seed has a truth of its own
    assert final(ran("hoard_disk", drawn)).mean() > final(honest(drawn)).mean()


def test_import_data():
    """Honesty of the document: this one is not detected."""
    world = "digits | random-features(width=100) | replace @ n=40 T=2"
    seeds = SEEDS[:4]
    told = ran("import_data", world, seeds)
    assert told.facts.track == "blind"
    assert final(told).mean() < final(honest(world, seeds)).mean() / 2


@pytest.mark.slow
def test_die(tmp_path):
    results = run(
        "smoke",
        seeds="0:4",
        output=tmp_path,
        plugins=[FOLDER / "die.py"],
        mitigations="die",
        settings={"mitigations": "die", "protocols": "replace"},
        n_jobs=2,
    )
    frame = results.board().per_task()
    mine = frame[(frame.entry == "die") & frame.task.str.startswith("gaussian")].iloc[0]
    assert mine.failed == 4
    trivial = frame[(frame.entry == "trivial") & (frame.task == mine.task)].iloc[0]
    assert mine.S_k == trivial.S_k < 0


@pytest.mark.parametrize("how", ["sentence", "lacks", "raise", "read", "ask"])
def test_picky(how):
    """It is recorded as a choice, whatever it says; the score then counts 0 (tests/scoring)."""
    told = ran("picky", WORLD, how=how).facts
    assert set(told.status) == {"skipped"}
    assert told.declined == (True,) * len(SEEDS)
    assert ran("picky", "zipf | counts | mix @ n=50 T=2", how=how).facts.declined is None
    reg, _ = offered("picky")
    reason = reg.cell(WORLD.replace(" @", f" | picky(how={how}) @")).incompatibility()
    assert (reason is not None) == (how in ("sentence", "lacks"))
    assert not isinstance(reason, Lacks)


def test_what_a_plugin_declares_to_need_is_no_choice():
    reg, _ = offered("picky")
    cls = type("Needy", (reg.find("mitigation", "picky"),), {"needs": ("rows", "real rows")})
    cell = replace(cell_of(WORLD), mitigations=(cls(how="lacks"),))
    assert isinstance(cell.incompatibility(), Lacks)


def test_two_faces():
    """Honesty of the document: the ledger shows only that the first teacher was read; the
    conformance kit finds it."""
    told = ran("two_faces")
    assert told.facts.track == "first"
    assert np.log(final(told)).mean() < np.log(final(honest())).mean() - 0.5
    assert "mitigation.answers-as-it-states" in kit_failures("two_faces")


# -- the document ---------------------------------------------------------------------------------------------------


def test_every_cheat_has_a_test_and_a_row_in_the_document():
    page = (Path(__file__).parents[1] / "docs" / "cheating.md").read_text()
    rows = re.findall(
        r"^\| `(\w+)` \|.*\| (neutralised|in the ledger|in the record|no score|not detected) \|",
        page,
        re.M,
    )
    assert [name for name, _ in rows] == CHEATS
    for name, outcome in rows:
        assert f"test_{name}" in globals()
        said = (FOLDER / f"{name}.py").read_text().split('"""')[1].lower()
        assert outcome in said, f"{name} is said to be {outcome}, and its file says otherwise"
