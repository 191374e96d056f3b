"""Published records: whole, sealed, found by cell id alone; a quick run beside them is the full run's board."""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from collapse_bench import UsageError, run
from collapse_bench.api import (
    RunRequest,
    archive_of,
    load_suite,
    plan,
    publish_run,
    results,
    run_plan,
)
from collapse_bench.board.collect import _lost
from collapse_bench.board.words import report
from collapse_bench.errors import NothingMatched
from collapse_bench.records.archive import Archive, OverlayStore, shipped
from collapse_bench.records.store import Store
from collapse_bench.registry import discovery as registry
from collapse_bench.running.facts import without_result as refused

SETTINGS = {"protocols": "replace", "mitigations": ["distrust", "real-anchor", "oracle-verify"]}
OWN = 'name = "own"\nseeds = "0:3"\ngenerations = 1\n[[tasks]]\ndata = "gaussian"\nmodel = "gaussian-fit"\n'
MINE = '''"""Trust generation 0."""

from dataclasses import dataclass
from collapse_bench import Mitigation, hookimpl, param


@dataclass(frozen=True)
class Voice(Mitigation):
    share: float = param(0.3, "weight of generation 0", ge=0, le=1)

    def steer(self, teacher, access):
        return teacher.blend(access.first, self.share)


@hookimpl
def collapse_mitigations():
    return {"voice": Voice}
'''


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(folder of the full run, folder of what is published, plugin file)"""
    root = tmp_path_factory.mktemp("archive")
    (root / "mine.py").write_text(MINE)
    run("smoke", seeds="0:10", settings=SETTINGS, output=root / "full")
    publish_run(root / "full", root / "out", force=True)  # it is not all of smoke
    return root / "full", root / "out", root / "mine.py"


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", None)


def quick(world, output: Path, **changes):
    options = {
        "seeds": "0:10",
        "settings": SETTINGS,
        "plugins": [world[2]],
        "mitigations": "voice",
        "quick": True,
    }
    return run(
        "smoke", output=output, **{**options, "published": world[1] / "smoke.parquet", **changes}
    )


def test_the_board_of_what_is_published_is_that_of_the_run(world, tmp_path):
    again = run(
        "smoke",
        seeds="0:10",
        settings=SETTINGS,
        output=tmp_path,
        published=world[1] / "smoke.parquet",
    )
    assert not again.outcomes
    one, other = again.board(), results(world[0]).board()
    assert one.render("csv") == other.render("csv")
    assert [note for note in one.notes if not note.startswith("rows of this board come from")] == [
        *other.notes
    ]


def test_a_quick_run_runs_the_named_entry_alone_and_ranks_it_among_all(world, tmp_path):
    fast = quick(world, tmp_path / "quick")
    assert {outcome.job.cell.entry for outcome in fast.outcomes} == {"voice"}
    shutil.copytree(world[0], tmp_path / "slow")
    slow = run(
        "smoke",
        seeds="0:10",
        settings=SETTINGS,
        output=tmp_path / "slow",
        plugins=[world[2]],
        mitigations="voice",
    )
    columns = ["entry", "S", "low", "high", "tier", "p_focus", "beats_frozen", "tail_lost"]
    pd.testing.assert_frame_equal(fast.board().frame()[columns], slow.board().frame()[columns])
    # and it is found again without a word about the archive
    assert results(tmp_path / "quick").board().render("csv") == fast.board().render("csv")


def test_an_entry_that_fits_nowhere_is_refused(world, tmp_path):
    with pytest.raises(NothingMatched, match=r"focal \+ truncated-ce fits no task of smoke: "):
        quick(world, tmp_path / "none", mitigations="focal + truncated-ce")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {**SETTINGS, "n": 40}},
        {"seeds": "0:11"},
        # golden-ratio fits nowhere under replace, and is nothing to compare with
        {"settings": {**SETTINGS, "n": 40, "mitigations": ["distrust", "golden-ratio"]}},
    ],
    ids=str,
)
def test_where_no_published_row_has_these_settings_and_chains_a_quick_run_is_refused(
    world, tmp_path, changes
):
    with pytest.raises(
        NothingMatched, match="nothing to compare with; leave out --seeds and --set"
    ):
        quick(world, tmp_path / "none", **changes)
    assert not (tmp_path / "none").exists()


def test_fewer_chains_of_what_is_published_stand_beside_a_quick_run(world, tmp_path):
    few = quick(world, tmp_path, seeds="2:7")
    assert {outcome.job.cell.entry for outcome in few.outcomes} == {"voice"}
    assert set(few.board().losses.seed.dropna()) == set(range(2, 7))


def test_what_was_run_before_of_fewer_chains_takes_no_published_row_away(world, tmp_path):
    before = run("smoke", seeds="0:4", settings=SETTINGS, output=tmp_path / "mixed")
    broken, damaged, *_ = (
        outcome.job.cell for outcome in before.outcomes if outcome.job.cell.entry == "distrust"
    )
    before.store.write(refused(broken, [1], "killed", "the worker died"), broken)
    before.store.block_path(damaged.id, 0).write_bytes(b"no parquet")
    mixed, alone = quick(world, tmp_path / "mixed"), quick(world, tmp_path / "alone")
    assert {outcome.job.cell.entry for outcome in mixed.outcomes} == {"voice"}
    columns = ["entry", "S", "low", "high", "tier", "tail_lost", "real_unique", "cost"]
    pd.testing.assert_frame_equal(mixed.board().frame()[columns], alone.board().frame()[columns])


def test_beside_a_whole_run_of_ones_own_nothing_published_counts(world, tmp_path):
    shutil.copytree(world[0], tmp_path, dirs_exist_ok=True)
    fast = quick(world, tmp_path)
    assert {outcome.job.cell.entry for outcome in fast.outcomes} == {"voice"}
    board = fast.board()
    assert not board.usage.cost.isna().any()
    for _, record in Store(tmp_path).records():
        both = OverlayStore(tmp_path, Archive(world[1] / "smoke.parquet")).read(record.facts.id, 0)
        assert both.digest() == record.digest()
        assert both.runs == record.runs


def test_force_runs_again_what_was_named(world, tmp_path):
    first = quick(world, tmp_path)
    again = quick(world, tmp_path, force=True)
    assert [outcome.job for outcome in again.outcomes] == [
        outcome.job for outcome in first.outcomes
    ]


def test_times_of_two_machines_are_not_compared(world, tmp_path):
    board = quick(world, tmp_path).board()
    cost = board.frame().set_index("entry").cost
    assert math.isnan(cost["voice"])
    assert cost["none"] == 1
    assert (cost[["distrust", "real-anchor", "oracle-verify", "nature"]] > 0).all()
    assert not results(world[0]).board().usage.cost.isna().any()


def test_a_plan_of_a_quick_run_is_what_it_does(world, tmp_path):
    request = RunRequest(
        "smoke",
        seeds="0:10",
        mitigations="voice",
        settings=dict(SETTINGS, mitigations=["distrust", "anchor"]),
        output=tmp_path,
        quick=True,
        published=world[1] / "smoke.parquet",
        plugins=[world[2]],
    )
    planned = plan(request)
    steps = planned.steps
    verdicts = {
        name: {step.verdict for step in steps if step.entry.name == name}
        for name in ("voice", "distrust", "anchor")
    }
    assert verdicts["distrust"] <= {"reuse", "skip"}
    assert "run" in verdicts["voice"]
    assert verdicts["anchor"] == {"left out"}
    assert run_plan(planned).steps == steps


def test_what_is_published_is_the_suite_of_its_name_and_replaces_nothing_unasked(world, tmp_path):
    with pytest.raises(
        UsageError,
        match=r"was not run with the settings of suite smoke \(changed: seeds, protocols, mitigations\)",
    ):
        publish_run(world[0], tmp_path / "out")
    publish_run(world[0], tmp_path / "out", force=True)
    (tmp_path / "own.toml").write_text(OWN)
    run(str(tmp_path / "own.toml"), output=tmp_path / "results")
    publish_run(tmp_path / "results", tmp_path / "out")
    before = (tmp_path / "out" / "own.md").read_bytes()
    with pytest.raises(
        UsageError,
        match=r"own\.md would be replaced; choose another folder with -o, or replace with --force",
    ):
        publish_run(tmp_path / "results", tmp_path / "out")
    assert (tmp_path / "out" / "own.md").read_bytes() == before
    publish_run(tmp_path / "results", tmp_path / "out", force=True)


def test_what_the_machine_broke_off_is_not_published_unasked(tmp_path):
    (tmp_path / "own.toml").write_text(OWN)
    done = run(str(tmp_path / "own.toml"), output=tmp_path / "results")
    for name, role in (("real-only", "curve"), ("none", "control")):
        entry = next(
            step.entry for step in done.steps if (step.entry.name, step.entry.role) == (name, role)
        )
        done.store.write(refused(entry.cell, [1], "killed", "the worker died"), entry.cell)
        with pytest.raises(
            UsageError, match=r"chain\(s\) were interrupted by .*killed, .* on gaussian"
        ):
            publish_run(tmp_path / "results", tmp_path / "out")
        assert not (tmp_path / "out").exists()
        run(str(tmp_path / "own.toml"), output=tmp_path / "results")
    assert len(publish_run(tmp_path / "results", tmp_path / "out")) == 2


def test_a_quick_run_and_one_under_a_budget_are_not_published_unasked(world, tmp_path):
    quick(world, tmp_path / "quick")
    with pytest.raises(UsageError, match="holds a quick run, which reuses the published records"):
        publish_run(tmp_path / "quick", tmp_path / "out")
    publish_run(tmp_path / "quick", tmp_path / "out", force=True)
    again = quick(world, tmp_path / "again", published=tmp_path / "out" / "smoke.parquet")
    assert not again.outcomes
    assert math.isnan(again.board().usage.cost["voice"])  # the machines are still told apart
    run("smoke", seeds="0:3", settings=SETTINGS, output=tmp_path / "less", budget="real=100")
    with pytest.raises(UsageError, match=r"changed: .*budget\)"):
        publish_run(tmp_path / "less", tmp_path / "out2")


def test_what_was_skipped_when_it_ran_stays_skipped_in_a_quick_run(tmp_path):
    (tmp_path / "few.toml").write_text(
        'name = "few"\nseeds = "0:3"\ngenerations = 2\nn = 40\nmitigations = ["weight-averaging", "deduplicate"]\n'
        '[[tasks]]\ndata = "gaussian-mixture"\nmodel = "mixture-fit"\n[[tasks]]\ndata = "gaussian"\nmodel = "gaussian-fit"\n'
    )
    suite = str(tmp_path / "few.toml")
    full = run(suite, output=tmp_path / "full")
    assert "skipped" in set(full.board().losses.status)
    again = run(suite, output=tmp_path / "full")
    assert not again.outcomes
    refused = [step.why for step in again.steps if step.verdict == "unfit"]
    assert refused
    assert all("MixtureTeacher cannot be averaged" in why for why in refused)
    publish_run(tmp_path / "full", tmp_path / "out")
    told = {
        "mitigations": "noise-augmentation",
        "quick": True,
        "published": tmp_path / "out" / "few.parquet",
    }
    fast = run(suite, output=tmp_path / "quick", **told)
    assert {outcome.job.cell.entry for outcome in fast.outcomes} == {"noise-augmentation"}
    first, second = (r.board().losses.set_index(["task", "entry", "seed"]) for r in (full, fast))
    kept = second.drop("noise-augmentation", level="entry")
    pd.testing.assert_frame_equal(kept.sort_index(), first.sort_index())
    # an entry of which a part is missing goes as a whole, and the board says so
    other = {**told, "settings": {"mitigations": ["weight-averaging", "deduplicate", "anchor"]}}
    third = run(suite, output=tmp_path / "third", **other).board()
    assert "anchor" not in set(third.losses.entry)
    assert any(
        "left out of this quick run" in note and note.endswith(": anchor") for note in third.notes
    )


def test_what_is_not_whole_is_not_published(world, tmp_path):
    run("smoke", seeds="0:3", settings=SETTINGS, output=tmp_path)
    next(p for p in tmp_path.glob("*/*.parquet")).unlink()
    with pytest.raises(
        NothingMatched,
        match=r" on .* has chains that were not run; finish the run of the suite first",
    ):
        publish_run(tmp_path, tmp_path / "out", force=True)
    assert not (tmp_path / "out" / "smoke.parquet").exists()


def test_an_edited_archive_is_refused(world, tmp_path):
    table = pq.read_table(world[1] / "smoke.parquet")
    values = table["value"].to_numpy().copy()
    values[5] *= 0.99
    edited = table.set_column(table.column_names.index("value"), "value", [values])
    pq.write_table(edited.replace_schema_metadata(None), tmp_path / "smoke.parquet")
    with pytest.raises(
        UsageError, match=r"is a file of another program or version \(it has no seal"
    ):
        Archive(tmp_path / "smoke.parquet").read("x", 0)
    meta = pq.ParquetFile(world[1] / "smoke.parquet").metadata.metadata
    pq.write_table(edited.replace_schema_metadata(meta), tmp_path / "smoke.parquet")
    with pytest.raises(UsageError, match="seal does not match"):
        Archive(tmp_path / "smoke.parquet").read("x", 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mitigations": ()}, "a quick run needs the entries to run"),
        (
            {"published": "nowhere.parquet"},
            "no published records of suite smoke at nowhere.parquet",
        ),
    ],
)
def test_a_quick_run_needs_an_entry_and_a_file(world, tmp_path, changes, words):
    with pytest.raises(UsageError, match=words):
        quick(world, tmp_path, **changes)


def test_the_estimate_of_a_plan_is_what_it_took(world, tmp_path):
    planned = plan(
        RunRequest("smoke", seeds="32:42", settings=SETTINGS, output=world[0], force=True)
    )
    seconds, unknown = planned.estimate().seconds, planned.estimate().unknown
    records = Store(world[0]).records()
    took = sum(run["cpu_seconds"] for _, record in records for run in record.runs)
    assert unknown == 0
    assert seconds == pytest.approx(took, rel=1e-9)
    nothing = plan(RunRequest("linear | ols @ n=20 T=2", seeds="0:4", output=tmp_path))
    assert nothing.estimate().seconds == 0


def test_the_words_say_what_the_numbers_say(world):
    board = results(world[0]).board()
    text = report(board)
    frame = board.frame().set_index("entry")
    rows = frame[~frame.control]

    def named(line: str) -> set[str]:
        return set(re.findall(r"`([^`]+)`", text.split(line)[1].split("\n")[0]))

    assert named("interval is above 0 at these numbers of rows") == set(rows[rows.low > 0].index)
    assert named("interval is below 0 at these numbers of rows") == set(rows[rows.high < 0].index)
    families = board.families()
    of_text = text.split("## By family")[1].split("## Cost")[0]
    for family, rest in families.groupby("family"):
        lines = of_text.split(f"### {family}\n")[1].split("###")[0].splitlines()
        table = [line.split("|")[3].strip() for line in lines if line.startswith("| ")]
        assert table == ["entry", *rest.entry]


def test_across_holds_the_scores_of_the_tasks(world):
    board = results(world[0]).board()
    wide, long = board.across(), board.per_task()
    for row in long[(long.weight > 0) & (long.status != "skipped")].itertuples():
        assert wide.set_index("entry").loc[row.entry, row.task] == row.S_k
    text = board.render("markdown", across=True)
    assert all(f"T{i}: {task}" in text for i, task in enumerate(wide.columns[3:], 1))


def test_a_task_for_one_entry_alone_keeps_no_other_from_its_rank(tmp_path):
    lines = ['name = "some"', 'seeds = "0:10"', "generations = 2", "n = 40"]
    lines += ['mitigations = ["temperature(t=1.1)", "noise-augmentation"]']
    lines += ["[[tasks]]", 'data = "gaussian"', 'model = "gaussian-fit"']
    lines += [
        "[[tasks]]",
        'data = "gaussian"',
        'model = "gaussian-fit"',
        'protocols = ["accumulate"]',
    ]
    lines += ['mitigations = ["temperature(t=1.1)"]']
    for protocol in ("replace", "accumulate"):
        lines += ["[[calibration]]", f'task = "gaussian | gaussian-fit | {protocol} @ n=40 T=2"']
        lines += ["floor = 0.01", "gap = 1.0", "gap_sd = 0.1", "harm = 1.0", "harm_sd = 0.1"]
        lines += ["chains = 256"]
    (tmp_path / "some.toml").write_text("\n".join(lines))
    board = run(str(tmp_path / "some.toml"), output=tmp_path / "out").board()
    rows = board.frame().set_index("entry")
    assert rows.loc[["temperature", "noise-augmentation"], "ranked"].all()
    tasks = board.per_task().set_index(["entry", "task"])
    assert tasks.loc["noise-augmentation"].index.tolist() == [
        "gaussian | gaussian-fit | replace @ n=40 T=2"
    ]
    assert (
        rows.S["temperature"]
        == tasks.S_k["temperature", "gaussian | gaussian-fit | replace @ n=40 T=2"]
    )
    assert len(tasks.loc["temperature"]) == 2
    assert len(board.across().columns) == 3 + 2


def test_archives_are_found_beside_the_package(world):
    assert shipped("standard").samefile(
        Path(__file__).parents[2] / "leaderboard" / "standard.parquet"
    )
    typed = load_suite(RunRequest("linear | ols @ n=20 T=2"))
    with pytest.raises(UsageError, match="--published"):
        archive_of(typed)


def test_a_chain_that_failed_has_lost_the_most():
    """Crashing where the tail goes badly does not make a tail look better."""
    chains = [
        (
            seed,
            {
                "none": 1.0 + 0.01 * seed,
                "nature": 0.01 * seed,
                "half": 0.5,
                "frail": 0.0,
                "wild": -99.0,
            },
        )
        for seed in range(8)
    ]
    rows = [
        {"task": "T", "entry": entry, "seed": seed, "what": "tail", "value": value}
        for seed, told in chains
        for entry, value in told.items()
        if entry != "frail" or seed < 4
    ]
    for i, row in enumerate(rows):
        row["value"] += 0.001 * (i % 3)  # so that the gap has an error
    lost = _lost(pd.DataFrame(rows), {"T"}).set_index("entry").lost
    assert lost["none"] == pytest.approx(1)
    assert lost["nature"] == pytest.approx(0)
    assert lost["half"] == pytest.approx(0.465, abs=0.01)
    assert lost["wild"] == -4
    assert lost["frail"] == pytest.approx(2, abs=0.05)
