"""Commands about plugins: list, show, plugins, check."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from .options import PLUGIN, Spec, warn_broken


@click.command("list")
@PLUGIN
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_(plugin_files, as_json):
    """List suites, data generators, models, protocols, mitigations and controls.

    \b
    Example:
      collapse-bench list --plugin mine.py
    """
    import json

    from ..registry.discovery import KINDS, registry

    reg = registry(plugin_files)
    warn_broken(reg)
    found = {"suite": {path.stem: _title(path) for path in reg.suites}}
    for kind in KINDS:
        found[kind] = {
            name: _first_sentence(cls) for name, cls in sorted(reg.classes[kind].items())
        }
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for kind, names in found.items():
        click.echo(click.style(f"{kind}s", bold=True))
        for name, line in names.items():
            click.echo(f"  {name:<22}{line}")


@click.command()
@click.argument("name")
@PLUGIN
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show(name, plugin_files, as_json):
    """Show the documentation and the parameters of a plugin, or the contents of a suite.

    \b
    Example:
      collapse-bench show ridge
    """
    import inspect
    import json
    import tomllib

    from ..errors import UsageError
    from ..registry.building import parameters
    from ..registry.discovery import KINDS, registry
    from ..suggest import nearest

    reg = registry(plugin_files)
    warn_broken(reg)
    found = [(kind, reg.classes[kind][name]) for kind in KINDS if name in reg.classes[kind]]
    suites = {path.stem: path for path in reg.suites}
    if not found and name in suites:
        text = suites[name].read_text(encoding="utf-8")
        click.echo(json.dumps(tomllib.loads(text), indent=1) if as_json else text)
        return
    if not found:
        known = {n for kind in KINDS for n in reg.classes[kind]} | set(suites)
        raise UsageError(f"no plugin and no suite is called {name!r}{nearest(name, known)}")
    told = [
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
        click.echo(json.dumps(told, indent=1, default=str))
        return
    for item in told:
        click.echo(
            click.style(f"{item['name']}", bold=True)
            + f"  ({item['kind']}, version {item['version']}, {item['plugin']})"
        )
        click.echo(f"\n{item['doc']}\n")
        for p in item["parameters"]:
            limits = f", {p['allowed']}" if p["allowed"] else ""
            click.echo(f"  {p['name']} = {p['default']}  [{p['type']}{limits}]  {p['doc']}")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--trace", "trace", help="Show the traceback of this plugin (part of its name).")
@PLUGIN
def plugins(as_json, trace, plugin_files):
    """List all plugins that were found, and those that could not be loaded.

    \b
    Examples:
      collapse-bench plugins
      collapse-bench plugins --trace broken_one
    """
    import json

    from ..errors import NothingMatched
    from ..registry.discovery import Registry

    reg = Registry.discover()
    named = [reg.file(path) for path in plugin_files]
    if trace is not None:
        found = [p for p in reg.broken if trace in p.module or trace in p.source]
        if not found:
            raise NothingMatched(f"no broken plugin has {trace!r} in its name")
        for plugin in found:
            click.echo(plugin.trace)
        return
    if as_json:
        click.echo(json.dumps([vars(p) for p in reg.plugins], indent=1, default=str))
    else:
        for p in reg.plugins:
            offers = ", ".join(f"{name} ({kind})" for kind, name in p.offers) or "suites or nothing"
            click.echo(f"{'BROKEN' if p.broken else 'ok':<7}{p.module:<50}{p.error or offers}")
    if any(p.broken for p in named):
        sys.exit(3)


@click.command()
@click.argument("names", nargs=-1, type=Spec(), metavar="[NAME | SPEC]...")
@PLUGIN
def check(names, plugin_files):
    """Hold plugins to the conformance kit: those named, or else all that the plugin files offer.

    \b
    Examples:
      collapse-bench check ridge
      collapse-bench check "ridge(lam=3)"
      collapse-bench check --plugin mine.py
    """
    from ..checks import outcomes
    from ..errors import UsageError
    from ..registry.discovery import KINDS, registry
    from ..spec import parse_call
    from ..suggest import nearest

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
    known = {name for kind in KINDS for name in reg.classes[kind]}
    for call in calls:
        if call.name not in known:
            raise UsageError(f"no plugin is called {call.name!r}{nearest(call.name, known)}")
    counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
    for kind, call in (
        (kind, call) for kind in KINDS for call in calls if call.name in reg.classes[kind]
    ):
        for outcome in outcomes(
            kind, reg.build(kind, call) if call.args else reg.find(kind, call.name), reg
        ):
            counts[outcome.status] += 1
            click.echo(
                f"{outcome.status:<8}{kind} {call}: {outcome.name}"
                + f"  ({outcome.sentence})" * bool(outcome.sentence)
            )
    click.echo(", ".join(f"{n} {status}" for status, n in counts.items()), err=True)
    if counts["failed"]:
        sys.exit(4)


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
