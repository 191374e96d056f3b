"""Suite files: named tasks, the entries that compete on them, and their calibration.

A task is a cell without mitigations.  The harness adds the controls `none` and `nature`, and the
learning curve of `real-only`; the control `frozen` is generation 0 of `none`.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ..display import shell
from ..errors import UsageError
from ..paths import named
from ..records.faults import Rejected, one_line
from ..records.files import read_file
from ..records.settings import Calibration, SuiteModel, TaskModel, lacks_harm
from ..registry.discovery import Registry
from ..suggest import nearest

CALIBRATION_SEEDS = range(1_000_000, 1_000_256)  # reserved: no suite uses these seeds
MOST_CHAINS = 1_000_000
MOST_BYTES = 2**22  # of a suite file
MARK = "# -- calibration, written by `collapse-bench suite calibrate`; do not edit --"


class SuiteWithoutHarm(UsageError):
    """A suite file that was calibrated without the control `trivial`, as version 0.1 did."""

    # only the sentence is given where it is unpickled
    def __init__(self, sentence: str, version: int = 0):
        super().__init__(sentence)
        self.version = version  # of the suite


def parse_seeds(text: str) -> list[int]:
    """`0:64` is 0 .. 63, `5` is one seed, `0:4,10:12` joins two ranges.  UsageError otherwise."""
    ranges = []
    try:
        for piece in text.split(","):
            first, colon, last = piece.strip().partition(":")
            ranges.append(range(int(first), int(last) if colon else int(first) + 1))
    except ValueError:
        ranges = []
    if not all(ranges) or not ranges or min(r.start for r in ranges) < 0:
        raise UsageError(
            f"seeds {text!r} cannot be read; write a range such as 0:64, a number, or several of "
            "them separated by commas"
        )
    if max(r.stop for r in ranges) > 2**63 or sum(r.stop - r.start for r in ranges) > MOST_CHAINS:
        raise UsageError(
            f"seeds {text!r} are too many or too large: at most {MOST_CHAINS} seeds, "
            "each below 2^63"
        )
    return sorted({seed for r in ranges for seed in r})


def read_suite(path: str | Path, calibration: bool = True) -> SuiteModel:
    """Parse and validate a suite file.

    calibration: False leaves out what was measured, which is to be measured again.

    Raises UsageError with one sentence that names the key, SuiteWithoutHarm where the control
    `trivial` was not measured, Unreadable where the file cannot be read now.
    """
    path = Path(path)
    try:
        raw = tomllib.loads(suite_text(path))
    except RecursionError as problem:
        raise UsageError(
            f"suite file {path} cannot be read: it is nested too deep; a suite has tables "
            "[[tasks]] of plain values"
        ) from problem
    except ValueError as problem:  # not TOML, or a number with thousands of digits
        why = one_line(str(problem))
        raise UsageError(
            f"suite file {path} cannot be read as TOML: {why}; correct it there"
        ) from problem
    if not calibration:
        raw.pop("calibration", None)
    return validated(raw, str(path))


def suite_text(path: Path) -> str:
    """The text of a suite file.

    Raises UsageError where it is missing or not UTF-8, Unreadable where it cannot be read now.
    """
    try:
        return read_file(path, MOST_BYTES).decode("utf-8")
    except FileNotFoundError as problem:
        raise UsageError(f"suite file {path} is not there") from problem
    except Rejected as problem:
        raise UsageError(f"suite file {problem}") from problem
    except UnicodeDecodeError as problem:
        raise UsageError(
            f"suite file {path} cannot be read: it is not UTF-8 (byte {problem.start} is "
            f"{problem.object[problem.start]:#04x}); convert it, e.g. with iconv -t utf-8"
        ) from problem


def validated(raw: dict[str, Any], where: str) -> SuiteModel:
    """The settings of a suite from plain values.  ``where`` begins the sentence of a UsageError."""
    try:
        return SuiteModel.model_validate(raw)
    except ValidationError as problem:
        if lacks_harm(problem):
            raise SuiteWithoutHarm(
                f"{where} was calibrated without the control trivial, which the score needs; "
                f"calibrate it with: collapse-bench suite calibrate {shell([where])} (version 0.1 "
                "of the package scores it as it is)",
                raw.get("version", 1),
            ) from problem
        raise UsageError(f"{where}: {one_line(fault_sentence(problem))}") from problem


def fault_sentence(problem: ValidationError) -> str:
    """The first fault of a suite file in one sentence."""
    fault = problem.errors()[0]
    *place, key = fault["loc"]
    within = ".".join(map(str, place))
    if fault["type"] == "extra_forbidden":
        tables: dict[str, type[BaseModel]] = {"tasks": TaskModel, "calibration": Calibration}
        model = tables.get(str(place[0]), SuiteModel) if place else SuiteModel
        where = f" in {within}" if within else ""
        return f"unknown key {key!r}{where}{nearest(str(key), model.model_fields)}"
    if fault["loc"] == ("seeds",):
        return (
            'seeds must be text: "0:32" for 32 chains, "7" for one, "0:4,10:12" for two ranges; '
            f"got {fault['input']!r}"
        )
    # the name of a suite is part of file names
    if fault["type"] == "string_pattern_mismatch":
        near = (
            re.sub(r"[^\w.-]+", "-", fault["input"], flags=re.ASCII).lstrip("-._0123456789")
            or "mine"
        )
        return (
            f"{key} must be a letter followed by letters, digits, _, - and ., "
            f"got {fault['input']!r}; "
            f'write {key} = "{near}"'
        )
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"


def find_suite(name: str, registry: Registry) -> Path:
    """The file of a suite by name or path.

    Raises UsageError where there is none, and what ``named`` raises.
    """
    if name.endswith(".toml"):
        path = named(name, "the suite file")
        if not path.is_file():
            raise UsageError(f"suite file {path} is not there")
        return path
    known = {path.stem: path for path in registry.suites}
    if not name.strip():
        raise UsageError(f"the name of the suite is empty; known: {', '.join(sorted(known))}")
    if name not in known:
        hint = nearest(name, known)
        spec = "" if hint.endswith("?") else "; a spec has at least 'data | model'"
        raise UsageError(f"unknown suite {name!r}{hint}{spec}")
    return known[name]


# -- writing files ---------------------------------------------------------------------------------


def to_toml(model: SuiteModel) -> str:
    """The suite as a file that parses back to the same suite."""
    plain = model.model_dump(exclude_none=True, exclude={"tasks", "calibration"})
    lines = [f"{key} = {_toml(value)}" for key, value in plain.items()]
    for task in model.tasks:
        lines += ["", "[[tasks]]"]
        lines += [
            f"{key} = {_toml(value)}"
            for key, value in task.model_dump(exclude_none=True).items()
            if value is not False
        ]
    text = "\n".join(lines) + "\n"
    return with_calibration(text, model.calibration) if model.calibration else text


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):  # TOML forbids this one control character that JSON writes as it is
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def with_calibration(text: str, rows: Sequence[Calibration]) -> str:
    """The text of a suite file with its calibration part replaced."""
    body = text.split(MARK)[0].rstrip() + "\n"
    tables = [
        "[[calibration]]\n"
        + "\n".join(
            f"{key} = {_toml(value)}" for key, value in row.model_dump(exclude_none=True).items()
        )
        for row in rows
    ]
    return f"{body}\n{MARK}\n\n" + "\n\n".join(tables) + "\n"
