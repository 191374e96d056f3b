"""The conformance kit itself: every check can fail, and blames whom it should."""

from __future__ import annotations

import json
import math
import random
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from forked import call

from collapse_bench.checks import CHECKS, Outcome, checks_of, outcomes, parametrize, subject_of
from collapse_bench.checks.world import variants
from collapse_bench.core.components import Mitigation, Model, Protocol, Teacher
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.identity import written
from collapse_bench.core.params import param
from collapse_bench.errors import PluginError, UsageError
from collapse_bench.lib.distributions.gaussians import GaussianTeacher
from collapse_bench.plugins.generators.gaussian import Gaussian
from collapse_bench.plugins.generators.linear import Linear
from collapse_bench.plugins.models.counts import Counts
from collapse_bench.plugins.models.gaussian_fit import GaussianFit
from collapse_bench.plugins.models.ridge import Ridge
from collapse_bench.registry.discovery import Registry


@dataclass(frozen=True)
class NoReplicates(Gaussian):
    def ask(self, n, rng):
        return torch.empty(n, 0)


@dataclass(frozen=True)
class AnswersShort(Gaussian):
    def answer(self, x, rng):
        return super().answer(x, rng)[..., :1, :]


@dataclass(frozen=True)
class MeanOfAll(Gaussian):
    def losses(self, teacher, rng):
        return {"w2": super().losses(teacher, rng)["w2"].mean()}


@dataclass(frozen=True)
class NoPrimary(Gaussian):
    primary = "loss"


@dataclass(frozen=True)
class Negative(Gaussian):
    def losses(self, teacher, rng):
        return {"w2": super().losses(teacher, rng)["w2"] - 1e-3}


@dataclass(frozen=True)
class FloorReadsTruth(Gaussian):
    def trivial(self):
        return self.truth.teacher


@dataclass(frozen=True)
class FloorWithoutEnd(Gaussian):
    def trivial(self):
        teacher = super().trivial()
        return replace(teacher, mean=teacher.mean + math.inf)


@dataclass(frozen=True)
class FloorBelowTruth(Gaussian):
    def losses(self, teacher, rng):
        loss = super().losses(teacher, rng)["w2"]
        return {"w2": loss + 100 if teacher is self else loss}


@dataclass(frozen=True)
class RowsLast(Gaussian):
    def answer(self, x, rng):
        return rng.normal(self.d, x.shape[-2]).mT.double()


@dataclass(frozen=True)
class CentredOverSeeds(Gaussian):
    def answer(self, x, rng):
        y = super().answer(x, rng)
        return y - y.mean()


@dataclass(frozen=True)
class GlobalNoise(Gaussian):
    def observe(self, y, rng):
        return y + torch.randn(y.shape)


@dataclass(frozen=True)
class MovesInSecret(Gaussian):
    def at(self, t):
        return self if t == 0 else self.following(t)


@dataclass(frozen=True)
class NotItself(Gaussian):
    def at(self, t):
        return self.with_truth(**vars(self.truth))


@dataclass(frozen=True)
class SaysThatItMoves(Gaussian):
    moves = True
    distribution = None

    def at(self, t):
        return self


@dataclass(frozen=True)
class MovesUnderStillLaws(Gaussian):
    moves = True
    distribution = "gaussian"


@dataclass(frozen=True)
class MovesAtEveryCall(Gaussian):
    moves = True
    distribution = None

    def at(self, t):
        rng = self.truth.drift_rng
        step = GaussianTeacher(rng.normal(self.d).double(), self.truth.teacher.factor)
        return self if t == 0 else self.with_truth(**{**vars(self.truth), "teacher": step})


@dataclass(frozen=True)
class MovesTogether(Gaussian):
    moves = True
    distribution = None

    def following(self, t):
        step = self.truth.drift_rng.at(t).normal(self.d).double()
        mean = self.truth.teacher.mean + (step if step.ndim == 1 else step.mean(0))
        return self.with_changed(teacher=GaussianTeacher(mean, self.truth.teacher.factor))


@dataclass(frozen=True)
class OneTruth(Gaussian):
    def sample_truth(self, rng, nature=None):
        return self.with_truth(
            teacher=GaussianTeacher(
                torch.zeros(*rng.chain_shape, 2).double(), torch.eye(2).double()
            )
        )

    def losses(self, teacher, rng):
        return {"w2": (teacher.mean_and_factor()[0] ** 2).sum(-1)}


@dataclass(frozen=True)
class Upside(Gaussian):
    resolution = 0.0

    def losses(self, teacher, rng):
        return {"w2": 10 - super().losses(teacher, rng)["w2"]}


