"""The score on real chains: equal methods, planted gains, and rows that do not fit all."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from collapse_bench import api
from collapse_bench.registry.discovery import registry
from collapse_bench.suite.expand import adhoc, expand
from collapse_bench.suite.model import read_suite, to_toml


def broken(found):
    """The checks whose limits the measured share misses by more than two standard errors.

    The error is at least that of a yes or no at 5 %, since few boards can all give one answer.
    """
    out = []
    for check in found:
        error = max(check.error, math.sqrt(0.05 * 0.95 / len(check.shares)))
        if not check.low - 2 * error <= check.measured <= check.high + 2 * error:
            out.append(check)
    return out


@pytest.fixture(scope="module")
def pool(bench, tmp_path_factory):
    """The four tasks with numbers, which are the cheapest, and fewer equals: 256 chains."""
    path = tmp_path_factory.mktemp("chains") / "chains.toml"
    path.write_text(bench.TASKS)
    model = read_suite(path)
    cheap = [task for task in model.tasks if task.data.startswith(("gaussian", "linear"))]
    path.write_text(to_toml(model.model_copy(update={"tasks": cheap})))
    api.calibrate(path)
    suite = expand(read_suite(path), registry(), path)
    entered = {**bench.EQUALS, "real-anchor(share=0.1)": 4, **bench.SINGLE}
    losses = bench.pool(suite, 256, entered, suite.tasks)
    return bench.gathered(suite, losses)


def test_rows_skip_and_refuse_in_the_pool_as_they_do_in_a_run(bench, pool):
    assert not pool.scored().excluded
    rows = pool.scored().rows.set_index("entry")
    assert rows.fits["golden-ratio 0"] == "2 of 4"
    assert rows.fits["unbiased-decoding 0"] == "1 of 4"
    assert (rows.fits["tracking 0"], rows.refused["tracking 0"]) == ("2 of 4", 0)
    assert rows.fits["real-anchor(share=0.1) 0"] == "4 of 4"


def test_equals_share_everything_but_their_own_draws(bench):
    """Generation 0 is common to all entries; random draws of a method are its own."""
    names = ("replay", "distrust")
    task = "gaussian | gaussian-fit | mix(real=0.2)"
    typed = adhoc([f"{task} | {name} @ n=100 T=3" for name in names], registry())
    suite = expand(typed, registry())
    found = {}
    for name in names:
        cells = [
            cell
            for _, row, cell in bench.cells(suite, {name: 2}, suite.tasks)
            if row.startswith(name)
        ]
        assert len(cells) == 2
        found[name] = [bench.final_losses(cell, range(6)) for cell in cells]
        starts = [next(iter(bench.generations(cell.for_seeds(range(6))))) for cell in cells]
        primary = cells[0].data.primary
        assert starts[0].scores[primary].equal(starts[1].scores[primary])
    assert (found["replay"][0] != found["replay"][1]).all()
    np.testing.assert_array_equal(*found["distrust"])


def test_boards_of_equals_on_real_chains(bench, pool):
    """Two of the equals lack a task, and rank among the others nevertheless."""
    lacking = bench.lacking(pool, 48, 3, ["decode=temperature(t=0.8)"])
    found = [*bench.checks(pool, boards=48, planted=12), *lacking]
    assert len(found) == 17
    assert not broken(found), bench.table(found)


def test_a_planted_gain_is_a_gain_of_that_size_in_the_score(bench, pool):
    """Also where the mean of a task is below 0, so that its unit is that of harm."""
    for method in ("noise-augmentation", "replay"):
        row, by = pool.rows.index(f"{method} 0"), 0.1
        units = pool.units(method)
        before, after = (
            p.scored().rows.set_index("entry").S[f"{method} 0"]
            for p in (pool, pool.improved(row, by, units))
        )
        # a mean that passes 0 changes its unit, and a loss cannot fall below 0
        assert 0.5 * by < after - before < 1.5 * by


def test_the_boards_tell_apart_what_is_not_equal(bench, pool):
    """The checks can fail: one of two equals scores 0.1 more."""
    row = pool.rows.index("replay 0")
    changed = pool.improved(row, 0.1, pool.units("replay"))
    # no exchange of equals: the changed row keeps its chains
    apart = [
        bench.compare(changed.scored(chains), "replay 0", "replay 1").p < 0.05
        for chains in np.arange(pool.chains).reshape(-1, bench.CHAINS)
    ]
    assert np.mean(apart) > 0.3


def test_the_bias_of_chance_of_a_method_near_0_is_that_of_its_formula(bench, pool):
    """A method that does nothing, with noise: A_k is 4 G_k, so that it seems to help a little."""
    rng, (name, task) = np.random.default_rng(1), next(iter(pool.tasks.items()))
    task = replace(task, harm=4 * task.gap)
    a = np.zeros((3, 1, 64_000))
    a[1] = task.harm  # trivial
    a[2] = rng.normal(0.02, 0.5, a[2].shape)
    whole = bench.Pool(
        ("none", "trivial", "noise 0"),
        ("none", "trivial", "noise"),
        {name: task},
        np.exp(a) - task.floor,
        np.full((3, 1), "done"),
    )
    predicted = bench.bias_of_chance(whole, "noise")
    per_board = -a[2, 0].reshape(-1, bench.CHAINS).mean(-1)
    scores = np.where(per_board < 0, per_board / task.harm, per_board / task.gap)
    truth = whole.scored().rows.set_index("entry").S["noise 0"]
    error = scores.std(ddof=1) / np.sqrt(len(scores))
    assert predicted > 10 * error
    assert abs(scores.mean() - truth - predicted) < 4 * error


@pytest.mark.slow
def test_the_score_keeps_its_promises_on_nine_tasks(bench):
    """Four minutes on one core; docs/score.md has the large run."""
    found = bench.on_chains(bench.real_pool(640), boards=400, planted=40)
    assert len(found) == 17
    assert not broken(found), bench.table(found)
