"""One job: what a plugin raises before its chains run, and which chains a refusal is about."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest

from collapse_bench import Mitigation, Model, Teacher, cell_of
from collapse_bench.core.loop import generations
from collapse_bench.errors import Incompatible, Lacking
from collapse_bench.plugins.models.gaussian_fit import GaussianFit
from collapse_bench.records.store import Store
from collapse_bench.running import jobs
from collapse_bench.running.chains import run_chains
from collapse_bench.running.jobs import Job, Options, _fits, run_job
from collapse_bench.status import Status

SEEDS = tuple(range(8))
GAUSSIAN = "gaussian | gaussian-fit @ n=10 T=2"
DECODED = "gaussian | gaussian-fit | replace | temperature(t=1.1) @ n=10 T=2"
EDIT = "gcd(max=40, test=20, each=1) | gcd-sieve | replace | token-edit @ n=20 T=2"


@pytest.mark.parametrize("problem", [ValueError("no"), KeyboardInterrupt(), SystemExit(0)])
def test_a_plugin_that_cannot_say_whether_it_fits_does_not_fit(problem):
    def incompatibility():
        raise problem

    assert not _fits(SimpleNamespace(foreign=True, incompatibility=incompatibility))


@pytest.fixture
def ran(monkeypatch, tmp_path):
    """A function that runs the job of a cell: (its record, the sizes of the groups that ran)."""

    def run(cell):
        sizes, run_group = [], jobs.run_group

        def counted(cell, seeds, *args):
            sizes.append(len(seeds))
            return run_group(cell, seeds, *args)

        with monkeypatch.context() as patch:
            patch.setattr(jobs, "run_group", counted)
            run_job(Job(cell, SEEDS), Options(tmp_path))
        return Store(tmp_path).read(cell.id, 0), sizes

    return run


def statuses_apart(cell) -> dict[int, Status]:
    """The status of each chain that runs by itself."""
    return {seed: run_chains(cell, [seed]).facts.status[0] for seed in SEEDS}


@pytest.mark.parametrize(
    "spec",
    [
        EDIT,  # the teacher has no method
        EDIT.replace("token-edit", "watermark"),  # the method refuses a parameter
        "zipf-memory(K=20) | memory | replace | weight-averaging @ n=20 T=2",
        "gaussian | gaussian-fit | replace | frozen-relabel @ n=20 T=2",
        "gaussian | gaussian-fit | replace | top-p @ n=20 T=2",
    ],
)
def test_a_cell_that_does_not_fit_runs_once_and_says_what_each_chain_says(spec, ran):
    cell = cell_of(spec)
    record, sizes = ran(cell)
    if cell.incompatibility() is None:
        assert sizes == [len(SEEDS)]
    assert set(record.facts.status) == {Status.SKIPPED}
    apart = run_chains(cell, [SEEDS[0]])
    for seed in SEEDS[1:]:
        apart = apart.merged(run_chains(cell, [seed]))
    assert apart.compared().digest() == record.digest()


@dataclass(frozen=True)
class RefusesSome(Mitigation):
    """Refuses chains whose rows have a positive mean."""

    def curate(self, corpus, access):
        if (corpus.y.mean((-2, -1)) > 0).any():
            raise Incompatible("a mean is positive")
        return corpus


class Undecodable(Teacher):
    def __init__(self, teacher):
        self.teacher = teacher

    def answer(self, x, rng):
        return self.teacher.answer(x, rng)

    def mean_and_factor(self):
        return self.teacher.mean_and_factor()


@dataclass(frozen=True)
class TwoKinds(Model):
    """Teachers of chains with a positive mean cannot be decoded."""

    def fit(self, corpus, rng, before=None):
        teacher = GaussianFit().fit(corpus, rng)
        return Undecodable(teacher) if corpus.y.mean() > 0 else teacher


@pytest.mark.parametrize(
    "change",
    [
        lambda cell: replace(cell, mitigations=(RefusesSome(),)),
        lambda cell: replace(cell_of(DECODED), model=TwoKinds()),
    ],
)
def test_chains_that_are_refused_for_their_own_sake_do_not_affect_the_others(change, ran):
    cell = change(cell_of(GAUSSIAN))
    apart = statuses_apart(cell)
    assert {Status.SKIPPED, Status.DONE} <= set(apart.values())
    record, sizes = ran(cell)
    assert dict(zip(record.seeds, record.facts.status, strict=True)) == apart
    assert len(sizes) > 1


def test_a_method_that_no_teacher_has_is_refused_for_all_chains_of_a_model_of_one_chain():
    @dataclass(frozen=True)
    class OneKind(Model):
        def fit(self, corpus, rng, before=None):
            return Undecodable(GaussianFit().fit(corpus, rng))

    cell = cell_of(DECODED)
    for model, kind in ((OneKind(), Lacking), (TwoKinds(), Incompatible)):
        with pytest.raises(Incompatible, match="decoded") as refusal:
            list(generations(replace(cell, model=model, seeds=SEEDS)))
        assert type(refusal.value) is kind