@dataclass(frozen=True)
class TruthEaten(Gaussian):
    def answer(self, x, rng):
        self.truth.teacher.mean.add_(1)
        return super().answer(x, rng)

    def sample_truth(self, rng, nature=None):
        twin = super().sample_truth(rng)
        twin.truth.mean = twin.truth.teacher.mean
        return twin


@dataclass(frozen=True)
class OtherSize(Gaussian):
    def sample_sufficient(self, n, rng):
        return super().sample_sufficient(n - 1, rng)


@dataclass(frozen=True)
class OtherLaw(Gaussian):
    def sample_sufficient(self, n, rng):
        mean, factor = self.mean_and_factor()
        return GaussianTeacher(mean, 1.5 * factor).sample_sufficient(n, rng)


@dataclass(frozen=True)
class WavesThrough(Linear):
    def verify(self, x, y):
        return torch.ones_like(y, dtype=torch.bool)


@dataclass(frozen=True)
class LeakyPool(Linear):
    pool_size = 7

    def identity(self, x, y):
        return torch.arange(x.shape[-2]).expand(x.shape[:-1])


@dataclass(frozen=True)
class Describes(Gaussian):
    def diagnostics(self, teacher):
        return {"mean": teacher.mean_and_factor()[0]}


@dataclass(frozen=True)
class OddField(Gaussian):
    table: dict = field(default_factory=dict)
    kinds = "density"


@dataclass(frozen=True)
class Blind(GaussianFit):
    """Reads rows as if each counted once."""

    def fit(self, corpus, rng, before=None):
        y = corpus.y.double()
        centred = y - y.mean(-2, keepdim=True)
        factor = torch.linalg.cholesky(centred.mT @ centred / (corpus.n - 1))
        return GaussianTeacher(y.mean(-2), factor)


@dataclass(frozen=True)
class CountBlind(GaussianFit):
    def fit(self, corpus, rng, before=None):
        return super().fit(
            Corpus.of(corpus.x, corpus.y, corpus.chain_shape, weight=corpus.weight), rng
        )


@dataclass(frozen=True)
class SizeBlind(GaussianFit):
    """Divides by the number of rows, those of weight zero included."""

    def fit(self, corpus, rng, before=None):
        teacher = super().fit(corpus, rng)
        return GaussianTeacher(
            teacher.mean,
            teacher.factor * (corpus.moments().weight / corpus.n).sqrt()[..., None, None],
        )


@dataclass(frozen=True)
class MixesReplicates(GaussianFit):
    def fit(self, corpus, rng, before=None):
        teacher = super().fit(corpus, rng)
        return GaussianTeacher(
            teacher.mean + 0 * teacher.mean + teacher.mean.mean(), teacher.factor
        )


@dataclass(frozen=True)
class Eats(GaussianFit):
    def fit(self, corpus, rng, before=None):
        corpus._parts[0].y.mul_(1)
        return super().fit(corpus, rng)


@dataclass(frozen=True)
class EatsItsRows(Model):
    """Written for one run, and writes over what it is shown."""

    kinds = ("density",)

    def fit(self, corpus, rng, before=None):
        corpus.y.mul_(0.5)
        return GaussianFit().fit(
            Corpus.of(corpus.x, corpus.y, (), corpus.weight, corpus.count), rng
        )


@dataclass(frozen=True)
class EatsBefore(GaussianFit):
    def fit(self, corpus, rng, before=None):
        if before is not None:
            before.mean.add_(1)
        return super().fit(corpus, rng)


@dataclass(frozen=True)
class GlobalSeed(Model):
    """Written for one run, and noisy by a generator that is not its own."""

    kinds = ("density",)

    def fit(self, corpus, rng, before=None):
        teacher = GaussianFit().fit(corpus, rng)
        return GaussianTeacher(teacher.mean + torch.randn(teacher.mean.shape), teacher.factor)


@dataclass(frozen=True)
class FlatDensity(GaussianFit):
    def fit(self, corpus, rng, before=None):
        return _Flat(*super().fit(corpus, rng).mean_and_factor())


class _Flat(GaussianTeacher):
    def logp(self, x, y):
        return super().logp(x, y)[..., 0]


@dataclass(frozen=True)
class Forgets(Mitigation):
    def curate(self, corpus, access):
        corpus.reweighted(torch.ones(()))


@dataclass(frozen=True)
class Misspelt(Mitigation):
    def cuarte(self, corpus, access):
        return corpus


@dataclass(frozen=True)
class Idle(Mitigation):
    """Does nothing and is no control."""


