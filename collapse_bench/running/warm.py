"""Imported once by the fork server, so that workers start with these modules loaded."""

import torch

from ..records import store
from ..registry import discovery
from . import chains, jobs

torch.set_num_threads(1)
__all__ = ["chains", "discovery", "jobs", "store"]
