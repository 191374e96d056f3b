"""The command line as a shell sees it: data on stdout, words for people on stderr, and the same numbers in every format."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pandas as pd
import pytest
from forked import Ended, call

from collapse_bench.api import results, run
from collapse_bench.board import LossBoard
from collapse_bench.cli import cli
from collapse_bench.errors import UsageError
from collapse_bench.registry.discovery import KINDS, registry
from collapse_bench.suite.expand import expand
from collapse_bench.suite.model import MARK, find_suite, read_suite

SUITE = """\
# a suite of one's own
name = "tiny"
title = "two small worlds"
seeds = "0:16"
generations = 4
n = 10
mitigations = ["real-anchor(k=5)", "temperature", "top-p"]

[[tasks]]
data = "gaussian(d=2)"
model = "gaussian-fit"

[[tasks]]
data = "zipf(K=50)"
model = "counts"
n = 60
"""
TASKS = [
    "gaussian(d=2) | gaussian-fit | replace @ n=10 T=4",
    "zipf(K=50) | counts | replace @ n=60 T=4",
]
ENTRIES = {"real-anchor(k=5)", "temperature", "top-p"}
CONTROLS = {"none", "nature", "frozen", "trivial"}


class House:
    """A calibrated suite and its results, run once."""

    def __init__(self, folder: Path):
        self.suite, self.output = folder / "tiny.toml", folder / "out"
        self.suite.write_text(SUITE)
        self.first = call("run", self.suite, "-o", self.output)
        self.uncalibrated = call("board", self.output)
        self.calibration = call("suite", "calibrate", self.suite, "-o", folder / "chains")
        self.second = call("run", self.suite, "-o", self.output)

    def board(self, *args) -> Ended:
        ended = call("board", self.output, *args)
        assert (ended.code, ended.err) == (0, ""), ended
        return ended


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> House:
    return House(tmp_path_factory.mktemp("house"))


# -- help -----------------------------------------------------------------------------------------------------------


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("command", list(commands()), ids=" ".join)
def test_every_command_has_help_with_an_example(command):
    for flag in ("--help", "-h"):
        ended = call(*command, flag)
        assert (ended.code, ended.err) == (0, "")
        examples = re.findall(r"^ +(collapse-bench .+)$", ended.out.partition("Example")[2], re.M)
        assert examples, ended.out
        assert all(line.split()[1] == command[0] for line in examples)


def test_the_help_names_the_exit_codes():
    ended = call("--help")
    assert ended.code == 0
    assert "Examples:" in ended.out
    for code in (
        "0 all done",
        "1 some cells failed",
        "2 usage",
        "3 a plugin",
        "5 nothing matched",
        "6 the result could not be shown",
        "130 interrupted",
    ):
        assert code in ended.out


def test_version():
    assert re.fullmatch(r"collapse-bench, version \d+\.\d+\.\d+\S*\n", call("--version").out)


def test_every_option_has_words():
    for path in commands():
        command = cli
        for name in path:
            command = command.commands[name]
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, (path, option.name)
                assert option.envvar.startswith(
                    "COLLAPSE_BENCH_" + "_".join(path).upper().replace("-", "_")
                ), (
                    path,
                    option.name,
                )


# -- the conformance kit --------------------------------------------------------------------------------------------


def test_check(tmp_path):
    good = call("check", "distrust", "top-p")
    assert good.code == 0
    assert re.fullmatch(r"\d+ passed, 0 failed, \d+ skipped\n", good.out)
    (tmp_path / "bad.py").write_text(
        "from dataclasses import dataclass\nfrom collapse_bench import Mitigation, hookimpl\n"
        "@dataclass(frozen=True)\nclass Bad(Mitigation):\n    def curate(self, corpus, access):\n"
        "        corpus.y.add_(1)\n        return corpus\n"
        "@hookimpl\ndef collapse_mitigations():\n    return {'bad': Bad}\n"
    )
    bad = call("check", "--plugin", "bad.py", cwd=tmp_path)
    assert bad.code == 4, bad
    *failures, counts = bad.out.splitlines()
    assert any(re.match("failed +mitigation bad: .*in place", line) for line in failures)
    assert f"{len(failures)} failed" in counts
    one = call("check", "--plugin", "bad.py", "--only", "mitigation.acts", cwd=tmp_path)
    assert (one.code, one.out) == (0, "1 passed, 0 failed, 0 skipped\n")


def test_what_a_plugin_prints_while_it_is_checked_does_not_spoil_json(tmp_path):
    (tmp_path / "loud.py").write_text(
        "import os\nfrom dataclasses import dataclass\n"
        "from collapse_bench import Mitigation, hookimpl\n"
        "@dataclass(frozen=True)\nclass Loud(Mitigation):\n"
        "    def size(self, n, t):\n        print('loud'); os.write(1, b'louder')\n"
        "        return n\n"
        "@hookimpl\ndef collapse_mitigations():\n    return {'loud': Loud}\n"
    )
    only = ("--only", "mitigation.runs-in-the-loop")
    ended = call("check", "--plugin", "loud.py", *only, "--json", cwd=tmp_path)
    assert [one["status"] for one in json.loads(ended.out)] == ["passed"], ended
    assert "loud" in ended.err
    assert "louder" in ended.err


def test_check_of_what_cannot_be_checked():
    args = ("check", "noisy-labels", "--only", "generator.losses-in-shape")
    strict = call(*args)
    assert strict.code == 4
    assert "generator.losses-in-shape, because noisy-labels needs data with labels" in strict.out
    assert "0 passed, 0 failed, 1 skipped (1 of them essential)" in strict.out
    assert "--allow-skipped" in strict.said
    assert call(*args, "--allow-skipped").code == 0
    [outcome] = json.loads(call(*args, "--json").out)
    assert (outcome["status"], outcome["not_checked"]) == ("skipped", True)


def test_checks_are_listed():
    listed = call("check", "--list")
    assert listed.code == 0
    assert re.search(
        r"^model.weight-zero-is-absent +A row of weight 0 counts as absent. \(essential\)$",
        listed.out,
        re.M,
    )
    assert {check["id"] for check in json.loads(call("check", "--list", "--json").out)} == {
        line.split()[0] for line in listed.out.splitlines()
    }


def test_check_of_a_plugin_as_it_is_typed(tmp_path):
    (tmp_path / "needs.py").write_text(
        "from dataclasses import dataclass\nfrom collapse_bench import Mitigation, hookimpl\n"
        "@dataclass(frozen=True)\nclass Needs(Mitigation):\n    k: int\n"
        "    def size(self, n, t):\n        return n + self.k\n"
        "@hookimpl\ndef collapse_mitigations():\n    return {'needs': Needs}\n"
    )
    typed = call("check", "needs( k=3 )", "--plugin", "needs.py", cwd=tmp_path)
    assert typed.code == 0, typed
    as_json = call("check", "needs( k=3 )", "--plugin", "needs.py", "--json", cwd=tmp_path)
    assert {outcome["plugin"] for outcome in json.loads(as_json.out)} == {"mitigation needs(k=3)"}
    bare = call("check", "--plugin", "needs.py", cwd=tmp_path)
    assert (bare.code, "has no default for k" in bare.said, "needs(k=...)" in bare.said) == (
        2,
        True,
        True,
    ), bare
    assert call("check", "needs(k=-99)", "--plugin", "needs.py", cwd=tmp_path).code == 4
    assert (
        "has no parameter 'kk'"
        in call("check", "needs(kk=3)", "--plugin", "needs.py", cwd=tmp_path).said
    )


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["ridg"], "no plugin is called 'ridg'; did you mean 'ridge'?"),
        ([], "name a plugin"),
        (["ridge", "--only", "model.fit"], "no check is called 'model.fit'"),
    ],
)
def test_check_of_nothing(args, words):
    ended = call("check", *args)
    assert ended.code == 2
    assert words in ended.said


# -- what there is --------------------------------------------------------------------------------------------------


def test_list():
    plain, told = call("list"), call("list", "--json")
    assert (plain.code, plain.err, told.code, told.err) == (0, "", 0, "")
    assert "\x1b" not in plain.out
    found = json.loads(told.out)
    assert set(found) == {"suite", *KINDS}
    assert "smoke" in found["suite"]
    for kind in KINDS:
        assert set(found[kind]) == set(registry().classes[kind])
        assert all(found[kind].values()), f"a {kind} has no first line"
    names = [name for names in found.values() for name in names]
    assert re.findall(r"^  (\S+) +\S", plain.out, re.M) == names


@pytest.mark.parametrize(("colour", "bold"), [("", True), ("1", False)])
def test_no_color_is_honoured_on_a_terminal(colour, bold):
    code = f"""if True:
        import os, pty, sys
        from collapse_bench.cli import main

        os.environ["NO_COLOR"] = {colour!r}
        child, terminal = pty.fork()
        if not child:
            main(["list"])
        shown = b""
        try:
            while piece := os.read(terminal, 4096):
                shown += piece
        except OSError:
            pass
        os.wait()
        os.write(1, shown)
    """
    shown = call(code=code).out
    assert "gaussian" in shown
    assert ("\x1b" in shown) == bold


def test_list_and_show_know_a_plugin_file(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\nfrom collapse_bench import Mitigation, hookimpl, param\n"
        "@dataclass(frozen=True)\nclass Mine(Mitigation):\n    '''Does nothing well.'''\n"
        "    strength: float = param(2.0, 'how much of it', gt=0)\n"
        "@hookimpl\ndef collapse_mitigations():\n    return {'mine': Mine}\n"
    )
    ended = call("list", "--plugin", "mine.py", cwd=tmp_path)
    assert re.search("^  mine +Does nothing well.$", ended.out, re.M)
    ended = call("show", "mine", "--plugin", "mine.py", cwd=tmp_path)
    assert "Does nothing well." in ended.out
    assert "strength = 2.0  [float, > 0]  how much of it" in ended.out


SHOW_EACH = """if True:
    import sys
    from collapse_bench.cli import main

    for name in sys.argv[1:]:
        try:
            main(["show", name, "--json"])
        except SystemExit as left:
            assert not left.code, name
        print("===")
