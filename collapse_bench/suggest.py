"""Suggestions for unknown names: "did you mean ...?"."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST = 12  # names in a sentence


def nearest(name: str, known: Iterable[str]) -> str:
    """'; did you mean X?' where a known name is close, else '; known: ' and the first names."""
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, 1, 0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    more = f" and {len(known) - MOST} more" if len(known) > MOST else ""
    return f"; known: {', '.join(known[:MOST])}{more}"