@dataclass(frozen=True)
class FitsFalse(Mitigation):
    def incompatibility(self, cell):
        return False

    def size(self, n, t):
        return n


@dataclass(frozen=True)
class FitsOrNot(GaussianFit):
    def incompatibility(self, cell):
        return cell.data.kind == "density"


@dataclass(frozen=True)
class FitsNameless(Gaussian):
    def incompatibility(self, cell):
        return "" if cell.model.title() == "kde" else None


@dataclass(frozen=True)
class HalfRow(Mitigation):
    def size(self, n, t):
        return n / 2


@dataclass(frozen=True)
class EatsTrainingSet(Mitigation):
    def curate(self, corpus, access):
        corpus._parts[0].y.mul_(2)
        return corpus


@dataclass(frozen=True)
class QuantileOverSeeds(Mitigation):
    def curate(self, corpus, access):
        far = (
            corpus.y.flatten(len(corpus.chain_shape) + 1).abs().double().amax(-1)
            if corpus.y.ndim > len(corpus.chain_shape) + 1
            else corpus.y.abs()
        )
        return corpus.reweighted((far <= far.double().mean()).double())


@dataclass(frozen=True, eq=False)
class _Other(Teacher):
    """Answers otherwise than it states."""

    stated: Teacher
    taught: Callable

    def answer(self, x, rng):
        return self.taught(self.stated.answer(x, rng))

    def mean_and_factor(self):
        return self.stated.mean_and_factor()

    def mean_answer(self, x):
        return self.stated.mean_answer(x)

    def logp(self, x, y):
        return self.stated.logp(x, y)


@dataclass(frozen=True)
class Shifted(GaussianFit):
    def fit(self, corpus, rng, before=None):
        return _Other(super().fit(corpus, rng), lambda y: y + 0.5)


@dataclass(frozen=True)
class Narrowed(GaussianFit):
    def fit(self, corpus, rng, before=None):
        teacher = super().fit(corpus, rng)
        mean = teacher.mean_and_factor()[0][..., None, :]
        return _Other(teacher, lambda y: mean + 0.8 * (y - mean))


@dataclass(frozen=True)
class Lifted(Ridge):
    def fit(self, corpus, rng, before=None):
        return _Other(super().fit(corpus, rng), lambda y: y + 0.1)


@dataclass(frozen=True)
class NextSymbol(Counts):
    def fit(self, corpus, rng, before=None):
        return _Other(super().fit(corpus, rng), lambda y: (y + 1) % corpus.labels)


@dataclass(frozen=True)
class TwoFaces(Mitigation):
    kinds = ("density",)

    def adapt(self, model, access):
        return model.with_after(lambda teacher, *_: _Other(teacher, lambda y: y + 0.5))


@dataclass(frozen=True)
class GlobalDice(Mitigation):
    def curate(self, corpus, access):
        return corpus.reweighted(torch.as_tensor(np.random.rand(corpus.n)))


@dataclass(frozen=True)
class SteersByTorch(Mitigation):
    kinds = ("density",)

    def steer(self, teacher, access):
        return teacher.decoded(temperature=0.5 + float(torch.rand(1)))


@dataclass(frozen=True)
class SteersByPython(Mitigation):
    kinds = ("density",)

    def steer(self, teacher, access):
        return teacher.decoded(temperature=0.5 + random.random())


@dataclass(frozen=True)
class SteersOnceByNumpy(Mitigation):
    """In generation 1 only."""

    kinds = ("density",)

    def steer(self, teacher, access):
        lucky = np.random.rand() if access.t == 1 else 0.5
        return teacher.decoded(temperature=0.5 + lucky)


@dataclass(frozen=True)
class AdaptsByTorch(Mitigation):
    kinds = ("density",)

    def adapt(self, model, access):
        shift = torch.randn(1, dtype=torch.float64)
        return model.with_after(lambda teacher, *_: _Other(teacher, lambda y: y + shift))


@dataclass(frozen=True)
class SizeByNumpy(Mitigation):
    kinds = ("density",)

    def size(self, n, t):
        return n + int(np.random.randint(100))


@dataclass(frozen=True)
class EatsTeacher(Mitigation):
    kinds = ("density",)

    def steer(self, teacher, access):
        teacher.factor.mul_(1.5)
        return teacher


@dataclass(frozen=True)
class TakesOthersNumbers(Mitigation):
    def curate(self, corpus, access):
        stranger = access._desk.access("Onlooker").rng
        stranger.uniform(3)
        return corpus


