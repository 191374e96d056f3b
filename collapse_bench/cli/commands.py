"""The commands.  Each reads its options, calls one function of the API and shows what came back."""

from __future__ import annotations

import re
import shlex
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

FORMATS = ("table", "markdown", "csv", "json")


class Bytes(click.ParamType):
    name = "size"

    def convert(self, value, param, ctx):
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKmMgG]?)(i?[bB])?", value)
        if not match or float(match[1]) <= 0:
            self.fail(f"{value!r} is not a size; write 512M or 2G")
        return int(float(match[1]) * 1024 ** " KMG".index(match[2].upper() or " "))


class Spec(click.types.StringParamType):
    envvar_list_splitter = ";"  # a spec may hold spaces


class Duration(click.ParamType):
    name = "time"

    def convert(self, value, param, ctx):
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", value)
        if not match or float(match[1]) <= 0:
            self.fail(f"{value!r} is not a time; write 90, 90s, 10m or 2h")
        return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _set(ctx, param, pairs: tuple[str, ...]) -> dict[str, Any]:
    """key=value pairs in the spec language: numbers, words, lists."""
    out = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r} is not key=value")
        if key in ("protocols", "mitigations"):
            out[key] = [item.strip() for item in text.strip("[]").split(";")]
        else:
            from ..errors import Refusal
            from ..spec import parse_call

            try:
                out[key] = dict(parse_call(f"set({key}={text})").args)[key]
            except Refusal as problem:
                raise click.BadParameter(f"{pair!r}: {text!r} is neither a number nor a word") from problem
    return out


PLUGIN = click.option(
    "--plugin", "plugin_files", multiple=True, type=click.Path(path_type=str), help="Load one plugin file as well."
)
OUTPUT = click.option(
    "-o",
    "--output",
    default="results",
    show_default=True,
    type=click.Path(path_type=str),
    help="Folder of the records.",
)
SEEDS = click.option("--seeds", help="Chains to run: 0:64, 7, or 0:4,10:12.  [default: the suite's]")
MITIGATION = click.option(
    "--mitigation",
    "mitigations",
    multiple=True,
    type=Spec(),
    help="A further entry; the first one is compared with all others.",
)
SET = click.option(
    "--set",
    "settings",
    multiple=True,
    callback=_set,
    help="Change a setting of the suite: n=50, generations=5, protocols=replace;accumulate.",
)
BUDGET = click.option(
    "--budget",
    help="What an entry may use per chain, e.g. real=0.1,verifier=1000; past it the cell is over-budget.",
)
QUICK = click.option(
    "--quick", is_flag=True, help="Run the --mitigation entries alone; take the others from published records."
)
PUBLISHED = click.option(
    "--published",
    type=click.Path(path_type=str),
    help="File of published records.  [default with --quick: the repository's]",
)
DEVICE = click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:0 or auto.")
SUITE = click.option("--suite", "suite_name", help="Which suite, where the folder holds several.")


