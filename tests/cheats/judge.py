"""Ask the judge how good the teacher is, by the front door.

Neutralised: taps have no judge, and the method fails.
"""

from dataclasses import dataclass

from collapse_bench import Mitigation, hookimpl


@dataclass(frozen=True)
class Judge(Mitigation):
    def steer(self, teacher, access):
        return max((teacher, access.first), key=lambda one: -access.losses(one))


@hookimpl
def collapse_mitigations():
    return {"judge": Judge}
