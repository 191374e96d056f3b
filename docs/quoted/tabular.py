"""Numbers of docs/tabular.md."""

from __future__ import annotations

from . import Number, Table, computed
from .measure import number, values

CHAINS, TIMES = 32, (0, 5, 10)


def _shown(spec: str, metric: str, digits: int, upside: bool = False) -> list[Number]:
    """Mean and standard error at each of ``TIMES``; upside: of 1 minus the metric."""
    out = []
    for t in TIMES:
        sample = values(spec, CHAINS, metric, t)
        found = number(1 - sample if upside else sample, f".{digits}f")
        text = f"{found.text} ± {found.error:.{digits}f}"
        out.append(Number(found.value, text, found.error))
    return out


@computed("docs/tabular.md", "tabular-generations", long=True)
def generations() -> Table:
    rows: list[list[str | Number]] = [["table", "", "", *(f"t = {t}" for t in TIMES)]]
    for table in ("breast-cancer", "wine"):
        for how in ("replace", "mix(real=0.1)", "replace | nature"):
            spec = f"tabular(table={table}) | gaussian-copula | {how} @ n=200 T=10"
            for name, metric, digits in (
                ("error rate", "error_rate", 3),
                ("AUC", "auc_lost", 4),
                ("variance", "variance", 2),
                ("correlation gap", "correlation_gap", 3),
            ):
                shown = _shown(spec, metric, digits, upside=name == "AUC")
                rows.append([f"`{table}`", f"`{how}`", name, *shown])
    return Table(rows)