@click.command()
@click.argument("what", nargs=-1, required=True)
@SEEDS
@DEVICE
@click.option("-j", "--n-jobs", default=1, show_default=True, type=click.IntRange(1), help="Worker processes.")
@OUTPUT
@PLUGIN
@MITIGATION
@SET
@BUDGET
@click.option(
    "--memory", default="512M", show_default=True, type=Bytes(), help="Memory for the rows of one chunk of chains."
)
@click.option(
    "--timeout", type=Duration(), help="Time limit per job, e.g. 10m; what exceeds it is recorded as timeout."
)
@QUICK
@PUBLISHED
@click.option("--force", is_flag=True, help="Run again what is done.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first cell that fails.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no leaderboard.")
def run(
    what,
    seeds,
    device,
    n_jobs,
    output,
    plugin_files,
    mitigations,
    settings,
    budget,
    memory,
    timeout,
    quick,
    published,
    force,
    fail_fast,
    quiet,
):
    """Run a suite, or cells written as specs, and show the leaderboard.

    Running is resuming: what is done is reused.

    \b
    Examples:
      collapse-bench run smoke -j 2
      collapse-bench run smoke --plugin mine.py --mitigation mine
      collapse-bench run standard --plugin mine.py --mitigation mine --quick
      collapse-bench run smoke --budget real=0.1,verifier=1000
      collapse-bench run "linear(d=20) | ridge(lam=0.1) | mix(real=0.1) | golden-ratio @ n=100 T=10" --seeds 0:64
    """
    from .. import api
    from ..registry import registry
    from .progress import Reporter

    reg = registry(plugin_files)
    warn_broken(reg)
    suite = api.load_suite(
        what,
        reg,
        seeds=seeds,
        mitigations=mitigations,
        settings=settings,
        device=api.device_of(device),
        budget=budget,
    )
    skipped = len(suite.skipped_tasks)
    with redirect_stdout(sys.stderr), Reporter(quiet, fail_fast, skipped) as reporter:  # a plugin may print
        results = api.run_suite(
            suite,
            output=output,
            n_jobs=n_jobs,
            plugins=plugin_files,
            archive=api.archive_of(suite, published) if quick or published else None,
            only=api.entry_names(mitigations, reg) if quick else None,
            memory=memory,
            timeout=timeout,
            force=force,
            on_plan=lambda steps, jobs: reporter.planned(steps, jobs, api.estimate_of(suite, steps, output), n_jobs),
            on_outcome=reporter.ended,
            on_progress=reporter.moved,
        )
    if not quiet:
        try:
            click.echo(results.board().render("table", width=_width()))
        except api.NothingMatched as problem:
            click.echo(str(problem), err=True)
    command = shlex.join(["collapse-bench", *sys.argv[1:]])
    click.echo(f"records: {Path(output).resolve()}\nto go on:  {command}", err=True)
    starved = [outcome for outcome in results.outcomes if "starved" in outcome.statuses]
    if starved:
        chains = sum(outcome.statuses["starved"] for outcome in starved)
        click.echo(f"{chains} chain(s) starved, which counts as failing; the first: {starved[0].reason}", err=True)
    if results.failed:
        click.echo(f"{len(results.failed)} job(s) failed, the first: {results.failed[0].reason}", err=True)
        sys.exit(1)


