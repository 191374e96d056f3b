"""Generation 0 is knowledge: who reads it is charged, and is on a track of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from collapse_bench import Mitigation
from collapse_bench.api import cell_of
from collapse_bench.core.loop import generations

WORLD = "gaussian | gaussian-fit | replace @ n=20 T=4"


@dataclass(frozen=True)
class Hoards(Mitigation):
    """Keeps generation 0's model in its memory, from the generation in which it teaches."""

    def curate(self, corpus, access):
        if access.t == 1:
            access.memory = {"kept": [access.teacher]}
        elif access.memory is not None:
            access.memory["kept"]
        return corpus


@dataclass(frozen=True)
class KeepsTheLast(Mitigation):
    def curate(self, corpus, access):
        if access.t > 2:
            access.memory  # noqa: B018
        if access.t > 1:
            access.memory = access.teacher
        return corpus


def ledger(cell):
    *_, last = generations(cell)
    return last.ledger


@pytest.mark.parametrize("act", ["weight-averaging", "anchor", "anchor(beta=4)"])
def test_reading_the_first_teacher_is_charged_and_sets_the_track(act):
    used = ledger(cell_of(WORLD.replace(" @", f" | {act} @")))
    assert used.total("first_reads") > 0
    assert used.track() == "first"


def test_who_does_not_read_it_is_blind():
    assert ledger(cell_of(WORLD)).track() == "blind"
    assert ledger(cell_of(WORLD.replace(" @", " | noise-augmentation @"))).track() == "blind"


def test_a_memory_that_holds_it_is_charged_when_read():
    hoard = ledger(replace(cell_of(WORLD), mitigations=(Hoards(),)))
    assert hoard.total("first_reads") == 3  # generations 2, 3 and 4
    assert hoard.track() == "first"
    assert ledger(replace(cell_of(WORLD), mitigations=(KeepsTheLast(),))).track() == "blind"
