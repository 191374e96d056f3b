"""Figures as data: what is drawn is what the cells gave, what was run is reused, and what failed is told."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import pytest
import torch
from forked import call

from collapse_bench import cell_of, generations
from collapse_bench.api import reproduce
from collapse_bench.core.loop import nature
from collapse_bench.errors import UsageError
from collapse_bench.theory import gaussian

CHAINS = 41  # a block of 32 seeds and a part of the next
SPEC = "gaussian | gaussian-fit | replace @ n=8 T=2"
FIGURE = f'''\
"""Two panels and a model that cannot learn."""

from dataclasses import dataclass

from collapse_bench import Model, hookimpl
from collapse_bench.papers.figure import Curve, Figure, Gallery, Panel, Point, over_time
from collapse_bench.theory import gaussian

SPEC = "{SPEC}"


@dataclass(frozen=True)
class Hopeless(Model):
    vectorized = True

    def fit(self, corpus, rng, before=None):
        raise ArithmeticError("nothing can be learnt here")


def two_panels(scale, data=None):
    """Statistics of one cell; at paper scale with fewer chains."""
    law = over_time(SPEC, "w2", 2, lambda k: gaussian.w2_mean(8, k))
    statistics = [
        Point(1, SPEC, "w2", 2, statistic="median"),
        Point(2, SPEC, "log_variance", 2, statistic="variance", times=2.0, predicted=4.0),
        Point(3, SPEC, "w2", 2, times=10.0),
        Point(4, None, predicted=7.0),
    ]
    panels = [
        Panel("over time", "generation", "W2 (sigma^2)", [Curve("replace", law)], "y"),
        Panel("at the end", "statistic", "number", [Curve("others", statistics)]),
    ]
    return Figure("Statistics", "nobody 2024", panels, {CHAINS} if scale == "quick" else 3)


def hung(scale, data=None):
    """Pictures beside a curve."""
    spec = "pictures(test=20) | gaussian-fit | replace @ n=60 T=2"
    curves = [Curve("replace", over_time(spec, "frechet_distance", 2))]
    panels = [Panel("how far", "generation", "distance", curves), Gallery("how it looks", spec, (0, 2), 3)]
    return Figure("Pictures", "nobody", panels, 2)


def half_broken(scale, data=None):
    """A cell that fails beside one that does not."""
    points = [Point(0, SPEC, "w2"), Point(1, "gaussian | hopeless | replace @ n=8 T=0", "w2", predicted=1.0)]
    return Figure("Half", "nobody", [Panel("both", "cell", "W2", [Curve("cells", points)])], 4)


def ill_matched(scale, data=None):
    return Figure("None", "nobody", [Panel("a", "x", "y", [Curve("c", [Point(0, "gaussian | ols | replace", "w2")])])])


@hookimpl
def collapse_models():
    return {{"hopeless": Hopeless}}


@hookimpl
def collapse_figures():
    return {{"two-panels": two_panels, "half-broken": half_broken, "hung": hung, "ill-matched": ill_matched}}
'''


@pytest.fixture(scope="module", autouse=True)
def own_registry():
    """Plugin files of these tests stay unknown to all others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("collapse_bench.registry.discovery._REGISTRY", None)
        yield


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    path = tmp_path_factory.mktemp("plugin") / "figure.py"
    path.write_text(FIGURE)
    return path


@pytest.fixture(scope="module")
def drawn(plugin, tmp_path_factory):
    """(folder, what the command said)."""
    folder = tmp_path_factory.mktemp("drawn")
    return folder, call("reproduce", "two-panels", "-o", folder, "--plugin", plugin)


@pytest.fixture(scope="module")
def samples():
    """w2 of generations 0 .. 2, and log_variance of the last, one number per chain: by the loop itself."""
    cell = cell_of(SPEC, seeds=range(CHAINS))
    run = list(generations(cell))
    last = nature(cell).diagnostics(run[-1].teacher)["log_variance"]
    return [now.scores["w2"].numpy() for now in run], last.numpy()


def row(numbers, panel, x):
    [found] = numbers[(numbers.panel == panel) & (numbers.x == x)].to_dict(orient="records")
    return found


# -- numbers --------------------------------------------------------------------------------------------------------


