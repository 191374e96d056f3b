"""The configurations of methods: which entries of a suite belong together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from ..core.identity import written
from ..errors import UsageError, UserError
from ..records.settings import SuiteModel
from ..registry.discovery import Registry
from .expand import Suite


def label_of(text: str, registry: Registry) -> str:
    """A composition of mitigations without the parameters that have their defaults."""
    return " + ".join(str(written(act)) for act in registry.mitigations(text))


def configurations(text: str, registry: Registry) -> list[str]:
    """The specs of the configurations of one method, the default first.

    A control, a composition of several and a method without ``tunings`` have only their own spec.
    """
    acts = registry.mitigations(text)
    one = len(acts) == 1 and not acts[0].control
    more = type(acts[0]).tunings if one else ()
    names = {label_of(text, registry): text}
    for values in more:
        spec = str(written(replace(acts[0], **values)))
        names.setdefault(label_of(spec, registry), spec)
    return list(names.values())


def row_name(text: str, suite: Suite, registry: Registry) -> str:
    """A composition of mitigations as the board of this suite names it."""
    label = label_of(text, registry)
    entries = (entry for entry in suite.entries if entry.role == "entry")
    return next((entry.name for entry in entries if entry.cell.entry == label), label)


def grouped(texts: Iterable[str], suite: Suite, registry: Registry) -> dict[str, list[str]]:
    """Row of a method -> the rows of its configurations, the default first.

    A text that is a configuration of a method before it has no group of its own.
    """
    groups: dict[str, list[str]] = {}
    seen: set[str] = set()
    for text in texts:
        if label_of(text, registry) not in seen:
            names = configurations(text, registry)
            seen |= {label_of(name, registry) for name in names}
            rows = [row_name(name, suite, registry) for name in names]
            groups[rows[0]] = list(dict.fromkeys(rows))
    return groups


def groups_to_tune(texts: Sequence[str], suite: Suite, registry: Registry) -> dict[str, list[str]]:
    """The configurations of these methods, or without any of each method of the suite.

    Raises UsageError where there is nothing to choose.
    """
    found = grouped(texts or tunable(suite.model, registry), suite, registry)
    groups = {row: names for row, names in found.items() if len(names) > 1}
    if found and not groups:
        raise UsageError(
            f"there is nothing to tune: {', '.join(found)} has one configuration; declare others, "
            'e.g. tunings = ({"k": 5}, {"k": 20}) in the class of the mitigation, or leave --tune '
            "out"
        )
    if not groups:
        raise UsageError(
            f"there is nothing to tune: no method of suite {suite.name} has several configurations "
            "(`tunings`); name one with --mitigation NAME --tune"
        )
    return groups


def listed(model: SuiteModel) -> list[str]:
    """All mitigations that a suite names, each once."""
    lists = [model.mitigations, *(task.mitigations or [] for task in model.tasks)]
    return list(dict.fromkeys(text for texts in lists for text in texts))


def tunable(model: SuiteModel, registry: Registry) -> list[str]:
    """The methods of a suite that have several configurations; defaults before other values."""
    texts = [text for text in listed(model) if len(configurations(text, registry)) > 1]
    return sorted(texts, key=lambda text: "(" in label_of(text, registry))


def with_configurations(model: SuiteModel, registry: Registry) -> SuiteModel:
    """The suite with all configurations of its methods, each where its method is listed."""
    return _lengthened(model, lambda text: configurations(text, registry))


def with_rows(model: SuiteModel, registry: Registry, groups: Iterable[Sequence[str]]) -> SuiteModel:
    """The suite with the rows of these groups, each where the first of its group is listed.

    Rows that the installed plugins cannot build are left out.
    """
    wanted: dict[str, list[str]] = {}
    for rows in groups:
        labels = {row: label for row in rows if (label := _known(row, registry)) is not None}
        if rows[0] in labels:
            wanted[labels[rows[0]]] = list(labels)[1:]
    return _lengthened(model, lambda text: [text, *wanted.get(label_of(text, registry), ())])


def _known(text: str, registry: Registry) -> str | None:
    try:
        return label_of(text, registry)
    except UserError:
        return None


def _lengthened(model: SuiteModel, more: Callable[[str], Collection[str]]) -> SuiteModel:
    """The suite with further mitigations after each one, none of them twice in a list."""
    found: Mapping[str, Collection[str]] = {text: more(text) for text in listed(model)}

    def longer(texts: list[str]) -> list[str]:
        return list(dict.fromkeys(name for text in texts for name in found[text]))

    tasks = [
        task
        if task.mitigations is None
        else task.model_copy(update={"mitigations": longer(task.mitigations)})
        for task in model.tasks
    ]
    return model.model_copy(update={"mitigations": longer(model.mitigations), "tasks": tasks})
