"""The Python API: one call runs and resumes, results are frames, a loop over generations gives the
same numbers."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import collapse_bench as cb
from collapse_bench import api
from collapse_bench.api import calibrating
from collapse_bench.board.table import Board
from collapse_bench.cli.run import plan as plan_command
from collapse_bench.cli.run import run as run_command
from collapse_bench.errors import NothingMatched, PluginError
from collapse_bench.records.store import Store
from collapse_bench.registry import discovery as registry_module
from collapse_bench.suite.model import CALIBRATION_SEEDS

SPEC = "gaussian(d=2) | gaussian-fit | replace | real-anchor(k=2) @ n=8 T=3"
TASK = "gaussian(d=2) | gaussian-fit | replace @ n=8 T=3"
PLUGIN = """
from dataclasses import dataclass
from collapse_bench import Mitigation, hookimpl, param

@dataclass(frozen=True)
class Halve(Mitigation):
    share: float = param(0.5, "weight of the first rows", ge=0)

    def curate(self, corpus, access):
        return corpus.reweighted(access.rng.uniform(corpus.n) + self.share)

@hookimpl
def collapse_mitigations():
    return {"halve": Halve}
"""


@pytest.fixture(autouse=True)
def own_registry(monkeypatch, tmp_path):
    """What a test loads or offers is forgotten after it, and relative paths are its own."""
    monkeypatch.setattr(registry_module, "_REGISTRY", None)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> cb.Results:
    return cb.run(SPEC, seeds="0:6", output=tmp_path_factory.mktemp("results"))


def test_the_public_names_are_there():
    for name in cb.__all__:
        assert getattr(cb, name) is not None
    assert set(cb.__all__) == set(dir(cb))
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        cb.runn  # noqa: B018  (looking it up is the test)


# -- results --------------------------------------------------------------------------------------------------------


def test_results_are_a_frame(results):
    frame = results.frame()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == [
        "task",
        "entry",
        "role",
        "rows",
        "seed",
        "generation",
        "metric",
        "value",
    ]
    assert set(frame.task) == {TASK}
    assert set(frame.entry) == {"none", "nature", "trivial", "real-anchor(k=2)", "real-only"}
    assert set(frame.role) == {"control", "entry", "curve"}
    assert frame.value.dtype == np.float64
    assert set(frame.seed) == set(range(6))
    ours = frame[(frame.entry == "real-anchor(k=2)") & (frame.metric == "w2")]
    assert not ours.duplicated(["seed", "generation"]).any()
    assert ours.pivot(index="seed", columns="generation", values="value").shape == (6, 4)
    assert set(frame[frame.role == "curve"].rows) == {2, 4, 8, 16, 32}
    assert not results.failed
    assert len(results.outcomes) == len(results.steps) == 9


def test_results_can_be_opened_again(results):
    again = cb.results(results.output)
    assert again.suite == results.suite
    pd.testing.assert_frame_equal(again.frame(), results.frame())
    board = again.board()
    assert isinstance(board, Board)
    assert board.frame().set_index("entry").chains["none"] == 6


@pytest.mark.parametrize(
    ("name", "start"), [("c.png", b"\x89PNG"), ("c.svg", b"<?xml"), ("c.pdf", b"%PDF")]
)
def test_results_are_drawn(results, name, start):
    [path] = results.draw(name)
    assert path.read_bytes().startswith(start)


def test_what_does_nothing_hides_no_control(results, monkeypatch):
    """`none` is drawn above all others, and `frozen` is its first loss for ever."""
    drawn = []
    monkeypatch.setattr(
        "matplotlib.figure.Figure.savefig", lambda figure, *args, **more: drawn.append(figure)
    )
    results.draw("c.png")
    (axis,) = drawn[0].axes
    lines = {line.get_label(): line for line in axis.get_lines()}
    others = lines.keys() - {"none", "none, by its law"}
    assert others == {"nature", "trivial", "real-anchor(k=2)", "frozen"}
    assert all(lines["none"].get_zorder() > lines[name].get_zorder() for name in others)
    assert set(lines["frozen"].get_ydata()) == {lines["none"].get_ydata()[0]}


@pytest.mark.parametrize(
    ("low", "high", "plain"),
    [
        (0.06, 0.15, "0.1"),
        (0.9, 1.1, "1"),
        (0.03, 0.9, "0.05"),
        (1.5, 140, "2"),
        (0.01, 1.01, None),
        (1e-9, 1e3, None),
    ],
)
def test_a_short_logarithmic_axis_has_plain_numbers(low, high, plain):
    from matplotlib.figure import Figure

    from collapse_bench.board.axes import plain_ticks

    axis = Figure().subplots()
    axis.set_yscale("log")
    axis.set_ylim(low, high)
    plain_ticks(axis.yaxis)
    ticks = axis.yaxis.get_majorticklocs()
    labels = dict(zip(axis.yaxis.get_major_formatter().format_ticks(ticks), ticks, strict=True))
    seen = [label for label, tick in labels.items() if low <= tick <= high]
    assert len(seen) >= 2
    if plain is None:
        assert all("10^" in label for label in seen)
    else:
        assert plain in seen
        assert [float(label) for label in seen] == pytest.approx([labels[label] for label in seen])


def test_a_loop_of_ones_own_gives_the_same_numbers(results):
    cell = cb.cell_of(SPEC, seeds="0:6")
    frame = results.frame()
    frame = frame[(frame.entry == cell.entry) & (frame.metric == "w2")]
    seen = []
    for now in cb.generations(cell):
        seen.append(now.t)
        assert now.scores["w2"].shape == (6,)
        theirs = frame[frame.generation == now.t].sort_values("seed").value
        np.testing.assert_array_equal(now.scores["w2"], theirs)
    assert seen == [0, 1, 2, 3]
    *_, last = cb.generations(cell, start=next(iter(cb.generations(cell))))
    np.testing.assert_array_equal(last.scores["w2"], theirs)


def test_cell_of():
    cell = cb.cell_of(SPEC, seeds=[4, 2], n=9)
    assert (cell.seeds, cell.n, cell.generations, cell.entry) == ((4, 2), 9, 3, "real-anchor(k=2)")
    assert cb.cell_of(SPEC).seeds == tuple(range(32))
    with pytest.raises(cb.UsageError, match="did you mean 'gaussian-fit'"):
        cb.cell_of("gaussian | gausian-fit")


@pytest.mark.parametrize(
    ("seeds", "picked"),
    [(5, (5,)), (np.int64(5), (5,)), (range(2), (0, 1)), ("3:5", (3, 4)), (np.arange(2), (0, 1))],
)
def test_seeds_of_a_cell(seeds, picked):
    assert cb.cell_of(SPEC, seeds=seeds).seeds == picked


@pytest.mark.parametrize("seeds", [[-1], -1, [], [1.5], 1.5, None, ["0:3"], 2**63, "x"], ids=str)
def test_seeds_of_a_cell_that_are_wrong(seeds):
    with pytest.raises(cb.UsageError, match="seeds"):
        cb.cell_of(SPEC, seeds=seeds)


@pytest.mark.parametrize(
    ("name", "words"),
    [("generation", "did you mean 'generations'?"), ("T", "known: "), ("data", "known: ")],
)
def test_a_cell_has_no_other_changes(name, words):
    with pytest.raises(cb.UsageError) as refusal:
        cb.cell_of(SPEC, **{name: 3})
    assert str(refusal.value).startswith(f"cell_of has no setting {name!r}; ")
    assert words in str(refusal.value)


# -- run ------------------------------------------------------------------------------------------------------------


def test_running_again_is_resuming(results):
    plans = []
    again = cb.run(
        SPEC,
        seeds="0:8",
        output=results.output,
        on_plan=lambda steps, jobs: plans.append((steps, jobs)),
    )
    ((steps, jobs),) = plans
    assert {step.verdict for step in steps} == {"run"}
    assert {job.seeds for job in jobs} == {(6, 7)}
    assert len(again.outcomes) == 9
    assert not cb.run(SPEC, seeds="0:6", output=results.output).outcomes


def test_a_consumer_hears_of_plan_progress_and_outcomes():
    heard = []
    cb.run(
        "gaussian | gaussian-fit @ n=5 T=2",
        seeds="0:2",
        on_plan=lambda steps, jobs: heard.append(("plan", len(jobs))),
        on_progress=lambda moment: heard.append((moment.done, moment.total, moment.share)),
        on_outcome=lambda outcome: heard.append(
            (outcome.job.cell.n, outcome.statuses, outcome.good)
        ),
    )
    assert heard[0] == ("plan", 7)  # none, nature, trivial, and a curve of four points
    assert heard[1:5] == [(1, 3, 1 / 3), (2, 3, 2 / 3), (3, 3, 1.0), (5, {"done": 2}, True)]


def test_settings_change_every_task(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        'name = "own"\n[[tasks]]\ndata = "gaussian"\nmodel = "gaussian-fit"\nn = 50\ngenerations = 9\n'
        'protocols = ["accumulate"]\n'
    )

    def tasks(**settings):
        return api.load_suite(api.RunRequest(path, settings=settings)).tasks

    assert tasks() == ["gaussian | gaussian-fit | accumulate @ n=50 T=9"]
    assert tasks(n=7) == ["gaussian | gaussian-fit | accumulate @ n=7 T=9"]
    assert tasks(generations=0) == ["gaussian | gaussian-fit | accumulate @ n=50 T=0"]
    assert tasks(protocols="replace") == ["gaussian | gaussian-fit | replace @ n=50 T=9"]
    both = ("replace", "mix(real=0.3)")
    assert tasks(protocols=both) == [
        f"gaussian | gaussian-fit | {protocol} @ n=50 T=9" for protocol in both
    ]
    request = api.RunRequest(path, settings={"mitigations": ["distrust + real-anchor(k=1)"]})
    assert api.load_suite(request).methods == ["distrust + real-anchor(k=1)"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n": 0}, "n must be a whole number >= 1, got 0"),
        ({"n": 2.5}, "got 2.5"),
        ({"n": True}, "got True"),
        ({"generations": -1}, "generations must be a whole number >= 0"),
        ({"N": 3}, "unknown setting 'N'"),
        ({"protocols": "mix("}, "expected a name before"),
        ({"mitigations": ["top-p +"]}, "expected a name before"),
    ],
    ids=str,
)
def test_settings_that_are_wrong(settings, words):
    with pytest.raises(cb.UsageError) as refusal:
        cb.run(SPEC, settings=settings)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"seeds": [1, 2]}, "seeds"),
        ({"seeds": "x"}, "seeds 'x' cannot be read"),
        ({"n_jobs": 0}, "n_jobs must be >= 1"),
        ({"memory": 0}, "memory must be a number of bytes > 0, got 0"),
        ({"memory": "512M"}, "memory must be a number of bytes > 0, got '512M'"),
        ({"timeout": 0}, "timeout must be a number of seconds > 0, got 0"),
        ({"timeout": float("nan")}, "timeout must be a number of seconds > 0, got nan"),
        ({"mitigations": "toop-p"}, "unknown mitigation 'toop-p'; did you mean 'top-p'"),
        ({"plugins": "absent.py"}, "plugin file absent.py is not there"),
        ({"device": "mps"}, "not supported"),
        ({"mitigations": ["toop-p"]}, "did you mean 'top-p'"),
        ({"plugins": ["absent.py"]}, "absent.py is not there"),
    ],
    ids=str,
)
def test_arguments_that_are_wrong(more, words):
    with pytest.raises(cb.UsageError) as refusal:
        cb.run(SPEC, **{"seeds": "0:2", **more})
    assert words in str(refusal.value)
    with pytest.raises(cb.UsageError, match="name a suite or type a spec"):
        cb.run([])


def test_run_takes_the_fields_of_a_request_and_their_defaults():
    """Settings are an empty mapping in a request, and may be left out as None in a call."""
    callbacks = {"progress", "on_plan", "on_outcome", "on_progress"}
    arguments = inspect.signature(cb.run).parameters
    fields = {f.name: f.default for f in dataclasses.fields(api.RunRequest)}
    assert [name for name in arguments if name not in callbacks] == list(fields)
    defaults = {
        name: argument.default
        for name, argument in arguments.items()
        if name not in {*callbacks, "what", "settings"}
    }
    assert defaults == {name: fields[name] for name in defaults}


@pytest.mark.parametrize("command", [run_command, plan_command], ids=lambda c: c.name)
def test_the_commands_ask_for_what_a_request_has(command):
    """Every option is a field of a request under its own name, or belongs to the display."""
    shown = {"fail_fast", "quiet", "as_json", "verbose"}
    asked = {"plugins" if p.name == "plugin_files" else p.name for p in command.params} - shown
    assert asked <= {f.name for f in dataclasses.fields(api.RunRequest)}


def test_the_first_further_mitigation_is_the_focus(tmp_path):
    def focus(**more):
        return api.load_suite(api.RunRequest(SPEC, **more)).model.focus

    assert focus() is None
    assert focus(mitigations=["temperature(t=1.1)", "distrust"]) == "temperature(t=1.1)"
    assert focus(focus="real-anchor(k=2)") == "real-anchor(k=2)"
    with pytest.raises(
        cb.UsageError,
        match=r"'distrust' was named to be compared and does not compete; known: real-anchor",
    ):
        focus(focus="distrust")


def test_a_focus_of_a_file_is_looked_at_before_the_run(tmp_path):
    path = tmp_path / "own.toml"
    text = 'name = "own"\nfocus = "{}"\nmitigations = ["temperature"]\n[[tasks]]\ndata = "gaussian"\nmodel = "gaussian-fit"\n'
    path.write_text(text.format("temperature(t=1.1)"))
    assert api.load_suite(api.RunRequest(path)).model.focus == "temperature"
    path.write_text(text.format("distrust"))
    with pytest.raises(cb.UsageError, match="does not compete"):
        cb.run(path)
    assert not (tmp_path / "results").exists()


# -- plugins --------------------------------------------------------------------------------------------------------


def test_an_offered_class_is_run_like_any_other(results):
    @dataclass(frozen=True)
    class Own(cb.Mitigation):
        """Adds one row that says nothing new."""

        def curate(self, corpus, access):
            return corpus + access.synthetic(1)

    cb.offer("own", Own)
    cb.offer("own", Own)  # as a notebook does when a block of it is run again
    done = cb.run(SPEC, seeds="0:2", mitigations=["own"], output="out")
    assert not done.failed
    assert set(done.board().frame().entry) >= {"own", "real-anchor(k=2)"}
    with pytest.raises(cb.UsageError, match="unknown mitigation 'owm'; did you mean 'own'"):
        cb.run(SPEC, mitigations=["owm"])


def test_a_class_that_no_worker_can_read_is_refused_with_the_remedy():
    lock = threading.Lock()

    @dataclass(frozen=True)
    class Local(cb.Mitigation):
        """Reads something that belongs to this process."""

        def curate(self, corpus, access):
            with lock:
                return corpus

    cb.offer("local", Local)
    with pytest.raises(
        cb.UsageError, match=r"cannot be sent to a worker.*put the plugin in a file"
    ):
        cb.run(SPEC, seeds="0:2", mitigations=["local"], n_jobs=2)


def test_one_plugin_and_one_mitigation_need_no_list(tmp_path):
    (tmp_path / "halve.py").write_text(PLUGIN)
    suite = api.load_suite(api.RunRequest(SPEC, mitigations="halve", plugins="halve.py"))
    assert suite.methods == ["real-anchor(k=2)", "halve"]
    done = cb.run(
        SPEC, seeds="0:2", mitigations="halve(share=1)", plugins="halve.py", output="out", n_jobs=2
    )
    assert not done.failed
    assert "halve(share=1)" in set(done.frame().entry)
    assert len(api.predict("gaussian | gaussian-fit @ T=2", plugins="halve.py")) == 3


def test_a_plugin_file_is_loaded_once_however_it_is_called(tmp_path, monkeypatch):
    path = tmp_path / "halve.py"
    path.write_text(PLUGIN)
    runs = [
        cb.run(SPEC, seeds="0:2", mitigations=["halve"], plugins=[plugin], output="out").outcomes
        for plugin in ("halve.py", path, Path("halve.py"), f"{tmp_path}/./halve.py")
    ]
    assert [len(outcomes) for outcomes in runs] == [10, 0, 0, 0]
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    (tmp_path / "below" / "halve.py").write_text(PLUGIN)  # another file of the same name
    with pytest.raises(PluginError, match="'halve' is offered by"):
        cb.run(SPEC, seeds="0:2", plugins=["halve.py"])


def test_workers_find_relative_paths(tmp_path, monkeypatch):
    """Theirs is the folder in which the first of them was started."""
    (tmp_path / "halve.py").write_text(PLUGIN)
    args = {"seeds": "0:2", "mitigations": ["halve"], "plugins": ["halve.py"]}
    there = cb.run(SPEC, **args, output="there", n_jobs=2)
    here = cb.run(SPEC, **args, output="here")
    assert not there.failed
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["here", "there"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # results outlive it
    pd.testing.assert_frame_equal(there.frame(), here.frame())
    again = cb.run(SPEC, seeds="0:2", output="there", n_jobs=2)
    assert len(again.outcomes) == 9
    assert again.output == tmp_path / "elsewhere" / "there"


# -- calibration ----------------------------------------------------------------------------------------------------


@pytest.fixture
def suite(tmp_path) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(
        'name = "own"\ngenerations = 3\nn = 30\nseeds = "0:20"\nmitigations = ["real-anchor(k=5)"]\n'
        '[[tasks]]\ndata = "zipf(K=20)"\nmodel = "counts"\n'
    )
    return path


def test_calibrate(suite, tmp_path):
    (row,) = cb.calibrate(suite, output="chains")
    assert row.task == "zipf(K=20) | counts | replace @ n=30 T=3"
    seeds = {seed for _, record in Store(tmp_path / "chains").records() for seed in record.seeds}
    assert seeds == set(CALIBRATION_SEEDS)
    frames = {}
    for name in ("none", "nature", "trivial"):
        cell = cb.cell_of(
            f"zipf(K=20) | counts | replace | {name} @ n=30 T=3", seeds=list(CALIBRATION_SEEDS)
        )
        *_, last = cb.generations(cell)
        frames[name] = last.scores["total_variation"].numpy()
    worst = frames["trivial"]  # no loss counts as worse than that of trivial in the same chain
    none, nature = np.minimum(frames["none"], worst), np.minimum(frames["nature"], worst)
    assert (none < frames["none"]).any()
    floor = 0.1 * nature.mean()
    gaps = np.log(none + floor) - np.log(nature + floor)
    harms = np.log(worst + floor) - np.log(none + floor)
    assert row.floor == pytest.approx(floor, rel=1e-9)
    assert row.gap == pytest.approx(gaps.mean(), rel=1e-9)
    assert row.gap_sd == pytest.approx(gaps.std(ddof=1), rel=1e-9)
    assert row.harm == pytest.approx(harms.mean(), rel=1e-9)
    assert row.harm_sd == pytest.approx(harms.std(ddof=1), rel=1e-9)
    assert api.load_suite(api.RunRequest(suite)).model.calibration == [row]
    assert cb.run(suite).board().scores is not None


def test_calibrate_names_the_content_of_files(tmp_path):
    (tmp_path / "book.txt").write_text("the owl sang of rain by the old mill\n" * 40)
    path = tmp_path / "own.toml"
    path.write_text(
        'name = "own"\ngenerations = 1\nn = 8\nseeds = "0:2"\n[[tasks]]\nmodel = "ngram"\n'
        "data = 'text(source=\"book.txt\", tokenizer=bytes, block=8, prompt=2, test=20, judged=4)'\n"
        '[[tasks]]\ndata = "zipf(K=20)"\nmodel = "counts"\n'
    )
    text, zipf = cb.calibrate(path)
    assert zipf.cell is None
    assert text.cell == cb.cell_of(text.task).id
    assert api.load_suite(api.RunRequest(path)).model.calibration == [text, zipf]


def test_calibrate_sees_that_it_can_write_before_it_runs(suite, monkeypatch):
    def full(path, content):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(calibrating, "replace_file", full)
    with pytest.raises(
        cb.UsageError, match=r"Permission denied.*copy the suite file to another folder"
    ):
        cb.calibrate(suite, on_plan=lambda steps, jobs: pytest.fail("it runs first"))


def test_calibrate_what_cannot_be(suite):
    suite.write_text('name = "own"\n')
    with pytest.raises(NothingMatched, match="it names no task"):
        cb.calibrate(suite)


# -- devices and scripts --------------------------------------------------------------------------------------------


def test_device_of():
    assert api.device_of("cpu") == "cpu"
    assert api.device_of("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


SCRIPT = """
from dataclasses import dataclass
import collapse_bench as cb

