"""The errors of the suite.

Each message is one sentence: what is wrong, the allowed range, the remedy.
"""

from __future__ import annotations

from .display import MOST, visible


class UserError(Exception):
    """A request that cannot be served; the message says why in one sentence.

    The message often quotes what others wrote, so that it is shown in one line, without characters
    that cannot be seen, and not longer than a few lines of a terminal.
    """

    def __str__(self) -> str:
        return visible(self.args[0] if len(self.args) == 1 else super().__str__(), MOST)


class UsageError(UserError):
    """Wrong input: an unknown name, a parameter out of range, a missing file (exit code 2)."""


class UnknownName(UsageError):
    """No loaded plugin offers a component of this name."""

    # only the sentence is given where it is unpickled
    def __init__(self, sentence: str, kind: str = "", name: str = ""):
        super().__init__(sentence)
        self.kind, self.name = kind, name


class DataChanged(UsageError):
    """A file that a cell reads does not hold the content that the id of the cell hashes."""


class PluginError(UserError):
    """A plugin that was selected could not be loaded (exit code 3)."""


class NothingMatched(UserError):
    """The selection leaves nothing to run or to show (exit code 5)."""


class Incompatible(UserError):
    """The parts of a cell do not fit together: the cell is skipped, and the message says why."""


class Unsupported(Incompatible):
    """What is refused is refused whatever a chain holds: classes and parameters decide, no values.

    So the chains of a group need not be asked one by one.
    """


class Lacking(Unsupported):
    """A teacher, a model or a data generator has no method that was called; ``owner`` is its class.

    A cell that is skipped for this reason lowers the coverage of an entry.  A cell that a method
    skips for a reason of its own counts as doing nothing.
    """

    def __init__(self, message: str, owner: type):
        super().__init__(message)
        self.owner = owner

    def __reduce__(self) -> tuple[object, ...]:
        return Lacking, (self.args[0], self.owner)


class Declined(Incompatible):
    """A mitigation does not want a cell that has all it needs."""


class Lacks(str):
    """The sentence of an ``incompatibility`` where a plugin lacks what it needs.

    A method that returns a plain sentence declines by choice, and scores 0 on the task.  Only
    plugins that come with the suite may return this; others declare ``kinds`` and ``needs``, which
    the harness checks.
    """


class ContractError(Exception):
    """A plugin broke its contract: a wrong shape or value, or a changed input.  Its chains fail."""


class OverBudget(Exception):
    """A method asked for more than its budget allows.  The request is refused; the chains end."""


class Unreachable(UserError):
    """A file on a hub, or in the folder of data, cannot be reached now; its cells cannot be run."""
