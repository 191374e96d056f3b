"""The ledger: what was used only grows, adds up, and tells the track."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from collapse_bench.api import cell_of
from collapse_bench.core.access import Access
from collapse_bench.core.components import Mitigation, Model
from collapse_bench.core.desk import Desk
from collapse_bench.core.ledger import Ledger
from collapse_bench.core.loop import generations
from collapse_bench.core.rng import Stream
from collapse_bench.core.tracks import PROTOCOL, SUBSTANCES, TRACKS
from collapse_bench.errors import ContractError, Incompatible, OverBudget
from collapse_bench.plugins.generators.gaussian import Gaussian
from collapse_bench.plugins.generators.linear import Linear
from collapse_bench.running.chains import run_chains

POOL, R = 9, 3
users = st.sampled_from([PROTOCOL, "one", "two"])
plain = st.tuples(st.just("charge"), users, st.sampled_from(SUBSTANCES[2:]), st.integers(0, 50))
endless = st.tuples(st.just("real"), users, st.integers(0, 12), st.booleans())
finite = st.tuples(st.just("pool"), users, st.integers(0, 12), st.integers(0, 10**6))


def enter(ledger: Ledger, entry) -> None:
    how, user, *rest = entry
    if how == "charge":
        ledger.charge(user, *rest)
    elif how == "real":
        n, fixed = rest
        ledger.charge_real(user, n, None, None, fixed)
    else:
        n, seed = rest
        which = torch.tensor(np.random.default_rng(seed).integers(0, POOL, (R, n)))
        ledger.charge_real(user, n, which, POOL, False)


def filled(entries) -> Ledger:
    ledger = Ledger()
    for entry in entries:
        enter(ledger, entry)
    return ledger


def at_least(more, less) -> bool:
    return bool((torch.as_tensor(more) >= torch.as_tensor(less)).all())


@given(st.lists(plain | endless, max_size=12) | st.lists(plain | finite, max_size=12))
def test_what_was_used_only_grows(entries):
    ledger, before = Ledger(), dict.fromkeys(SUBSTANCES, 0)
    for entry in entries:
        enter(ledger, entry)
        now = {what: ledger.total(what) for what in SUBSTANCES}
        assert all(at_least(now[what], before[what]) for what in SUBSTANCES)
        assert at_least(now["real_rows"], now["real_unique"])
        before = now


@given(st.lists(plain, max_size=8), st.lists(plain, max_size=8))
def test_amounts_add_up(first, second):
    both, one, other = filled(first + second), filled(first), filled(second)
    for what in SUBSTANCES:
        assert both.total(what) == one.total(what) + other.total(what)
        assert both.by_methods(what) == both.total(what) - both.counts.get((PROTOCOL, what), 0)


@given(st.lists(plain | endless, max_size=8), plain | endless)
def test_a_copy_goes_its_own_way(entries, more):
    ledger = filled(entries)
    counts, fixed = dict(ledger.counts), dict(ledger.fixed)
    enter(ledger.copy(), more)
    assert (ledger.counts, ledger.fixed) == (counts, fixed)
    again = pickle.loads(pickle.dumps(ledger))
    assert (again.counts, again.fixed) == (counts, fixed)


@given(st.lists(finite, min_size=1, max_size=8))
def test_unique_rows_of_a_finite_pool(entries):
    """However often and by whomever they are drawn, rows seen before are not new: a set per chain says so."""
    ledger, seen = Ledger(), [set() for _ in range(R)]
    for how, user, n, seed in entries:
        enter(ledger, (how, user, n, seed))
        which = np.random.default_rng(seed).integers(0, POOL, (R, n))
        for chain, rows in zip(seen, which, strict=True):
            chain |= set(rows.tolist())
    assert ledger.total("real_unique").tolist() == [len(chain) for chain in seen]
    assert ledger.total("real_rows") == sum(entry[2] for entry in entries)
    assert at_least(POOL, ledger.total("real_unique"))


@given(st.lists(st.integers(0, 20), min_size=1, max_size=6))
def test_fixed_rows_are_new_once(asked):
    ledger = filled(("real", "one", n, True) for n in asked)
    assert ledger.total("real_unique") == max(asked)
    assert ledger.total("real_rows") == sum(asked)
    enter(ledger, ("real", "two", 5, True))  # another user's fixed rows are other rows
    assert ledger.total("real_unique") == max(asked) + 5


def test_an_unknown_substance_is_refused():
    with pytest.raises(ValueError, match="the ledger counts real_rows"):
        Ledger().charge("one", "coffee", 1)


# -- tracks ---------------------------------------------------------------------------------------------------------


@given(st.lists(plain | endless, max_size=10))
def test_the_track_is_what_the_methods_used(entries):
    ledger = filled(entries)
    due = [
        name
        for what, name in TRACKS.items()
        if any(a for (u, w), a in ledger.counts.items() if (w, u != PROTOCOL) == (what, True))
    ]
    assert ledger.track() == ("+".join(due) or "blind")


@given(
    st.lists(
        st.tuples(
            st.just("charge"), st.just(PROTOCOL), st.sampled_from(SUBSTANCES), st.integers(1, 50)
        )
    )
)
def test_what_the_protocol_uses_sets_no_track(entries):
    assert filled(entries).track() == "blind"


@pytest.mark.parametrize(
    ("entries", "track"),
    [
        ([], "blind"),
        ([("charge", "one", "generated_rows", 5)], "blind"),
        ([("charge", "one", "provenance_lookups", 5)], "provenance"),
        ([("real", "one", 5, False)], "real"),
        ([("pool", "one", 5, 1)], "real"),
        ([("charge", "one", "verifier_calls", 1), ("real", "two", 1, True)], "real+verifier"),
        ([("real", PROTOCOL, 100, False), ("charge", "one", "provenance_lookups", 0)], "blind"),
    ],
)
def test_tracks(entries, track):
    assert filled(entries).track() == track


def test_a_track_that_only_one_chain_used():
    ledger = Ledger()
    ledger.charge("one", "verifier_calls", torch.tensor([0, 0, 1]))
    assert ledger.track() == "verifier"


# -- through an access -----------------------------------------------------------------------------------------------


def desk_of(data, t: int = 1, ledger: Ledger | None = None) -> Desk:
    rng = Stream([4, 5])
    drawn = data.sample_truth(rng.at("truth"))
    return Desk(drawn, drawn, t, 10, rng, ledger or Ledger())


def access_of(data, t: int = 1, ledger: Ledger | None = None) -> Access:
    return desk_of(data, t, ledger).access(PROTOCOL)


def test_every_drop_is_on_the_ledger():
    desk = desk_of(Linear(d=2))
    access, act = desk.access(PROTOCOL), desk.access("act")
    corpus = access.synthetic(7, of=act.teacher)
    act.real(3)
    act.real(x=corpus.x)
    act.verify(corpus)
    act.provenance(corpus)
    desk.teacher = Linear(d=2).sample_truth(Stream([9, 9]))
    desk.access(PROTOCOL).synthetic(4)
    desk.access("act").synthetic(2)
    assert access.ledger.counts == {
        (PROTOCOL, "real_rows"): 7,  # what nature writes is real
        (PROTOCOL, "real_unique"): 7,
        ("act", "real_rows"): 10,
        ("act", "real_unique"): 10,
        ("act", "verifier_calls"): 7,
        ("act", "provenance_lookups"): 7,
        (PROTOCOL, "generated_rows"): 4,
        ("act", "generated_rows"): 2,
    }
    assert access.ledger.track() == "provenance+real+verifier"


def test_fixed_rows_are_the_same_in_every_generation_and_paid_once():
    ledger, rows = Ledger(), []
    for t in range(3):
        access = access_of(Gaussian(d=2), t, ledger)
        rows.append(access.real(5 + t, fixed=True).y)
    assert torch.equal(rows[0], rows[2][:, :5])
    assert torch.equal(rows[1], rows[2][:, :6])
    assert ledger.total("real_unique") == 7
    assert ledger.total("real_rows") == 18


def test_no_draw_comes_twice_within_a_generation():
    """A user keeps its place through steer, curate and adapt, and under whichever teacher it draws."""
    desk = desk_of(Gaussian(d=2))
    before = desk.access("act")
    desk.teacher = Gaussian(d=2).sample_truth(Stream([7, 8]))
    stages = [before, desk.access("act"), before, desk.access("act")]
    own = [access.rng.uniform(4) for access in stages]
    real = [access.real(4).y for access in stages]
    for drawn in (own, real):
        assert not any((drawn[i] == drawn[j]).any() for i in range(4) for j in range(i))


def test_users_do_not_shift_each_other():
    quiet, busy = desk_of(Gaussian(d=2)), desk_of(Gaussian(d=2))
    busy.access("other").real(9)
    busy.access("other").rng.normal(9)
    rows = [desk.access(PROTOCOL).synthetic(5).y for desk in (quiet, busy)]
    assert torch.equal(*rows)
    assert torch.equal(*(desk.access("act").real(5).y for desk in (quiet, busy)))
    assert torch.equal(*(desk.access("act").rng.uniform(5) for desk in (quiet, busy)))


def test_access_refuses_with_a_sentence():
    access = access_of(Gaussian(d=2))
    for ask in (
        access.real,
        lambda: access.real(3, x=torch.empty(2, 3, 0)),
        lambda: access.real(-1),
        lambda: access.real(1.5),
    ):
        with pytest.raises(ContractError, match=r"number of rows|whole number"):
            ask()
    with pytest.raises(Incompatible, match="cannot verify"):
        access.verify(access.real(2))
    with pytest.raises(ContractError, match="phi must lie"):
        access_of(Linear()).verify(access.real(2), phi=1.1)
    with pytest.raises(Incompatible, match="exact-law draws no answers"):
        access_of(Gaussian(sampler="exact-law")).real(x=torch.empty(2, 3, 0))
    assert access.ledger.total("verifier_calls") == 2  # the call is paid before it is served


def test_a_verifier_that_errs():
    """Right rows pass with probability phi, wrong ones with psi; 2 x 4000 rows, 5 standard errors."""
    access = access_of(Linear(d=2, noise=1.0))
    rows = access.real(4000)
    right = access.verify(rows)
    assert abs(float(right.double().mean()) - 0.9545) < 5 * (0.9545 * 0.0455 / 8000) ** 0.5
    passed = access.verify(rows, phi=0.7, psi=0.2)
    for which, share in ((right, 0.7), (~right, 0.2)):
        n = int(which.sum())
        assert (
            abs(float(passed[which].double().mean()) - share) < 5 * (share * (1 - share) / n) ** 0.5
        )


@pytest.mark.parametrize(
    ("method", "fits"), [("ecosystem(m=3)", 3), ("neon", 2), ("autophagy-penalty(pupils=2)", 3)]
)
def test_further_fits_are_charged(method, fits):
    """In generations 1 and 2; generation 0 is one fit."""
    told = run_chains(
        cell_of(f"gaussian | gaussian-fit | replace | {method} @ n=20 T=2"), [0, 1]
    ).facts.ledger
    assert told["fits"] == (1 + 2 * fits,) * 2
    assert told["fits_by_methods"] == (2 * (fits - 1),) * 2


@dataclass(frozen=True)
class Around(Model):
    """A class around a model, which fits it three times."""

    model: Model
    vectorized = True

    def fit(self, corpus, rng, before=None):
        return [self.model.fit(corpus, rng.at(i), before) for i in range(3)][-1]


@dataclass(frozen=True)
class Hidden(Mitigation):
    """Fits without ``access.fit``."""

    how: str = "around"

    def adapt(self, model, access):
        if self.how == "adapt":
            model.fit(access.synthetic(9), access.rng)
            return model
        if self.how == "class":
            return Around(model)
        chains = range(2)

        def twice(inner, corpus, rng, before):
            if self.how == "by chain":
                for r in chains:
                    inner.fit(corpus[r], rng[r], None)
            return access.fit(inner, corpus, before) and inner.fit(corpus, rng, before)

        return model.with_training(twice)


@pytest.mark.parametrize(
    ("acts", "fits"),
    [
        ([Hidden("adapt")], {"Hidden": 1}),
        ([Hidden("class")], {"Hidden": 2}),
        ([Hidden()], {"Hidden": 1}),
        ([Hidden("by chain")], {"Hidden": 2}),
        # each of the three fits of the outer one is two of the inner one
        ([Hidden(), Hidden("class")], {"Hidden": 3, "Hidden#2": 2}),
    ],
)
def test_fits_are_charged_to_the_method_that_calls(acts, fits):
    cell = replace(
        cell_of("gaussian | gaussian-fit | replace @ n=20 T=1", seeds="0:2"),
        mitigations=tuple(acts),
    )
    counts = list(generations(cell))[-1].ledger.counts
    charged = {user: n for (user, what), n in counts.items() if what == "fits"}
    assert charged == {"protocol": 2, **fits}


def test_weights_that_are_tried_are_fits():
    told = run_chains(
        cell_of("gaussian | gaussian-fit | mix | tuned-weighting(steps=4) @ n=20 T=2"), [0]
    ).facts.ledger
    assert told["fits"] == (1 + 2 * 5,)


shares = st.lists(st.tuples(users, st.integers(1, 12)), max_size=20)


@given(shares, st.randoms(use_true_random=False))
def test_shares_of_fits_add_up_in_any_order(entries, rng):
    """12 chains; a new generation, which copies the ledger, may begin after each fit."""
    shuffled = rng.sample(entries, len(entries))
    for order in (entries, shuffled):
        ledger = Ledger()
        for user, chains in order:
            ledger.charge_fit(user, chains, 12)
            ledger = ledger.copy() if rng.random() < 0.5 else pickle.loads(pickle.dumps(ledger))
        for user in ("one", "two", PROTOCOL):
            fitted = sum(chains for other, chains in entries if other == user)
            assert ledger.counts.get((user, "fits"), 0) == -(-fitted // 12)


def test_a_share_beyond_the_budget_charges_nothing():
    ledger = Ledger().under({"fits": 1})
    for _ in range(3):
        ledger.charge_fit("one", 4, 12)
    with pytest.raises(OverBudget, match="one asked for 1 fits, 2 in total; the budget allows 1"):
        ledger.charge_fit("one", 4, 12)
    assert (ledger.counts, ledger.spare) == ({("one", "fits"): 1}, {"one": 0})


@dataclass(frozen=True)
class OneChain(Mitigation):
    """Fits chain 0 of those of the run once more."""

    through_access: bool = False

    def adapt(self, model, access):
        rows = access.synthetic(9)[0]
        if self.through_access:
            access.fit(model, rows, rng=access.rng[0])
        else:
            model.fit(rows, access.rng[0])
        return model


@pytest.mark.parametrize("through_access", [False, True])
@pytest.mark.parametrize(("generations_", "fits"), [(1, 1), (3, 1), (4, 2)])
def test_a_share_of_a_fit_is_charged_also_at_the_end_of_a_chain(through_access, generations_, fits):
    cell = replace(
        cell_of(f"gaussian | gaussian-fit | replace @ n=20 T={generations_}", seeds="0:3"),
        mitigations=(OneChain(through_access),),
    )
    ledger = list(generations(cell))[-1].ledger
    assert ledger.by_methods("fits") == fits  # a third in each generation, rounded up
    assert ledger.total("fits") == generations_ + 1 + fits