def test_files_are_written_and_named(drawn):
    folder, ended = drawn
    assert ended.code == 0, ended
    written = re.findall(r"^written: (.+)$", ended.out, re.M)
    assert [path.rsplit("/", 1)[1] for path in written] == [
        "two-panels.csv",
        "two-panels.png",
        "two-panels.svg",
    ]
    assert (folder / "two-panels.png").read_bytes()[:4] == b"\x89PNG"
    svg = (folder / "two-panels.svg").read_text()
    for words in (
        "over time",
        "at the end",
        "generation",
        "W2 (sigma^2)",
        "nobody 2024",
        f"{CHAINS} chains",
    ):
        assert words in svg, words  # as text, which can be searched and copied
    assert any((folder / "records").rglob("*.parquet"))


def test_the_table_holds_what_the_cells_gave(drawn, samples):
    numbers = pd.read_csv(drawn[0] / "two-panels.csv")
    assert len(numbers) == 7
    for t, sample in enumerate(samples[0]):
        told = row(numbers, "over time", t)
        error = sample.std(ddof=1) / math.sqrt(CHAINS)
        assert (told["chains"], told["generation"], told["metric"], told["cell"]) == (
            CHAINS,
            t,
            "w2",
            SPEC,
        )
        assert told["measured"] == pytest.approx(sample.mean())
        assert told["predicted"] == pytest.approx(gaussian.w2_mean(8, t + 1))
        assert told["low"] == pytest.approx(sample.mean() - 1.96 * error)
        assert told["high"] == pytest.approx(sample.mean() + 1.96 * error)
        assert told["ratio"] == pytest.approx(told["measured"] / told["predicted"])
        assert told["z"] == pytest.approx((sample.mean() - told["predicted"]) / error)


def test_median_variance_and_unit(drawn, samples):
    numbers, (w2, log_variance) = pd.read_csv(drawn[0] / "two-panels.csv"), samples
    median = row(numbers, "at the end", 1)
    assert median["measured"] == pytest.approx(np.median(w2[-1]))
    inside = ((w2[-1] >= median["low"]) & (w2[-1] <= median["high"])).mean()
    assert inside == pytest.approx(
        1.96 / math.sqrt(CHAINS), abs=0.05
    )  # ranks within 0.98 sqrt n of the middle
    assert math.isnan(median["predicted"])
    assert math.isnan(median["z"])
    variance = row(numbers, "at the end", 2)
    assert variance["measured"] == pytest.approx((2 * log_variance).var(ddof=1))
    assert variance["low"] < variance["measured"] < variance["high"]
    assert variance["ratio"] == pytest.approx(variance["measured"] / 4)
    assert row(numbers, "at the end", 3)["measured"] == pytest.approx(10 * w2[-1].mean())
    only_told = row(numbers, "at the end", 4)
    assert (only_told["predicted"], only_told["chains"]) == (7.0, 0)
    assert math.isnan(only_told["measured"])


def test_the_last_words_sum_up_the_law(drawn):
    numbers, said = pd.read_csv(drawn[0] / "two-panels.csv"), drawn[1].out.splitlines()[0]
    told = numbers[numbers.z.notna()]
    assert said.startswith(
        f"{len(told)} points have a law; measured / predicted from {told.ratio.min():.3f} to "
    )
    assert f"largest |z| {told.z.abs().max():.1f} (" in said


# -- records --------------------------------------------------------------------------------------------------------


def state(folder):
    return {path: path.stat().st_mtime_ns for path in (folder / "records").rglob("*.parquet")}


def test_what_was_run_is_reused_and_drawn_to_the_byte(drawn, plugin):
    folder, _ = drawn
    before = state(folder)
    first = {
        path.name: path.read_bytes()
        for path in folder.glob("two-panels.*")
        if path.suffix != ".png"
    }
    again = call("reproduce", "two-panels", "-o", folder, "--plugin", plugin)
    assert again.code == 0
    assert state(folder) == before
    assert {name: (folder / name).read_bytes() for name in first} == first


def test_a_lost_record_is_run_again_and_gives_the_same(plugin, tmp_path):
    numbers, _ = reproduce("two-panels", output=tmp_path, plugins=[plugin])
    lost, *kept = sorted(state(tmp_path))
    lost.unlink()
    done = []
    again, _ = reproduce("two-panels", output=tmp_path, plugins=[plugin], on_outcome=done.append)
    assert len(done) == 1
    assert {lost, *kept} == set(state(tmp_path))
    pd.testing.assert_frame_equal(numbers, again)


