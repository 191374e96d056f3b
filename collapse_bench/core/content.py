"""The content of the files that components read: what ids hash, and readers that compare.

The id of a cell hashes the content of every ``Path`` in the parameters of its components.  The
files are read later, perhaps in another process.  Whoever reads them compares their content with
the one in the id, and caches what was read under the content, never under the path.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from ..errors import DataChanged, UsageError, UserError
from ..files import Content, changed_files, content
from ..foreign.calls import Broke, contained, described, shown

if TYPE_CHECKING:
    from .components import Component

Given = TypeVar("Given", bound="Component")
Rest = ParamSpec("Rest")
Result = TypeVar("Result")


def contents(component: Component) -> Mapping[str, Content]:
    """Place -> content of every ``Path`` in the parameters of a component, at any depth.

    It is found once for each object, when the id is made, and travels with the object.  A place
    names the parameter and the index of an item: ``source``, ``tutors[1].path``.  Raises UsageError
    for a path that cannot be read.
    """
    if "_contents" not in vars(component):
        vars(component)["_contents"] = _contents(component, contents)
    found: Mapping[str, Content] = vars(component)["_contents"]
    return found


def _contents_now(component: Component) -> dict[str, Content]:
    return _contents(component, _contents_now)


def _contents(
    component: Component, of_nested: Callable[[Component], Mapping[str, Content]]
) -> dict[str, Content]:
    def found(parameter: str, place: str, value: Any) -> Iterator[tuple[str, Content]]:
        if isinstance(value, Path):
            yield place, content(value, _files_read(component, parameter, value))
        elif hasattr(type(value), "files_read"):  # a component
            yield from ((f"{place}.{p}", c) for p, c in of_nested(value).items())
        elif isinstance(value, (tuple, list)):
            for i, item in enumerate(value):
                yield from found(parameter, f"{place}[{i}]", item)

    return {
        place: inside
        for f in dataclasses.fields(component)
        for place, inside in found(f.name, f.name, getattr(component, f.name))
    }


def _files_read(component: Component, parameter: str, path: Path) -> tuple[str, ...] | None:
    """What ``files_read`` of a component returns.  Raises UsageError where it fails."""
    named = f"{component.title()}.files_read"
    try:
        with contained() if type(component).file_digests else nullcontext():
            names = component.files_read(parameter, path)
            if names is None:
                return None
            found = [names] if isinstance(names, (str, bytes)) else [*names]
    except UserError:
        raise
    except Broke as broke:
        if isinstance(broke.problem, UserError):
            raise broke.problem from broke
        raise UsageError(f"{named} failed: {broke}") from broke
    except Exception as problem:
        raise UsageError(f"{named} failed: {described(problem)}") from problem
    if isinstance(names, (str, bytes)) or not all(isinstance(n, (str, Path)) for n in found):
        raise UsageError(
            f"{named} returned {shown(names)}; it must return None or a list of the names of the "
            "files that are read"
        )
    return tuple(map(str, found))


def compare(component: Component) -> None:
    """Raises DataChanged where a file does not hold the content that the id hashes."""
    then = contents(component)
    try:
        now = _contents_now(component) if then else {}
    except UsageError as problem:
        raise DataChanged(
            f"data changed during the run: {problem}; the records would be of other data than "
            "their ids say, so run again"
        ) from problem
    for place, was in then.items():
        if now[place].sha256 != was.sha256:
            raise DataChanged(
                f"{changed_files(was.path, was.files, now[place].files, ' during the run')}; "
                "the records would be of other data than their ids say, so run again"
            )


def same_files(component: Given, **changes: Any) -> Given:
    """The component with some other parameters; the files of the rest keep their content."""
    twin = dataclasses.replace(component, **changes)
    then = contents(component)
    if not {re.split(r"[.\[]", place)[0] for place in then} & set(changes):
        vars(twin)["_contents"] = then
    return twin


@contextmanager
def unchanged(component: Component) -> Iterator[None]:
    """Around the code that reads the files of a component.

    Raises DataChanged where they do not hold the content that the id hashes, before or after.
    """
    compare(component)
    try:
        yield
    except Exception:  # perhaps because the files changed
        compare(component)
        raise
    compare(component)


def cached_by_content(
    maxsize: int,
) -> Callable[
    [Callable[Concatenate[Given, Rest], Result]], Callable[Concatenate[Given, Rest], Result]
]:
    """``lru_cache`` for a function of a component, with the content of its files in the key.

    A function that reads the files reads them within ``unchanged``.
    """

    def decorate(
        function: Callable[Concatenate[Given, Rest], Result],
    ) -> Callable[Concatenate[Given, Rest], Result]:
        @lru_cache(maxsize=maxsize)
        def kept(component: Given, _: tuple[Content, ...], *rest: Any) -> Result:
            return function(component, *rest)  # type: ignore[call-arg]

        @functools.wraps(function)
        def cached(component: Given, *rest: Any) -> Result:
            return kept(component, tuple(contents(component).values()), *rest)

        return cached  # type: ignore[return-value]

    return decorate
