"""At the edges of its ranges a law gives a number, an infinity that its docstring explains, or one sentence."""

from __future__ import annotations

import itertools
import math

import pytest
from settings_of_laws import SETTINGS

from collapse_bench import theory
from collapse_bench.theory._law import Range

LAWS = sorted(theory.laws())


def edges(allowed: Range) -> list:
    """The ends of a range, 0 and 1, what is next to them, and None, as far as the range holds them."""
    if allowed.choices:
        return list(allowed.choices)
    ends = [end for end in (allowed.low, allowed.high) if math.isfinite(end)]
    if allowed.whole:
        found = {0, 1, 2, 70, *(int(end) + step for end in ends for step in (0, 1))}
        found = {n for n in found if n <= 100}  # larger sizes are a matter of time
    else:
        found = {0.0, 1e-300, 1.0, 50.0}
        found |= {math.nextafter(end, way) for end in ends for way in (-math.inf, math.inf)}
        found |= set(ends)
    admitted = [value for value in sorted(found) if allowed._holds(value)]
    return admitted + [None] * allowed.optional


def settings(name: str, together: int):
    """The plain setting with so many parameters at their edges."""
    ranges, plain = theory.laws()[name].ranges, SETTINGS[name]
    for some in itertools.combinations(ranges, min(together, len(ranges))):
        for values in itertools.product(*(edges(ranges[parameter]) for parameter in some)):
            yield {**plain, **dict(zip(some, values, strict=True))}


def value_or_refusal(name: str, setting: dict) -> float | str:
    try:
        return theory.evaluate(name, **setting)
    except theory.TheoryError as refused:
        return str(refused)


@pytest.mark.parametrize("together", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", LAWS)
@pytest.mark.filterwarnings("error")
def test_an_edge_gives_a_number_an_explained_infinity_or_a_sentence(name, together):
    law, values = theory.laws()[name], 0
    probability = "a probability" in theory.documentation(name).lower()
    for setting in settings(name, together):
        value = value_or_refusal(name, setting)
        if isinstance(value, str):
            assert value.startswith(f"{name}: "), setting
            assert "\n" not in value
            continue
        values += 1
        assert type(value) is float, setting
        assert not math.isnan(value), setting
        if math.isinf(value):
            assert law.infinite, f"{setting} gives {value} without a word"
            assert f"Infinite: {law.infinite}." in theory.documentation(name)
        elif probability:
            assert -1e-12 <= value <= 1 + 1e-12, (setting, value)
    assert values >= 3
