"""Verify a submission at a level, and all levels before it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from ..errors import UserError
from ..foreign.calls import described
from ..isolation.audit import MEMORY, SECONDS, Audit, Limits, Source
from ..isolation.limits import MEASURES
from ..registry.discovery import Registry
from ..spec import parse_mitigations
from .declared import declared, rescored
from .fresh import fresh
from .levels import LEVELS, Level, Verification
from .pack import read_source
from .rerun import rerun
from .sampling import new_key
from .submission import NotAsDeclared, Submission, opened

CELLS = 4  # records of the method that are run again, and tasks at fresh settings


def verify(
    path: Path,
    registry: Registry,
    level: str = "re-scored",
    cells: int = CELLS,
    key: str | None = None,
    seconds: float = SECONDS,
    memory: int = MEMORY,
    plugin: Path | None = None,
) -> Verification:
    """Verify a submission up to a level; a level that fails ends it.

    cells: how many records and tasks are drawn.  key: of an earlier sample, to repeat it; None: a
    new one.  seconds, memory: what the plugin's process may take.  plugin: its file, where the
    submission names a repository.  Raises UsageError for a file that is no submission, or a plugin
    file that cannot be read.
    """
    key = new_key() if key is None else key
    given = None if plugin is None else read_source(plugin)
    with ExitStack() as stack:
        try:
            submission = stack.enter_context(opened(path))
        except NotAsDeclared as problem:
            about = problem.about
            level_found = Level("declared", problem.faults, (f"sha256 {problem.digest}",))
            return Verification(
                str(path), problem.digest, about.mitigation, about.suite, (level_found,)
            )
        levels = [declared(submission, registry)]
        wanted = LEVELS[: LEVELS.index(level) + 1]
        if "re-scored" in wanted and levels[-1].passed:
            levels.append(rescored(submission))
        report: dict[str, str] = {}
        if "re-run" in wanted and levels[-1].passed:
            more, report = _run(submission, registry, wanted, cells, key, seconds, memory, given)
            levels += more
        return Verification(
            str(path),
            submission.digest,
            submission.name,
            submission.manifest.suite.name,
            tuple(levels),
            {f"{what}: {MEASURES[what]}": held for what, held in report.items()},
        )


def _run(
    submission: Submission,
    registry: Registry,
    wanted: tuple[str, ...],
    cells: int,
    key: str,
    seconds: float,
    memory: int,
    given: Source | None,
) -> tuple[list[Level], dict[str, str]]:
    """The levels that run the plugin, and what the operating system took from its process."""
    source = given or submission.source
    if source is None:
        wanted_names = {call.name for call in parse_mitigations(submission.name)}
        if lacking := sorted(wanted_names - set(registry.classes["mitigation"])):
            why = f"the code of {lacking[0]} is not here: get it, and name it with --plugin"
            return [Level("re-run", (why,))], {}
        return _levels(submission, registry, None, wanted, cells, key), {}
    known = registry.classes["mitigation"]
    names = [call.name for call in parse_mitigations(submission.name)]
    # a plugin that is loaded here under this name has no part in it
    foreign = [n for n in names if n not in known or known[n].file_digests]
    # absolute: the process of the plugin has another working folder
    places = (Path.home(), Path.cwd(), submission.path.resolve().parent)
    hidden = tuple(str(place) for place in places)
    limits = Limits(seconds, memory, hidden)
    try:
        with Audit(source, list(dict.fromkeys(foreign)), limits) as audit:
            levels = _levels(submission, registry, audit, wanted, cells, key)
            return levels, audit.report
    except UserError as problem:
        return [Level("re-run", (str(problem),))], {}
    except Exception as problem:
        if not _of_plugin(problem):
            raise
        return [Level("re-run", (described(problem),))], {}


def _of_plugin(problem: Exception) -> bool:
    from ..errors import ContractError
    from ..isolation.failures import PluginFailed

    return isinstance(problem, (ContractError, PluginFailed))


def _levels(
    submission: Submission,
    registry: Registry,
    audit: Audit | None,
    wanted: tuple[str, ...],
    cells: int,
    key: str,
) -> list[Level]:
    levels = [rerun(submission, registry, audit, cells, key)]
    if "fresh" in wanted and levels[-1].passed:
        levels.append(fresh(submission, registry, audit, cells, key))
    return levels
