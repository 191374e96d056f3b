"""Numbers of docs/mitigations-selection.md: the table of results under ``replace``."""

from __future__ import annotations

from collapse_bench import cell_of

from . import Table, computed
from .measure import mean

PAGE = "docs/mitigations-selection.md"
TASKS = {
    "`gaussian(d=10)`, `gaussian-fit`": "gaussian(d=10) | gaussian-fit",
    "`gaussian-mixture`, `mixture-fit`": "gaussian-mixture | mixture-fit",
    "`linear`, `ols`": "linear | ols",
    "`zipf`, `counts`": "zipf | counts",
}
METHODS = (
    "none",
    "nature",
    "oracle-verify",
    "noisy-verify",
    "low-perplexity",
    "low-perplexity(keep=0.95)",
    "self-selection(k=4)",
    "high-surprise",
    "best-of-k",
    "best-of-k(reward=verifier)",
    "verified-retraining",
    "moment-matching",
    "moment-matching(match=mean)",
    "kmeans-cover",
    "entropy-selection",
)


def _cell(task: str, method: str) -> str:
    act = "" if method == "none" else f" | {method}"
    spec = f"{task} | replace{act} @ n=200 T=10"
    if cell_of(spec, seeds=[0]).incompatibility() is not None:
        return "–"
    found = mean(spec, 32, 10, form=".3g")
    if found.error < 5e-5 * found.value:  # the same in all chains
        return f"{found.value:.3f}" if found.value < 1 else f"{found.value:.2f}"
    return f"{found.text} ± {found.error:.1g}"


@computed(PAGE, "selection-under-replace")
def under_replace() -> Table:
    rows = [[method, *(_cell(task, method) for task in TASKS.values())] for method in METHODS]
    return Table([["method", *TASKS], *rows])