"""


@pytest.mark.parametrize("kind", KINDS)
def test_show_every_plugin(kind):
    classes = registry().classes[kind]
    shown = call(*classes, code=SHOW_EACH)
    assert (shown.code, shown.err) == (0, "")
    *texts, rest = shown.out.split("===\n")
    assert (len(texts), rest) == (len(classes), "")
    for (name, cls), text in zip(classes.items(), texts, strict=True):
        (told,) = [item for item in json.loads(text) if item["kind"] == kind]
        assert told["version"] == cls.version
        assert [p["name"] for p in told["parameters"]] == [f.name for f in fields(cls)]
        assert all(p["doc"] for p in told["parameters"]), (
            f"{name} has a parameter without documentation"
        )


def test_show_says_in_words_what_json_says():
    plain = call("show", "ridge")
    assert (plain.code, plain.err) == (0, "")
    assert plain.out.startswith("ridge  (model, version 1, collapse_bench.plugins.models.ridge)")
    assert "lam = 0.1  [float, >= 0]  penalty on |w|^2" in plain.out


def test_show_a_suite():
    text = find_suite("smoke", registry()).read_text()
    assert call("show", "smoke").out.strip() == text.strip()
    assert json.loads(call("show", "smoke", "--json").out)["name"] == "smoke"


def test_plugins():
    told = json.loads(call("plugins", "--json").out)
    assert {plugin["module"] for plugin in told} == {plugin.module for plugin in registry().plugins}
    assert all(plugin["error"] is None for plugin in told)
    offered = {tuple(offer) for plugin in told for offer in plugin["offers"]}
    assert offered == {(kind, name) for kind in KINDS for name in registry().classes[kind]}
    plain = call("plugins")
    assert len(re.findall("^ok ", plain.out, re.M)) == len(told)
    assert call("plugins", "--trace", "nothing").code == 5


# -- run ------------------------------------------------------------------------------------------------------------


def test_run_puts_data_on_stdout_and_words_on_stderr(house):
    first, second = house.first, house.second
    assert (first.code, second.code) == (0, 0)
    assert first.out == house.uncalibrated.out
    assert second.out == house.board().out
    lines = first.err.splitlines()
    plan = re.fullmatch(
        r"plan: (\d+) run, 1 skip \(\d+ chains in (\d+) jobs, time unknown\)", lines[0]
    )
    jobs = int(plan[2])
    assert [line.split()[0] for line in lines[1 : jobs + 1]] == [
        f"[{i}/{jobs}]" for i in range(1, jobs + 1)
    ]
    assert all(
        re.match(r"\[\d+/\d+\] 16 done in \d+\.\d\d s  \S", line) for line in lines[1 : jobs + 1]
    )
    assert lines[jobs + 1] == f"records:     {house.output}"
    assert len(lines) == jobs + 2  # a complete run says nothing about resuming


def test_run_again_reuses_everything(house):
    again = call("run", house.suite, "-o", house.output)
    assert again.code == 0
    assert re.match(r"plan: \d+ reuse, 1 skip \(0 chains in 0 jobs\)\n", again.err)
    assert again.out == house.second.out


def test_quiet(house):
    ended = call("run", house.suite, "-o", house.output, "-q")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.splitlines()[0].startswith("records: ")


@pytest.mark.parametrize("env", [{}, {"FORCE_COLOR": "1"}, {"TTY_COMPATIBLE": "1"}], ids=str)
def test_no_bars_where_nobody_watches(env, tmp_path):
    ended = call("run", "gaussian | gaussian-fit @ n=5 T=1", "--seeds", "0:2", env=env)
    assert ended.code == 0
    for sign in ("\r", "\x1b", "━"):
        assert sign not in ended.err
        assert sign not in ended.out


def test_a_bar_on_a_terminal():
    """And nothing of it on stdout."""
    code = """if True:
        import os, pty, sys
        from collapse_bench.cli import main

        master, slave = pty.openpty()
        if not os.fork():
            os.close(master)
            os.dup2(slave, 2)
            os.environ["TERM"] = "xterm-256color"
            main(["run", "gaussian | gaussian-fit @ n=5 T=1", "--seeds", "0:2"])
        os.close(slave)
        while True:
            try:
                shown = os.read(master, 4096)
            except OSError:
                break
            if not shown:
                break
            os.write(2, shown)
        os.wait()
    """
    ended = call(code=code)
    assert "\x1b" in ended.err
    assert "━" in ended.err
    assert "[1/" not in ended.err  # the bar tells it
    assert "\x1b" not in ended.out
    assert ended.out.startswith("typed-")


def test_a_mitigation_named_in_the_command_is_the_focus(house):
    ended = call("run", house.suite, "-o", house.output, "--mitigation", "real-anchor(k=1)")
    assert ended.code == 0
    assert "real-anchor(k=1) *" in ended.out
    assert "* focus row" in " ".join(ended.out.split())
    assert call("run", house.suite, "-o", house.output).code == 0  # and the manifest is as it was


def test_set(tmp_path):
    args = ["smoke", "-o", tmp_path, "--seeds", "3", "--set", "n=7", "--set", "generations=1"]
    args += ["--set", "protocols=replace;mix(real=0.5)", "--set", "mitigations=top-p + distrust"]
    rows = json.loads(call("plan", *args, "--json").out)
    cells = [row["cell"] for row in rows if row["id"] and "T=1" in row["cell"]]
    assert cells
    assert all("@ n=7 T=1" in cell for cell in cells)
    assert {cell.split(" | ")[2].split(" @")[0] for cell in cells} == {"replace", "mix"}
    assert {cell.split(" | ")[3].split(" @")[0] for cell in cells if cell.count(" | ") == 3} == {
        "nature",
        "trivial",
        "top-p + distrust",
    }


# -- plan -----------------------------------------------------------------------------------------------------------


def test_plan(house):
    args = [house.suite, "-o", house.output, "--seeds", "0:24"]
    plain, told = call("plan", *args), call("plan", *args, "--json")
    rows = json.loads(told.out)
    assert (plain.code, told.code, told.err) == (0, 0, "")
    assert {row["verdict"] for row in rows} == {"run", "skip"}
    assert {row["chains"] for row in rows if row["verdict"] == "run"} == {8}
    assert {row["why"] for row in rows if row["verdict"] == "run"} == {"16 of 24 chains are there"}
    (skip,) = [row for row in rows if row["verdict"] == "skip"]
    assert skip["cell"] == TASKS[0].replace(" @", " | top-p @")
    first, *lines, last = plain.out.splitlines()
    assert first == f"skip       1 cell(s) of top-p  ({skip['why']})"
    assert lines == [
        f"run        8  {row['cell']}  ({row['why']})" for row in rows if row["verdict"] == "run"
    ]
    assert (last, plain.err) == (f"0 reuse, {len(rows) - 1} run, 0 stale, 1 skip", "")


def test_reused_cells_are_counted_unless_they_are_asked_for(house):
    args = [house.suite, "-o", house.output]
    brief, verbose = call("plan", *args), call("plan", *args, "--verbose")
    rows = json.loads(call("plan", *args, "--json").out)
    reused = [row for row in rows if row["verdict"] == "reuse"]
    assert f"reuse   {len(reused):>4} cell(s)  (16 chains are there)" in brief.out.splitlines()
    assert len(brief.out.splitlines()) == 3  # skip, reuse, totals
    assert {f"reuse      0  {row['cell']}  ({row['why']})" for row in reused} < set(
        verbose.out.splitlines()
    )
    assert brief.out.splitlines()[-1] == verbose.out.splitlines()[-1]


def test_a_plan_and_a_run_count_the_same_skips(tmp_path):
    """Methods that do not fit, and tasks of which no cell is made."""
    path = tmp_path / "own.toml"
    path.write_text(SUITE + '[[tasks]]\ndata = "gaussian"\nmodel = "ols"\n')
    args = [path, "-o", tmp_path / "out", "--seeds", "3", "--set", "generations=1"]
    planned, run = call("plan", *args), call("run", *args)
    assert " 2 skip, " in planned.out.splitlines()[-1]
    assert ", 2 skip (" in run.err.splitlines()[0]


# -- board ----------------------------------------------------------------------------------------------------------


def test_an_uncalibrated_suite_shows_losses_and_says_how_to_calibrate(house):
    out = house.uncalibrated.out
    assert {"loss", "provisional"} < set(out.splitlines()[1].split())
    for name in (*TASKS, *ENTRIES, *CONTROLS):
        assert name in out
    said = " ".join(out.split())
    assert "no task is calibrated, so the scores are provisional and no row has a rank" in said
    assert "collapse-bench suite calibrate" in said
    assert "tiny.suite.toml" in said
    assert "or calibrate the suite file and run it again" in said


def test_calibrate_writes_tables_and_the_board_has_scores(house):
    ended = house.calibration
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert [re.fullmatch(r"gap +\S+ \+- \S+  floor \S+  (.*)", line)[1] for line in lines] == TASKS
    model = read_suite(house.suite)
    assert [row.task for row in model.calibration] == TASKS
    assert all(row.gap > 0 and row.floor > 0 and row.chains == 256 for row in model.calibration)
    assert house.suite.read_text().startswith(SUITE)  # comments and all
    assert house.suite.read_text().count(MARK) == 1
    frame = pd.read_csv(io.StringIO(house.board("--format", "csv").out)).set_index("entry")
    assert set(frame.index) == ENTRIES | CONTROLS
    assert frame.S["none"] == pytest.approx(0)
    assert frame.S["nature"] > 0.5
    assert frame.S["real-anchor(k=5)"] > 0


def test_calibrating_again_changes_nothing_and_reuses_its_chains(house):
    before = house.suite.read_text()
    again = call("suite", "calibrate", house.suite, "-o", house.suite.parent / "chains")
    assert again.out == house.calibration.out
    assert re.match(r"plan: 6 reuse \(0 chains in 0 jobs\)", again.err)
    assert house.suite.read_text() == before


def test_the_suite_beside_the_records_can_be_calibrated(tmp_path):
    """What the board advises, done: the same folder then has scores, and keeps them when it is run again."""
    run = [
        "run",
        "zipf(K=50) | counts | replace | distrust @ n=60 T=3",
        "-o",
        tmp_path,
        "--seeds",
        "0:10",
    ]
    assert "no task is calibrated" in call(*run).out
    [path] = tmp_path.glob("typed-*.suite.toml")
    assert call("suite", "calibrate", path, "-q").code == 0
    for board in (call("board", tmp_path), call(*run), call("board", tmp_path)):
        assert board.code == 0
        assert "averted" in board.out


def test_board_as_csv_and_json(house):
    frame = pd.read_csv(io.StringIO(house.board("--format", "csv").out))
    told = json.loads(house.board("--format", "json").out)
    assert told["suite"] == "tiny v1"
    assert any("real rows" in note for note in told["notes"])
    rows = pd.DataFrame(told["rows"])
    assert list(rows.columns) == list(frame.columns)
    assert rows.entry.tolist() == frame.entry.tolist()
    for name in ("S", "real_rows", "lesson", "effective_real"):
        pd.testing.assert_series_equal(rows[name], frame[name], check_dtype=False)
    assert {
        "tier",
        "track",
        "low",
        "high",
        "chains",
        "real_unique",
        "coverage",
        "value",
        "beats_frozen",
    } < set(frame)
    assert frame.set_index("entry").track["real-anchor(k=5)"] == "real"
    assert frame.set_index("entry").real_rows["real-anchor(k=5)"] == pytest.approx(
        (10 + 60) / 2 + 5 * 4
    )


def test_board_per_task(house):
    frame = pd.read_csv(io.StringIO(house.board("--tasks", "--format", "csv").out))
    assert set(frame.task) == set(TASKS)
    assert frame.loss[frame.entry == "none"].notna().all()
    assert set(frame.entry) == ENTRIES | CONTROLS
    assert house.board("--tasks").out.count(TASKS[0]) >= 5


@pytest.mark.parametrize("args", [[], ["--tasks"]], ids=str)
def test_board_as_markdown(args, house):
    out = house.board("--format", "markdown", *args).out
    table = [line for line in out.splitlines() if line.startswith("|")]
    widths = {len(re.split(r"(?<!\\)\|", line)) for line in table}
    assert len(widths) == 1
    assert set(table[1]) == {"|", "-"}
    frame = pd.read_csv(io.StringIO(house.board("--format", "csv", *args).out))
    assert len(table) == len(frame) + 2
    assert out.startswith("**tiny v1: two small worlds**\n\n|")
    assert "\n- " in out


def test_board_as_table(house):
    out = house.board().out
    lines = out.splitlines()
    assert lines[0] == "tiny v1: two small worlds"
    assert {"tier", "entry", "averted"} < set(lines[1].split())
    for name in ENTRIES | CONTROLS:
        assert len([line for line in lines if re.search(rf"(^|\s){re.escape(name)}\s", line)]) >= 1
    assert house.board("--format", "table").out == out


def test_board_to_a_file_and_curves(house, tmp_path):
    written = call("board", house.output, "-o", tmp_path / "board.md", "--format", "markdown")
    assert (written.code, written.out) == (0, "")
    assert written.err == f"written: {tmp_path / 'board.md'}\n"
    assert (tmp_path / "board.md").read_text() == house.board("--format", "markdown").out
    drawn = call("board", house.output, "--curves", tmp_path / "curves.png")
    assert drawn.code == 0
    assert drawn.out == house.board().out
    assert drawn.err == f"written: {tmp_path / 'curves.png'}\n"
    picture = (tmp_path / "curves.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000


def test_board_with_a_focus(house):
    out = house.board("--focus", "temperature", "--format", "csv").out
    frame = pd.read_csv(io.StringIO(out)).set_index("entry")
    assert frame.p_focus.notna().any()
    assert pd.isna(frame.p_focus["temperature"])
    shown = " ".join(house.board("--focus", "temperature").out.split())
    assert "temperature *" in shown
    assert "* focus row: temperature, " in shown


# -- the suite that is shipped --------------------------------------------------------------------------------------


def test_every_task_of_smoke_is_calibrated():
    path = find_suite("smoke", registry())
    model = read_suite(path)
    suite = expand(model, registry(), path)
    assert len(suite.tasks) > 10
    assert [row.task for row in model.calibration] == suite.tasks
    assert all(row.chains >= 256 and row.gap_sd > 0 for row in model.calibration)


@pytest.mark.slow
def test_smoke_in_short(tmp_path):
    args = ["--set", "generations=1", "--seeds", "0:2", "-o", tmp_path]
    ended = call("run", "smoke", *args, "-j", 2)
    assert ended.code == 0, ended
    assert "no task is calibrated" in ended.out  # other horizons are other tasks
    suite = expand(read_suite(find_suite("smoke", registry())), registry())
    for task in suite.tasks:
        assert task.replace("T=10", "T=1") in ended.out
    assert re.match(r"plan: \d+ reuse", call("run", "smoke", *args).err)


# -- the board on a terminal ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("more", [{"per_task": True}, {"across": True}], ids=str)
def test_rows_fit_the_terminal(house, width, more):
    shown = results(house.output).board()
    whole = shown.render("table", **more).splitlines()
    lines = shown.render("table", width=width, **more).splitlines()
    assert max(map(len, lines)) <= width
    rows = lines.index("")
    assert len(lines[:rows]) == len(whole[: whole.index("")])  # every row has one line
    words = " ".join(lines[rows:])
    all_names, names = (set(re.split(r"\s{2,}", text[1].strip())) for text in (whole, lines))
    left_out = all_names - names
    assert bool(left_out) == ("columns left out: " in words)


def test_losses_fit_the_terminal(house):
    shown = results(house.output).board()
    losses = LossBoard(
        shown.suite, shown.losses, shown.usage, shown.skipped_tasks, shown.notes, shown.codes
    )
    lines = losses.render("table", width=60).splitlines()
    assert max(map(len, lines)) <= 60
    assert "…" in lines[2]
    assert all(word in lines[1] for word in ("task", "entry", "loss", "status"))


@pytest.mark.parametrize("form", ["html", "latex", "nonsense"])
def test_an_unknown_format_is_refused(house, form):
    with pytest.raises(UsageError, match=f"{form}.*known: table, markdown, csv, json"):
        results(house.output).board().render(form)


def test_what_a_notebook_shows_is_short(house):
    found = results(house.output)
    for shown in (found, found.board()):
        assert len(repr(shown)) < 300
        assert "tiny" in repr(shown)


def test_a_row_that_fits_no_task_follows_the_tiers(house):
    frame = house_frame(house)
    blind = frame[frame.track == "blind"]
    assert blind.ranked.tolist() == sorted(blind.ranked, reverse=True)


def house_frame(house) -> pd.DataFrame:
    return results(house.output).board().frame()


# -- an interrupted run ---------------------------------------------------------------------------------------------


def test_a_board_shows_what_there_is(house, tmp_path):
    """The focus row has no record yet."""
    args = (house.suite, "--mitigation", "real-anchor(k=2)", "-o", tmp_path / "out")
    assert call("run", *args).code == 0
    [cell] = [
        path.parent
        for path in (tmp_path / "out").glob("*/_cell.json")
        if "n=10" in path.read_text() and "real-anchor(k=2)" in path.read_text()
    ]
    others = [
        path.parent
        for path in (tmp_path / "out").glob("*/_cell.json")
        if "real-anchor(k=2)" in json.loads(path.read_text())["label"]
    ]
    assert cell in others
    for folder in others:
        shutil.rmtree(folder)
    ended = call("board", tmp_path / "out")
    assert ended.code == 0, ended
    said = " ".join(ended.out.split())
    assert "the focus row real-anchor(k=2) has no record yet; run the suite again" in said
    assert "top-p" in said
    # a name that was typed is another matter
    assert call("board", tmp_path / "out", "--focus", "real-anchor(k=2)").code == 2


# -- two runs in one folder -----------------------------------------------------------------------------------------


def test_typed_runs_share_a_folder(tmp_path):
    """Each has its own manifest, and a run shows its own board."""
    one = "gaussian | gaussian-fit | replace @ n=5 T=1"
    two = "zipf(K=5) | counts | replace @ n=9 T=1"
    first = run(one, seeds="0:2", output=tmp_path)
    second = run(two, seeds="0:2", output=tmp_path)
    longer = run(two, seeds="0:4", output=tmp_path)
    assert first.suite != second.suite == longer.suite
    assert set(first.board().losses.task) == {one}
    assert set(second.board().losses.task) == {two}
    assert (second.board().losses.seed.max(), longer.board().losses.seed.max()) == (1, 3)
    assert set(results(tmp_path, first.suite).board().losses.task) == {one}
    ended = call("board", tmp_path)
    assert ended.code == 2
    assert first.suite in ended.said
    assert second.suite in ended.said


# -- standard streams -----------------------------------------------------------------------------------------------

BROKEN = """if True:
    import os, sys
    from collapse_bench.cli import main

    how, *args = sys.argv[1:]
    if how == "closed":
        os.close(1)
        sys.stdout = None
    elif how == "full":
        os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
    else:
        reads, writes = os.pipe()
        os.close(reads)
        os.dup2(writes, 1)
        if how == "both":
            os.dup2(writes, 2)
    main(args)
