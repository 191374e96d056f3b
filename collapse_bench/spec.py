"""The spec language.

An example: `linear(d=20) | ridge(lam=0.1) | mix(real=0.1) | distrust @ n=100 T=10`.

This module turns text into a syntax tree and back; it knows no plugin.  Bare words are
`[A-Za-z_][\\w.-]*`; paths, hub ids and anything else go in JSON quotes.  Values are numbers, true,
false, null, words, strings, lists and nested specs.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import NoReturn

from .errors import UsageError

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
  | (?P<word>[A-Za-z_][\w.-]*)
  | (?P<string>"(?:[^"\\]|\\.)*")
  | (?P<mark>[|()@=,+\[\]])
)""",
    re.VERBOSE,
)
DEEPEST = 50  # levels of nested brackets; the reader is recursive
_WORD = re.compile(r"[A-Za-z_][\w.-]*\Z", re.ASCII)
_CONSTANTS = {"true": True, "false": False, "null": None}


@dataclass(frozen=True)
class Call:
    """A name with parameters, `ridge(lam=0.1)`; a bare word has no parameters."""

    name: str
    args: tuple[tuple[str, Value], ...] = ()

    def __str__(self) -> str:
        inner = ", ".join(f"{key}={show(value)}" for key, value in self.args)
        return f"{self.name}({inner})" if inner else self.name


Value = None | bool | int | float | str | tuple | Call


@dataclass(frozen=True)
class CellSpec:
    """A cell as it is written: data | model | protocol | mitigations @ settings."""

    data: Call
    model: Call
    protocol: Call
    mitigations: tuple[Call, ...] = ()
    settings: tuple[tuple[str, Value], ...] = ()

    def __str__(self) -> str:
        sections = [str(self.data), str(self.model), str(self.protocol)]
        if self.mitigations:
            sections.append(" + ".join(map(str, self.mitigations)))
        text = " | ".join(sections)
        if self.settings:
            text += " @ " + " ".join(f"{key}={show(value)}" for key, value in self.settings)
        return text


def show(value: Value) -> str:
    """A value as it is written in a spec."""
    if isinstance(value, Call):
        return str(value)
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(show, value)) + "]"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)


def is_word(text: str) -> bool:
    """Whether a string can be written without quotes."""
    return bool(_WORD.match(text)) and text not in _CONSTANTS


class _Reader:
    def __init__(self, text: str):
        self.text, self.tokens, at, depth = text, [], 0, 0
        text = text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if not match:
                self._fail(at, "{near} cannot be read")
            kind = match.lastgroup or ""  # the pattern has no other part
            self.tokens.append((kind, match.group(kind), match.start(kind)))
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(self.tokens[-1][1], 0)
            if depth > DEEPEST:
                self._fail(at, f"{{near}} is nested more than {DEEPEST} levels deep")
            at = match.end()
        self.i = 0

    def _fail(self, at: int, why: str, near: str = "") -> NoReturn:
        near = near or self.text[at : at + 20].strip() or "the end of the spec"
        raise UsageError(
            f"spec {self.text!r}: {why.format(near=repr(near))} (position {at}); a spec reads "
            "'data | model | protocol | mitigation + mitigation @ n=100 T=10', and anything but "
            "words, numbers and "
            "lists goes in double quotes"
        )

    def peek(self) -> str | None:
        return (
            self.tokens[self.i][1]
            if self.i < len(self.tokens) and self.tokens[self.i][0] == "mark"
            else None
        )

    @property
    def done(self) -> bool:
        return self.i >= len(self.tokens)

    def fail(self, why: str, near: str = "") -> NoReturn:
        self._fail(self.tokens[self.i][2] if not self.done else len(self.text), why, near)

    def take(self, mark: str) -> bool:
        if self.peek() == mark:
            self.i += 1
            return True
        return False

    def need(self, mark: str) -> None:
        if not self.take(mark):
            self.fail(f"expected {mark!r} before {{near}}")

    def _next(self, end: str) -> None:
        """The comma before the next item of a list that ``end`` closes."""
        if self.done or self.peek() in ("|", "@", "+"):
            self.fail(f"missing {end!r} before {{near}}")
        self.need(",")

    def word(self) -> str:
        if self.done or self.tokens[self.i][0] != "word":
            self.fail("expected a name before {near}")
        self.i += 1
        return self.tokens[self.i - 1][1]

    def call(self) -> Call:
        name = self.word()
        if name in _CONSTANTS:
            self.i -= 1
            self.fail("{near} is a value, not a name")
        args: list[tuple[str, Value]] = []
        if self.take("("):
            while not self.take(")"):
                if args:
                    self._next(")")
                key = self.word()
                if key in dict(args):
                    self.i -= 1
                    self.fail("{near} is given twice", key)
                self.need("=")
                args.append((key, self.argument(key)))
        return Call(name, tuple(args))

    def argument(self, key: str) -> Value:
        """What follows the "=" of a parameter."""
        return self.value()

    def value(self) -> Value:
        if self.done:
            self.fail("expected a value before {near}")
        kind, text, _ = self.tokens[self.i]
        if kind == "number":
            self.i += 1
            try:
                return int(text) if len(text) < 300 else float(text)
            except ValueError:
                return float(text)
        if kind == "string":
            self.i += 1
            try:
                plain: str = json.loads(text)
                plain.encode()
            except json.JSONDecodeError:
                self.i -= 1
                self.fail("{near} is not a JSON string")
            except UnicodeEncodeError:
                self.i -= 1
                self.fail("{near} holds half of a surrogate pair, which no file can store")
            return plain
        if kind == "word":
            if text in _CONSTANTS:
                self.i += 1
                return _CONSTANTS[text]
            return self.call()
        if self.take("["):
            items: list[Value] = []
            while not self.take("]"):
                if items:
                    self._next("]")
                items.append(self.value())
            return tuple(items)
        return self.fail("expected a value before {near}")


