"""The method card: what people say about a method, as a TOML file with a checked schema."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..core.tracks import TRACKS, joined_tracks
from ..errors import UsageError, UserError
from ..spec import parse_mitigations
from ..suggest import nearest

MOST_BYTES = 2**16
#: begins every value of a template that people must fill in
TO_FILL = "TODO"

MOST_FAULTS = 10  # of a card that are listed
MOST_LINE = 200  # characters of a line
SHORTEST, LONGEST = 20, 4000  # characters of a description
KNOWN_TRACKS = ("blind", *TRACKS.values())
#: key -> what its text must be
FORMS = {
    "repository": "the address of a repository that begins with https://",
    "commit": "a commit as 40 hex digits",
}

Line = Annotated[str, Field(min_length=1, max_length=MOST_LINE)]
Optional = Annotated[str, Field(max_length=MOST_LINE)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, str_strip_whitespace=True)


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
    description: Annotated[str, Field(min_length=SHORTEST, max_length=LONGEST)]
    track: Line
    licence: Line
    authors: Annotated[tuple[Author, ...], Field(min_length=1, max_length=100, strict=False)]
    paper: Optional = ""
    code: Code | None = None
    external: Annotated[tuple[Line, ...], Field(max_length=100, strict=False)] = ()

    @field_validator("track")
    @classmethod
    def _known_track(cls, track: str) -> str:
        for word in track.split("+"):
            if word not in KNOWN_TRACKS:
                raise ValueError(f"{word!r} is no track{nearest(word, KNOWN_TRACKS)}")
        return _joined(track)

    @field_validator("mitigation")
    @classmethod
    def _spec(cls, text: str) -> str:
        try:
            parse_mitigations(text)
        except UserError as problem:
            raise ValueError(str(problem)) from problem
        return text


def read_card(
    content: bytes, where: str = "the card", known: Mapping[str, str] | None = None
) -> Card:
    """The card in a TOML file.

    known: mitigation and track, where they are known; the card must say the same.  Raises
    UsageError with one sentence that names all faults: it is no TOML, a key is unknown, missing or
    of a wrong form, it is still to be filled in, or it says something else than what is known.
    """
    try:
        if len(content) > MOST_BYTES:
            raise ValueError(f"it has {len(content)} bytes, at most {MOST_BYTES} are read")
        raw = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as problem:
        raise UsageError(f"{where} cannot be read as TOML: {problem}; correct it there") from None
    card, faults = None, []
    if left := to_fill(raw):
        faults.append(f"{', '.join(left)} {'are' if left[1:] else 'is'} still to be filled in")
    try:
        card = Card.model_validate(raw)
    except ValidationError as problem:
        faults += _faults(problem, raw)
    faults += _others(raw, known or {})
    if card is None or faults:
        more = f"; and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
        raise UsageError(f"{where}: {'; '.join(faults[:MOST_FAULTS])}{more}")
    return card


def to_fill(raw: Mapping[str, Any]) -> list[str]:
    """The keys of a card that are still to be filled in, such as ``authors[0].name``."""
    return [place for place, value in _texts(raw) if value.startswith(TO_FILL)]


def template(known: Mapping[str, str]) -> str:
    """The text of a card with what is known about a method; the rest is marked ``TODO``.

    known: mitigation, track, and what else is known.  The comments say what each key must contain.
    """

    def line(key: str, otherwise: str, comment: str) -> str:
        value = known.get(key, f"{TO_FILL} {otherwise}")
        return f"# {comment}\n{key} = {json.dumps(value, ensure_ascii=False)}\n"

    tracks = ", ".join(KNOWN_TRACKS)
    one_line = f"1 to {MOST_LINE} characters"
    return "\n".join(
        [
            "# A method card.  Replace what begins with TODO; what is optional may be left out.",
            "",
            line("mitigation", "", f"the spec of the row; {one_line}"),
            line("title", "a name for people", f"a name for people; {one_line}"),
            line("description", "what it does", f"plain text; {SHORTEST} to {LONGEST} characters"),
            line("track", "", f"what it uses, as the ledger shows it: {tracks}; several with +"),
            line("licence", "e.g. Apache-2.0", f"of the plugin's code; {one_line}"),
            f"# optional: a DOI, an arXiv number or a link; at most {MOST_LINE} characters",
            'paper = ""\n',
            f"# optional: models and data sets that the method brings; each {one_line}",
            'external = []  # e.g. ["gpt2"]\n',
            "# one such table for each author; affiliation is optional",
            "[[authors]]",
            f'name = "{TO_FILL} your name"',
            'affiliation = ""',
            "",
            "# where the code is public; optional with a plugin file (--plugin)",
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


def _others(raw: Mapping[str, Any], known: Mapping[str, str]) -> Iterator[str]:
    """Where a card says something else than what is known of the row."""
    spec, track = raw.get("mitigation"), raw.get("track")
    if "mitigation" in known and isinstance(spec, str) and spec.strip() != known["mitigation"]:
        yield f"it is the card of {spec!r}, not of {known['mitigation']!r}"
    if "track" not in known or not isinstance(track, str) or track.startswith(TO_FILL):
        return
    if all(word in KNOWN_TRACKS for word in track.split("+")) and _joined(track) != known["track"]:
        yield (
            f"it claims the track {track}, and the ledger shows {known['track']}; write what the "
            "ledger shows"
        )


def _joined(track: str) -> str:
    """A track with its words in the order of the tracks."""
    return joined_tracks(word for word in track.split("+") if word != "blind")


def _faults(problem: ValidationError, raw: Mapping[str, Any]) -> list[str]:
    """The faults of a card, each as part of a sentence."""
    found = problem.errors()
    hints = [_hint(fault) for fault in found if fault["type"] == "extra_forbidden"]
    unfilled = set(to_fill(raw))
    return [
        _fault(fault)
        for fault in found
        # a misspelt key is also a missing one
        if not (fault["type"] == "missing" and any(repr(fault["loc"][-1]) in h for h in hints))
        and _place(fault["loc"]) not in unfilled
        and not (fault["type"] == "too_short" and fault["input"])  # its items have faults
    ]


def _hint(fault: Any) -> str:
    """The end of the sentence on an unknown key: which key may be meant."""
    *place, key = fault["loc"]
    inner: dict[str, type[_Strict]] = {"authors": Author, "code": Code}
    table = inner.get(str(place[0]), Card) if place else Card
    return nearest(str(key), table.model_fields)


def _place(keys: Iterable[str | int]) -> str:
    """A key within tables, such as ``authors[0].name``."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return text.removeprefix(".")


def _fault(fault: Any) -> str:
    *place, key = fault["loc"] or ("the card",)
    where = f" in {_place(place)}" if place else ""
    at = _place(fault["loc"])
    limits, value = fault.get("ctx", {}), fault["input"]
    match fault["type"]:
        case "extra_forbidden":
            return f"unknown key {key!r}{where}{_hint(fault)}"
        case "missing":
            return f"the key {key!r} is missing{where}"
        case "string_too_short":
            least = limits["min_length"]
            return f"{at} has {len(value.strip())} characters, at least {least} needed"
        case "string_too_long":
            most = limits["max_length"]
            return f"{at} has {len(value.strip())} characters, at most {most} allowed"
        case "string_type":
            return f"{at} must be a text in quotes"
        case "string_pattern_mismatch":
            return f"{at} must be {FORMS[str(key)]}"
        case "too_short":
            return f"{at} is empty"
    return f"{at}: {fault['msg'].removeprefix('Value error, ')}"
