"""The report as one page: what is on it, what is escaped, and that it needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from collapse_bench.board.page.build import page_of
from collapse_bench.board.page.gather import Gathered, shown_to
from collapse_bench.board.page.history import (
    Snapshot,
    Standing,
    moved,
    snapshot,
    snapshot_of_page,
)
from collapse_bench.board.page.html import _coded, _minus, page_html
from collapse_bench.board.page.sections import protocol_of
from collapse_bench.board.page.svg import Styles, inline, new_figure
from collapse_bench.errors import UsageError
from collapse_bench.records.archive import Archive, earlier_page

VOID = {"meta", "input", "br", "link", "img"}


class Parsed(HTMLParser):
    """The elements of a page with their attributes, and that they are closed in their order."""

    def __init__(self, text):
        super().__init__()
        self.found, self.stack, self.text = [], [], []
        self.feed(text)
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.stack[-1:] not in (["script"], ["style"]):
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def source(reported):
    return reported[1].read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def parsed(source):
    return Parsed(source)


@pytest.fixture(scope="module")
def made(reported):
    """(board, records, page) of the run."""
    results = reported[0]
    manifest = results._manifest()
    gathered = Gathered(manifest)
    board = results._board(manifest, shown_to(gathered, results.store), None, None)
    return board, gathered, page_of(board, gathered, {}, "kinds.toml", [], [("suite", "kinds")])


def test_the_page_asks_for_nothing_and_runs_one_script(source, parsed):
    scripts = parsed.all("script")
    assert scripts == [{}]
    for tag in ("img", "link", "iframe", "object", "embed", "base", "form"):
        assert all(tag == "form" and "action" not in found for found in parsed.all(tag))
    policy = next(
        m["content"] for m in parsed.all("meta") if m.get("http-equiv") == "Content-Security-Policy"
    )
    assert "default-src 'none'" in policy
    for what, tag in (("script", "script"), ("style", "style")):
        text = re.search(rf"<{tag}>(.*?)</{tag}>", source, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{what}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert not [found for _, found in parsed.found if "style" in found]
    assert not re.search(r"url\((?!#)|@import", source)


def test_names_titles_and_documentation_are_escaped(source, parsed):
    text = "".join(parsed.text)
    for odd in (
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(2)>",
        "<b onclick=alert(3)>",
    ):
        assert odd in text
        assert odd not in source
    assert "\u202e" not in source
    assert "\\u202e" in text
    assert not [a for _, a in parsed.found for name in a if name.startswith("on")]


def test_every_link_into_the_page_has_its_place_once(parsed):
    ids = [a["id"] for _, a in parsed.found if "id" in a]
    assert len(ids) == len(set(ids))
    links = [a["href"] for _, a in parsed.found if "href" in a]
    inside = {link[1:] for link in links if link.startswith("#")}
    assert inside
    assert inside <= set(ids)
    assert all(
        re.match(r"https://arxiv\.org/abs/[\d.]+$", link) for link in links if link[0] != "#"
    )


def test_a_section_for_each_row_and_task_and_the_method_says_its_paper_and_parameters(made, parsed):
    board, _, page = made
    ids = {a["id"] for _, a in parsed.found if "id" in a}
    assert {row.anchor for row in page.rows} | {task.anchor for task in page.tasks} <= ids
    assert len(page.rows) == len(board.frame())
    text = " ".join("".join(parsed.text).split())
    assert "arXiv 1909.08593" in text
    assert "word = <img src=x onerror=alert(2)>" in text
    assert "any </details> word" in text
    assert "collapse-bench run kinds.suite.toml --mitigation anchor" in text


def test_the_numbers_are_those_of_the_board(made):
    board, _, page = made
    frame = board.frame().set_index("entry")
    for row in page.rows:
        assert row.score == pytest.approx(frame.S[row.name])
        assert row.low == pytest.approx(frame.low[row.name], nan_ok=True)
    tasks = board.per_task().set_index(["entry", "task"])
    for method in page.methods:
        scores = [one.score for one in method.tasks if one.score is not None]
        if len(set(scores)) < 2:  # of `none`, which is 0 everywhere, no task is best
            assert not [*method.best, *method.worst]
            continue
        assert [one.score for one in method.best] == sorted(scores, reverse=True)[:3]
        assert [one.score for one in method.worst] == sorted(scores)[:3]
        for one in method.tasks:
            assert one.score == pytest.approx(tasks.S_k[method.row.name, one.task])
    cells = page.heat["real-anchor"]
    by_place = tasks.loc["real-anchor"].reset_index()
    by_place["protocol"] = by_place.task.map(protocol_of)
    for (family, protocol), cell in cells.items():
        some = by_place[(by_place.family == family) & (by_place.protocol == protocol)]
        assert (cell.score, cell.tasks) == (pytest.approx(some.S_k.mean()), len(some))


def test_the_sentences_name_the_best_of_each_world_and_count_the_rows(made):
    board, _, page = made
    first, second, third = ("".join(piece.text for piece in s) for s in page.sentences)
    for scores in board.worlds.values():
        best = scores.rows[scores.rows.ranked & scores.rows.S.notna()]
        best = best.sort_values("S", ascending=False).entry.iloc[0]
        assert f"{best} (" in first
    rows = board.frame()
    rows = rows[~rows.control & rows.S.notna()]
    assert f"for {(rows.low > 0).sum()} of {len(rows)} methods" in second
    below = (rows.high < 0).sum()
    assert re.match(rf"{below or 'No'} methods? (is|are) below no mitigation", third)


def test_curves_are_means_over_the_chains_of_the_records(reported, made):
    _, _, page = made
    frame = reported[0].frame()
    task = page.tasks[0]
    rows = frame[(frame.task == task.name) & (frame.metric == task.loss)]
    for entry in ("none", "real-anchor"):
        values = rows[rows.entry == entry].groupby("generation").value
        curve = task.curves[entry]
        assert curve.chains == 16
        np.testing.assert_allclose(curve.center, values.mean())
        np.testing.assert_allclose(curve.high - curve.low, 4 * values.sem())


def test_ledgers_are_means_per_chain(reported, made):
    board, gathered, _ = made
    spent = gathered.spent(board.codes)
    for entry in gathered.manifest.entries:
        if entry.name not in ("none", "real-anchor"):
            continue
        record = reported[0].store.read(entry.id, 0)
        mine = spent[entry.name, entry.task]
        assert mine.chains == len(record.seeds) == 16
        for what in ("real_rows", "real_unique", "generated_rows", "fits"):
            assert mine.amounts[what] == np.mean(record.facts.ledger[what])
    for task in gathered.manifest.tasks:  # ten more real rows in each of six or seven generations
        more = spent["real-anchor", task].amounts["real_rows"]
        assert more - spent["none", task].amounts["real_rows"] in (60, 70)


def test_the_same_records_give_the_same_bytes(made, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    texts = [page_html(made[2]) for _ in range(2)]
    assert texts[0] == texts[1]
    assert "2023-11-14 22:13 UTC" in texts[0]


# -- history --------------------------------------------------------------------------------------


def test_a_board_against_itself_has_no_move(made):
    board, gathered, _ = made
    same = snapshot(board, gathered.manifest)
    assert moved(same, same).moves == []


def test_what_moved_is_told_with_its_cause():
    def board(title, cells, **rows):
        standings = {name: Standing("blind", place, score) for name, (place, score) in rows.items()}
        ids = {name: frozenset(some) for name, some in cells.items()}
        return Snapshot(title, standings, ids, frozenset({"t"}), "0:8")

    then = board("s v1", {"a": "12", "b": "34", "c": "5"}, a=(1, 0.5), b=(2, 0.4), c=(3, 0.1))
    now = board("s v1", {"a": "12", "b": "67", "d": "8"}, a=(2, 0.5), b=(1, 0.9), d=(3, 0.0))
    found = moved(now, then)
    moves = {move.name: move for move in found.moves}
    assert set(moves) == {"a", "b"}
    assert moves["b"].change == pytest.approx(0.5)
    assert "all cells are new" in moves["b"].why
    assert "the same cells" in moves["a"].why
    assert (found.gone, found.new) == (["c"], ["d"])


def test_a_tuned_row_is_compared_with_its_method_on_a_board_without_tuned_rows():
    standing = {"a": Standing("blind", 1, 0.1)}
    then = Snapshot("s v1", standing, {"a": frozenset("12")}, frozenset("t"), "0:8")
    tuned = {"a (tuned)": Standing("real", 1, 0.4)}
    now = Snapshot("s v2", tuned, {"a (tuned)": frozenset("13")}, frozenset("tu"), "0:8")
    found = moved(now, then)
    (move,) = found.moves
    assert (move.name, move.then, move.now) == ("a (tuned)", standing["a"], tuned["a (tuned)"])
    assert move.why == "track real, was blind; tuned, was at its default; 1 of 2 cells are new"
    assert (found.new, found.gone) == ([], [])
    assert "1 of the 2 tasks were on the earlier board, which had 1" in found.remarks


def test_the_page_of_standard_version_1_is_read():
    path = earlier_page("standard", 2)
    then = snapshot_of_page(path)
    assert then.title == "standard v1"
    assert len(then.rows) > 40
    assert then.rows["weight-averaging"] == Standing("blind", 1, 0.83)
    assert then.rows["nature"].place is None


def test_the_records_next_to_a_page_say_which_cells_and_tasks_it_had():
    path = earlier_page("standard", 2)
    then = snapshot_of_page(path)
    records = Archive(path.with_suffix(".parquet"))
    assert then.tasks == {facts.task for facts in records.facts()}
    own = {facts.id for facts in records.facts() if facts.entry == "neon"}
    assert then.cells["neon"] == own


def test_a_file_without_a_board_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "notes.md"
    path.write_text("no board here")
    with pytest.raises(UsageError, match="holds no board; name a folder of records"):
        snapshot_of_page(path)


# -- pictures -------------------------------------------------------------------------------------


def test_names_in_backticks_are_code_and_markup_stays_text():
    shown = "a <b> `none` and ``access.first``, `<i>`"
    expected = "a &lt;b&gt; <code>none</code> and <code>access.first</code>, <code>&lt;i&gt;</code>"
    assert _coded(shown) == expected


def test_numbers_have_a_minus_sign_and_zero_has_none():
    assert _minus("-0.31 to +0.20") == "\N{MINUS SIGN}0.31 to +0.20"
    assert _minus("-0.00 to +0.00") == "0.00 to 0.00"
    assert _minus("-0.001") == "\N{MINUS SIGN}0.001"
    for name in ("top-p", "keep-first(a=0.9)", "2026-11-30", "a-1", "2e-05"):
        assert _minus(name) == name


def test_styles_of_pictures_become_classes_that_they_share():
    styles = Styles()
    svg = '<g style="fill: red"/><g style="fill: none"/><g style="fill: red"/>'
    assert styles.classed(svg) == '<g class="z0"/><g class="z1"/><g class="z0"/>'
    assert styles.sheet == "svg.chart .z0 { fill: red }\nsvg.chart .z1 { fill: none }"


def test_a_picture_has_text_colours_of_the_page_and_ids_of_its_own():
    from collapse_bench.board.page.svg import SCREEN

    pictures = []
    for key in ("one", "two"):
        figure = new_figure(200, 100)
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], color=SCREEN["bold"])
        axis.set_title("a < b", color=SCREEN["text"])
        pictures.append(inline(figure, key, 'said "so"'))
    ids = [set(re.findall(r'id="([^"]+)"', svg)) for svg in pictures]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert ">a &lt; b</text>" in pictures[0]
    assert "stroke: var(--bold)" in pictures[0]
    assert "fill: var(--text)" in pictures[0]
    assert not re.search("#0[0-9a-f]fe[0-9a-f]d", pictures[0])
    assert 'aria-label="said &quot;so&quot;"' in pictures[0]
