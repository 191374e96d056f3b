"""Imported once by the fork server, so that workers start with what they need.

These modules and the suite's own plugins are loaded here, foreign plugins in the workers.
"""

import os

import torch

from ..records import store
from ..registry import discovery
from . import chains, jobs

torch.set_num_threads(1)
discovery.own_registry(os.environ.get(discovery.REPLACES_DISCOVERY))
__all__ = ["chains", "discovery", "jobs", "store"]
