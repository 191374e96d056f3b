"""What a mitigation keeps: whose it is, what it costs, and that a run in pieces equals a run in one
piece.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch

from collapse_bench import Corpus, Incompatible, Mitigation, Model, cell_of, generations
from collapse_bench.core.budget import Budget
from collapse_bench.core.loop import nature
from collapse_bench.core.tracks import PROTOCOL
from collapse_bench.errors import ContractError, OverBudget
from collapse_bench.records.store import Store
from collapse_bench.running.chains import run_chains
from collapse_bench.theory import gaussian, regression

SEEDS = [0, 1, 2]


@dataclass(frozen=True)
class Buffer(Mitigation):
    """Reads every training set again; ``name`` by class, since the memory is kept by name."""

    def curate(self, corpus, access):
        kept = (*(access.memory or ()), corpus)
        access.memory = kept
        return sum(kept[1:], kept[0])


@dataclass(frozen=True)
class RunningAverage(Mitigation):
    """The average of all teachers so far writes the next training set."""

    def steer(self, teacher, access):
        average, k = access.memory or (teacher, 0)
        average = average.blend(teacher, 1 / (k + 1)) if k else teacher
        access.memory = (average, k + 1)
        return average


@dataclass(frozen=True)
class Reacts(Mitigation):
    """Reads one row more for each training set whose mean, in its own chain, was above zero."""

    def curate(self, corpus, access):
        above = (corpus.y.mean((-1, -2)) > 0).long()
        access.memory = above + (0 if access.memory is None else access.memory)
        return corpus.reweighted(1 + access.memory[..., None] * (corpus.y[..., 0] > 0))


@dataclass(frozen=True)
class Grows(Mitigation):
    """Doubles its size in every generation, by what it keeps."""

    def size(self, n, t, memory):
        return n * (1 if memory is None else memory["factor"])

    def curate(self, corpus, access):
        before = access.memory or {"factor": 1}
        access.memory = {"factor": 2 * before["factor"]}
        return corpus


@dataclass(frozen=True)
class Watch(Mitigation):
    """Writes down what it kept, and keeps what a function returns."""

    of: Any = None
    seen: list = field(default_factory=list)

    def curate(self, corpus, access):
        self.seen.append((access.t, access.memory))
        access.memory = self.of(corpus, access)
        return corpus


def run(text: str, *acts: Mitigation, seeds=SEEDS, **more):
    return list(generations(replace(cell_of(text, seeds=seeds), mitigations=acts, **more)))


def used(now, what: str) -> list[int]:
    amount = now.ledger.by_methods(what)
    return torch.as_tensor(amount).expand(len(SEEDS)).tolist()


# -- whose it is -----------------------------------------------------------------------------------


def test_it_is_none_at_first_and_then_what_was_set():
    act = Watch(lambda corpus, access: access.t)
    run("gaussian | gaussian-fit @ n=9 T=4", act)
    assert act.seen == [(1, None), (2, 1), (3, 2), (4, 3)]


def test_each_mitigation_of_an_entry_has_its_own():
    first, second = (Watch(lambda corpus, access, k=k: (k, access.user)) for k in (1, 2))
    last = run("gaussian | gaussian-fit @ n=9 T=2", first, Buffer(), second)[-1]
    assert first.seen[-1] == (2, (1, "Watch"))
    assert second.seen[-1] == (2, (2, "Watch#2"))
    assert set(last.kept) == {"Watch", "Buffer", "Watch#2"}


def test_all_stages_share_it_and_a_model_that_fits_later_too():
    seen = []

    @dataclass(frozen=True)
    class Fit(Model):
        model: Model
        access: Any
        vectorized = True

        def fit(self, corpus, rng, before=None):
            self.access.memory = [*self.access.memory, "fit"]
            return self.model.fit(corpus, rng, before)

    @dataclass(frozen=True)
    class All(Mitigation):
        def size(self, n, t, memory=None):
            seen.append((t, memory))
            return n

        def steer(self, teacher, access):
            access.memory = ["steer"]
            return teacher

        def curate(self, corpus, access):
            access.memory = [*access.memory, "curate"]
            return corpus

        def adapt(self, model, access):
            access.memory = [*access.memory, "adapt"]
            return Fit(model, access)

    run("gaussian | gaussian-fit @ n=9 T=2", All())
    assert seen == [(1, None), (2, ["steer", "curate", "adapt", "fit"])]


def test_it_stays_none_where_the_teacher_is_nature():
    act = Watch(lambda corpus, access: 1)
    moments = run("gaussian | gaussian-fit @ n=9 T=2", act)
    assert [set(now.kept) for now in moments] == [set(), {"Watch"}, {"Watch"}]
    assert all(not now.kept for now in run("gaussian | gaussian-fit | replace | nature @ n=9 T=2"))


def test_size_reads_it_with_a_third_parameter():
    sizes = [int(now.size[0]) for now in run("gaussian | gaussian-fit @ n=5 T=4", Grows())]
    assert sizes == [5, 5, 10, 20, 40]


def test_what_was_read_is_a_copy_and_kept_when_it_is_set():
    @dataclass(frozen=True)
    class Sloppy(Mitigation):
        def curate(self, corpus, access):
            if access.t == 1:
                access.memory = {"list": [1]}
            access.memory["list"].append(2)
            return corpus

    assert run("gaussian | gaussian-fit @ n=9 T=3", Sloppy())[-1].kept == {"Sloppy": {"list": [1]}}


def test_setting_none_forgets():
    act = Watch(lambda corpus, access: 1 if access.t == 1 else None)
    assert [set(now.kept) for now in run("gaussian | gaussian-fit @ n=9 T=2", act)][1:] == [
        {"Watch"},
        set(),
    ]


# -- what may be kept ------------------------------------------------------------------------------


class Box:
    def __init__(self, value):
        self.value = value


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (
            lambda corpus, access: torch.zeros(2),
            r"Watch kept a tensor of shape \(2,\); expected leading dimensions \(3,\)",
        ),
        (lambda corpus, access: [{"a": torch.zeros(())}], r"shape \(\)"),
        (lambda corpus, access: corpus[0], r"corpus of chains \(\); expected \(3,\)"),
        (lambda corpus, access: access, "kept its access"),
        (lambda corpus, access: (Box([access]),), "kept its access"),
        (lambda corpus, access: Box({"rows": corpus}), "kept a corpus inside Box"),
    ],
    ids=["tensor", "nested tensor", "one chain", "access", "access in an object", "corpus"],
)
def test_what_cannot_be_kept_is_refused_with_a_sentence(of, words):
    with pytest.raises(ContractError, match=words):
        run("gaussian | gaussian-fit @ n=9 T=1", Watch(of))


def test_teachers_tensors_and_plain_values_come_back():
    act = Watch(lambda c, access: {"t": access.t, "of": (access.teacher, [c.weight, "a", None])})
    moments = run("gaussian | gaussian-fit @ n=9 T=2", act)
    kept = act.seen[-1][1]
    assert kept["t"] == 1
    assert kept["of"][0] is moments[0].teacher
    assert torch.equal(kept["of"][1][0], torch.ones(3, 9, dtype=torch.float64))
    assert kept["of"][1][1:] == ["a", None]


def test_it_serves_its_generation_and_no_protocol():
    accesses = []

    @dataclass(frozen=True)
    class Late(Mitigation):
        def curate(self, corpus, access):
            accesses.append(access)
            return corpus

    run("gaussian | gaussian-fit @ n=9 T=1", Late())
    with pytest.raises(ContractError, match="after its end"):
        accesses[0].memory  # noqa: B018
    with pytest.raises(ContractError, match="after its end"):
        accesses[0].memory = 1
    accesses[0]._desk._closed = False
    with pytest.raises(ContractError, match="a protocol returns its memory from compose"):
        accesses[0]._desk.access(PROTOCOL).memory  # noqa: B018


def test_a_kept_corpus_comes_back_with_its_provenance_hidden():
    """Also one that was drawn openly; and who asks what is real pays again."""
    act = Watch(lambda corpus, access: (corpus, access.real(2) + access.synthetic(3)))
    moments = run("gaussian | gaussian-fit | mix @ n=10 T=2", act)
    for corpus in act.seen[-1][1]:
        with pytest.raises(Incompatible, match="provenance is hidden"):
            corpus.origin  # noqa: B018
        with pytest.raises(Incompatible, match="provenance is hidden"):
            corpus.parts  # noqa: B018
    assert moments[-1].ledger.by_methods("provenance_lookups") == 0


def test_rows_of_weight_zero_lose_their_content():
    """So that nobody keeps real rows under weight 0 and gives them weight later."""

    def only_synthetic(corpus, access):
        return corpus.weighted((access.provenance(corpus) > 0).double())

    act = Watch(only_synthetic)
    last = run("linear(d=2) | ridge | mix @ n=10 T=2", act)[-1]
    kept = act.seen[-1][1]
    absent = kept.weight == 0
    assert absent.sum(-1).tolist() == [5, 5, 5]
    assert (kept.y[absent] == 0).all()
    assert (kept.x[absent] == 0).all()
    assert (kept.y[~absent] != 0).all()
    assert last.ledger.track() == "provenance"


# -- what it costs ---------------------------------------------------------------------------------


def test_a_buffer_of_synthetic_rows_is_blind():
    last = run("gaussian | gaussian-fit | replace @ n=10 T=4", Buffer())[-1]
    assert last.ledger.track() == "blind"
    assert last.size.tolist() == [40] * 3


@pytest.mark.parametrize("data", ["gaussian", "gaussian(sampler=exact-law)"])
def test_real_rows_of_earlier_generations_are_charged_when_they_are_read_again(data):
    """Of n = 10 rows 4 are real.  Generation t reads the real rows of generations 1 .. t-1 again: 4
    (t - 1).
    """
    last = run(f"{data} | gaussian-fit | mix(real=0.4) @ n=10 T=4", Buffer())[-1]
    assert last.ledger.track() == "real"
    assert used(last, "real_rows") == [4 * (1 + 2 + 3)] * 3
    assert used(last, "real_unique") == [4 * 3] * 3  # what generation 4 keeps was not read again
    # all users together: as many different rows as the protocol drew, 10 in generation 0 and 4 in
    # each of four
    assert torch.as_tensor(last.ledger.total("real_unique")).expand(3).tolist() == [10 + 16] * 3
    assert last.size.tolist() == [40] * 3


def test_counts_stand_for_as_many_rows():
    last = run("zipf(K=20, sampler=exact-law) | counts | mix(real=0.4) @ n=10 T=3", Buffer())[-1]
    assert used(last, "real_rows") == [4 * 3] * 3
    assert used(last, "real_unique") == [4 * 2] * 3


def test_rows_that_the_protocol_keeps_serving_are_not_counted_as_more_different_ones():
    """Under accumulate every training set holds the same 10 real rows, and the buffer holds them
    several times.
    """
    last = run("gaussian | gaussian-fit | accumulate @ n=10 T=3", Buffer())[-1]
    assert used(last, "real_rows") == [10 * (1 + 2)] * 3
    assert used(last, "real_unique") == [10] * 3
    assert torch.as_tensor(last.ledger.total("real_unique")).tolist() == [10] * 3


def test_rows_of_its_own_are_different_rows_once():
    """A hoard: 5 rows drawn once and read in every generation."""

    @dataclass(frozen=True)
    class Hoard(Mitigation):
        def curate(self, corpus, access):
            if access.memory is None:
                access.memory = access.real(5)
            return corpus + access.memory

    last = run("gaussian | gaussian-fit | replace @ n=10 T=4", Hoard())[-1]
    assert last.ledger.track() == "real"
    assert used(last, "real_unique") == [5] * 3
    assert used(last, "real_rows") == [5 * 4] * 3


def test_looking_at_kept_real_rows_is_using_them_and_is_paid_once_a_generation():
    @dataclass(frozen=True)
    class Look(Mitigation):
        def size(self, n, t, memory):
            return n

        def curate(self, corpus, access):
            if access.t == 1:
                access.memory = corpus
            for _ in range(3):
                assert access.memory.n == 10
            return corpus

    last = run("gaussian | gaussian-fit | mix(real=0.4) @ n=10 T=3", Look())[-1]
    assert used(last, "real_rows") == [4 * 2] * 3
    assert used(last, "real_unique") == [4] * 3


def test_what_is_replaced_unread_costs_nothing():
    @dataclass(frozen=True)
    class Overwrites(Mitigation):
        def curate(self, corpus, access):
            access.memory = corpus
            return corpus

    last = run("gaussian | gaussian-fit | mix(real=0.4) @ n=10 T=3", Overwrites())[-1]
    assert last.ledger.track() == "blind"


@pytest.mark.parametrize("origin", [0, 1])
def test_real_rows_rebuilt_from_tensors_are_charged(origin):
    """A corpus of tensors is real unless it says otherwise."""

    @dataclass(frozen=True)
    class Tensors(Mitigation):
        def curate(self, corpus, access):
            kept = access.memory
            access.memory = corpus.y if kept is None else torch.cat([kept, corpus.y], -2)
            if kept is None:
                return corpus
            return corpus + Corpus.of(None, kept, corpus.chain_shape, origin=origin)

    last = run("gaussian | gaussian-fit | replace @ n=10 T=3", Tensors())[-1]
    assert last.ledger.track() == ("blind" if origin else "real")
    assert used(last, "real_rows") == [0 if origin else 10 + 20] * 3


def test_real_tokens_that_are_kept_are_counted():
    text = (
        "grammar-stories(words=20, sentences=1, block=16, test=8, judged=6) | ngram | mix @ n=8 T=2"
    )
    plain, kept = (run(text, act)[-1].ledger for act in (Mitigation(), Buffer()))
    assert not plain.by_methods("real_tokens")
    drawn = (plain.total("real_tokens")).float() / plain.total("real_rows")  # tokens a row
    assert (kept.by_methods("real_tokens") / 4 - drawn).abs().max() < 0.5 * drawn.max()


def test_rows_that_were_charged_to_one_method_are_not_new_to_another():
    cell = cell_of("gaussian | gaussian-fit | replace | real-anchor(k=3) @ n=10 T=3", seeds=SEEDS)
    *_, last = generations(replace(cell, mitigations=(*cell.mitigations, Buffer())))
    assert used(last, "real_unique") == [3 * 3] * 3
    assert used(last, "real_rows") == [3 * 3 + 3 * (1 + 2)] * 3


def test_a_budget_covers_it():
    text = "gaussian | gaussian-fit | mix(real=0.4) @ n=10 T=4"
    for name, words in (("real", "unique real rows"), ("real-drawn", "real rows")):
        with pytest.raises(OverBudget, match=f"Buffer asked for 4 {words}"):
            run(text, Buffer(), budget=Budget(((name, 0.0),)))
    assert run(text, Buffer(), budget=Budget((("real", 12.0),)))[-1].t == 4


# -- in pieces -------------------------------------------------------------------------------------

TASKS = [
    ("gaussian(d=2) | gaussian-fit | mix(real=0.3) @ n=8 T=5", (Buffer(),)),
    ("gaussian(sampler=exact-law) | gaussian-fit | replace @ n=8 T=5", (Buffer(),)),
    ("zipf(K=20, sampler=exact-law) | counts | mix @ n=12 T=4", (Buffer(),)),
    ("linear(d=3) | ols | replace @ n=12 T=4", (RunningAverage(), Buffer(), Buffer())),
    ("gaussian(d=1) | gaussian-fit | replace @ n=8 T=5", (Reacts(), Grows())),
    ("half-space(d=3) | averaging | accumulate @ n=12 T=3", (Buffer(), Grows())),
]


def interrupted(cell, store: Store, t: int) -> None:
    """Run until generation t is saved, and stop as on Ctrl-C."""

    def stop(event):
        if event.done == t + 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_chains(cell, SEEDS, store, stop, checkpoint_seconds=0.0)


@pytest.mark.parametrize(("text", "acts"), TASKS)
def test_a_resumed_run_equals_one_that_was_not_stopped(text, acts, tmp_path):
    cell = replace(cell_of(text), mitigations=acts)
    whole = run_chains(cell, SEEDS)
    assert set(whole.facts.status) == {"done"}
    for t in range(cell.generations - 1):
        store = Store(tmp_path / str(t))
        interrupted(cell, store, t)
        record = run_chains(cell, SEEDS, store)
        assert record.runs[-1]["resumed_from"] == t
        assert record.digest() == whole.digest()


@pytest.mark.parametrize(("text", "acts"), TASKS)
def test_a_run_in_pieces_equals_a_run_in_one_piece(text, acts):
    cell = replace(cell_of(text), mitigations=acts)
    whole = run_chains(cell, SEEDS)
    parts = run_chains(cell, SEEDS[:1]).merged(run_chains(cell, SEEDS[1:]))
    assert parts.digest() == whole.digest()


def test_continuing_from_any_generation_gives_the_same_numbers():
    """Also from one that was pickled late: what is kept later changes nothing kept before."""
    text, acts = TASKS[3]
    cell = replace(cell_of(text, seeds=SEEDS), mitigations=acts)
    whole = list(generations(cell))
    for start in whole[:-1]:
        *_, last = generations(cell, pickle.loads(pickle.dumps(start)))
        assert torch.equal(last.scores["excess_risk"], whole[-1].scores["excess_risk"])


# -- laws ------------------------------------------------------------------------------------------


def z(values, expected: float) -> float:
    return float((values.mean() - expected) / (values.std() / len(values) ** 0.5))


def test_a_buffer_of_everything_under_replace_is_accumulate():
    """Where a flawed source writes generation 0, so that the buffer holds that one too: row by row
    the same.
    """
    text = "gaussian(d=2) | gaussian-fit | {} @ n=10 T=4 first=gaussian(d=2, sigma=2)"
    ours, pool = run(text.format("replace"), Buffer()), run(text.format("accumulate"))
    for left, right in zip(ours, pool, strict=True):
        torch.testing.assert_close(left.scores["w2"], right.scores["w2"])
        assert torch.equal(left.size, right.size)


def test_a_buffer_beside_nature_obeys_the_law_of_accumulate_from_the_first_teacher_on():
    """Generation 0 reads real rows, which no method is given: its error stays, and then all k
    batches accumulate: E (m - mu)^2 = sigma^2 / M + acc_e(M, k), with the unbiased variance of
    generation 0.
    """
    M, k = 10, 6
    cell = cell_of(
        f"gaussian(d=1, sampler=exact-law) | gaussian-fit | replace @ n={M} T={k}",
        seeds=range(4000),
    )
    *_, last = generations(replace(cell, mitigations=(Buffer(),)))
    mean, factor = last.teacher.mean_and_factor()
    truth, scale = nature(cell).mean_and_factor()
    sigma2 = scale[..., 0, 0] ** 2
    drift = (mean - truth)[..., 0] ** 2 / sigma2
    assert abs(z(drift, 1 / M + gaussian.acc_e(M, k, ddof=1))) < 4
    assert abs(z(factor[..., 0, 0] ** 2 / sigma2, gaussian.acc_v(M, k, ddof=1))) < 4


def test_the_average_of_all_teachers_grows_like_pi_squared_over_six():
    """Each new teacher errs by e_t about the average of those before, so that the average moves by
    e_t / (t + 1): after k generations the risk is that of one fit times 1 + sum 1/i^2, i = 1 .. k,
    where `replace` has 1 + k.
    """
    d, n, k, noise = 3, 20, 6, 1.0
    cell = cell_of(f"linear(d={d}, noise={noise}) | ols | replace @ n={n} T={k}", seeds=range(4000))
    *_, last = generations(replace(cell, mitigations=(RunningAverage(),)))
    one = regression.ols_accumulate(d, n, 1, noise)
    basel = sum(1 / i**2 for i in range(1, k + 1))
    assert abs(z(last.scores["excess_risk"], one * (1 + basel))) < 4