@dataclass(frozen=True)
class HalfTrainingSet(Protocol):
    def compose(self, access, memory):
        return access.synthetic(access.n // 2), None


@dataclass(frozen=True)
class CorpusAlone(Protocol):
    def compose(self, access, memory):
        return access.synthetic(access.n)


@dataclass(frozen=True)
class RemembersInItself(Protocol):
    kinds = ("density",)
    pool: list = field(default_factory=list)

    def compose(self, access, memory):
        fresh = access.synthetic(access.n)
        self.pool.append(access.t)
        return fresh.edited(y=fresh.y + len(self.pool)), None


@dataclass(frozen=True)
class EatsMemory(Protocol):
    def compose(self, access, memory):
        if memory is not None:
            memory.y.mul_(2)
        fresh = access.synthetic(access.n)
        return fresh, fresh


@dataclass(frozen=True)
class MixesChains(Protocol):
    def compose(self, access, memory):
        fresh = access.synthetic(access.n)
        return fresh.edited(y=fresh.y + fresh.y.double().mean().round().to(fresh.y.dtype)), None


@dataclass(frozen=True)
class ComposesByTorch(Protocol):
    kinds = ("density",)

    def compose(self, access, memory):
        fresh = access.synthetic(access.n)
        return fresh.reweighted(torch.rand(fresh.weight.shape, dtype=torch.float64)), None


@dataclass(frozen=True)
class Photocopier(Protocol):
    def compose(self, access, memory):
        fresh = access.synthetic(access.n // 2)
        return fresh + fresh, None


@dataclass(frozen=True)
class Bag(Linear):
    """Draws from nine rows again and again, and does not say so."""

    def ask(self, n, rng):
        rows = super().ask(9, rng.at("rows"))
        return rows.repeat_interleave(n // 9 + 1, dim=-2)[..., :n, :]

    def observe(self, y, rng):
        return y


@dataclass(frozen=True)
class OneColumn(Model):
    """Reads the first column only, and does not say that others are too many."""

    kinds = ("density",)

    def fit(self, corpus, rng, before=None):
        return GaussianFit().fit(corpus.edited(y=corpus.y.reshape(corpus.n, 1)), rng)


@dataclass(frozen=True)
class NoReturn(GaussianFit):
    def fit(self, corpus, rng, before=None):
        super().fit(corpus, rng)


@dataclass(frozen=True)
class Sneaks(Mitigation):
    """Replaces a stage that its class does not define."""

    def __post_init__(self):
        object.__setattr__(self, "curate", lambda corpus, access: corpus.reweighted(torch.ones(())))


@dataclass(frozen=True)
class KeepsGenerator(Mitigation):
    def curate(self, corpus, access):
        access.memory = (i for i in range(3))
        return corpus


@dataclass(frozen=True)
class KeepsInItself(Mitigation):
    kinds = ("density",)
    shifts: dict = field(default_factory=dict)

    def curate(self, corpus, access):
        shift = self.shifts.pop((access.t, corpus.chain_shape), 0.0)
        self.shifts[access.t + 1, corpus.chain_shape] = 1.0
        return corpus.edited(y=corpus.y + shift)


@dataclass(frozen=True)
class KeepsMeanOfChains(Mitigation):
    kinds = ("density",)

    def curate(self, corpus, access):
        shift = access.memory or 0.0
        access.memory = corpus.y.mean().item()
        return corpus.edited(y=corpus.y + shift)


@dataclass(frozen=True)
class Explodes(Mitigation):
    def curate(self, corpus, access):
        raise ZeroDivisionError("bang")


@dataclass(frozen=True)
class ReadsOthers(Mitigation):
    """Weighs rows by random numbers that are another user's."""

    def curate(self, corpus, access):
        return corpus.reweighted(access._desk.access("Onlooker").rng.uniform(corpus.n).double())


@dataclass(frozen=True)
class Shadows(Mitigation):
    size: int = 3


with pytest.warns(FutureWarning):

    @dataclass(frozen=True)
    class OldFashioned(Mitigation):
        def fits(self, cell):
            return None

        def size(self, n, t):
            return n


class Fussy:
    """A value whose copy is not its equal."""


@dataclass(frozen=True)
class Unpicklable(Mitigation):
    value: object = param(Fussy(), "anything")


#: one line for each check at least: role, a plugin that breaks the rule, the check, words of its sentence
BROKEN = [
    ("generator", NoReplicates, "answers-in-shape", "at least one more"),
    ("generator", AnswersShort, "answers-in-shape", "expected leading dimensions (40,)"),
    ("generator", MeanOfAll, "losses-in-shape", ".mean(-1)"),
    ("generator", NoPrimary, "losses-in-shape", "primary loss"),
    ("generator", Negative, "losses-in-shape", "must be >= 0"),
    ("generator", FloorReadsTruth, "trivial-has-read-nothing", "for another truth"),
    ("generator", FloorWithoutEnd, "trivial-has-read-nothing", "expected shape () and finite"),
    ("generator", FloorBelowTruth, "trivial-has-read-nothing", "lower w2 than the true"),
    ("generator", RowsLast, "prefix-stable", "rows first"),
    ("generator", CentredOverSeeds, "chains-independent", "draws other numbers by itself"),
    ("generator", GlobalNoise, "own-stream", "global random generator"),
    ("generator", MovesInSecret, "world-of-a-generation", "set moves = True"),
    ("generator", NotItself, "world-of-a-generation", "must return the generator itself"),
    ("generator", SaysThatItMoves, "world-of-a-generation", "the rows and the losses of"),
    ("generator", MovesUnderStillLaws, "world-of-a-generation", "declare None where it moves"),
    ("generator", MovesAtEveryCall, "world-of-a-generation", "must be a pure function"),
    ("generator", MovesTogether, "world-of-a-generation", "moves otherwise by itself"),
    ("generator", OneTruth, "truths-differ", "same truth for every seed"),
    ("generator", Upside, "truth-has-lowest-loss", "lower is better"),
    ("generator", TruthEaten, "inputs-untouched", "in place"),
    ("generator", OtherSize, "samplers-agree", "weigh [39.0]"),
    ("generator", OtherLaw, "samplers-agree", "standard errors"),
    ("generator", WavesThrough, "verifies-own-answers", "does it read x?"),
    ("generator", LeakyPool, "pool-declared", "outside [0, 7)"),
    ("generator", Bag, "pool-declared", "exact copies of others"),
    ("generator", Describes, "diagnostics-in-shape", "diagnostics returned mean"),
    ("generator", OddField, "plugin.is-read-as-written", "a tuple of one needs its comma"),
    ("generator", FitsNameless, "plugin.says-why-not", "returned '' for gaussian(d=2) | kde"),
    (
        "model",
        OneColumn,
        "fits-what-it-accepts",
        "state `kinds`, or return a sentence from incompat",
    ),
    ("model", NoReturn, "fits-what-it-accepts", "is a return missing?"),
    ("model", Blind, "weight-zero-is-absent", "weight 0"),
    ("model", Blind, "weight-two-is-twice", "row of weight 2"),
    ("model", CountBlind, "count-two-is-twice", "row of count 2"),
    ("model", SizeBlind, "weight-zero-is-absent", "never from corpus.n"),
    ("model", MixesReplicates, "vectorized-equals-loop", "must keep chains apart"),
    ("model", MixesReplicates, "chain-shapes-agree", "same run by itself"),
    ("model", Eats, "inputs-untouched", "in place"),
    ("model", EatsItsRows, "inputs-untouched", "EatsItsRows.fit changed y in place"),
    ("model", EatsBefore, "inputs-untouched", "`before`"),
    ("model", GlobalSeed, "fit-is-repeatable", "never torch.rand"),
    ("model", Shifted, "answers-as-it-states", "another mean"),
    ("model", Narrowed, "answers-as-it-states", "another variance"),
    ("model", Lifted, "answers-as-it-states", "mean_answer states other answers"),
    ("model", NextSymbol, "answers-as-it-states", "logp states another probability"),
    ("model", FlatDensity, "chain-shapes-agree", "[..., None]"),
    ("model", FitsOrNot, "plugin.says-why-not", "incompatibility returned False for bigram"),
    ("mitigation", FitsFalse, "plugin.says-why-not", "return None where the cell fits"),
    ("mitigation", OldFashioned, "plugin.uses-current-names", "fits is now called incompatibility"),
    ("mitigation", Shadows, "plugin.is-read-as-written", "hides Mitigation.size"),
    ("mitigation", Unpicklable, "plugin.is-read-as-written", "pickling"),
    (
        "mitigation",
        Misspelt,
        "acts",
        "defines cuarte, which is never called; did you mean 'curate'?",
    ),
    ("mitigation", Idle, "acts", "at least one of steer, curate, adapt, size"),
    ("mitigation", Forgets, "returns-what-it-was-given", "is a return missing?"),
    ("mitigation", HalfRow, "returns-what-it-was-given", "round it"),
    ("mitigation", Sneaks, "other-stages-pass-through", "does not define curate"),
    ("mitigation", EatsTrainingSet, "inputs-untouched", "in place"),
    ("mitigation", EatsTeacher, "inputs-untouched", "steer changed the teacher"),
    ("mitigation", QuantileOverSeeds, "chain-shapes-agree", "dim -1"),
    ("mitigation", TwoFaces, "answers-as-it-states", "judged by what it states"),
    ("mitigation", GlobalDice, "is-repeatable", "access.rng"),
    ("mitigation", SteersByTorch, "is-repeatable", "never torch.rand"),
    ("mitigation", SteersByPython, "is-repeatable", "never torch.rand"),
    ("mitigation", SteersOnceByNumpy, "is-repeatable", "generation 1"),
    ("mitigation", AdaptsByTorch, "is-repeatable", "never torch.rand"),
    ("mitigation", SizeByNumpy, "is-repeatable", "effective size"),
    ("mitigation", Explodes, "runs-in-the-loop", "ZeroDivisionError: bang (test_kit.py, line "),
    ("mitigation", KeepsGenerator, "resumes", "cannot be pickled"),
    ("mitigation", KeepsInItself, "resumes", "when a run is resumed"),
    ("mitigation", KeepsMeanOfChains, "memory-per-chain", "when a chain runs by itself"),
    ("mitigation", ReadsOthers, "ignores-others-draws", "idle mitigation next to it"),
    ("mitigation", TakesOthersNumbers, "leaves-others-draws", "shifts the random numbers"),
    ("protocol", HalfTrainingSet, "right-number-of-rows", "access.n rows in total"),
    ("protocol", CorpusAlone, "right-number-of-rows", "(corpus, memory)"),
    ("protocol", RemembersInItself, "memory-survives-pickling", "nothing in the protocol itself"),
    ("protocol", RemembersInItself, "runs-and-resumes", "resumed after generation 0"),
    ("protocol", EatsMemory, "outputs-stay-untouched", "in place"),
    ("protocol", MixesChains, "chain-shapes-agree", "keep chains apart"),
    ("protocol", ComposesByTorch, "is-repeatable", "never torch.rand"),
    ("protocol", Photocopier, "rows-on-ledger", "access.synthetic, and each is returned once"),
]
#: shown below with plugin files
BY_FILE = {"plugin.claims-known-laws", "plugin.predicts-every-cell"}


def full(role: str, id: str) -> str:
    return id if "." in id else f"{role}.{id}"


@pytest.mark.parametrize(
    ("role", "cls", "id", "words"), BROKEN, ids=lambda v: getattr(v, "__name__", None)
)
def test_kit_finds(role, cls, id, words):
    outcome = CHECKS[full(role, id)].run(subject_of(role, cls, thorough=cls is OneColumn))
    assert outcome.status == ("warned" if cls is OldFashioned else "failed")
    assert words in outcome.sentence


def test_every_check_is_seen_to_fail():
    assert {full(role, id) for role, _, id, _ in BROKEN} | BY_FILE == set(CHECKS)


def test_every_check_has_an_id_a_sentence_and_a_function_of_that_name():
    for id, check in CHECKS.items():
        role, _, name = id.partition(".")
        assert role == check.role
        assert check.function.__name__ == f"check_{role}_{name.replace('-', '_')}"
        assert check.sentence.endswith(".")
        assert ". " not in check.sentence.replace(" .. ", "")
        assert check in checks_of("model" if role == "plugin" else role)
    essential = {role for check in CHECKS.values() if check.essential for role in [check.role]}
    assert essential == {"plugin", "generator", "model", "protocol", "mitigation"}


def failed(role: str, thing, registry: Registry | None = None) -> list[str]:
    return [o.id for o in outcomes(role, thing, registry) if o.status == "failed"]


def test_a_model_that_changes_its_rows_fails_that_check_only():
    assert failed("model", EatsItsRows) == ["model.inputs-untouched"]


def test_a_model_that_accepts_too_much_fails_once_and_is_held_to_what_it_reads():
    """The other checks take data of the same kind that it learns from, here of one dimension."""
    found = {o.id: o for o in outcomes("model", OneColumn)}
    bad = [o for o in found.values() if o.status == "failed"]
    assert [o.id for o in bad] == ["model.fits-what-it-accepts"]
    assert re.search(
        r"on gaussian\(d=2\): .*\(test_kit.py, line \d+\); if OneColumn cannot", bad[0].sentence
    )
    assert found["model.weight-two-is-twice"].status == "passed"


@pytest.mark.parametrize(("role", "cls"), [("model", FitsOrNot), ("mitigation", FitsFalse)])
def test_an_answer_that_is_no_sentence_fails_that_check_only(role, cls):
    assert failed(role, cls) == ["plugin.says-why-not"]


# -- whose fault it is ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Broken(Model):
    """Learns nothing, and comes first among the models."""

    def fit(self, corpus, rng, before=None):
        raise RuntimeError("no learning today")


def with_broken_model() -> Registry:
    registry = Registry.discover()
    registry.offer("model", "broken", Broken)
    models = registry.classes["model"]
    registry.classes["model"] = {"broken": models["broken"], **models}
    return registry


@pytest.mark.parametrize(
    ("role", "name"), [("protocol", "replace"), ("mitigation", "distrust"), ("generator", "zipf")]
)
def test_a_broken_model_is_not_blamed_on_others(role, name):
    registry = with_broken_model()
    results = list(outcomes(role, registry.classes[role][name], registry, thorough=False))
    assert [o for o in results if o.status == "failed" or o.not_checked] == []


def test_where_all_partners_are_broken_essential_checks_are_not_checked():
    registry = with_broken_model()
    registry.classes["model"] = {"broken": registry.classes["model"]["broken"]}
    protocol = registry.classes["protocol"]["replace"]
    results = {o.id: o for o in outcomes("protocol", protocol, registry)}
    assert results["protocol.runs-and-resumes"].not_checked
    assert "broken fails by itself: RuntimeError" in results["protocol.runs-and-resumes"].sentence


def test_a_parameter_that_hides_a_method_is_refused_when_it_is_offered():
    with pytest.raises(
        PluginError, match=r"'hides' has a parameter 'size', which hides Mitigation.size"
    ):
        Registry.discover().offer("mitigation", "hides", Shadows)


# -- pytest ---------------------------------------------------------------------------------------------------------


TEST_FILE = """
from dataclasses import dataclass
from collapse_bench import Mitigation
from collapse_bench.checks import parametrize

@dataclass(frozen=True)
class Idle(Mitigation):
    pass

test_one_line = parametrize("distrust")
test_expected = parametrize(Idle, expected_failures={"mitigation.acts": "it is a stub"})
test_unexpected = parametrize("distrust", only=["mitigation.acts"], expected_failures={"mitigation.acts": "?"})
test_not_checked = parametrize("noisy-labels", only=["generator.own-stream"])
test_allowed = parametrize("noisy-labels", only=["generator.own-stream"], allow_skipped=True)
"""


def test_a_package_tests_its_plugins_in_one_line(tmp_path):
    (tmp_path / "test_mine.py").write_text(TEST_FILE)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rA",
        "--tb=line",
        "-p",
        "no:cacheprovider",
        ".",
    ]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (\w+)", ended.stdout.splitlines()[-1])}
    assert (counts["failed"], counts["skipped"], counts["xfailed"]) == (2, 1, 1), ended.stdout
    assert "[XPASS(strict)]" in ended.stdout
    assert "not checked, because noisy-labels needs data with labels" in ended.stdout


def test_pytest_is_imported_by_parametrize_only():
    code = "import sys, collapse_bench.checks; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("plugin", "more", "words"),
    [
        ("distrusst", {}, "did you mean 'distrust'?"),
        ("distrust", {"only": ["mitigation.act"]}, "did you mean 'mitigation.acts'?"),
        ("distrust", {"expected_failures": {"acts": "?"}}, "no check is called 'acts'"),
        (dict, {}, "is no plugin"),
    ],
)
def test_parametrize_refuses_what_it_does_not_know(plugin, more, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        parametrize(plugin, **more)


# -- laws and claims ------------------------------------------------------------------------------------------------


LAWFUL = """
from dataclasses import dataclass
from collapse_bench import hookimpl
from collapse_bench.laws.claims import Claim
from collapse_bench.plugins.generators.gaussian import Gaussian

@dataclass(frozen=True)
class Lawful(Gaussian):
    pass

@hookimpl
def collapse_generators():
    return {"lawful": Lawful}
"""
GIVEN = '{"M": 8, "k": 3}'
SPEC = '"lawful(d=1) | gaussian-fit | replace @ n=8 T=2"'


def lawful(tmp_path, hook: str) -> dict[str, Outcome]:
    """What becomes of a data generator whose plugin has this hook as well; every outcome by its name."""
    (tmp_path / "lawful.py").write_text(f"{LAWFUL}\n@hookimpl\n{hook}")
    registry = Registry.discover([tmp_path / "lawful.py"])
    return {
        outcome.id: outcome
        for outcome in outcomes("generator", registry.classes["generator"]["lawful"], registry)
    }


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (
            f'"gaussian.w2_maen", {GIVEN}, {SPEC}, "w2", 2',
            "but there is no such law; did you mean 'gaussian.w2_mean'?",
        ),
        (f'"gaussian.w2_mean", {{"M": 8}}, {SPEC}, "w2", 2', "cannot be checked: "),
        (
            f'"gaussian.w2_mean", {GIVEN}, "lawful | gausian-fit", "w2", 2',
            "did you mean 'gaussian-fit'?",
        ),
        (f'"gaussian.w2_mean", {GIVEN}, "lawful | ols", "w2", 2', "ols fits regression data"),
        (
            f'"gaussian.w2_mean", {GIVEN}, {SPEC}, "w2", 3',
            "at generation 3, but the cell ends at 2",
        ),
        (f'"gaussian.w2_mean", {GIVEN}, {SPEC}, "w2", 2', ""),
    ],
)
def test_claims_are_looked_at(claim, words, tmp_path):
    outcome = lawful(tmp_path, f"def collapse_claims():\n    return [Claim({claim})]")[
        "plugin.claims-known-laws"
    ]
    assert outcome.status == ("failed" if words else "passed"), outcome
    assert words in outcome.sentence


