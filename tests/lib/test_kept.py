"""What is kept for the last teacher or the last stream, and for no other one."""

from __future__ import annotations

import gc
import pickle
from itertools import count

import torch

from collapse_bench.core.rng import Stream
from collapse_bench.lib.kept import LastDraw, LastOf


class Thing:
    """Equal to every other thing."""

    def __eq__(self, other):
        return True

    __hash__ = None


def test_the_last_of_a_thing_is_found_by_identity_and_only_while_it_lives():
    kept, numbers, one, other = LastOf(), count(), Thing(), Thing()
    assert [kept.of(thing, lambda: next(numbers)) for thing in (one, one, other, other, one)] == [
        0,
        0,
        1,
        1,
        2,
    ]
    del one
    gc.collect()
    assert kept.of(Thing(), lambda: next(numbers)) == 3


def test_a_draw_is_kept_for_streams_that_draw_the_same():
    kept, numbers = LastDraw(), count()

    def drawn(rng):
        return kept.of(rng, lambda: next(numbers))

    exam = Stream([1, 2]).at("exam")
    assert drawn(exam) == drawn(exam) == drawn(Stream([1, 2]).at("exam")) == 0
    others = [
        *(Stream(seeds).at("exam") for seeds in ([1, 3], [2, 1], [1], 1, [[1, 2]])),
        Stream([1, 2]).at("paper"),
    ]
    assert [drawn(other) for other in others] == [1, 2, 3, 4, 5, 6]


def test_asking_draws_nothing_from_the_stream():
    rng, kept = Stream([1, 2]), LastDraw()
    kept.of(rng, lambda: None)
    assert torch.equal(rng.uniform(3), Stream([1, 2]).uniform(3))


def test_a_pickle_holds_nothing_that_is_kept():
    kept, drawn, thing = LastOf(), LastDraw(), Thing()
    kept.of(thing, lambda: 1)
    drawn.of(Stream(1), lambda: 1)
    kept, drawn = pickle.loads(pickle.dumps((kept, drawn)))
    assert kept.of(thing, lambda: 2) == drawn.of(Stream(1), lambda: 2) == 2
