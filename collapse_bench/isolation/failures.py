"""Exceptions on their way from one process to the other."""

from __future__ import annotations

import traceback
from typing import Any

from ..errors import (
    ContractError,
    Declined,
    Incompatible,
    Lacking,
    OverBudget,
    Unsupported,
    UsageError,
)
from ..foreign.calls import bounded, described, sentence


class PluginFailed(Exception):
    """Code of the plugin raised an error in its process; the message says which, and where."""


class Raised:
    """The exceptions that the judge's process raised while it served a call of the plugin.

    The plugin gets the class and the sentence.  Where the same exception comes back, the judge
    raises its own, so that a budget that was exceeded stays one, and a plugin cannot claim one.
    """

    def __init__(self) -> None:
        self._known: list[BaseException] = []

    def message(self, problem: BaseException) -> dict[str, Any]:
        """What is sent to the process of the plugin."""
        self._known.append(problem)
        kind = next((name for name, cls in _KINDS.items() if isinstance(problem, cls)), "")
        return {"kind": kind, "text": sentence(problem), "number": len(self._known) - 1}

    def of(self, failure: dict[str, Any]) -> BaseException:
        """The exception for what the plugin's process says that it raised."""
        number, text = failure.get("again"), bounded(str(failure.get("text", "")))
        if type(number) is int and 0 <= number < len(self._known):
            problem = self._known[number]
            # what the suite lacks is no choice of the method; what it refuses for other reasons is
            if isinstance(problem, Lacking) or not isinstance(problem, Incompatible):
                return problem
            return Declined(sentence(problem))
        if failure.get("kind") in ("incompatible", "unsupported", "lacking"):
            return Declined(text)
        if failure.get("kind") == "contract":
            return ContractError(text)
        return PluginFailed(text)


def message_of_plugin(problem: BaseException, files: frozenset[str]) -> dict[str, Any]:
    """What is sent to the judge of an exception in the plugin's process; ``files``: those of the
    plugin, to name the line."""
    number = vars(problem).get("judge_number")
    kind = next((name for name, cls in _KINDS.items() if isinstance(problem, cls)), "")
    text = sentence(problem) if kind else described(problem)
    lines = [f for f in traceback.extract_tb(problem.__traceback__) if f.filename in files]
    if lines and not kind:
        text += f" ({lines[-1].filename.rpartition('/')[2]}, line {lines[-1].lineno})"
    return {"kind": kind, "text": text, "again": number}


def raised_by_judge(failure: dict[str, Any]) -> BaseException:
    """The exception in the plugin's process for what the judge's raised."""
    cls = _KINDS.get(str(failure.get("kind")), RuntimeError)
    text = str(failure.get("text"))
    # code of plugins may catch what a teacher lacks
    problem = Lacking(text, object) if cls is Lacking else cls(text)
    vars(problem)["judge_number"] = failure.get("number")
    return problem


#: the most special first
_KINDS: dict[str, type[Exception]] = {
    "lacking": Lacking,
    "unsupported": Unsupported,
    "incompatible": Incompatible,
    "budget": OverBudget,
    "contract": ContractError,
    "usage": UsageError,
}
