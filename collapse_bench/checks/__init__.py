"""The conformance kit: checks of what the harness assumes about a plugin.

    from collapse_bench.checks import outcomes, parametrize

    for outcome in outcomes("model", Ridge):  # one per check
        print(outcome)

    test_plugin = parametrize("my-method")  # in a test file: one test for each check

The kit knows no plugin by name.  What a check needs besides the plugin (data for a model to read, a
model for a mitigation to steer) is taken from the registry.

Three things an author may state in the class body, and need not:

- ``tiny = {"d": 4}``: parameters at which the checks run, where the defaults would take long;
- ``truth_is = "fixed"``: of a data generator whose seeds share one truth;
- ``exact = False``: of a model fitted by random steps, which obeys weights only in distribution.
"""

from . import generators, laws, mitigations, models, plugins, protocols  # register their checks
from .compare import CheckFailure
from .kit import CHECKS, Check, Outcome, Subject, checks_of, outcomes, subject_of
from .testing import parametrize

__all__ = [
    "CHECKS",
    "Check",
    "CheckFailure",
    "Outcome",
    "Subject",
    "checks_of",
    "generators",
    "laws",
    "mitigations",
    "models",
    "outcomes",
    "parametrize",
    "plugins",
    "protocols",
    "subject_of",
]
