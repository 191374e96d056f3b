"""Write docs/architecture.svg: the folders of the package, and who imports whom, read from the
imports.

An arrow is an import.  One that follows from two others is left out, so that arrows join neighbours
only.  What a folder imports decides its floor; its place from left to right and its caption are
chosen here, in ``BOXES``.

    python docs/draw_architecture.py
"""

from __future__ import annotations

import sys
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from imports import ROOT, modules, own, place  # noqa: E402

PICTURE = HERE / "architecture.svg"


class Box(NamedTuple):
    x: float  # of the centre
    kind: str
    caption: str


#: folder, or file that may be imported by itself -> how it is drawn
BOXES = {
    "cli": Box(560, "harness", "the commands"),
    "api": Box(430, "harness", "run, results, board"),
    "submissions": Box(860, "harness", "one file, verified, merged"),
    "isolation": Box(860, "harness", "a plugin apart from the judge"),
    "checks": Box(720, "harness", "tests for any plugin"),
    "laws": Box(330, "harness", "the engine against theory"),
    "papers": Box(550, "harness", "figures, run and drawn"),
    "board": Box(296, "harness", "records to tables, curves"),
    "running": Box(560, "harness", "chains, jobs, workers"),
    "scoring": Box(132, "pure", "averted, tiers, intervals"),
    "suite": Box(520, "harness", "TOML to cells to a plan"),
    "registry": Box(620, "harness", "finds plugins, builds cells"),
    "plugins": Box(944, "plugin", "models, mitigations, ..."),
    "records": Box(296, "harness", "store, archive"),
    "laws.claims": Box(468, "contract", "a law to verify"),
    "registry.hookspecs": Box(643, "contract", "what plugins offer"),
    "papers.figure": Box(815, "contract", "a figure as data"),
    "lib": Box(978, "plugin", "what plugins share"),
    "core": Box(468, "core", "the loop, the components"),
    "theory": Box(760, "pure", "closed forms"),
    "spec": Box(468, "core", "the text of a cell"),
}
#: for an arrow that would run through a box: the x at which it passes the floors between
LANES = {
    ("checks", "registry"): 720,
    ("laws", "registry"): 425,
    ("board", "records"): 296,
    ("records", "core"): 330,
}
GROUND = (
    "display",
    "errors",
    "files",
    "foreign",
    "forms",
    "paths",
    "places",
    "status",
    "suggest",
    "extras",
)  # every folder may use these; drawn as one slab
ENDS = (("registry", 1), ("plugins", -1))  # of the dotted line; 1 is the right side of a box
HIDDEN = {"__init__", "__main__", "suites"}  # names, and data
COLOURS = {  # fill, edge
    "harness": ("#e3edf9", "#3f6fa8"),
    "core": ("#f9e2dc", "#b2523a"),
    "plugin": ("#e2f2e3", "#4b8a50"),
    "pure": ("#fbf1d4", "#a8852b"),
    "contract": ("#ffffff", "#8a8f98"),
}
LEGEND = {
    "core": "the algorithm",
    "harness": "the harness",
    "plugin": "plugins, found when a command runs",
    "pure": "mathematics only",
    "contract": "one file that plugins and the harness share",
}
WIDTH, MARGIN, FLOOR, HIGH = 1080, 26, 98, 50


# -- who imports whom


def node(module: str) -> str:
    """The box of a module: its folder, or the file where a rule names a file."""
    inner = module.removeprefix(f"{ROOT}.")
    return inner if inner in BOXES else place(module)


@cache
def graph() -> dict[str, set[str]]:
    """Box -> boxes that its modules import."""
    found: dict[str, set[str]] = {name: set() for name in BOXES}
    for module in modules():
        if node(module) in BOXES:
            found[node(module)] |= {node(target) for target in own(module)}
    return {name: (targets & set(BOXES)) - {name} for name, targets in found.items()}


@cache
def below(name: str) -> frozenset[str]:
    """All that a box imports, at once or by way of others."""
    return frozenset(graph()[name]).union(*map(below, graph()[name]))


@cache
def arrows() -> list[tuple[str, str]]:
    """The imports that do not follow from others, top down."""
    return [
        (name, target)
        for name in BOXES
        for target in sorted(graph()[name], key=lambda name: BOXES[name].x)
        if not any(target in below(other) for other in graph()[name])
    ]


@cache
def depth(name: str) -> int:
    return 1 + max((depth(target) for target in graph()[name]), default=-1)


@cache
def floor(name: str) -> int:
    """0 is the lowest.  A box is right below the lowest that imports it, or as high as it must be
    if none does."""
    importers = [other for other in BOXES if name in graph()[other]]
    return min(map(floor, importers)) - 1 if importers else depth(name)


# -- the drawing -----------------------------------------------------------------------------------


def width(name: str) -> float:
    longest = max(8.5 * len(name), 6.6 * len(BOXES[name].caption))
    return longest + 24


def top(name: str) -> float:
    return MARGIN + FLOOR * (max(map(floor, BOXES)) - floor(name))


def spread(name: str, ends: list[tuple[str, str]], side: int) -> dict[tuple[str, str], float]:
    """x of the ends of arrows along an edge of a box, in the order of where they come from or go
    to."""
    ordered = sorted(ends, key=lambda arrow: LANES.get(arrow, BOXES[arrow[side]].x))
    step = min(26, (width(name) - 30) / max(1, len(ordered) - 1))
    first = BOXES[name].x - step * (len(ordered) - 1) / 2
    return {arrow: first + step * i for i, arrow in enumerate(ordered)}


Point = tuple[float, float]
Curve = tuple[Point, Point, Point, Point]


