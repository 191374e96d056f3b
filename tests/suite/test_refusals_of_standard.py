"""Which methods of the suite decline a task of `standard` by choice, and count 0 there."""

from __future__ import annotations

from collapse_bench import api

#: method -> the beginning of its sentence, after its name
BY_CHOICE = {
    "ratio-debias": ("averages over all generations", "takes generation 0 and the teacher's rows"),
    "replay-buffer": ("keeps earlier rows, and accumulate",),  # it would change nothing
    "self-distillation": ("changes nothing for ols",),
}


def test_a_method_declines_by_choice_only_where_it_says_so_here():
    """A missing method, kind or real row is a lack, which lowers the coverage instead."""
    suite = api.load_suite(api.RunRequest("standard"))
    declined = [entry for entry in suite.entries if entry.declined]
    assert sum(entry.skip is not None and not entry.declined for entry in suite.entries) > 100
    assert {entry.name for entry in declined} == set(BY_CHOICE)
    for entry in declined:
        starts = tuple(f"{entry.name} {text}" for text in BY_CHOICE[entry.name])
        assert str(entry.skip).startswith(starts), (entry.name, entry.skip)
