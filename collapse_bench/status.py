"""How a chain ended: the words that records, scores and boards share."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """How one chain ended.  The values are written to files and never change."""

    DONE = "done"
    FAILED = "failed"  # an error, a broken contract, or a loss that is NaN
    STARVED = "starved"  # a method left no row any weight
    OOM = "oom"
    TIMEOUT = "timeout"
    KILLED = "killed"
    OVER_BUDGET = "over-budget"  # a method asked for more than its budget allows
    SKIPPED = "skipped"  # the parts of the cell do not go together


#: the method's doing: the score of the chain is the worst there is
FAILURES = (Status.FAILED, Status.STARVED)

#: the machine's doing: the chain is run again
BROKEN_OFF = (Status.OOM, Status.TIMEOUT, Status.KILLED)

#: needs no further run: parts that do not go together will not do so next time
FINISHED = (Status.DONE, Status.STARVED, Status.SKIPPED)
