"""The conformance kit before a rank is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from collapse_bench import api, run
from collapse_bench.errors import UsageError
from collapse_bench.running.conformance import failures

CHEATS = Path(__file__).parents[1] / "cheats"
CALM = """
from dataclasses import dataclass
from collapse_bench.core.components import Mitigation
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Calm(Mitigation):
    def curate(self, corpus, access):
        return corpus


@hookimpl
def collapse_mitigations():
    return {"calm": Calm}
"""


def test_a_plugin_that_passes_says_nothing(tmp_path):
    (tmp_path / "calm.py").write_text(CALM)
    assert failures({}) == []
    assert failures({"calm": str(tmp_path / "calm.py")}) == []


def test_a_plugin_that_fails_or_does_not_load_is_named(tmp_path):
    (tmp_path / "none.py").write_text("1 / 0")
    broken = str(tmp_path / "none.py")
    both = failures({"mutate": str(CHEATS / "mutate.py"), "gone": broken})
    assert any(s.startswith("mitigation mutate fails mitigation.") for s in both), both
    assert any(
        s.startswith("gone cannot be checked (exit code 3): ") and "ZeroDivision" in s for s in both
    ), both


@pytest.mark.parametrize("code", [0, 7])
def test_a_plugin_that_ends_the_kit_is_not_taken_to_pass(code, tmp_path):
    text = CALM.replace("return corpus", f"import os; os._exit({code})")
    (tmp_path / "ends.py").write_text(text)
    [sentence] = failures({"calm": str(tmp_path / "ends.py")})
    assert sentence.startswith("calm cannot be checked")


def test_publish_refuses_a_row_whose_plugin_fails(tmp_path, monkeypatch):
    plugin = str(CHEATS / "global_rng.py")
    what = "gaussian | gaussian-fit | replace | global-rng @ n=20 T=2"
    ran = run(what, seeds="0:4", plugins=plugin, output=tmp_path / "out")
    with pytest.raises(UsageError, match=r"mitigation global-rng fails .* publish with --force"):
        api.publish_run(ran.output, tmp_path / "published")
    assert len(api.publish_run(ran.output, tmp_path / "published", force=True)) == 2


def test_a_plugin_that_ends_the_kit_cannot_be_checked(tmp_path):
    """The exit code of the kit is what the plugin chose."""
    (tmp_path / "calm.py").write_text("import os, sys\nos._exit(4)\n")
    (said,) = failures({"calm": str(tmp_path / "calm.py")})
    assert said == "calm cannot be checked: its code ended the process of the kit"


def test_the_kit_cannot_read_what_the_user_types(tmp_path):
    (tmp_path / "calm.py").write_text("import sys\nassert not sys.stdin.read()\n" + CALM)
    assert failures({"calm": str(tmp_path / "calm.py")}) == []
