"""Show text that others wrote: titles, docstrings, labels, parameters, messages of exceptions.

Such text may hold control characters that move the cursor, characters that hide or reorder others,
markup of a web page, or formulas of a spreadsheet.  Each kind of output has one function here, and
whatever shows foreign text calls it.
"""

from __future__ import annotations

import json
import re
import shlex
import unicodedata
from collections.abc import Collection, Iterable
from html import escape
from typing import Any

#: controls, formats (bidirectional, zero-width), surrogates, unassigned, line and paragraph ends
_HIDDEN = {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"}
#: characters of other categories that take no room: joiners, fillers, selectors of variants
_EMPTY = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
#: a spreadsheet takes a cell that begins with one of these for a formula
_FORMULA = tuple("=+-@\t\r\uff1d\uff0b\uff0d\uff20")
#: an ampersand that begins an entity
_ENTITY = re.compile(r"&(?=[#\w])")
#: the end of the text of a link or of a definition, unless the link is to http or https
_LINK = re.compile(r"(\\*)\](?=\((?!\s*https?://)|[:\[])", re.IGNORECASE)
MOST = 2000  # characters of a message; more is cut


def visible(text: object, most: int | None = None) -> str:
    """The text in one line, with every character that cannot be seen as an escape.

    A text of more than ``most`` characters is cut in the middle.
    """
    try:
        raw = str(text)
    except Exception as problem:  # of a plugin
        why = f"its __str__ raised {type(problem).__name__}"
        raw = f"{type(text).__name__} without a text, since {why}"
    if most is not None and len(raw) > most:
        half = max(most - 24, 2) // 2
        raw = f"{raw[:half]} [... {len(raw) - 2 * half} more ...] {raw[-half:]}"
    return raw if raw.isascii() and raw.isprintable() else "".join(map(_seen, raw))


def shortened(text: str, room: int) -> str:
    """The text in so many characters; an ellipsis stands for what is cut from its middle."""
    if len(text) <= room:
        return text
    end = (room - 1) // 2
    return f"{text[: room - 1 - end]}\u2026{text[len(text) - end :]}"


def visible_lines(text: object) -> str:
    """The text with its own lines, for documentation; each line as ``visible`` shows it."""
    return "\n".join(visible(line) for line in str(text).expandtabs().split("\n"))


def _seen(letter: str) -> str:
    if letter.isascii() and letter.isprintable():
        return letter
    if unicodedata.category(letter) not in _HIDDEN and not _EMPTY.match(letter):
        return letter
    code = ord(letter)
    escape = f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    return _SHORT.get(letter) or (escape if code < 65536 else f"\\U{code:08x}")


def markdown(text: object) -> str:
    """The text for markdown: no HTML, no picture, and links to http(s) only."""
    shown = _ENTITY.sub("&amp;", visible(text)).replace("<", "&lt;")
    # a picture is loaded when the page is shown, and so tells its server who reads it
    return _LINK.sub(_closed, shown.replace("![", "!\\["))


def _closed(bracket: re.Match[str]) -> str:
    """A bracket that ends no link: behind an odd number of backslashes."""
    return bracket[0] if len(bracket[1]) % 2 else f"{bracket[1]}\\]"


def html(text: object) -> str:
    """The text for a web page: markup in it is shown, not obeyed."""
    return escape(visible(text), quote=True)


def html_table(
    headings: Iterable[object], rows: Iterable[Iterable[object]], left: Collection[str] = ()
) -> str:
    """A table for a web page, with every cell as ``html`` shows it.

    Columns named in ``left`` are aligned left, the others right.
    """
    names = [str(name) for name in headings]
    sides = ["left" if name in left else "right" for name in names]

    def row(cells: Iterable[object], tag: str) -> str:
        return "<tr>{}</tr>".format(
            "".join(
                f'<{tag} style="text-align: {side}">{html(cell)}</{tag}>'
                for side, cell in zip(sides, cells, strict=True)
            )
        )

    body = "".join(row(cells, "td") for cells in rows)
    return f"<table><thead>{row(names, 'th')}</thead><tbody>{body}</tbody></table>"


def code(text: object) -> str:
    """The text between backticks, as markdown shows code."""
    shown = visible(text)
    ticks = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    return f"{ticks} {shown} {ticks}" if "`" in shown else f"`{shown}`"


def spreadsheet(text: object) -> str:
    """The text for a cell of CSV; what a spreadsheet would take for a formula gets a quote."""
    raw = str(text)
    return f"'{visible(raw)}" if raw.startswith(_FORMULA) else visible(raw)


def plain_math(text: object) -> str:
    """The text for a picture; matplotlib would read text between dollars as a formula."""
    return visible(text).replace("$", r"\$")


def json_text(value: Any) -> str:
    """The value as JSON in ASCII, so that a terminal can show it and a program gets it exactly."""
    return json.dumps(value, indent=1, default=str).replace("\x7f", "\\u007f")


def shell(words: Iterable[str]) -> str:
    """A command that can be typed: words that hold characters which cannot be seen as `$'...'`."""
    return " ".join(map(_shell_word, words))


def _shell_word(word: str) -> str:
    if visible(word) == word:
        return shlex.quote(word)
    raw = word.encode("utf-8", "surrogateescape")
    plain = "".join(chr(b) if 32 < b < 127 and b not in b"'\\" else f"\\x{b:02x}" for b in raw)
    return f"$'{plain}'"
