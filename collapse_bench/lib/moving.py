"""Worlds that move: the world of each generation follows from the one before."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.components import DataGenerator


class Path:
    """The worlds of one data generator, by generation.

    The last one is kept, since a loop asks for t, t, t + 1, ...; an earlier one is worked out from
    the first, in the same order of operations, so that it has the same bits.
    """

    def __init__(self) -> None:
        self._t = 0
        self._worlds: list[Moving] = []  # the first and the last

    def at(self, world: Moving, t: int) -> Moving:
        """The world of generation t.  The first call comes from the world of generation 0."""
        first, last = self._worlds or (world, world)
        if t < self._t:
            self._t, last = 0, first
        while self._t < t:
            self._t, last = self._t + 1, last.following(self._t + 1)
        self._worlds = [first, last]
        return last


@dataclass(frozen=True)
class Moving(DataGenerator):
    """A data generator that can move: ``at(t)`` takes t steps of ``following``.

    ``sample_truth`` puts a new ``Path()`` into the truth, as ``path``.
    """

    def at(self, t: int) -> DataGenerator:
        return self.truth.path.at(self, t) if self.moves else self

    def following(self, t: int) -> Moving:
        """The world of generation t, where this is that of generation t - 1.

        A pure function: random numbers of the step come from a stream in the truth, under the name
        t.
        """
        raise NotImplementedError

    def with_changed(self, **truth: object) -> Moving:
        """A copy with some values of the truth replaced."""
        return self.with_truth(**{**vars(self.truth), **truth})  # type: ignore[return-value]


def no_room(world: DataGenerator, t: int) -> str:
    """Why an alphabet with room for ``world.blocks`` blocks of new symbols is too small."""
    name, blocks, novel = world.title(), world.blocks, world.novel  # type: ignore[attr-defined]
    return (
        f"{name}(novel={novel:g}, blocks={blocks}) has one block of new symbols for each of "
        f"{blocks} generations, and {t} are needed; set blocks={t}"
    )
