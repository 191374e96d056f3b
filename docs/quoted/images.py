"""Numbers of docs/images.md: those of two figures."""

from __future__ import annotations

from dataclasses import replace

from collapse_bench.papers.figure import Panel
from collapse_bench.registry.discovery import registry

from . import Cell, Number, Table, computed
from .measure import mean

PAGE = "docs/images.md"


def _panels(name: str) -> tuple[list[Panel], int]:
    figure = registry().figure(name)("quick", None)
    return figure.plots, figure.chains


def _at(panel: Panel, curve: str, t: int, chains: int, form: str) -> Number:
    [points] = [c.points for c in panel.curves if c.label == curve]
    point = points[t]
    found = mean(point.spec or "", chains, point.t, point.metric, form)
    return replace(found, text=f"{found.text} ± {found.error:{form}}")


@computed(PAGE, "images-minority", rounding=True)
def minority() -> Table:
    (labels, images), chains = _panels("images-minority")
    rows: list[list[Cell]] = [["", "generation 0", "4", "8"]]
    for panel, whole, rare, every in (
        (
            labels,
            "labels recur (`mlp`, 300 images), error on the rare class, `replace`",
            "rare class, `mix(real=0.5)`",
            "error on all classes",
        ),
        (
            images,
            "images recur (`vae`, 1000 images), lost recall of the rare class, `replace`",
            "rare class, `mix(real=0.5)`",
            "lost recall of all classes",
        ),
    ):
        shown = (0, 4, 8) if panel is labels else (0, 4)
        form = ".3f" if panel is labels else ".2f"
        for short, title in (("replaced", whole), ("half real", rare)):
            for words, name, digits in (("rare class", title, ".2f"), ("all", every, form)):
                cells: list[Cell] = [
                    _at(panel, f"{words}, {short}", t, chains, digits) for t in shown
                ]
                rows.append([name, *cells, *[""] * (3 - len(shown))])
    return Table(rows)


@computed(PAGE, "images-self-consuming", long=True, rounding=True)
def self_consuming() -> Table:
    panels, chains = _panels("images-self-consuming")
    heads = ["Frechet distance", "precision lost", "recall lost"]
    rows: list[list[Cell]] = [["", *(f"{head}, generation {t}" for head in heads for t in (0, 4))]]
    for model in ("vae", "ddpm"):
        for short, protocol in (("replaced", "replace"), ("half real", "mix(real=0.5)")):
            cells: list[Cell] = [
                _at(panel, f"{model}, {short}", t, chains, ".1f" if i == 0 else ".2f")
                for i, panel in enumerate(panels)
                for t in (0, 4)
            ]
            rows.append([f"`{model}`, `{protocol}`", *cells])
    return Table(rows)
