"""State of the process that foreign code may change: it is compared and restored after each call.

One table holds what is restored.  A setting that cannot be read or written here, such as a signal
handler outside the main thread, is left out.
"""

from __future__ import annotations

import gc
import locale
import operator
import os
import random
import resource
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

#: settings of a process that code of a plugin may rely on later, when it imports or downloads
OF_LATER_IMPORTS = ("os.environ", "sys.path", "the filters of warnings")
#: names of the settings that are random generators; drawing from one changes it
RANDOM = ("the generator of torch", "the generator of numpy.random", "the generator of random")
#: settings that importing a library for the first time may change, so that nobody is blamed then;
#: no library draws from torch or numpy.random when it is imported
OF_IMPORTS = (*OF_LATER_IMPORTS, RANDOM[2])


@dataclass(frozen=True)
class Setting:
    """One piece of state: its name in a sentence, how to read it, and how to write it back.

    same: whether two values, before and now, are equal.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    same: Callable[[Any, Any], bool] = operator.eq


@contextmanager
def restored(keep: Collection[str] = ()) -> Iterator[list[str]]:
    """Restore every setting when the block ends.

    The list then holds the names of those that the block had changed, without those of OF_IMPORTS
    where it has imported a library for the first time.  keep: names of settings that are left as
    the block left them.
    """
    before = [(setting, *_read(setting)) for setting in SETTINGS if setting.name not in keep]
    libraries = _libraries()
    changed: list[str] = []
    try:
        yield changed
    finally:
        excused = OF_IMPORTS if _libraries() - libraries else ()
        for setting, known, value in before:
            if known and not _same(setting, value):
                if setting.name not in excused:
                    changed.append(setting.name)
                with suppress(Exception):  # e.g. a folder that is gone
                    setting.write(value)


def _same(setting: Setting, value: Any) -> bool:
    """Whether the setting still has this value.

    The block may have put an object there whose comparison raises: then it has not.
    """
    known, now = _read(setting)
    try:
        return known and bool(setting.same(value, now))
    except BaseException:
        return False


def _libraries() -> set[str]:
    """Top-level names of the modules that are loaded, without those of Python and of the suite."""
    names = {name.partition(".")[0] for name in [*sys.modules] if isinstance(name, str)}
    return names - sys.stdlib_module_names - {__name__.partition(".")[0]}


def _read(setting: Setting) -> tuple[bool, Any]:
    """(True, value), or (False, None) where it cannot be read."""
    try:
        return True, setting.read()
    except Exception:
        return False, None


@contextmanager
def safe_path() -> Iterator[None]:
    """A Python process that is started in the block does not import from the working folder.

    Otherwise a file ``random.py`` there would be taken for the module of this name.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        del os.environ["PYTHONSAFEPATH"]
        if before is not None:
            os.environ["PYTHONSAFEPATH"] = before


# -- readers and writers of the table --------------------------------------------------------------


def _pools() -> dict[str, int]:
    """File of each BLAS or OpenMP library -> its number of threads."""
    return {pool.filepath: pool.num_threads for pool in ThreadpoolController().lib_controllers}


def _same_pools(before: Mapping[str, int], now: Mapping[str, int]) -> bool:
    """Whether the libraries that were loaded before have as many threads as before."""
    return all(now.get(file, threads) == threads for file, threads in before.items())


def _set_pools(threads: Mapping[str, int]) -> None:
    for pool in ThreadpoolController().lib_controllers:
        if pool.filepath in threads:
            pool.set_num_threads(threads[pool.filepath])


def _set_device(device: torch.device) -> None:
    torch.set_default_device(None if device == torch.device("cpu") else device)


def _flushes() -> bool:
    """Whether denormal numbers are rounded to 0."""
    return float(torch.full((), 1e-310, dtype=torch.float64) * 1.0) == 0.0


def _deterministic() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _cudnn() -> tuple[bool, bool, bool]:
    cudnn = torch.backends.cudnn
    return cudnn.enabled, cudnn.benchmark, cudnn.deterministic


def _set_cudnn(flags: tuple[bool, bool, bool]) -> None:
    cudnn = torch.backends.cudnn
    cudnn.enabled, cudnn.benchmark, cudnn.deterministic = flags


