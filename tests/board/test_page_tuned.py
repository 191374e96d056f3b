"""The page of a tuned run with a grid of signs: one section for each method, and one word each."""

from __future__ import annotations

import numpy as np
import pytest

from collapse_bench.board.page.build import page_of
from collapse_bench.board.page.gather import Gathered, shown_to
from collapse_bench.board.page.history import snapshot

TUNED, DEFAULT, OTHER = "anchor (tuned)", "anchor", "anchor(beta=1)"


@pytest.fixture(scope="module")
def made(reported_tuned):
    """(board, records, page) of the run."""
    results = reported_tuned[0]
    manifest = results._manifest()
    gathered = Gathered(manifest)
    board = results._board(manifest, shown_to(gathered, results.store), None, None)
    return board, gathered, page_of(board, gathered, {}, "kinds.toml", [], [("suite", "kinds")])


def test_each_row_has_its_kind_and_a_configuration_is_shown_with_its_method(made):
    _, _, page = made
    rows = {row.name: row for row in page.rows}
    kinds = {name: (rows[name].kind, rows[name].of) for name in rows if name.startswith("anchor")}
    assert kinds == {
        TUNED: ("tuned", ""),
        DEFAULT: ("default", TUNED),
        OTHER: ("configuration", TUNED),
        f"{DEFAULT} (best in hindsight)": ("hindsight", TUNED),
    }
    assert {rows[name].section for name in kinds} == {rows[TUNED].anchor}
    assert rows["real-anchor"].kind == "default"
    assert rows["nature"].kind == "control"
    for name in kinds:
        assert "control" not in rows[name].why
        assert rows[name].track == rows[TUNED].track
    assert [row.main for row in page.rows] == sorted([r.main for r in page.rows], reverse=True)
    assert [m.row.name for m in page.methods] == [row.name for row in page.rows if row.main]


def test_a_tuned_row_has_the_ledger_and_the_curve_of_what_was_picked_there(made):
    board, gathered, page = made
    (method,) = [m for m in page.methods if m.row.name == TUNED]
    curves, spent = gathered.curves(board.codes), gathered.spent(board.codes)
    assert len({one.picked for one in method.tasks}) == 2
    for one in method.tasks:
        first = one.task.startswith("gaussian")
        picked = DEFAULT if first else OTHER
        assert one.picked == ("default" if first else "beta=1")
        assert one.spent["fits"] == f"{spent[picked, one.task].amounts['fits']:.0f}"
        (task,) = [t for t in page.tasks if t.name == one.task]
        np.testing.assert_array_equal(task.curves[TUNED].center, curves[one.task][picked].center)
        assert not {DEFAULT, OTHER} & set(task.curves)
        assert not {DEFAULT, OTHER} & {place.row for place in task.ranking}
    families = {c.name: c.families for c in method.configurations}
    assert families[DEFAULT] == ("gaussian",)
    assert families[OTHER] == ("regression",)
    assert method.command.endswith("--mitigation anchor --tune")


def test_a_word_is_said_only_where_the_score_has_the_sign_of_the_grid(made):
    """`replay` is above no mitigation here, and below it in all nine cells of the grid."""
    board, _, page = made
    rows = {row.name: row for row in page.rows}
    assert board.words == {TUNED: "helps", "real-anchor": "helps", "replay": "harms"}
    assert rows["replay"].low > 0
    assert rows["replay"].word == ""
    assert rows["replay"].cells["signs"] == "9/9 \N{BLACK DOWN-POINTING TRIANGLE}"
    for name in (TUNED, "real-anchor"):
        assert rows[name].word == ("helps" if rows[name].low > 0 else "")
        assert rows[name].cells["signs"] == "9/9 \N{BLACK UP-POINTING TRIANGLE}"
    assert rows["real-anchor"].word == "helps"


def test_tables_and_history_have_methods_and_controls_only(reported_tuned, made):
    board, gathered, page = made
    main = {row.name for row in page.main_rows}
    assert OTHER not in main
    for form in ("latex", "markdown"):
        text = reported_tuned[0].report_bytes(form).decode()
        assert TUNED in text
        assert "beta" not in text.split("midrule" if form == "latex" else "| ---", 1)[-1]
    then = snapshot(board, gathered.manifest)
    assert set(then.rows) <= main
    cells = {(e.name, e.task): e.id for e in gathered.manifest.entries}
    picked = {
        cells[DEFAULT if task.startswith("gaussian") else OTHER, task]
        for task in gathered.manifest.tasks
    }
    assert then.cells[TUNED] == picked


def test_scores_of_tuned_and_hindsight_rows_are_those_of_the_board(made):
    board, _, page = made
    frame = board.frame().set_index("entry")
    for row in page.rows:
        assert row.score == pytest.approx(frame.S[row.name])
    (method,) = [m for m in page.methods if m.row.name == TUNED]
    for one in method.configurations:
        assert one.score == pytest.approx(frame.S[one.name])
