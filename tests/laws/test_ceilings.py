"""What no method of a track can exceed."""

from __future__ import annotations

import math

import pytest

from collapse_bench import cell_of, generations
from collapse_bench.errors import PluginError
from collapse_bench.registry.discovery import Registry, registry

TASK = "gaussian | gaussian-fit(sigma=1) | accumulate(real=0.2){} @ n=100 T=20"


def blind_mean(a, t):
    """Error of the mean of all rows, in units of that of generation 0."""
    v = 1.0
    for s in range(2, t + 2):
        v = (1 - a / s) ** 2 * v + 1 / s**2
    return v


def averted(loss, none, nature):
    return math.log(none / loss) / math.log(none / nature)


def test_the_ceilings_of_the_growing_web():
    """.652, .556, .200, .048 and 1 times sigma^2/M: none, share known, provenance known, nature, frozen."""
    found = {
        track: curve[20] * 100
        for track, curve in registry().ceilings(cell_of(TASK.format(""))).items()
    }
    share, provenance = pytest.approx(1 / 1.8), pytest.approx(0.2)
    assert found == {
        "blind": share,
        "first": share,
        "provenance": provenance,
        "first+provenance": provenance,
    }
    none, nature = blind_mean(0.2, 20), 1 / 21
    assert none == pytest.approx(0.652, abs=5e-4)
    assert averted(found["blind"], none, nature) == pytest.approx(0.06, abs=5e-3)
    assert averted(found["provenance"], none, nature) == pytest.approx(0.45, abs=5e-3)
    assert averted(1.0, none, nature) == pytest.approx(-0.16, abs=5e-3)


@pytest.mark.parametrize(
    ("act", "track"),
    [("ratio-debias", "blind"), ("mix-weights(synthetic=0)", "provenance")],
)
def test_a_ceiling_is_reached(act, track):
    cell = cell_of(TASK.format(f" | {act}"), seeds=range(2000))
    least = registry().ceilings(cell)[track]
    for now in generations(cell):
        loss = now.scores["w2"].double()
        assert abs(loss.mean() - least[now.t]) < 4 * loss.std() / 2000**0.5 < 0.2 * least[now.t]
    assert now.ledger.track() == track


@pytest.mark.parametrize(
    ("protocol", "act", "track"),
    [
        ("mix(real=0.3)", "golden-ratio", "provenance"),
        ("mix(real=0.3)", "weight-averaging", "first"),
        ("mix(real=0.3, fresh=false)", "mix-weights(synthetic=0)", "provenance"),
        ("accumulate-subsample(real=0.3)", "distrust", "provenance"),
        ("accumulate(real=0.3)", "weight-averaging", "first"),
        ("replace", "anchor", "first"),
        ("mix(real=0.3)", "weight-averaging + mix-weights(synthetic=0)", "first+provenance"),
    ],
)
def test_no_method_of_the_track_is_better(protocol, act, track):
    cell = cell_of(
        f"gaussian | gaussian-fit(sigma=1) | {protocol} | {act} @ n=20 T=8", seeds=range(500)
    )
    least = registry().ceilings(cell)[track]
    for now in generations(cell):
        loss = now.scores["w2"].double()
        assert loss.mean() > least[now.t] - 4 * loss.std() / 500**0.5
    assert now.ledger.track() == track


def test_the_best_weights_of_a_mix_stay_below_the_ceiling():
    """Weighing real against synthetic rows adds the noise of the synthetic ones: e' = (e + s) r/(e + s + r)."""
    p, e, least = 0.3, 1.0, []
    curve = registry().ceilings(
        cell_of("gaussian | gaussian-fit(sigma=1) | mix(real=0.3) @ n=100 T=20")
    )
    r, s = 1 / p, 1 / (1 - p)
    for t in range(21):
        least.append(e / 100)
        e = (e + s) * r / (e + s + r)
        assert curve["provenance"][t] <= least[t] * (1 + 1e-12)
    assert curve["provenance"][20] == pytest.approx(1 / (100 * (1 + 20 * p)))


@pytest.mark.parametrize(
    "spec",
    [
        "gaussian | gaussian-fit | accumulate(real=0.2) @ n=20 T=2",  # the variance has an error too
        "gaussian | gaussian-fit(sigma=1) | mix(decode=temperature(t=0.9)) @ n=20 T=2",
        "gaussian | gaussian-fit(sigma=1) | mix @ n=20 T=2 first=gaussian(sigma=2)",
        "zipf(K=20) | counts | mix @ n=20 T=2",
    ],
)
def test_where_no_law_is_known_there_is_no_ceiling(spec):
    assert registry().ceilings(cell_of(spec)) == {}


def test_a_ceiling_of_the_wrong_length_is_named(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from dataclasses import dataclass\n"
        "from collapse_bench import Model\n"
        "from collapse_bench.registry.hookspecs import hookimpl\n\n"
        "@dataclass(frozen=True)\nclass Mine(Model):\n    kinds = ('density',)\n\n"
        "@hookimpl\ndef collapse_ceilings(cell):\n    return {'blind': [1.0]}\n\n"
        "@hookimpl\ndef collapse_models():\n    return {'mine': Mine}\n"
    )
    known = Registry.discover([path])
    with pytest.raises(PluginError, match="gives 1 generations"):
        known.ceilings(known.cell("gaussian | mine | replace @ n=20 T=2"))
