"""Two sides timed by turns, so that a busy machine is as unkind to one as to the other."""

from __future__ import annotations

import time
from collections.abc import Callable


def by_turns(
    ours: Callable[[], object], theirs: Callable[[], object], rounds: int = 3
) -> tuple[float, float]:
    """Least CPU seconds of each side."""
    spent = ([], [])
    for _ in range(rounds):
        for side, run in zip(spent, (ours, theirs), strict=True):
            began = time.process_time()
            run()
            side.append(time.process_time() - began)
    return min(spent[0]), min(spent[1])
