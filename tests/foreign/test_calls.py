"""The boundary to foreign code: whatever it raises, one bounded sentence comes out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from collapse_bench.foreign.calls import (
    LONGEST,
    LONGEST_TRACE,
    Broke,
    Endless,
    bounded,
    contained,
    described,
    out_of_memory,
    sentence,
    shown,
    traced,
)


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class Blank:
    def __repr__(self):
        raise RuntimeError("no picture")


def thrown(make) -> BaseException:
    """What a call raises, with its traceback."""
    with pytest.raises(Broke) as caught, contained():
        make()
    return caught.value.problem


def throw(problem: BaseException):
    raise problem


RAISED = {
    "an error": (ValueError("no\nmore"), "ValueError: no"),
    "without a message": (ValueError(), "ValueError"),
    "KeyboardInterrupt": (KeyboardInterrupt(), "KeyboardInterrupt"),
    "GeneratorExit": (GeneratorExit("gone"), "GeneratorExit: gone"),
    "SystemExit": (SystemExit(3), "SystemExit: 3"),
    "a base exception": (BaseException("all"), "BaseException: all"),
    "no message": (Mute(), "Mute, whose message cannot be read (RuntimeError)"),
    "a lone surrogate": (ValueError("\ud800"), "ValueError: \\ud800"),
}


@pytest.mark.parametrize(("problem", "words"), RAISED.values(), ids=list(RAISED))
def test_whatever_is_raised_becomes_one_sentence(problem, words):
    found = thrown(lambda: throw(problem))
    assert found is problem
    assert described(found) == words
    assert "throw" in traced(found)


def test_long_messages_are_cut():
    problem = thrown(lambda: throw(ValueError("x" * 30_000_000)))
    assert len(described(problem)) <= LONGEST + 3
    assert len(sentence(problem)) <= LONGEST + 3
    assert len(traced(problem)) <= 2 * LONGEST_TRACE
    assert bounded("x" * 10, 4) == "xxxx..."
    assert shown(Blank()) == "a Blank that cannot be shown"


@pytest.fixture
def heard():
    """SIGINT raises KeyboardInterrupt, also in tests that a shell runs in the background, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_a_real_interrupt_stays_one():
    def interrupted():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    with pytest.raises(KeyboardInterrupt), contained():
        interrupted()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("depth", [0, 1])
def test_a_real_interrupt_stays_one_whatever_the_code_makes_of_it(depth):
    def interrupted(depth):
        try:
            if depth:
                with contained():
                    interrupted(depth - 1)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt:
            raise ValueError("no interrupt") from None

    with pytest.raises(KeyboardInterrupt), contained():
        interrupted(depth)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_waits_in_the_buffer_of_stdout_goes_to_stderr():
    code = (
        "import sys\n"
        "from collapse_bench.foreign.calls import contained\n"
        "with contained():\n"
        "    print('by the plugin', file=sys.__stdout__)\n"
        "print('after')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "after\n"
    assert ended.stderr == "by the plugin\n"


@pytest.mark.parametrize("loop", ["while True: pass", "time.sleep(60)"])
def test_code_without_an_end_is_stopped(loop):
    began = time.monotonic()
    with (
        pytest.raises(Broke, match=r"Endless: it did not end within 0\.2 s") as caught,
        contained(0.2),
    ):
        exec(loop)
    assert isinstance(caught.value.problem, Endless)
    assert time.monotonic() - began < 30
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_is_printed_goes_to_stderr(capfd):
    with contained():
        print("by python")
        os.system("echo by a shell")
        os.write(1, b"by the system\n")
    print("after")
    ended = capfd.readouterr()
    assert ended.out == "after\n"
    assert {"by python", "by a shell", "by the system"} <= set(ended.err.splitlines())


def test_it_works_outside_of_the_main_thread():
    found = []

    def run():
        try:
            with contained(5.0):
                raise KeyboardInterrupt
        except Broke as broke:
            found.append(str(broke))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == ["KeyboardInterrupt"]


def reraised():
    try:
        torch.empty(10**15)
    except RuntimeError:
        raise


MEMORY = {
    "torch on a CPU": (lambda: torch.empty(10**15), True),
    "caught and raised again": (reraised, True),
    "numpy": (lambda: np.empty(10**15), True),
    "python": (lambda: [0] * 10**15, True),
    "a text": (lambda: throw(RuntimeError("CUDA out of memory")), False),
    "the text of the allocator": (
        lambda: throw(RuntimeError("DefaultCPUAllocator: can't allocate memory")),
        False,
    ),
    "the type by hand": (lambda: throw(MemoryError("no memory")), False),
    "the type of a GPU by hand": (lambda: throw(torch.OutOfMemoryError("full")), False),
    "another error": (lambda: 1 / 0, False),
}


@pytest.mark.parametrize(("call", "expected"), MEMORY.values(), ids=list(MEMORY))
def test_memory_is_judged_by_type_and_origin(call, expected):
    assert out_of_memory(thrown(call)) is expected
