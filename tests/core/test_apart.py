"""One chain by itself is compared with the same chain among the others."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

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


@pytest.fixture(autouse=True)
def _offered(monkeypatch):
    monkeypatch.setattr(discovery, "_REGISTRY", None)
    offer("company", Company)


def cell():
    return discovery.registry().cell(SPEC, seeds=(0, 1))


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
