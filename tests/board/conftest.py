"""One small run that several modules of tests show: four kinds of worlds, and names with markup."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

import pytest
from calibrated import WORLDS

from collapse_bench import api
from collapse_bench.core.params import param
from collapse_bench.plugins.mitigations.real_anchor import RealAnchor
from collapse_bench.records.signs import SignGrid, save_signs
from collapse_bench.records.tuning import Tuned, save_tuning
from collapse_bench.registry.discovery import registry

REPORTED = """
name = "kinds"
version = 3
title = "four kinds of worlds <script>alert(1)</script> & more"
seeds = "0:16"
n = 40
generations = 6
mitigations = [
    "frozen", "real-now", "trivial", "anchor", "anchor(beta=1)", "mix-weights", "real-anchor",
    "replay",
    'odd(word="<img src=x onerror=alert(2)>")',
]
"""
#: what `suite calibrate` measures, which takes as long as all else together
UNITS = """
[[calibration]]
task = "linear(d=5) | ols | mix(real=0.2) @ n=40 T=6"
floor = 0.0144
gap = 0.866
gap_sd = 0.874
harm = 0.917
harm_sd = 0.792
chains = 256

[[calibration]]
task = "linear(d=5) | ols | accumulate(real=0.2) @ n=40 T=6"
floor = 0.00167
gap = 1.8
gap_sd = 0.84
harm = 2.08
harm_sd = 0.943
chains = 256

[[calibration]]
task = "linear(d=5, drift=0.1) | ols | accumulate(real=0.2) @ n=40 T=6"
floor = 0.0916
gap = 0.759
gap_sd = 0.426
harm = 0.553
harm_sd = 0.454
chains = 256

[[calibration]]
task = "gaussian | gaussian-fit | mix(real=0.2) @ n=40 T=6 first=gaussian(sigma=3)"
floor = 0.00343
gap = 2.93
gap_sd = 1.42
harm = 0.44
harm_sd = 0.855
chains = 256
"""


@dataclass(frozen=True)
class Odd(RealAnchor):
    """Real rows <b onclick=alert(3)>as ever</b> & \u202eodd text (arXiv 1909.08593).

    A second paragraph.
    """

    word: str = param("plain", "any </details> word")


@pytest.fixture(scope="session")
def reported(tmp_path_factory):
    """(the results of the run, its page).  The class is offered only while they are made."""
    folder = tmp_path_factory.mktemp("reported")
    path, page = folder / "kinds.toml", folder / "kinds.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Odd, "name", "odd")
        patch.setitem(registry().classes["mitigation"], "odd", Odd)
        path.write_text(REPORTED + WORLDS + UNITS)
        results = api.run(path, output=folder / "out")
        assert results.report(page) == [page]
    return api.results(results.output), page


TUNED = "anchor (tuned)"


@pytest.fixture(scope="session")
def reported_tuned(reported, tmp_path_factory):
    """(the same records with a choice of configurations and a grid of signs, their page).

    The choice and the grid are written here: `replay` has a positive score, and is below no
    mitigation on the tasks of the grid.
    """
    folder = tmp_path_factory.mktemp("tuned")
    output, page = folder / "out", folder / "kinds.html"
    shutil.copytree(reported[0].output, output)
    picks = {"regression": "anchor(beta=1)", "gaussian": "anchor"}
    save_tuning(output, "kinds", [Tuned("anchor", ("anchor", "anchor(beta=1)"), picks, 512.0)])
    scores = {TUNED: (0.3,) * 9, "real-anchor": (0.2,) * 9, "replay": (-0.1,) * 9}
    task = "linear(d=5) | ols | mix(real=0.2) @ n=40 T=6"
    save_signs(output, "kinds", SignGrid(16, (task,), scores))
    results = api.results(output)
    assert results.report(page) == [page]
    return results, page
