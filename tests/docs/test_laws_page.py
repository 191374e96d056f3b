"""The page of laws has every law and every claim, and none of them is violated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from collapse_bench import theory
from collapse_bench.board.render import number
from collapse_bench.registry.discovery import registry

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "laws.md").read_text(encoding="utf-8")
#: where the measured claims of a family are, if not on the page of laws
ELSEWHERE = {"gcd": "arithmetic.md"}
FAMILIES = sorted({name.partition(".")[0] for name in theory.laws()})
BLUNTEST = 15  # per cent: every claim detects a law that is wrong by this much


def rows(part: str, page: str = PAGE) -> list[list[str]]:
    """The rows of a computed table, without its head."""
    body = page.split(f"<!-- computed: {part} -->\n")[1].split("<!-- /computed -->")[0]
    lines = [line[1:-1].split(" | ") for line in body.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line] for line in lines[1:]]


def measured(family: str) -> list[list[str]]:
    if family in ELSEWHERE:
        return rows(f"{family}-laws", (DOCS / ELSEWHERE[family]).read_text(encoding="utf-8"))
    return rows(f"laws-{family}")


def test_every_law_is_in_the_table_with_its_source_and_claims():
    claimed = [claim.law for claim in registry().claims()]
    assert rows("laws-list") == [
        [f"`{name}`", law.status, str(claimed.count(name)), law.source]
        for name, law in theory.laws().items()
    ]
    counts = (
        f"There are {len(theory.laws())} laws, and {len(claimed)} claims of {len(set(claimed))}"
    )
    assert counts in PAGE


def test_the_page_says_why_a_law_has_no_claim():
    claimed = {claim.law for claim in registry().claims()}
    [reasons] = re.findall(r"Laws that no cell can express(.*?)\n\n", PAGE, re.DOTALL)
    assert set(re.findall(r"`(\w+\.\w+)`", reasons)) == set(theory.laws()) - claimed


@pytest.mark.parametrize("family", FAMILIES)
def test_every_claim_has_its_row_with_what_the_law_predicts_now(family):
    claims = [claim for claim in registry().claims() if claim.law.startswith(f"{family}.")]
    metrics = {"mean": "{}", "variance": "variance of {}"}
    expected = [
        [
            claim.law,
            claim.setting,
            metrics[claim.statistic].format(claim.metric),
            number(claim.predicted, 4),
        ]
        for claim in claims
    ]
    assert [[cell.replace("\\|", "|") for cell in row[:4]] for row in measured(family)] == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_no_claim_is_violated_and_none_is_blunt(family):
    assert f"All claims detect {BLUNTEST} % or less" in " ".join(PAGE.split())
    for row in measured(family):
        refuted = theory.laws()[row[0]].status == "REFUTED"
        assert row[-1] == ("refuted, as expected" if refuted else "obeyed"), row
        assert float(row[-2].removesuffix(" %")) <= BLUNTEST, row
