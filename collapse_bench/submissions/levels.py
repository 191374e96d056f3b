"""The result of a verification: one finding per level, as text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..display import visible

#: the levels in their order; each includes those before it
LEVELS = ("declared", "re-scored", "re-run", "fresh")
MOST_FAULTS = 20  # of a level that are shown


@dataclass(frozen=True)
class Level:
    """What one level found.  ``faults``: why it failed.  ``notes``: what was checked.  ``numbers``:
    plain values for the report."""

    name: str
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not self.faults

    def lines(self) -> list[str]:
        """The level as lines of text."""
        head = f"{self.name}: {'passed' if self.passed else 'FAILED'}"
        shown = [f"  fault: {visible(fault)}" for fault in self.faults[:MOST_FAULTS]]
        if len(self.faults) > MOST_FAULTS:
            shown.append(f"  and {len(self.faults) - MOST_FAULTS} more")
        return [head, *shown, *(f"  {visible(note)}" for note in self.notes)]


@dataclass(frozen=True)
class Verification:
    """All levels that were run, of one submission."""

    file: str
    digest: str  # SHA-256 of the file
    mitigation: str
    suite: str
    levels: tuple[Level, ...]
    # what the operating system took from the plugin's process; empty where none ran
    isolation: Mapping[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return all(level.passed for level in self.levels)

    @property
    def reached(self) -> str | None:
        """The last level that passed, with all before it; None: none."""
        reached = None
        for level in self.levels:
            if not level.passed:
                break
            reached = level.name
        return reached

    def lines(self) -> list[str]:
        """The verification as lines of text."""
        body = [line for level in self.levels for line in level.lines()]
        if self.isolation:
            body.append("the process of the plugin:")
            body += [f"  {what}: {visible(held)}" for what, held in self.isolation.items()]
        end = f"level reached: {self.reached or 'none'}"
        return [f"{visible(self.mitigation)} on {visible(self.suite)}", *body, end]

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a report file."""
        return {
            "file": self.file,
            "sha256": self.digest,
            "mitigation": self.mitigation,
            "suite": self.suite,
            "reached": self.reached,
            "passed": self.passed,
            "levels": [
                {
                    "level": level.name,
                    "passed": level.passed,
                    "faults": list(level.faults),
                    "notes": list(level.notes),
                    **level.numbers,
                }
                for level in self.levels
            ],
            "isolation": dict(self.isolation),
        }
