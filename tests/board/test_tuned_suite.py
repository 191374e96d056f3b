"""A suite that is tuned as a whole, its grid of signs, and both in published records."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from collapse_bench import api
from collapse_bench.board.words import report
from collapse_bench.cli import cli
from collapse_bench.errors import NothingMatched, UsageError
from collapse_bench.records.archive import Archive, publish, whole
from collapse_bench.records.contradictions import _of_the_numbers, contradiction
from collapse_bench.records.signs import SignGrid, saved_signs, signs_of
from collapse_bench.records.store import Store
from collapse_bench.records.tuning import Tuned, saved_tuning
from collapse_bench.scoring.stability import GENERATIONS, ROWS
from collapse_bench.suite.aside import FOLDER, SIGN_CHAINS
from collapse_bench.suite.model import CALIBRATION_SEEDS, read_suite, to_toml

SUITE = """
name = "whole"
seeds = "0:32"
n = 20
generations = 8
protocols = ["replace"]
mitigations = ["weight-averaging", "real-anchor(share=0.2)", "thinned", "weight-averaging + anchor"]

[[tasks]]
data = "gaussian"
model = "gaussian-fit"
signs = true

[[tasks]]
data = "gaussian"
model = "gaussian-fit"
protocols = ["accumulate(real=0.1)"]
mitigations = ["real-anchor(share=0.2)", "weight-averaging"]
"""
MINE = '''"""Trust generation 0."""

from dataclasses import dataclass
from collapse_bench import Mitigation, hookimpl, param


@dataclass(frozen=True)
class Voice(Mitigation):
    share: float = param(0.3, "weight of generation 0", ge=0, le=1)

    tunings = ({"share": 0.8},)

    def steer(self, teacher, access):
        return teacher.blend(access.first, self.share)


@hookimpl
def collapse_mitigations():
    return {"voice": Voice}
'''
CONFIGURATIONS = (
    *("weight-averaging", "weight-averaging(a=0.1)"),
    *("weight-averaging(a=0.25)", "weight-averaging(a=0.9)"),
)
TUNED = "weight-averaging (tuned)"


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    """The plugin file of a test here is not one of the others."""
    monkeypatch.setattr("collapse_bench.registry.discovery._REGISTRY", None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    (path / "whole.toml").write_text(SUITE)
    api.calibrate(path / "whole.toml")
    (path / "mine.py").write_text(MINE)
    return path


@pytest.fixture(scope="module")
def results(folder):
    return api.run(folder / "whole.toml", tune=True, signs=True, output=folder / "out")


@pytest.fixture(scope="module")
def published(folder, results):
    api.publish_run(folder / "out", folder / "published")
    return folder / "published" / "whole.parquet"


# -- tuning ----------------------------------------------------------------------------------------


def test_every_method_of_a_suite_with_configurations_is_tuned(results):
    """Not controls, and not compositions of several."""
    (choice,) = saved_tuning(results.output, "whole")
    assert choice.method == "weight-averaging"
    assert choice.entries == CONFIGURATIONS
    assert set(choice.picks) == {"gaussian"}
    assert choice.fits == 4 * 2 * 16 * 9  # configurations, tasks, chains, generations
    frame = results.board().frame().set_index("entry")
    assert frame.ranked[[TUNED, "real-anchor(share=0.2)", "weight-averaging + anchor"]].all()
    assert frame.control[[*CONFIGURATIONS, "thinned"]].all()
    assert results.manifest.suite.focus is None


def test_the_configurations_of_a_tuned_row_are_shown_on_request(results):
    """They are no controls, and a reader of the board does not ask for them."""
    board = results.board()
    hidden = {*CONFIGURATIONS, "weight-averaging (best in hindsight)"}
    assert board.configurations == hidden
    tracks = board.frame().set_index("entry").track
    assert set(tracks[list(hidden)]) == {"configuration"}
    assert tracks["thinned"] == "control"
    assert "weight-averaging(a=0.9)" in board.render("csv")
    for shown in (board.render(), board.render(width=120), board.render("markdown")):
        assert TUNED in shown
        assert "weight-averaging(a=0.9)" not in shown
        assert f"{len(hidden)} rows of other configurations are not here: --entry" in shown
    named = board.render(width=120, entries=["weight-averaging"])
    assert "other configurations" in named
    assert "weight-averaging(a=0.9)" in named
    assert "weight-averaging(a=0.9)" in report(board).split("## Other configurations")[1]


def test_the_same_command_reuses_all_chains(folder, results):
    request = api.RunRequest(folder / "whole.toml", tune=True, output=folder / "out")
    planned = api.plan(request)
    assert not planned.jobs
    assert {step.verdict for step in planned.steps_aside} == {"reuse"}
    assert all(step.why.endswith("; for --tune") for step in planned.steps_aside)
    cell = planned.steps_aside[0].entry.cell.id
    record = Store(folder / "out" / FOLDER).read(cell, CALIBRATION_SEEDS[0] // 32)
    assert record.seeds == list(CALIBRATION_SEEDS[:16])


def test_a_plan_says_what_the_choice_will_run(folder, tmp_path):
    request = api.RunRequest(folder / "whole.toml", tune=True, output=tmp_path / "new")
    planned = api.plan(request)
    # none, trivial and four configurations on each of two tasks
    assert len(planned.steps_aside) == 12
    assert sum(len(step.todo) for step in planned.steps_aside) == 12 * 16
    assert planned.estimate().chains == sum(len(job.seeds) for job in planned.jobs)
    assert not (tmp_path / "new").exists()


def test_the_command_plan_lists_what_runs_on_calibration_seeds(folder, tmp_path):
    args = ["plan", str(folder / "whole.toml"), "--tune", "--signs", "-o", str(tmp_path / "new")]
    ended = CliRunner().invoke(cli, args)
    assert ended.exit_code == 0, ended.output
    lines = ended.output.splitlines()
    assert sum("(no record; for --tune)" in line for line in lines) == 12
    # six rows in nine cells; three of those in the middle run for the choice as well
    assert sum("(no record; for --signs)" in line for line in lines) == 6 * 9 - 3
    ended = CliRunner().invoke(cli, ["run", "--help"])
    assert "collapse-bench run mine.toml --tune --signs" in ended.output


def test_a_suite_without_configurations_has_nothing_to_tune(folder, tmp_path):
    model = read_suite(folder / "whole.toml")
    tasks = [task.model_copy(update={"mitigations": None}) for task in model.tasks]
    small = model.model_copy(update={"mitigations": ["real-anchor(share=0.2)"], "tasks": tasks})
    (tmp_path / "small.toml").write_text(to_toml(small))
    with pytest.raises(UsageError, match="nothing to tune: no method of suite whole"):
        api.plan(api.RunRequest(tmp_path / "small.toml", tune=True))


# -- published -------------------------------------------------------------------------------------


def test_published_records_carry_the_choices_and_the_signs(results, published):
    archive = Archive(published)
    assert archive.tuning == saved_tuning(results.output, "whole")
    assert archive.signs == saved_signs(results.output, "whole")
    page = published.with_suffix(".md").read_text()
    assert TUNED in page
    assert "9/9" in page


def test_of_further_configurations_only_the_last_generation_is_published(results, published):
    archive = Archive(published)
    ids = {entry.name: entry.id for entry in results.manifest.entries if entry.task.count("repl")}
    for name in CONFIGURATIONS:
        record = archive.read(ids[name], 0)
        ends = set(record.generation.tolist())
        assert ends == (set(range(9)) if name == "weight-averaging" else {8})
    own, there = Store(results.output), archive
    for name in CONFIGURATIONS:
        last = [
            record.value[(record.metric == record.facts.primary) & (record.generation == 8)]
            for record in (own.read(ids[name], 0), there.read(ids[name], 0))
        ]
        assert np.array_equal(*last)


def test_a_quick_run_compares_with_the_published_tuned_rows(folder, results, published, tmp_path):
    options = {
        "mitigations": "voice",
        "plugins": [folder / "mine.py"],
        "published": published,
        "quick": True,
        "output": tmp_path / "quick",
    }
    ran = api.run(folder / "whole.toml", **options)
    assert {outcome.job.cell.entry for outcome in ran.outcomes} == {"voice"}
    frame = ran.board().frame().set_index("entry")
    known = results.board().frame().set_index("entry")
    for name in (TUNED, *CONFIGURATIONS, "weight-averaging (best in hindsight)"):
        assert frame.S[name] == known.S[name]
    assert frame.ranked[TUNED]
    assert frame.signs[TUNED] == known.signs[TUNED]
    assert frame.ranked["voice"]
    assert "voice (tuned)" not in frame.index
    assert ran.manifest.suite.focus == "voice"
    # the same board from the folder
    again = api.results(tmp_path / "quick").board().frame().set_index("entry")
    assert again.S[TUNED] == known.S[TUNED]
    ran = api.run(folder / "whole.toml", **options, tune=True)
    frame = ran.board().frame().set_index("entry")
    assert frame.ranked[["voice (tuned)", TUNED]].all()
    assert frame.S_default["voice (tuned)"] == frame.S["voice"]


def test_records_without_choices_are_published_and_compared_as_before(folder, tmp_path):
    ran = api.run(folder / "whole.toml", output=tmp_path / "plain")
    api.publish_run(tmp_path / "plain", tmp_path / "published")
    archive = Archive(tmp_path / "published" / "whole.parquet")
    assert (archive.tuning, archive.signs) == ((), None)
    quick = api.run(
        folder / "whole.toml",
        mitigations="neon",
        quick=True,
        published=archive.path,
        output=tmp_path / "quick",
    )
    frame = quick.board().frame().set_index("entry")
    assert not any("tuned" in name for name in frame.index)
    assert (
        frame.S["weight-averaging"] == ran.board().frame().set_index("entry").S["weight-averaging"]
    )


def test_a_choice_whose_configuration_is_gone_makes_no_row(folder, results, tmp_path):
    shutil.copytree(folder / "out", tmp_path / "out")
    path = tmp_path / "out" / "whole.tuning.json"
    plain = json.loads(path.read_text())
    plain[0]["picks"] = {"gaussian": "weight-averaging(a=0.77)"}
    path.write_text(json.dumps(plain))
    board = api.results(tmp_path / "out").board()
    assert TUNED not in set(board.frame().entry)
    assert any("weight-averaging has no tuned row" in note for note in board.notes)


# -- the grid of signs -----------------------------------------------------------------------------


def test_the_grid_has_nine_cells_of_the_marked_task_and_every_entry(results):
    grid = saved_signs(results.output, "whole")
    assert grid.tasks == ("gaussian | gaussian-fit | replace @ n=20 T=8",)
    assert grid.chains == SIGN_CHAINS == 16
    assert set(grid.scores) >= {TUNED, "real-anchor(share=0.2)"}
    assert len(grid.scores) == 3
    assert not {"weight-averaging", "thinned", "none"} & set(grid.scores)
    store = Store(results.output / FOLDER)
    labels = set(store.cells())
    for n in (5, 20, 80):
        for ends in (4, 8, 16):
            at = [label for label in labels if f"n={n} T={ends}" in label]
            assert any("real-anchor(share=0.2)" in label for label in at)
            assert not any("thinned" in label for label in at)


def test_the_sign_of_who_holds_on_to_generation_0_is_that_of_its_losses(results):
    """The middle cell again, from the losses of its chains and the units of its own controls."""
    grid = saved_signs(results.output, "whole")
    (choice,) = saved_tuning(results.output, "whole")
    store = Store(results.output / FOLDER)
    ids = {
        e.name: e.id
        for e in results.manifest.entries
        if e.task == grid.tasks[0] and e.role != "curve"
    }
    a = {}
    for name in ("none", "nature", "trivial", choice.picks["gaussian"]):
        record = store.read(ids[name], CALIBRATION_SEEDS[0] // 32).restricted(
            CALIBRATION_SEEDS[:16]
        )
        rows = (record.metric == record.facts.primary) & (record.generation == 8)
        a[name] = record.value[rows][np.argsort(record.seed[rows])]
    a = {name: np.minimum(loss, a["trivial"]) for name, loss in a.items()}
    floor = 0.1 * a["nature"].mean()
    logs = {name: np.log(loss + floor).mean() for name, loss in a.items()}
    gain = logs["none"] - logs[choice.picks["gaussian"]]
    unit = logs["none"] - logs["nature" if gain > 0 else "none"]
    middle = ROWS.index(1.0) * len(GENERATIONS) + GENERATIONS.index(1.0)
    assert grid.scores[TUNED][middle] == pytest.approx(gain / unit)


def test_the_board_shows_the_signs_and_its_words_follow_them(results):
    board = results.board()
    frame = board.frame().set_index("entry")
    assert frame.signs[TUNED] == 9  # whoever keeps 90 % of generation 0 gains everywhere
    assert frame.signs[["none", "thinned", "weight-averaging"]].isna().all()
    assert board.words[TUNED] == "helps"
    assert "9/9" in board.render()
    page = report(board)
    assert TUNED in page.split("Helps, here and in 8 of 9 cells")[1].split("\n")[0]
    assert "16 chains on calibration seeds" in page


def test_a_grid_after_a_choice_runs_what_was_picked(folder, results):
    """``--signs`` without ``--tune`` keeps the configurations and reuses all chains."""
    ran = api.run(folder / "whole.toml", signs=True, output=folder / "out")
    assert not ran.outcomes
    assert ran.steps
    assert ran.board().frame().equals(results.board().frame())


def test_signs_of_other_cells_are_not_shown(folder, results, tmp_path):
    shutil.copytree(folder / "out", tmp_path / "out")
    path = tmp_path / "out" / "whole.signs.json"
    plain = json.loads(path.read_text())
    plain["ids"]["real-anchor(share=0.2)"] = ["0" * 20]
    path.write_text(json.dumps(plain))
    board = api.results(tmp_path / "out").board()
    frame = board.frame().set_index("entry")
    assert np.isnan(frame.signs["real-anchor(share=0.2)"])
    assert frame.signs[TUNED] == 9
    assert any("no signs for real-anchor(share=0.2): they are" in note for note in board.notes)


def test_a_task_that_cannot_run_agrees_with_nobody_there(folder, tmp_path):
    """A quarter of three rows is none, and half of one generation too."""
    model = read_suite(folder / "whole.toml")
    small = model.model_copy(
        update={
            "n": 3,
            "generations": 1,
            "seeds": "0:8",
            "mitigations": ["weight-averaging"],
            "tasks": model.tasks[:1],
        }
    )
    (tmp_path / "small.toml").write_text(to_toml(small))
    api.calibrate(tmp_path / "small.toml")
    ran = api.run(tmp_path / "small.toml", signs=True, output=tmp_path / "out")
    grid = saved_signs(ran.output, "whole")
    nine = np.reshape([value is None for value in grid.scores["weight-averaging"]], (3, 3))
    assert nine[0].all()  # n/4
    assert nine[:, 0].all()  # T/2
    task = "gaussian | gaussian-fit | replace @ n=3 T=1"
    assert (
        f"signs: at 0.25 n and 1 T, {task} cannot run, so that the cell agrees with none of the "
        "entries that fit it: 0.25 times 3 rows is less than one row"
    ) in grid.notes
    assert any("0.5 times 1 generation(s) is less than one generation" in n for n in grid.notes)


def test_a_suite_that_marks_no_task_has_no_grid(folder, tmp_path):
    text = (folder / "whole.toml").read_text()
    (tmp_path / "bare.toml").write_text(text.replace("signs = true\n", ""))
    with pytest.raises(NothingMatched, match=r"marks no task .* write signs = true in the \[\["):
        api.plan(api.RunRequest(tmp_path / "bare.toml", signs=True))


def test_a_grid_joins_another_and_keeps_its_own_scores():
    one = SignGrid(16, ("a",), {"x": (1.0,) * 9}, ("why",))
    other = SignGrid(16, ("a",), {"x": (2.0,) * 9, "y": (None,) * 9})
    both = one.with_others(other)
    assert both.scores == {"x": (1.0,) * 9, "y": (None,) * 9}
    assert signs_of(json.dumps(both.to_json())) == both


@pytest.mark.parametrize("what", ["tuning", "signs"])
@pytest.mark.parametrize(
    "text", ["[", '{"chains": 16, "tasks": [], "scores": {"a": [1, 2]}}', "[7]"]
)
def test_a_damaged_file_of_choices_or_signs_is_named_with_its_remedy(what, text, tmp_path):
    path = tmp_path / f"whole.{what}.json"
    path.write_text(text)
    read = {"tuning": saved_tuning, "signs": saved_signs}[what]
    option = {"tuning": "--tune", "signs": "--signs"}[what]
    with pytest.raises(UsageError, match=f"whole.{what}.json is damaged .*again with {option}"):
        read(tmp_path, "whole")


def test_published_choices_that_are_not_valid_are_refused(results, published, tmp_path):
    wrong = Tuned("weight-averaging", ("weight-averaging",), {}, "many")
    records = whole(results.store, results.manifest)
    publish(records, results.manifest, tmp_path / "whole.parquet", [wrong])
    with pytest.raises(UsageError, match=r"whole.parquet is damaged .*tuning.0.fits"):
        len(Archive(tmp_path / "whole.parquet"))


def test_only_published_records_may_hold_the_last_generation_alone(results, published):
    name = "weight-averaging(a=0.9)"
    cell = next(entry.id for entry in results.manifest.entries if entry.name == name)
    record = Archive(published).read(cell, 0)
    assert contradiction(record, published=True) is None
    assert "lacks w2 in some generations" in next(_of_the_numbers(record, published=False))


def test_the_mark_of_a_task_survives_a_file(folder):
    model = read_suite(folder / "whole.toml")
    assert [task.signs for task in model.tasks] == [True, False]
    assert "signs = true" in to_toml(model)
    assert "signs = false" not in to_toml(model)
