"""Which configuration of a method was picked for each family, as a run stores it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ..errors import UsageError
from .faults import Damaged, Rejected
from .files import read_file, replace_file
from .plain import fault_of

MOST_BYTES = 2**22  # of the file


@dataclass(frozen=True)
class Tuned:
    """The choice for one method, from chains on calibration seeds."""

    method: str  # the name of its default row
    entries: tuple[str, ...]  # the rows of its configurations, the default first
    picks: Mapping[str, str]  # family -> entry
    fits: float  # of all chains that were run to choose


def _file(output: Path, suite: str) -> Path:
    return output / f"{suite}.tuning.json"


def save_tuning(output: Path, suite: str, tuned: Sequence[Tuned]) -> None:
    """Write the choices of a run into its output folder."""
    text = json.dumps([asdict(one) for one in tuned], indent=1)
    replace_file(_file(output, suite), text.encode())


def saved_tuning(output: Path, suite: str) -> tuple[Tuned, ...]:
    """The choices in an output folder; none where the run made none.

    Raises UsageError where the file is not valid, Unreadable where it cannot be read now.
    """
    path = _file(output, suite)
    remedy = "run the suite again with --tune, which writes it again, or remove it"
    try:
        return tuple(TypeAdapter(list[Tuned]).validate_json(read_file(path, MOST_BYTES)))
    except FileNotFoundError:
        return ()
    except Rejected as problem:
        raise UsageError(f"{problem}; {remedy}") from problem
    except ValidationError as problem:
        raise UsageError(f"{Damaged(path, fault_of(problem))}; {remedy}") from problem
