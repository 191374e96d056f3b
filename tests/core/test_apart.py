"""One chain by itself is compared with the same chain among the others."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from collapse_bench import Mitigation, offer
from collapse_bench.core.apart import Apart
from collapse_bench.core.loop import generations
from collapse_bench.core.progress import listening
from collapse_bench.errors import ContractError
from collapse_bench.registry import discovery

SPEC = "gaussian | gaussian-fit | replace | company @ n=8 T=2"


@dataclass(frozen=True)
class Company(Mitigation):
    """Cannot be by itself."""

    def curate(self, corpus, access):
        if corpus.chain_shape == (1,):
            raise ValueError("lonely " * 100_000)
        return corpus


@dataclass(frozen=True)
class UntilConverged(Mitigation):
    """Fits a chain k times, for k = 1, 2, ... by its seed; either all chains until the slowest has
    converged, or each only as often as it needs."""

    all_chains: bool = True

    def adapt(self, model, access):
        rows, needed = access.synthetic(9), needed_by(access.rng)
        for k in range(int(needed.max())):
            if self.all_chains:
                access.provenance(rows)
                access.fit(model, rows)
                continue
            for r in (needed > k).nonzero().flatten().tolist():
                access.fit(model, rows[r], rng=access.rng[r])
        return model


def needed_by(rng) -> torch.Tensor:
    """1 .. 6 from a draw of each chain, the same whatever the other chains."""
    return (6 * rng.at("needed").uniform(1)[:, 0]).long() + 1


@dataclass(frozen=True)
class OnlyByItself(Mitigation):
    """Does its work where a chain runs by itself, and has the result from there among others."""

    what: str = "fits"

    def adapt(self, model, access):
        rows = access.synthetic(9)
        if access.rng.chain_shape == (1,):
            if self.what == "lookups":
                access.provenance(rows)
            else:
                for _ in range(5):
                    access.fit(model, rows)
        return model


@pytest.fixture(autouse=True)
def _offered(monkeypatch):
    monkeypatch.setattr(discovery, "_REGISTRY", None)
    offer("company", Company)
    offer("until-converged", UntilConverged)
    offer("only-by-itself", OnlyByItself)


def cell(method="company", seeds=(0, 1)):
    return discovery.registry().cell(SPEC.replace("company", method), seeds=seeds)


def test_what_one_chain_raises_is_a_bounded_sentence_about_this_code(monkeypatch):
    apart = Apart(cell())
    later = [*generations(cell())][1]
    with pytest.raises(ContractError, match="by itself ends in generation") as caught:
        apart.compare(later)
    assert "ValueError: lonely" in str(caught.value)
    assert len(str(caught.value)) < 2000
    (remark,) = Apart(cell()).remarks
    assert "its chains then ran in smaller groups" in remark
    monkeypatch.setattr(Company, "file_digests", {"test_apart": "another"})
    assert Apart(cell()).remarks == []


def test_one_chain_gives_signs_of_progress():
    heard = []
    with listening(heard.append):
        Apart(cell())
    assert [(step.work, step.done, step.total) for step in heard] == [("generation", 1, 3)]


@pytest.mark.parametrize("method", ["until-converged", "until-converged(all_chains=false)"])
def test_a_method_that_goes_on_until_all_chains_converge_is_not_accused(method):
    """The chain that runs by itself is charged less than among the others, or more."""
    differs = set()
    for first in range(4):  # another chain runs by itself
        tried = cell(method, tuple(range(first, first + 4)))
        apart = Apart(tried)
        *_, last = generations(tried)
        apart.compare(last)
        used = apart._by_itself[-1][1].by_methods("fits")
        differs.add(used - last.ledger.by_methods("fits"))
    assert differs - {0}


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("fits", "has used 10 fits by generation 2, and 0 together with 1 others"),
        ("lookups", "has used 18 provenance look-ups by generation 2, and 0"),
    ],
)
def test_what_a_chain_used_by_itself_is_missed_among_the_others(what, sentence):
    tried = cell(f"only-by-itself(what={what})")
    apart = Apart(tried)
    *_, last = generations(tried)
    with pytest.raises(ContractError, match=sentence):
        apart.compare(last)
