"""The small objects and cells on which plugins are checked."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import typing
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any, Literal, TypeVar

import numpy as np
from torch import Tensor

from ..core.access import Access
from ..core.cell import Cell
from ..core.components import Component, DataGenerator, Mitigation, Model, Protocol
from ..core.content import contents
from ..core.desk import Desk
from ..core.identity import written
from ..core.ledger import Ledger
from ..core.params import type_hints
from ..core.rng import Stream
from ..core.tracks import PROTOCOL
from ..errors import UsageError
from ..registry.discovery import KINDS, Registry

C = TypeVar("C", bound=Component)

CHAIN_SHAPES = ((), (2,), (2, 3))  # that every plugin must handle
ROWS = 40
MANY = (200,)  # chains where two distributions are compared
JUNK = 100.0  # added to the answers of rows that must not count
STAGES = ("steer", "curate", "adapt", "size")  # of a mitigation
_SMALL = {"d": 2, "K": 20}  # dimension and alphabet of the small variant of a data generator


# -- variants of a plugin


def small(cls: type[C]) -> C | None:
    """The plugin at parameters that cost little; None where a parameter has neither a default nor a
    value in ``tiny``."""
    names = {f.name for f in dataclasses.fields(cls)}
    tiny = getattr(cls, "tiny", None) or {
        name: value for name, value in _SMALL.items() if name in names
    }
    return _built(cls, **tiny) or _built(cls)


def _built(cls: type[C], **parameters: Any) -> C | None:
    try:
        return cls(**parameters)
    except (TypeError, ValueError, UsageError):
        return None


def without_default(cls: type[Component]) -> list[str]:
    missing = dataclasses.MISSING
    return [
        f.name
        for f in dataclasses.fields(cls)
        if f.init and f.default is missing and f.default_factory is missing
    ]


def variants(cls: type[C]) -> Iterator[C]:
    """The plugin at its defaults, at its small variant, and one step away from that: other words,
    other switches, and the ends 0 and 1 of closed ranges (except for data generators, whose worlds
    would have no signal)."""
    components = _sizes(cls)
    if not components:
        return
    first = components[-1]
    for f in dataclasses.fields(cls):
        for option in _options(cls, f):
            # a value that the plugin refuses together with its other parameters is no variant of it
            with contextlib.suppress(UsageError):
                components.append(varied(first, **{f.name: option}))
    if moved := in_motion(first):
        components.append(moved)
    yield from (c for i, c in enumerate(components) if c not in components[:i])


def in_motion(component: C) -> C | None:
    """The component with the parameters that its class names in ``moving``; None without them.

    A subclass does not inherit them, since its truth may be another one.
    """
    moving = vars(type(component)).get("moving")
    return varied(component, **moving) if moving else None


def _options(cls: type[Component], f: dataclasses.Field) -> Iterable[Any]:
    """Values that a parameter is varied over."""
    hint = type_hints(cls)[f.name]
    if not f.metadata.get("vary", True):
        return ()
    if hint is bool:
        return (True, False)
    if typing.get_origin(hint) is Literal:
        return typing.get_args(hint)
    if hint in (int, float) and not issubclass(cls, DataGenerator):
        ends = (f.metadata.get("ge"), f.metadata.get("le"))
        return [hint(end) for end in ends if end in (0, 1) and end is not None]
    return f.metadata.get("choices") or ()


def _sizes(cls: type[C]) -> list[C]:
    """Defaults and small variant, where they differ."""
    both = [None if hasattr(cls, "tiny") else _built(cls), small(cls)]
    return [c for i, c in enumerate(both) if c is not None and c not in both[:i]]


def varied(component: C, **parameters: Any) -> C:
    """The component with other values of these parameters."""
    return dataclasses.replace(component, **parameters)


def registered(registry: Registry, base: type[C]) -> list[type[C]]:
    """The registered classes of a role: DataGenerator, Model, Protocol or Mitigation."""
    role = next(role for role, (_, of_role) in KINDS.items() if of_role is base)
    return [cls for cls in registry.classes[role].values() if issubclass(cls, base)]


def name_of(component: Component) -> str:
    return str(written(component))


class Key:
    """A component or a cell as the key of a cache: equal where the classes and all parameters are.

    Components themselves may hold lists, which have no hash.
    """

    def __init__(self, component: Any):
        self.component = component
        whole = isinstance(component, Cell)
        values = vars(component).values() if whole else (component,)
        parts = [part for _, part in component.parts()] if whole else [component]
        self._key = (
            *((type(value), repr(value)) for value in values),
            *(file for part in parts for file in contents(part).values()),
        )

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self._key == other._key


# -- cells -----------------------------------------------------------------------------------------


class Lazy(Iterable):
    """The items of an iterator, worked out once and no further than anyone reads."""

    def __init__(self, items: Iterator[Any]):
        self._rest = items
        self._known: list[Any] = []

    def __iter__(self) -> Iterator[Any]:
        yield from self._known
        for i in itertools.count(len(self._known)):
            if i == len(self._known):  # nobody else has read on meanwhile
                try:
                    self._known.append(next(self._rest))
                except StopIteration:
                    return
            yield self._known[i]

    def __bool__(self) -> bool:
        return next(iter(self), None) is not None


def kinds_of_data(registry: Registry) -> list[str]:
    """The kinds of data for which there is a generator."""
    return list(dict.fromkeys(cls.kind for cls in registered(registry, DataGenerator)))


def cells_of(registry: Registry, thorough: bool = True, **parts: Any) -> Iterator[Cell]:
    """The cells of ``all_cells`` whose parts go together."""
    return filter(goes_together, all_cells(registry, thorough, **parts))


def goes_together(cell: Cell) -> bool:
    try:
        return cell.incompatibility() is None
    except UsageError:  # a broken incompatibility() is reported by a check of its own
        return False


def all_cells(
    registry: Registry,
    thorough: bool = True,
    kind: str | None = None,
    data: DataGenerator | None = None,
    model: Model | None = None,
    protocols: tuple[Protocol, ...] | None = None,
    mitigations: tuple[Mitigation, ...] = (),
    n: int = ROWS,
) -> Iterator[Cell]:
    """All cells with these parts, on data of one kind or of any; what is not given comes from the
    registry.

    Data come at their default and their small parameters, or, if not ``thorough``, at the small
    ones only.  The protocol is `replace` by default.  The first cells are cheap: models that train
    one chain per job come last.
    """
    if protocols is None:
        protocols = (registry.build("protocol", "replace"),)
    sizes = [_sizes(cls) for cls in registered(registry, DataGenerator)]
    sources = [data] if data else [d for both in sizes for d in (both if thorough else both[-1:])]
    models = [model] if model else [m for cls in registered(registry, Model) if (m := small(cls))]
    models.sort(key=lambda m: m.one_chain_per_job)
    for source, student, protocol in product(sources, models, protocols):
        if kind in (None, source.kind):
            yield Cell(source, student, protocol, mitigations, n=n, generations=2, seeds=(11, 12))


def cells_with(role: str, component: Component, registry: Registry) -> Iterator[Cell]:
    """All cells whose compatibility this plugin can be asked about, refused ones included."""
    given: dict[str, dict[str, Any]] = {
        "generator": {"data": component},
        "model": {"model": component},
        "protocol": {"protocols": (component,)},
        "mitigation": {"mitigations": (component,)},
    }
    return all_cells(registry, **given[role])


# -- chains ----------------------------------------------------------------------------------------


def stream_of(chain_shape: tuple[int, ...]) -> Stream:
    """Seeds 11, 12, ...: the first chain of every shape is the same one."""
    return Stream(11 + np.arange(math.prod(chain_shape)).reshape(chain_shape))


def access_at_0(
    generator: DataGenerator, chain_shape: tuple[int, ...]
) -> tuple[DataGenerator, Access]:
    """The generator with its truth drawn, and the access of generation 0."""
    rng = stream_of(chain_shape)
    data = generator.sample_truth(rng.at("truth"))
    return data, Desk(data, data, 0, ROWS, rng, Ledger()).access(PROTOCOL)


def probe_of(data: DataGenerator, chain_shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Stream]:
    """Questions, the generator's answers, and a stream to answer with."""
    rng = stream_of(chain_shape).at("probe")
    x = data.ask(ROWS, rng.at("x"))
    return x, data.answer(x, rng.at("y")), rng