def test_another_scale_has_files_of_its_own_and_shares_the_records(drawn, plugin):
    folder, _ = drawn
    before = state(folder)
    numbers, files = reproduce("two-panels", scale="paper", output=folder, plugins=[plugin])
    assert [file.name for file in files] == [
        "two-panels-paper.csv",
        "two-panels-paper.png",
        "two-panels-paper.svg",
    ]
    assert state(folder) == before  # 3 chains are a part of those that are there
    assert set(numbers.chains) == {0, 3}


@pytest.mark.slow
def test_two_workers_give_the_same_numbers(drawn, plugin, tmp_path):
    assert call("reproduce", "two-panels", "-o", tmp_path, "-j", "2", "--plugin", plugin).code == 0
    assert (tmp_path / "two-panels.csv").read_bytes() == (drawn[0] / "two-panels.csv").read_bytes()


# -- refusals -------------------------------------------------------------------------------------------------------


def test_a_cell_that_fails_leaves_a_gap_and_ends_with_1(plugin, tmp_path):
    ended = call("reproduce", "half-broken", "-o", tmp_path, "--plugin", plugin)
    assert ended.code == 1
    assert ended.said == "some points could not be measured; see the records"
    assert "nothing can be learnt here" in ended.err
    good, bad = pd.read_csv(tmp_path / "half-broken.csv").to_dict(orient="records")
    assert (good["chains"], bad["chains"]) == (4, 0)
    assert good["measured"] > 0
    assert math.isnan(bad["measured"])
    assert (tmp_path / "half-broken.png").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["two-pannels"], "did you mean 'two-panels'?"),
        ([], "name a figure"),
        (
            ["ill-matched"],
            "figure ill-matched needs the cell gaussian | ols | replace, which cannot run: ols fits regression data",
        ),
        (["two-panels", "--scale", "huge"], "'huge' is not one of"),
        (["two-panels", "-j", "0"], "0 is not in the range"),
    ],
)
def test_what_cannot_be_drawn_is_refused(plugin, tmp_path, args, words):
    ended = call("reproduce", *args, "-o", tmp_path / "out", "--plugin", plugin)
    assert (ended.code, ended.out) == (2, ""), ended
    assert words in ended.said
    assert "Traceback" not in ended.err
    assert not list((tmp_path / "out").rglob("*.csv"))


def test_the_list_of_figures(plugin):
    ended = call("reproduce", "--list", "--plugin", plugin)
    assert (ended.code, ended.err) == (0, "")
    lines = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in ended.out.splitlines())
    assert lines["two-panels"] == "Statistics of one cell; at paper scale with fewer chains."
    assert list(lines) == sorted(lines)
    assert "pi-squared-over-six" in lines


def test_a_python_caller_gets_the_same_refusal(plugin, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'half-broken'"):
        reproduce("half-brokn", output=tmp_path, plugins=[plugin])


# -- pictures -------------------------------------------------------------------------------------------------------


def test_pictures_are_those_of_the_chain_and_are_kept(plugin, tmp_path):
    numbers, files = reproduce("hung", output=tmp_path, plugins=[plugin])
    assert set(numbers.panel) == {"how far"}
    assert "t = 2" in files[-1].read_text()
    [kept] = (tmp_path / "records").rglob("gallery-0-2-3.npy")
    pictures = np.load(kept)
    assert pictures.shape == (3, 3, 64)
    cell = cell_of("pictures(test=20) | gaussian-fit | replace @ n=60 T=2", seeds=[0])
    data = nature(cell)
    assert (
        int(data.identity(None, torch.from_numpy(pictures[:1])).max()) < data.pool_size
    )  # the first row is real
    first = next(generations(cell, None, data))
    mean, _ = first.teacher.mean_and_factor()
    still = (
        data.truth.images[: data.pool_size].std(0) == 0
    )  # pixels that never change are as they are
    np.testing.assert_allclose(pictures[1][:, still], np.tile(mean[0, still], (3, 1)), atol=1e-5)
    assert not np.allclose(pictures[1], pictures[2])
    again = kept.stat().st_mtime_ns
    reproduce("hung", output=tmp_path, plugins=[plugin])
    assert kept.stat().st_mtime_ns == again
