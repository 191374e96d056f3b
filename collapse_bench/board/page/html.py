"""The page as HTML: one file that needs no network, and shows everything without a script."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ...display import visible
from . import charts
from .history import History
from .model import Page, Row

_HERE = Path(__file__).parent / "templates"
#: what the panels of costs show: attribute of a point, title
COSTS = (
    ("real", "real rows of its own, as a share of all rows"),
    ("verifier", "verifier calls of its own in a chain"),
    ("cost", "fits or generated rows, as a multiple of none"),
)


@cache
def _environment() -> Environment:
    """Templates that escape everything; names and texts of plugins become visible first."""

    def shown(value: Any) -> Any:
        markup = hasattr(value, "__html__")  # of the templates themselves
        return visible(value) if isinstance(value, str) and not markup else value

    return Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )


def page_html(page: Page, history: History | None = None) -> str:
    """The whole page."""
    script = _short((_HERE / "page.js").read_text(encoding="utf-8"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = (
        _environment()
        .get_template("page.html")
        .render(
            page=page,
            history=history,
            style=(_HERE / "page.css").read_text(encoding="utf-8"),
            script=script,
            # only this script may run, whatever a name on the page holds
            script_digest=f"sha256-{digest}",
            tiers=[_svg(page, narrow) for narrow in (False, True)],
            costs=[
                (what, charts.cost(page.points, what, f"cost-{what}", label))
                for what, label in COSTS
                if any((getattr(point, what) or 0) > 0 for point in page.points)
            ],
            curves={
                task.name: charts.curves(task, f"c{i}", page.drawn, page.controls)
                for i, task in enumerate(page.tasks)
                if task.curves
            },
            made=_now(),
            bar=lambda row: _bar(row, page.bounds),
            at=lambda value: _at(value, page.bounds),
            shade=_shade,
            seen=[row for row in page.rows if row.name in page.heat],
            shares=_shares(page.rows),
        )
    )
    return f"{_short(text)}\n"


def _short(text: str) -> str:
    """The lines without their indents and without empty ones."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def _svg(page: Page, narrow: bool) -> str:
    rows = page.ranked_rows
    return charts.tiers(rows, page.lines, narrow) if rows else ""


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
    """Left end, width and centre of the interval of a row, in per cent of the axis."""
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
