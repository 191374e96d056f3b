"""Draw the numbers that the exam will draw, to prepare for its questions.

Neutralised by name: what a method draws lies under generation and user, so that its `exam` is another one.  Whoever
builds a stream from the seeds of a suite has the exam's numbers; a suite is run again on fresh seeds for that reason.
"""

from dataclasses import dataclass

from collapse_bench import Mitigation, hookimpl

SEEN = []


@dataclass(frozen=True)
class ExamSeed(Mitigation):
    def curate(self, corpus, access):
        SEEN.append(access.rng.at("exam").at("x").normal(4))
        return corpus


@hookimpl
def collapse_mitigations():
    return {"exam-seed": ExamSeed}
