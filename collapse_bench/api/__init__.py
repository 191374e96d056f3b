"""The Python API: one function for each thing that the command line does."""

from .calibrating import calibrate
from .cells import cell_of, device_of, offer
from .figures import reproduce
from .laws import predict, verify_laws
from .loading import load_suite
from .planning import RunPlan, archive_of, plan
from .publishing import publish_run
from .reading import Results, results
from .request import RunRequest
from .running import run, run_plan, standing_of
from .submitting import merge, submit, verify
from .sweeping import sweep

__all__ = [
    "Results",
    "RunPlan",
    "RunRequest",
    "archive_of",
    "calibrate",
    "cell_of",
    "device_of",
    "load_suite",
    "merge",
    "offer",
    "plan",
    "predict",
    "publish_run",
    "reproduce",
    "results",
    "run",
    "run_plan",
    "standing_of",
    "submit",
    "sweep",
    "verify",
    "verify_laws",
]
