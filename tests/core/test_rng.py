"""A draw is a pure function of (seed, path, position), and follows its law."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from collapse_bench.core.rng import _GAMMA, Stream, _finalise

Z = 5.0  # standard errors; about 200 comparisons are made in this file, each with a fixed seed

#: every kind of draw, as a function of a stream with any replicates
DRAWS = {
    "uniform": lambda s: s.uniform(7, 2),
    "normal": lambda s: s.normal(3, 3),
    "integers": lambda s: s.integers(10, 9),
    "permutation": lambda s: s.permutation(8),
    "gumbel": lambda s: s.gumbel(5),
    "chi2": lambda s: s.chi2([0.3, 1.0, 2.0, 9.5]),
    "multinomial": lambda s: s.multinomial(
        50, torch.tensor([0.5, 0.0, 0.2, 0.3]).expand(*s.chain_shape, 4)
    ),
    "multinomials": lambda s: s.multinomials(
        torch.tensor([50, 7]).expand(*s.chain_shape, 2),
        torch.tensor([[0.5, 0.2, 0.3, 0.0], [0.0, 0.0, 1.0, 0.0]]).expand(*s.chain_shape, 2, 4),
    ),
    "hypergeometric": lambda s: s.hypergeometric(
        torch.tensor([9, 0, 4, 7]).expand(*s.chain_shape, 4), torch.tensor(6).expand(s.chain_shape)
    ),
}
#: draws of which the first k rows must not depend on how many are asked for
GROWING = {
    "uniform": lambda s, n: s.uniform(n, 3),
    "normal": lambda s, n: s.normal(n, 3),
    "integers": lambda s, n: s.integers(10, n),
    "gumbel": lambda s, n: s.gumbel(n),
    "chi2": lambda s, n: s.chi2([0.5, 3.0] * n),
}

seeds = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=5, unique=True)
names = st.lists(st.text("abc/#01", max_size=4), max_size=3)
kinds = st.sampled_from(sorted(DRAWS))


# -- pure functions -------------------------------------------------------------------------------------------------


@given(seeds, names, kinds, st.data())
def test_replicate_by_itself_among_others_and_sliced(seeds, path, kind, data):
    draw = DRAWS[kind]
    among = draw(Stream(seeds).at(*path))
    r = data.draw(st.integers(0, len(seeds) - 1))
    assert torch.equal(draw(Stream(seeds[r]).at(*path)), among[r])
    assert torch.equal(draw(Stream(seeds).at(*path)[r]), among[r])
    assert torch.equal(draw(Stream(seeds)[r].at(*path)), among[r])
    assert torch.equal(draw(Stream(seeds[r:]).at(*path)), among[r:])


@given(kinds, st.integers(0, 2**40))
def test_replicates_of_any_shape(kind, seed):
    draw, flat = DRAWS[kind], seed + np.arange(6)
    assert torch.equal(draw(Stream(flat.reshape(2, 3))).flatten(0, 1), draw(Stream(flat)))
    assert torch.equal(draw(Stream(flat.reshape(2, 3))[1]), draw(Stream(flat[3:])))
    assert torch.equal(draw(Stream(flat.reshape(2, 3))[1, 2]), draw(Stream(int(flat[5]))))


@given(st.sampled_from(sorted(GROWING)), seeds, st.integers(0, 40), st.integers(0, 40))
def test_first_rows_do_not_depend_on_how_many(kind, seeds, n, more):
    draw = GROWING[kind]
    few, many = draw(Stream(seeds), n), draw(Stream(seeds), n + more)
    assert torch.equal(few, many[:, : few.shape[1]])


@pytest.mark.parametrize("kind", ["uniform", "normal", "gumbel"])
@pytest.mark.parametrize("n", [2**15 - 1, 2**15, 2**15 + 1, 2**16 + 3])
def test_first_rows_across_blocks(kind, n):
    """Blocks are a matter of cache, not of numbers: one long draw, many short ones, all the same."""
    draw = getattr(Stream([3, 4, 5]), kind)(n)
    assert torch.equal(getattr(Stream([3, 4, 5]), kind)(2**17)[:, :n], draw)
    assert torch.equal(getattr(Stream(5), kind)(n), draw[2])


def test_many_replicates_across_blocks():
    many = Stream(np.arange(40_000)).uniform(3)
    for r in (0, 10_921, 10_922, 10_923, 32_767, 32_768, 39_999):
        assert torch.equal(Stream(r).uniform(3), many[r])


@given(seeds, kinds, st.lists(kinds, max_size=4))
def test_fork_does_not_depend_on_what_was_drawn(seeds, kind, history):
    fresh, used = Stream(seeds), Stream(seeds)
    for past in history:
        DRAWS[past](used)
    assert torch.equal(DRAWS[kind](fresh.at("child")), DRAWS[kind](used.at("child")))
    assert torch.equal(DRAWS[kind](fresh.at("a", 1)), DRAWS[kind](fresh.at("a").at("1")))


@given(seeds, kinds, st.lists(kinds, max_size=3))
def test_slice_goes_on_where_the_whole_stood(seeds, kind, history):
    stream = Stream(seeds)
    for past in history:
        DRAWS[past](stream)
    part = stream[0]
    assert torch.equal(DRAWS[kind](part), DRAWS[kind](stream)[0])


@given(seeds, st.sampled_from(["uniform", "normal", "gumbel", "chi2"]))
def test_draws_differ(seeds, kind):
    stream = Stream(seeds)
    first, second, forked = DRAWS[kind](stream), DRAWS[kind](stream), DRAWS[kind](stream.at("a"))
    other_path, other_seed = (
        DRAWS[kind](stream.at("b")),
        DRAWS[kind](Stream([s ^ 1 for s in seeds])),
    )
    for other in (second, forked, other_path, other_seed):
        assert not (first == other).any()
    assert not (forked == other_path).any()


def test_survives_pickling_with_its_place():
    stream = Stream([1, 2], path="x")
    stream.uniform(3)
    assert torch.equal(pickle.loads(pickle.dumps(stream)).normal(4), stream.normal(4))


def test_torch_generator_is_of_one_run():
    def draw(stream):
        return torch.rand(5, generator=stream.torch_generator())

    assert torch.equal(draw(Stream(3).at("fit")), draw(Stream([2, 3]).at("fit")[1]))
    assert not torch.equal(draw(Stream(3).at("fit")), draw(Stream(4).at("fit")))
    with pytest.raises(ValueError, match="serves one chain"):
        Stream([3]).torch_generator()


def test_refusals():
    with pytest.raises(ValueError, match="seeds must lie"):
        Stream([-1])
    for high in (0, 2**31 + 1):
        with pytest.raises(ValueError, match="high must lie"):
            Stream(0).integers(high, 2)
    with pytest.raises(ValueError, match="df must be positive"):
        Stream(0).chi2([1.0, 0.0])


def test_shapes_and_types():
    stream = Stream(np.arange(6).reshape(2, 3))
    assert stream.uniform().shape == stream.chi2(2.0).shape == (2, 3)
    assert Stream(0).uniform().shape == Stream(0).chi2(2.0).shape == ()
    assert stream.normal(0, 4).shape == (2, 3, 0, 4)
    assert (
        stream.uniform(2).dtype
        == stream.gumbel(2).dtype
        == stream.chi2([1.0]).dtype
        == torch.float64
    )
    assert stream.normal(2).dtype == torch.float32
    assert stream.integers(3, 2).dtype == stream.permutation(2).dtype == torch.int64


# -- laws -----------------------------------------------------------------------------------------------------------


def agrees(sample: torch.Tensor, cdf) -> None:
    """Kolmogorov-Smirnov at p > 1e-4, mean of the probability transform within Z standard errors of 1/2."""
    flat = sample.double().flatten().numpy()
    assert 1e-4 < stats.kstest(flat, cdf).pvalue < 1 - 1e-4  # nor may it fit too well
    u = cdf(flat)
    assert abs(u.mean() - 0.5) < Z * math.sqrt(1 / 12 / u.size)


def test_uniform_law():
    u = Stream([0, 1, 2, 3]).uniform(100_000)
    agrees(u, stats.uniform.cdf)
    assert 0 < float(u.min()) < 1e-4
    assert 1 - 1e-4 < float(u.max()) < 1


def test_normal_law():
    z = Stream([0, 1, 2, 3]).normal(100_000)
    agrees(z, stats.norm.cdf)
    flat = z.double().flatten()
    N = flat.numel()
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10_170)):
        assert abs(float((flat**power).mean()) - mean) < Z * math.sqrt(variance / N), power
    for reach in (2, 3, 4):
        due = N * 2 * stats.norm.sf(reach)
        assert abs(int((flat.abs() > reach).sum()) - due) < Z * math.sqrt(due), reach
    pairs = flat.reshape(
        -1, 2
    )  # Box-Muller makes two of one word: neither they nor their squares may be related
    for power in (1, 2):
        assert abs(np.corrcoef((pairs**power).T.numpy())[0, 1]) < Z / math.sqrt(N / 2)


def test_normal_reaches_its_tail():
    """Of 2e7 draws, about 11.5 lie beyond 5 sigma, and none beyond the 6.8 that 32 bits allow."""
    z = Stream(np.arange(20)).normal(1_000_000).abs()
    due = z.numel() * 2 * stats.norm.sf(5)
    assert abs(int((z > 5).sum()) - due) < Z * math.sqrt(due)
    assert float(z.max()) < 6.8


def test_gumbel_law():
    agrees(Stream([0, 1]).gumbel(100_000), stats.gumbel_r.cdf)


@pytest.mark.parametrize("df", [0.1, 0.5, 1.0, 1.9, 2.0, 3.0, 10.0, 250.0])
def test_chi2_law(df):
    drawn = Stream(np.arange(1000)).chi2([df] * 50)
    agrees(drawn, stats.chi2(df).cdf)
    N = drawn.numel()
    assert abs(float(drawn.mean()) - df) < Z * math.sqrt(2 * df / N)


def test_chi2_elements_do_not_depend_on_neighbours():
    alone, among = Stream([5, 6]).chi2([3.0, 0.5, 7.0]), Stream([5, 6]).chi2([3.0, 0.5, 1.1])
    assert torch.equal(alone[:, :2], among[:, :2])


def test_chi2_elements_do_not_depend_on_others_that_go_round_again():
    """Of 1e6 elements of df = 2, about six have all four candidates refused; the rest must not notice."""
    many = Stream(np.arange(4000)).chi2([2.0] * 250)
    for r in range(0, 4000, 400):
        assert torch.equal(Stream(r).chi2([2.0] * 250), many[r])


def test_two_chi2_draws_are_unrelated():
    """Below two degrees of freedom an element is boosted by a uniform one, which may not come twice."""
    stream = Stream(np.arange(2000))
    first, second = (
        torch.as_tensor(stats.chi2(0.4).cdf(stream.chi2([0.4] * 20).numpy())) for _ in range(2)
    )
    assert abs(correlation_z(first, second)) < Z


def test_integers_law():
    drawn = Stream([0, 1]).integers(7, 70_000)
    assert stats.chisquare(torch.bincount(drawn.flatten(), minlength=7).numpy()).pvalue > 1e-4
    assert torch.equal(drawn.unique(), torch.arange(7))


def test_permutation_law():
    orders = Stream(np.arange(60_000)).permutation(5)
    assert torch.equal(orders.sort(-1).values, torch.arange(5).expand_as(orders))
    codes = (orders * 5 ** torch.arange(5)).sum(-1)
    _, counts = codes.unique(return_counts=True)
    assert counts.numel() == math.factorial(5)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4


def test_multinomials_law():
    """Each row is the law of its own probabilities; totals are exact; what has no probability is never drawn."""
    p = torch.tensor(
        [[0.1, 0.6, 0.3, 0.0], [0.25, 0.25, 0.25, 0.25], [0.0, 1.0, 0.0, 0.0]], dtype=torch.float64
    )
    n, R = torch.tensor([30, 10**15, 0]), 4000
    counts = Stream(np.arange(R)).multinomials(n.expand(R, 3), p.expand(R, 3, 4))
    assert (counts.sum(-1) == n).all()
    assert (counts[:, p == 0] == 0).all()
    share = counts[:, :2].double() / n[:2, None]
    error = (p[:2] * (1 - p[:2]) / n[:2, None] / R).sqrt()
    assert ((share.mean(0) - p[:2]).abs() <= Z * error).all()
    spread = share.var(0) / (p[:2] * (1 - p[:2]) / n[:2, None])
    assert (spread[p[:2] > 0] - 1).abs().max() < Z * math.sqrt(2 / R) * 1.2


def test_multinomial_law():
    p, n, R = torch.tensor([0.55, 0.3, 0.1, 0.05, 0.0], dtype=torch.float64), 40, 20_000
    counts = Stream(np.arange(R)).multinomial(n, p.expand(R, 5))
    assert (counts.sum(-1) == n).all()
    assert (counts[:, 4] == 0).all()
    gap = counts.double() - n * p
    for i in range(4):
        assert abs(float(gap[:, i].mean())) < Z * math.sqrt(n * p[i] * (1 - p[i]) / R)
        for j in range(i + 1):
            due = float(n * (p[i] * (i == j) - p[i] * p[j]))
            products = gap[:, i] * gap[:, j]
            assert abs(float(products.mean()) - due) < Z * float(products.std()) / math.sqrt(R), (
                i,
                j,
            )


def test_hypergeometric_law():
    counts, n, R = torch.tensor([7, 0, 5, 8]), 6, 20_000
    drawn = Stream(np.arange(R)).hypergeometric(counts.expand(R, 4), torch.full((R,), n))
    assert (drawn.sum(-1) == n).all()
    assert (drawn <= counts).all()
    for k in (0, 2, 3):
        observed = torch.bincount(drawn[:, k], minlength=n + 1).numpy()
        due = R * stats.hypergeom(20, int(counts[k]), n).pmf(np.arange(n + 1))
        common = due > 5
        z2 = ((observed - due)[common] ** 2 / due[common]).sum()
        assert stats.chi2(common.sum() - 1).sf(z2) > 1e-4, k


def test_hypergeometric_takes_all_where_there_is_no_more():
    counts = torch.tensor([[3, 0, 2], [0, 0, 0]])
    assert torch.equal(Stream([0, 1]).hypergeometric(counts, torch.tensor([9, 9])), counts)


# -- independence ---------------------------------------------------------------------------------------------------


def correlation_z(a: torch.Tensor, b: torch.Tensor) -> float:
    """Correlation of two uniform samples over its standard error."""
    return float(((a - 0.5) * (b - 0.5)).mean() * 12 * math.sqrt(a.numel()))


@pytest.mark.parametrize("lag", [1, 2, 3, 16, 1000])
def test_neighbouring_seeds_are_unrelated(lag):
    u = Stream(np.arange(2000)).uniform(200)
    assert abs(correlation_z(u[lag:], u[:-lag])) < Z
    shift = u[lag:, 1:], u[:-lag, :-1]  # nor is one the other, moved on by one
    assert abs(correlation_z(*shift)) < Z


@pytest.mark.parametrize("lag", [1, 2, 10])
def test_neighbouring_paths_are_unrelated(lag):
    root = Stream(7)
    u = torch.stack([root.at("generation", t).uniform(400) for t in range(500)])
    assert abs(correlation_z(u[lag:], u[:-lag])) < Z
    calls = torch.stack([root.uniform(400) for _ in range(500)])
    assert abs(correlation_z(calls[lag:], calls[:-lag])) < Z
    assert abs(correlation_z(calls, u)) < Z


@pytest.mark.parametrize("lag", [1, 2, 7, 64])
def test_neighbouring_positions_are_unrelated(lag):
    u = Stream(np.arange(20)).uniform(20_000)
    assert abs(correlation_z(u[:, lag:], u[:, :-lag])) < Z


def by_calls() -> torch.Tensor:
    stream = Stream(5)
    return torch.cat([stream.uniform(64) for _ in range(2**12)])


FIELDS = {
    "positions": lambda: Stream(3).uniform(2**18),
    "seeds": lambda: Stream(np.arange(2**18)).at("x").uniform(),
    "far seeds": lambda: Stream(np.arange(2**18) << 44).uniform(),
    "paths": lambda: torch.cat([Stream(5).at(t).uniform(64) for t in range(2**12)]),
    "calls": by_calls,
}


@pytest.mark.parametrize("field", FIELDS)
def test_pairs_fill_the_square(field):
    """Neighbours two by two in a grid of 64 x 64: as even as chance has it, and no more even."""
    u = FIELDS[field]()
    for lag in (1, 3):
        cells = (u[:-lag] * 64).long() * 64 + (u[lag:] * 64).long()
        p = stats.chisquare(torch.bincount(cells, minlength=64 * 64).numpy()).pvalue
        assert 1e-4 < p < 1 - 1e-4, lag


@pytest.mark.parametrize("field", FIELDS)
def test_no_period(field):
    """The spectrum of noise is flat: its largest line stays below log N + 12 (by chance one time in 160,000)."""
    u = FIELDS[field]()
    power = torch.fft.rfft((u - 0.5) * math.sqrt(12)).abs()[1:-1] ** 2 / u.numel()
    assert float(power.max()) < math.log(power.numel()) + 12
    assert abs(float(power.mean()) - 1) < Z / math.sqrt(power.numel())


def test_seeds_that_differ_in_one_bit_are_unrelated():
    u = Stream([0] + [1 << k for k in range(63)]).uniform(4000)
    centred = (u - 0.5) * math.sqrt(12)
    z = (centred @ centred.T / math.sqrt(4000))[torch.triu(torch.ones(64, 64), 1) > 0]
    assert float(z.abs().max()) < Z
    assert abs(float((z**2).mean()) - 1) < Z * math.sqrt(2 / z.numel())


def _words(u: torch.Tensor) -> np.ndarray:
    return (u.numpy() * 2.0**52).astype(np.uint64)


def test_bits_are_balanced():
    words = _words(Stream(np.arange(100)).uniform(2000)).ravel()
    ones = np.array([(words >> np.uint64(k) & np.uint64(1)).mean() for k in range(52)])
    assert (abs(ones - 0.5) < Z * 0.5 / math.sqrt(words.size)).all()


def test_one_bit_of_the_seed_turns_half_of_the_bits():
    base = _words(Stream(12345).uniform(2000))
    for k in range(63):
        turned = np.bitwise_count(base ^ _words(Stream(12345 ^ (1 << k)).uniform(2000)))
        assert abs(turned.mean() - 26) < Z * math.sqrt(52 / 4 / base.size), k


def test_any_bit_in_turns_any_bit_out():
    """Over 20,000 words, each of 64 bits out is turned by each of 64 bits in half of the time, to six standard errors."""
    N, rng = 20_000, np.random.default_rng(0)
    z, middle = (rng.integers(0, 2**64, N, dtype=np.uint64) for _ in range(2))
    mixed = _finalise(z.copy(), middle)
    for k in range(64):
        turned = mixed ^ _finalise(z ^ np.uint64(1 << k), middle)
        share = np.array([(turned >> np.uint64(bit) & np.uint64(1)).mean() for bit in range(64)])
        assert (abs(share - 0.5) < 6 * 0.5 / math.sqrt(N)).all(), k


def test_streams_whose_counters_overlap_still_differ(monkeypatch):
    """The start of one counter is the fourth place of the other; the second half of the key keeps them apart.

    It does so where the halves differ as hashed ones do, in about half of their bits.
    """
    start, middle = Stream(1)._key()
    a = Stream(1).uniform(4000)
    for turn, shared in ((0, 3997), (0x5DEECE66D2B4A1C3, 0)):
        key = (start + np.array([3], np.uint64) * _GAMMA, middle ^ np.uint64(turn))
        monkeypatch.setattr(Stream, "_key", lambda self, key=key: key)
        b = Stream(1).uniform(4000)
        assert np.isin(_words(a), _words(b)).sum() == shared
    assert abs(correlation_z(a[3:], b[:-3])) < Z


def test_streams_do_not_meet():
    """A million words of 52 bits, many short streams and a long one: 2e-4 coincidences are due, and none is found."""
    words = _words(
        torch.cat(
            [Stream(np.arange(10_000)).uniform(100).flatten(), Stream(7).at("x").uniform(300_000)]
        )
    )
    assert np.unique(words).size == words.size


def test_sums_over_seeds_have_the_right_spread():
    """Means of 100 draws, over 20,000 seeds: were streams related, their variance would not be 1/1200."""
    means = Stream(np.arange(20_000)).at("x").uniform(100).mean(-1)
    variance = float(means.var())
    assert abs(variance * 1200 - 1) < Z * math.sqrt(2 / 20_000)