@click.command()
@click.argument("what", nargs=-1, required=True)
@SEEDS
@OUTPUT
@PLUGIN
@MITIGATION
@SET
@BUDGET
@QUICK
@PUBLISHED
@click.option("-j", "--n-jobs", default=1, show_default=True, type=click.IntRange(1), help="Worker processes.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, each skipped cell by itself.")
def plan(what, seeds, output, plugin_files, mitigations, settings, budget, quick, published, n_jobs, as_json):
    """Say for each cell what a run would do: reuse, run, stale or skip, and why; and how long it would take.

    \b
    Examples:
      collapse-bench plan smoke --seeds 0:64
      collapse-bench plan standard --plugin mine.py --mitigation mine --quick
    """
    import json
    from collections import Counter

    from .. import api
    from ..registry import registry
    from .progress import VERDICTS, took

    reg = registry(plugin_files)
    warn_broken(reg)
    suite = api.load_suite(what, reg, seeds=seeds, mitigations=mitigations, settings=settings, budget=budget)
    suite, steps = api.plan_run(
        suite,
        output=output,
        archive=api.archive_of(suite, published) if quick or published else None,
        only=api.entry_names(mitigations, reg) if quick else None,
    )
    rows = [
        {"verdict": s.verdict, "chains": len(s.todo), "cell": s.entry.cell.label, "id": s.entry.cell.id, "why": s.why}
        for s in steps
    ]
    rows += [
        {"verdict": "skip", "chains": 0, "cell": task, "id": None, "why": why}
        for task, why in suite.skipped_tasks.items()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    idle = [step for step in steps if step.verdict in api.IDLE]
    for (verdict, name, why), cells in Counter((s.verdict, s.entry.name, s.why) for s in idle).items():
        click.echo(f"{verdict:<8}{cells:>4} cell(s) of {name}  ({why})")
    for row in rows:
        if row["id"] is None or row["verdict"] not in api.IDLE:
            click.echo(f"{row['verdict']:<8}{row['chains']:>4}  {row['cell']}  ({row['why']})")
    counts = Counter(row["verdict"] for row in rows)
    counts = {verdict: counts[verdict] for verdict in VERDICTS if counts[verdict] or verdict != "left out"}
    told = took(api.estimate_of(suite, steps, output), n_jobs)
    click.echo(", ".join(f"{n} {verdict}" for verdict, n in counts.items()) + told, err=True)


@click.command()
@click.argument("path", type=click.Path(path_type=str))
@SUITE
@click.option(
    "--format", "form", default="table", show_default=True, type=click.Choice(FORMATS), help="How it is written."
)
@click.option("--focus", help="Compare this entry with all others (name it before you look).")
@click.option("--tasks", is_flag=True, help="One row per entry and task instead of one per entry.")
@click.option("--across", is_flag=True, help="One row per entry, one column per task.")
@click.option(
    "--curves", "figure", type=click.Path(path_type=str), help="Draw loss against generation to a PNG or SVG file."
)
@click.option("-o", "--output", type=click.Path(path_type=str), help="Write to a file instead of the terminal.")
def board(path, suite_name, form, focus, tasks, across, figure, output):
    """Show the leaderboard of a folder of records.

    \b
    Examples:
      collapse-bench board results
      collapse-bench board results --across
      collapse-bench board results --tasks --format csv > tasks.csv
      collapse-bench board results --curves curves.png
    """
    from .. import api
    from ..board.curves import picture
    from ..board.render import writable

    for file, look in ((output, writable), (figure, picture)):
        if file:
            look(file)  # better said now than after the table
    results = api.results(path, suite_name)
    table = results.board(focus)
    text = table.render(form, per_task=tasks, width=_width(), across=across)
    if output:
        Path(output).write_text(text + "\n", encoding="utf-8")
        click.echo(f"written: {output}", err=True)
    else:
        click.echo(text)
    if figure:
        click.echo(f"written: {results.draw(figure)}", err=True)


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

    from ..registry import KINDS, registry

    reg = registry(plugin_files)
    warn_broken(reg)
    found = {"suite": {path.stem: _title(path) for path in reg.suites}}
    for kind in KINDS:
        found[kind] = {name: _first_sentence(cls) for name, cls in sorted(reg.classes[kind].items())}
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
    from ..registry import KINDS, nearest, parameters, registry

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
    from ..registry import Registry

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
        click.echo(json.dumps([vars(p) for p in reg.plugins], indent=1))
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
    from ..registry import KINDS, nearest, registry
    from ..spec import parse_call

    reg = registry(plugin_files)
    files = {str(Path(path).absolute()) for path in plugin_files}
    offered = [name for plugin in reg.plugins if plugin.source in files for _, name in plugin.offers]
    calls = dict.fromkeys(map(parse_call, names or offered))
    if not calls:
        raise UsageError("name a plugin, or a file of plugins: collapse-bench check --plugin mine.py")
    known = {name for kind in KINDS for name in reg.classes[kind]}
    for call in calls:
        if call.name not in known:
            raise UsageError(f"no plugin is called {call.name!r}{nearest(call.name, known)}")
    counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
    for kind, call in ((kind, call) for kind in KINDS for call in calls if call.name in reg.classes[kind]):
        for outcome in outcomes(kind, reg.build(kind, call) if call.args else reg.find(kind, call.name), reg):
            counts[outcome.status] += 1
            click.echo(
                f"{outcome.status:<8}{kind} {call}: {outcome.name}" + f"  ({outcome.sentence})" * bool(outcome.sentence)
            )
    click.echo(", ".join(f"{n} {status}" for status, n in counts.items()), err=True)
    if counts["failed"]:
        sys.exit(4)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def laws(as_json):
    """List the closed forms: name, standing, and what each says.

    \b
    Example:
      collapse-bench laws --json
    """
    import json

    from .. import theory

    known = theory.laws()
    if as_json:
        told = {
            name: {
                "status": law.status,
                "summary": law.summary,
                "source": law.source,
                "parameters": list(law.parameters),
            }
            for name, law in known.items()
        }
        click.echo(json.dumps(told, indent=1))
        return
    width = 2 + max(map(len, known))
    for name, law in known.items():
        click.echo(f"{name:<{width}}{law.status:<11}{law.summary}")
    click.echo("\n" + "\n".join(f"{word:<11}{meaning}" for word, meaning in theory.STATUS.items()))


@click.command()
@click.argument("name")
@click.argument("parameters", nargs=-1, metavar="[KEY=VALUE]...")
def law(name, parameters):
    """Print the value of a closed form; without parameters, its documentation.

    \b
    Examples:
      collapse-bench law gaussian.w2_mean
      collapse-bench law gaussian.w2_mean M=64 k=7 sigma=2.0
      collapse-bench law tails.hutter beta=1.5 T=1000 kind=cut k=100
    """
    from .. import theory

    if not parameters:
        click.echo(theory.documentation(name))
        return
    given = {}
    for key, value in map(_typed, parameters):
        if key in given:
            raise click.BadParameter(f"{key} is given twice")
        given[key] = value
    click.echo(repr(theory.evaluate(name, **given)))


def _typed(pair: str) -> tuple[str, Any]:
    """A parameter as it is typed: a number, true, false, none or a word."""
    key, equals, text = pair.partition("=")
    if not equals:
        raise click.BadParameter(f"{pair!r} is not key=value")
    words = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return key, words[text.lower()]
    for kind in (int, float):
        try:
            return key, kind(text)
        except ValueError:
            continue
    return key, text


@click.command()
@click.argument("spec", type=Spec())
@PLUGIN
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def predict(spec, plugin_files, as_json):
    """Print the expected primary loss of a cell by its law, generation by generation.

    \b
    Example:
      collapse-bench predict "gaussian | gaussian-fit | replace @ n=100 T=10"
    """
    import json
    import math

    from .. import api
    from ..registry import registry

    warn_broken(registry(plugin_files))
    curve = api.predict(spec, plugins=plugin_files)
    cell = registry().cell(spec)
    if as_json:
        told = [None if math.isnan(value) else value for value in curve]
        click.echo(json.dumps({"cell": cell.label, "metric": cell.data.primary, "predicted": told}, indent=1))
        return
    click.echo(f"{'generation':>10}  {cell.data.primary}")
    for t, value in enumerate(curve):
        click.echo(f"{t:>10}  {value:.8g}")


@click.command("verify-laws")
@click.argument("words", nargs=-1)
@click.option("--quick", is_flag=True, help="A tenth of the chains: about a minute on two cores.")
@click.option("-j", "--n-jobs", default=1, show_default=True, type=click.IntRange(1), help="Worker processes.")
@click.option(
    "--format", "form", default="table", show_default=True, type=click.Choice(FORMATS), help="How it is written."
)
@PLUGIN
def verify_laws(words, quick, n_jobs, form, plugin_files):
    """Run the engine against the closed forms that must hold for it, or those whose name holds one of the words.

    Exit code 4 where one is violated.

    \b
    Examples:
      collapse-bench verify-laws --quick -j 2
      collapse-bench verify-laws gaussian tails
    """
    from .. import api
    from ..board.laws import render_laws
    from ..executors.jobs import one_thread
    from ..registry import registry
    from .progress import bar

    warn_broken(registry(plugin_files))
    with redirect_stdout(sys.stderr), bar("laws") as moved, one_thread():
        found = api.verify_laws(
            words,
            quick=quick,
            n_jobs=n_jobs,
            plugins=plugin_files,
            on_verdicts=lambda some, total: moved(len(some), total),
        )
    click.echo(render_laws(found, form, width=_width()))
    if not all(verdict.good for verdict in found):
        sys.exit(4)


@click.command()
@click.argument("name", required=False)
@click.option("--list", "as_list", is_flag=True, help="List the figures.")
@click.option(
    "--scale",
    default="quick",
    show_default=True,
    type=click.Choice(["quick", "paper"]),
    help="Minutes, or as published.",
)
@click.option(
    "--data", type=click.Path(path_type=str), help="Folder of real images (idx files), where a figure uses them."
)
@click.option(
    "-o", "--output", default="figures", show_default=True, type=click.Path(path_type=str), help="Folder of the files."
)
@click.option("-j", "--n-jobs", default=1, show_default=True, type=click.IntRange(1), help="Worker processes.")
@DEVICE
@PLUGIN
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def reproduce(name, as_list, scale, data, output, n_jobs, device, plugin_files, quiet):
    """Redraw a figure of a paper: measured and, dashed, predicted; to PNG, SVG and CSV.

    \b
    Examples:
      collapse-bench reproduce --list
      collapse-bench reproduce pi-squared-over-six -j 2
      collapse-bench reproduce strong-collapse-images --data mnist --scale paper
    """
    import inspect

    from .. import api
    from ..errors import UsageError
    from ..registry import registry
    from .progress import Reporter

    reg = registry(plugin_files)
    warn_broken(reg)
    if as_list:
        for known, make in reg.figures.items():
            click.echo(f"{known:<26}{(inspect.getdoc(make) or '').partition(chr(10))[0]}")
        return
    if name is None:
        raise UsageError("name a figure; 'collapse-bench reproduce --list' shows them all")
    with redirect_stdout(sys.stderr), Reporter(quiet) as reporter:
        numbers, files = api.reproduce(
            name,
            scale=scale,
            data=data,
            output=output,
            n_jobs=n_jobs,
            plugins=plugin_files,
            device=device,
            on_plan=reporter.planned,
            on_outcome=reporter.ended,
        )
    told = numbers[numbers.z.notna()]
    if len(told):
        far = told.loc[told.z.abs().idxmax()]
        click.echo(
            f"{len(told)} points have a law; measured over predicted {told.ratio.min():.3f} to {told.ratio.max():.3f}, "
            f"largest |z| {abs(far.z):.1f} ({far['panel']}, {far['curve']}, x = {far.x:g})"
        )
    for file in files:
        click.echo(f"written: {file}")
    if numbers.measured.isna()[numbers.cell != ""].any():
        click.echo("some points could not be measured; see the records", err=True)
        sys.exit(1)


@click.group()
def suite():
    """Work on suite files.

    \b
    Example:
      collapse-bench suite calibrate my-suite.toml -j 2
    """


@suite.command()
@click.argument("name")
@click.option("-o", "--output", type=click.Path(path_type=str), help="Keep the calibration chains in this folder.")
@click.option("-j", "--n-jobs", default=1, show_default=True, type=click.IntRange(1), help="Worker processes.")
@PLUGIN
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def calibrate(name, output, n_jobs, plugin_files, quiet):
    """Freeze floors and gaps in a suite file, from 256 chains per task that no board ranks.

    \b
    Example:
      collapse-bench suite calibrate my-suite.toml -j 2
    """
    from .. import api
    from ..registry import registry
    from .progress import Reporter

    warn_broken(registry(plugin_files))
    with redirect_stdout(sys.stderr), Reporter(quiet) as reporter:
        rows = api.calibrate(
            name,
            output=output,
            n_jobs=n_jobs,
            plugins=plugin_files,
            on_plan=reporter.planned,
            on_outcome=reporter.ended,
        )
    for row in rows:
        click.echo(f"gap {row.gap:8.3f} +- {row.gap_sd / row.chains**0.5:.3f}  floor {row.floor:.3g}  {row.task}")


@click.command()
@click.argument("path", type=click.Path(path_type=str))
@SUITE
@click.option(
    "-o",
    "--output",
    default="leaderboard",
    show_default=True,
    type=click.Path(path_type=str),
    help="Folder of the files.",
)
@click.option(
    "--force",
    is_flag=True,
    help="In place of what is there; with changed settings, broken-off chains, rows of a quick run.",
)
def publish(path, suite_name, output, force):
    """Publish a finished run: its records in one file, its board, and what the numbers say.

    \b
    Example:
      collapse-bench publish results --suite standard -o mine
    """
    from .. import api

    for file in api.publish_run(path, output, suite_name, force):
        click.echo(f"written: {file}")


def warn_broken(reg) -> None:
    """One line for plugins that would not load and were not asked for."""
    if reg.broken:
        names = ", ".join(plugin.module for plugin in reg.broken)
        click.echo(f"warning: could not load {names}; see 'collapse-bench plugins'", err=True)


def _width() -> int | None:
    import shutil

    return shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else None


def _first_sentence(cls: type) -> str:
    import inspect

    paragraph = " ".join(inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].split())
    return re.match(r".*?(?:[.?!](?=\s+[A-Z])|$)", paragraph)[0]


def _title(path: Path) -> str:
    from ..errors import Refusal
    from ..suite import read_suite

    try:
        return read_suite(path).title
    except Refusal as problem:
        return f"BROKEN: {problem}"