@dataclass(frozen=True)
class Own(cb.Mitigation):
    pass

cb.offer("own", Own)
cb.run({spec!r}, seeds='0:2', output='out', n_jobs=2)
"""


def run_script(folder, spec: str):
    (folder / "script.py").write_text(SCRIPT.format(spec=spec))
    command = [sys.executable, folder / "script.py"]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, timeout=300, check=False
    )


@pytest.mark.slow
def test_a_script_without_a_guard_says_what_is_missing(tmp_path):
    """Workers read the script that offers a class; one that starts workers where it is read would go round in circles."""
    ended = run_script(tmp_path, f"{SPEC.partition(' @')[0]} + own @ n=5 T=1")
    assert ended.returncode == 1
    said = ended.stderr.splitlines()[-1]
    assert said.startswith(
        "collapse_bench.errors.UsageError: a worker ended before it could start (exit code 1"
    )
    assert '`if __name__ == "__main__":`' in said
    assert not [path for path in tmp_path.rglob("*.parquet") if "own" in str(path)]


@pytest.mark.slow
def test_a_script_needs_no_guard_where_workers_do_not_need_it(tmp_path):
    ended = run_script(tmp_path, SPEC)
    assert ended.returncode == 0, ended.stderr
    assert list(tmp_path.rglob("*.parquet"))