@dataclass(frozen=True)
class Swept:
    """A parameter with several values in a composition."""

    call: int  # the place of its component in the composition
    key: str
    values: tuple[Value, ...]


class _SweepReader(_Reader):
    """Reads compositions in which parameters have several values, `fading(rate=0.1,0.2, k=1)`."""

    def __init__(self, text: str):
        super().__init__(text)
        self.swept: list[Swept] = []
        self.at = 0  # the component that is read
        self.depth = 0

    def call(self) -> Call:
        self.depth += 1
        try:
            return super().call()
        finally:
            self.depth -= 1
            self.at += self.depth == 0

    def argument(self, key: str) -> Value:
        """The first value; several values of one key are noted."""
        values = [self.value()]
        while self.depth == 1 and self._more():
            self.need(",")
            values.append(self.value())
        different = tuple(dict.fromkeys(values))
        if len(different) > 1:
            self.swept.append(Swept(self.at, key, different))
        return values[0]

    def _more(self) -> bool:
        """Whether a comma and another value follow, not the next parameter."""
        following = self.tokens[self.i + 1 : self.i + 3]
        named = [kind for kind, _, _ in following[:1]] == ["word"] and [
            text for _, text, _ in following[1:]
        ] == ["="]
        return self.peek() == "," and not named and bool(following)


def parse_sweep(text: str) -> tuple[tuple[Call, ...], tuple[Swept, ...]]:
    """A composition with the first value of each parameter, and the parameters with several."""
    reader = _SweepReader(text)
    calls = [reader.call()]
    while reader.take("+"):
        calls.append(reader.call())
    if not reader.done:
        reader.fail("unexpected text {near} after the spec")
    return tuple(calls), tuple(reader.swept)


def parse_call(text: str) -> Call:
    """One component, `ridge(lam=0.1)`."""
    reader = _Reader(text)
    call = reader.call()
    if not reader.done:
        reader.fail("unexpected text {near} after the spec")
    return call


def parse_mitigations(text: str) -> tuple[Call, ...]:
    """A composition, `token-edit + truncated-ce`."""
    reader = _Reader(text)
    calls = [reader.call()]
    while reader.take("+"):
        calls.append(reader.call())
    if not reader.done:
        reader.fail("unexpected text {near} after the spec")
    return tuple(calls)


def parse_cell(text: str) -> CellSpec:
    """A whole cell; protocol, mitigations and settings may be left out."""
    reader = _Reader(text)
    sections: list[list[Call]] = [[reader.call()]]
    settings: list[tuple[str, Value]] = []
    while not reader.done:
        if reader.take("|"):
            sections.append([reader.call()])
        elif len(sections) == 4 and reader.take("+"):
            sections[-1].append(reader.call())
        elif reader.take("@"):
            while not reader.done:
                key = reader.word()
                if key in dict(settings):
                    reader.i -= 1
                    reader.fail("{near} is given twice", key)
                reader.need("=")
                settings.append((key, reader.value()))
        else:
            reader.fail("unexpected {near}")
    if not 2 <= len(sections) <= 4:
        raise UsageError(
            f"spec {text!r} has {len(sections)} section(s); a spec reads 'data | model | protocol "
            f"| mitigations @ n=100 T=10' "
            "and needs at least data and model"
        )
    data, model, *rest = [section[0] for section in sections]
    protocol = rest[0] if rest else Call("replace")
    mitigations = tuple(sections[3]) if len(sections) == 4 else ()
    return CellSpec(data, model, protocol, mitigations, tuple(settings))
