"""The score on chains of the suite `standard`: equal methods, and planted improvements."""

from __future__ import annotations

import numpy as np
import pytest


def test_equals_share_everything_but_their_own_draws(bench):
    """Generation 0 is common to all entries; random draws of a method are its own."""
    suite = bench.standard()
    found = {}
    for name in ("real-anchor(share=0.1)", "distrust"):
        cells = [
            c
            for task, row, c in bench.cells(suite, {name: 2})
            if task == bench.CHEAP[0] and row != "none"
        ]
        found[name] = [bench.final_losses(cell, range(6)) for cell in cells]
        starts = [next(iter(bench.generations(cell.for_seeds(range(6))))) for cell in cells]
        assert (
            starts[0].scores[cells[0].data.primary].equal(starts[1].scores[cells[0].data.primary])
        )
    assert (found["real-anchor(share=0.1)"][0] != found["real-anchor(share=0.1)"][1]).all()
    np.testing.assert_array_equal(*found["distrust"])


@pytest.mark.slow
def test_the_score_keeps_its_promises_on_the_chains_of_standard(bench):
    """Two to three minutes on one core.  The limits are those of the score; the seeds are fixed.

    With 1000 boards, what truly happens in 5 % of cases is measured as 6 % or less by 92 of 100 seeds where a board says
    yes or no once, and by nearly all where it has 28 pairs; a true coverage of 95 % lies within 93 to 97 % by nearly all.
    """
    suite = bench.standard()
    pool = bench.gathered(suite, bench.pool(suite, 960))
    assert set(pool.tasks) == set(bench.CHEAP)
    assert not pool.scored().excluded
    found = bench.checks(pool, boards=1000, planted=100)
    assert len(found) == 11
    assert not [check for check in found if not check.kept], bench.table(found)
