"""Commands about laws and the figures of papers."""

from __future__ import annotations

import sys
from typing import Any

import click

from ..display import visible
from .options import (
    DEVICE,
    JOBS,
    JSON,
    PLUGIN,
    QUIET,
    Spec,
    begun,
    format_option,
    key_and_value,
    loaded,
    terminal_width,
    warn_skipped,
)
from .output import MISMATCH, say, say_json, tell, words_to_stderr


@click.command()
@JSON
def laws(as_json):
    """List the closed forms: name, status and statement.

    \b
    Example:
      collapse-bench laws --json
    """
    from .. import theory

    known = theory.laws()
    if as_json:
        listed = {
            name: {
                "status": law.status,
                "summary": law.summary,
                "source": law.source,
                "parameters": list(law.parameters),
            }
            for name, law in known.items()
        }
        say_json(listed)
        return
    width = 2 + max(map(len, known))
    for name, law in known.items():
        say(f"{name:<{width}}{law.status:<11}{law.summary}")
    say("\n" + "\n".join(f"{word:<11}{meaning}" for word, meaning in theory.STATUS.items()))


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
        say(theory.documentation(name))
        return
    given = {}
    for key, value in map(_typed, parameters):
        if key in given:
            raise click.BadParameter(f"{key} is given twice")
        given[key] = value
    say(repr(theory.evaluate(name, **given)))


def _typed(pair: str) -> tuple[str, Any]:
    """A typed parameter: a number, true, false, none or a word."""
    key, text = key_and_value(pair)
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
@JSON
def predict(spec, plugin_files, as_json):
    """Print the primary loss that a law predicts for a cell, by generation.

    \b
    Example:
      collapse-bench predict "gaussian | gaussian-fit | replace @ n=100 T=10"
    """
    import math

    from .. import api

    reg = loaded(plugin_files)
    curve = api.predict(spec, plugins=plugin_files)
    cell = reg.cell(spec)
    if as_json:
        # JSON has neither NaN nor infinity
        predicted = [
            None if math.isnan(value) else value if math.isfinite(value) else str(value)
            for value in curve
        ]
        say_json({"cell": cell.label, "metric": cell.data.primary, "predicted": predicted})
        return
    say(f"{'generation':>10}  {visible(cell.data.primary)}")
    for t, value in enumerate(curve):
        say(f"{t:>10}  {'no law' if math.isnan(value) else f'{value:.8g}'}")
    if any(map(math.isnan, curve)):
        say("no law: no closed form is known for these generations of the cell")
    if any(map(math.isinf, curve)):
        say("inf: the expected loss is infinite there")


@click.command("verify-laws")
@click.argument("words", nargs=-1)
@click.option("--quick", is_flag=True, help="A tenth of the chains: about a minute on two cores.")
@JOBS
@format_option()
@PLUGIN
def verify_laws(words, quick, n_jobs, form, plugin_files):
    """Compare the engine with the closed forms; WORDS selects names that contain one of them.

    Exit code 4 if a law is violated.

    \b
    Examples:
      collapse-bench verify-laws --quick -j 2
      collapse-bench verify-laws gaussian tails
    """
    from .. import api
    from ..laws.tables import render_laws
    from ..running.jobs import one_thread
    from .progress import bar

    reg = loaded(plugin_files)
    with words_to_stderr(), bar("laws") as moved, one_thread():
        found = api.verify_laws(
            words,
            quick=quick,
            n_jobs=n_jobs,
            plugins=plugin_files,
            on_verdicts=lambda some, total: moved(len(some), total),
        )
    warn_skipped(reg)
    say(render_laws(found, form, width=terminal_width()))
    if not all(verdict.good for verdict in found):
        sys.exit(MISMATCH)


@click.command()
@click.argument("name", required=False)
@click.option("--list", "as_list", is_flag=True, help="List the figures.")
@click.option(
    "--scale",
    default="quick",
    show_default=True,
    type=click.Choice(["quick", "paper"]),
    help="quick takes minutes; paper uses the published sizes.",
)
@click.option(
    "--data",
    type=click.Path(path_type=str),
    help="Folder of real images (idx files), for figures that use them.",
)
@click.option(
    "-o",
    "--output",
    default="figures",
    show_default=True,
    type=click.Path(path_type=str),
    help="Folder of the files.",
)
@JOBS
@DEVICE
@PLUGIN
@QUIET
def reproduce(name, as_list, scale, data, output, n_jobs, device, plugin_files, quiet):
    """Redraw a figure of a paper as PNG, SVG and CSV: measured, and predicted (dashed).

    \b
    Examples:
      collapse-bench reproduce --list
      collapse-bench reproduce pi-squared-over-six -j 2
      collapse-bench reproduce strong-collapse-images --data mnist --scale paper
    """
    import inspect

    from .. import api
    from ..errors import UsageError
    from .progress import Reporter

    reg = loaded(plugin_files)
    if as_list:
        for known, make in reg.figures.items():
            line = (inspect.getdoc(make) or "").partition("\n")[0]
            say(f"{visible(known):<26}{visible(line)}")
        warn_skipped(reg)
        return
    if name is None:
        raise UsageError("name a figure; 'collapse-bench reproduce --list' shows them all")

    def on_plan(steps, jobs):
        begun()
        reporter.planned(steps, jobs)

    with words_to_stderr(), Reporter(quiet) as reporter:
        numbers, files = api.reproduce(
            name,
            scale=scale,
            data=data,
            output=output,
            n_jobs=n_jobs,
            plugins=plugin_files,
            device=device,
            on_plan=on_plan,
            on_outcome=reporter.ended,
        )
    known = numbers[numbers.z.notna()]
    if len(known):
        far = known.loc[known.z.abs().idxmax()]
        say(
            f"{len(known)} points have a law; measured / predicted from {known.ratio.min():.3f} to "
            f"{known.ratio.max():.3f}, "
            f"largest |z| {abs(far.z):.1f} ({visible(far['panel'])}, {visible(far['curve'])}, "
            f"x = {far.x:g})"
        )
    for file in files:
        say(f"written: {visible(file)}")
    if numbers.measured.isna()[numbers.cell != ""].any():
        tell("some points could not be measured; see the records")
        sys.exit(1)
