"""What a run is asked to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..paths import named, named_folder
from ..running.chains import CHECKPOINT_SECONDS, MEMORY
from .arguments import Paths, check_positive, plugin_paths


@dataclass(frozen=True)
class RunRequest:
    """The settings of one run, for ``run``, ``plan`` and the commands of these names.

    Raises UsageError for a path that names nothing, and for a memory or a time limit that is no
    positive number.
    """

    what: str | Path | Sequence[str]  # a suite by name or path, or specs of cells
    seeds: str | None = None  # chains, such as "0:64"; None: those of the suite
    mitigations: str | Sequence[str] = ()  # specs of further entries
    focus: str | None = None  # the entry compared with all others; None: the first further one
    settings: Mapping[str, Any] = field(default_factory=dict)  # n, generations, protocols, ...
    device: str = "cpu"  # cpu, cuda, cuda:0 or auto
    budget: str | None = None  # limits of an entry per chain, such as "real=0.1,verifier=1000"
    output: str | Path = "results"  # folder of the records
    quick: bool = False  # run only the further entries; take the others from published records
    published: str | Path | None = None  # file of published records; None: the one that ships
    force: bool = False  # run finished chains again
    # pick a configuration per family, on calibration seeds: of each further entry, or without one
    # of each method of the suite
    tune: bool = False
    # run the marked tasks at other numbers of rows and generations, to see where signs hold
    signs: bool = False
    plugins: Paths = ()  # plugin files to load
    n_jobs: int = 1  # worker processes
    memory: int = MEMORY  # bytes for the rows of the chains that run at once
    # seconds per job; None: no limit, but code of plugins ends after SILENCE without progress
    timeout: float | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS  # between two checkpoints of a cell

    def __post_init__(self) -> None:
        object.__setattr__(self, "output", named_folder(self.output, "the output folder"))
        if self.published is not None:
            object.__setattr__(self, "published", named(self.published, "the published records"))
        object.__setattr__(self, "plugins", plugin_paths(self.plugins))
        check_positive("memory", self.memory, "bytes")
        if self.timeout is not None:
            check_positive("timeout", self.timeout, "seconds")
