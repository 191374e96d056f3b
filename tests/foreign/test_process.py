"""State of the process: what foreign code changes is named and restored."""

from __future__ import annotations

import gc
import locale
import os
import random
import resource
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from collapse_bench.foreign.process import OF_LATER_IMPORTS, RANDOM, SETTINGS, restored


def lower_a_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))


def another_locale():
    before = locale.setlocale(locale.LC_NUMERIC)
    names = ("C.UTF-8", "en_US.UTF-8", "POSIX", "C")
    for name in names:
        try:
            if locale.setlocale(locale.LC_NUMERIC, name) != before:
                return
        except locale.Error:
            continue
    pytest.skip("the machine has one locale only")


#: name of a setting -> code that changes it, as a plugin might
CHANGES = {
    "the default dtype of torch": lambda: torch.set_default_dtype(torch.float64),
    "the default device of torch": lambda: torch.set_default_device("meta"),
    "the grad mode of torch": lambda: torch.set_grad_enabled(False),
    "the anomaly mode of torch": lambda: torch.autograd.set_detect_anomaly(True),
    "the deterministic mode of torch": lambda: torch.use_deterministic_algorithms(True),
    "the precision of float32 products": lambda: torch.set_float32_matmul_precision("medium"),
    "the flags of cuDNN": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "the treatment of denormal numbers": lambda: torch.set_flush_denormal(True),
    "the number of threads of torch": lambda: torch.set_num_threads(3),
    "the number of threads of BLAS": lambda: threadpool_limits(2),
    "the generator of torch": lambda: torch.manual_seed(12345),
    "the generator of numpy.random": np.random.rand,
    "the generator of random": random.random,
    "the error mode of numpy": lambda: np.seterr(over="raise"),
    "the working folder": lambda: os.chdir("/"),
    "os.environ": lambda: os.environ.update(A_NEW_VARIABLE="1"),
    "signal handlers": lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN),
    "a timer": lambda: signal.alarm(600),
    "the filters of warnings": lambda: warnings.simplefilter("error"),
    "sys.path": lambda: sys.path.insert(0, "/nowhere"),
    "the recursion limit": lambda: sys.setrecursionlimit(5000),
    "the garbage collector": gc.disable,
    "the locale": another_locale,
    "the umask": lambda: os.umask(0o007),
    "the limits of resources": lower_a_limit,
    "stdin, stdout or stderr": lambda: setattr(sys, "stdout", sys.stderr),
}


def test_the_table_is_complete():
    assert [setting.name for setting in SETTINGS] == list(CHANGES)
    assert set(RANDOM) | set(OF_LATER_IMPORTS) <= set(CHANGES)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_changed_setting_is_named_and_restored(setting, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with restored():
        CHANGES[setting.name]()  # torch imports what it needs for it, which changes more
    before = setting.read()
    with restored() as changed:
        CHANGES[setting.name]()
        assert setting.read() != before
    assert setting.name in changed
    assert setting.read() == before
    threads = {"the number of threads of torch", "the number of threads of BLAS"}  # of one library
    assert set(changed) == {setting.name} or set(changed) == threads


def test_it_is_restored_after_an_error_too():
    def fail():
        torch.set_default_dtype(torch.float64)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), restored() as changed:
        fail()
    assert changed == ["the default dtype of torch"]
    assert torch.get_default_dtype() is torch.float32


def test_nothing_is_named_where_nothing_changed():
    with restored() as changed:
        torch.ones(3).sum()
    assert changed == []


def test_what_is_kept_is_neither_named_nor_restored(monkeypatch):
    monkeypatch.delenv("A_NEW_VARIABLE", raising=False)
    with restored(OF_LATER_IMPORTS) as changed:
        os.environ["A_NEW_VARIABLE"] = "1"
    assert changed == []
    assert os.environ.pop("A_NEW_VARIABLE") == "1"


def test_a_folder_that_is_gone_is_no_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    with restored():
        os.chdir(tmp_path)


class Odd:
    """Raises whatever it is compared with."""

    def __eq__(self, other):
        raise KeyboardInterrupt("no comparison")

    __hash__ = None


def test_an_object_that_cannot_be_compared_does_not_stop_the_restoring():
    before, mask = [*sys.path], os.umask(0o022)
    with restored() as changed:
        sys.path.insert(0, Odd())
        os.umask(0o777)
    assert os.umask(mask) == 0o022
    assert sys.path == before
    assert {"sys.path", "the umask"} <= set(changed)


IMPORTS = """
import os, random, sys, types, warnings
import torch
from collapse_bench.foreign.process import restored

with restored() as changed:
    import sklearn.cluster
print(changed)
with restored() as changed:
    sys.modules["a_new_library"] = types.ModuleType("a_new_library")
    os.environ["A_NEW_VARIABLE"] = "1"
    torch.rand(1)
print(changed)
with restored() as changed:
    import sklearn.cluster
    random.random()
print(changed)
"""


def test_importing_a_library_for_the_first_time_is_no_change():
    ended = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines() == [
        "[]",
        "['the generator of torch']",
        "['the generator of random']",
    ]
