"""What cannot be done is refused by every command with the same sentence and exit code."""

from __future__ import annotations

import pytest
from forked import call, refused

import collapse_bench as cb
from collapse_bench import api
from collapse_bench.errors import NothingMatched, UsageError

SPEC = "gaussian | gaussian-fit | replace @ n=5 T=1"


# -- suites ----------------------------------------------------------------------------------------


def test_a_suite_without_tasks(tmp_path):
    file = tmp_path / "none.toml"
    file.write_text('name = "none"\n')
    words = "nothing to run in suite none: it names no task; give it a table [[tasks]]"
    for command in (("plan",), ("run",), ("suite", "calibrate")):
        refused(call(*command, file, cwd=tmp_path), 5, words)
    for verb in (cb.run, cb.calibrate, lambda what: api.plan(api.RunRequest(what))):
        with pytest.raises(NothingMatched, match="nothing to run in suite none: it names no task"):
            verb(file)


def test_files_that_are_not_utf8(tmp_path):
    suite, plugin, text = (tmp_path / name for name in ("s.toml", "p.py", "t.txt"))
    suite.write_bytes(b'name = "caf\xe9"\n')
    plugin.write_bytes(b'x = "caf\xe9"\n')
    text.write_bytes(b"caf\xe9")
    for command in (("plan",), ("run",), ("suite", "calibrate")):
        refused(
            call(*command, suite, cwd=tmp_path), 2, "is not UTF-8 (byte 11 is 0xe9); convert it"
        )
    refused(call("list", "--plugin", plugin), 3, "save the file as UTF-8")
    refused(
        call("plan", f"text(source={text.name}) | ngram @ n=5 T=1", cwd=tmp_path),
        2,
        "is not UTF-8",
        "convert it",
    )


def test_a_suite_of_a_plugin_that_is_not_utf8(tmp_path):
    (tmp_path / "odd.toml").write_bytes(b'name = "caf\xe9"\n')
    (tmp_path / "p.py").write_text(
        "from pathlib import Path\nfrom collapse_bench import hookimpl\n"
        "@hookimpl\ndef collapse_suites():\n    return [Path(__file__).with_name('odd.toml')]\n"
    )
    for more in ([], ["--json"]):
        refused(call("show", "odd", "--plugin", tmp_path / "p.py", *more), 2, "is not UTF-8")


# -- plugins ---------------------------------------------------------------------------------------


def test_the_trace_of_a_broken_plugin_has_the_exit_code_of_a_broken_plugin(tmp_path):
    (tmp_path / "odd.py").write_text("1 / 0\n")
    named = ("--plugin", tmp_path / "odd.py")
    ended = call("plugins", *named, "--trace", "odd")
    assert "ZeroDivisionError" in ended.out
    assert ended.code == call("plugins", *named).code == call("list", *named).code == 3


LOCKS = '''"""Puts a link in the place of the locks of its run."""
from dataclasses import dataclass
from pathlib import Path
from collapse_bench import Mitigation, hookimpl

@dataclass(frozen=True)
class Locks(Mitigation):
    """Changes no row."""
    def curate(self, corpus, access):
        for lock in Path({output!r}).glob("*/.lock"):
            lock.unlink()
            lock.symlink_to("elsewhere")
        return corpus

@hookimpl
def collapse_mitigations():
    return {{"locks": Locks}}
'''


def test_a_run_that_is_refused_under_way_says_how_to_resume(tmp_path):
    plugin, output = tmp_path / "locks.py", tmp_path / "out"
    plugin.write_text(LOCKS.format(output=str(output)))
    spec = SPEC.replace(" @", " | locks @")
    command = ["run", spec, "--seeds", "0:64", "--plugin", str(plugin), "-o", str(output)]
    ended = call(*command)
    assert ended.code == 2, ended
    *_, resume, said = ended.err.splitlines()
    assert "it is a symbolic link" in said
    assert resume.startswith(f"resume with: collapse-bench run '{spec}' --seeds 0:64")


