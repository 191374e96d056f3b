"""Suites of tests, calibrated and run, and tasks in each kind of world."""

from pathlib import Path

from collapse_bench import api

#: one task in a world that stands still, one in a growing, a moving and a flawed one
WORLDS = """
[[tasks]]
data = "linear(d=5)"
model = "ols"
protocols = ["mix(real=0.2)"]

[[tasks]]
data = "linear(d=5)"
model = "ols"
protocols = ["accumulate(real=0.2)"]

[[tasks]]
data = "linear(d=5, drift=0.1)"
model = "ols"
protocols = ["accumulate(real=0.2)"]

[[tasks]]
data = "gaussian"
model = "gaussian-fit"
first = "gaussian(sigma=3)"
protocols = ["mix(real=0.2)"]
"""


def calibrated_run(path: Path, text: str, **settings) -> api.Results:
    """The results of a suite with this text, which is written to ``path``; ``out`` is next to it."""
    path.write_text(text)
    api.calibrate(path)
    return api.run(path, output=path.parent / "out", **settings)
