"""What a reader sees of a board: fitted to a terminal, a card, a pair, a family, provisional scores."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from collapse_bench import api
from collapse_bench.board.cells import bar
from collapse_bench.board.table import LossBoard
from collapse_bench.errors import NothingMatched, UsageError

SUITE = """
name = "views"
title = "two families"
seeds = "0:200"
n = 20
generations = 4
protocols = ["replace", "mix(real=0.2)"]
mitigations = ["real-anchor(share=0.2)", "real-now", "distrust", "noise-augmentation", "top-p"]

[[tasks]]
data = "gaussian"
model = "gaussian-fit"

[[tasks]]
data = "zipf(K=50)"
model = "counts"
n = 60
protocols = ["replace"]

# what `suite calibrate` measures
[[calibration]]
task = "gaussian | gaussian-fit | replace @ n=20 T=4"
floor = 0.00747
gap = 1.18
gap_sd = 1.39
harm = 1.4
harm_sd = 1.3
chains = 256

[[calibration]]
task = "gaussian | gaussian-fit | mix(real=0.2) @ n=20 T=4"
floor = 0.00755
gap = 0.536
gap_sd = 1.33
harm = 2.01
harm_sd = 1.39
chains = 256

[[calibration]]
task = "zipf(K=50) | counts | replace @ n=60 T=4"
floor = 0.0221
gap = 0.47
gap_sd = 0.248
harm = 0.582
harm_sd = 0.194
chains = 256
"""
MINE = "real-anchor(share=0.2)"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("views")
    path = folder / "views.toml"
    path.write_text(SUITE)
    return api.run(path, output=folder / "out", focus=MINE)


@pytest.fixture(scope="module")
def board(results):
    return results.board()


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    spec = f"gaussian | gaussian-fit | replace | {MINE} @ n=20 T=4"
    return api.run([spec], seeds="0:12", output=tmp_path_factory.mktemp("typed"))


# -- a terminal ------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [50, 80, 100, 140, 400])
def test_a_row_has_one_line_and_what_matters_first(board, width):
    lines = board.render(width=width, legend=False, notes=False).splitlines()
    assert max(map(len, lines)) <= width
    tracks = board.frame().track.nunique()
    assert len(lines) == 2 + len(board.frame()) + tracks
    if width >= 80:
        heads = re.split(r"\s{2,}", lines[1].strip())
        assert heads[:6] == ["rank", "entry", "averted", "95 %", "covers", "frozen"]
        assert heads[6] == "real-now"


def test_colours_say_what_a_verdict_says_and_only_where_they_are_asked_for(board):
    plain = board.render(width=140, legend=False).splitlines()
    colored = board.render(width=140, legend=False, color=True).splitlines()
    assert "\x1b" not in "".join(plain)
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in colored] == plain
    for row in board.frame().itertuples():
        name = re.compile(rf"\s*[\d-]*\s+{re.escape(row.entry)}( \*)?\s")
        [at] = [i for i, line in enumerate(plain) if name.match(line)]
        better = row.low > 0 or "yes" in (row.beats_frozen, row.beats_real_now)
        assert ("\x1b[32m" in colored[at]) == better, row.entry


def test_the_legend_comes_when_it_is_asked_for(board):
    without, whole = board.render(width=80, legend=False), board.render(width=80)
    assert "Tukey" in whole
    assert "Tukey" not in without
    assert "--legend says what the columns mean" in without
    assert "Tukey" in board.render("markdown", legend=False), "a page has no option"


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (1.0, "   │███"),
        (0.5, "   │█▌ "),
        (0.0, "   │   "),
        (-1.0, "███│   "),
        (9.0, "   │███"),
    ],
)
def test_a_bar_begins_at_zero(score, expected):
    assert bar(score) == expected


def test_rows_are_picked_by_name_method_or_pattern(board):
    def entries(*names):
        return {row["entry"] for row in json.loads(board.render("json", entries=names))["rows"]}

    assert entries("distrust") == {"distrust"}
    assert entries("real-anchor") == {MINE}
    assert entries("real-*", "none") == {MINE, "real-now", "none"}
    with pytest.raises(NothingMatched, match="no row 'distrusts'; did you mean 'distrust'"):
        entries("distrusts")


def test_a_family_is_scored_by_itself(results, board):
    part = results.board(family="gaussian")
    assert set(part.per_task().family) == {"gaussian"}
    of_whole = board.scores.per_family.set_index(["entry", "family"]).S
    rows = part.frame()
    assert set(rows.entry[rows.S.isna()]) == {"top-p"}, "it fits no task of the family"
    for row in rows[rows.S.notna()].itertuples():
        assert pytest.approx(of_whole[row.entry, "gaussian"], abs=1e-12) == row.S, row.entry
    with pytest.raises(NothingMatched, match="no family 'gausian'; did you mean 'gaussian'"):
        results.board(family="gausian")


# -- a card ----------------------------------------------------------------------------------------


def test_a_card_says_where_a_method_stands(results, board):
    card = results.card(board=board)
    row = board.frame().set_index("entry").loc[MINE]
    assert card.title == f"{MINE} on views v1"
    track = board.frame().query("track == @row.track and ranked and not control")
    assert card.facts["place"].startswith(f"{row['rank']:.0f} of {len(track)} on track real, tier")
    assert f"{row.S:+.2f} [{row.low:+.2f}, {row.high:+.2f}]" in card.facts["score"]
    pair = board.compare(MINE, "real-now")
    assert f"{pair.difference:+.2f} [" in card.facts["real rows"]
    assert "against real-now" in card.facts["real rows"]


def test_the_grid_of_a_card_has_the_means_of_its_tasks(results, board):
    grid = results.card(board=board).grid.set_index(results.card(board=board).grid.columns[0])
    tasks = board.per_task().query("entry == @MINE and weight > 0")
    still = tasks[tasks.task.str.contains("replace")]
    assert set(grid.columns) == {"replace", "mix", "all"}
    for family, piece in still.groupby("family"):
        assert grid.loc[family, "replace"] == f"{piece.S_k.mean():+.2f}"
    assert grid.loc["tails", "mix"] == "·", "it has no task there"
    ends = results.card(board=board).ends
    assert [score for _, score, _ in ends] == sorted(tasks.S_k, reverse=True)


@pytest.mark.parametrize("width", [80, 140])
def test_a_card_fits_its_terminal(results, board, width):
    lines = results.card(board=board).render(width).splitlines()
    commands = lines.index("next")
    assert max(map(len, lines[:commands])) <= width
    assert lines[commands + 1 :][-1].startswith("  collapse-bench compare ")


def test_a_card_warns_of_configurations_that_ran_on_the_exam(results, board, tmp_path):
    assert not [text for text in results.card(board=board).warnings if "other config" in text]
    there = tmp_path / "out"
    shutil.copytree(results.output, there)
    api.run(
        ["gaussian | gaussian-fit | replace | real-anchor(share=0.4) @ n=20 T=4"],
        seeds="0:200",
        output=there,
    )
    [warning] = [t for t in api.results(there, "views").card(MINE).warnings if "other config" in t]
    assert "1 other configuration(s) of real-anchor" in warning
    assert "real-anchor(share=0.4)" in warning


# -- a pair ----------------------------------------------------------------------------------------


def test_a_pair_is_compared_on_the_tasks_that_both_fit(results, board):
    pair = results.compare(MINE, "noise-augmentation")
    whole = board.compare(MINE, "noise-augmentation")
    assert vars(pair.comparison) == vars(whole)
    fits = board.per_task().query("weight > 0 and status == 'done'")
    both = set.intersection(
        *(set(fits[fits.entry == e].task) for e in (MINE, "noise-augmentation"))
    )
    assert set(pair.common) == both == set(pair.tasks.task)
    assert pair.families.difference.to_numpy() == pytest.approx(
        (pair.families.a - pair.families.b).to_numpy()
    )
    scores = board.scores.per_task.set_index(["entry", "task"]).S_k
    for row in pair.tasks.itertuples():
        assert row.a == pytest.approx(scores[MINE, row.task])


def test_the_p_of_one_task_is_that_of_the_paired_chains(results, board):
    measured = board.scores.efficacy.measured
    i, j = (measured.entries.index(name) for name in (MINE, "none"))
    pair = results.compare(MINE, "none")
    for row in pair.tasks.itertuples():
        k = measured.names.index(row.task)
        apart = measured.s[i, k] - measured.s[j, k]
        se = apart.std(ddof=1) / np.sqrt(len(apart))
        p = 2 * student.sf(abs(apart.mean() / se), len(apart) - 1)
        assert row.p == pytest.approx(p, rel=1e-6)


def test_a_pair_is_shown_in_every_format(results):
    pair = results.compare(MINE, "none")
    assert max(map(len, pair.render(width=80).splitlines())) <= 80
    rows = json.loads(pair.render("json"))
    assert rows["pair"]["difference"] == pair.comparison.difference
    assert len(pd.read_csv(pd.io.common.StringIO(pair.render("csv")))) == len(pair.tasks)
    assert "| family |" in pair.render("markdown")


def test_pairs_that_cannot_be_compared_are_refused(results):
    with pytest.raises(UsageError, match="no row 'distrusts'; did you mean 'distrust'"):
        results.compare("distrusts", "none")
    with pytest.raises(UsageError, match="compared with itself"):
        results.compare("none", "none")


# -- typed cells -----------------------------------------------------------------------------------


def test_typed_cells_have_provisional_scores(typed):
    board = typed.board()
    assert isinstance(board, LossBoard)
    rows = board.frame().set_index("entry")
    assert rows.S["none"] == 0
    assert rows.S["nature"] == pytest.approx(1, abs=1e-9), "the unit is its own difference"
    assert rows.low[MINE] < rows.S[MINE] < rows.high[MINE]
    assert (rows.p_none[MINE] < 0.05) == (rows.low[MINE] > 0 or rows.high[MINE] < 0)
    text = " ".join(board.render(width=80).split())
    assert "uncalibrated" in text
    assert "provisional" in text
    assert "uncalibrated" in typed.compare(MINE, "none").render()
    assert "uncalibrated" in typed.card(MINE).facts["score"]


def test_too_few_chains_have_no_provisional_score(tmp_path):
    few = api.run(
        "gaussian | gaussian-fit | replace | distrust @ n=20 T=2", seeds="0:3", output=tmp_path
    )
    board = few.board()
    assert board.scored is None
    assert "no provisional score for gaussian" in board.render()
    with pytest.raises(NothingMatched, match="no scores to compare"):
        few.compare("distrust", "none")


# -- notebooks -------------------------------------------------------------------------------------


def test_notebooks_show_boards_cards_and_pairs_as_tables(results, board, typed):
    for shown in (results, board, results.card(board=board), results.compare(MINE, "none"), typed):
        page = shown._repr_html_()
        assert page.count("<table>") >= 1
        assert MINE in page
        assert "<script" not in page
