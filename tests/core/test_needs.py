"""What a method cannot do, and what it chooses not to do."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from collapse_bench import Incompatible, Lacks, Mitigation, UsageError
from collapse_bench.api import cell_of
from collapse_bench.core.components import Teacher
from collapse_bench.core.needs import NEEDS
from collapse_bench.errors import Lacking
from collapse_bench.registry.discovery import registry
from collapse_bench.running.chains import run_chains

WORLD = "gaussian | gaussian-fit | replace @ n=20 T=2"


@dataclass(frozen=True)
class Chooses(Mitigation):
    def incompatibility(self, cell):
        return "chooses would rather not"


@dataclass(frozen=True)
class Needs(Mitigation):
    needs = ("rows", "real rows")


@dataclass(frozen=True)
class Redraws(Mitigation):
    def curate(self, corpus, access):
        access.teacher.redraw(corpus.x, corpus.y, corpus.y > 0, access.rng)
        return corpus


ASKS = '''"""Methods that ask for what some parts of the suite lack."""
from dataclasses import dataclass
from collapse_bench import Mitigation, hookimpl

@dataclass(frozen=True)
class Blends(Mitigation):
    def steer(self, teacher, access):
        return teacher.blend(access.first, 0.5)

@dataclass(frozen=True)
class Weighs(Mitigation):
    def curate(self, corpus, access):
        access.teacher.logp(corpus.x, corpus.y)
        return corpus

@dataclass(frozen=True)
class Trains(Mitigation):
    def adapt(self, model, access):
        return model.with_loss(lambda logits, targets, weight: logits.sum())

@hookimpl
def collapse_mitigations():
    return {"asks-blend": Blends, "asks-logp": Weighs, "asks-loss": Trains}
'''


@pytest.fixture(scope="module")
def asks(tmp_path_factory):
    file = tmp_path_factory.mktemp("asks") / "asks.py"
    file.write_text(ASKS)
    registry((str(file),))


def reason(act, world: str = WORLD):
    return replace(cell_of(world), mitigations=(act,)).incompatibility()


def test_kinds_and_needs_are_no_choice_and_a_sentence_is():
    assert type(reason(Chooses())) is str
    assert isinstance(reason(Needs()), Lacks)
    assert "replace provides none" in reason(Needs())
    assert reason(Needs(), WORLD.replace("replace", "mix")) is None
    exact = WORLD.replace("gaussian |", "gaussian(sampler=exact-law) |")
    assert "draws only their sums" in reason(Needs(), exact)
    assert isinstance(cell_of("gaussian | counts | replace @ n=20 T=2").incompatibility(), Lacks)


def test_a_need_without_a_name_is_refused_with_a_sentence():
    typo = type("Typo", (Mitigation,), {"needs": ("verfiy",), "name": "typo"})
    with pytest.raises(UsageError, match="typo needs 'verfiy', which is not known; known: rows"):
        typo().incompatibility(cell_of(WORLD))


def test_every_need_has_a_cell_that_meets_it_and_a_sentence():
    assert set(NEEDS) == {"rows", "real rows", "verify", "within", "with_loss", "with_validation"}
    for name in NEEDS:
        act = type("One", (Mitigation,), {"needs": (name,), "name": "one"})()
        worlds = (
            WORLD.replace("replace", "mix"),
            WORLD.replace("gaussian |", "gaussian(sampler=exact-law) |"),
            "zipf | counts | replace @ n=20 T=2",
            "linear | ridge | mix @ n=20 T=2",
        )
        found = [reason(act, world) for world in worlds]
        assert None in found, name
        assert any(isinstance(why, Lacks) and why.startswith("one needs") for why in found), name


def test_a_method_that_a_part_of_the_suite_lacks_is_no_choice():
    facts = run_chains(replace(cell_of(WORLD), mitigations=(Redraws(),)), [0, 1]).facts
    assert set(facts.status) == {"skipped"}
    assert "redraw" in facts.reason[0]
    assert facts.declined is None
    chosen = run_chains(replace(cell_of(WORLD), mitigations=(Chooses(),)), [0, 1]).facts
    assert chosen.declined == (True, True)
    assert chosen.only([1]).declined == (True,)
    assert type(chosen).from_json(chosen.to_json()) == chosen
    assert "declined" not in facts.to_json()


@pytest.mark.parametrize(
    "spec",
    [
        "digits | random-features(width=20) | replace | asks-blend @ n=20 T=1",
        "gaussian | kde(h=0) | replace | asks-logp @ n=20 T=1",
        "zipf | counts | replace | asks-loss @ n=20 T=1",
        "zipf | softmax-regression(lam=0.1) | replace | asks-loss @ n=20 T=1",
        "gaussian(d=2) | ddpm | replace | asks-loss @ n=20 T=1",
    ],
)
@pytest.mark.usefixtures("asks")
def test_what_a_part_of_the_suite_lacks_by_its_parameters_is_no_choice_either(spec):
    facts = run_chains(cell_of(spec), [0, 1]).facts
    assert set(facts.status) == {"skipped"}, facts.reason
    assert facts.declined is None, facts.reason


def test_the_error_of_a_missing_method_names_its_owner():
    with pytest.raises(Incompatible, match="cannot redraw") as caught:
        Teacher().redraw(None, None, None, None)
    assert isinstance(caught.value, Lacking)
    assert caught.value.owner is Teacher
