"""Numbers of docs/controls.md: what each control reaches on four tasks."""

from __future__ import annotations

from collapse_bench import cell_of

from . import Table, computed
from .measure import mean

PAGE = "docs/controls.md"
TASKS = {
    "`gaussian(d=2)`, `gaussian-fit`, `mix(real=0.2)`": (
        "gaussian(d=2) | gaussian-fit | mix(real=0.2)"
    ),
    "`linear`, `ols`, `accumulate(real=0.2)`": "linear | ols | accumulate(real=0.2)",
    "`half-space(d=20)`, `least-squares`, `replace`": "half-space(d=20) | least-squares | replace",
    "`zipf(K=100)`, `counts`, `mix(real=0.2)`": "zipf(K=100) | counts | mix(real=0.2)",
}
CONTROLS = (
    "trivial",
    "none",
    "thinned",
    "frozen",
    "keep-first(a=0.5)",
    "real-now",
    "real-only",
    "verifier-only",
    "verifier-only(phi=0.9, psi=0.3)",
    "nature",
)


def _cell(task: str, control: str) -> str:
    act = "" if control == "none" else f" | {control}"
    spec = f"{task}{act} @ n=200 T=10"
    if cell_of(spec, seeds=[0]).incompatibility() is not None:
        return "–"
    found = mean(spec, 32, 10, form=".3g")
    if found.error < 5e-5 * found.value:  # the same in all chains
        return found.text
    return f"{found.text} ± {found.error:.1g}"


@computed(PAGE, "controls")
def controls() -> Table:
    rows = [[f"`{name}`", *(_cell(task, name) for task in TASKS.values())] for name in CONTROLS]
    return Table([["control", *TASKS], *rows])
