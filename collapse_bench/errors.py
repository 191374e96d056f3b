"""The ways in which this suite says no.  Each carries one sentence: what, the allowed range, the remedy."""

from __future__ import annotations


class UserError(Exception):
    """A request that cannot be served, told in one sentence."""


class UsageError(UserError):
    """The user's words are off: an unknown name, a parameter out of range, a file that is not there (exit code 2)."""


class PluginError(UserError):
    """A plugin that was selected could not be loaded (exit code 3)."""


class NothingMatched(UserError):
    """Nothing is left to do or to show after selection (exit code 5)."""


class Incompatible(UserError):
    """These parts do not go together: the cell is skipped, with this sentence as its reason."""


class ContractError(Exception):
    """A plugin broke a promise (a shape, a value, what it was only lent); the sentence names it: its chains fail."""


class OverBudget(Exception):
    """A method asked for more than its budget allows; the sentence says who, for what, and how much: it is not served."""


class Unreachable(UserError):
    """Something on a hub that cannot be had now; the cells that want it fail, and no others do."""