@pytest.mark.parametrize("more", [[], ["--fail-fast"]], ids=str)
def test_a_run_whose_plugin_is_edited_says_how_to_resume(more, tmp_path):
    """The worker of the cell finds other code than the command has planned with."""
    plugin, output = tmp_path / "edits.py", tmp_path / "out"
    text = LOCKS.replace('glob("*/.lock")', "glob('none')")
    plugin.write_text(text.format(output=str(output)))
    spec = SPEC.replace(" @", " | locks @")
    code = f"""
import sys
from pathlib import Path
from collapse_bench import api
from collapse_bench.cli import main
whole = api.run_plan
def edited(planned, **more):
    Path({str(plugin)!r}).open("a").write("X = 1\\n")
    return whole(planned, **more)
api.run_plan = edited
main(["run", *sys.argv[1:]])
"""
    ended = call(spec, "--seeds", "0:2", "--plugin", plugin, "-o", output, *more, code=code)
    assert ended.code in (1, 2), ended
    assert "the code of locks was changed while it ran" in ended.err
    assert "resume with: collapse-bench" in ended.err
    assert "Traceback" not in ended.err


# -- output paths ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    output = tmp_path_factory.mktemp("ran") / "out"
    cb.run(SPEC, seeds="0:2", output=output)
    return output


@pytest.mark.parametrize("path", ["/dev/null", "/dev/null/x", "afile", "afile/x/y"])
def test_an_output_folder_that_is_no_folder(path, ran, tmp_path):
    (tmp_path / "afile").write_text("mine")
    place = "/dev/null" if path.startswith("/dev") else "afile"
    suite = next(ran.glob("*.suite.toml"))
    words = (
        f"{path} is no folder"
        if path == place
        else f"{path} lies below {place}, which is no folder"
    )
    for command in (
        ("run", SPEC, "-o"),
        ("plan", SPEC, "-o"),
        ("publish", ran, "--force", "-o"),
        ("reproduce", "pi-squared-over-six", "-o"),
        ("suite", "calibrate", suite, "-o"),
        ("board",),
        ("publish",),
    ):
        refused(call(*command, path, cwd=tmp_path), 2, words, "name a folder")
    assert (tmp_path / "afile").read_text() == "mine"
    for verb in (
        lambda: cb.run(SPEC, output=tmp_path / path),
        lambda: cb.results(tmp_path / path),
        lambda: api.publish_run(ran, tmp_path / path, force=True),
    ):
        with pytest.raises(UsageError, match=r"is no folder( of records .*)?; name a folder"):
            verb()


def test_an_output_file_below_a_file(ran, tmp_path):
    (tmp_path / "afile").write_text("mine")
    for option, path in (("-o", "afile/x"), ("--curves", "afile/x/y.png")):
        refused(call("board", ran, option, path, cwd=tmp_path), 2, "afile", "no folder; name a")


@pytest.mark.parametrize(
    "more",
    [("board", "-o"), ("board", "--curves"), ("publish", "--force", "-o"), ("run", "-o")],
    ids=str,
)
def test_a_place_where_nothing_can_be_written(more, ran):
    """Nobody makes files in /proc, not even root."""
    command, *options = more
    path = "/proc/nothing.png"
    ended = call(command, SPEC if command == "run" else ran, *options, path)
    refused(ended, 2, "cannot write", path, "another")


INTERRUPTED = """
import sys
from collapse_bench.cli import main, progress
def ended(self, outcome):
    raise KeyboardInterrupt
progress.Reporter.ended = ended
sys.argv[0] = "collapse-bench"
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        (("run", SPEC, "-o", "out"), True),
        (("suite", "calibrate", "tiny.toml", "-o", "out"), True),
        (("suite", "calibrate", "tiny.toml"), False),
        (("reproduce", "pi-squared-over-six", "-o", "out"), True),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, tuple) else str(value),
)
def test_what_keeps_its_chains_says_how_to_resume(command, kept, tmp_path):
    (tmp_path / "tiny.toml").write_text(
        'name = "tiny"\nn = 8\ngenerations = 1\n[[tasks]]\ndata = "gaussian"\nmodel = "gaussian-fit"\n'
    )
    ended = call(*command, code=INTERRUPTED, cwd=tmp_path)
    assert ended.code == 130, ended
    assert ended.said.startswith("interrupted")
    assert ("resume with: collapse-bench" in ended.said) == kept
