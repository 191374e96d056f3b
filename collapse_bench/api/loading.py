"""The suite of a request: its settings, its plugins and its cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..core.budget import Budget
from ..display import shell
from ..errors import UnknownName, UsageError
from ..paths import named
from ..records.settings import SuiteModel
from ..records.tuning import Tuned
from ..registry.discovery import Registry, registry
from ..spec import Call, parse_call, parse_mitigations
from ..suggest import nearest
from ..suite.expand import Suite, adhoc, expand, typed_name
from ..suite.manifest import plugin_files
from ..suite.model import find_suite, parse_seeds, read_suite, validated
from ..suite.tunings import label_of, row_name, with_configurations, with_rows
from .arguments import listed, plugin_paths
from .cells import device_of
from .request import RunRequest


def load_suite(request: RunRequest, choices: Sequence[Tuned] = ()) -> Suite:
    """The suite of a request: a named one, a file, or one made of typed specs, with its changes.

    choices: made earlier, whose configurations are entries too.  Loads the plugins of the request.
    Raises UsageError for an unknown suite, spec, setting, device or focus, PluginError for a plugin
    that does not load.
    """
    reg = registry(plugin_paths(request.plugins))
    device = device_of(request.device)
    budget = None if request.budget is None else Budget.parse(request.budget)
    with plugin_file_hints(request.what, request.output):
        model, path = _model_of(request.what, reg)
        model = _changed(model, request, reg)
        model = with_rows(model, reg, [choice.entries for choice in choices])
        if request.tune and not listed(request.mitigations):
            model = with_configurations(model, reg)
        if path is None:
            model = model.model_copy(update={"name": typed_name(model)})
        parse_seeds(model.seeds)
        typed = _typed_mitigations(request, model, path)
        suite = expand(model, reg, path, device, budget, typed)
    if model.focus is not None:
        model = model.model_copy(update={"focus": row_name(model.focus, suite, reg)})
        suite = dataclasses.replace(suite, model=model)
    if suite.entries and model.focus is not None and model.focus not in suite.methods:
        raise UsageError(
            f"{model.focus!r} was named to be compared and does not compete"
            f"{nearest(model.focus, suite.methods)}"
        )
    return suite


@contextmanager
def plugin_file_hints(
    what: str | Path | Sequence[str], output: str | Path | None
) -> Iterator[None]:
    """Name the plugin file, where an unknown name is known to a run in the output folder, or in
    that of the suite file."""
    try:
        yield
    except UnknownName as problem:
        folders = [] if output is None else [Path(output)]
        if isinstance(what, (str, Path)) or len(what) == 1:
            item = str(what if isinstance(what, (str, Path)) else what[0])
            folders += [named(item, "the suite file").parent] if item.endswith(".toml") else []
        for folder in folders:
            file = plugin_files(folder).get(f"{problem.kind} {problem.name}")
            if file is None:
                continue
            unknown, there = str(problem).partition(";")[0], Path(file).is_file()
            raise UsageError(
                f"{unknown}; a run in {folder} took it from plugin file {file}"
                + ("" if there else ", which is gone: put it back")
                + f"{';' if there else ' and'} name it with --plugin {shell([file])}"
            ) from problem
        raise


def _model_of(what: str | Path | Sequence[str], reg: Registry) -> tuple[SuiteModel, Path | None]:
    """The settings that ``what`` names, and the file that they come from."""
    items = [str(what)] if isinstance(what, (str, Path)) else list(what)
    if not items:
        raise UsageError("name a suite or type a spec: collapse-bench run smoke")
    if any("|" in item for item in items):
        for item in items:
            if "|" not in item:
                raise UsageError(
                    f"{item!r} is no spec of a cell, and a suite and typed specs are run by "
                    "commands of their own; a spec reads 'data | model | protocol | mitigation'"
                )
        return adhoc(items, reg), None
    if len(items) > 1:
        raise UsageError(f"one suite at a time, got {', '.join(items)}")
    path = find_suite(items[0], reg)
    return read_suite(path), path


def _changed(model: SuiteModel, request: RunRequest, reg: Registry) -> SuiteModel:
    """The settings of a suite with those of a request in their place."""
    changes = _settings(request.settings)
    if request.seeds is not None:
        changes["seeds"] = request.seeds
    extra = [str(text) for text in listed(request.mitigations)]
    if extra:
        own = changes.get("mitigations", model.mitigations)
        changes["mitigations"] = list(dict.fromkeys([*own, *extra]))
    ranked = (text for text in extra if not all(act.control for act in reg.mitigations(text)))
    focus = request.focus or next(ranked, model.focus)
    if focus is not None:
        changes["focus"] = label_of(focus, reg)
    plain = model.model_dump()
    for task in plain["tasks"]:  # a change overrides what a task sets for itself
        if task["mitigations"] is not None:
            task["mitigations"] = list(dict.fromkeys([*task["mitigations"], *extra]))
        task.update({key: None for key in ("n", "generations", "protocols") if key in changes})
        if "mitigations" in request.settings:
            task["mitigations"] = None
    return validated({**plain, **changes}, f"suite {model.name}")


def _typed_mitigations(request: RunRequest, model: SuiteModel, path: Path | None) -> set[str]:
    """The mitigations of a request, as it writes them; all, where its cells are typed."""
    typed = {str(text) for text in listed(request.mitigations)}
    if path is None or "mitigations" in request.settings:
        typed |= {*model.mitigations, *(m for task in model.tasks for m in task.mitigations or ())}
    return typed


def _settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a suite from the values that a user gave, checked."""
    least = {"n": 1, "generations": 0}
    parsers = {"protocols": parse_call, "mitigations": parse_mitigations}
    out: dict[str, Any] = {}
    for key, value in settings.items():
        if key in least:
            if not isinstance(value, int) or isinstance(value, bool) or value < least[key]:
                shown = value if isinstance(value, Call) else repr(value)
                raise UsageError(f"{key} must be a whole number >= {least[key]}, got {shown}")
            out[key] = value
        elif key in parsers:
            out[key] = [
                str(item) for item in ([value] if isinstance(value, (str, Call)) else value)
            ]
            for item in out[key]:
                parsers[key](item)
        else:
            raise UsageError(f"unknown setting {key!r}{nearest(key, {*least, *parsers})}")
    return out