@pytest.mark.parametrize(
    ("curve", "words"),
    [
        ("1 / 0", "(ZeroDivisionError: division by zero)"),
        ("[1.0]", "gives 1 generations"),
        ('["much"] * 3', "ValueError"),
        ("None", ""),
        ("[1.0] * (cell.generations + 1)", ""),
    ],
)
def test_laws_are_asked_about_every_cell(curve, words, tmp_path):
    hook = (
        f"def collapse_theory(cell):\n    return {curve} if cell.data.title() == 'lawful' else None"
    )
    outcome = lawful(tmp_path, hook)["plugin.predicts-every-cell"]
    assert outcome.status == ("failed" if words else "passed"), outcome
    assert words in outcome.sentence


def test_a_parameter_without_default_is_given_or_stated():
    @dataclass(frozen=True)
    class Needs(Mitigation):
        k: int
        share: float = 0.5

        def size(self, n, t):
            return n + self.k

    with pytest.raises(
        UsageError,
        match=r"Needs has no default for k: check it with its parameters, Needs\(k=\.\.\.\)",
    ):
        subject_of("mitigation", Needs)
    by_object = {outcome.id: outcome.status for outcome in outcomes("mitigation", Needs(k=3))}
    Needs.tiny = {"k": 3}
    assert {outcome.id: outcome.status for outcome in outcomes("mitigation", Needs)} == by_object
    assert by_object["mitigation.runs-in-the-loop"] == "passed"


