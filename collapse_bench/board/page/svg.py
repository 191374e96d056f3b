"""A figure as SVG inside a page: text stays text, and colours follow the page, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from ..curves import PAPER

_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_REFERENCE = re.compile(r"#([\w-]+)")
_STYLE = re.compile(r' style="([^"]*)"')
_DECIMALS = re.compile(r"(\d+\.\d)\d+")

#: each kind of line has a colour that no figure uses otherwise, and that becomes a CSS variable
SCREEN: Mapping[str, str] = {name: f"#0{i:x}fe{i:x}d" for i, name in enumerate(PAPER, 1)}
_VARIABLES = {colour: f"var(--{name})" for name, colour in SCREEN.items()}


def new_figure(width: float, height: float, margins: Mapping[str, float] | None = None) -> Any:
    """A figure of so many pixels of the page, without a background.

    margins: ends of its axes as shares of the figure; without them they are made to fit, which
    takes as long as drawing it.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 72, height / 72), layout=None if margins else "constrained")
    if margins:
        figure.subplots_adjust(**margins)
    return figure


def plain_axes(axis: Any, colours: Mapping[str, str], size: float = 7.5) -> None:
    """Text, lines and grid of an axis in the colours of the page, and no box around it.

    size: of its text, in pixels of the figure.
    """
    for side, spine in axis.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(colours["grid"])
    axis.tick_params(length=0, labelcolor=colours["muted"], labelsize=size, which="both")
    axis.minorticks_off()
    axis.grid(axis="y", color=colours["grid"], lw=0.5)
    axis.set_axisbelow(True)
    for label in (axis.xaxis.label, axis.yaxis.label, axis.title):
        label.set_color(colours["muted"])
        label.set_size(size)
    if axis.get_legend() is not None:
        for text in axis.get_legend().get_texts():
            text.set_color(colours["text"])


class Styles:
    """The styles of all pictures of a page, each with a class.

    A page whose policy names its style sheet by its hash takes no style in an element.
    """

    def __init__(self) -> None:
        self._classes: dict[str, str] = {}

    def classed(self, svg: str) -> str:
        """The picture with classes instead of styles."""

        def named(found: re.Match[str]) -> str:
            name = self._classes.setdefault(found[1], f"z{len(self._classes)}")
            return f' class="{name}"'

        return _STYLE.sub(named, svg)

    @property
    def sheet(self) -> str:
        return "\n".join(
            f"svg.chart .{name} {{ {style} }}" for style, name in self._classes.items()
        )


def inline(figure: Any, key: str, label: str) -> str:
    """The figure as an ``<svg>`` element.

    key: makes its ids unique on the page.  label: what a reader hears who does not see it.
    """
    import matplotlib

    out = io.BytesIO()
    # text stays text, which a reader can search; the salt makes the ids those of every other run
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": key}):
        figure.savefig(out, format="svg", metadata={"Date": None}, transparent=True)
    root = ElementTree.fromstring(out.getvalue())
    for gone in ("metadata", "style", "defs"):  # the style is for all elements of a page
        for parent in root.iter():
            for child in [c for c in parent if c.tag == f"{{{_SVG}}}{gone}"]:
                if gone != "defs" or not len(child):
                    parent.remove(child)
    used = {
        name
        for element in root.iter()
        for attribute, value in element.attrib.items()
        if attribute == _LINK or "url(" in value
        for name in _REFERENCE.findall(value)
    }
    for element in root.iter():
        _tidy(element, used, key)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("class", "chart")
    # what is an image for a reader has no links inside
    linked = any(element.tag == f"{{{_SVG}}}a" for element in root.iter())
    root.set("role", "group" if linked else "img")
    root.set("aria-label", label)
    ElementTree.register_namespace("", _SVG)
    text = ElementTree.tostring(root, encoding="unicode")
    # HTML knows both attributes without a namespace
    return re.sub(r' xmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")


def _tidy(element: ElementTree.Element, used: set[str], key: str) -> None:
    """Shorten an element, and make what it refers to unique."""
    name = element.attrib.pop("id", None)
    if name in used:
        element.set("id", f"{key}-{name}")
    for attribute, value in list(element.attrib.items()):
        if attribute == _LINK:
            target = value.removeprefix("#")
            value = f"#{key}-{target}" if target in used and element.tag.endswith("use") else value
            element.attrib.pop(attribute)
            element.set("href", value)
            continue
        if "url(#" in value:
            value = value.replace("url(#", f"url(#{key}-")
        if attribute in ("d", "x", "y", "width", "height", "transform"):
            value = _DECIMALS.sub(r"\1", value).strip()
        if attribute == "d":
            value = _path(value)
        if attribute == "style":
            for colour, variable in _VARIABLES.items():
                value = value.replace(colour, variable)
            value = re.sub(r"font-family: [^;]*;? ?", "", value)
        if attribute == "target" or value.startswith("rotate(-0 "):
            element.attrib.pop(attribute)
            continue
        element.set(attribute, value)
    if element.text is not None and not element.text.strip():
        element.text = None
    if element.tail is not None:
        element.tail = element.tail.strip() or None


def _path(text: str) -> str:
    """The data of a path without what can be left out."""
    if not set(text) & set("QC"):  # pairs after a move are lines
        text = text.replace("L", " ")
    return re.sub(r" *([MLQCz]) *", r"\1", re.sub(r"\s+", " ", text))
