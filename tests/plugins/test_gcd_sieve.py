"""The sieve rule: its answers, its accuracies in closed form, and what it forgets and finds again."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter

import pytest
import torch

from collapse_bench import cell_of, generations, theory
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Incompatible
from collapse_bench.lib.text.arithmetic import decode, encode
from collapse_bench.plugins.generators.gcd import Gcd
from collapse_bench.plugins.models import gcd_sieve
from collapse_bench.plugins.models.gcd_sieve import GcdSieve, SieveTeacher, Units


def knowing(chances, base=10, digits=3, most=100, R=()):
    """A teacher that says each prime power with the chance that ``chances(p, k, q)`` gives."""
    units = Units.of(most, base, digits, torch.device("cpu"))
    rows = zip(units.p.tolist(), units.k.tolist(), units.q.tolist(), strict=True)
    r = torch.tensor([float(chances(p, k, q)) for p, k, q in rows], dtype=torch.float64)
    return SieveTeacher(r.expand(*R, -1), units, base)


def asked(g, n=1, base=10, digits=3):
    """n questions whose answer is g."""
    return encode(torch.tensor([[g, g]]).expand(n, 2), base, digits)


# -- the rule -------------------------------------------------------------------------------------------------------


def test_the_largest_known_divisor_of_both_is_said():
    teacher = knowing(lambda p, k, q: q in (2, 4, 3, 5, 25, 49))  # 49 without 7 is never reached
    members = [g for g in range(1, 1000) if 300 % g == 0]
    for a, b in [
        (600, 450),
        (7, 14),
        (16, 8),
        (27, 81),
        (49, 98),
        (125, 250),
        (1, 999),
        (900, 900),
    ]:
        said = teacher.answer(encode(torch.tensor([[a, b]]), 10, 3), Stream(1))
        assert decode(said, 10, 1).item() == max(d for d in members if math.gcd(a, b) % d == 0)


@pytest.mark.parametrize("primes", [(), (2,), (3,), (5,), (2, 5), (2, 3), (2, 3, 5), (2, 3, 5, 7)])
def test_accuracies_are_those_of_the_closed_form(primes):
    """Published sets of primes at operands to 10^6: error and learned count, powers beyond 100 being too rare to see."""
    chains, test = 20, 1000
    data = Gcd(max=10**6, test=test, each=2).sample_truth(Stream(range(chains)))
    scores = data.losses(
        knowing(lambda p, k, q: p in primes, R=(chains,)), Stream(range(chains)).at("exam")
    )
    D = math.prod(primes)
    law = theory.gcd.accuracy(D, N=10**6)
    assert abs(law - theory.gcd.accuracy(D)) < 2e-6
    assert abs(float(1 - scores["error"].mean()) - law) < 4 * math.sqrt(
        law * (1 - law) / (chains * test)
    )
    assert scores["unlearned"].tolist() == [100 - theory.gcd.learned_count(D)] * chains


def test_the_published_accuracies():
    """Per cent and learned counts of the closed form, as given with the paper's rule."""
    due = {
        1: (60.79, 1),
        2: (81.06, 7),
        3: (68.39, 5),
        5: (63.33, 3),
        10: (84.43, 15),
        6: (91.19, 20),
    }
    due |= {30: (94.99, 34), 210: (96.97, 46)}
    for D, (per_cent, learned) in due.items():
        assert round(100 * theory.gcd.accuracy(D), 2) == per_cent
        assert theory.gcd.learned_count(D) == learned


# -- chances --------------------------------------------------------------------------------------------------------


def doubtful(p, k, q):
    return {2: 0.9, 4: 0.6, 3: 0.5, 5: 0.2}.get(q, 0.0)


@pytest.mark.parametrize(
    "settings", [{}, {"temperature": 0.5}, {"min_p": 0.3}, {"top_p": 0.85}, {"top_k": 1}]
)
def test_what_is_said_has_the_probability_that_is_told(settings):
    teacher, n = knowing(doubtful).decoded(**settings), 20_000
    seen = Counter(decode(teacher.answer(asked(60, n), Stream(7)), 10, 1)[:, 0].tolist())
    every = [d for d in range(1, 61) if 60 % d == 0]
    told = (
        teacher.logp(asked(60, len(every)), encode(torch.tensor(every)[:, None], 10, 3))
        .sum(-1)
        .exp()
    )
    assert float(told.sum()) == pytest.approx(1)
    for d, p in zip(every, told.tolist(), strict=True):
        assert abs(seen[d] / n - p) < 4 * math.sqrt(p * (1 - p) / n) + 1e-9


