"""The cells of a sweep: one method at several values of its parameters, on reserved seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import UsageError
from ..records.store import Store
from ..spec import Call, Value, parse_sweep
from .expand import Suite
from .model import CALIBRATION_SEEDS
from .plan import CellPlan, plan

FRESH_SEEDS = range(3_000_000, 3_000_032)  # reserved: no suite uses these seeds
TUNING_CHAINS, QUICK_CHAINS = 16, 8  #: of each value
#: what the score needs; `nature` only where the units are measured on the chains of the sweep
CONTROLS = ("none", "nature", "trivial")


@dataclass(frozen=True)
class Curve:
    """One parameter of a sweep: its values, and the specs that have them."""

    parameter: str  # with the name of its component where the composition has several
    values: tuple[Value, ...]
    specs: tuple[str, ...]


def curves_of(text: str) -> list[Curve]:
    """The curves of a sweep such as `fading(rate=0.01,0.02)`, one for each parameter with several
    values; the other parameters keep their first value.

    Raises UsageError where no parameter has several values.
    """
    calls, swept = parse_sweep(text)
    if not swept:
        raise UsageError(
            f"no parameter of {text!r} has several values; write them with commas: "
            f'"{calls[0].name}(parameter=1,2,3)"'
        )
    found = []
    for one in swept:
        specs = []
        for value in one.values:
            args = dict(calls[one.call].args) | {one.key: value}
            varied = Call(calls[one.call].name, tuple(args.items()))
            specs.append(" + ".join(map(str, (*calls[: one.call], varied, *calls[one.call + 1 :]))))
        owner = f"{calls[one.call].name}." if len(calls) > 1 else ""
        found.append(Curve(f"{owner}{one.key}", one.values, tuple(specs)))
    return found


def one_task_per_family(suite: Suite) -> Suite:
    """The suite with the task of each family that reads the fewest rows in all generations."""
    bare = [entry for entry in suite.entries if entry.name == "none"]
    kept: dict[str, str] = {}
    for entry in sorted(bare, key=lambda entry: entry.cell.rows):  # stable
        kept.setdefault(entry.cell.data.family, entry.task)
    tasks = set(kept.values())
    return replace(suite, entries=tuple(e for e in suite.entries if e.task in tasks))


def part_of(suite: Suite, rows: Sequence[str], measured: bool) -> Suite:
    """The suite with only these rows and the controls that its score needs.

    measured: whether the units are measured on the same chains, which needs `nature` too.
    """
    wanted = {*CONTROLS, *rows} - (set() if measured else {"nature"})
    some = tuple(e for e in suite.entries if e.name in wanted and e.role != "curve")
    return replace(suite, entries=some)


def plan_of(suite: Suite, store: Store, seeds: Sequence[int]) -> list[CellPlan]:
    """What the sweep runs; its chains are of no exam."""
    return [replace(step, why=f"{step.why}; for the sweep") for step in plan(suite, store, seeds)]


def tuning_seeds(quick: bool) -> Sequence[int]:
    return CALIBRATION_SEEDS[: QUICK_CHAINS if quick else TUNING_CHAINS]


def fresh_seeds(quick: bool) -> Sequence[int]:
    return FRESH_SEEDS[: 2 * QUICK_CHAINS] if quick else FRESH_SEEDS
