"""What surrounds a run: a second Ctrl-C, and files in the working folder that are named like modules."""

from __future__ import annotations

import random
import signal
import time

import pytest
from forked import call, start

SPEC = "gaussian | gaussian-fit | replace @ n=8 T=2"


@pytest.mark.parametrize("tries", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_a_second_interrupt_spoils_nothing(tries, tmp_path):
    """At random moments, the second soon after the first: one sentence, exit code 130, no process left."""
    dice = random.Random(20241129)
    for k in range(tries):
        run = start("run", "smoke", "-o", tmp_path / str(k), "-j", 2)
        time.sleep(dice.uniform(0.0, 3.0))
        for _ in range(3):
            run.send(signal.SIGINT)
            time.sleep(dice.uniform(0.0, 0.1))
        ended = run.wait()
        assert ended.code == 130, ended
        assert ended.said.startswith("interrupted")
        if (tmp_path / str(k)).exists():  # on a busy machine the first can come before the run
            assert ended.said.startswith("interrupted; finished chains are kept")
        assert "Traceback" not in ended.err
        for _ in range(500):
            if not run.group():
                break
            time.sleep(0.02)
        assert not run.group()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_workers_import_nothing_from_the_working_folder(n_jobs, tmp_path):
    for name in ("random", "json", "token", "selectors", "statistics"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name} of the working folder')")
    args = ["--seeds", "0:2", "-o", "out", "-q", "-j", n_jobs]
    ended = call("run", SPEC, *args, cwd=tmp_path)
    assert (ended.code, ended.err.count("working folder")) == (0, 0), ended