def _numpy_state() -> tuple[Any, ...]:
    name, words, *rest = np.random.get_state(legacy=True)
    return name, np.asarray(words).tobytes(), *rest


def _set_numpy_state(state: tuple[Any, ...]) -> None:
    name, words, *rest = state
    np.random.set_state((name, np.frombuffer(words, np.uint32), *rest))


def _torch_state() -> bytes:
    return torch.get_rng_state().numpy().tobytes()


def _set_torch_state(state: bytes) -> None:
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _set_environment(variables: Mapping[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)


def _handlers() -> dict[int, Any]:
    """Signal -> its handler, for the handlers that Python can set again."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("only the main thread may set signal handlers")
    found = {number: signal.getsignal(number) for number in _SIGNALS}
    return {number: handler for number, handler in found.items() if handler is not None}


_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


def _set_handlers(handlers: Mapping[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _set_warning_filters(filters: list[Any]) -> None:
    warnings.resetwarnings()
    warnings.filters[:] = filters  # type: ignore[index]  # a list, typed as a sequence


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _streams() -> tuple[Any, Any, Any]:
    return sys.stdin, sys.stdout, sys.stderr


def _set_streams(streams: tuple[Any, Any, Any]) -> None:
    sys.stdin, sys.stdout, sys.stderr = streams


def _limits() -> dict[int, tuple[int, int]]:
    return {kind: resource.getrlimit(kind) for kind in _LIMITS}


_LIMITS = (
    resource.RLIMIT_AS,
    resource.RLIMIT_CPU,
    resource.RLIMIT_DATA,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_NOFILE,
    resource.RLIMIT_STACK,
)


def _set_limits(limits: Mapping[int, tuple[int, int]]) -> None:
    for kind, value in limits.items():
        with suppress(ValueError, OSError):  # a hard limit that was lowered stays lowered
            resource.setrlimit(kind, value)


SETTINGS = (
    Setting("the default dtype of torch", torch.get_default_dtype, torch.set_default_dtype),
    Setting("the default device of torch", torch.get_default_device, _set_device),
    Setting("the grad mode of torch", torch.is_grad_enabled, torch.set_grad_enabled),
    Setting(
        "the anomaly mode of torch",
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda mode: torch.autograd.set_detect_anomaly(*mode),
    ),
    Setting(
        "the deterministic mode of torch",
        _deterministic,
        lambda mode: torch.use_deterministic_algorithms(mode[0], warn_only=mode[1]),
    ),
    Setting(
        "the precision of float32 products",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    Setting("the flags of cuDNN", _cudnn, _set_cudnn),
    Setting("the treatment of denormal numbers", _flushes, torch.set_flush_denormal),
    Setting("the number of threads of torch", torch.get_num_threads, torch.set_num_threads),
    Setting("the number of threads of BLAS", _pools, _set_pools, _same_pools),
    Setting(RANDOM[0], _torch_state, _set_torch_state),
    Setting(RANDOM[1], _numpy_state, _set_numpy_state),
    Setting(RANDOM[2], random.getstate, random.setstate),
    Setting("the error mode of numpy", np.geterr, lambda mode: np.seterr(**mode)),
    Setting("the working folder", os.getcwd, os.chdir),
    Setting("os.environ", lambda: dict(os.environ), _set_environment),
    Setting("signal handlers", _handlers, _set_handlers),
    Setting(
        "a timer",
        lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0,
        lambda on: None if on else signal.setitimer(signal.ITIMER_REAL, 0),
    ),
    Setting("the filters of warnings", lambda: [*warnings.filters], _set_warning_filters),
    Setting("sys.path", lambda: [*sys.path], lambda path: sys.path.__setitem__(slice(None), path)),
    Setting("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    Setting(
        "the garbage collector",
        gc.isenabled,
        lambda on: gc.enable() if on else gc.disable(),
    ),
    Setting(
        "the locale",
        lambda: locale.setlocale(locale.LC_ALL),
        lambda name: locale.setlocale(locale.LC_ALL, name),
    ),
    Setting("the umask", _umask, os.umask),
    Setting("the limits of resources", _limits, _set_limits),
    Setting("stdin, stdout or stderr", _streams, _set_streams),
)
