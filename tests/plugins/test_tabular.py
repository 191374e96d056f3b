"""Tables of real rows, and Gaussian copulas that read their own samples."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch

from collapse_bench import cell_of
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.loop import nature
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Incompatible
from collapse_bench.lib.tabular.readers import TABLES, read_table, split_table
from collapse_bench.lib.tabular.utility import _newton, auc, logistic_scores
from collapse_bench.plugins.models.gaussian_copula import GaussianCopula
from collapse_bench.running.chains import run_chains


@cache
def record_of(spec, chains):
    return run_chains(cell_of(spec, seeds=range(chains)), list(range(chains)))


def measured(spec, chains, metric, t):
    """The values of a metric at generation t, (chains,)."""
    record = record_of(spec, chains)
    return record.value[(record.metric == metric) & (record.generation == t)]


def correlated(rho, n, chains, name="rows"):
    """n rows of two standard normal columns, (chains, n, 2)."""
    z = Stream(np.arange(chains)).at(name).normal(n, 2).double()
    return torch.stack([z[..., 0], rho * z[..., 0] + math.sqrt(1 - rho**2) * z[..., 1]], -1)


def copula_of(y, labels=None, weight=None, **parameters):
    corpus = Corpus.of(None, y, tuple(y.shape[:1]), weight=weight, labels=labels)
    return GaussianCopula(**parameters).fit(corpus, None)


def correlation(teacher):
    return (teacher.factor[..., 0, :, :] @ teacher.factor[..., 0, :, :].mT)[..., 0, 1]


# -- the tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "counts"),
    [("breast-cancer", (569, 30), [212, 357]), ("wine", (178, 13), [59, 71, 48])],
)
def test_a_table_is_that_of_its_source(name, shape, counts):
    sklearn = pytest.importorskip("sklearn.datasets")
    x, y = read_table(name)
    assert x.shape == shape
    assert np.bincount(y).tolist() == counts
    theirs = getattr(sklearn, f"load_{name.replace('-', '_')}")()
    assert np.array_equal(x, theirs.data)
    assert np.array_equal(y, theirs.target)


@pytest.mark.parametrize("name", TABLES)
def test_no_row_is_both_in_the_pool_and_in_the_exam(name):
    split = split_table(name, 0.3)
    gap = torch.cdist(split.tests, split.pool, p=math.inf)
    assert (gap > 0).all()
    assert len(split.pool) + len(split.tests) == len(read_table(name)[0])
    assert split.pool[:, :-1].mean(0).abs().max() < 1e-12
    assert split.pool[:, :-1].std(0, correction=0) == pytest.approx(1)
    held_out = split.per_class / (split.per_class + split.share * len(split.pool))
    assert held_out.numpy() == pytest.approx(0.3, abs=1 / 48)


def test_real_rows_are_rows_of_the_pool_and_have_its_numbers():
    data = nature(cell_of("tabular(table=wine) | gaussian-copula @ n=9 T=0", seeds=range(3)))
    rng = Stream(np.arange(3)).at("draw")
    y = data.answer(data.ask(4000, rng), rng)
    index = data.identity(y[..., :0], y)
    assert torch.equal(split_table("wine", 0.3).pool[index], y)
    # With replacement: the number of different rows is that of a bootstrap.
    few = data.identity(y[:, :100, :0], y[:, :100])
    N = data.pool_size
    seen = np.mean([len(set(row.tolist())) for row in few])
    assert seen == pytest.approx(N * (1 - (1 - 1 / N) ** 100), abs=4 * math.sqrt(N / 4 / 3))
    with pytest.raises(Incompatible, match="not one of the real rows of tabular"):
        data.identity(y[..., :0], y + 0.01)


# -- the density -------------------------------------------------------------------------------------


def test_the_density_is_that_of_the_samples_and_integrates_to_one():
    """By importance sampling from logistic columns, whose tails are the heavier ones; also the mass
    of a part of each class, and the cross entropy."""
    n, chains = 20_000, 4
    y = correlated(0.6, 200, chains)
    label = (y[..., :1] + y[..., 1:] > 0.5).double()
    teacher = copula_of(torch.cat([y, label], -1), labels=2)
    rng = Stream(np.arange(chains)).at("check")
    u = rng.at("proposal").uniform(n, 2)
    points = u.logit()
    density = (u * (1 - u)).prod(-1)  # of the standard logistic law
    rows = teacher.answer(torch.empty(chains, n, 0), rng.at("rows"))
    whole, cost = torch.zeros(chains, n).double(), torch.zeros(chains, n).double()

    def same(one, other, expected=0.0):
        z = (one.mean() - other.mean() - expected) / (one.var() + other.var()).sqrt()
        assert abs(float(z)) * math.sqrt(one.numel()) < 4

    for c in (0.0, 1.0):
        here = torch.cat([points, torch.full_like(points[..., :1], c)], -1)
        logp = teacher.logp(here[..., :0], here)[..., 0]
        weight = logp.exp() / density
        whole, cost = whole + weight, cost - weight * logp
        part = weight * ((points[..., 0] > 0.2) & (points[..., 1] < 0.4))
        inside = (rows[..., 0] > 0.2) & (rows[..., 1] < 0.4) & (rows[..., 2] == c)
        same(part, inside.double())
    same(whole, torch.zeros_like(whole), 1.0)
    same(cost, -teacher.logp(rows[..., :0], rows)[..., 0])


@pytest.mark.parametrize("table", TABLES)
def test_scores_of_its_own_rows_are_standard_normal(table):
    """And their values come back: the distribution function and its inverse agree."""
    data = nature(cell_of(f"tabular(table={table}) | gaussian-copula @ n=9 T=0", seeds=range(4)))
    rng = Stream(np.arange(4)).at("draw")
    y = data.answer(data.ask(400, rng), rng)
    teacher = copula_of(y, labels=data.labels)
    rows = teacher.answer(y[..., :0].expand(4, 400, 0), rng.at("answer"))
    label = rows[..., -1].long()
    columns = rows[..., :-1].mT.contiguous()
    z, _ = teacher.marginals.scored(columns, label)
    torch.testing.assert_close(teacher.marginals.values(z, label), columns, rtol=1e-9, atol=1e-9)
    n = z.shape[0] * z.shape[-1]
    assert (z.mean((0, -1)).abs() < 5 / math.sqrt(n)).all()
    assert ((z.square().mean((0, -1)) - 1).abs() < 5 * math.sqrt(2 / n)).all()


@pytest.mark.parametrize("rho", [0.3, -0.95])
def test_stated_moments_are_those_of_the_samples(rho):
    n, chains = 40_000, 6
    y = correlated(rho, 300, chains)
    y = torch.cat([y[..., :1].exp(), y[..., 1:] ** 3, (y[..., :1] > 0.3).double()], -1)
    teacher = copula_of(y, labels=2)
    rows = teacher.answer(torch.empty(chains, n, 0), Stream(np.arange(chains)))
    mean, factor = teacher.mean_and_factor()
    assert torch.equal(teacher.mean_answer(rows[..., :0])[..., 0, :], mean)
    about = rows - mean[..., None, :]
    products = about[..., :, None] * about[..., None, :]  # (R, n, 3, 3)
    for found, due in ((about, 0 * mean), (products, factor @ factor.mT)):
        z = (found.mean(1) - due) / (found.std(1) / math.sqrt(n))
        assert (z.abs() < 4.5).all(), z


def test_the_density_of_a_normal_law_costs_what_it_must():
    """The cross entropy is close above the entropy, 1.419 nats per column minus the dependence."""
    rho = 0.7
    entropy = math.log(2 * math.pi * math.e) + 0.5 * math.log(1 - rho**2)
    teacher = copula_of(correlated(rho, 2000, 20), cells=16)
    tests = correlated(rho, 5000, 20, "tests")
    cost = -teacher.logp(tests[..., :0], tests)[..., 0].mean(-1) - entropy
    error = float(cost.std()) / math.sqrt(20)
    assert -4 * error < float(cost.mean()) < 0.06


def test_a_weight_of_two_is_a_row_written_twice():
    y = correlated(0.5, 60, 3)
    y = torch.cat([y, (y[..., :1] > 0).double()], -1)
    weight = torch.ones(3, 60, dtype=torch.float64)
    weight[:, :20], weight[:, 50:] = 2.0, 0.0
    one = copula_of(y, 2, weight)
    other = copula_of(torch.cat([y[:, :50], y[:, :20]], 1), 2)
    tests = torch.cat([y, y + 0.3], 1)
    torch.testing.assert_close(one.logp(tests[..., :0], tests), other.logp(tests[..., :0], tests))


def test_a_class_that_is_lost_stays_lost():
    y = torch.cat([correlated(0.5, 40, 2), torch.ones(2, 40, 1)], -1).double()
    teacher = copula_of(y, labels=3)
    rows = teacher.answer(torch.empty(2, 500, 0), Stream(np.arange(2)))
    assert (rows[..., -1] == 1).all()
    assert rows.isfinite().all()
    other = torch.cat([y[..., :-1], torch.zeros(2, 40, 1)], -1)
    assert (teacher.logp(other[..., :0], other) == -torch.inf).all()


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_few_rows_have_a_density(rows):
    y = correlated(0.5, rows, 3)
    teacher = copula_of(y)
    drawn = teacher.answer(torch.empty(3, 50, 0), Stream(np.arange(3)))
    assert drawn.isfinite().all()
    assert teacher.logp(drawn[..., :0], drawn).isfinite().all()


# -- laws --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_the_correlation_of_a_copula_converges_at_the_known_rate(rho):
    """Its variance is (1 - rho^2)^2 / n whatever the marginals: Klaassen and Wellner, Bernoulli
    1997.  Here one column is lognormal, and the other a cube."""
    n, chains = 400, 2000
    y = correlated(rho, n, chains)
    y = torch.stack([y[..., 0].exp(), y[..., 1] ** 3], -1)
    r = correlation(copula_of(y, cells=64, shrink=1e-9))
    se = float(r.std()) / math.sqrt(chains)
    assert abs(float(r.mean()) - rho) < 4 * se + 2 / n  # its bias is of the order 1 / n
    ratio = float(r.var()) * n / (1 - rho**2) ** 2
    assert ratio == pytest.approx(1, abs=4 * math.sqrt(2 / chains))


@pytest.mark.parametrize("t", [1, 8])
def test_the_correlation_drifts_under_replace_as_that_of_normal_rows(t):
    """atanh r takes a step of variance 1 / (n - 3) at every fit (Fisher 1921)."""
    n, chains = 200, 1500
    y = correlated(0.4, n, chains)
    for k in range(t):
        teacher = copula_of(y, cells=16, shrink=1e-9)
        y = teacher.answer(torch.empty(chains, n, 0), Stream(np.arange(chains)).at("t", k))
    variance = float(correlation(teacher).atanh().var())
    assert variance * (n - 3) / t == pytest.approx(1, abs=4 * math.sqrt(2 / chains))


def test_the_share_of_a_class_drifts_as_genes_do():
    """p (1 - p) (1 - (1 - 1/n)^k) after k fits, in the mean p: Wright and Fisher."""
    n, k, chains = 60, 6, 1000
    pool, p = split_table("wine", 0.3).pool, float(split_table("wine", 0.3).share[0])
    y = pool[Stream(np.arange(chains)).at("real").integers(len(pool), n)]
    for t in range(k):
        teacher = copula_of(y, labels=3)
        y = teacher.answer(torch.empty(chains, n, 0), Stream(np.arange(chains)).at("t", t))
    share = teacher.share[..., 0]
    due = p * (1 - p) * (1 - (1 - 1 / n) ** k)
    assert abs(float(share.mean()) - p) < 4 * math.sqrt(due / chains)
    assert float(share.var()) == pytest.approx(due, rel=4 * math.sqrt(2 / chains))


def test_utility_is_lost_while_variance_stays():
    """The error of the classifier grows under replace, and not with the oracle teacher."""
    chains = 48

    def change(how, name):
        """(mean, standard error) of the change from generation 0 to the last."""
        spec = f"tabular | gaussian-copula | replace{how} @ n=200 T=10"
        gap = measured(spec, chains, name, 10) - measured(spec, chains, name, 0)
        return gap.mean(), gap.std(ddof=1) / math.sqrt(chains)

    for name in ("error_rate", "auc_lost", "log_loss"):
        lost, se = change("", name)
        assert lost > 4 * se
        flat, se = change(" | nature", name)
        assert abs(flat) < 4 * se
    moved, se = change("", "variance")
    assert abs(moved) < 4 * se < 1


# -- the classifier ----------------------------------------------------------------------------------


def test_the_classifier_is_at_the_minimum_of_its_loss():
    """Also where the classes are separable, and where a class has no row."""
    x = correlated(0.3, 200, 3)
    label = torch.stack(
        [(x[0, :, 0] > 0).long(), (x[1].sum(-1) > 0.2 * x[1, :, 1]).long(), torch.zeros(200).long()]
    )
    rows = torch.cat([x, torch.ones(3, 200, 1)], -1)
    wanted = torch.nn.functional.one_hot(label, 2).double()
    w = _newton(rows, wanted)
    slope = rows.mT @ ((rows @ w).sigmoid() - wanted) + w
    assert slope.abs().max() < 1e-6


def test_the_classifier_is_that_of_scikit_learn():
    linear = pytest.importorskip("sklearn.linear_model")
    split = split_table("breast-cancer", 0.3)
    x, y, tests = split.pool[:, :-1], split.pool[:, -1].long(), split.tests[:, :-1]
    ones = [torch.cat([rows, torch.ones(len(rows), 1)], -1) for rows in (x, tests)]
    theirs = linear.LogisticRegression(C=1.0, fit_intercept=False, tol=1e-10, max_iter=10_000)
    theirs.fit(ones[0].numpy(), y.numpy())
    ours = logistic_scores(x[None], y[None], 2, tests)[0, :, 1]
    assert ours.numpy() == pytest.approx(theirs.decision_function(ones[1].numpy()), abs=1e-4)


def test_the_area_under_the_curve_by_hand():
    score = torch.tensor([[0.1, 0.4, 0.35, 0.8], [0.0, 0.0, 1.0, 1.0]]).double()
    positive = torch.tensor([False, False, True, True])
    assert auc(score, positive).tolist() == [0.75, 1.0]
    assert auc(torch.zeros(1, 4), positive).tolist() == [0.5]


def test_the_trivial_teacher_guesses():
    """It gives AUC 1/2 in the mean, and the log loss of a standard law."""
    seeds = range(400)
    data = nature(cell_of("tabular(table=wine) | gaussian-copula @ n=9 T=0", seeds=seeds))
    found = data.losses(data.trivial(), Stream(list(seeds)))
    lost = found["auc_lost"]
    assert abs(float(lost.mean()) - 0.5) < 4 * float(lost.std()) / 20
    split = split_table("wine", 0.3)
    x, label = split.tests[:, :-1], split.tests[:, -1].long()
    due = 13 * math.log(2 * math.pi) / 2 + x.square().sum(-1) / 2 - split.share[label].log()
    assert found["log_loss"].numpy() == pytest.approx(float(due.mean()))
