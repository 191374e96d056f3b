"""The small objects of the conformance kit."""

from __future__ import annotations

from collapse_bench.api import cell_of
from collapse_bench.checks.world import Key
from collapse_bench.plugins.generators.text import Text


def test_a_key_follows_the_content_of_files(tmp_path):
    """Two checks in one process, with an edit between them, share nothing."""
    book = tmp_path / "book.txt"
    book.write_text("one")
    spec = f'text(source="{book}") | ngram @ n=5 T=1'
    before = Key(Text(source=book)), Key(cell_of(spec))
    assert before == (Key(Text(source=book)), Key(cell_of(spec)))
    book.write_text("two")
    for old, new in zip(before, (Key(Text(source=book)), Key(cell_of(spec))), strict=True):
        assert old != new
