"""The page of a suite without calibrated tasks: losses, provisional scores, and no ranks."""

from __future__ import annotations

import re

import pytest

from collapse_bench import api
from collapse_bench.errors import UsageError

SPEC = "gaussian | gaussian-fit | mix(real=0.2) | real-anchor @ n=20 T=4"
TASK = "gaussian | gaussian-fit | mix(real=0.2) @ n=20 T=4"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return api.run([SPEC], seeds="0:8", output=tmp_path_factory.mktemp("losses"))


@pytest.fixture(scope="module")
def source(results):
    return results.report_bytes("html").decode()


def test_the_page_has_sections_for_tasks_and_methods_and_none_for_ranks(source):
    sections = re.findall(r'<section id="(\w+)"', source)
    assert sections == ["notes", "methods", "tasks", "provenance"]
    ids, links = re.findall(r' id="([^"]+)"', source), re.findall(r'href="#([^"]+)"', source)
    assert len(ids) == len(set(ids))
    assert set(links) <= set(ids)
    assert "No task is calibrated, so there are losses and no ranks" in source
    assert "tier" not in source.split("<body>")[1].split("<script>")[0]


def test_the_losses_are_those_of_the_board_from_the_lowest_up(results, source):
    frame = results.board().frame()
    frame = frame[frame.task == TASK].sort_values("loss")
    table = re.search(r"<table><caption>All methods and controls.*?</table>", source, re.DOTALL)[0]
    rows = re.findall(r"<tr.*?><td><a [^>]*>(.*?)</a>.*?nowrap\">([^<]*)</td></tr>", table)
    assert [name for name, _ in rows] == list(frame.entry)
    shown = [float(text.split()[0]) for _, text in rows]
    assert shown == pytest.approx(list(frame.loss), rel=5e-3)
    assert f"(without mitigation {frame.set_index('entry').loss['none']:.3g})" in source


def test_formats_of_scores_are_refused_in_one_sentence(results):
    assert results.report_bytes("csv").decode().startswith("task,entry,loss")
    for form in ("json", "latex", "markdown"):
        with pytest.raises(UsageError, match=f"{form} shows scores, and suite .* has none"):
            results.report_bytes(form)
    with pytest.raises(UsageError, match="has no scores to compare"):
        results.report_bytes("html", against="standard")
