"""What a method used is charged to it, and what went wrong is counted against it: ways to look better than one is."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from collapse_bench import Incompatible, Mitigation, UsageError, cell_of, generations, run
from collapse_bench.api import offer, results
from collapse_bench.registry import discovery as registry
from collapse_bench.running.chains import run_chains

SEEDS = list(range(6))


def facts(text, act):
    return run_chains(replace(cell_of(text), mitigations=(act,)), SEEDS).facts


@pytest.mark.parametrize(
    ("protocol", "track", "per_generation"),
    [
        ("mix(real=0.5)", "real", {"real_rows": 15}),
        ("verify-filter", "verifier", {"verifier_calls": 60}),
    ],
)
def test_rows_drawn_because_a_method_asked_for_more_are_charged_to_it(
    protocol, track, per_generation
):
    @dataclass(frozen=True)
    class More(Mitigation):
        def size(self, n, t):
            return 2 * n

    told = facts(f"linear(d=3) | ridge | {protocol} @ n=30 T=4", More())
    assert told.track == track
    for substance, amount in per_generation.items():
        assert told.ledger[f"{substance}_by_methods"] == (4 * amount,) * len(SEEDS)
    plain = facts(f"linear(d=3) | ridge | {protocol} @ n=30 T=4", Mitigation())
    assert plain.track == "blind"


def test_provenance_is_hidden_on_the_parts_too():
    @dataclass(frozen=True)
    class Peek(Mitigation):
        def curate(self, corpus, access):
            return corpus.reweighted(corpus.parts[0].weight)

    with pytest.raises(Incompatible, match=r"ask access\.provenance"):
        list(
            generations(
                replace(
                    cell_of("gaussian | gaussian-fit | accumulate @ n=9 T=1"), mitigations=(Peek(),)
                )
            )
        )


@pytest.mark.parametrize(("at", "status"), [(1, "skipped"), (2, "failed"), (4, "failed")])
def test_refusing_late_is_failing(at, status):
    @dataclass(frozen=True)
    class Quit(Mitigation):
        def curate(self, corpus, access):
            if access.t == at:
                raise Incompatible("not today")
            return corpus

    told = facts("gaussian | gaussian-fit @ n=20 T=4", Quit())
    assert set(told.status) == {status}


def test_a_method_that_remembers_is_told_what_is_synthetic_and_pays_for_it():
    """It is handed what the teacher wrote and nothing else: in a mix that is knowing which rows are real."""

    @dataclass(frozen=True)
    class Keep(Mitigation):
        applies_to_memory = True

        def curate(self, corpus, access):
            return corpus

    assert facts("gaussian | gaussian-fit | mix(real=0.5) @ n=20 T=2", Keep()).track == "provenance"


KEPT = {}


@dataclass(frozen=True)
class Stale(Mitigation):
    """Draws past the ledger of its generation, from the access of the last one."""

    def curate(self, corpus, access):
        old = KEPT.get("taps", access)
        KEPT["taps"] = access
        return corpus + old.real(5)


@dataclass(frozen=True)
class Unhide(Mitigation):
    def curate(self, corpus, access):
        return corpus.weighted(replace(corpus, hidden=False).origin == 0)


@dataclass(frozen=True)
class AsProtocol(Mitigation):
    def curate(self, corpus, access):
        return corpus + access.by("protocol").real(5)


@dataclass(frozen=True)
class Erase(Mitigation):
    def curate(self, corpus, access):
        more = access.real(5)
        access.ledger.counts.clear()
        return corpus + more


@pytest.mark.parametrize(
    ("act", "words"),
    [(Stale(), "after its end"), (Unhide(), "hidden"), (AsProtocol(), "by"), (Erase(), None)],
)
def test_public_names_lead_to_no_data_past_the_ledger(act, words):
    KEPT.clear()
    told = facts("gaussian | gaussian-fit | accumulate @ n=20 T=3", act)
    if words is None:  # a copy was wiped
        assert told.track == "real"
        assert told.ledger["real_rows_by_methods"] == (15,) * len(SEEDS)
    else:
        assert set(told.status) == {"failed"}
        assert words in told.reason[0]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"size": lambda self, n, t: -5}, "size returned -5; expected a whole number of rows >= 1"),
        ({"curate": lambda self, c, access: c + access.real(-1)}, "whole number >= 0, got -1"),
        (
            {"curate": lambda self, c, access: c + access.real(10**12)},
            "Broken asked for 1000000000000 rows in 6 chain(s)",
        ),
        (
            {"curate": lambda self, c, access: c + access.real(10**9)},
            "Broken asked for 1000000000 rows in 6 chain(s), which take 44.7 GiB; at most 4 GiB are drawn at once",
        ),
        (
            {"curate": lambda self, c, access: access.teacher},
            "Broken.curate returned GaussianTeacher; it must return a Corpus",
        ),
        (
            {"curate": lambda self, c, access: c.reweighted(c.weight * float("nan"))},
            "finite and >= 0",
        ),
        (
            {"steer": lambda self, t, access: t.blend(t, float("nan"))},
            "w2 is NaN after generation 4",
        ),
    ],
    ids=[
        "size",
        "rows",
        "more than fit a memory",
        "more than may be drawn",
        "another noun",
        "factor",
        "NaN",
    ],
)
def test_broken_promises_are_failures_and_no_refusals(body, words):
    act = dataclass(frozen=True)(type("Broken", (Mitigation,), body))()
    told = facts("gaussian | gaussian-fit @ n=20 T=4", act)
    assert set(told.status) == {"failed"}
    assert words in told.reason[0]


def test_an_error_names_the_line_of_the_method():
    @dataclass(frozen=True)
    class Careless(Mitigation):
        def curate(self, corpus, access):
            return corpus.weighted(torch.linalg.inv(torch.zeros(2, 2)))

    told = facts("gaussian | gaussian-fit @ n=20 T=4", Careless())
    line = Careless.curate.__code__.co_firstlineno + 1
    assert told.reason[0].endswith(f"(test_honesty.py, line {line})")


def test_no_more_real_rows_than_there_are():
    @dataclass(frozen=True)
    class Greedy(Mitigation):
        def curate(self, corpus, access):
            return corpus + access.real(10_000)

    told = facts("digits | averaging @ n=20 T=2", Greedy())
    assert set(told.status) == {"failed"}
    assert (
        "Greedy asked for 10000 real rows at once, and digits has only 1255 different ones"
        in told.reason[0]
    )


def test_a_method_that_leaves_nothing_is_named():
    @dataclass(frozen=True)
    class Zero(Mitigation):
        def curate(self, corpus, access):
            return corpus.weighted(0 * corpus.weight)

    told = facts("gaussian | gaussian-fit @ n=20 T=2", Zero())
    assert set(told.status) == {"starved"}
    assert "Zero left no row any weight" in told.reason[0]


def test_a_method_does_not_choose_its_chains(tmp_path, monkeypatch):
    """One that refuses some chains has failed them, in whatever groups they run; one that refuses all is skipped."""
    monkeypatch.setattr(registry, "_REGISTRY", None)

    @dataclass(frozen=True)
    class Picky(Mitigation):
        most: float = 0.0

        def curate(self, corpus, access):
            if (corpus.y.mean((-1, -2)) > self.most).any():
                raise Incompatible("these do not suit me")
            return corpus

    offer("picky", Picky)
    spec = "gaussian(truth_is=fixed) | gaussian-fit | replace | picky(most={most}) @ n=20 T=1"
    for memory in (1, 2**29):
        out = run(
            spec.format(most=0.0), seeds="0:12", output=tmp_path / f"some{memory}", memory=memory
        )
        status = out.board().losses.query("entry.str.startswith('picky')").status
        assert set(status) == {"done", "failed"}
    out = run(spec.format(most=-99.0), seeds="0:12", output=tmp_path / "none")
    assert set(out.board().losses.query("entry.str.startswith('picky')").status) == {"skipped"}


@pytest.mark.parametrize("says", ["1 / 0", "True", "''"])
def test_what_fits_may_say(says):
    act = dataclass(frozen=True)(
        type("Odd", (Mitigation,), {"incompatibility": lambda self, cell: eval(says)})
    )()
    with pytest.raises(
        UsageError,
        match=r"Odd\.incompatibility (raised ZeroDivisionError|returned .*expected None, or a sentence)",
    ):
        replace(cell_of("gaussian | gaussian-fit"), mitigations=(act,)).incompatibility()


def test_an_offered_class_that_was_edited_makes_its_records_stale(tmp_path, monkeypatch):
    text = (
        "from dataclasses import dataclass\nfrom collapse_bench import Mitigation\n\n\n"
        "@dataclass(frozen=True)\nclass Mine(Mitigation):\n    def curate(self, corpus, access):\n"
        "        return corpus + access.real({k})\n"
    )
    verdicts = []

    def go(k, named="script"):
        monkeypatch.setattr(registry, "_REGISTRY", None)
        path = tmp_path / f"{named}.py"
        path.write_text(text.format(k=k))
        space = {"__name__": named, "__file__": str(path)}
        monkeypatch.setitem(sys.modules, named, SimpleNamespace(**space))
        exec(compile(path.read_text(), path, "exec"), space)
        offer("mine", space["Mine"])
        spec = "gaussian | gaussian-fit | replace | mine @ n=20 T=3"
        steps = run(spec, seeds="0:5", output=tmp_path / "out").steps
        verdicts.append({step.entry.name: step.verdict for step in steps}["mine"])

    for k in (1, 1, 50):
        go(k)
    assert verdicts == ["run", "reuse", "stale"]


def test_a_generation_that_failed_is_charged():
    @dataclass(frozen=True)
    class Crash(Mitigation):
        def curate(self, corpus, access):
            access.real(1000)
            raise RuntimeError("on purpose")

    told = facts("gaussian | gaussian-fit @ n=20 T=4", Crash())
    assert told.track == "real"
    assert told.ledger["real_rows_by_methods"] == (1000,) * len(SEEDS)
    assert set(told.status) == {"failed"}


def test_fixed_rows_take_no_questions_of_the_callers():
    @dataclass(frozen=True)
    class Ask(Mitigation):
        def curate(self, corpus, access):
            return corpus + access.real(x=corpus.x, fixed=True)

    assert "fixed" in facts("linear(d=3) | ols @ n=20 T=1", Ask()).reason[0]


def test_the_real_rows_of_the_same_loss_are_not_read_beyond_the_curve(tmp_path):
    """Sixteen times n is measured; a method that draws more has the end of the curve."""
    found = {}
    for k in (10, 1000):
        spec = f"linear(d=5) | ridge | accumulate | real-anchor(k={k}) @ n=20 T=10"
        board = run(spec, seeds="0:12", output=tmp_path / str(k)).board()
        found[k] = board.usage.effective_real[f"real-anchor(k={k})"]
    assert 0 < found[10] < found[1000] == pytest.approx(16)


def test_a_board_without_calibration_names_those_that_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", None)  # what is offered here is not for other tests

    @dataclass(frozen=True)
    class Fall(Mitigation):
        def curate(self, corpus, access):
            raise RuntimeError("down")

    offer("fall", Fall)
    run("gaussian | gaussian-fit | replace | fall @ n=20 T=3", seeds="0:5", output=tmp_path)
    frame = results(tmp_path).board().frame().set_index("entry")
    assert frame.loc["fall", "status"] == "5 failed"
    assert np.isnan(frame.loc["fall", "loss"])
    assert frame.loc["none", "status"] == "done"


def test_frozen_is_judged_at_generation_0_whatever_becomes_of_none(tmp_path):
    out = run(
        "linear(d=3) | ridge | verify-filter(oversample=1, phi=0.02) @ n=20 T=5",
        seeds="0:8",
        output=tmp_path,
    )
    losses = out.board().losses
    assert (losses[losses.entry == "none"].status == "starved").any()
    frozen = losses[losses.entry == "frozen"]
    assert (frozen.status == "done").all()
    assert frozen.loss.notna().all()


def test_an_edited_plugin_file_makes_its_records_stale_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", None)
    path = tmp_path / "mine.py"
    text = (
        "from dataclasses import dataclass\nfrom collapse_bench import Mitigation, hookimpl\n\n\n"
        "@dataclass(frozen=True)\nclass Mine(Mitigation):\n    def curate(self, corpus, access):\n"
        "        return corpus + access.real({k})\n\n\n"
        "@hookimpl\ndef collapse_mitigations():\n    return {{'mine': Mine}}\n"
    )
    verdicts = []

    def go(k):
        path.write_text(text.format(k=k))
        monkeypatch.setattr(registry, "_REGISTRY", None)
        out = run(
            "gaussian | gaussian-fit | replace | mine @ n=20 T=3",
            seeds="0:5",
            output=tmp_path / "out",
            plugins=[path],
        )
        verdicts.append(
            {
                step.entry.name: (step.verdict, step.why)
                for step in out.steps
                if step.entry.role != "curve"
            }
        )
        return out.board().frame().set_index("entry").loss["mine"]

    first, again, edited = go(1), go(1), go(50)
    assert first == again != edited
    assert {verdict for verdict, _ in verdicts[1].values()} == {"reuse"}
    assert verdicts[2]["mine"] == ("stale", "mine.py (code of mitigation mine) has changed since")
    assert verdicts[2]["none"][0] == "reuse"
