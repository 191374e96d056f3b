"""One walk over the parts of a cell, which ids, digests, compatibility, workers and error places read."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import pytest

from collapse_bench import Mitigation, cell_of, param
from collapse_bench.core.components import Component
from collapse_bench.running.chains import run_chains
from collapse_bench.running.pool import _marks


@dataclass(frozen=True)
class Leaf(Mitigation):
    """Fits what its author likes."""

    fits_all: bool = param(True, "whether it takes part")

    def incompatibility(self, cell):
        return None if self.fits_all else "the leaf does not fit"

    def steer(self, teacher, access):
        raise RuntimeError("of the leaf")


@dataclass(frozen=True)
class Tree(Mitigation):
    one: Mitigation = param(Leaf(), "a component")  # noqa: RUF009
    some: tuple[Component, ...] = param((), "several")
    more: object = param(None, "in lists of lists")

    def steer(self, teacher, access):
        return self.one.steer(teacher, access)


CELL = cell_of(
    "zipf(read=top-k(k=3)) | counts | replace(decode=hot) @ n=9 T=1 first=zipf(read=hot)"
)
DEEP = Tree(some=(Leaf(), Tree(more=[[Leaf()], None, 3])))


def test_every_part_has_its_place():
    cell = replace(CELL, mitigations=(Leaf(), DEEP))
    places = {place: type(part).__name__ for place, part in cell.parts()}
    assert places == {
        "data": "Zipf",
        "data.read": "TopK",
        "model": "Counts",
        "protocol": "Replace",
        "protocol.decode": "Hot",
        "first": "Zipf",
        "first.read": "Hot",
        "mitigations[0]": "Leaf",
        "mitigations[1]": "Tree",
        "mitigations[1].one": "Leaf",
        "mitigations[1].some[0]": "Leaf",
        "mitigations[1].some[1]": "Tree",
        "mitigations[1].some[1].one": "Leaf",
        "mitigations[1].some[1].more[0][0]": "Leaf",
    }


def components_in(value):
    """All components that a cell can reach, found by another way than that of the walk."""
    if isinstance(value, (Component, type(CELL))):
        if isinstance(value, Component):
            yield value
        for field in fields(value):
            yield from components_in(getattr(value, field.name))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from components_in(item)


@pytest.mark.parametrize("acts", [(), (Leaf(),), (DEEP, Leaf())])
def test_nothing_that_takes_part_is_left_out(acts):
    cell = replace(CELL, mitigations=acts)
    parts = [id(part) for _, part in cell.parts()]
    assert sorted(parts) == sorted(map(id, components_in(cell)))
    assert set(_marks(cell)) == {type(part) for _, part in cell.parts()}


def test_what_is_nested_counts_in_the_id_the_digests_and_the_compatibility(monkeypatch):
    deep = Tree(some=(Tree(more=[Leaf(fits_all=False)]),))
    cell = replace(CELL, mitigations=(deep,))
    assert cell.incompatibility() == "the leaf does not fit"
    assert cell.id != replace(CELL, mitigations=(Tree(some=(Tree(more=[Leaf()]),)),)).id
    monkeypatch.setattr(Leaf, "file_digests", {"leaf.py": "abc"})
    assert cell.file_digests == {"mitigation Leaf": {"leaf.py": "abc"}}


def test_a_flawed_first_teacher_may_refuse_to_be_a_world():
    cell = cell_of("linear(d=3) | ridge | replace @ n=9 T=1 first=linear-surrogate")
    assert cell.first_teacher.incompatibility(cell) is not None
    assert cell.incompatibility() is None


def test_an_error_in_a_nested_part_names_its_line():
    facts = run_chains(
        replace(
            CELL, data=cell_of("zipf | counts").data, mitigations=(Tree(),), first_teacher=None
        ),
        [0],
    ).facts
    line = Leaf.steer.__code__.co_firstlineno + 1
    assert facts.reason == (f"RuntimeError: of the leaf (test_parts.py, line {line})",)
