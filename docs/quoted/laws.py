"""The tables of docs/laws.md."""

from __future__ import annotations

from collections import Counter

from collapse_bench import theory
from collapse_bench.registry.discovery import registry

from . import Table, computed
from .measure import verified

PAGE = "docs/laws.md"


@computed(PAGE, "laws-count")
def count() -> str:
    claims = registry().claims()
    return (
        f"There are {len(theory.laws())} laws, and {len(claims)} claims of "
        f"{len({claim.law for claim in claims})} of them.\n"
    )


@computed(PAGE, "laws-list")
def listed() -> Table:
    claims = Counter(claim.law for claim in registry().claims())
    rows = [["law", "status", "claims", "source"]]
    for name, law in theory.laws().items():
        rows.append([f"`{name}`", law.status, str(claims[name]), law.source])
    return Table(rows)


@computed(PAGE, "laws-discrete")
def discrete() -> str:
    return verified("discrete")


@computed(PAGE, "laws-gaussian")
def gaussian() -> str:
    return verified("gaussian")


@computed(PAGE, "laws-kde")
def kde() -> str:
    return verified("kde")


@computed(PAGE, "laws-regression")
def regression() -> str:
    return verified("regression")


@computed(PAGE, "laws-strong")
def strong() -> str:
    return verified("strong")


@computed(PAGE, "laws-tails")
def tails() -> str:
    return verified("tails")


@computed(PAGE, "laws-verification")
def verification() -> str:
    return verified("verification")


@computed(PAGE, "laws-worlds")
def worlds() -> str:
    return verified("worlds")


@computed(PAGE, "laws-growing")
def growing() -> str:
    return verified("growing")


@computed(PAGE, "laws-gains")
def gains() -> str:
    return verified("gains")


@computed(PAGE, "laws-preferences")
def preferences() -> str:
    return verified("preferences")
