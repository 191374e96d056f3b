"""Commands about plugins: list, show, plugins, check."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from ..display import visible
from .options import JSON, PLUGIN, Spec, loaded
from .output import MISMATCH, say, say_json, tell

BROKEN = 3  # exit code for a broken plugin that was named


@click.command("list")
@PLUGIN
@JSON
def list_(plugin_files, as_json):
    """List suites, data generators, models, protocols, mitigations and controls.

    \b
    Example:
      collapse-bench list --plugin mine.py
    """

    from ..registry.discovery import KINDS

    reg = loaded(plugin_files)
    found = {"suite": {path.stem: _title(path) for path in reg.suites}}
    for kind in KINDS:
        found[kind] = {
            name: _first_sentence(cls) for name, cls in sorted(reg.classes[kind].items())
        }
    if as_json:
        say_json(found)
        return
    for kind, names in found.items():
        say(bold=f"{kind}s")
        for name, line in names.items():
            say(f"  {name:<22}{visible(line)}")


@click.command()
@click.argument("name")
@PLUGIN
@JSON
def show(name, plugin_files, as_json):
    """Show the documentation and the parameters of a plugin, or the contents of a suite.

    \b
    Example:
      collapse-bench show ridge
    """
    import inspect
    import tomllib

    from ..errors import UsageError
    from ..registry.building import parameters
    from ..registry.discovery import KINDS
    from ..suggest import nearest
    from ..suite.model import read_suite, suite_text

    reg = loaded(plugin_files)
    found = [(kind, reg.classes[kind][name]) for kind in KINDS if name in reg.classes[kind]]
    suites = {path.stem: path for path in reg.suites}
    if not found and name in suites:
        text = suite_text(suites[name])
        if as_json:
            read_suite(suites[name])  # refuses what is not TOML
            say_json(tomllib.loads(text))
        else:
            say(text)
        return
    if not found:
        known = {n for kind in KINDS for n in reg.classes[kind]} | set(suites)
        raise UsageError(f"no plugin and no suite is called {name!r}{nearest(name, known)}")
    rows = [
        {
            "name": name,
            "kind": kind,
            "version": cls.version,
            "fits": list(cls.kinds) if cls.kinds else "all kinds of data",
            "plugin": reg.owners[kind, name],
            "doc": inspect.getdoc(cls) or "",
            "parameters": parameters(cls),
        }
        for kind, cls in found
    ]
    if as_json:
        say_json(rows)
        return
    for item in rows:
        say(
            f"  ({item['kind']}, version {visible(item['version'])}, {visible(item['plugin'])})",
            bold=item["name"],
        )
        say(f"\n{item['doc']}\n")
        for p in item["parameters"]:
            limits = f", {p['allowed']}" if p["allowed"] else ""
            default = visible(p["default"])
            say(f"  {p['name']} = {default}  [{p['type']}{limits}]  {visible(p['doc'])}")


@click.command()
@JSON
@click.option("--trace", "trace", help="Show the traceback of this plugin (part of its name).")
@PLUGIN
def plugins(as_json, trace, plugin_files):
    """List all plugins that were found, and those that could not be loaded.

    Exits 3 if a plugin that --plugin or --trace names is broken.

    \b
    Examples:
      collapse-bench plugins
      collapse-bench plugins --trace broken_one
    """

    from ..errors import NothingMatched
    from ..registry.discovery import Registry

    reg = Registry.discover()
    named = [reg.file(path) for path in plugin_files]
    if trace is not None:
        found = [p for p in reg.broken if trace in p.module or trace in p.source]
        if not found:
            raise NothingMatched(f"no broken plugin has {trace!r} in its name")
        for plugin in found:
            say(plugin.trace)
        sys.exit(BROKEN)
    if as_json:
        say_json([vars(p) for p in reg.plugins])
    else:
        width = 2 + max((len(visible(p.module)) for p in reg.plugins), default=0)
        for p in reg.plugins:
            offers = ", ".join(f"{name} ({kind})" for kind, name in p.offers) or "no components"
            word = "BROKEN" if p.broken else "ok"
            say(f"{word:<7}{visible(p.module):<{width}}{visible(p.error or offers)}")
    if any(p.broken for p in named):
        sys.exit(BROKEN)


@click.command()
@click.argument("names", nargs=-1, type=Spec(), metavar="[NAME | SPEC]...")
@click.option("--only", multiple=True, metavar="ID", help="Run this check only; repeat for more.")
@click.option("--list", "list_checks", is_flag=True, help="List all checks and exit.")
@click.option(
    "--allow-skipped", is_flag=True, help="Exit 0 although an essential check was skipped."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, one object per check.")
@PLUGIN
def check(names, only, list_checks, allow_skipped, as_json, plugin_files):
    """Run the conformance kit on the named plugins, or on all that the plugin files offer.

    Prints one line per failure and the counts.  Exits 4 if a check fails, or if an essential check
    cannot run.

    \b
    Examples:
      collapse-bench check ridge
      collapse-bench check "ridge(lam=3)" --only model.weight-two-is-twice
      collapse-bench check --plugin mine.py
      collapse-bench check --list
    """
    from dataclasses import asdict

    from ..checks import checks_of
    from ..checks.kit import known_ids
    from ..errors import NothingMatched

    only = known_ids(only) if only else None
    if list_checks:
        _list_checks(only, as_json)
        return
    subjects = _subjects(names, plugin_files)
    results = []
    for subject in subjects:
        for one in checks_of(subject.role, only):
            results.append((f"{subject.role} {subject.spec}", one.run(subject)))
            if not as_json:
                _say(*results[-1])
    if not results:
        raise NothingMatched(
            f"none of the checks {', '.join(sorted(only))} is for "
            f"{', '.join(s.role for s in subjects)}"
        )
    if as_json:
        say_json([{"plugin": who, **asdict(o)} for who, o in results])
    counts = {
        status: sum(o.status == status for _, o in results)
        for status in ("passed", "failed", "warned", "skipped")
    }
    unchecked = sum(o.not_checked for _, o in results)
    if not as_json:
        line = ", ".join(f"{n} {status}" for status, n in counts.items() if n or status != "warned")
        say(line + f" ({unchecked} of them essential)" * bool(unchecked))
    if unchecked and not allow_skipped:
        tell("an essential check was skipped; --allow-skipped accepts that")
    if counts["failed"] or (unchecked and not allow_skipped):
        sys.exit(MISMATCH)


def _subjects(names, plugin_files) -> list:
    """The plugins to check, by role.  Raises UsageError where nothing is named."""
    from ..checks.kit import subjects_named
    from ..errors import UsageError
    from ..registry.discovery import KINDS, registry
    from ..spec import parse_call

    reg = registry(plugin_files)
    files = {str(Path(path).absolute()) for path in plugin_files}
    offered = [
        name for plugin in reg.plugins if plugin.source in files for _, name in plugin.offers
    ]
    calls = dict.fromkeys(map(parse_call, names or offered))
    if not calls:
        raise UsageError(
            "name a plugin, or a file of plugins: collapse-bench check --plugin mine.py"
        )
    subjects = [subject for call in calls for subject in subjects_named(call, reg)]
    return sorted(subjects, key=lambda subject: list(KINDS).index(subject.role))


def _list_checks(only, as_json: bool) -> None:

    from ..checks import CHECKS

    checks = [c for id, c in sorted(CHECKS.items()) if only is None or id in only]
    if as_json:
        fields = ("id", "role", "essential", "sentence")
        say_json([{f: getattr(c, f) for f in fields} for c in checks])
        return
    for c in checks:
        say(f"{c.id:<42}{c.sentence}{' (essential)' * c.essential}")


def _say(who: str, outcome) -> None:
    """One line for an outcome that needs attention."""
    if outcome.not_checked:
        say(f"not checked  {visible(who)}: {outcome.id}, because {visible(outcome.sentence)}")
    elif outcome.status in ("failed", "warned"):
        word = {"failed": "failed", "warned": "warning"}[outcome.status]
        say(f"{word:<13}{visible(who)}: {outcome.id}: {visible(outcome.sentence)}")


def _first_sentence(cls: type) -> str:
    import inspect

    paragraph = " ".join(inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.?!])(?=\s+[A-Z])", paragraph, maxsplit=1)[0]


def _title(path: Path) -> str:
    from ..errors import UserError
    from ..suite.model import read_suite

    try:
        return read_suite(path).title
    except UserError as problem:
        return f"BROKEN: {problem}"
