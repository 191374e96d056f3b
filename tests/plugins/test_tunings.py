"""The configurations that a mitigation offers besides its default."""

from __future__ import annotations

import dataclasses

import pytest

from collapse_bench.registry.discovery import registry

TUNED = {name: cls for name, cls in registry().classes["mitigation"].items() if cls.tunings}


@pytest.mark.parametrize("name", TUNED)
def test_every_tuning_is_a_configuration_of_its_own(name):
    cls = TUNED[name]
    built = [cls(**tuning) for tuning in ({}, *cls.tunings)]
    assert len(set(built)) == len(built) <= 4
    for one in built[1:]:
        assert any(getattr(one, f.name) != f.default for f in dataclasses.fields(cls))


#: parameter whose size is the strength of the method -> the value at which it does nothing
STRENGTHS = {
    "temperature": ("t", 1.0),
    "hot": ("t", 1.0),
    "top-p": ("p", 1.0),
    "min-p": ("p", 0.0),
    "label-smoothing": ("eps", 0.0),
    "confidence-penalty": ("beta", 0.0),
    "focal": ("gamma", 0.0),
    "high-surprise": ("keep", 1.0),
    "distrust": ("decay", 1.0),
    "noise-augmentation": ("share", 0.0),
}


@pytest.mark.parametrize(("name", "strength"), STRENGTHS.items())
def test_a_weak_setting_is_among_the_tunings(name, strength):
    """At least ten times as close to doing nothing as the default."""
    key, off = strength
    cls = TUNED[name]
    default = abs(getattr(cls(), key) - off)
    weakest = min(abs(tuning[key] - off) for tuning in cls.tunings)
    assert weakest <= default / 10 * (1 + 1e-9)