def test_the_law_is_token_by_token():
    """60 gives 1 or 12 with 0.75 and 0.25: after the sign the 1 is certain, then the end has 0.75."""
    teacher = knowing(lambda p, k, q: {2: 0.5, 4: 1.0, 3: 1.0}.get(q, 0.0))  # 3, 12
    y = torch.tensor([[10, 3, -1, -1], [10, 1, 2, -1], [10, 1, -1, -1], [10, 7, -1, -1]])
    told = teacher.logp(asked(60, 4), y)
    half = math.log(0.5)
    assert told[0].tolist() == pytest.approx([0, half, 0, 0])
    assert told[1].tolist() == pytest.approx([0, half, 0, 0])
    assert told[2].tolist() == pytest.approx([0, half, -math.inf, 0])
    assert told[3].tolist() == pytest.approx(
        [0, -math.inf, -math.inf, 0]
    )  # nothing is said beyond the end


@pytest.mark.parametrize(("base", "R"), [(10, ()), (2, (3,)), (7, (2, 2))])
def test_the_law_of_a_row_does_not_depend_on_the_other_rows(base, R):
    """Rows with the same g and the same answer share a computation, chains and g do not."""
    data, rng = Gcd(base=base, max=300), Stream(torch.arange(math.prod(R)).reshape(R).numpy())
    units = Units.of(100, base, data.digits, torch.device("cpu"))
    teacher = SieveTeacher(rng.at("r").uniform(len(units.p)).double(), units, base)
    x = data.ask(60, rng.at("x"))
    odd = rng.at("odd").integers(base + 3, 60, 1 + data.digits) - 1  # also a token that is none
    y = torch.where(rng.at("which").uniform(60, 1) < 0.2, odd, teacher.answer(x, rng.at("y")))
    told = teacher.logp(x, y)
    assert told.shape == y.shape
    for r in itertools.product(*map(range, R)):
        single = dataclasses.replace(teacher, r=teacher.r[r])
        for i in range(60):
            one = single.logp(x[r][i : i + 1], y[r][i : i + 1])
            assert torch.equal(one[0], told[r][i])


def test_no_rows_have_no_law():
    teacher = knowing(lambda p, k, q: 0.5, R=(2,))
    x, y = torch.zeros(2, 0, 8, dtype=torch.int64), torch.zeros(2, 0, 4, dtype=torch.int64)
    assert teacher.logp(x, y).shape == (2, 0, 4)


def test_a_prime_power_is_read_as_a_choice_of_two():
    teacher = knowing(lambda p, k, q: {2: 0.8, 3: 0.3}.get(q, 0.0))

    def chances(**settings):
        reach = teacher.decoded(**settings).reach
        return [float(reach[teacher.units.index(q)]) for q in (2, 3)]

    assert chances() == pytest.approx([0.8, 0.3])
    assert chances(temperature=0.5) == pytest.approx([0.64 / 0.68, 0.09 / 0.58])
    assert chances(top_k=1) == [1, 0]
    assert chances(top_p=0.75) == pytest.approx([1, 0.3])
    assert chances(min_p=0.3) == pytest.approx([1, 0.3])
    assert teacher.blend(knowing(lambda p, k, q: 0.0), 0.25).r[
        teacher.units.index(2)
    ] == pytest.approx(0.6)
    with pytest.raises(Incompatible, match="processor"):
        teacher.decoded(processor=lambda logp, context: logp)


# -- learning -------------------------------------------------------------------------------------------------------


def training_set(rows, weight=None, base=10, digits=3):
    """Corpus of (g, what was said of it)."""
    x = torch.cat([asked(g, 1, base, digits) for g, _ in rows])
    y = torch.cat([encode(torch.tensor([[s]]), base, digits) for _, s in rows])
    return Corpus.of(
        x,
        y,
        (),
        None if weight is None else torch.tensor(weight, dtype=torch.float64),
        labels=base + 1,
    )


def test_chances_are_shares_of_the_rows_that_ask():
    rows = [(12, 4), (2, 2), (6, 1), (8, 4), (3, 1), (9, 3)]
    teacher = GcdSieve(examples=1, grok=1, most=10).fit(training_set(rows), None)
    told = dict(zip(teacher.units.q.tolist(), teacher.r.tolist(), strict=True))
    assert told == pytest.approx({2: 3 / 4, 4: 1.0, 8: 0.0, 3: 1 / 4, 9: 0.0, 5: 0.0, 7: 0.0})
    weighed = GcdSieve(examples=2.5, grok=1, most=10, noise=0.2).fit(
        training_set(rows, [2, 1, 1, 1, 0, 1]), None
    )
    told = dict(zip(weighed.units.q.tolist(), weighed.r.tolist(), strict=True))
    assert told == pytest.approx({2: 0.8 * 4 / 5, 4: 0.8, 8: 0.0, 3: 0.0, 9: 0.0, 5: 0.0, 7: 0.0})


@pytest.mark.parametrize(("g", "powers"), [(1, 0), (2, 1), (12, 3), (60, 4)])
def test_every_class_has_the_noise_of_its_prime_powers(g, powers):
    teacher = GcdSieve(examples=1, grok=1, noise=0.1).fit(training_set([(60, 60)] * 3), None)
    right = teacher.logp(asked(g), encode(torch.tensor([[g]]), 10, 3)).sum(-1).exp()
    assert right.item() == pytest.approx(0.9**powers)
    greedy = teacher.decoded(top_k=1).answer(asked(g), Stream(1))
    assert decode(greedy, 10, 1).item() == g


