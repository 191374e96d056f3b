"""A chain is a matter of its seed: alone, among others, in another shard, after a resume, in a worker, the same.

Every data generator under every model that fits it, with whatever is registered; protocols take turns.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np
import pytest

from collapse_bench import Incompatible, Mitigation, cell_of, generations
from collapse_bench.checks.world import small
from collapse_bench.core.cell import Cell
from collapse_bench.records.record import Record
from collapse_bench.records.store import Store
from collapse_bench.registry.discovery import registry
from collapse_bench.running import inline, pool
from collapse_bench.running.chains import chunks, run_chains
from collapse_bench.running.jobs import Job, Options

T = 4
ROWS = 12
TURNS = 2  # protocols of each pair of data and model
CHAINS = {True: 64, False: 6}  # a model that is written for one run costs one run per chain
ONE = 5  # the seed that is looked at
THIN = 1e-6  # near width = n a fit doubles the last bits that BLAS rounds otherwise in batches


def tiny_cells() -> Iterator[Cell]:
    """Cheap cells of every pair that fits, TURNS protocols each; models that run all chains at once come first."""
    classes = registry().classes
    models = [m for m in map(small, classes["model"].values()) if m is not None]
    models.sort(key=lambda model: not model.vectorized)
    protocols = list(filter(None, map(small, classes["protocol"].values())))
    met: set[object] = set()  # kinds of data with a protocol
    turn = 0
    for data in filter(None, map(small, classes["generator"].values())):
        laws = [data]
        if "sampler" in {f.name for f in fields(data)}:
            laws.append(replace(data, sampler="exact-law"))
        for law in laws:
            for model in models:
                fit = [
                    cell
                    for protocol in protocols[turn:] + protocols[:turn]
                    if (cell := Cell(law, model, protocol, n=ROWS, generations=T)).incompatibility()
                    is None
                ]
                pairs = [(cell.data.kind, type(cell.protocol)) for cell in fit]
                for k, (cell, pair) in enumerate(zip(fit, pairs, strict=True)):
                    if k < TURNS or pair not in met:
                        met.add(pair)
                        yield cell
                turn = (turn + TURNS * bool(fit)) % len(protocols)


def why_it_cannot_run(cell: Cell) -> str | None:
    """What a cell says at the first generation, where a fault shows only once something is taught."""
    data, model, protocol = (part.title() for part in (cell.data, cell.model, cell.protocol))
    sums_only = data in ("gaussian", "linear") and cell.data.sampler == "exact-law"
    if sums_only and protocol in ("accumulate-subsample", "verify-filter"):
        return "has no rows"
    return {
        ("gaussian-mixture", "ddpm"): "cannot say how likely an answer is",
        ("planar", "ddpm"): "cannot say how likely an answer is",
        ("half-space", "cnn"): "reads square images",
    }.get((data, model))


def more_cells() -> Iterator[Cell]:
    """What a plain triple leaves out: growth, a flawed first teacher, a decoder, fixed rows, the ceiling, methods."""
    for spec in (
        "linear(d=3) | ridge | accumulate @ n=8 T=4 growth=0.5",
        "linear(d=3) | ols | mix(real=0.3, fresh=false) @ n=10 T=4 first=linear(d=3, signal=4)",
        "gaussian(d=2) | gaussian-fit | accumulate-subsample(decode=temperature(t=0.9)) @ n=9 T=4",
        "gaussian(d=2) | gaussian-fit | mix(real=0.5) | nature @ n=9 T=4",
        "zipf(K=20) | counts | mix(real=0.4) | golden-ratio + top-p @ n=20 T=4",
        "linear(d=3) | ridge | verify-filter(phi=0.8, psi=0.2) | oracle-verify(phi=0.7) + real-anchor(k=3) @ n=10 T=4",
        "linear(d=3) | random-features(width=12, lam=0) @ n=12 T=4",
        "digits | random-features(width=20, kept=true) | accumulate | tuned-penalty @ n=20 T=4",
        "linear(d=3) | ols | iterative-mix(real=0.3) | mix-weights @ n=12 T=4 first=linear-surrogate(noise=0.2, beta=1)",
        "linear(d=3) | random-projection(width=12) | mix(real=0.5) @ n=12 T=4 first=ols-chain(rows=9)",
        "digits | random-features(width=20) | mix(real=0.5) @ n=20 T=4 first=weak-labeller(rows=9)",
        "half-space(d=3) | averaging | verify-filter @ n=20 T=4 first=noisy-labels(p=0.2)",
        "zipf(K=20, sampler=exact-law) | counts | replace | replay + tail-injection(share=0.1) + ecosystem(m=3) @ n=20 T=4",
        "half-space(d=3) | averaging | replace | star-quotas + deliberate-practice + boosted-labels @ n=20 T=4",
        "linear(d=3) | ridge | mix(real=0.3) | ratio-cap + tuned-weighting(steps=3) + growing(power=0.5) @ n=12 T=4",
        "bigram(K=6) | counts | accumulate | real-anchor(share=0.2, fixed=true) + ecosystem(m=2) @ n=24 T=4",
        "gaussian(d=2, drift=0.1) | gaussian-fit | mix(real=0.3) | tracking(drift=0.1) @ n=10 T=4",
        "gaussian(drift=0.1, sampler=exact-law) | gaussian-fit | accumulate(real=0.2) | frozen @ n=10 T=4",
        "linear(d=3, drift=0.1) | ridge | accumulate-subsample(real=0.3) | replay-buffer + tracking(k=4) @ n=12 T=4",
        "linear(d=3, drift=0.1, fresh=false) | ols | mix(real=0.3, fresh=false) | nature @ n=10 T=4",
        "half-space(d=4, drift=0.3) | averaging | verify-filter | noisy-verify @ n=20 T=4",
        "zipf(K=12, novel=0.2, blocks=4) | counts | mix(real=0.3) | replay-buffer(capacity=2) @ n=20 T=4",
        "zipf(K=12, novel=0.2, blocks=4, sampler=exact-law) | counts | accumulate(real=0.3) | nature @ n=20 T=4",
        "bigram(K=4, novel=0.2, blocks=4) | counts | mix(schedule=[0.5, 0.2]) | replay @ n=24 T=4",
        "grammar-stories(words=20, block=30, test=6, judged=4, novel=0.2, blocks=4) | ngram(order=2) | mix(real=0.3) | frozen @ n=12 T=4",
    ):
        yield cell_of(spec)


def first_of_their_kind(cells: Iterable[Cell]) -> list[str]:
    """Cells that bring a data generator or sampler, a model, or a protocol on a kind of data that none before has.

    Only these run by default; with ``--slow`` all do.
    """
    seen: set[object] = set()
    chosen = []
    for cell in cells:
        brings = {cell.data, type(cell.model), (cell.data.kind, type(cell.protocol))}
        if brings - seen:
            chosen.append(cell.label)
            seen |= brings
    return chosen


MORE = {cell.label: cell for cell in more_cells()}
TINY = {cell.label: cell for cell in tiny_cells()}
REFUSED = {label: why for label, cell in TINY.items() if (why := why_it_cannot_run(cell))}
CELLS = {label: cell for label, cell in (TINY | MORE).items() if label not in REFUSED}
QUICK = [*first_of_their_kind(CELLS[label] for label in TINY if label in CELLS), *MORE]


def pytest_generate_tests(metafunc):
    labels = list(CELLS) if metafunc.config.getoption("slow") else QUICK
    for argument, those in {
        "label": labels,
        "quick_label": QUICK,
        "mitigable_label": [label for label in labels if not CELLS[label].nature],
    }.items():
        if argument in metafunc.fixturenames:
            metafunc.parametrize(argument, those)


def chains(cell: Cell) -> list[int]:
    return list(range(CHAINS[cell.model.vectorized]))


@cache
def together(label: str) -> Record:
    return run_chains(CELLS[label], chains(CELLS[label]))


@cache
def some(label: str) -> Record:
    return run_chains(CELLS[label], chains(CELLS[label])[:8])


def tolerance(label: str) -> float:
    return THIN if "random-features" in label else 1e-9


def close(one: Record, other: Record, tolerance: float) -> None:
    """Same rows, same numbers, same facts."""
    np.testing.assert_array_equal(one.seed, other.seed)
    np.testing.assert_array_equal(one.generation, other.generation)
    assert one.metric.tolist() == other.metric.tolist()
    np.testing.assert_allclose(one.value, other.value, rtol=tolerance, atol=tolerance)
    assert one.facts == other.facts


def test_all_kinds_are_here():
    """Every generator and model that the small variants can be built of takes part, be it as a first teacher."""
    for role, kind in (("data", "generator"), ("model", "model"), ("protocol", "protocol")):
        met = {type(getattr(cell, role)) for cell in CELLS.values()}
        met |= {
            type(cell.first_teacher)
            for cell in CELLS.values()
            if role == "data" and cell.first_teacher
        }
        assert met == {cls for cls in registry().classes[kind].values() if small(cls) is not None}


def test_every_generator_that_can_move_is_here_in_motion():
    can = {cls for cls in registry().classes["generator"].values() if "moving" in vars(cls)}
    assert can == {type(cell.data) for cell in MORE.values() if cell.data.moves}


def test_what_cannot_run_says_why():
    for label, why in REFUSED.items():
        with pytest.raises(Incompatible) as refused:
            list(generations(TINY[label]))
        assert why in str(refused.value), label


def test_chains_run_to_their_end(label):
    record = together(label)
    assert set(record.facts.status) <= {"done", "starved"}, record.facts.reason
    assert set(record.generation) == set(range(T + 1))
    assert np.isfinite(record.value[record.metric == CELLS[label].data.primary]).any()


def test_twice_is_the_same_to_the_bit(label):
    again = run_chains(CELLS[label], chains(CELLS[label])[:8])
    assert some(label).digest() == again.digest()


def test_a_chain_by_itself_is_the_same_as_among_others(label):
    close(run_chains(CELLS[label], [ONE]), together(label).restricted([ONE]), tolerance(label))


@pytest.mark.slow  # by default chunks stand for it
def test_two_shards_are_the_same_as_one(label):
    seeds = chains(CELLS[label])
    shards = [
        run_chains(CELLS[label], part)
        for part in (seeds[::3], sorted(set(seeds) - set(seeds[::3])))
    ]
    close(shards[1].merged(shards[0]), together(label), tolerance(label))


def test_resumed_from_any_generation_is_the_same(label):
    """From what a checkpoint holds: the pickled moment."""
    cell = CELLS[label].for_seeds(range(4))
    saved = [(now.t, pickle.dumps(now), now) for now in generations(cell)]
    assert [t for t, _, _ in saved] == list(range(T + 1))
    for start, packed, _ in saved[:-1]:
        for (t, _, whole), now in zip(
            saved[start + 1 :], generations(cell, pickle.loads(packed)), strict=True
        ):
            assert now.t == t
            assert now.scores.keys() == whole.scores.keys()
            for name, value in now.scores.items():
                np.testing.assert_array_equal(
                    value, whole.scores[name], f"{name} at {t}, resumed from {start}"
                )
            assert now.ledger.track() == whole.ledger.track()
            assert str(now.ledger.counts) == str(whole.ledger.counts)


def test_chunks_change_no_number(quick_label, tmp_path):
    """Only for one cell of each kind: with ``--slow``, every cell is split into two shards."""
    cell, seeds = CELLS[quick_label], chains(CELLS[quick_label])[:5]
    records = {}
    for memory in (2**40, 3 * 8 * (T + 1) * ROWS * 7, 1):  # all chains at once, some, one by one
        store = Store(tmp_path / str(memory))
        (outcome,) = inline.run_here([Job(cell, tuple(seeds))], Options(store.path, memory=memory))
        assert outcome.statuses.keys() <= {"done", "starved"}
        records[memory] = store.read(cell.id, 0)
    assert [len(list(chunks(cell, seeds, memory))) for memory in (2**40, 1)] == [1, len(seeds)]
    whole, *pieces = records.values()
    for record in pieces:
        close(record, whole, tolerance(quick_label))


# -- whoever draws more shifts nobody else --------------------------------------------------------------------------


@dataclass(frozen=True)
class Greedy(Mitigation):
    """Draws in every way there is, and does nothing."""

    def steer(self, teacher, access):
        self.draw(access)
        return teacher

    def curate(self, corpus, access):
        self.draw(access)
        return corpus

    def adapt(self, model, access):
        self.draw(access)
        return model

    def draw(self, access):
        access.rng.normal(7)
        access.rng.at("name").permutation(5)
        access.real(5)
        access.real(6, fixed=True)
        access.synthetic(7)
        access.synthetic(8, of=access.first)


@pytest.fixture
def greedy():
    registry().offer("mitigation", "greedy", Greedy)
    yield Greedy()
    del registry().classes["mitigation"]["greedy"], registry().owners["mitigation", "greedy"]


def test_a_mitigation_that_draws_and_does_nothing_scores_as_none(mitigable_label, greedy):
    cell, plain = CELLS[mitigable_label], some(mitigable_label)
    acts = (greedy, *cell.mitigations, greedy)
    drawn = run_chains(replace(cell, mitigations=acts), chains(cell)[:8])
    np.testing.assert_array_equal(drawn.value, plain.value)
    assert drawn.facts.status == plain.facts.status
    assert min(drawn.facts.ledger["generated_rows"]) > max(plain.facts.ledger["generated_rows"])
    assert "real" in drawn.facts.track


# -- workers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(QUICK, id="quick"),
        pytest.param([x for x in CELLS if x not in QUICK], id="others", marks=pytest.mark.slow),
    ],
)
def test_two_workers_give_the_same_records(labels, tmp_path):
    """All cells, in two parts, and chains of two blocks; to the bit."""
    jobs = [Job(CELLS[label], tuple(range(3))) for label in labels]
    jobs += [Job(cell, tuple(range(40, 44))) for cell in list(CELLS.values())[:6]]
    kept = {}
    for name, run in (
        ("here", inline.run_here),
        ("there", lambda jobs, options: pool.run_in_workers(jobs, options, 2)),
    ):
        options = Options(tmp_path / name, plugins=())
        outcomes = list(run(jobs, options))
        assert all(outcome.good for outcome in outcomes)
        kept[name] = {
            path.parts[-2:]: record.digest() for path, record in Store(tmp_path / name).records()
        }
    assert len(kept["here"]) == len(jobs)
    assert kept["there"] == kept["here"]


SCRIPT = """if True:
    import sys
    from dataclasses import dataclass
    from pathlib import Path
    import collapse_bench as cb

    Path("own_methods.py").write_text('''
from dataclasses import dataclass
from collapse_bench import Mitigation

@dataclass(frozen=True)
class Noisy(Mitigation):
    def curate(self, corpus, access):
        return corpus.reweighted(access.rng.uniform(corpus.n))
''')
    sys.path.insert(0, str(Path.cwd()))
    from own_methods import Noisy

    cb.offer("noisy", Noisy)
    for workers in (1, 2):
        done = cb.run("gaussian | gaussian-fit | replace | noisy @ n=9 T=3", seeds="0:3", output=f"out-{workers}", n_jobs=workers)
        assert not done.failed
        frame = done.frame()
        assert set(frame.entry) == {"none", "nature", "trivial", "noisy", "real-only"}, set(frame.entry)
        frame.to_csv(f"{workers}.csv")
    assert Path("1.csv").read_text() == Path("2.csv").read_text()
    print("equal")
"""


def test_a_class_that_was_offered_has_its_name_in_a_worker_too(tmp_path):
    """Its name keys what it draws."""
    from forked import call

    ended = call(code=SCRIPT, cwd=tmp_path)
    assert (ended.code, ended.out) == (0, "equal\n"), ended
