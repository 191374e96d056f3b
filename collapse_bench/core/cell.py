"""One experiment: data, model, protocol, mitigations, and how many rows and generations."""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import DataChanged, Lacks, Unreachable, UsageError
from ..foreign.calls import Broke, bounded, contained, described, shown
from ..places import text_of
from ..spec import CellSpec
from .budget import Budget
from .components import Component, DataGenerator, Mitigation, Model, Protocol, role_of
from .content import contents
from .identity import NUMERICS, SCHEMA, fingerprint, id_of, is_none, nested, written

MOST_FILES = 1000  # of a folder whose files a description of the cell names
MOST_GENERATIONS = 10**6  # the largest horizon T
MOST_ROWS = 2**53  # of one generation: larger whole numbers are not exact in float64


@dataclass(frozen=True)
class Cell:
    """Everything that a run needs.  The id does not depend on seeds, device, budget and one_way.

    Raises UsageError for a value that is out of range or not of its role.
    """

    data: DataGenerator
    model: Model
    protocol: Protocol
    mitigations: tuple[Mitigation, ...] = ()
    n: int = 100  # rows per generation
    generations: int = 10  # the horizon T: generations 0 .. T are run
    growth: float = 0.0  # generation t reads round(n (t + 1)^growth) rows
    n0: int | None = None  # rows of generation 0, where they are not as many as n
    # a flawed source that teaches generation 0 in place of nature
    first_teacher: DataGenerator | None = None
    seeds: tuple[int, ...] = (0,)  # one chain each
    device: str = "cpu"
    budget: Budget | None = None  # what the mitigations may use
    # for audits: what a plugin holds or draws says nothing about the truth; see ``Stream.one_way``
    one_way: bool = False

    def __post_init__(self) -> None:
        for name, key, low, high in (
            ("n", "n", 1, MOST_ROWS),
            ("generations", "T", 0, MOST_GENERATIONS),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise UsageError(f"{key} must be a whole number >= {low}, got {shown(value, 40)}")
            if value > high:
                raise UsageError(f"{key} must be at most {high}, got {shown(value, 40)}")
        if self.n0 is not None:
            if isinstance(self.n0, bool) or not isinstance(self.n0, int) or self.n0 < 1:
                raise UsageError(f"n0 must be a whole number >= 1, got {shown(self.n0, 40)}")
            if self.n0 > MOST_ROWS:
                raise UsageError(f"n0 must be at most {MOST_ROWS}, got {shown(self.n0, 40)}")
        if not 0 <= self.growth <= 4:
            raise UsageError(f"growth must lie in [0, 4], got {self.growth}")
        if self.size(self.generations) > MOST_ROWS:
            raise UsageError(
                "the last generation would read n (T + 1)^growth = "
                f"{self.size(self.generations):g} rows; it must be at most {MOST_ROWS}, so lower "
                "n, T or growth"
            )
        for role, base in (("data", DataGenerator), ("model", Model), ("protocol", Protocol)):
            if not isinstance(getattr(self, role), base):
                raise UsageError(f"{role} must be a {base.__name__}, got {getattr(self, role)!r}")
        if len(self.mitigations) > 1:
            for name, place, is_so in (
                ("nature", "ceiling", self.nature),
                ("trivial", "floor", self.untrained),
            ):
                if is_so:
                    raise UsageError(
                        f"{name} is the {place} of a task and cannot be combined with a mitigation"
                    )

    def for_seeds(self, seeds: Iterable[int]) -> Cell:
        """The same cell for other chains.  Its names and id are copied, not computed again."""
        twin = dataclasses.replace(self, seeds=tuple(seeds))
        twin.__dict__.update(
            {key: self.__dict__[key] for key in ("spec", "canonical", "id") if key in self.__dict__}
        )
        return twin

    def lent(self) -> Cell:
        """A copy for a plugin to look at: it has no seeds, and changes to it reach nobody.

        Seeds would let a plugin compute the truth of each chain.
        """
        components = {
            field.name: _copied(getattr(self, field.name)) for field in dataclasses.fields(self)
        }
        return dataclasses.replace(self, **{**components, "seeds": ()})

    @property
    def foreign(self) -> bool:
        """Whether a part of the cell does not come with the suite, so that nobody reviewed it."""
        return any(type(part).file_digests for _, part in self.parts())

    @property
    def nature(self) -> bool:
        """True for the ceiling of a task: the same protocol with an oracle as teacher."""
        return any(m.perfect_teacher for m in self.mitigations)

    @property
    def untrained(self) -> bool:
        """True for the floor of a task: no generation learns anything."""
        return any(m.untrained for m in self.mitigations)

    def size(self, t: int) -> int:
        """Rows that generation t reads, before mitigations change the number."""
        if t == 0 and self.n0 is not None:
            return self.n0
        return self.n if not self.growth else round(self.n * (t + 1) ** self.growth)

    @property
    def rows(self) -> int:
        """Rows that all generations read together, before mitigations change their number."""
        if not self.growth:
            return self.size(0) + self.n * self.generations
        return sum(self.size(t) for t in range(self.generations + 1))

    @cached_property
    def limits(self) -> Mapping[str, int]:
        """substance -> most that the mitigations may use per chain, over the whole run."""
        return {} if self.budget is None else self.budget.allowed(self.rows)

    @cached_property
    def acts(self) -> tuple[tuple[str, Mitigation], ...]:
        """(name, mitigation), the protocol's decoder first.

        The name keys the random stream and the ledger.  A second mitigation of one title is
        ``title#2``.
        """
        seen: Counter[str] = Counter()
        named = []
        for act in self.mitigations:
            title = act.title()
            seen[title] += 1
            named.append((title if seen[title] == 1 else f"{title}#{seen[title]}", act))
        if self.protocol.decode is not None:
            named.insert(0, ("decode", self.protocol.decode))
        return tuple(named)

    def _roles(self) -> Iterator[tuple[str, Component]]:
        """(place, component) of the fields of the cell."""
        yield from (("data", self.data), ("model", self.model), ("protocol", self.protocol))
        if self.first_teacher is not None:
            yield "first", self.first_teacher
        for i, act in enumerate(self.mitigations):
            yield f"mitigations[{i}]", act

    def parts(self) -> Iterator[tuple[str, Component]]:
        """(place, component) of all components of the cell, at any depth: the data generator, the
        model, the protocol and its decoder, the first teacher, the mitigations, and the components
        in their parameters."""
        for place, component in self._roles():
            yield place, component
            for inner, part in nested(component):
                yield f"{place}.{inner}", part

    @property
    def file_digests(self) -> dict[str, dict[str, str]]:
        """Kind and name of a plugin -> module -> digest of its code, for plugins that are not part
        of the suite.

        Where several mitigations adapt the model, the code that composes their requests counts as
        one more: version 0.1 lost some of these, so its records of such cells are stale.
        """
        digests: dict[str, dict[str, str]] = {}
        for _, part in self.parts():
            if type(part).file_digests:
                key = f"{role_of(part)} {part.title()}"
                digests.setdefault(key, {}).update(type(part).file_digests)
        if sum(type(act).adapt is not Mitigation.adapt for act in self.mitigations) > 1:
            digests["composed fits"] = {"collapse_bench.core.recipe": "2"}
        return digests

    @property
    def files(self) -> dict[str, dict[str, Any]]:
        """Place -> ``path`` and ``files`` of the data that the id hashes, to say what changed.

        Folders of more than ``MOST_FILES`` files are left out.
        """
        return {
            f"{place}.{inner}": {"path": text_of(found.path), "files": dict(found.files)}
            for place, component in self._roles()
            for inner, found in contents(component).items()
            if len(found.files) <= MOST_FILES
        }

    @property
    def code(self) -> dict[str, Any]:
        """The code that computes the numbers, besides declared versions; see ``Record.code``."""
        return {"": NUMERICS, **self.file_digests}

    def incompatibility(self) -> str | None:
        """None where all components fit together, else the sentence of the first that does not.

        It is a ``Lacks`` unless a mitigation declines a cell that has all that it declares to need.
        Raises UsageError where a component's own ``incompatibility`` fails.
        """
        for place, _ in self.parts():
            # a flawed source refuses to be the data of a cell; a first teacher only needs its kind
            reason = None if place.startswith("first") else self._refusal_of(place)
            if reason is not None:
                return reason
        if self.first_teacher is not None and self.first_teacher.kind != self.data.kind:
            return Lacks(
                f"{self.first_teacher.title()} cannot teach {self.data.title()}: their kinds differ"
            )
        if (
            self.data.sampler == "exact-law"
            and self.data.kind != "discrete"
            and not self.model.reads_sums
        ):
            return Lacks(
                f"{self.model.title()} reads rows, and sampler=exact-law draws only their sums"
            )
        return None

    def _refusal_of(self, place: str) -> str | None:
        """What ``incompatibility`` of the component at this place returns.

        It is called on copies of the cell and of the component, which it must not change either.

        Raises UsageError where that raises, or returns neither None nor a sentence.
        """
        lent = self.lent()
        part = dict(lent.parts())[place]
        try:
            with contained() if type(part).file_digests else nullcontext():
                reason = part.incompatibility(lent)
                chosen = place.startswith("mitigations") and (
                    Component.incompatibility(part, lent) is None
                    if type(part).file_digests  # nobody reviewed its own word for it
                    else not isinstance(reason, Lacks)
                )
        except Exception as problem:
            cause = problem.problem if isinstance(problem, Broke) else problem
            if isinstance(cause, Unreachable):  # running the cell records that it is not there now
                return None
            if isinstance(cause, DataChanged):
                raise cause from None
            raise UsageError(
                f"{part.title()}.incompatibility raised {described(cause)}"
            ) from problem
        if reason is not None and not (isinstance(reason, str) and reason):
            raise UsageError(
                f"{part.title()}.incompatibility returned {shown(reason, 60)}; "
                "expected None, or a sentence that says why not"
            )
        if reason is None:
            return None
        return bounded(reason) if chosen else Lacks(bounded(reason))

    # -- names -------------------------------------------------------------------------------------

    @cached_property
    def spec(self) -> CellSpec:
        settings: list[tuple[str, Any]] = [("n", self.n), ("T", self.generations)]
        if self.growth:
            settings.append(("growth", float(self.growth)))
        if self.n0 is not None:
            settings.append(("n0", self.n0))
        if self.first_teacher is not None:
            settings.append(("first", written(self.first_teacher)))
        acts = tuple(written(act) for act in self.mitigations)
        return CellSpec(
            written(self.data), written(self.model), written(self.protocol), acts, tuple(settings)
        )

    @property
    def label(self) -> str:
        """The spec text without defaults, as a user types it."""
        return str(self.spec)

    @property
    def task(self) -> str:
        """The label of the cell without its mitigations."""
        return str(dataclasses.replace(self.spec, mitigations=()))

    @property
    def entry(self) -> str:
        """The label of the mitigations, `none` where there are none."""
        return " + ".join(map(str, self.spec.mitigations)) or "none"

    @cached_property
    def canonical(self) -> dict[str, Any]:
        """What the id hashes: all parameters as plain values, files as digests of their content."""
        singles = {
            place: fingerprint(part)
            for place, part in self._roles()
            if not place.startswith("mitigations")
        }
        return {
            "schema": SCHEMA,
            "first": None,
            **singles,
            "mitigations": [fingerprint(act) for act in self.mitigations if not is_none(act)],
            "n": self.n,
            "T": self.generations,
            "growth": float(self.growth),
            # a setting that was added later is left out at its default, so that older ids hold
            **({} if self.n0 is None else {"n0": self.n0}),
        }

    @cached_property
    def id(self) -> str:
        """20 hex digits: the hash of ``canonical``."""
        return id_of(self.canonical)


def _copied(value: Any) -> Any:
    """A component with copies of the components in its parameters; other values as they are."""
    if isinstance(value, Component):
        twin = copy.copy(value)
        for field in dataclasses.fields(value):
            object.__setattr__(twin, field.name, _copied(getattr(value, field.name)))
        return twin
    return type(value)(map(_copied, value)) if type(value) in (tuple, list) else value
