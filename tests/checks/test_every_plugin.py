"""Every registered plugin, in every variant, against the whole conformance kit; and the kit against broken plugins."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from collapse_bench.checks import Outcome, checks_of, outcomes
from collapse_bench.checks.compare import CheckFailure
from collapse_bench.checks.world import variants
from collapse_bench.core.components import Mitigation, Model, Protocol
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.identity import written
from collapse_bench.core.loop import generations
from collapse_bench.core.params import param
from collapse_bench.errors import Incompatible, UsageError
from collapse_bench.lib.distributions.gaussians import GaussianTeacher
from collapse_bench.plugins.generators.gaussian import Gaussian
from collapse_bench.plugins.generators.linear import Linear
from collapse_bench.plugins.models.gaussian_fit import GaussianFit
from collapse_bench.registry.discovery import KINDS, Registry, registry

#: by default a plugin is held to the kit in its first variant, with --slow in all
CASES = [
    pytest.param(check, id=f"{kind} {written(noun)}: {name}", marks=[pytest.mark.slow] * (i > 0))
    for kind in KINDS
    for cls in registry().classes[kind].values()
    for i, noun in enumerate(variants(cls))
    for name, check in checks_of(kind, noun)
]


@pytest.mark.parametrize("check", CASES)
def test_plugin(check):
    try:
        check()
    except Incompatible as reason:
        pytest.skip(str(reason))


def test_no_installed_plugin_is_broken():
    assert [(plugin.module, plugin.error) for plugin in registry().broken] == []


# -- the kit finds what is broken -----------------------------------------------------------------------------------


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
    """Does nothing, and is no control."""


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
class KeepsMeanOfChains(Mitigation):
    def curate(self, corpus, access):
        shift = access.memory or 0.0
        access.memory = corpus.y.mean().item()
        return corpus.edited(y=corpus.y + shift)


@dataclass(frozen=True)
class KeepsInItself(Mitigation):
    shifts: dict = field(default_factory=dict)

    def curate(self, corpus, access):
        access.memory = access.t
        shift = self.shifts.pop((access.t, corpus.chain_shape), 0.0)
        self.shifts[access.t + 1, corpus.chain_shape] = 1.0
        return corpus.edited(y=corpus.y + shift)


@dataclass(frozen=True)
class KeepsGenerator(Mitigation):
    def curate(self, corpus, access):
        access.memory = (i for i in range(3))
        return corpus


@dataclass(frozen=True)
class EatsLesson(Mitigation):
    def curate(self, corpus, access):
        corpus._parts[0].y.mul_(0.5)
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


@dataclass(frozen=True)
class GlobalDice(Mitigation):
    def curate(self, corpus, access):
        return corpus.reweighted(torch.as_tensor(np.random.rand(corpus.n)))


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
class HalfLesson(Protocol):
    def compose(self, access, memory):
        return access.synthetic(access.n // 2), None


@dataclass(frozen=True)
class CorpusAlone(Protocol):
    def compose(self, access, memory):
        return access.synthetic(access.n)


@dataclass(frozen=True)
class RemembersInItself(Protocol):
    pool: list = field(default_factory=list)

    def compose(self, access, memory):
        fresh = access.synthetic(access.n)
        self.pool.append(fresh)
        return fresh.edited(y=fresh.y + len(self.pool)), None


@dataclass(frozen=True)
class EatsMemory(Protocol):
    def compose(self, access, memory):
        if memory is not None:
            memory.y.mul_(0.5)
        fresh = access.synthetic(access.n)
        return fresh, fresh


@dataclass(frozen=True)
class Photocopier(Protocol):
    def compose(self, access, memory):
        fresh = access.synthetic(access.n // 2)
        return fresh + fresh, None


class Fussy:
    """A value whose copy is not its equal."""


@dataclass(frozen=True)
class Unpicklable(Mitigation):
    value: object = param(Fussy(), "anything")


BROKEN = [
    (
        "generator",
        NoReplicates,
        "asks and answers in shape, replicates (2,)",
        "at least one more dimension",
    ),
    ("generator", AnswersShort, "asks and answers in shape, replicates ()", "in front was due"),
    ("generator", MeanOfAll, "judges in shape, replicates (2,)", ".mean(-1)"),
    ("generator", NoPrimary, "judges in shape, replicates ()", "primary loss"),
    ("generator", Negative, "judges in shape, replicates ()", "must be >= 0"),
    ("generator", RowsLast, "first rows do not depend on how many are asked for", "rows first"),
    (
        "generator",
        CentredOverSeeds,
        "seed alone equals seed among others",
        "alone draws other numbers",
    ),
    ("generator", GlobalNoise, "draws from its stream alone", "global generator"),
    ("generator", OneTruth, "different seeds have different truths", "same truth for every seed"),
    ("generator", Upside, "nature has the lowest loss", "lower is better"),
    ("generator", TruthEaten, "inputs untouched", "in place"),
    ("generator", OtherSize, "both samplers follow one law", "weigh [39.0]"),
    ("generator", OtherLaw, "both samplers follow one law", "standard errors"),
    ("generator", WavesThrough, "verifies its own answers", "does it look at x?"),
    ("generator", LeakyPool, "names the items of its pool", "outside [0, 7)"),
    ("generator", Describes, "describes in shape", "describe returned mean"),
    ("generator", OddField, "is read as it is written", "a tuple of one needs its comma"),
    ("model", Blind, "zero weight equals absent, on gaussian(d=2)", "weight 0"),
    ("model", Blind, "weight two equals twice, on gaussian(d=2)", "row of weight 2"),
    ("model", CountBlind, "count two equals twice, on gaussian", "row of count 2"),
    ("model", SizeBlind, "zero weight equals absent, on gaussian", "never as corpus.n"),
    ("model", MixesReplicates, "native equals loop, on gaussian(d=2)", "mix no replicates"),
    ("model", MixesReplicates, "replicate shapes agree, on gaussian(d=2)", "same run alone"),
    ("model", Eats, "inputs untouched, on gaussian", "in place"),
    (
        "model",
        EatsItsRows,
        "inputs untouched, on gaussian(d=2)",
        "EatsItsRows.fit changed y in place",
    ),
    ("model", EatsBefore, "inputs untouched, on gaussian", "`before`"),
    ("model", GlobalSeed, "fit twice is fit once, on gaussian", "never torch.rand"),
    ("model", FlatDensity, "replicate shapes agree, on gaussian", "[..., None]"),
    (
        "model",
        FitsOrNot,
        "says in a sentence why it does not fit",
        "fits returned False for bigram",
    ),
    (
        "generator",
        FitsNameless,
        "says in a sentence why it does not fit",
        "fits returned '' for gaussian(d=2) | kde",
    ),
    (
        "mitigation",
        FitsFalse,
        "says in a sentence why it does not fit",
        "return None where the cell fits",
    ),
    (
        "mitigation",
        Misspelt,
        "acts at one of its moments",
        "writes cuarte, which nobody calls; did you mean 'curate'?",
    ),
    (
        "mitigation",
        Idle,
        "acts at one of its moments",
        "at least one of steer, curate, adapt, size",
    ),
    ("mitigation", Forgets, "returns the noun it was given, density", "is a return missing?"),
    ("mitigation", HalfRow, "returns the noun it was given, density", "round it"),
    ("mitigation", KeepsMeanOfChains, "runs in the loop, density", "when chains run in groups"),
    ("mitigation", KeepsInItself, "runs in the loop, density", "when a run is resumed"),
    ("mitigation", KeepsGenerator, "runs in the loop, density", "cannot be pickled"),
    ("mitigation", EatsLesson, "inputs untouched, density", "in place"),
    ("mitigation", QuantileOverSeeds, "replicate shapes agree, density", "dim -1"),
    ("mitigation", GlobalDice, "draws from its stream alone, density", "access.rng"),
    ("mitigation", EatsTeacher, "inputs untouched, density", "steer changed the teacher"),
    (
        "mitigation",
        TakesOthersNumbers,
        "does not shift others' draws, density",
        "shifts the numbers",
    ),
    ("mitigation", Unpicklable, "is read as it is written", "pickling"),
    ("protocol", HalfLesson, "right number of rows, density", "access.n rows in all"),
    ("protocol", CorpusAlone, "right number of rows, density", "(corpus, memory)"),
    (
        "protocol",
        RemembersInItself,
        "memory survives pickling, density",
        "nothing in the protocol itself",
    ),
    ("protocol", EatsMemory, "what was handed out stays untouched, density", "in place"),
    ("protocol", Photocopier, "every row is on the ledger, density", "access.synthetic alone"),
]


@pytest.mark.parametrize(
    ("kind", "cls", "name", "words"), BROKEN, ids=lambda v: getattr(v, "__name__", None)
)
def test_kit_finds(kind, cls, name, words):
    check = dict(checks_of(kind, cls))[name]
    with pytest.raises(CheckFailure) as failure:
        check()
    assert words in str(failure.value)


def test_what_eats_its_rows_is_told_that_alone():
    failed = [
        outcome.name for outcome in outcomes("model", EatsItsRows) if outcome.status == "failed"
    ]
    assert failed
    assert all(name.startswith("inputs untouched, on ") for name in failed)


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
    among = Registry.discover([tmp_path / "lawful.py"])
    return {
        outcome.name: outcome
        for outcome in outcomes("generator", among.classes["generator"]["lawful"], among)
    }


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (
            f'"gaussian.w2_maen", {GIVEN}, {SPEC}, "w2", 2',
            "there is no such law; did you mean 'gaussian.w2_mean'?",
        ),
        (f'"gaussian.w2_mean", {{"M": 8}}, {SPEC}, "w2", 2', "cannot be checked: "),
        (
            f'"gaussian.w2_mean", {GIVEN}, "lawful | gausian-fit", "w2", 2',
            "did you mean 'gaussian-fit'?",
        ),
        (f'"gaussian.w2_mean", {GIVEN}, "lawful | ols", "w2", 2', "ols fits regression data"),
        (
            f'"gaussian.w2_mean", {GIVEN}, {SPEC}, "w2", 3',
            "at generation 3, and the cell ends at 2",
        ),
        (f'"gaussian.w2_mean", {GIVEN}, {SPEC}, "w2", 2', ""),
    ],
)
def test_claims_are_looked_at(claim, words, tmp_path):
    found = lawful(tmp_path, f"def collapse_claims():\n    return [Claim({claim})]")[
        "claims laws that are there"
    ]
    assert found.status == ("failed" if words else "passed"), found
    assert words in found.sentence


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("1 / 0", "(ZeroDivisionError: division by zero)"),
        ("[1.0]", "speaks of 1 generations"),
        ('["much"] * 3', "ValueError"),
        ("None", ""),
        ("[1.0] * (cell.generations + 1)", ""),
    ],
)
def test_laws_are_asked_about_every_cell(told, words, tmp_path):
    hook = (
        f"def collapse_theory(cell):\n    return {told} if cell.data.title() == 'lawful' else None"
    )
    found = lawful(tmp_path, hook)["its laws bear every cell"]
    assert found.status == ("failed" if words else "passed"), found
    assert words in found.sentence


@pytest.mark.parametrize(("kind", "cls"), [("model", FitsOrNot), ("mitigation", FitsFalse)])
def test_who_says_neither_yes_nor_why_not_is_told_that_alone(kind, cls):
    failed = [outcome.name for outcome in outcomes(kind, cls) if outcome.status == "failed"]
    assert failed == ["says in a sentence why it does not fit"]


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
        list(checks_of("mitigation", Needs))
    by_object = {outcome.name: outcome.status for outcome in outcomes("mitigation", Needs(k=3))}
    Needs.tiny = {"k": 3}
    assert {outcome.name: outcome.status for outcome in outcomes("mitigation", Needs)} == by_object
    assert by_object["runs in the loop, density"] == "passed"


def test_a_dimension_without_default_does_not_hinder_others():
    @dataclass(frozen=True)
    class Bare(Gaussian):
        d: int = field(kw_only=True)

    among = Registry.discover()
    among.offer("generator", "bare", Bare)
    assert {str(written(noun)) for noun in variants(Bare)} >= {
        "bare(d=2)",
        "bare(d=2, truth_is=fixed)",
    }
    assert {outcome.status for outcome in outcomes("model", GaussianFit, among)} <= {
        "passed",
        "skipped",
    }


def test_outcomes_raise_nothing():
    @dataclass(frozen=True)
    class Explodes(Mitigation):
        def curate(self, corpus, access):
            raise ZeroDivisionError("bang")

    found = list(outcomes("mitigation", Explodes))
    assert Outcome("runs in the loop, density", "failed", "ZeroDivisionError: bang") in found
    assert {outcome.status for outcome in outcomes("generator", Gaussian)} == {"passed", "skipped"}


def test_checks_of_wrong_kind():
    with pytest.raises(UsageError, match="is not a Model"):
        list(checks_of("model", Gaussian))
    with pytest.raises(UsageError, match="known: generator"):
        list(checks_of("mode", Gaussian))


@pytest.mark.parametrize(
    ("protocol", "sizes", "real", "generated"),
    [
        ("replace", [20, 20, 20], 20, 40),
        ("accumulate", [20, 40, 60], 20, 40),
        ("accumulate-subsample", [20, 20, 20], 20, 40),
        ("mix(real=0.25)", [20, 20, 20], 30, 30),
        ("mix(real=0.25, fresh=false)", [20, 20, 20], 20, 30),
        ("mix(real=0)", [20, 20, 20], 20, 40),
        ("mix(real=1)", [20, 20, 20], 60, 0),
        ("verify-filter(oversample=3)", [20, 20, 20], 20, 120),
    ],
)
def test_what_a_protocol_reads_and_draws(protocol, sizes, real, generated):
    """The table of the manual, as the lesson's size and the ledger show it."""
    run = list(
        generations(registry().cell(f"linear(d=2) | ols | {protocol} @ n=20 T=2", seeds=(1, 2)))
    )
    assert [moment.size.tolist() for moment in run] == [[n, n] for n in sizes]
    assert (run[-1].ledger.total("real_rows"), run[-1].ledger.total("generated_rows")) == (
        real,
        generated,
    )


def test_every_kind_of_data_has_a_generator_and_a_model():
    kinds = {cls.kind for cls in registry().classes["generator"].values()}
    for kind in kinds:
        assert any(kind in (m.kinds or ()) for m in registry().classes["model"].values()), kind
