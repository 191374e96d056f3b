"""Why a stored file is not used: damaged, foreign, forged or absurd; or it cannot be read now.

The first four are about the content.  Such a file is reported and its chains run again.  A file
that cannot be read now may be whole, so it is never replaced: the command stops with a sentence.
"""

from __future__ import annotations

from typing import ClassVar

from ..errors import UserError


class Rejected(Exception):
    """The content of a file is not what a run has written.  The message is one sentence.

    what: the file, and what it should be if that is not clear.  why: the reason, without a full
    stop.
    """

    verdict: ClassVar[str] = "cannot be used"

    def __init__(self, what: object, why: str):
        super().__init__(f"{what} {self.verdict} ({one_line(why)})")
        self.what, self.why = what, one_line(why)

    def __reduce__(self) -> tuple[type[Rejected], tuple[str, str]]:  # sent between processes
        return type(self), (str(self.what), self.why)


class Damaged(Rejected):
    """The content changed after it was written: cut, overwritten in part, or edited."""

    verdict = "is damaged"


class Foreign(Rejected):
    """The file was written by another program, or by another version with another format."""

    verdict = "is a file of another program or version"


class Forged(Rejected):
    """The file is well-formed and sealed, but what it says contradicts itself."""

    verdict = "contradicts itself and was not written by a run"


class WithoutHarm(Foreign):
    """The suite was calibrated without the control `trivial`, as version 0.1 did."""

    verdict = "was calibrated without the control trivial, which the score needs"


class Absurd(Rejected):
    """The file exceeds a limit that no run reaches.  It is not read further."""

    verdict = "is too large to be the result of a run"


class Unreadable(UserError):
    """A file cannot be read now: permissions, a failing disk, no memory, no regular file."""

    def __init__(self, path: object, why: str):
        super().__init__(
            f"{path} cannot be read ({one_line(why)}); it is left as it is: make it readable, or "
            "move it to another place, and run the same command again"
        )
        self.path, self.why = path, one_line(why)

    def __reduce__(self) -> tuple[type[Unreadable], tuple[str, str]]:
        return type(self), (str(self.path), self.why)


def one_line(text: str) -> str:
    """The first line, cut to a length that fits a sentence."""
    line = text.strip().split("\n")[0]
    return line if len(line) <= 300 else f"{line[:300]}..."
