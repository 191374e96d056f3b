"""Whatever a user or a plugin does wrong: one sentence, the documented exit code, and nothing that was done is lost."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest
from forked import Ended, call, one_sentence, start

from collapse_bench.records.record import Record
from collapse_bench.records.store import Store

SUITE = """
name = "tiny"
title = "one small world"
seeds = "0:4"
generations = 2
n = 8
mitigations = ["real-anchor(k=2)"]

[[tasks]]
data = "gaussian(d=2)"
model = "gaussian-fit"
"""
CALIBRATED = """
[[calibration]]
task = "gaussian(d=2) | gaussian-fit | replace @ n=8 T=2"
floor = 0.01
gap = 2.0
gap_sd = 0.1
harm = 1.0
harm_sd = 0.1
chains = 256
"""
HEAD = """
import os, signal, sys, time
from dataclasses import dataclass
import torch
from collapse_bench import DataGenerator, Mitigation, Model, Protocol, Teacher, hookimpl, param
from collapse_bench.lib.distributions.gaussians import GaussianTeacher
"""
CELLS = 9  # of SUITE: none, nature, trivial, one entry and a curve of five points


@pytest.fixture
def suite(tmp_path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(SUITE + CALIBRATED)
    return path


def mitigation(tmp_path: Path, body: str, name: str = "mine") -> Path:
    """A plugin file that offers one mitigation with this body."""
    path = tmp_path / f"{name}.py"
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    hook = f'@hookimpl\ndef collapse_mitigations():\n    return {{"{name}": Mine}}\n'
    path.write_text(f"{HEAD}\n@dataclass(frozen=True)\nclass Mine(Mitigation):\n{lines}\n\n{hook}")
    return path


def records(output: Path) -> dict[str, Record]:
    """Whole records by label; a damaged one fails the test."""
    found = dict(Store(output).records())
    assert all(isinstance(record, Record) for record in found.values()), found
    return {record.facts.label: record for record in found.values()}


def entry(output: Path, name: str) -> Record:
    (found,) = (record for record in records(output).values() if record.facts.entry == name)
    return found


# -- words ----------------------------------------------------------------------------------------------------------

CELL = "gaussian | gaussian-fit @ n=8 T=1"
WORDS = {
    "unknown command": (["runn", "smoke"], ["No such command 'runn'"]),
    "unknown option": (["run", "smoke", "--sed", "3"], ["No such option '--sed'", "--seeds"]),
    "nothing named": (["run"], ["Missing argument"]),
    "unknown suite": (["run", "smok"], ["unknown suite 'smok'", "did you mean 'smoke'?"]),
    "suite file": (["run", "nowhere.toml"], ["suite file nowhere.toml is not there"]),
    "suite without a name": (
        ["run", ""],
        ["the name of the suite is empty; known: llm, neural, neural-smoke, smoke, standard"],
    ),
    "neither suite nor spec": (
        ["run", "qqq"],
        [
            "unknown suite 'qqq'; known: llm, neural, neural-smoke, smoke, standard; a spec has at least "
            "'data | model'"
        ],
    ),
    "parameter twice": (
        ["run", "gaussian(d=2,d=3) | gaussian-fit"],
        ["'d' is given twice (position 13); "],
    ),
    "two suites": (["run", "smoke", "smoke"], ["one suite at a time"]),
    "unknown generator": (
        ["run", "gausian | gaussian-fit"],
        ["unknown generator 'gausian'", "mean 'gaussian'?"],
    ),
    "unknown model": (["run", "linear | rige"], ["unknown model 'rige'", "did you mean 'ridge'?"]),
    "unknown protocol": (
        ["run", "linear | ols | replac"],
        ["unknown protocol 'replac'", "did you mean 'replace'?"],
    ),
    "unknown mitigation": (
        ["run", "zipf | counts | replace | top-pp"],
        ["unknown mitigation 'top-pp'", "'top-p'?"],
    ),
    "another kind": (
        ["run", "linear | replace"],
        ["'replace' is a protocol; expected a model"],
    ),
    "misspelt parameter": (
        ["run", "linear | ridge(lamb=1)"],
        ["ridge has no parameter 'lamb'", "mean 'lam'?"],
    ),
    "no parameters": (
        ["run", "linear | ols(lam=1)"],
        ["ols has no parameter 'lam'; it takes none"],
    ),
    "missing parameter": (["run", "idx-images | random-features"], ["idx-images needs", "path"]),
    "out of range": (["run", "linear(d=0) | ols"], ["linear: d must be >= 1", "got 0"]),
    "not finite": (["run", "linear | ridge(lam=1e999)"], ["ridge: lam must be finite"]),
    "wrong type": (["run", "linear(d=few) | ols"], ["linear: d must be a whole number, got few"]),
    "half a number": (
        ["run", "linear(d=1.5) | ols"],
        ["linear: d must be a whole number, got 1.5"],
    ),
    "not a choice": (
        ["run", "zipf(sampler=exat) | counts"],
        ["sampler must be one of", "got exat"],
    ),
    "not a truth": (["run", "linear | ols | mix(fresh=1)"], ["fresh must be true or false, got 1"]),
    "unknown setting": (["run", "linear | ols @ m=3"], ["unknown setting 'm'"]),
    "setting of range": (["run", "linear | ols @ n=0"], ["n must be a whole number >= 1"]),
    "setting of type": (["run", "linear | ols @ T=ten"], ["T must be a whole number, got ten"]),
    "half a spec": (["run", "linear |"], ["expected a name before"]),
    "one section": (
        ["run", "linear | ols", "ols"],
        ["'ols' is no spec of a cell", "data | model | protocol"],
    ),
    "stray sign": (["run", "linear | ols ; replace"], ["'; replace' cannot be read"]),
    "deep": (["run", "linear | " + "f(a=" * 999 + "1" + ")" * 999], ["is nested more than"]),
    "pair": (
        ["run", "gaussian | ols"],
        ["ols fits regression data, and gaussian gives density data"],
    ),
    "pair of method": (
        ["run", "linear | ols | replace | top-p"],
        ["top-p fits discrete and sequence data"],
    ),
    "pair of protocol": (["run", "zipf | counts | verify-filter"], ["zipf has no verifier"]),
    "ceiling": (
        ["run", "linear | ols | replace | nature + distrust"],
        ["cannot be combined with a mitigation"],
    ),
    "file of data": (["run", 'idx-images(path="/no/such") | random-features'], ["/no/such"]),
    "extra": (
        ["run", "smoke", "--mitigation", "distrust(decay=0)"],
        ["distrust: decay must be > 0"],
    ),
    "seeds": (["run", CELL, "--seeds", "0-4"], ["seeds '0-4' cannot be read", "0:64"]),
    "seeds backwards": (["run", CELL, "--seeds", "4:0"], ["seeds '4:0' cannot be read"]),
    "seeds negative": (["run", CELL, "--seeds=-3:2"], ["seeds '-3:2' cannot be read"]),
    "seeds without end": (["run", CELL, "--seeds", "0:99999999999"], ["at most 1000000"]),
    "seeds too large": (["run", CELL, "--seeds", "9223372036854775808"], ["below 2^63"]),
    "set without value": (["run", "smoke", "--set", "n"], ["'n' is not key=value"]),
    "set of range": (["run", "smoke", "--set", "n=0"], ["n must be a whole number >= 1, got 0"]),
    "set of type": (
        ["run", "smoke", "--set", "n=many"],
        ["n must be a whole number >= 1, got many"],
    ),
    "set unreadable": (["run", "smoke", "--set", "n=;"], ["is neither a number nor a word"]),
    "set unknown": (
        ["run", "smoke", "--set", "generation=2"],
        ["unknown setting 'generation'", "mean 'generations'?"],
    ),
    "set of protocol": (
        ["run", "smoke", "--set", "protocols=replac"],
        ["unknown protocol 'replac'"],
    ),
    "memory": (["run", CELL, "--memory", "lots"], ["'lots' is not a size; write 512M or 2G"]),
    "memory of nothing": (["run", CELL, "--memory", "0"], ["'0' is not a size"]),
    "timeout": (
        ["run", CELL, "--timeout", "soon"],
        ["'soon' is not a time; write 90, 90s, 10m or 2h"],
    ),
    "workers": (["run", CELL, "--n-jobs", "0"], ["0 is not in the range"]),
    "device": (
        ["run", CELL, "--device", "gpu"],
        ["unknown device 'gpu'; write cpu, cuda, cuda:0 or auto"],
    ),
    "device not served": (["run", CELL, "--device", "meta"], ["device 'meta' is not supported"]),
    "plugin file": (
        ["run", "smoke", "--plugin", "absent.py"],
        ["plugin file absent.py is not there"],
    ),
    "plugin folder": (
        ["run", "smoke", "--plugin", "."],
        [". is a folder, and --plugin loads one file"],
    ),
    "format": (["board", ".", "--format", "xml"], ["'xml' is not one of"]),
    "show": (
        ["show", "rigde"],
        ["no plugin and no suite is called 'rigde'", "did you mean 'ridge'?"],
    ),
    "calibrate": (
        ["suite", "calibrate", "smok"],
        ["unknown suite 'smok'", "did you mean 'smoke'?"],
    ),
}


@pytest.mark.parametrize(("args", "words"), WORDS.values(), ids=list(WORDS))
def test_words(args, words, tmp_path):
    one_sentence(call(*args, cwd=tmp_path), 2, *words)
    assert not [path for path in tmp_path.iterdir() if path.name != "results"]
    assert not list(tmp_path.glob("results/*/*.parquet"))


@pytest.mark.skipif(os.path.exists("/dev/nvidia0"), reason="there is a GPU")
def test_no_gpu():
    one_sentence(call("run", CELL, "--device", "cuda"), 2, "torch sees no GPU; use --device cpu")


def test_a_plan_refuses_the_same_words(tmp_path):
    one_sentence(
        call("plan", "gausian | gaussian-fit", cwd=tmp_path), 2, "did you mean 'gaussian'?"
    )
    one_sentence(call("plan", "smoke", "--set", "m=1", cwd=tmp_path), 2, "unknown setting 'm'")


# -- suites ---------------------------------------------------------------------------------------------------------

SUITES = {
    "not TOML": ("name = ", 2, ["cannot be read"]),
    "not text": (b"\xff\xfe", 2, ["it is not UTF-8 (byte 0 is 0xff); convert it, e.g. with iconv"]),
    "unknown key": (
        SUITE.replace("title", "titel"),
        2,
        ["unknown key 'titel'", "did you mean 'title'?"],
    ),
    "unknown key of a task": (
        SUITE + 'modle = "x"\n',
        2,
        ["unknown key 'modle' in tasks.0", "mean 'model'?"],
    ),
    "missing key": (SUITE.replace('model = "gaussian-fit"', ""), 2, ["tasks.0.model", "required"]),
    "no name": (SUITE.replace("name", "title", 1).replace("title = ", "# ", 2), 2, ["name"]),
    "odd name": (
        SUITE.replace('"tiny"', '"../tiny"'),
        2,
        ["name must be a letter followed by", 'write name = "tiny"'],
    ),
    "name of two words": (
        SUITE.replace('"tiny"', '"my suite"'),
        2,
        ["got 'my suite'; write name = \"my-suite\""],
    ),
    "seeds without quotes": (
        SUITE.replace('"0:4"', "5"),
        2,
        ['seeds must be text: "0:32" for 32 chains', "got 5"],
    ),
    "no protocol": (
        "protocols = []\n" + SUITE,
        2,
        ["suite tiny names no protocol; write protocols = ["],
    ),
    "no protocol of a task": (
        SUITE + "protocols = []",
        2,
        ["the task gaussian(d=2) | gaussian-fit names no protocol"],
    ),
    "wrong type": (SUITE.replace("n = 8", 'n = "few"'), 2, ["n: ", "integer"]),
    "out of range": (SUITE.replace("n = 8", "n = 0"), 2, ["n: ", "greater than or equal to 1"]),
    "a table for a list": (SUITE.replace("[[tasks]]", "[tasks]"), 2, ["tasks"]),
    "seeds": (SUITE.replace("0:4", "0..4"), 2, ["seeds '0..4' cannot be read"]),
    "unknown plugin": (
        SUITE.replace("gaussian-fit", "gausian-fit"),
        2,
        ["did you mean 'gaussian-fit'?"],
    ),
    "misspelt parameter": (SUITE.replace("k=2", "kk=2"), 2, ["real-anchor has no parameter 'kk'"]),
    "empty": ('name = "empty"\n', 5, ["nothing to run in suite empty: it names no task"]),
    "nothing fits": (SUITE.replace('"gaussian-fit"', '"ols"'), 5, ["ols fits regression data"]),
}


@pytest.mark.parametrize(("text", "code", "words"), SUITES.values(), ids=list(SUITES))
def test_suite(text, code, words, tmp_path):
    path = tmp_path / "own.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    one_sentence(call("run", path, cwd=tmp_path), code, *words)


def test_a_pair_that_does_not_fit_is_skipped_in_a_suite(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        SUITE.replace('"real-anchor(k=2)"', '"top-p"')
        + '[[tasks]]\ndata = "gaussian"\nmodel = "ols"\n'
    )
    ended = call("run", path, "-o", tmp_path / "out")
    assert ended.code == 0, ended
    flat = " ".join(ended.out.split())
    assert (
        "skipped gaussian | ols | replace @ n=8 T=2: ols fits regression data, and gaussian gives density data"
        in flat
    )
    assert "Traceback" not in ended.err
    plan = json.loads(call("plan", path, "-o", tmp_path / "out", "--json").out)
    skips = {row["cell"]: row["why"] for row in plan if row["verdict"] == "skip"}
    assert set(skips) == {
        "gaussian(d=2) | gaussian-fit | replace | top-p @ n=8 T=2",
        "gaussian | ols | replace @ n=8 T=2",
    }
    assert all("fits" in why for why in skips.values())
    assert not [label for label in records(tmp_path / "out") if "top-p" in label or "ols" in label]


# -- plugins --------------------------------------------------------------------------------------------------------

BROKEN = {
    "import": (
        "import not_there_at_all",
        "ModuleNotFoundError: No module named 'not_there_at_all'",
    ),
    "syntax": ("def f(:", "SyntaxError"),
    "exit": ("import sys\nsys.exit()", "SystemExit"),
    "raise": ("x = 0\n1 / x", "ZeroDivisionError: division by zero (bad.py, line 2)"),
    "misspelt hook": (
        "from collapse_bench import hookimpl\n@hookimpl\ndef collapse_mitigation():\n    return {}",
        "there is no hook 'collapse_mitigation'; did you mean 'collapse_mitigations'?",
    ),
    "no mark": (
        "def collapse_mitigations():\n    return {}",
        "collapse_mitigations lacks its mark",
    ),
    "taken name": (
        HEAD + "@dataclass(frozen=True)\nclass M(Mitigation):\n    pass\n"
        "@hookimpl\ndef collapse_mitigations():\n    return {'top-p': M}",
        "'top-p' is offered by",
    ),
}


@pytest.mark.parametrize(("text", "words"), BROKEN.values(), ids=list(BROKEN))
def test_broken_plugin(text, words, tmp_path):
    (tmp_path / "bad.py").write_text(text)
    for command in (["run", "smoke"], ["plan", "smoke"], ["show", "ridge"]):
        one_sentence(
            call(*command, "--plugin", "bad.py", cwd=tmp_path), 3, "plugin bad.py: ", words
        )
    listed = call("plugins", "--plugin", "bad.py", cwd=tmp_path)
    assert (listed.code, listed.err) == (3, "")
    assert words in re.search("^BROKEN .*bad.*$", listed.out, re.M)[0]
    traced = call("plugins", "--plugin", "bad.py", "--trace", "bad", cwd=tmp_path)
    assert (traced.code, traced.out.count("Traceback")) == (3, 1)


def test_a_plugin_file_without_a_hook(tmp_path):
    (tmp_path / "mine.py").write_text(HEAD)
    one_sentence(
        call("run", CELL, "--plugin", "mine.py", cwd=tmp_path),
        3,
        "plugin mine.py has no hook",
        "@hookimpl",
    )
    code = f"""if True:
        from collapse_bench.errors import PluginError
        from collapse_bench.registry.discovery import registry

        for _ in range(2):
            try:
                registry([{str(tmp_path / "mine.py")!r}])
            except PluginError as problem:
                print(problem)
        with open({str(tmp_path / "mine.py")!r}, "a") as file:
            file.write("@hookimpl\\ndef collapse_mitigations():\\n    return {{}}\\n")
        registry([{str(tmp_path / "mine.py")!r}])
    """
    ended = call(code=code)
    assert (ended.code, ended.out.count("has no hook")) == (0, 2)


def test_broken_plugin_that_nobody_chose(tmp_path):
    (tmp_path / "bad.py").write_text("1 / 0")
    env = {"COLLAPSE_BENCH_PLUGINS": f"collapse_bench.plugins,{tmp_path / 'bad.py'}"}
    ended = call("run", CELL, "--seeds", "0:2", env=env)
    assert ended.code == 0, ended
    assert (
        len([line for line in ended.err.splitlines() if line.startswith("warning: could not load")])
        == 1
    )


def test_a_suite_of_a_plugin_that_cannot_be_read(tmp_path):
    (tmp_path / "broken.toml").write_text("name = ")
    text = f"from collapse_bench import hookimpl\n@hookimpl\ndef collapse_suites():\n    return [{str(tmp_path / 'broken.toml')!r}]"
    (tmp_path / "shelf.py").write_text(text)
    listed = call("list", "--plugin", "shelf.py", cwd=tmp_path)
    assert (listed.code, listed.err) == (0, "")
    assert re.search("broken +BROKEN: .*cannot be read", listed.out)
    one_sentence(call("run", "broken", "--plugin", "shelf.py", cwd=tmp_path), 2, "cannot be read")


MISBEHAVING = {
    "raises in the middle": (
        "def curate(self, c, access):\n    return c if access.t < 2 else 1 / 0",
        "ZeroDivisionError",
    ),
    "asserts": ("def curate(self, c, access):\n    assert False", "AssertionError"),
    "leaves": ("def curate(self, c, access):\n    sys.exit(0)", "SystemExit"),
    "no corpus": (
        "def curate(self, c, access):\n    c",
        "mine.curate returned NoneType; it must return a Corpus",
    ),
    "no teacher": (
        "def steer(self, teacher, access):\n    return access",
        "mine.steer returned Access; it must return a Teacher",
    ),
    "no model": (
        "def adapt(self, model, access):\n    return access.teacher",
        "must return a Model",
    ),
    "no number": ("def size(self, n, t):\n    return 'many'", "many"),
    "weights of one chain": (
        "def curate(self, c, access):\n    return c.weighted(c.weight[0])",
        "weights have shape (8,); ",
    ),
    "too few weights": (
        "def curate(self, c, access):\n    return c.weighted(c.weight[..., :3])",
        "weights have shape (1, 3); expected (1, 8)",
    ),
    "answers without a dimension": (
        "def curate(self, c, access):\n    return c.edited(y=c.y[..., 0])",
        "RuntimeError",
    ),
    "one chain alone": (
        "def curate(self, c, access):\n    return c[0]",
        "mine.curate returned chains of shape (); expected (1,)",
    ),
    "touches its input": (
        "def curate(self, c, access):\n    c._parts[0].y.mul_(2)\n    return c",
        "changed its input in place",
    ),
    "touches the rows it is shown": (
        "def curate(self, c, access):\n    c.y.mul_(2)\n    return c",
        "changed its input in place",
    ),
    "reads what is hidden": (
        "def curate(self, c, access):\n    return c.weighted(c.origin.double())",
        "provenance is hidden",
    ),
    "teaches NaN": (
        "def steer(self, teacher, access):\n    return GaussianTeacher(teacher.mean * torch.nan, teacher.factor)",
        "",
    ),
    "weighs by NaN": (
        "def curate(self, c, access):\n    return c.weighted(c.weight * torch.nan)",
        "mine.curate gave a row the weight nan; weights must be finite and >= 0",
    ),
    "weighs by less than nothing": (
        "def curate(self, c, access):\n    return c.weighted(1 - 2 * c.weight)",
        "mine.curate gave a row the weight -1; weights must be finite and >= 0",
    ),
}


@pytest.mark.parametrize(("body", "words"), MISBEHAVING.values(), ids=list(MISBEHAVING))
def test_misbehaving_mitigation(body, words, suite, tmp_path):
    """It costs its own chains alone, its chains never count as good ones, and the sentence stands in the record."""
    plugin, output = mitigation(tmp_path, body), tmp_path / "out"
    ended = call("run", suite, "--plugin", plugin, "--mitigation", "mine", "-o", output)
    assert "Traceback" not in ended.err
    mine = entry(output, "mine")
    assert "done" not in mine.facts.status
    assert words in str(mine.facts.reason[0])
    others = [record for label, record in records(output).items() if "mine" not in label]
    assert len(others) == CELLS
    assert all(record.facts.status == ("done",) * 4 for record in others)
    if "failed" in mine.facts.status:
        assert ended.code == 1
        assert ended.said.startswith("1 job(s) failed, the first: ")
        assert ended.said.endswith(mine.facts.reason[0])
        assert mine.runs[-1]["traceback"].startswith("Traceback (most recent call last)")
        frame = call("board", output, "--format", "json")
        row = next(row for row in json.loads(frame.out)["rows"] if row["entry"] == "mine")
        assert row["S"] == -3
    else:
        assert ended.code == 0


def test_a_chain_that_fails_takes_none_of_its_neighbours_along(suite, tmp_path):
    """All chains of a block run side by side; one that goes wrong is found, and the others come out as if it were not there."""
    body = "def curate(self, c, access):\n    assert not (c.y.mean((-1, -2)) == {worst}).any(), 'the unlucky one'\n    return c"
    unharmed = mitigation(tmp_path, "def curate(self, c, access):\n    return c", "calm")
    assert (
        call(
            "run", suite, "--plugin", unharmed, "--mitigation", "calm", "-o", tmp_path / "calm"
        ).code
        == 0
    )
    probe = "def curate(self, c, access):\n    print('means', *(repr(float(m)) for m in c.y.mean((-1, -2)))) if access.t == 2 else 0\n    return c"
    probe = mitigation(tmp_path, probe, "probe")
    said = call(
        "run", suite, "--plugin", probe, "--mitigation", "probe", "-o", tmp_path / "probe"
    ).err
    # the first line is that of the chain that runs by itself, to be compared
    third = max(re.findall("means (.*)", said), key=len).split()[2]
    plugin, output = mitigation(tmp_path, body.format(worst=third)), tmp_path / "out"
    ended = call("run", suite, "--plugin", plugin, "--mitigation", "mine", "-o", output)
    assert ended.code == 1
    mine, calm = entry(output, "mine"), entry(tmp_path / "calm", "calm")
    assert mine.facts.status == ("done", "done", "failed", "done")
    assert "the unlucky one" in mine.facts.reason[2]
    left = [0, 1, 3]
    ours, theirs = mine.restricted(left), calm.restricted(left)
    assert ours.value == pytest.approx(theirs.value, rel=1e-9)


def test_failed_cells_are_run_again(suite, tmp_path):
    switch = tmp_path / "mended"
    body = f"def curate(self, c, access):\n    if not os.path.exists({str(switch)!r}):\n        1 / 0\n    return c"
    plugin, output = mitigation(tmp_path, body), tmp_path / "out"
    command = [suite, "--plugin", plugin, "--mitigation", "mine", "-o", output]
    assert call("run", *command).code == 1
    before = {
        label: record.runs for label, record in records(output).items() if "mine" not in label
    }
    plan = {row["verdict"]: row for row in json.loads(call("plan", *command, "--json").out)}
    assert set(plan) == {"reuse", "run"}
    assert (plan["run"]["why"], plan["run"]["chains"]) == ("failed last time", 4)
    assert call("run", *command).code == 1
    switch.touch()
    assert call("run", *command).code == 0
    assert entry(output, "mine").facts.status == ("done",) * 4
    assert before == {
        label: record.runs for label, record in records(output).items() if "mine" not in label
    }


def test_fail_fast(suite, tmp_path):
    plugin = mitigation(tmp_path, "def curate(self, c, access):\n    1 / 0")
    ended = call(
        "run",
        suite,
        "--plugin",
        plugin,
        "--mitigation",
        "mine",
        "-o",
        tmp_path / "out",
        "--fail-fast",
    )
    one_sentence(ended, 1, "stopped at", "ZeroDivisionError: division by zero")
    assert 2 <= len(records(tmp_path / "out")) < CELLS + 1


def test_what_a_plugin_prints_is_no_data(suite, tmp_path):
    plugin = mitigation(
        tmp_path, "def curate(self, c, access):\n    print('look here')\n    return c"
    )
    ended = call("run", suite, "--plugin", plugin, "--mitigation", "mine", "-o", tmp_path / "out")
    assert ended.code == 0
    assert "look here" not in ended.out
    assert "look here" in ended.err


OTHER_PLUGINS = {
    "model that fits NaN": (
        "class Own(Model):\n    kinds = ('density',)\n    vectorized = True\n"
        "    def fit(self, c, rng, before=None):\n        m = c.moments()\n"
        "        return GaussianTeacher(m.mean * torch.nan, m.scatter)\n",
        "models",
        "gaussian | own",
    ),
    "model that fits nothing": (
        "class Own(Model):\n    def fit(self, c, rng, before=None):\n        return None\n",
        "models",
        "gaussian | own",
    ),
    "judge of wrong shape": (
        "class Own(DataGenerator):\n    def ask(self, n, rng):\n        return torch.empty(*rng.chain_shape, n, 0)\n"
        "    def answer(self, x, rng):\n        return rng.normal(x.shape[-2], 1)\n"
        "    def losses(self, teacher, rng):\n        return {'loss': torch.zeros(())}\n",
        "generators",
        "own | gaussian-fit",
    ),
    "description of wrong shape": (
        "class Own(DataGenerator):\n    def ask(self, n, rng):\n        return torch.empty(*rng.chain_shape, n, 0)\n"
        "    def answer(self, x, rng):\n        return rng.normal(x.shape[-2], 1)\n"
        "    def losses(self, teacher, rng):\n        return {'loss': torch.zeros(rng.chain_shape)}\n"
        "    def diagnostics(self, teacher):\n        return {'mean': teacher.mean}\n",
        "generators",
        "own | gaussian-fit",
    ),
    "asks nothing": ("class Own(DataGenerator):\n    pass\n", "generators", "own | gaussian-fit"),
    "composes nothing": (
        "class Own(Protocol):\n    def compose(self, access, memory):\n        return None\n",
        "protocols",
        "gaussian | gaussian-fit | own",
    ),
}


@pytest.mark.parametrize(("text", "kind", "spec"), OTHER_PLUGINS.values(), ids=list(OTHER_PLUGINS))
def test_misbehaving_plugin_of_another_kind(text, kind, spec, tmp_path):
    hook = f"@hookimpl\ndef collapse_{kind}():\n    return {{'own': Own}}\n"
    (tmp_path / "own.py").write_text(f"{HEAD}\n@dataclass(frozen=True)\n{text}\n{hook}")
    args = ["--plugin", "own.py", "--seeds", "0:2", "-o", "out"]
    ended = call("run", f"{spec} @ n=5 T=2", CELL, *args, cwd=tmp_path)
    assert "Traceback" not in ended.err
    found = records(tmp_path / "out")
    # `trivial` fits nothing, so a wrong model does not touch it
    own = [
        record
        for label, record in found.items()
        if "own" in label and "T=2" in label and not (kind == "models" and "trivial" in label)
    ]
    assert own
    assert all(
        record.facts.status == ("done",) * 2
        for label, record in found.items()
        if "own" not in label
    )
    for record in own:
        last = record.value[(record.metric == record.facts.primary) & (record.generation == 2)]
        assert record.facts.status == ("failed",) * 2 or not (abs(last) < float("inf")).any()
    assert ended.code == int(any("failed" in record.facts.status for record in own))


# -- places ---------------------------------------------------------------------------------------------------------


def test_output_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in ("file", "file/below"):
        one_sentence(
            call("run", CELL, "-o", place, cwd=tmp_path),
            2,
            f"the output folder: {place}",
            "is no folder",
        )
    assert (tmp_path / "file").read_text() == "mine"


def test_a_board_of_nothing(tmp_path):
    one_sentence(call("board", tmp_path), 5, "holds no results; run a suite with --output")
    one_sentence(call("board", tmp_path / "absent"), 5, "holds no results")


def test_a_board_of_several(suite, tmp_path):
    output = tmp_path / "out"
    assert call("run", suite, "-o", output).code == 0
    assert call("run", CELL, "--seeds", "0:2", "-o", output).code == 0
    [typed] = [path.name.split(".")[0] for path in output.glob("typed-*.manifest.json")]
    one_sentence(call("board", output), 2, f"of several suites (tiny, {typed})", "--suite")
    one_sentence(
        call("board", output, "--suite", "tinny"), 2, "no suite 'tinny'", "did you mean 'tiny'?"
    )
    assert call("board", output, "--suite", "tiny").out.startswith("tiny v1")
    assert call("board", output, "--suite", typed).out.startswith(f"{typed} v1")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 1}', '{"schema": 1, "suite": {"name": 3}}']
)
def test_a_manifest_that_was_damaged(text, suite, tmp_path):
    output = tmp_path / "out"
    assert call("run", suite, "-o", output).code == 0
    (output / "tiny.manifest.json").write_text(text)
    one_sentence(call("board", output), 2, "tiny.manifest.json is ", "run the suite again")
    again = call("run", suite, "-o", output)
    assert again.code == 0
    assert "plan: 8 reuse (0 chains in 0 jobs)" in again.err


def test_a_board_that_cannot_be_drawn(suite, tmp_path):
    output = tmp_path / "out"
    assert call("run", suite, "-o", output).code == 0
    bmp, absent = tmp_path / "curves.bmp", tmp_path / "absent"
    one_sentence(call("board", output, "--curves", bmp), 2, f"{bmp} must end in .png, .svg or .pdf")
    for option, file in (("--curves", "curves.png"), ("-o", "board.txt")):
        ended = call("board", output, option, absent / file)
        one_sentence(
            ended, 2, f"{absent / file} cannot be written: the folder {absent} does not exist"
        )
        assert "the same command goes on" not in ended.err
    one_sentence(
        call("board", output, "-o", tmp_path), 2, f"{tmp_path} is a folder; name a file in it"
    )
    assert call("board", output, "--focus", "nobody").code == 2


def test_a_damaged_record_is_told_once(tmp_path):
    """Also where several tasks share it."""
    path, output = tmp_path / "own.toml", tmp_path / "out"
    path.write_text(SUITE.replace("[[tasks]]", 'protocols = ["replace", "accumulate"]\n[[tasks]]'))
    assert call("run", path, "-o", output).code == 0
    shared = [record for label, record in records(output).items() if label.endswith("n=16 T=0")]
    (damaged,) = (p for p in output.rglob("*.parquet") if p.parent.name == shared[0].facts.id)
    damaged.write_bytes(b"no longer")
    ended = call("board", output, "--format", "json")
    assert (ended.code, ended.err) == (0, "")
    assert len([note for note in json.loads(ended.out)["notes"] if str(damaged) in note]) == 1


FULL_DISK = """if True:
    import ctypes, os, shutil, sys
    from collapse_bench.cli import main

    suite, output, seen, workers, room = sys.argv[1:]
    libc, failed = ctypes.CDLL(None, use_errno=True), 0
    os.mkdir(output)
    failed |= libc.unshare(0x00020000)  # mounts of this process are its own
    failed |= libc.mount(b"none", b"/", None, 1 << 14 | 1 << 18, None)
    failed |= libc.mount(b"tmpfs", output.encode(), b"tmpfs", 0, b"size=192k")
    if failed:
        sys.exit(f"no small disk can be mounted here: {os.strerror(ctypes.get_errno())}")

    def run(name):
        if not os.fork():
            os.dup2(os.open(f"{seen}/{name}", os.O_CREAT | os.O_WRONLY), 2)
            main(["run", suite, "-o", output, "-q", "-j", workers])
        _, status = os.wait()
        shutil.copytree(output, f"{seen}/records-{name}", ignore=shutil.ignore_patterns("ballast"))
        print(os.waitstatus_to_exitcode(status))

    with open(f"{output}/ballast", "wb") as ballast:
        ballast.write(b"x" * (192 * 1024 - int(room)))
    run("full")
    os.remove(f"{output}/ballast")
    run("freed")
