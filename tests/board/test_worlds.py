"""Scores by kind of world: which task is of which kind, and what the report says of each."""

from __future__ import annotations

import json

import pytest
from calibrated import WORLDS, calibrated_run

from collapse_bench.board.words import report
from collapse_bench.board.worlds import HEADINGS
from collapse_bench.records.manifest import Manifest
from collapse_bench.registry.discovery import registry
from collapse_bench.suite.regenerated import differences

HEAD = """
name = "kinds"
seeds = "0:32"
n = 40
generations = 8
mitigations = ["frozen", "real-now", "thinned", "weight-averaging", "mix-weights", "real-anchor"]
"""
SUITE = f"""{HEAD}{WORLDS}
[[tasks]]
data = "linear(d=5)"
model = "ols"
protocols = ["mix(real=0.2)"]
n0 = 8
"""
ONE_TASK = "[[tasks]]" + WORLDS.split("[[tasks]]")[1]
KINDS = ["still", "growing", "moving", "flawed", "flawed"]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return calibrated_run(tmp_path_factory.mktemp("kinds") / "kinds.toml", SUITE)


def test_each_task_says_of_which_kind_it_is(results):
    manifest = results.manifest
    assert [task.world for task in manifest.tasks.values()] == KINDS
    plain = json.loads((results.output / "kinds.manifest.json").read_text())
    for task in plain["tasks"].values():
        del task["world"]
    older = Manifest.from_text(json.dumps(plain))
    assert {task.world for task in older.tasks.values()} == {""}
    assert not differences(older, registry())
    next(iter(plain["tasks"].values()))["world"] = "moving"
    assert differences(Manifest.from_text(json.dumps(plain)), registry())


def test_the_scores_of_a_kind_are_those_of_its_tasks_only(results):
    board = results.board()
    assert set(board.worlds) == set(KINDS)
    for scores in board.worlds.values():
        names = set(scores.efficacy.measured.names)
        whole = board.scores.per_task.set_index(["entry", "task"]).S_k
        part = scores.per_task.set_index(["entry", "task"]).S_k
        assert set(part.index.get_level_values("task")) == names
        for place, value in part.items():
            assert whole[place] == pytest.approx(value, nan_ok=True)
    still = board.worlds["still"].rows.set_index("entry").S
    growing = board.worlds["growing"].rows.set_index("entry").S
    assert still["frozen"] > 0.8 > 0.2 > growing["frozen"]  # one fit, and a web that learns


def test_frozen_is_examined_in_the_world_of_its_generation(tmp_path):
    """Generation 0 of none was examined in another world, where the truth moves."""
    results = calibrated_run(tmp_path / "unnamed.toml", SUITE.replace('"frozen", ', ""))
    [moving] = [name for name, task in results.manifest.tasks.items() if task.world == "moving"]
    rows = [e for e in results.manifest.entries if (e.task, e.name) == (moving, "frozen")]
    assert [row.role for row in rows] == ["control"]
    losses = results.board().losses
    frozen = losses[(losses.entry == "frozen") & (losses.task == moving)].loss.mean()
    # E |w_t - w_0|^2 = d drift t, and the error of one fit on n rows
    law = 5 * 0.1 * 8 + ols_error(40, 5)
    assert frozen == pytest.approx(law, rel=4 * (2 / (32 * 5)) ** 0.5)
    assert set(losses[losses.entry == "frozen"].task) == set(results.manifest.tasks)


def ols_error(n: int, d: int, noise: float = 1.0) -> float:
    return noise**2 * d / (n - d - 1)


def test_the_report_names_the_best_of_each_kind_and_what_beats_a_control(results):
    page = report(results.board())
    for kind in set(KINDS):
        assert f"### {HEADINGS[kind]} ({KINDS.count(kind)} tasks)" in page
    assert page.count("Best of each track:") == len(set(KINDS))
    growing = page.split(f"### {HEADINGS['growing']}")[1].split("###")[0]
    assert "- `frozen`: " in growing
    assert "`real-anchor`" in growing
    best = growing.split("**The highest scores of the rows")[1].split("\n\n")[0]
    scores = results.board().worlds["growing"]
    ranked = scores.rows[scores.rows.ranked]
    top = ranked.iloc[0]
    free = ranked[~ranked.track.str.contains("real|verifier")].iloc[0]
    for row in (top, free):
        assert f"`{row.entry}` {row.S:+.2f}" in best
        assert f"on track {row.track}" in best
    assert "`frozen` (difference " in best
    worth = page.split("**What a real row is worth**")[1].split("\n")[0]
    assert "Controls, which use them and do nothing else: `real-now` " in worth
    assert worth.count("% more real rows") >= 2


def test_a_suite_of_one_kind_has_no_such_section(results, tmp_path):
    board = calibrated_run(tmp_path / "one.toml", HEAD + ONE_TASK).board()
    assert not board.worlds
    assert "## By kind of world" not in report(board)
