"""Old names of public methods and attributes work for one release, and warn."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

import collapse_bench
from collapse_bench import Corpus, DataGenerator, Mitigation, Model, Stream, Teacher, cell_of
from collapse_bench.core.components import Component

NAMES = [
    (base, old, new)
    for base in (Component, Teacher, DataGenerator, Model, Mitigation)
    for old, new in base.OLD_NAMES.items()
]


@pytest.mark.parametrize(("base", "old", "new"), NAMES)
def test_what_is_written_under_an_old_name_is_read_under_the_new_one(base, old, new):
    value = "native" if old == "replicates" else object()
    with pytest.warns(FutureWarning, match=f"Mine.{old} is now called {new}") as seen:
        cls = type("Mine", (base,), {old: value})
    assert seen[0].filename == __file__
    assert vars(cls)[new] is (True if old == "replicates" else value)
    assert cls.written_with_old_names == {old: new}


@pytest.mark.parametrize(("base", "old", "new"), NAMES)
def test_a_use_of_an_old_name_gives_the_new_one(base, old, new):
    cls = type("Mine", (base,), {new: 7})
    with pytest.warns(FutureWarning, match=f"is now called {new}") as seen:
        assert getattr(cls, old) == 7
    assert seen[0].filename == __file__


@pytest.mark.filterwarnings("ignore:.*is now called:FutureWarning")
def test_super_under_an_old_name_reaches_the_base_class():
    cell = cell_of("gaussian | gaussian-fit @ n=5 T=1")

    @dataclass(frozen=True)
    class Old(Mitigation):
        kinds = ("regression",)

        def fits(self, cell):
            return super().fits(cell) or "not today"

    class Young(Old):
        def incompatibility(self, cell):
            return f"Young: {super().fits(cell)}"

    assert Old().incompatibility(cell).startswith("Old fits regression data")
    assert Young().fits(cell).startswith("Young: Young fits regression data")


def test_a_parameter_may_have_the_name_of_an_old_method():
    @dataclass(frozen=True)
    class Near(DataGenerator):
        near: float = 2.0

    assert Near().near == 2.0
    assert not Near.written_with_old_names


@pytest.mark.parametrize("old", collapse_bench._OLD_NAMES)
def test_old_public_names_are_there(old):
    new = collapse_bench._OLD_NAMES[old]
    with pytest.warns(FutureWarning, match=f"collapse_bench.{old} is now called {new}"):
        assert getattr(collapse_bench, old) is getattr(collapse_bench, new)


def test_shapes_of_chains_have_their_old_name():
    rng = Stream([1, 2])
    corpus = Corpus.of(None, torch.zeros(2, 3, 1), (2,))
    for thing in (rng, corpus):
        with pytest.warns(FutureWarning, match="chain_shape"):
            assert thing.batch == (2,)