"""


@pytest.mark.parametrize(
    ("how", "code", "why"),
    [
        ("closed", 6, "Bad file descriptor"),
        ("full", 6, "No space left on device"),
        ("pipe", 0, ""),
    ],
)
def test_a_list_that_nobody_gets(how, code, why):
    ended = call(how, "list", code=BROKEN)
    assert ended.code == code
    assert ended.err == (f"Error: standard output cannot be written ({why})\n" if why else "")


LINGERS = """
import atexit, sys, time
import collapse_bench.cli as commands

atexit.register(time.sleep, 600)  # the exit handler of a plugin
commands.EXIT_SECONDS = 0.1
commands.main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["list"], 0),
        (["check", "noisy-labels", "--only", "generator.losses-in-shape"], 4),  # by sys.exit
        (["show", "no-such-plugin"], 2),
    ],
)
def test_an_exit_handler_that_does_not_end_keeps_the_exit_code(args, code):
    assert call(*args, code=LINGERS).code == code


def test_a_check_that_fails_and_that_nobody_gets():
    args = ("check", "noisy-labels", "--only", "generator.losses-in-shape", "--json")
    assert call("full", *args, code=BROKEN).code == 6


@pytest.mark.parametrize("how", ["closed", "full", "pipe", "both"])
def test_a_run_goes_on_where_nobody_reads(how, tmp_path):
    spec = "gaussian | gaussian-fit | replace @ n=5 T=1"
    ended = call(how, "run", spec, "--seeds", "0:2", "-o", tmp_path / "out", code=BROKEN)
    assert ended.code == 6
    if how != "both":
        assert "the board cannot be shown: " in ended.err
        assert "Traceback" not in ended.err
    again = call("plan", spec, "--seeds", "0:2", "-o", tmp_path / "out")
    assert again.out.splitlines()[-1].startswith("6 reuse, 0 run"), again


