"""A broken plugin costs its own cells: they get a status and a sentence, and no other number moves."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from collapse_bench import offer
from collapse_bench.records.record import Record
from collapse_bench.records.store import Store
from collapse_bench.registry import discovery
from collapse_bench.running.execute import execute
from collapse_bench.running.jobs import Job, Options

HEAD = """
import atexit, multiprocessing, os, random, signal, subprocess, sys, threading, time, warnings
from dataclasses import dataclass
import numpy as np
import torch
from collapse_bench import Mitigation, Model, Teacher, hookimpl
from collapse_bench.lib.distributions.gaussians import GaussianTeacher

class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")
"""

#: a method whose numbers depend on the default dtype, the grad mode and the generator of torch,
#: whose first state is the same in every process
HEALTHY = """
@dataclass(frozen=True)
class Healthy(Mitigation):
    def curate(self, c, access):
        third = torch.tensor(1 / 3, requires_grad=True)
        grown = float(third.requires_grad and (third * 3).requires_grad)
        noise = torch.rand(3).sum()
        assert os.path.exists("here.txt") and "BROKEN" not in os.environ
        warnings.warn("a warning that is no error")
        return c.weighted(c.weight * (third.detach() + grown + noise))
"""

HOOKS = """
@hookimpl
def collapse_mitigations():
    return {{"healthy": Healthy{mitigation}}}
@hookimpl
def collapse_models():
    return {{{model}}}