@cache
def curves() -> dict[tuple[str, str], list[Curve]]:
    """Each arrow as cubic curves that begin and end upright."""
    begin, end = {}, {}
    for name in BOXES:
        begin |= spread(name, [arrow for arrow in arrows() if arrow[0] == name], 1)
        end |= spread(name, [arrow for arrow in arrows() if arrow[1] == name], 0)
    found = {}
    for arrow in arrows():
        start = (begin[arrow], top(arrow[0]) + HIGH)
        stop = (end[arrow], top(arrow[1]) - 5)
        stations = [start, stop]
        if arrow in LANES:
            upper = top(arrow[0]) + FLOOR - 4
            lower = top(arrow[1]) - FLOOR + HIGH + 4
            stations[1:1] = [(LANES[arrow], upper), (LANES[arrow], lower)]
        found[arrow] = [upright(*pair) for pair in pairwise(stations)]
    return found


def upright(start: Point, stop: Point) -> Curve:
    bend = (stop[1] - start[1]) * 0.5
    return start, (start[0], start[1] + bend), (stop[0], stop[1] - bend), stop


def hits() -> list[tuple[tuple[str, str], str]]:
    """Arrows that run through a box which is neither of their ends."""
    found = []
    for arrow, pieces in curves().items():
        points = [at(curve, i / 40) for curve in pieces for i in range(41)]
        for name in set(BOXES) - set(arrow):
            half = width(name) / 2 + 3
            if any(
                abs(x - BOXES[name].x) < half and -3 < y - top(name) < HIGH + 3 for x, y in points
            ):
                found.append((arrow, name))
    return found


def at(curve: Curve, u: float) -> Point:
    shares = ((1 - u) ** 3, 3 * (1 - u) ** 2 * u, 3 * (1 - u) * u**2, u**3)
    x, y = (
        sum(share * point[i] for share, point in zip(shares, curve, strict=True)) for i in (0, 1)
    )
    return x, y


def path(pieces: list[Curve]) -> str:
    (x, y), *_ = pieces[0]
    words = [f"M{x:.1f} {y:.1f}"]
    for _, *points in pieces:
        words.append("C" + " ".join(f"{x:.1f} {y:.1f}" for x, y in points))
    return "".join(words)


def text(x: float, y: float, words: str, look: str = "", anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {look}>{words}</text>'


def rectangle(x: float, y: float, w: float, h: float, kind: str, corner: int = 8) -> str:
    fill, edge = COLOURS[kind]
    dash = ' stroke-dasharray="4 3"' if kind == "contract" else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="{corner}" '
        f'fill="{fill}" '
        f'stroke="{edge}" stroke-width="1.4"{dash}/>'
    )


def box(name: str) -> str:
    x, kind, caption = BOXES[name]
    y = top(name)
    return "\n".join(
        [
            rectangle(x - width(name) / 2, y, width(name), HIGH, kind),
            text(x, y + 21, name, 'class="name"'),
            text(x, y + 38, caption, 'class="caption"'),
        ]
    )


def bands() -> str:
    """A stripe behind every other floor."""
    return "\n".join(
        f'<rect x="0" y="{MARGIN + FLOOR * row - (FLOOR - HIGH) / 2}" width="{WIDTH}" '
        f'height="{FLOOR}" '
        'fill="#f7f8fa"/>'
        for row in range(1, 1 + max(map(floor, BOXES)), 2)
    )


def discovery() -> str:
    """The way from the registry to the plugins, which is no import."""
    start, stop = (BOXES[name].x + side * width(name) / 2 for name, side in ENDS)
    y = top("registry") + HIGH / 2
    return "\n".join(
        [
            f'<path d="M{start + 3:.1f} {y:.1f}H{stop - 6:.1f}" fill="none" stroke="#4b8a50" '
            'stroke-width="1.4" stroke-dasharray="2 4" marker-end="url(#tip)"/>',
            text((start + stop) / 2, y - 6, "entry points", 'class="caption"'),
        ]
    )


def slab(y: float) -> str:
    """The ground: files that every folder may import."""
    about = "messages, nearest names, optional packages (used on every floor; arrows left out)"
    words = f"{', '.join(GROUND)}: {about}"
    return "\n".join(
        [
            f'<rect x="{MARGIN}" y="{y}" width="{WIDTH - 2 * MARGIN}" height="30" rx="6" '
            f'fill="#eceef1"/>',
            text(WIDTH / 2, y + 19, words, 'class="caption"'),
        ]
    )


def legend(y: float) -> str:
    found, x = [], float(MARGIN)
    for kind, words in LEGEND.items():
        found.append(rectangle(x, y, 16, 12, kind, 3))
        found.append(text(x + 22, y + 10, words, 'class="caption"', "start"))
        x += 22 + 6.5 * len(words) + 28
    return "\n".join(found)


def picture() -> str:
    ground = MARGIN + FLOOR * (1 + max(map(floor, BOXES))) - 8
    height = ground + 30 + 50
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" role="img">',
            "<title>The folders of collapse-bench and their imports</title>",
            "<style>"
            "text{fill:#22262b}"
            '.name{font:600 14px ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace}'
            '.caption{font:12px "Helvetica Neue",Helvetica,Arial,"DejaVu Sans",sans-serif;'
            "fill:#4a5058}"
            "</style>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 0.8L8 4L0 7.2z" '
            'fill="#6b727c"/></marker></defs>',
            f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#ffffff"/>',
            bands(),
            discovery(),
            *(
                f'<path d="{path(pieces)}" fill="none" stroke="#6b727c" stroke-width="1.3" '
                f'marker-end="url(#tip)"><title>{name} imports {target}</title></path>'
                for (name, target), pieces in curves().items()
            ),
            *(box(name) for name in BOXES),
            slab(ground),
            legend(ground + 50),
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    print(f"written: {PICTURE}")
