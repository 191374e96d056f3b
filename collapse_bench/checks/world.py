"""The small objects and cells on which plugins are checked."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import typing
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, Literal

import numpy as np
from torch import Tensor

from ..core.access import Access
from ..core.cell import Cell
from ..core.components import Component, DataGenerator, Mitigation, Model, Protocol
from ..core.desk import Desk
from ..core.identity import written
from ..core.ledger import Ledger
from ..core.params import type_hints
from ..core.rng import Stream
from ..core.tracks import PROTOCOL
from ..errors import Incompatible, UsageError
from ..registry.discovery import Registry

Check = Callable[[], None]


BATCHES = ((), (2,), (2, 3))  # replicate shapes that every plugin must bear


ROWS = 40


MANY = (200,)  # chains where two laws are compared


_SMALL = {"d": 2, "K": 20}  # dimension and alphabet of the small variant of a data generator


JUNK = 100.0  # added to the answers of rows that must not count


MOMENTS = ("steer", "curate", "adapt", "size")  # of a mitigation


def small(cls: type[Component]) -> Component | None:
    """The plugin at parameters that cost little; None where a parameter has no default and no ``tiny`` is stated."""
    names = {f.name for f in dataclasses.fields(cls)}
    tiny = getattr(cls, "tiny", None) or {
        name: value for name, value in _SMALL.items() if name in names
    }
    return _built(cls, **tiny) or _built(cls)


def _built(cls: type[Component], **parameters: Any) -> Component | None:
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


def variants(cls: type[Component]) -> Iterator[Component]:
    """The plugin at its defaults, at its small variant, and one step from that: other words, other switches, and
    (off data generators, where they make worlds without a signal) the ends 0 and 1 of closed ranges."""
    found = _sizes(cls)
    if not found:
        return
    first = found[-1]
    for f in dataclasses.fields(cls):
        if not f.metadata.get("vary", True):
            continue
        hint = type_hints(cls)[f.name]
        options = (
            typing.get_args(hint)
            if typing.get_origin(hint) is Literal
            else f.metadata.get("choices") or ()
        )
        if hint in (int, float) and not issubclass(cls, DataGenerator):
            ends = (f.metadata.get("ge"), f.metadata.get("le"))
            options = [hint(end) for end in ends if end in (0, 1) and end is not None]
        for option in (True, False) if hint is bool else options:
            with contextlib.suppress(
                UsageError
            ):  # what a plugin refuses beside the others is no variant of it
                found.append(dataclasses.replace(first, **{f.name: option}))
    yield from (noun for i, noun in enumerate(found) if noun not in found[:i])


def _sizes(cls: type[Component]) -> list[Component]:
    """Defaults and small variant, where they differ."""
    both = [None if hasattr(cls, "tiny") else _built(cls), small(cls)]
    return [noun for i, noun in enumerate(both) if noun is not None and noun not in both[:i]]


def name_of(noun: Component) -> str:
    return str(written(noun))


def cells_of(
    among: Registry,
    data: DataGenerator | None = None,
    model: Model | None = None,
    protocols: tuple[Protocol, ...] | None = None,
    mitigations: tuple[Mitigation, ...] = (),
    n: int = ROWS,
) -> Iterator[Cell]:
    """All cells that fit; what is not given comes from the registry, the protocol being `replace`."""
    return filter(goes_together, _all_cells(among, data, model, protocols, mitigations, n))


def goes_together(cell: Cell) -> bool:
    try:
        return cell.incompatibility() is None
    except UsageError:  # a part says neither yes nor why not, which a check of its own tells
        return False


def _all_cells(
    among: Registry,
    data: DataGenerator | None = None,
    model: Model | None = None,
    protocols: tuple[Protocol, ...] | None = None,
    mitigations: tuple[Mitigation, ...] = (),
    n: int = ROWS,
) -> Iterator[Cell]:
    """Likewise, those that do not fit included."""
    if protocols is None:
        protocols = (among.build("protocol", "replace"),)
    sources = (
        [data] if data else [d for cls in among.classes["generator"].values() for d in _sizes(cls)]
    )
    models = (
        [model] if model else [m for cls in among.classes["model"].values() if (m := small(cls))]
    )
    models.sort(
        key=lambda m: m.one_chain_per_job
    )  # the first of a kind is tried first: none that is long at work
    for source, student, protocol in product(sources, models, protocols):
        yield Cell(source, student, protocol, mitigations, n=n, generations=2, seeds=(11, 12))


def cells_with(kind: str, noun: Component, among: Registry) -> Iterator[Cell]:
    """All cells that this plugin could be asked about, those that do not fit included."""
    given = {
        "generator": {"data": noun},
        "model": {"model": noun},
        "protocol": {"protocols": (noun,)},
        "mitigation": {"mitigations": (noun,)},
    }
    return _all_cells(among, **given[kind])


def per_kind(cells: Iterator[Cell]) -> Iterator[tuple[str, list[Cell]]]:
    """Candidates by kind of data, each kind under its name."""
    by_kind: dict[str, list[Cell]] = {}
    for cell in cells:
        by_kind.setdefault(cell.data.kind, []).append(cell)
    yield from by_kind.items()


def on_first(cells: list[Cell], body: Callable[[Cell], None]) -> None:
    """The check on the first candidate that does not refuse."""
    reason = None
    for cell in cells:
        try:
            return body(cell)
        except Incompatible as refusal:
            reason = reason or refusal
    raise reason or Incompatible("no registered plugins go together with this one")


def stream_of(chain_shape: tuple[int, ...]) -> Stream:
    """Seeds 11, 12, ...: the first replicate of every shape is the same one."""
    return Stream(11 + np.arange(math.prod(chain_shape)).reshape(chain_shape))


def desk(generator: DataGenerator, chain_shape: tuple[int, ...]) -> tuple[DataGenerator, Access]:
    """Nature with its truth drawn, and the access of generation 0."""
    rng = stream_of(chain_shape)
    data = generator.sample_truth(rng.at("truth"))
    return data, Desk(data, data, 0, ROWS, rng, Ledger()).access(PROTOCOL)


def probe_of(data: DataGenerator, chain_shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Stream]:
    """Questions, nature's answers, and a stream to answer with."""
    rng = stream_of(chain_shape).at("probe")
    x = data.ask(ROWS, rng.at("x"))
    return x, data.answer(x, rng.at("y")), rng
