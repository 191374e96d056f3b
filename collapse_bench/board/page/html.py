"""The page as HTML: one file that needs no network, and shows everything without a script."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ...display import visible
from . import charts
from .history import History
from .model import Page, Row
from .svg import Styles

_HERE = Path(__file__).parent / "templates"
#: what the panels of costs show: attribute of a point, title
COSTS = (
    ("real", "real rows that it draws, as a multiple of all rows read"),
    ("verifier", "its verifier calls in a chain"),
    ("cost", "fits or generated rows, as a multiple of none"),
)
_MINUS = re.compile(r"(?<![\w.)\]-])-(?=\.?\d)")
_CODE = re.compile("``([^`]+)``|`([^`]+)`")
_ZERO = re.compile(r"(?<![\w.])[+-](0\.0+)(?![\d])")


@cache
def _environment() -> Environment:
    """Templates that escape everything; names and texts of plugins become visible first."""

    def shown(value: Any) -> Any:
        markup = hasattr(value, "__html__")  # of the templates themselves
        return visible(value) if isinstance(value, str) and not markup else value

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    environment.filters["minus"] = _minus
    environment.filters["coded"] = _coded
    return environment


def page_html(page: Page, history: History | None = None) -> str:
    """The whole page."""
    script = _short((_HERE / "page.js").read_text(encoding="utf-8"))
    pictures = Styles()
    drawn = {
        task.name: charts.curves(task, f"c{i}", page.focus, page.controls)
        for i, task in enumerate(page.tasks)
        if task.curves
    }
    parts = {
        "tiers": [pictures.classed(_tiers(page, narrow)) for narrow in (False, True)],
        "costs": [
            (what, pictures.classed(charts.cost(page.points, what, f"cost-{what}", label)))
            for what, label in COSTS
            if any((getattr(point, what) or 0) > 0 for point in page.points)
        ],
        "curves": {name: (pictures.classed(svg), keys) for name, (svg, keys) in drawn.items()},
    }
    style = _short((_HERE / "page.css").read_text(encoding="utf-8") + pictures.sheet)
    text = (
        _environment()
        .get_template("page.html")
        .render(
            page=page,
            history=history,
            style=style,
            script=script,
            # only this script and this sheet are used, whatever a name on the page holds
            script_digest=_digest(script),
            style_digest=_digest(style),
            made=_now(),
            bar=lambda row: _bar(row, page.bounds),
            at=lambda value: _at(value, page.bounds),
            shade=_shade,
            families=_spans(page),
            several=any(row.of for row in page.rows),
            seen=[row for row in page.main_rows if row.name in page.heat],
            shares=_shares(page.main_rows),
            **parts,
        )
    )
    return f"{_short(text)}\n"


def _coded(text: object) -> Markup:
    """A sentence whose names in backticks are code."""
    return Markup(_CODE.sub(r"<code>\1\2</code>", str(escape(visible(text)))))


def _digest(text: str) -> str:
    """The hash of a script or a sheet, as a policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _short(text: str) -> str:
    """The lines without their indents and without empty ones."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def _minus(text: object) -> str:
    """Numbers with a minus sign, and without a sign where they round to 0."""
    plain = _ZERO.sub(r"\1", str(text))
    return _MINUS.sub("\N{MINUS SIGN}", plain)


def _tiers(page: Page, narrow: bool) -> str:
    rows = page.ranked_rows
    return charts.tiers(rows, page.lines, narrow) if rows else ""


def _spans(page: Page) -> list[tuple[str, int]]:
    """The families of the map, each with its number of columns."""
    count = Counter(family for family, _ in page.heat_columns)
    return list(count.items())


def _now() -> str:
    """When the page was made; ``SOURCE_DATE_EPOCH`` replaces the clock."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    when = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else datetime.now(UTC)
    return when.strftime("%Y-%m-%d %H:%M UTC")


def _at(value: float, bounds: tuple[float, float]) -> str:
    """The place of a score on the axis of the table, in per cent; controls can be beyond its
    ends."""
    low, high = bounds
    return f"{100 * (min(max(value, low), high) - low) / (high - low):.1f}"


def _bar(row: Row, bounds: tuple[float, float]) -> dict[str, str] | None:
    """Left end, width and center of the interval of a row, in per cent of the axis."""
    if row.score is None:
        return None
    low = row.score if row.low is None else row.low
    high = row.score if row.high is None else row.high
    left, right = float(_at(low, bounds)), float(_at(high, bounds))
    return {
        "left": f"{left:.1f}",
        "width": f"{max(right - left, 0.4):.1f}",
        "at": _at(row.score, bounds),
    }


def _shade(score: float) -> str:
    """The class of a cell of the map: sign and one of four strengths."""
    strength = min(int(abs(score) * 4), 3)
    return f"{'p' if score >= 0 else 'n'}{strength}"


def _shares(rows: Sequence[Row]) -> list[int]:
    """Shares of coverage that a reader can ask for, in per cent."""
    return [share for share in (25, 50, 67, 90) if any(100 * row.coverage < share for row in rows)]
