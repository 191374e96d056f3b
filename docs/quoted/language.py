"""Numbers of docs/language.md that need no file."""

from __future__ import annotations

from . import Table, computed
from .measure import mean

PAGE = "docs/language.md"
STORIES = "grammar-stories | ngram(order=3) | {} @ n=500 T=5"


@computed(PAGE, "language-stories")
def stories() -> Table:
    rows = [["generation", *map(str, range(6))]]
    for name, protocol in (
        ("`replace`", "replace"),
        ("`mix(real=0.5)`", "mix(real=0.5)"),
        ("`nature` under `replace`", "replace | nature"),
    ):
        spec = STORIES.format(protocol)
        rows.append([name, *(mean(spec, 32, t, form=".2f").text for t in range(6))])
    return Table(rows)


@computed(PAGE, "language-tail")
def tail() -> str:
    first, last, mixed = (
        mean(STORIES.format(protocol), 32, t, "tail_missing", ".2f").text
        for protocol, t in (("replace", 0), ("replace", 5), ("mix(real=0.5)", 5))
    )
    return (
        f"The missing share of the tail rises from {first} to {last} under `replace`, and to "
        f"{mixed} under `mix(real=0.5)`.\n"
    )