def test_a_dimension_without_default_does_not_hinder_others():
    @dataclass(frozen=True)
    class Bare(Gaussian):
        d: int = field(kw_only=True)

    registry = Registry.discover()
    registry.offer("generator", "bare", Bare)
    assert {str(written(noun)) for noun in variants(Bare)} >= {
        "bare(d=2)",
        "bare(d=2, truth_is=fixed)",
    }
    assert {outcome.status for outcome in outcomes("model", GaussianFit, registry)} <= {
        "passed",
        "skipped",
    }


def test_outcomes_raise_nothing():
    results = {outcome.id: outcome for outcome in outcomes("mitigation", Explodes)}
    assert results["mitigation.runs-in-the-loop"].status == "failed"
    assert {outcome.status for outcome in outcomes("generator", Gaussian)} == {"passed", "skipped"}


def test_a_plugin_of_another_role_is_refused():
    with pytest.raises(UsageError, match="is not a Model"):
        list(outcomes("model", Gaussian))
    with pytest.raises(UsageError, match="known: generator"):
        list(outcomes("mode", Gaussian))


@pytest.mark.parametrize("raises", ["SystemExit(0)", "KeyboardInterrupt()", "GeneratorExit()"])
def test_a_plugin_that_wants_to_end_the_process_fails(raises, tmp_path):
    """And what it prints does not come between the lines of the JSON."""
    (tmp_path / "quits.py").write_text(
        f"""
from dataclasses import dataclass
from collapse_bench.core.components import Mitigation
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Quits(Mitigation):
    def curate(self, corpus, access):
        print("HELLO")
        raise {raises}


@hookimpl
def collapse_mitigations():
    return {{"quits": Quits}}
"""
    )
    ended = call("check", "--plugin", tmp_path / "quits.py", "--json")
    assert ended.code == 4, ended
    failed = [one for one in json.loads(ended.out) if one["status"] == "failed"]
    assert failed
    assert all(raises.split("(")[0] in one["sentence"] for one in failed)
    assert "HELLO" in ended.err