"""


@dataclass(frozen=True)
class Case:
    """One broken plugin, and what becomes of its cell."""

    body: str = "return c"  # of curate
    status: str = "done"
    words: str = ""  # in the reason, or in a remark where the cell is done
    top: str = ""  # code of the module
    members: str = ""  # further members of the class
    model: str = ""  # in place of the mitigation: the body of a model's fit
    options: dict = field(default_factory=dict)
    slow: bool = True


CHANGED = "the run changed {}; this was undone after it"
CASES = {
    # what it changes in the process
    "default dtype": Case(
        "torch.set_default_dtype(torch.float64); return c",
        words=CHANGED.format("the default dtype of torch"),
        slow=False,
    ),
    "default device": Case(
        "torch.set_default_device('meta'); return c", words="the default device of torch"
    ),
    "grad mode": Case("torch.set_grad_enabled(False); return c", words="the grad mode of torch"),
    "threads": Case("torch.set_num_threads(2); return c", words="the number of threads of torch"),
    "denormals": Case("torch.set_flush_denormal(True); return c", words="denormal numbers"),
    "seeds": Case(
        "torch.manual_seed(0); np.random.seed(0); random.seed(0); return c",
        words="global random numbers were drawn",
    ),
    "working folder": Case("os.chdir('/'); return c", words="the working folder"),
    "environment": Case("os.environ['BROKEN'] = '1'; return c", words="os.environ"),
    "signal handlers": Case(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); return c", words="signal handlers"
    ),
    "alarm": Case("signal.alarm(1); return c", words="a timer"),
    "warnings": Case("warnings.simplefilter('error'); return c", words="the filters of warnings"),
    "path": Case("sys.path.insert(0, '/nowhere'); return c", words="sys.path"),
    "umask": Case("os.umask(0o777); return c", words="the umask"),
    "streams": Case("sys.stdout = sys.stderr = None; return c", words="stdin, stdout or stderr"),
    "closed stdout": Case("os.close(1) if access.t == 1 else None; return c"),
    "at import": Case(
        top="torch.set_default_dtype(torch.float64); torch.set_grad_enabled(False)",
        words="broken.py changed the default dtype of torch, the grad mode of torch",
        slow=False,
    ),
    # what it raises
    "KeyboardInterrupt": Case("raise KeyboardInterrupt", "failed", "KeyboardInterrupt", slow=False),
    "GeneratorExit": Case("raise GeneratorExit", "failed", "GeneratorExit (broken.py, line "),
    "BaseException": Case("raise BaseException('all')", "failed", "BaseException: all"),
    "SystemExit": Case("sys.exit(0)", "failed", "SystemExit: 0"),
    "StopIteration": Case("raise StopIteration", "failed", "StopIteration"),
    "recursion": Case("return self.curate(c, access)", "failed", "RecursionError"),
    "mute": Case("raise Mute", "failed", "Mute, whose message cannot be read", slow=False),
    "30 MB": Case("raise ValueError('x' * 30_000_000)", "failed", "ValueError: xxx"),
    "text of memory": Case(
        "raise RuntimeError('CUDA out of memory')", "failed", "RuntimeError: CUDA out of memory"
    ),
    "no memory": Case("return torch.empty(10**15)", "oom", "can't allocate memory", slow=False),
    # what it returns
    "account": Case(
        model="t = GaussianTeacher(c.moments().mean, c.moments().scatter);"
        " object.__setattr__(t, 'account', {'steps': object()}); return t",
        status="failed",
        words="expected names and finite numbers",
    ),
    "no sentence": Case(
        members="def incompatibility(self, cell): return 7",
        status="failed",
        words="broken.incompatibility returned 7; expected None, or a sentence",
    ),
    "an interrupt in incompatibility": Case(
        members="def incompatibility(self, cell): raise KeyboardInterrupt",
        status="failed",
        words="broken.incompatibility raised KeyboardInterrupt",
    ),
    "a long sentence": Case(
        members="def incompatibility(self, cell): return 'x' * 30_000_000",
        status="skipped",
        words="xxx",
    ),
    "size": Case(
        members="def size(self, n, t): return 10**30",
        status="failed",
        words="expected a whole number of rows >= 1 and <= 9007199254740992",
    ),
    # how it ends
    "os._exit": Case("os._exit(0)", "failed", "the worker died (exit code 0)", slow=False),
    "killed": Case("os.kill(os.getpid(), 9)", "killed", "the worker died (exit code -9)"),
    "closed files": Case("os.closerange(3, 1000); return c", "failed", "worker"),
    "endless": Case(
        "time.sleep(600)",
        "timeout",
        "made no progress for 3 s, the default limit for code of plugins",
        options={"silence": 3.0},
    ),
    # what cannot be sent to its worker
    "pickling": Case(
        members="def __reduce__(self): raise KeyboardInterrupt",
        status="failed",
        words="cannot be sent to a worker (KeyboardInterrupt)",
        slow=False,
    ),
    "unpickling": Case(
        top="def again(): raise KeyboardInterrupt",
        members="def __reduce__(self): return again, ()",
        status="failed",
        words="a worker could not read its job (KeyboardInterrupt)",
        slow=False,
    ),
    # what it starts
    "prints": Case("print('hello'); os.system('echo hello'); return c"),
    "pool": Case("multiprocessing.get_context('fork').Pool(1).map(abs, [1]); return c"),
    "data loader": Case(
        "list(torch.utils.data.DataLoader([1, 2], num_workers=1)); return c",
        top="import torch.utils.data",
    ),
    "child": Case("subprocess.Popen(['sleep', '600']); return c"),
    "thread": Case("threading.Thread(target=time.sleep, args=(600,)).start(); return c"),
    "exit handler": Case(top="atexit.register(time.sleep, 600)"),
}


def written(folder: Path, case: Case | None) -> Path:
    """A plugin file with the healthy method, and the broken one."""
    path = folder / "broken.py"
    text = HEAD + HEALTHY
    if case is not None and case.model:
        text += f"""
@dataclass(frozen=True)
class Broken(Model):
    vectorized = True
    def fit(self, c, rng, before=None):
        {case.model}
"""
    elif case is not None:
        text += f"""
{case.top}
@dataclass(frozen=True)
class Broken(Mitigation):
    {case.members}
    def curate(self, c, access):
        {case.body}