def test_settings_of_the_environment_are_repeated(tmp_path):
    env = {
        "COLLAPSE_BENCH_RUN_SEEDS": "0:3",
        "COLLAPSE_BENCH_RUN_FAIL_FAST": "1",
        "COLLAPSE_BENCH_RUN_MITIGATION": "bad(k=1);real-anchor",
        "COLLAPSE_BENCH_DATA": "/no where",
    }
    (tmp_path / "bad.py").write_text(
        "from dataclasses import dataclass\nfrom collapse_bench import Mitigation, hookimpl\n"
        "@dataclass(frozen=True)\nclass Bad(Mitigation):\n    k: int\n"
        "    def curate(self, corpus, access):\n        raise ValueError('no')\n"
        "@hookimpl\ndef collapse_mitigations():\n    return {'bad': Bad}\n"
    )
    ended = call(
        "run", "gaussian | gaussian-fit @ n=5 T=1", "--plugin", "bad.py", cwd=tmp_path, env=env
    )
    assert ended.code == 1
    [line] = [line for line in ended.err.splitlines() if line.startswith("once this is fixed, ")]
    assert line == (
        "once this is fixed, resume with: COLLAPSE_BENCH_DATA='/no where' collapse-bench run "
        "'gaussian | gaussian-fit @ n=5 T=1' --plugin bad.py --seeds 0:3 "
        "--mitigation 'bad(k=1)' --mitigation real-anchor --fail-fast"
    )


def test_a_board_without_a_second_of_an_entry_says_nothing_of_logarithms(tmp_path):
    """A worker that dies at once has spent no measured time, and drew no real row."""
    (tmp_path / "dies.py").write_text(
        """
import os
from dataclasses import dataclass
from collapse_bench.core.components import Mitigation
from collapse_bench.registry.hookspecs import hookimpl


@dataclass(frozen=True)
class Dies(Mitigation):
    def steer(self, teacher, access):
        os._exit(7)


@hookimpl
def collapse_mitigations():
    return {"dies": Dies}
"""
    )
    what = "linear(d=5) | ridge | replace | dies @ n=20 T=2"
    args = ("--plugin", tmp_path / "dies.py", "--seeds", "0:4", "-o", tmp_path / "out")
    ended = call("run", what, *args)
    assert ended.code == 1
    assert "4 failed" in ended.out
    assert "Warning" not in ended.err
    assert "more real rows" not in ended.out
