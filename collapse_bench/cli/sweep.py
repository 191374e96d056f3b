"""The command that compares values of a parameter: sweep."""

from __future__ import annotations

import click

from ..display import visible
from .options import (
    DEVICE,
    JOBS,
    PLUGIN,
    QUIET,
    Duration,
    Spec,
    begun,
    exit_where_failed,
    format_option,
    loaded,
    same_command,
    terminal_width,
)
from .output import say, tell, words_to_stderr


@click.command()
@click.argument("method", type=Spec())
@click.argument("cells", nargs=-1, type=Spec())
@click.option("--suite", "suite_name", help="Score on this suite.  [default: smoke, without CELLS]")
@click.option("--quick", is_flag=True, help="Half the chains, and one task of each family.")
@click.option(
    "-o",
    "--output",
    "files",
    multiple=True,
    type=click.Path(path_type=str),
    help="Write the curves to this file: .png, .svg or .pdf a picture, .csv the numbers "
    "(repeatable).",
)
@click.option(
    "--records",
    default="results",
    show_default=True,
    type=click.Path(path_type=str),
    help="Folder of the records; those of the sweep are in its folder tuning.",
)
@JOBS
@PLUGIN
@DEVICE
@click.option("--timeout", type=Duration(), help="Time limit per job, e.g. 10m.  [default: none]")
@format_option("Output format; table is a plot.")
@QUIET
def sweep(
    method,
    cells,
    suite_name,
    quick,
    files,
    records,
    n_jobs,
    plugin_files,
    device,
    timeout,
    form,
    quiet,
):
    """Compare values of a parameter of METHOD, and confirm the best one on fresh seeds.

    A parameter with several values makes a curve; with several such parameters, one varies at a
    time and the others have their first value.  The chains have calibration seeds, so that no
    ranked board is tuned on its own exam; finished ones are reused, also by `run --tune`.

    \b
    Examples:
      collapse-bench sweep "fading(rate=0.01,0.02,0.05)"
      collapse-bench sweep "mine(strength=1,2,4, k=3,5)" --plugin mine.py --suite standard --quick
      collapse-bench sweep "real-anchor(k=1,5,20)" "gaussian | gaussian-fit | replace @ n=50 T=10"
      collapse-bench sweep "fading(rate=0.01,0.05)" -o fading.png -o fading.csv
    """
    from .. import api
    from ..board.swept import sweep_file
    from ..errors import UsageError
    from ..paths import named
    from .progress import Reporter

    if cells and suite_name is not None:
        raise UsageError("name a suite with --suite or type cells, not both")
    places = [sweep_file(named(file, "the curves")) for file in files]  # before the work
    loaded(plugin_files)
    resume, outcomes = same_command(), []

    def on_plan(steps, jobs):
        begun()
        reporter.planned(steps, jobs, None, n_jobs)

    def on_outcome(outcome):
        outcomes.append(outcome)
        reporter.ended(outcome)

    with words_to_stderr(), Reporter(quiet) as reporter:
        found = api.sweep(
            method,
            list(cells) if cells else suite_name or "smoke",
            quick=quick,
            device=device,
            output=records,
            plugins=plugin_files,
            n_jobs=n_jobs,
            timeout=timeout,
            on_plan=on_plan,
            on_outcome=on_outcome,
            on_progress=reporter.moved,
        )
    say(found.render(form, terminal_width()))
    for place in places:
        tell(f"written: {visible(found.save(place))}")
    exit_where_failed([outcome for outcome in outcomes if not outcome.good], resume)
