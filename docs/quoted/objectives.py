"""Numbers of docs/mitigations-objectives.md that need no network."""

from __future__ import annotations

from . import Table, computed
from .measure import mean

PAGE = "docs/mitigations-objectives.md"
BIASED = "gaussian | gaussian-fit | replace(decode=temperature(t=0.8)){} @ n=200 T=10"
PLAIN = "gaussian | gaussian-fit | replace{} @ n=200 T=10"
ZIPF = "zipf | counts | replace{} @ n=1000 T=10"
ZIPF_BIASED = "zipf | counts | replace(decode=temperature(t=0.9)){} @ n=1000 T=10"
BIGRAM = "bigram | counts | replace{} @ n=500 T=10"
HALVES = "half-space(d=20) | logistic | replace{} @ n=100 T=10"


def _after(task: str, method: str, chains: int, form: str = ".3f", error: bool = True) -> str:
    """Mean primary loss after generation 10, with its standard error in brackets."""
    if method == "frozen":  # generation 0 of none
        found = mean(task.format(""), chains, 0, form=form)
    else:
        act = "" if method == "none" else f" | {method}"
        found = mean(task.format(act), chains, 10, form=form)
    return f"{found.text} ({found.error:{form}})" if error else found.text


@computed(PAGE, "objectives-biased-sampler")
def biased_sampler() -> Table:
    def row(task: str, form: str, neon: str, autophagy: bool) -> list[str]:
        none, extrapolated = (_after(task, name, 128, form) for name in ("none", neon))
        weight = neon.partition("(")[2].rstrip(")") or "w=0.5"
        frozen, nature = (
            _after(task, name, 128, ".3f", error=False) for name in ("frozen", "nature")
        )
        penalty = _after(task, "autophagy-penalty", 128, form) if autophagy else "-"
        return [none, f"{extrapolated}, {weight}", penalty, frozen, nature]

    return Table(
        [
            ["task, loss `w2`", "none", "neon", "autophagy-penalty", "frozen", "nature"],
            ["sampled at lambda = 0.8", *row(BIASED, ".3f", "neon(w=1.25)", True)],
            ["unbiased sampling", *row(PLAIN, ".4f", "neon", False)],
        ]
    )


@computed(PAGE, "objectives-tails")
def tails() -> Table:
    def row(name: str, task: str, methods: tuple[str, ...], ends: bool = True) -> list[str]:
        losses = ", ".join(f"{method} {_after(task, method, 32)}" for method in methods)
        controls = [_after(task, c, 32, error=False) if ends else "" for c in ("frozen", "nature")]
        return [name, _after(task, "none", 32), losses, *controls]

    four = ("focal", "confidence-penalty", "truncated-ce", "label-smoothing")
    near = ("weight-averaging", "anchor")
    return Table(
        [
            ["task", "none", "method", "frozen", "nature"],
            row("zipf, sampled at 0.9", ZIPF_BIASED, ("neon", "autophagy-penalty")),
            row("zipf, unbiased sampling", ZIPF, ("neon",)),
            row("bigram", BIGRAM, four),
            row("bigram", BIGRAM, near, ends=False),
            row("bigram", BIGRAM, ("autophagy-penalty", "neon"), ends=False),
        ]
    )
