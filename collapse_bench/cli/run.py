"""Commands that run cells: run and plan."""

from __future__ import annotations

import shlex
import sys
from contextlib import redirect_stdout

import click

from .options import (
    BUDGET,
    DEVICE,
    MITIGATION,
    OUTPUT,
    PLUGIN,
    PUBLISHED,
    QUICK,
    SEEDS,
    SET,
    Bytes,
    Duration,
    terminal_width,
    warn_broken,
)


@click.command()
@click.argument("what", nargs=-1, required=True)
@SEEDS
@DEVICE
@click.option(
    "-j", "--n-jobs", default=1, show_default=True, type=click.IntRange(1), help="Worker processes."
)
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
      collapse-bench run smoke --budget real=0.1,verifier=1000
      collapse-bench run "linear(d=20) | ridge | mix(real=0.1) | golden-ratio @ n=100" --seeds 0:64
    """
    from .. import api
    from ..registry.discovery import registry
    from .progress import Reporter

    request = api.RunRequest(plugins=plugin_files, **options)
    warn_broken(registry(plugin_files))
    planned = api.plan(request)
    with (
        redirect_stdout(sys.stderr),  # a plugin may print
        Reporter(quiet, fail_fast, len(planned.suite.skipped_tasks)) as reporter,
    ):
        results = api.run_plan(
            planned,
            on_plan=lambda steps, jobs: reporter.planned(
                steps, jobs, planned.estimate(), request.n_jobs
            ),
            on_outcome=reporter.ended,
            on_progress=reporter.moved,
        )
    if not quiet:
        try:
            click.echo(results.board().render("table", width=terminal_width()))
        except api.NothingMatched as problem:
            click.echo(str(problem), err=True)
    command = shlex.join(["collapse-bench", *sys.argv[1:]])
    click.echo(f"records:     {results.output.resolve()}\nresume with: {command}", err=True)
    starved = [outcome for outcome in results.outcomes if "starved" in outcome.statuses]
    if starved:
        chains = sum(outcome.statuses["starved"] for outcome in starved)
        click.echo(
            f"{chains} chain(s) starved, which counts as failed; the first: {starved[0].reason}",
            err=True,
        )
    if results.failed:
        click.echo(
            f"{len(results.failed)} job(s) failed, the first: {results.failed[0].reason}", err=True
        )
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
@click.option(
    "-j", "--n-jobs", default=1, show_default=True, type=click.IntRange(1), help="Worker processes."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, with one row per skipped cell.")
def plan(plugin_files, as_json, **options):
    """Show what a run would do with each cell (reuse, run, stale or skip), why, and its time.

    \b
    Examples:
      collapse-bench plan smoke --seeds 0:64
      collapse-bench plan standard --plugin mine.py --mitigation mine --quick
    """
    import json
    from collections import Counter

    from .. import api
    from ..registry.discovery import registry
    from .progress import VERDICTS, took

    request = api.RunRequest(plugins=plugin_files, **options)
    warn_broken(registry(plugin_files))
    planned = api.plan(request)
    rows = [
        {
            "verdict": s.verdict,
            "chains": len(s.todo),
            "cell": s.entry.cell.label,
            "id": s.entry.cell.id,
            "why": s.why,
        }
        for s in planned.steps
    ]
    rows += [
        {"verdict": "skip", "chains": 0, "cell": task, "id": None, "why": why}
        for task, why in planned.suite.skipped_tasks.items()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    idle = [step for step in planned.steps if step.verdict in api.IDLE]
    for (verdict, name, why), cells in Counter(
        (s.verdict, s.entry.name, s.why) for s in idle
    ).items():
        click.echo(f"{verdict:<8}{cells:>4} cell(s) of {name}  ({why})")
    for row in rows:
        if row["id"] is None or row["verdict"] not in api.IDLE:
            click.echo(f"{row['verdict']:<8}{row['chains']:>4}  {row['cell']}  ({row['why']})")
    counts = Counter(row["verdict"] for row in rows)
    counts = {
        verdict: counts[verdict] for verdict in VERDICTS if counts[verdict] or verdict != "left out"
    }
    time_left = took(planned.estimate(), request.n_jobs)
    click.echo(", ".join(f"{n} {verdict}" for verdict, n in counts.items()) + time_left, err=True)
