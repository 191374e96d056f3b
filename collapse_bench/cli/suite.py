"""Commands about suites."""

from __future__ import annotations

import click

from ..display import visible
from .options import JOBS, PLUGIN, QUIET, begun, loaded
from .output import say, words_to_stderr


@click.group()
def suite():
    """Work on suite files.

    \b
    Example:
      collapse-bench suite calibrate my-suite.toml -j 2
    """


@suite.command()
@click.argument("name")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=str),
    help="Keep the calibration chains in this folder.",
)
@JOBS
@PLUGIN
@QUIET
def calibrate(name, output, n_jobs, plugin_files, quiet):
    """Measure floors and gaps on 256 reserved chains per task, and write them into a suite file.

    \b
    Example:
      collapse-bench suite calibrate my-suite.toml -j 2
    """
    from .. import api
    from .progress import Reporter

    loaded(plugin_files)

    def on_plan(steps, jobs):
        if output is not None:  # else the chains are in a temporary folder
            begun()
        reporter.planned(steps, jobs)

    with words_to_stderr(), Reporter(quiet) as reporter:
        rows = api.calibrate(
            name,
            output=output,
            n_jobs=n_jobs,
            plugins=plugin_files,
            on_plan=on_plan,
            on_outcome=reporter.ended,
        )
    for row in rows:
        say(
            f"gap {row.gap:8.3f} +- {row.gap_sd / row.chains**0.5:.3f}  floor {row.floor:.3g}  "
            f"{visible(row.task)}"
        )