"""
    mitigation = ', "broken": Broken' if case is not None and not case.model else ""
    model = '"broken": Broken' if case is not None and case.model else ""
    path.write_text(text + HOOKS.format(mitigation=mitigation, model=model))
    return path


OWN = "gaussian | gaussian-fit | replace @ n=8 T=2"
GOOD = "gaussian | gaussian-fit | replace | healthy @ n=8 T=2"
MODEL = "gaussian | broken | replace @ n=8 T=2"
BAD = "gaussian | gaussian-fit | replace | broken @ n=8 T=2"


def ran(
    folder: Path, case: Case | None, n_jobs: int, specs: list[str], **options
) -> dict[str, Record]:
    """The record of each spec, run in this order in one run of two chains each."""
    folder.mkdir()
    (folder / "here.txt").touch()
    reg = discovery.registry([written(folder, case)], reload=True)
    cells = {spec: reg.cell(spec) for spec in specs}
    before = os.getcwd()
    os.chdir(folder)
    try:
        jobs = [Job(cell, (0, 1)) for cell in cells.values()]
        list(execute(jobs, Options(folder / "out", **options), n_jobs))
    finally:
        os.chdir(before)
    store = Store(folder / "out")
    return {spec: store.read(cell.id, 0) for spec, cell in cells.items()}


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(discovery, "_REGISTRY", None)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, bytes]:
    """The values of the healthy cells where no plugin is broken."""
    found = ran(tmp_path_factory.mktemp("undisturbed") / "run", None, 1, [GOOD, OWN])
    discovery._REGISTRY = None
    return {spec: record.value.tobytes() for spec, record in found.items()}


def cases():
    for name, case in CASES.items():
        for n_jobs in (1, 2):
            slow = [pytest.mark.slow] if case.slow or n_jobs > 1 else []
            yield pytest.param(case, n_jobs, id=f"{name}, {n_jobs} jobs", marks=slow)


@pytest.mark.parametrize(("case", "n_jobs"), [*cases()])
def test_a_broken_plugin_costs_its_own_cells(case, n_jobs, undisturbed, tmp_path):
    """The healthy method of the same file runs after it in the same worker, and an own cell too."""
    bad = MODEL if case.model else BAD
    found = ran(tmp_path / "run", case, n_jobs, [bad, GOOD, OWN], **case.options)
    record = found.pop(bad)
    assert set(record.facts.status) == {case.status}, record.facts.reason
    said = " ".join([*filter(None, record.facts.reason), *record.runs[-1].get("remarks", [])])
    assert case.words in said
    assert len(said) < 3000
    for spec, other in found.items():
        assert set(other.facts.status) == {"done"}, other.facts.reason
        assert other.value.tobytes() == undisturbed[spec], spec


def test_what_a_plugin_started_ends_with_its_run(tmp_path):
    case = Case("open(f'{os.getpid()}.pid', 'w'); subprocess.Popen(['sleep', '613']); return c")
    ran(tmp_path / "run", case, 1, [BAD])
    (pid,) = (int(path.stem) for path in (tmp_path / "run").glob("*.pid"))
    # a signal that kills is sent before the run ends; a busy machine acts on it a little later
    until = time.monotonic() + 30
    while members(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not members(pid)


def test_a_worker_that_could_not_load_its_plugin_serves_no_other_job(tmp_path):
    """The thread that the plugin has started keeps its process alive."""
    case = Case(
        top="""
if multiprocessing.parent_process() is not None:
    threading.Thread(target=time.sleep, args=(600,)).start()
    raise ValueError("not in a worker")
"""
    )
    found = ran(tmp_path / "run", case, 1, [BAD, GOOD, OWN])
    for spec in (BAD, GOOD):
        assert "a worker could not load it: " in found[spec].facts.reason[0]
    assert set(found[OWN].facts.status) == {"done"}


def members(group: int) -> list[int]:
    """The live processes of a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it has just ended
            continue
        if int(of) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def test_a_class_of_a_notebook_is_guarded_in_this_process(tmp_path):
    """No other process can load it; what it raises and changes is contained here."""
    import torch

    from collapse_bench import Mitigation, api

    @dataclass(frozen=True)
    class Careless(Mitigation):
        def curate(self, corpus, access):
            torch.set_default_dtype(torch.float64)
            if access.t == 2:
                raise KeyboardInterrupt
            return corpus

    offer("careless", Careless)
    spec = "gaussian | gaussian-fit | replace | careless @ n=8 T=2"
    results = api.run(spec, seeds="0:2", output=tmp_path)
    assert [outcome.reason for outcome in results.failed] == [
        f"KeyboardInterrupt ({Path(__file__).name}, line {Careless.curate.__code__.co_firstlineno + 3})"
    ]
    assert torch.get_default_dtype() is torch.float32


def test_a_removed_output_folder_is_a_failure(tmp_path):
    import shutil

    from collapse_bench import api

    def remove(outcome):
        shutil.rmtree(tmp_path / outcome.job.cell.id)

    results = api.run(
        "gaussian | gaussian-fit @ n=8 T=2", seeds="0:2", output=tmp_path, on_outcome=remove
    )
    assert len(results.failed) == len(results.outcomes)
    assert "is missing: something removed it while the command ran" in results.failed[0].reason
