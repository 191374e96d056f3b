"""Budgets: past them nothing is served, the cell says where, and what was within them stays good."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from collapse_bench import Mitigation, UsageError, cell_of, run
from collapse_bench.core.budget import NAMES, SHARES, Budget
from collapse_bench.records.store import Store
from collapse_bench.running.chains import run_chains

SEEDS = list(range(4))


@dataclass(frozen=True)
class Spender(Mitigation):
    """Uses two of everything in every generation, and real rows that are the same every time beside fresh ones."""

    def curate(self, corpus, access):
        access.provenance(corpus)
        access.verify(corpus)
        access.synthetic(2)
        access.external("a dictionary", 2)
        return corpus + access.real(2) + access.real(2, fixed=True)


def facts(budget: str, text="linear(d=3) | ridge | replace @ n=20 T=4"):
    cell = replace(
        cell_of(text), mitigations=(Spender(),), budget=Budget.parse(budget) if budget else None
    )
    return run_chains(cell, SEEDS).facts


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"fits", "real-tokens"}))
def test_the_exact_amount_is_allowed_and_one_less_is_not(name):
    used = facts("").ledger[f"{NAMES[name]}_by_methods"][0]
    assert used > 0
    assert set(facts(f"{name}={used}").status) == {"done"}
    short = facts(f"{name}={used - 1}")
    assert set(short.status) == {"over-budget"}
    assert short.reason[0].endswith(f"the budget allows {used - 1}, in generation 4")
    assert (
        max(short.ledger[f"{NAMES[name]}_by_methods"]) <= used - 1
    )  # what was refused was not served


def test_nothing_is_allowed_at_zero_and_it_says_so_at_once():
    assert "in generation 1" in facts("real=0").reason[0]


def test_what_the_protocol_draws_is_no_part_of_it():
    told = run_chains(
        replace(
            cell_of("gaussian | gaussian-fit | mix(real=0.5) @ n=20 T=3"),
            budget=Budget.parse("real=0"),
        ),
        SEEDS,
    )
    assert set(told.facts.status) == {"done"}


@pytest.mark.parametrize("name", SHARES)
def test_a_share_is_of_the_rows_that_all_generations_read(name):
    assert Budget.parse(f"{name}=0.1").allowed(500) == {NAMES[name]: 50}
    assert Budget.parse(f"{name}=1").allowed(500) == {NAMES[name]: 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names nothing"),
        ("gold=3", "no 'gold'"),
        ("real=-1", "real must be a whole number >= 0, or a share"),
        ("real=nan", "got nan"),
        ("verifier=0.5", "verifier must be a whole number >= 0, got 0.5"),
        ("real", "got nothing"),
        ("real=1,real=2", "twice"),
    ],
)
def test_a_budget_that_cannot_be_read_is_one_sentence(text, words):
    with pytest.raises(UsageError, match=words):
        Budget.parse(text)


def test_records_within_the_budget_are_reused_and_those_beyond_it_neither_lost_nor_ranked(tmp_path):
    spec = "gaussian | gaussian-fit | replace | real-anchor(k=5) @ n=20 T=4"
    free = run(spec, seeds="0:4", output=tmp_path)
    ident = free.steps[0].entry.cell.id
    entry = next(s.entry for s in free.steps if s.entry.role == "entry")
    whole = Store(tmp_path).read(entry.cell.id, 0).digest()
    tight = run(spec, seeds="0:4", output=tmp_path, budget="real=19")
    assert not tight.outcomes  # nothing is run again
    assert ident == tight.steps[0].entry.cell.id
    assert Store(tmp_path).read(entry.cell.id, 0).digest() == whole
    shown = tight.board().frame().set_index("entry")
    assert shown.status["real-anchor(k=5)"] == "4 over-budget"
    assert shown.status["none"] == "done"
    why = next(s.why for s in tight.steps if s.entry.role == "entry")
    assert "used 20 unique real rows, and the budget allows 19" in why
    wide = run(spec, seeds="0:4", output=tmp_path, budget="real=20")
    assert wide.board().frame().set_index("entry").status["real-anchor(k=5)"] == "done"


def test_what_was_refused_for_want_of_budget_runs_when_there_is_more(tmp_path):
    spec = "gaussian | gaussian-fit | replace | real-anchor(k=5) @ n=20 T=4"
    tight = run(spec, seeds="0:4", output=tmp_path, budget="real=7")
    assert tight.failed
    assert not run(spec, seeds="0:4", output=tmp_path).failed
