"""A file of a user, outside the repository, sees real types: what a checker infers there, and which faults it finds."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

#: each line with a comment is to be reported: ``is TYPE`` by reveal_type, ``error [CODE]`` as a fault
FILE = """\
from dataclasses import dataclass

from collapse_bench import Mitigation, hookimpl, param
from collapse_bench.plugins.models.ridge import Ridge


@dataclass(frozen=True)
class Mine(Mitigation):
    share: float = param(0.3, "weight of generation 0", ge=0, le=1)

    def steer(self, teacher, access):
        return teacher.blend(access.first, self.share)

    def size(self, n: str, t: int) -> int:  # error [override]
        return t


@hookimpl
def collapse_mitigations() -> dict[str, type[Mitigation]]:
    return {"mine": Mine}


reveal_type(Mitigation.size)  # is def (self: collapse_bench.core.components.Mitigation, n: int, t: int) -> int
reveal_type(Mine(share=0.5).share)  # is float
reveal_type(hookimpl)  # is pluggy._decorators.HookimplMarker
reveal_type(collapse_mitigations)  # is def () -> dict[str, type[collapse_bench.core.components.Mitigation]]
reveal_type(Ridge)  # is def (lam: float =) -> collapse_bench.plugins.models.ridge.Ridge
reveal_type(Ridge(lam=0.1).lam)  # is float
param(0.3)  # error [call-arg]
Mine(shade=0.5)  # error [call-arg]
Ridge(lam="large")  # error [arg-type]
name: str = Ridge().lam  # error [assignment]
good: float = Ridge(lam=0.1).lam
"""


def reported(output: str) -> dict[int, str]:
    """What mypy says of each line, in the words of the comments in ``FILE``."""
    found = {}
    for line, text in re.findall(r"^mine\.py:(\d+): (?:error|note): (.*)$", output, re.M):
        if code := re.search(r"\[[a-z-]+\]$", text):
            found[int(line)] = f"error {code[0]}"
        elif shown := re.fullmatch(r'Revealed type is "(.*)"', text):
            found[int(line)] = f"is {shown[1]}"
    return found


@pytest.mark.slow
def test_a_users_file_sees_real_types(tmp_path, pytestconfig):
    (tmp_path / "mine.py").write_text(FILE)
    kept = pytestconfig.cache.mkdir("mypy")  # of torch, 20 s the first time
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", f"--cache-dir={kept}", "mine.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    due = {
        number: line.split("  # ")[1]
        for number, line in enumerate(FILE.splitlines(), 1)
        if "  # " in line
    }
    assert reported(done.stdout) == due, done.stdout + done.stderr
