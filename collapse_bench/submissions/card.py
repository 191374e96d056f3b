"""The method card: what people say about a method, as a TOML file with a checked schema."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..core.tracks import TRACKS, joined_tracks
from ..errors import UsageError, UserError
from ..spec import parse_mitigations
from ..suggest import nearest

MOST_BYTES = 2**16
#: begins every value of a template that people must fill in
TO_FILL = "TODO"

Line = Annotated[str, Field(min_length=1, max_length=200)]
Optional = Annotated[str, Field(max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Author(_Strict):
    """One author, by the name that a board shows."""

    name: Line
    affiliation: Optional = ""


class Code(_Strict):
    """Where the code of the method is public: a repository at one commit."""

    repository: Annotated[str, Field(pattern=r"^https://\S{4,190}$")]
    commit: Annotated[str, Field(pattern="^[0-9a-f]{40}$")]


class Card(_Strict):
    """A method card.

    ``mitigation`` is the spec of the row, ``track`` the side information that the authors claim to
    use, ``external`` the models and data sets that the method brings.
    """

    mitigation: Line
    title: Line
    description: Annotated[str, Field(min_length=20, max_length=4000)]
    track: Line
    licence: Line
    authors: Annotated[tuple[Author, ...], Field(min_length=1, max_length=100, strict=False)]
    paper: Optional = ""
    code: Code | None = None
    external: Annotated[tuple[Line, ...], Field(max_length=100, strict=False)] = ()

    @field_validator("track")
    @classmethod
    def _known_track(cls, track: str) -> str:
        words = track.split("+")
        known = ["blind", *TRACKS.values()]
        for word in words:
            if word not in known:
                raise ValueError(f"{word!r} is no track{nearest(word, known)}")
        return joined_tracks(word for word in words if word != "blind")

    @field_validator("mitigation")
    @classmethod
    def _spec(cls, text: str) -> str:
        try:
            parse_mitigations(text)
        except UserError as problem:
            raise ValueError(str(problem)) from problem
        return text


def read_card(content: bytes, where: str = "the card") -> Card:
    """The card in a TOML file.

    Raises UsageError with one sentence: it is no TOML, a key is unknown, missing or of a wrong
    form, or it is still to be filled in.
    """
    try:
        if len(content) > MOST_BYTES:
            raise ValueError(f"it has {len(content)} bytes, at most {MOST_BYTES} are read")
        raw = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as problem:
        raise UsageError(f"{where} cannot be read as TOML: {problem}; correct it there") from None
    for place, value in _texts(raw):
        if value.startswith(TO_FILL):
            raise UsageError(f"{where}: {place} is still to be filled in")
    try:
        return Card.model_validate(raw)
    except ValidationError as problem:
        raise UsageError(f"{where}: {_fault(problem)}") from None


def template(known: Mapping[str, str]) -> str:
    """The text of a card with what is known about a method; the rest is marked ``TODO``.

    known: mitigation, track, and what else is known.
    """

    def line(key: str, otherwise: str, comment: str) -> str:
        value = known.get(key, f"{TO_FILL} {otherwise}")
        return f"{key} = {json.dumps(value, ensure_ascii=False)}  # {comment}"

    return "\n".join(
        [
            "# A method card.  Fill in what begins with TODO, and leave out what is optional.",
            line("mitigation", "", "the spec of the row"),
            line("title", "a name for people", "one line"),
            line("description", "what it does, in 20 to 4000 characters", "plain text"),
            line("track", "", "the side information that it uses, as the ledger shows it"),
            line("licence", "e.g. Apache-2.0", "of the plugin's code"),
            'paper = ""  # optional: a DOI, an arXiv number or a link',
            "external = []  # models and data sets that the method brings",
            "",
            "[[authors]]",
            f'name = "{TO_FILL} your name"',
            'affiliation = ""  # optional',
            "",
            "# optional: where the code is public",
            "# [code]",
            '# repository = "https://..."',
            '# commit = "40 hex digits"',
            "",
        ]
    )


def _texts(value: Any, place: str = "") -> Iterable[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _texts(item, f"{place}[{i}]")
    elif isinstance(value, str):
        yield place, value


def _fault(problem: ValidationError) -> str:
    """The first fault of a card in one sentence."""
    faults = problem.errors()
    # a misspelt key is also a missing one
    fault = next((one for one in faults if one["type"] == "extra_forbidden"), faults[0])
    *place, key = fault["loc"] or ("the card",)
    where = f" in {'.'.join(map(str, place))}" if place else ""
    if fault["type"] == "extra_forbidden":
        return f"unknown key {key!r}{where}{nearest(str(key), Card.model_fields)}"
    if fault["type"] == "missing":
        return f"the key {key!r} is missing{where}"
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg'].removeprefix('Value error, ')}"
