"""Imported once by the fork server, so that every worker starts warm."""

import torch

from ..records import store
from ..registry import discovery
from . import chains, jobs

torch.set_num_threads(1)
__all__ = ["chains", "discovery", "jobs", "store"]
