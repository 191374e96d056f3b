"""Methods of a mitigation that look like one of its stages and are never called."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ..core.components import Mitigation

STAGES = ("steer", "curate", "adapt", "size")


def misspelt_stages(cls: type[Mitigation]) -> list[str]:
    """One sentence for each method whose name is close to a stage that the class lacks."""
    own = [base for base in cls.__mro__ if base not in Mitigation.__mro__]
    missing = [name for name in STAGES if getattr(cls, name) is getattr(Mitigation, name)]
    names = dict.fromkeys(
        name for base in own for name, what in vars(base).items() if callable(what)
    )
    return [
        f"{cls.__name__} defines {name}, which is never called; did you mean {close[0]!r}?"
        for name in names
        if (close := difflib.get_close_matches(name, missing, 1, 0.75))
    ]


def warnings_of(classes: Iterable[type]) -> list[str]:
    """The sentences of all mitigations that are not part of the suite."""
    return [
        sentence
        for cls in classes
        if issubclass(cls, Mitigation) and cls.file_digests
        for sentence in misspelt_stages(cls)
    ]