def test_a_fit_to_many_pairs_is_that_without_a_table(monkeypatch):
    rng, data = Stream([1, 2]), Gcd(max=200)
    x = data.ask(300, rng.at("x"))
    said = rng.at("said").integers(220, 300)  # 0, and numbers that do not divide, are among them
    y = torch.where((said > 0)[..., None], encode(said.clamp_min(1)[..., None], 10, 3), -1)
    corpus = Corpus.of(x, y, (2,), rng.at("w").uniform(300), labels=11)
    model = GcdSieve(examples=1, grok=1)
    by_table = model.fit(corpus, None).r
    monkeypatch.setattr(gcd_sieve, "LARGEST", 0)
    assert torch.equal(model.fit(corpus, None).r, by_table)
    assert ((by_table > 0) & (by_table < 1)).any(-1).all()


def test_what_spells_no_number_is_not_read():
    good, odd = training_set([(2, 2), (2, 2)]), training_set([(2, 2), (2, 2), (2, 2)])
    odd = odd.edited(y=torch.cat([odd.y[:2], torch.tensor([[10, 0, 2, -1]])]))
    learn = GcdSieve(examples=1, grok=1)
    assert torch.equal(learn.fit(good, None).r, learn.fit(odd, None).r)


@pytest.mark.parametrize(
    ("base", "first"), [(10, {2, 5}), (30, {2, 3, 5}), (420, {2, 4, 3, 5, 7}), (11, set())]
)
def test_powers_that_divide_the_base_come_first(base, first):
    data = Gcd(base=base, max=5000).sample_truth(Stream(0))
    x = data.ask(4000, Stream(1))
    teacher = GcdSieve(examples=10, grok=10**4, most=10).fit(
        Corpus.of(x, data.answer(x), (), labels=base + 1), Stream(2)
    )
    assert {
        q for q, r in zip(teacher.units.q.tolist(), teacher.r.tolist(), strict=True) if r
    } == first


# -- over generations -----------------------------------------------------------------------------------------------

WORLD = "gcd(max=1000, test=50, each=1) | gcd-sieve(examples=6, grok=1.5"


def known(spec, chains=20):
    for now in generations(cell_of(spec, seeds=range(chains))):
        yield now.teacher.r > 0


@pytest.mark.parametrize(
    "protocol", ["replace", "accumulate", "verify-filter", "replace(decode=temperature(t=0.5))"]
)
def test_a_pupil_knows_no_more_than_its_teacher(protocol):
    sets = list(known(f"{WORLD}) | {protocol} @ n=250 T=6"))
    for taught, learnt in itertools.pairwise(sets):
        assert not (learnt & ~taught).any()
    lost = (sets[0] & ~sets[-1]).sum()
    assert lost == 0 if protocol == "accumulate" else lost > 8


def chances_of_three(cell, start=None):
    """Mean chance that 3 is said, fit by fit."""
    return [
        float(now.teacher.r[..., now.teacher.units.index(3)].mean())
        for now in generations(cell, start)
    ]


def test_real_rows_bring_skills_back_slowly():
    """r' = (1 - noise)(p + (1 - p) r), from a teacher that knows nothing and from one that knows all."""
    p, noise = 0.3, 0.02
    cell = cell_of(f"{WORLD}, noise={noise}) | mix(real={p}) @ n=2000 T=8", seeds=range(30))
    blank = dataclasses.replace(
        next(generations(cell)), teacher=knowing(lambda p, k, q: 0.0, digits=4, R=(30,))
    )
    due = [0.0]
    for _ in range(8):
        due.append((1 - noise) * (p + (1 - p) * due[-1]))
    assert chances_of_three(cell, blank) == pytest.approx(due[1:], abs=0.02)
    assert chances_of_three(cell)[-1] == pytest.approx(
        (1 - noise) * p / (1 - (1 - noise) * (1 - p)), abs=0.02
    )


def test_cold_reading_settles_what_noise_blurs():
    """At temperature 1 a chance falls by the noise in every generation; read greedily it is made certain again."""
    spec = "gcd(max=100, test=5, each=1) | gcd-sieve(examples=1, grok=1, noise=0.1, most=2) | {} @ n=400 T=9"
    warm, cold = (
        [
            float(now.teacher.r.mean())
            for now in generations(cell_of(spec.format(protocol), seeds=range(40)))
        ][-1]
        for protocol in ("replace", "replace(decode=top-k(k=1))")
    )
    assert warm == pytest.approx(0.9**10, abs=0.03)
    assert cold == pytest.approx(0.9)


def test_other_sequences_are_refused():
    cell = cell_of("gcd | gcd-sieve @ n=10 T=0")
    assert cell.incompatibility() is None

    class Words(Gcd):
        family = "text"

    other = dataclasses.replace(cell, data=Words())
    assert "greatest common divisor" in cell.model.incompatibility(other)
