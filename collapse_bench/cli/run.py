"""Commands that run cells: run and plan."""

from __future__ import annotations

import sys

import click

from ..display import MOST, visible
from .options import (
    BUDGET,
    DEVICE,
    JOBS,
    MITIGATION,
    OUTPUT,
    PLUGIN,
    PUBLISHED,
    QUICK,
    SEEDS,
    SET,
    SIGNS,
    TUNE,
    Bytes,
    Duration,
    begun,
    colored,
    exit_where_failed,
    loaded,
    same_command,
    terminal_width,
)
from .output import NOT_SHOWN, Unseen, say, say_json, say_shown, tell, words_to_stderr

MOST_LISTED = 100  # cells to run that a plan lists one by one


@click.command()
@click.argument("what", nargs=-1, required=True)
@SEEDS
@DEVICE
@JOBS
@OUTPUT
@PLUGIN
@MITIGATION
@SET
@BUDGET
@click.option(
    "--memory",
    default="512M",
    show_default=True,
    type=Bytes(),
    help="Memory for the rows of the chains that run at once.",
)
@click.option(
    "--timeout",
    type=Duration(),
    help="Time limit per job, e.g. 10m; a longer job is recorded as timeout.  [default: none; code "
    "of plugins ends after 30m without progress]",
)
@QUICK
@PUBLISHED
@click.option("--force", is_flag=True, help="Run finished chains again.")
@TUNE
@SIGNS
@click.option("--fail-fast", is_flag=True, help="Stop at the first cell that fails.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no leaderboard.")
def run(plugin_files, fail_fast, quiet, **options):
    """Run a suite, or cells written as specs, and show the leaderboard.

    Finished chains are reused: the same command resumes an interrupted run.

    \b
    Examples:
      collapse-bench run smoke -j 2
      collapse-bench run smoke --plugin mine.py --mitigation mine
      collapse-bench run standard --plugin mine.py --mitigation mine --quick
      collapse-bench run mine.toml --mitigation distrust --tune
      collapse-bench run mine.toml --tune --signs -j 4
      collapse-bench run smoke --budget real=0.1,verifier=1000
      collapse-bench run "linear(d=20) | ridge | mix(real=0.1) | golden-ratio @ n=100" --seeds 0:64
    """
    from .. import api
    from .progress import Reporter

    request = api.RunRequest(plugins=plugin_files, **options)
    loaded(plugin_files)
    planned = api.plan(request)
    if (why := planned.warning()) is not None:
        tell(f"warning: {visible(why)}")
    resume = same_command()

    def on_plan(steps, jobs):
        begun()  # what is refused before this has nothing to resume
        reporter.planned(steps, jobs, planned.estimate(), request.n_jobs)

    with (
        words_to_stderr(),  # a plugin may print
        Reporter(
            quiet,
            fail_fast,
            len(planned.suite.skipped_tasks),
            None if quiet else api.standing_of(planned),
        ) as reporter,
    ):
        results = api.run_plan(
            planned,
            on_plan=on_plan,
            on_outcome=reporter.ended,
            on_progress=reporter.moved,
        )
    not_shown = None if quiet else _shown(results)
    tell(f"records:     {visible(results.output.resolve())}")
    starved = [outcome for outcome in results.outcomes if "starved" in outcome.statuses]
    if starved:
        chains = sum(outcome.statuses["starved"] for outcome in starved)
        reason = visible(starved[0].reason, MOST)
        tell(f"{chains} chain(s) starved, which counts as failed; the first: {reason}")
    if not_shown is not None:
        tell(f"the board cannot be shown: {not_shown}")
    exit_where_failed(results.failed, resume)
    if not_shown is not None:
        sys.exit(NOT_SHOWN)


def _shown(results) -> str | None:
    """Print the board, the card of the method that was named, and the notes; returns why they
    cannot be shown, or None."""
    from ..errors import UserError

    width, color = terminal_width(), colored()
    try:
        board = results.board()
        table = board.render("table", width=width, legend=width is None, color=color, notes=False)
        say_shown(table)
        if results.focus is not None:
            say_shown("\n" + results.card(board=board).render(width, color))
        say_shown("\n" + board.note_lines(width, legend=width is None))
    except (UserError, Unseen) as problem:
        return str(problem)
    return None


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
@TUNE
@SIGNS
@JOBS
@click.option("-v", "--verbose", is_flag=True, help="List all cells, one per line.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one object per cell.")
def plan(plugin_files, verbose, as_json, **options):
    """Show what a run would do with each cell (reuse, run, stale, unfit, skip or left out), why,
    and its time.

    Cells that are reused, skipped or left out are counted by reason, and so are those of each entry
    where more than 100 are to run.  Cells are unfit whose parts did not fit in an earlier run.  The
    last line has the totals, and the CPU time as far as earlier runs tell it.  What --tune and
    --signs run on calibration seeds comes first.

    \b
    Examples:
      collapse-bench plan smoke --seeds 0:64
      collapse-bench plan mine.toml --tune --signs
      collapse-bench plan standard --plugin mine.py --mitigation mine --quick
    """
    from collections import Counter
    from itertools import zip_longest

    from .. import api
    from ..suite.plan import VERDICTS
    from .progress import BASIC
    from .timing import took

    request = api.RunRequest(plugins=plugin_files, **options)
    loaded(plugin_files)
    planned = api.plan(request)
    steps = [*planned.steps_aside, *planned.steps]
    rows = [
        {
            "verdict": s.verdict,
            "chains": len(s.todo),
            "cell": s.entry.cell.label,
            "id": s.entry.cell.id,
            "why": s.why,
        }
        for s in steps
    ]
    rows += [
        {"verdict": "skip", "chains": 0, "cell": task, "id": None, "why": why}
        for task, why in planned.suite.skipped_tasks.items()
    ]
    if as_json:
        say_json(rows)
        return
    counted = _counted(steps, verbose)
    for group in dict.fromkeys(counted.values()):
        some = [step for step in steps if counted.get(id(step)) == group]
        verdict, name, why = map(visible, group)
        of = f" of {name}" if name else ""
        chains = sum(len(step.todo) for step in some)
        more = f", {chains} chain(s)" if chains else ""
        say(f"{verdict:<8}{len(some):>4} cell(s){of}{more}  ({why})")
    for step, row in zip_longest(steps, rows):
        if step is None or id(step) not in counted:
            cell, why = visible(row["cell"]), visible(row["why"])
            say(f"{row['verdict']:<8}{row['chains']:>4}  {cell}  ({why})")
    counts = Counter(row["verdict"] for row in rows)
    shown = [
        f"{counts[verdict]} {verdict}"
        for verdict in VERDICTS
        if counts[verdict] or verdict in BASIC
    ]
    say(", ".join(shown) + took(planned.estimate(), request.n_jobs))


def _counted(steps, verbose: bool) -> dict[int, tuple[str, str, str]]:
    """id of a step -> the (verdict, entry, reason) under which it is counted, not listed.

    Cells that the run does not touch always are.  verbose: list all others.
    """
    from ..suite.plan import IDLE

    touched = [step for step in steps if step.verdict not in (*IDLE, "reuse")]
    short = {"reuse"} if len(touched) <= MOST_LISTED else {"reuse", *(s.verdict for s in touched)}
    return {
        id(step): (step.verdict, "" if step.verdict == "reuse" else step.entry.name, step.why)
        for step in steps
        if step.verdict in IDLE or (not verbose and step.verdict in short)
    }
