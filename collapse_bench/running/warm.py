"""Imported once by the fork server, so that workers start with these modules and the suite's own
plugins loaded.  Foreign plugins are loaded in the workers."""

import os

import torch

from ..records import store
from ..registry import discovery
from . import chains, jobs

torch.set_num_threads(1)
discovery.own_registry(os.environ.get(discovery.REPLACES_DISCOVERY))
__all__ = ["chains", "discovery", "jobs", "store"]