"""


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_full_disk(workers, suite, tmp_path):
    assert call("run", suite, "-o", tmp_path / "undisturbed").code == 0
    (tmp_path / "seen").mkdir()
    files = [
        path.stat().st_size for path in (tmp_path / "undisturbed").rglob("*") if path.is_file()
    ]
    room = 4096 * sum(size // 4096 + 1 for size in files) // 2
    ended = call(suite, tmp_path / "disk", tmp_path / "seen", workers, room, code=FULL_DISK)
    if "no small disk" in ended.said:
        pytest.skip(ended.said)
    full, freed = ended.out.split()
    one_sentence(
        Ended(int(full), "", (tmp_path / "seen" / "full").read_text()),
        *(1, "No space left on device", "finished chains are kept"),
    )
    kept = records(tmp_path / "seen" / "records-full")  # all whole
    assert 0 < len(kept) < CELLS
    assert not list((tmp_path / "seen" / "records-full").rglob(".*.tmp"))
    assert freed == "0"
    after = records(tmp_path / "seen" / "records-freed")
    assert {label: record.digest() for label, record in after.items()} == {
        label: record.digest() for label, record in records(tmp_path / "undisturbed").items()
    }
    assert all(after[label].runs == record.runs for label, record in kept.items())


# -- signals, limits, workers ---------------------------------------------------------------------------------------

WAITS = "def curate(self, c, access):\n    open({seen!r}, 'a').close()\n    time.sleep(600)\n    return c"


def until(condition, patience: float = 60.0):
    ends = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < ends, "it never came to that"
        time.sleep(0.01)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGINT, "interrupted"),
        pytest.param(signal.SIGTERM, "terminated", marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, "hung up", marks=pytest.mark.slow),
    ],
    ids=["SIGINT", "SIGTERM", "SIGHUP"],
)
def test_interrupt(number, said, workers, suite, tmp_path):
    """Ctrl-C reaches the command and its workers, as do the signals of a batch system and of a terminal that closes;
    finished chains are kept, and the same command continues from them."""
    output, seen = tmp_path / "out", tmp_path / "seen"
    plugin = mitigation(tmp_path, WAITS.format(seen=str(seen)))
    command = [
        "run",
        suite,
        "--plugin",
        plugin,
        "--mitigation",
        "mine",
        "-o",
        output,
        "-j",
        workers,
    ]
    run = start(*command)
    until(lambda: seen.exists() and len(list(output.glob("*/*.parquet"))) >= 3)
    run.send_group(number)
    ended = run.wait(20)
    assert (ended.code, ended.out) == (128 + number, "")
    assert (
        ended.said
        == f"{said}; finished chains are kept; resume with: collapse-bench {' '.join(map(str, command))}"
    )
    assert "Traceback" not in ended.err
    kept = records(output)
    assert len(kept) >= 3
    assert not [label for label in kept if "mine" in label]
    mitigation(tmp_path, "def curate(self, c, access):\n    return c")
    assert call(*command).code == 0
    after = records(output)
    assert len(after) == CELLS + 1
    assert all(after[label].runs == record.runs for label, record in kept.items())


@pytest.mark.parametrize("starts", [0, pytest.param(4.5, marks=pytest.mark.slow)])
def test_time_limit(starts, suite, tmp_path):
    """What a worker takes to start is not charged to its job, even where the limit is shorter than that."""
    output, seen = tmp_path / "out", tmp_path / "seen"
    plugin = mitigation(tmp_path, WAITS.format(seen=str(seen)))
    plugin.write_text(f"import time\ntime.sleep({starts})\n{plugin.read_text()}")
    command = [suite, "--plugin", plugin, "--mitigation", "mine", "-o", output]
    ended = call("run", *command, "--timeout", "4")
    assert ended.code == 1, ended
    assert ended.said == "1 job(s) failed, the first: ran longer than the limit of 4 s"
    found = records(output)
    assert entry(output, "mine").facts.status == ("timeout",) * 4
    assert [record.facts.status for label, record in found.items() if "mine" not in label] == [
        ("done",) * 4
    ] * CELLS
    plan = json.loads(call("plan", *command, "--json").out)
    assert [row["why"] for row in plan if row["verdict"] != "reuse"] == ["timeout last time"]
    board = json.loads(call("board", output, "--format", "json").out)
    row = next(row for row in board["rows"] if row["entry"] == "mine")
    assert not row["ranked"]


def test_workers_do_not_outlive_the_command(suite, tmp_path):
    """Not even in the middle of a job, when nobody is left to end them."""
    seen = tmp_path / "seen"
    plugin = mitigation(tmp_path, WAITS.format(seen=str(seen)))
    run = start(
        "run", suite, "--plugin", plugin, "--mitigation", "mine", "-o", tmp_path / "out", "-j", 2
    )
    until(seen.exists)
    run.send(signal.SIGKILL)
    assert run.wait().code == -signal.SIGKILL
    until(lambda: not run.group(), 10)


def test_a_worker_that_is_killed(suite, tmp_path):
    body = "def curate(self, c, access):\n    os.kill(os.getpid(), signal.SIGKILL)"
    plugin, output = mitigation(tmp_path, body), tmp_path / "out"
    ended = call("run", suite, "--plugin", plugin, "--mitigation", "mine", "-o", output, "-j", 2)
    assert ended.code == 1, ended
    assert ended.said.startswith("1 job(s) failed, the first: the worker died (exit code -9)")
    assert "memory was short" in ended.said
    assert "Traceback" not in ended.err
    assert entry(output, "mine").facts.status == ("killed",) * 4
    others = [
        record.facts.status for label, record in records(output).items() if "mine" not in label
    ]
    assert others == [("done",) * 4] * CELLS


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("os._exit(3)", "the worker died (exit code 3); the code that it ran ended the process"),
        (
            "signal.signal(signal.SIGSEGV, signal.SIG_DFL), os.kill(os.getpid(), signal.SIGSEGV)",
            "(exit code -11); signal 11",
        ),
    ],
)
def test_a_worker_that_dies_of_its_job_is_not_said_to_want_memory(how, words, suite, tmp_path):
    plugin = mitigation(tmp_path, f"def curate(self, c, access):\n    {how}")
    ended = call(
        "run", suite, "--plugin", plugin, "--mitigation", "mine", "-o", tmp_path / "out", "-j", 2
    )
    assert ended.code == 1, ended
    assert words in ended.said
    assert "memory" not in ended.said


def test_a_plugin_that_workers_cannot_load(suite, tmp_path):
    """It loads here and not there: said in a sentence, and not a broken pipe."""
    plugin = mitigation(tmp_path, "def curate(self, c, access):\n    return c")
    guard = "import multiprocessing\nassert multiprocessing.parent_process() is None, 'not here'\n"
    plugin.write_text(guard + plugin.read_text())
    args = ["--plugin", plugin, "--mitigation", "mine", "-o", tmp_path / "out", "-j", 2]
    ended = call("run", suite, *args)
    assert ended.code == 1, ended
    assert "a worker could not load it: " in ended.said
    assert "AssertionError: not here" in ended.said
    assert "Traceback" not in ended.err
    assert entry(tmp_path / "out", "mine").facts.status == ("failed",) * 4
    assert len(records(tmp_path / "out")) == CELLS + 1


# -- settings from the environment ----------------------------------------------------------------------------------


def test_environment(suite, tmp_path):
    plugin = mitigation(tmp_path, "def curate(self, c, access):\n    return c")
    env = {
        "COLLAPSE_BENCH_RUN_SEEDS": "0:3",
        "COLLAPSE_BENCH_RUN_OUTPUT": str(tmp_path / "by-environment"),
        "COLLAPSE_BENCH_RUN_SET": "generations=1 n=6",
        "COLLAPSE_BENCH_RUN_PLUGIN": str(plugin),
        "COLLAPSE_BENCH_RUN_MITIGATION": "mine + real-anchor(k=1);real-anchor( k=3 )",
        "COLLAPSE_BENCH_RUN_QUIET": "1",
    }
    quiet = call("run", suite, env=env)
    assert (quiet.code, quiet.out) == (0, "")
    found = records(tmp_path / "by-environment")
    task = "gaussian(d=2) | gaussian-fit | replace"
    assert {
        f"{task} | mine + real-anchor(k=1) @ n=6 T=1",
        f"{task} | real-anchor(k=3) @ n=6 T=1",
    } < set(found)
    assert all(record.seeds == [0, 1, 2] for record in found.values())
    flags = call("run", suite, "--seeds", "7", "-o", tmp_path / "by-flag", env=env)
    assert flags.code == 0
    assert all(record.seeds == [7] for record in records(tmp_path / "by-flag").values())
    assert records(tmp_path / "by-environment").keys() == found.keys()


def test_environment_that_is_wrong(tmp_path):
    one_sentence(
        call("run", CELL, env={"COLLAPSE_BENCH_RUN_SEEDS": "x"}, cwd=tmp_path),
        2,
        "seeds 'x' cannot be read",
    )
    one_sentence(
        call("run", CELL, env={"COLLAPSE_BENCH_RUN_N_JOBS": "x"}, cwd=tmp_path),
        2,
        "'x' is not a valid integer",
    )


def test_a_reader_that_leaves(tmp_path):
    """`collapse-bench list | head -1` is no error and leaves no traceback."""
    code = """if True:
        import os, sys
        from collapse_bench.cli import main
        reads, writes = os.pipe()
        os.close(reads)
        os.dup2(writes, 1)
        main(["list"])
    """
    ended = call(code=code)
    assert (ended.code, ended.err) == (0, "")
