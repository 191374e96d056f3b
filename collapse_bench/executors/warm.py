"""Imported once by the fork server, so that every worker starts warm."""

import torch

from .. import registry, runner, store
from . import jobs

torch.set_num_threads(1)
__all__ = ["jobs", "registry", "runner", "store"]
