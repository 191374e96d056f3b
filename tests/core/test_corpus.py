"""What a pupil reads: sums equal plain numpy, joining equals concatenation, weights keep their promises."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from collapse_bench.core import corpus as corpora
from collapse_bench.core.access import Access
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.desk import Desk
from collapse_bench.core.ledger import Ledger
from collapse_bench.core.rng import Stream
from collapse_bench.core.sums import Moments
from collapse_bench.core.tracks import PROTOCOL
from collapse_bench.errors import Incompatible
from collapse_bench.lib.distributions.gaussians import GaussianTeacher
from collapse_bench.plugins.generators.gaussian import Gaussian
from collapse_bench.plugins.models.gaussian_fit import GaussianFit

K = 4  # classes of integer answers
BATCHES = [(), (1,), (3,), (2, 2)]
ROWS, EITHER = st.integers(1, 6), st.booleans()


@st.composite
def corpus_of(draw, chain_shape=None, rows=ROWS, weights=EITHER, counts=EITHER, kind=None):
    """A corpus of one part: y in R^2, in R, or in {0 .. K-1}; questions of width 0 or 2."""
    chain_shape = draw(st.sampled_from(BATCHES)) if chain_shape is None else chain_shape
    kind = kind or draw(st.sampled_from(["plane", "line", "class"]))
    n, rng = draw(rows), np.random.default_rng(draw(st.integers(0, 10**6)))
    shape = (*chain_shape, n)
    y = {
        "plane": lambda: rng.normal(size=(*shape, 2)),
        "line": lambda: rng.normal(size=shape),
        "class": lambda: rng.integers(0, K, shape),
    }[kind]()
    x = rng.normal(size=(*shape, 0 if kind == "plane" else 2))
    weight = torch.tensor(rng.integers(0, 5, shape) / 2) if draw(weights) else None
    count = torch.tensor(rng.integers(0, 4, shape)) if draw(counts) else None
    return Corpus.of(
        torch.tensor(x),
        torch.tensor(y),
        chain_shape,
        weight,
        count,
        origin=draw(st.integers(0, 3)),
        labels=K,
    )


@st.composite
def several(draw, least=2, most=4, **how):
    """Corpora that can be joined."""
    chain_shape, kind = (
        draw(st.sampled_from(BATCHES)),
        draw(st.sampled_from(["plane", "line", "class"])),
    )
    return [
        draw(corpus_of(chain_shape=chain_shape, kind=kind, **how))
        for _ in range(draw(st.integers(least, most)))
    ]


def runs(corpus: Corpus):
    """The replicates one by one, as plain numpy: (x, y, weight, count)."""
    chain_shape = len(corpus.chain_shape)
    values = (corpus.x, corpus.y, corpus.weight, corpus.count)
    yield from zip(
        *(
            v.flatten(0, chain_shape - 1).numpy() if chain_shape else v[None].numpy()
            for v in values
        ),
        strict=True,
    )


def plain_moments(x, y, weight, count):
    """Weight, mean and scatter of the rows [x, y], each row written out."""
    z = np.concatenate([x.reshape(len(y), -1), y.reshape(len(y), -1).astype(float)], 1)
    w = weight * count
    mean = (w[:, None] * z).sum(0) / w.sum() if w.sum() else np.zeros(z.shape[1])
    scatter = sum(
        (wi * np.outer(row - mean, row - mean) for wi, row in zip(w, z, strict=True)),
        np.zeros((z.shape[1],) * 2),
    )
    return w.sum(), mean, scatter


def close(a, b, tolerance=1e-9):
    a, b = (torch.as_tensor(v, dtype=torch.float64) for v in (a, b))
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def same_sums(left: Corpus, right: Corpus):
    for name in ("weight", "mean", "scatter"):
        mine, theirs = getattr(left.moments(), name), getattr(right.moments(), name)
        if name == "mean":  # of no weight at all, a mean may be anything
            some = (left.moments().weight > 0)[..., None]
            mine, theirs = torch.where(some, mine, 0.0), torch.where(some, theirs, 0.0)
        close(mine, theirs)
    close(left.mass, right.mass)
    close(left.effective_size, right.effective_size)


def same_rows(left: Corpus, right: Corpus):
    for name in ("x", "y", "weight", "count"):
        assert torch.equal(getattr(left, name), getattr(right, name)), name
    assert torch.equal(left._origin(), right._origin())


# -- sums -----------------------------------------------------------------------------------------------------------


@given(corpus_of())
def test_moments_equal_plain_numpy(corpus):
    sums, p = corpus.moments(), corpus.moments().mean.shape[-1]
    for r, run in enumerate(runs(corpus)):
        weight, mean, scatter = plain_moments(*run)
        close(sums.weight.reshape(-1)[r], weight)
        close(sums.mean.reshape(-1, p)[r], mean)
        close(sums.scatter.reshape(-1, p, p)[r], scatter)


@given(corpus_of())
def test_sizes_equal_plain_numpy(corpus):
    for r, (_, _, weight, count) in enumerate(runs(corpus)):
        total, squares = (weight * count).sum(), (weight**2 * count).sum()
        close(corpus.mass.reshape(-1)[r], float(total))
        close(corpus.effective_size.reshape(-1)[r], total**2 / squares if squares else 0.0)
    close(corpus.multiplicity, corpus.weight * corpus.count)


@given(corpus_of(kind="class"))
def test_tally_equals_plain_numpy(corpus):
    tally = corpus.tally(K).reshape(-1, K)
    for r, (_, y, weight, count) in enumerate(runs(corpus)):
        close(tally[r], np.bincount(y, weights=weight * count, minlength=K))


@given(corpus_of(weights=st.just(False), counts=st.just(True)))
def test_counts_equal_rows_written_out(corpus):
    for r, (x, y, _, count) in enumerate(runs(corpus)):
        flat = Corpus.of(*(torch.tensor(np.repeat(v, count, 0)) for v in (x, y)), ())
        p = corpus.moments().mean.shape[-1]
        close(corpus.mass.reshape(-1)[r], flat.mass)
        if count.sum():
            close(corpus.moments().mean.reshape(-1, p)[r], flat.moments().mean)
            close(corpus.moments().scatter.reshape(-1, p, p)[r], flat.moments().scatter)


def test_moments_of_narrow_rows_far_from_zero():
    """Rows at 1e8 with a spread of 1e-3 keep their variance: sums are taken about the mean, also across parts."""
    rng = np.random.default_rng(0)
    rows = torch.tensor(1e8 + 1e-3 * rng.normal(size=(4, 50, 1)))
    joined = Corpus.of(None, rows[0], ())
    for part in rows[1:]:
        joined = joined + Corpus.of(None, part, ())
    variance = float(joined.moments().scatter) / 199
    assert abs(variance / np.var(rows.flatten().numpy() - 1e8, ddof=1) - 1) < 1e-3


def test_a_lent_corpus_has_sums_of_its_own():
    corpus = Corpus.of(torch.zeros(1, 3, 1), torch.ones(1, 3), (1,))
    assert corpus.mass.item() == 3
    lent = corpus._lent()
    lent._folds["mass"] = (1, torch.zeros(1))
    assert corpus.mass.item() == 3


def test_about_zero():
    corpus = Corpus.of(
        torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
        torch.tensor([5.0, 6.0]),
        (),
        torch.tensor([1.0, 0.5]),
    )
    z = np.array([[1, 2, 5], [3, 4, 6]])
    close(corpus.moments().about_zero(), np.outer(z[0], z[0]) + 0.5 * np.outer(z[1], z[1]))


# -- joining --------------------------------------------------------------------------------------------------------


@given(several(least=3, most=3))
def test_joining_is_associative(parts):
    a, b, c = parts
    same_rows((a + b) + c, a + (b + c))
    same_sums((a + b) + c, a + (b + c))


@given(several(rows=st.integers(0, 5)))
def test_joining_is_concatenation(parts):
    joined = sum(parts[1:], parts[0])
    axis = len(joined.chain_shape)
    whole = Corpus.of(
        *(torch.cat([getattr(p, name) for p in parts], axis) for name in ("x", "y")),
        joined.chain_shape,
        *(torch.cat([getattr(p, name) for p in parts], axis) for name in ("weight", "count")),
        origin=torch.cat([p._origin() for p in parts], axis),
    )
    same_rows(joined, whole)
    same_sums(joined, whole)
    assert joined.n == whole.n == sum(p.n for p in parts)
    if not joined.y.is_floating_point():
        close(joined.tally(K), whole.tally(K))
    assert joined.labels == K


def test_joining_copies_nothing():
    a, b = (Corpus.of(None, torch.randn(3, 2), ()) for _ in range(2))
    assert [part.y.data_ptr() for part in (a + b).parts] == [a.y.data_ptr(), b.y.data_ptr()]


def test_joining_needs_equal_replicates():
    with pytest.raises(ValueError, match="cannot join"):
        Corpus.of(None, torch.zeros(2, 3, 1), (2,)) + Corpus.of(None, torch.zeros(3, 1), ())


@given(
    several(least=2, most=5), st.lists(st.sampled_from(["moments", "mass", "squares"]), max_size=6)
)
def test_folds_remembered_equal_folds_recomputed(parts, asked):
    """Whatever was asked of the pool while it grew, its sums are those of the rows that it holds."""
    pool = parts[0]
    for i, part in enumerate(parts[1:]):
        what = asked[i] if i < len(asked) else None
        if what == "moments":
            pool.moments()
        elif what == "mass":
            pool.anonymous(Stream(np.zeros(pool.chain_shape, int))).mass  # noqa: B018
        elif what == "squares":
            pool.effective_size  # noqa: B018
        pool = pool + part
    same_sums(pool, Corpus(pool.parts, pool.chain_shape))


def test_each_part_is_folded_once(monkeypatch):
    folded = []
    plain = corpora.moments_of
    monkeypatch.setattr(
        corpora,
        "moments_of",
        lambda part, chain_shape: folded.append(part) or plain(part, chain_shape),
    )
    pool = Corpus.of(None, torch.randn(5, 2), ())
    for t in range(20):
        pool.anonymous(Stream(t)).moments()
        pool = pool + Corpus.of(None, torch.randn(5, 2), ())
    assert len(folded) == len(set(map(id, folded))) == 20


def test_joining_leaves_the_sums_of_both_sides_alone():
    a, b = Corpus.of(None, torch.randn(5, 2), ()), Corpus.of(None, torch.randn(7, 2), ())
    a.moments()
    (a + b).moments()
    close(a.moments().weight, torch.tensor(5.0).double())
    close(b.moments().weight, torch.tensor(7.0).double())


def test_sums_of_no_rows():
    empty = Corpus.of(None, torch.zeros(2, 0, 3), (2,))
    assert empty.moments().mean.shape == (2, 3)
    assert not empty.moments().weight.any()
    assert torch.equal(empty.effective_size, torch.zeros(2, dtype=torch.float64))
    rows = Corpus.of(None, torch.randn(2, 4, 3), (2,))
    same_sums(empty + rows, rows)
    same_sums(rows + empty, rows)


# -- weights --------------------------------------------------------------------------------------------------------


@given(corpus_of(weights=st.just(False)), st.integers(0, 2**20))
def test_a_filter_is_left_unchanged(corpus, seed):
    mask = Stream(np.full(corpus.chain_shape, seed)).uniform(corpus.n) < 0.5
    close(
        corpus.reweighted(mask).weight,
        torch.where((corpus.count * mask).sum(-1, keepdim=True) > 0, mask.double(), 0.0),
    )


@given(corpus_of(), st.integers(0, 2**20))
def test_weights_sum_to_the_effective_size(corpus, seed):
    factor = Stream(np.full(corpus.chain_shape, seed)).uniform(corpus.n)
    raw, scaled = corpus.weighted(corpus.weight * factor), corpus.reweighted(factor)
    close(scaled.mass, raw.effective_size)
    close(scaled.mass, scaled.effective_size)
    close(
        scaled.weight * raw.mass[..., None], raw.weight * scaled.mass[..., None]
    )  # proportions stay
    for name in ("x", "y", "count"):
        assert torch.equal(getattr(scaled, name), getattr(corpus, name))


def test_reweighting_by_nothing_leaves_nothing():
    gone = Corpus.of(None, torch.randn(3, 1), ()).reweighted(torch.zeros(3))
    assert not gone.weight.any()
    assert gone.effective_size == 0


def test_weighting_by_age_leaves_the_variance_unbiased():
    """ddof = 1 on weights that sum to the effective size; taken raw, the same weights are biased."""
    R, age = 20_000, torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    rows = Corpus.of(None, Stream(np.arange(R)).normal(8, 1).double(), (R,))
    factor = (0.5**age).expand(R, 8)

    def z(corpus):
        variance = GaussianFit(ddof=1).fit(corpus, None).factor[:, 0, 0] ** 2
        return float((variance.mean() - 1) / (variance.std() / math.sqrt(R)))

    assert abs(z(rows.reweighted(factor))) < 4
    assert abs(z(rows.weighted(factor))) > 20


# -- choosing rows --------------------------------------------------------------------------------------------------


@given(
    st.sampled_from(BATCHES),
    st.integers(1, 12),
    st.integers(0, 14),
    st.integers(0, 2**20),
    st.booleans(),
)
def test_keep(chain_shape, N, n, seed, weigh):
    rng = Stream(seed + np.arange(math.prod(chain_shape)).reshape(chain_shape))
    mask = rng.at("mask").uniform(N) < 0.5
    ids = torch.arange(N).expand(*chain_shape, N)
    own = rng.at("weight").uniform(N) if weigh else None
    kept = Corpus.of(None, ids, chain_shape, weight=own).keep(mask, n, rng)
    m = min(n, N)
    assert kept.y.shape == (*chain_shape, m)
    passed = mask.gather(-1, kept.y)
    assert torch.equal(
        passed.sum(-1), mask.sum(-1).clamp_max(m)
    )  # as many accepted rows as there are
    assert (passed.long().diff(dim=-1) <= 0).all()  # and they stand first
    due = torch.ones(()).double() if own is None else own.gather(-1, kept.y)
    assert torch.equal(kept.weight, passed * due)
    ranked = kept.y.sort(-1).values
    assert (ranked.diff(dim=-1) > 0).all()  # none twice


@given(corpus_of(counts=st.just(True)), st.integers(0, 12), st.integers(0, 2**20))
def test_keep_and_sample_with_counts(corpus, n, seed):
    rng = Stream(np.full(corpus.chain_shape, seed))
    mask = rng.at("mask").uniform(corpus.n) < 0.5
    present = corpus.count * (corpus.weight > 0)  # weight zero equals absent
    for chosen, there in (
        (corpus.keep(mask, n, rng), corpus.count * mask),
        (corpus.sample(n, rng), present),
    ):
        assert (chosen.count <= there).all()
        assert torch.equal(chosen.count.sum(-1), there.sum(-1).clamp_max(n))
        assert torch.equal(chosen.weight, corpus.weight)


@given(st.sampled_from(BATCHES), st.integers(1, 12), st.integers(0, 14), st.integers(0, 2**20))
def test_sample_never_repeats_a_row(chain_shape, N, n, seed):
    rng = Stream(seed + np.arange(math.prod(chain_shape)).reshape(chain_shape))
    drawn = Corpus.of(None, torch.arange(N).expand(*chain_shape, N), chain_shape).sample(n, rng)
    assert drawn.n == min(n, N)
    assert (drawn.y.sort(-1).values.diff(dim=-1) > 0).all()
    assert drawn.unit == (drawn.n > 0)


@pytest.mark.parametrize("how", ["keep", "sample"])
def test_every_row_has_the_same_chance(how):
    R, N, n = 20_000, 6, 2
    ids, rng = Corpus.of(None, torch.arange(N).expand(R, N), (R,)), Stream(np.arange(R))
    mask = torch.tensor([True, True, False, True, True, True]).expand(R, N)
    drawn = ids.keep(mask, n, rng) if how == "keep" else ids.sample(n, rng)
    seen = torch.bincount(drawn.y[drawn.weight > 0], minlength=N)[
        mask[0] if how == "keep" else slice(None)
    ]
    # without replacement within a chain, so the variance is a little below the binomial's
    assert stats.chisquare(seen.numpy()).pvalue > 1e-4


def test_counted_rows_are_drawn_as_rows_are():
    """Of 5 and 15 equal rows, n = 4: the counts follow the law of drawing single rows."""
    R = 20_000
    counted = Corpus.of(
        None, torch.tensor([0, 1]).expand(R, 2), (R,), count=torch.tensor([5, 15]).expand(R, 2)
    )
    drawn = counted.sample(4, Stream(np.arange(R))).count[:, 0]
    observed = torch.bincount(drawn, minlength=5).numpy()
    due = R * stats.hypergeom(20, 5, 4).pmf(np.arange(5))
    assert stats.chisquare(observed, due).pvalue > 1e-4


# -- provenance and order -------------------------------------------------------------------------------------------


def access_at(t: int) -> Access:
    rng = Stream([1, 2])
    data = Gaussian(d=2).sample_truth(rng.at("truth"))
    return Desk(data, data, t, 5, rng, Ledger()).access(PROTOCOL)


def test_origin_is_refused_where_it_is_hidden():
    access = access_at(3)
    corpus = access.real(3) + access.synthetic(
        2, of=GaussianTeacher(torch.zeros(2, 2).double(), torch.eye(2).double())
    )
    assert torch.equal(corpus.origin, torch.tensor([0, 0, 0, 3, 3]).expand(2, 5))
    hidden = corpus.anonymous(Stream([5, 6]))
    derived = (
        hidden,
        hidden[0],
        hidden + access.real(1),
        access.real(1) + hidden,
        hidden.edited(y=hidden.y + 1),
        hidden.weighted(torch.ones(2, 5)),
        hidden.reweighted(torch.ones(2, 5)),
        hidden.sample(2, access.rng),
        hidden.sample(9, access.rng),
        hidden.keep(torch.ones(2, 5, dtype=torch.bool), 3, access.rng),
    )
    for made in derived:
        with pytest.raises(Incompatible, match=r"access\.provenance"):
            made.origin  # noqa: B018
    assert torch.equal(access.provenance(hidden).sort(-1).values, corpus.origin)
    assert access.ledger.total("provenance_lookups") == 5


@given(several(), st.integers(0, 2**20))
def test_anonymous_keeps_the_rows_and_all_sums(parts, seed):
    corpus = sum(parts[1:], parts[0])
    hidden = corpus.anonymous(
        Stream(seed + np.arange(math.prod(corpus.chain_shape)).reshape(corpus.chain_shape))
    )
    same_sums(hidden, corpus)
    for shuffled, plain in zip(runs(hidden), runs(corpus), strict=True):
        rows = [
            sorted(
                tuple(map(float, np.ravel(np.hstack([np.ravel(v[i]) for v in run]))))
                for i in range(corpus.n)
            )
            for run in (shuffled, plain)
        ]
        assert rows[0] == rows[1]
    same_rows(hidden, hidden)  # the order is the same at every look


def test_anonymous_shuffles_each_replicate_its_own_way():
    corpus = Corpus.of(None, torch.arange(30).expand(3, 30), (3,))
    orders = corpus.anonymous(Stream([1, 2, 3])).y
    assert not any(torch.equal(orders[r], torch.arange(30)) for r in range(3))
    assert not torch.equal(orders[0], orders[1])


def test_joining_keeps_the_order_in_which_rows_are_seen():
    """So that a tensor with one number per row still fits after real rows were added behind."""
    training_set = Corpus.of(None, torch.arange(10), ()).anonymous(Stream(1))
    more = Corpus.of(None, torch.arange(10, 13), ())
    assert torch.equal((training_set + more).y, torch.cat([training_set.y, more.y]))
    assert torch.equal((more + training_set).y, torch.cat([more.y, training_set.y]))
    same_sums(training_set + more, more + training_set)


def test_sums_of_a_lesson_to_which_rows_are_added():
    pool = Corpus.of(None, torch.randn(4, 2), ()) + Corpus.of(None, torch.randn(3, 2), ())
    more = Corpus.of(None, torch.randn(2, 2), ())
    training_set = pool.anonymous(Stream(1))
    training_set.moments()
    same_sums(training_set + more, Corpus.of(None, torch.cat([training_set.y, more.y]), ()))
    same_sums(more + training_set, Corpus.of(None, torch.cat([training_set.y, more.y]), ()))


@given(several(), st.integers(0, 2**20), st.booleans())
def test_slicing_is_that_replicate_alone(parts, seed, shuffled):
    corpus = sum(parts[1:], parts[0])
    if shuffled:
        corpus = corpus.anonymous(
            Stream(seed + np.arange(math.prod(corpus.chain_shape)).reshape(corpus.chain_shape))
        )
    for r in np.ndindex(*corpus.chain_shape):
        one = corpus[r]
        assert one.chain_shape == ()
        assert one.labels == corpus.labels
        for name in ("x", "y", "weight", "count"):
            assert torch.equal(getattr(one, name), getattr(corpus, name)[r])
        assert torch.equal(one._origin(), corpus._origin()[r])
        close(one.moments().scatter, corpus.moments().scatter[r])
    if len(corpus.chain_shape) == 2:
        assert corpus[0].chain_shape == corpus.chain_shape[1:]
        assert torch.equal(corpus[0].y, corpus.y[0])


# -- known by its sums ----------------------------------------------------------------------------------------------


def by_sums(R: int = 3) -> Corpus:
    teacher = GaussianTeacher(torch.zeros(R, 2).double(), torch.eye(2).double().expand(R, 2, 2))
    return teacher.sample_sufficient(9, Stream(np.arange(R)))


def test_a_corpus_without_rows_says_so():
    corpus = by_sums()
    assert not corpus.has_rows
    assert corpus.n == 0
    assert torch.equal(corpus.mass, torch.full((3,), 9.0).double())
    assert torch.equal(corpus.effective_size, corpus.mass)
    for look in (
        lambda: corpus.x,
        lambda: corpus.weight,
        lambda: corpus.sample(2, Stream([0, 1, 2])),
        lambda: corpus.tally(2),
    ):
        with pytest.raises(Incompatible, match=r"explicit|needs rows"):
            look()


def test_sums_can_be_joined_sliced_and_hidden():
    a, b = by_sums(), by_sums()
    joined = (a + b).anonymous(Stream([0, 1, 2]))
    close(joined.moments().weight, torch.full((3,), 18.0).double())
    close(joined[1].moments().scatter, joined.moments().scatter[1])
    close(a[2].moments().factor, a.moments().factor[2])
    close((joined + a).mass, torch.full((3,), 27.0).double())
    root = a.moments().factor
    close(root @ root.mT, a.moments().scatter)


def test_pooled_moments_are_exact():
    a, b = (
        Moments(
            torch.tensor(float(w)).double(),
            torch.tensor([m]).double(),
            torch.tensor([[s]]).double(),
        )
        for w, m, s in ((2, 1.0, 0.5), (3, 6.0, 2.0))
    )
    pooled = a + b
    assert pooled.weight == 5
    close(pooled.mean, torch.tensor([4.0]).double())
    close(pooled.scatter, torch.tensor([[0.5 + 2.0 + 2 * 9 + 3 * 4]]).double())


def test_a_corpus_is_real_and_unweighted_until_told_otherwise():
    rows = Corpus.of(None, torch.zeros(2, 3, 1), (2,))
    assert rows.unit
    assert rows.x.shape == (2, 3, 0)
    assert torch.equal(rows.origin, torch.zeros(2, 3, dtype=torch.int64))
    assert torch.equal(rows.dated(4).origin, torch.full((2, 3), 4))
    assert torch.equal(rows.multiplicity, torch.ones(2, 3, dtype=torch.float64))


def test_shapes_are_checked_at_the_door():
    with pytest.raises(ValueError, match="weight has shape"):
        Corpus.of(None, torch.zeros(2, 3, 1), (2,), weight=torch.ones(2, 4))
    with pytest.raises(ValueError, match="x has shape"):
        Corpus.of(torch.zeros(3, 2, 1), torch.zeros(2, 3, 1), (2,))


@pytest.mark.parametrize("chains", [(), (3,), (2, 3)])
@pytest.mark.parametrize("width", [(), (4,), (2, 5), (0,)])
@pytest.mark.parametrize("m", [0, 1, 9])
def test_rows_at_positions_are_those_rows_of_each_chain(chains, width, m):
    rng = Stream(torch.arange(math.prod(chains)).reshape(chains).numpy())
    y, order = rng.at("y").normal(6, *width), rng.at("order").integers(6, m)
    chosen = Corpus.of(None, y, chains).at(order)
    assert chosen.y.shape == (*chains, m, *width)
    for r in itertools.product(*map(range, chains)):
        assert torch.equal(chosen.y[r], y[r][order[r]])


@pytest.mark.parametrize("place", [-1, 6])
def test_a_position_without_a_row_is_refused_and_not_read_from_another_chain(place):
    corpus = Corpus.of(None, torch.zeros(2, 6, 3), (2,))
    with pytest.raises((RuntimeError, IndexError), match="out of bounds"):
        corpus.at(torch.full((2, 1), place))
