"""What a plugin leaves behind is named in a bounded sentence, whatever ends meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path

from collapse_bench.running.leftovers import Leftovers


def test_long_names_of_threads_are_cut():
    before, end = Leftovers(), threading.Event()
    thread = threading.Thread(target=end.wait, name="x" * 100_000)
    thread.start()
    try:
        (said,) = before.remarks("entry")
    finally:
        end.set()
        thread.join()
    assert "thread xxx" in said
    assert len(said) < 200


def test_a_thread_that_ends_meanwhile_is_no_error(monkeypatch):
    read = Path.read_text

    def gone(path, *args, **settings):
        if path.name == "children":
            raise ProcessLookupError(3, "No such process", str(path))
        return read(path, *args, **settings)

    monkeypatch.setattr(Path, "read_text", gone)
    assert Leftovers().remarks("entry") == []
