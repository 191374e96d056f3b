"""Helper modules beside a plugin file."""

from __future__ import annotations

import json
import shutil

import pytest
from forked import call

PLUGIN = """
from dataclasses import dataclass
from collapse_bench import Mitigation, hookimpl
from {helper} import K
import random

@dataclass(frozen=True)
class Mine(Mitigation):
    def size(self, n, t):
        from {helper}_late import L
        return n + K + L + int(hasattr(random, "shadowed"))

@hookimpl
def collapse_mitigations():
    return {{"{name}": Mine}}
"""
SPEC = "gaussian | gaussian-fit | replace | mine @ n=5 T=1"


def folder(path, name="mine", k=1):
    path.mkdir()
    (path / "aid.py").write_text(f"K = {k}\n")
    (path / "aid_late.py").write_text("L = 1\n")
    (path / "random.py").write_text("shadowed = True\n")  # hides nothing
    (path / f"{name}.py").write_text(PLUGIN.format(helper="aid", name=name))
    return path / f"{name}.py"


def rows(record_folder) -> list[dict]:
    found = call("board", record_folder, "--format", "json")
    assert found.code == 0, found
    return json.loads(found.out)["rows"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_helper_is_imported_and_digested(workers, tmp_path):
    file = folder(tmp_path / "a")
    args = (SPEC, "--seeds", "0:2", "-o", tmp_path / "out", "--plugin", file)
    ended = call("run", *args, "-j", workers)
    assert ended.code == 0, ended
    assert call("plan", *args).out.splitlines()[-1].startswith("7 reuse, 0 run")
    (tmp_path / "a" / "aid_late.py").write_text("L = 2\n")
    plan = json.loads(call("plan", *args, "--json").out)
    [stale] = [row for row in plan if row["verdict"] != "reuse"]
    assert (stale["verdict"], "aid_late (code of mitigation mine)" in stale["why"]) == (
        "stale",
        True,
    )
    # also where the plugin is not loaded
    said = " ".join(call("board", tmp_path / "out").out.split())
    assert (
        "1 cell(s) of mine are older: aid_late (code of mitigation mine) has changed since" in said
    )


def test_two_helpers_of_one_name(tmp_path):
    one, two = folder(tmp_path / "a"), folder(tmp_path / "b", "other")
    ended = call("list", "--plugin", one, "--plugin", two)
    assert ended.code == 3
    assert "other.py gets the module 'aid" in ended.said
    assert f"of {tmp_path / 'a'}, since one process holds one module of a name" in ended.said


@pytest.mark.parametrize("packages", [(True, True), (True, False), (False, True)])
def test_two_helpers_of_one_name_that_are_packages(packages, tmp_path):
    files = folder(tmp_path / "a"), folder(tmp_path / "b", "other")
    for file, package in zip(files, packages, strict=True):
        if package:
            (file.parent / "aid").mkdir()
            (file.parent / "aid.py").rename(file.parent / "aid" / "__init__.py")
        file.write_text(file.read_text().replace("aid_late", f"{file.stem}_late"))
        (file.parent / "aid_late.py").rename(file.parent / f"{file.stem}_late.py")
    ended = call("list", "--plugin", files[0], "--plugin", files[1])
    assert ended.code == 3
    assert "other.py gets the module 'aid" in ended.said


def test_a_misspelt_stage_is_named_when_it_is_loaded(tmp_path):
    (tmp_path / "odd.py").write_text(
        "from dataclasses import dataclass\nfrom collapse_bench import Mitigation, hookimpl\n"
        "@dataclass(frozen=True)\nclass Odd(Mitigation):\n"
        "    def stear(self, teacher, access):\n        return teacher\n"
        "    def curate(self, corpus, access):\n        return corpus\n"
        "    def curated(self):\n        return 1\n"
        "@hookimpl\ndef collapse_mitigations():\n    return {'odd': Odd}\n"
    )
    ended = call("list", "--plugin", "odd.py", cwd=tmp_path)
    assert ended.code == 0
    assert ended.err == (
        "warning: Odd defines stear, which is never called; did you mean 'steer'?\n"
    )


def test_a_board_whose_plugin_is_gone(tmp_path):
    """It says so in a short sentence, and is not published without --force."""
    file = folder(tmp_path / "a")
    ended = call("run", SPEC, "--seeds", "0:2", "-o", tmp_path / "out", "--plugin", file)
    assert ended.code == 0, ended
    shutil.rmtree(tmp_path / "a")
    shown = call("board", tmp_path / "out")
    assert shown.code == 0
    [note] = [n for n in " ".join(shown.out.split()).split(" - ") if "could not be compared" in n]
    assert f"plugin file {file} is gone; put it back" in note
    assert len(note) < 400
    refused = call("publish", tmp_path / "out", "-o", tmp_path / "to")
    assert refused.code == 2
    assert "could not be compared with the installed plugins" in refused.said
    assert "--force" in refused.said
    assert call("publish", tmp_path / "out", "-o", tmp_path / "to", "--force").code == 0
