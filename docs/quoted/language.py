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


@computed(PAGE, "language-diversity")
def diversity() -> Table:
    spec = (
        "grammar-stories | ngram(order=2, smoothing=jelinek-mercer, lam=0.999) | replace{} "
        "@ n=200 T=8"
    )
    acts = {
        "plain": "",
        "temperature 0.7": " | temperature(t=0.7)",
        "`nature`": " | nature",
    }
    rows = [["generation 0, 2, 4, 8", *acts]]
    for metric, form in (
        ("nats", ".2f"),
        ("distinct_2_lost", ".2f"),
        ("self_bleu_lost", ".2f"),
        ("tail_missing", ".2f"),
        ("ungrammatical", ".2f"),
        ("vocabulary", ".0f"),
    ):
        name = "vocabulary of 64 stories" if metric == "vocabulary" else f"`{metric}`"
        cells = [
            ", ".join(mean(spec.format(act), 16, t, metric, form).text for t in (0, 2, 4, 8))
            for act in acts.values()
        ]
        rows.append([name, *cells])
    return Table(rows)
