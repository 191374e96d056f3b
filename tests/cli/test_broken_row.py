"""A row whose code never works has no rank, and is left out by running again without it."""

from __future__ import annotations

from forked import call, refused

from collapse_bench.registry.discovery import registry
from collapse_bench.suite.model import find_suite

SUITE = """
name = "tiny"
seeds = "0:12"
mitigations = ["temperature(t=1.1)"]
[[tasks]]
data = "gaussian(d=2)"
model = "gaussian-fit"
protocols = ["replace"]
n = 100
generations = 10
"""
PLUGIN = """
from dataclasses import dataclass
from collapse_bench import Mitigation, hookimpl

@dataclass(frozen=True)
class Broken(Mitigation):
    "Never works."
    kinds = ("density",)
    def curate(self, corpus, access):
        raise ValueError("boom")

@hookimpl
def collapse_mitigations():
    return {"never-works": Broken}
"""


def of_temperature(shown):
    """The cells of the row of a sound method, among them its tier and its interval of ranks."""
    return next(line.split() for line in shown.splitlines() if " temperature " in line)


def test_a_row_whose_chains_all_failed(tmp_path):
    smoke = find_suite("smoke", registry()).read_text()
    task = smoke.split("[[calibration]]")[1]
    (tmp_path / "tiny.toml").write_text(f"{SUITE}\n[[calibration]]{task}")
    (tmp_path / "broken.py").write_text(PLUGIN)
    run = ("run", "tiny.toml", "-o", "out")
    ended = call(*run, "--plugin", "broken.py", "--mitigation", "never-works", cwd=tmp_path)
    assert ended.code == 1, ended
    assert "no rank on track blind: all of its chains failed" in ended.out
    assert f"next\n  collapse-bench check --plugin {tmp_path / 'broken.py'}\n\n" in ended.out
    numbers = of_temperature(ended.out)
    publish = ("publish", "out", "--suite", "tiny", "-o", "public")
    refused(call(*publish, cwd=tmp_path), 2, "run the suite again without it")
    again = call(*run, cwd=tmp_path)
    assert again.code == 0, again
    assert "never-works" not in again.out
    assert of_temperature(again.out) == numbers, "the row of another method is the same"
    assert call(*publish, cwd=tmp_path).code == 0


def test_what_fits_no_task_is_refused_by_plan_and_run(tmp_path):
    wanted = ("--mitigation", "top-p", "--mitigation", "negative-guidance", "-o", "out")
    for command in ("plan", "run"):
        ended = call(command, "smoke", *wanted, cwd=tmp_path)
        refused(ended, 5, "negative-guidance fits no task of smoke: ")
        (tmp_path / "odd.toml").write_text(SUITE.replace("gaussian-fit", "ols"))
        refused(call(command, "odd.toml", "-o", "out", cwd=tmp_path), 5, "nothing to run in suite")
    assert not (tmp_path / "out").exists()


def test_what_fits_no_task_of_its_suite_says_why(tmp_path):
    (tmp_path / "odd.toml").write_text(SUITE.replace("temperature(t=1.1)", "top-p"))
    ended = call("run", "odd.toml", "-o", "out", cwd=tmp_path)
    assert ended.code == 0, ended
    assert "top-p fits no task: top-p fits discrete" in " ".join(ended.out.split())
