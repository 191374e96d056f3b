"""Greatest common divisors: the laws of the questions, the exams, and a verifier that lets nothing through."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from collapse_bench.core.components import Teacher
from collapse_bench.core.rng import Stream
from collapse_bench.errors import UsageError
from collapse_bench.lib.text.arithmetic import decode, encode
from collapse_bench.plugins.generators.gcd import Gcd
from collapse_bench.registry.discovery import registry

ROWS = 40_000


def pairs(data, n=ROWS, seed=1):
    return decode(data.ask(n, Stream(seed)), data.base, 2)


def near(count, n, p):
    """A share of n draws, to four standard errors."""
    assert abs(count / n - p) < 4 * math.sqrt(p * (1 - p) / n) + 1e-12, (count / n, p)


# -- questions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [2, 10, 1000])
def test_uniform_pairs_have_the_gcd_of_uniform_pairs(base):
    data = Gcd(base=base, max=300)
    drawn = pairs(data)
    assert drawn.min() >= 1
    assert drawn.max() == 300
    due = Counter(math.gcd(a, b) for a in range(1, 301) for b in range(1, 301))
    seen = Counter(torch.gcd(*drawn.unbind(-1)).tolist())
    for g in range(1, 12):
        near(seen[g], ROWS, due[g] / 300**2)
    near(int((drawn[:, 0] <= 100).sum()), ROWS, 1 / 3)


def test_log_uniform_operands_are_floors_of_powers():
    drawn = pairs(Gcd(max=1000, operands="log-uniform"))
    for m in (1, 2, 10, 99):
        near(int((drawn == m).sum()), 2 * ROWS, math.log((m + 1) / m) / math.log(1000))
    assert drawn.max() < 1000


@pytest.mark.parametrize(
    ("outcomes", "power"), [("uniform", 0), ("inverse", 1), ("inverse-sqrt", 0.5)]
)
def test_outcomes_are_drawn_by_their_law(outcomes, power):
    drawn = pairs(Gcd(max=1000, outcomes=outcomes))
    g = torch.gcd(*drawn.unbind(-1))
    assert g.max() <= 100
    assert drawn.max() <= 1000
    total = sum(g**-power for g in range(1, 101))
    for value in (1, 2, 7, 50, 100):
        near(int((g == value).sum()), ROWS, value**-power / total)


def test_the_rest_of_a_chosen_outcome_is_any_coprime_pair():
    drawn = pairs(Gcd(max=12, outcomes="uniform"), 20_000)
    g = torch.gcd(*drawn.unbind(-1))
    seen = Counter(map(tuple, (drawn[g == 2] // 2).tolist()))
    due = [(a, b) for a in range(1, 7) for b in range(1, 7) if math.gcd(a, b) == 1]
    assert set(seen) == set(due)
    for pair in due:
        near(seen[pair], int((g == 2).sum()), 1 / len(due))


def test_a_share_of_the_outcomes_is_chosen():
    g = torch.gcd(*pairs(Gcd(max=10_000, outcomes="uniform", share=0.3)).unbind(-1))
    ones = sum(math.gcd(a, b) == 1 for a in range(1, 200) for b in range(1, 200)) / 199**2
    near(int((g == 1).sum()), ROWS, 0.3 / 100 + 0.7 * ones)


# -- truth ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [3, 10])
def test_every_pair_has_one_answer(base):
    data = Gcd(base=base, max=30)
    values = torch.cartesian_prod(torch.arange(1, 31), torch.arange(1, 31))
    x = encode(values, base, data.digits)
    due = torch.tensor([math.gcd(a, b) for a, b in values.tolist()])
    y = data.answer(x)
    assert torch.equal(decode(y, base, 1)[:, 0], due)
    assert data.verify(x, y).all()
    for other in range(1, 31):
        said = encode(torch.full_like(due, other)[:, None], base, data.digits)
        assert torch.equal(data.verify(x, said), due == other)


@pytest.mark.parametrize(
    "wrong",
    [
        [10, 0, 6, -1],  # a zero in front
        [10, 6, 0, -1],  # another digit behind
        [6, -1, -1, -1],  # no sign
        [10, 6, 10, -1],  # two signs
        [10, -1, -1, -1],  # no digit
        [-1, -1, -1, -1],
        [10, 3, -1, -1],
        [10, 6, -1, 6],  # a token after the end
    ],
)
def test_an_answer_is_right_token_for_token(wrong):
    data = Gcd(max=100)
    x = encode(torch.tensor([[12, 18]]), 10, 3)
    assert data.verify(x, torch.tensor([[10, 6, -1, -1]])).tolist() == [True]
    assert data.verify(x, torch.tensor([wrong])).tolist() == [False]


def test_nature_is_certain():
    data = Gcd(max=100)
    x = data.ask(50, Stream([1, 2]))
    y = data.answer(x)
    assert torch.equal(data.logp(x, y), torch.zeros(y.shape).double())
    assert torch.equal(data.decoded(temperature=3.0).answer(x), y)
    said = data.logp(x, y.roll(1, 1))
    assert ((said == 0) | (said == -math.inf)).all()
    assert torch.equal((said == 0).all(-1), data.verify(x, y.roll(1, 1)))
    assert data.spell(torch.tensor([[10, 1, 2, -1]])) == ["+ 1 2"]


# -- exams ----------------------------------------------------------------------------------------------------------


def test_the_stratified_exam_has_each_gcd_as_often():
    data = Gcd(base=7, max=250, each=3)
    x = data.stratified_exam(Stream([4, 5]))
    operands = decode(x, 7, 2)
    assert operands.max() <= 250
    g = torch.gcd(*operands.unbind(-1)).unflatten(-1, (100, 3))
    assert torch.equal(g, torch.arange(1, 101)[:, None].expand(2, 100, 3))


def test_the_natural_exam_is_uniform_whatever_is_learnt_from():
    data = Gcd(max=200, operands="log-uniform", outcomes="uniform", test=20_000)
    operands = decode(data.natural_exam(Stream(3)), 10, 2)
    near(int((operands[:, 0] <= 50).sum()), 20_000, 0.25)
    assert torch.gcd(*operands.unbind(-1)).max() > 100


class Knows(Teacher):
    """Right for the first ``right`` of a hundred pairs of each g in turn, else silent."""

    def __init__(self, data, right):
        self.data, self.right = data, right

    def decoded(self, **settings):
        assert settings == {"top_k": 1}
        return self

    def answer(self, x, rng):
        place = torch.arange(x.shape[-2]) % 100
        return torch.where((place < self.right)[:, None], self.data.answer(x), -1)


@pytest.mark.parametrize(("right", "unlearned"), [(100, 0), (95, 0), (94, 100), (0, 100)])
def test_a_gcd_is_learned_at_95_per_cent(right, unlearned):
    data = Gcd(max=1000, test=100)
    scores = data.losses(Knows(data, right), Stream([1, 2]))
    assert scores["unlearned"].tolist() == [unlearned] * 2
    assert scores["error"].tolist() == pytest.approx([1 - right / 100] * 2)
    assert scores["wrong_gcd_7"].tolist() == pytest.approx([1 - right / 100] * 2)
    assert len(scores) == 102


class Guesses(Teacher):
    """Says 1, 2 or 3, whatever the question."""

    def __init__(self, data):
        self.data = data

    def decoded(self, **settings):
        return self

    def answer(self, x, rng):
        said = rng.integers(3, x.shape[-2]) + 1
        return encode(said[..., None], self.data.base, self.data.digits)


def test_exams_are_drawn_once_for_each_stream_and_stay_the_same(monkeypatch):
    data = Gcd(max=40, test=30, each=2)
    truth, teacher = data.sample_truth(Stream([1, 2]).at("truth")), Guesses(data)
    streams = [Stream(seeds).at("exam") for seeds in ([1, 2], [1, 2], [1, 3], [1, 2])]
    without = [data.losses(teacher, rng) for rng in streams]  # nothing is kept without a truth
    drawn, natural = [], Gcd.natural_exam
    monkeypatch.setattr(Gcd, "natural_exam", lambda *args: drawn.append(1) or natural(*args))
    for rng, own, times in zip(streams, without, (1, 1, 2, 3), strict=True):
        kept = truth.losses(teacher, rng)
        assert own.keys() == kept.keys()
        assert all(torch.equal(own[name], kept[name]) for name in own)
        assert len(drawn) == times
    assert not torch.equal(without[0]["error"], without[2]["error"])


def test_a_small_world_has_fewer_classes():
    scores = Gcd(max=12, test=5, each=1).losses(Gcd(max=12), Stream(1))
    assert set(scores) == {"error", "unlearned", *(f"wrong_gcd_{g}" for g in range(1, 13))}
    assert all(float(value) == 0 for value in scores.values())


# -- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gcd(base=1)", "base must be >= 2"),
        ("gcd(max=1)", "max must be >= 2"),
        ("gcd(max=2000000000)", "<= 1000000000"),
        ("gcd(operands=normal)", "uniform"),
        ("gcd(outcomes=squares)", "inverse-sqrt"),
        ("gcd(share=0.5)", "choose outcomes="),
        ("gcd(each=0)", "each must be >= 1"),
        ("gcd(bases=3)", "base"),
    ],
)
def test_what_is_refused(text, said):
    with pytest.raises(UsageError, match=said.replace("(", r"\(")):
        registry().build("generator", text)
