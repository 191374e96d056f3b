"""Commands that share results: submit, verify and merge."""

from __future__ import annotations

import sys

import click

from ..display import visible
from .options import SUITE, Bytes, Duration, PluginFile
from .output import MISMATCH, say, tell


@click.command()
@click.argument("path", type=click.Path(path_type=str))
@SUITE
@click.option("--mitigation", help="The row to submit.  [default: the only one that competes]")
@click.option("--plugin", type=PluginFile(path_type=str), help="The plugin file that offers it.")
@click.option(
    "--card",
    default="card.toml",
    show_default=True,
    type=click.Path(path_type=str),
    help="The method card; where it is missing, a template is written.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=str), help="File.  [default: NAME.submission.zip]"
)
def submit(path, suite_name, mitigation, plugin, card, output):
    """Pack one row of a finished run into a file: records, controls, source, card and digests.

    \b
    Examples:
      collapse-bench submit results --mitigation mine --plugin mine.py
      collapse-bench submit results --mitigation mine --plugin mine.py -o mine.submission.zip
    \b
    Exit codes: 0 written, 1 a card was written that is to be filled in, 2 usage or a row that
    cannot be submitted, 5 chains are missing.
    """
    from .. import api

    file = api.submit(path, mitigation, card, output, suite_name, plugin)
    if file is None:
        tell(
            f"written: {visible(card)}, a template; fill in what begins with TODO, then run the "
            "same command again"
        )
        sys.exit(1)
    say(f"written: {visible(file)}")


@click.command()
@click.argument("path", type=click.Path(path_type=str))
@click.option(
    "--level",
    default="re-scored",
    show_default=True,
    type=click.Choice(["declared", "re-scored", "re-run", "fresh"]),
    help="The last level; each includes those before it.",
)
@click.option(
    "--cells",
    default=4,
    show_default=True,
    type=click.IntRange(1),
    help="Records that are run again, and tasks at fresh settings.",
)
@click.option("--key", help="The key of an earlier verification, to repeat its sample.")
@click.option("--plugin", type=PluginFile(path_type=str), help="Code that is not in the file.")
@click.option(
    "--report", type=click.Path(path_type=str), help="Write the result to this file as JSON."
)
@click.option(
    "--time-limit",
    default="10m",
    show_default=True,
    type=Duration(),
    help="Of one stage of the plugin, e.g. 10m.",
)
@click.option(
    "--memory-limit",
    default="4G",
    show_default=True,
    type=Bytes(),
    help="What the plugin may take beyond the suite itself.",
)
def verify(path, level, cells, key, plugin, report, time_limit, memory_limit):
    """Check a submission: declared, re-scored, re-run on a random sample, and fresh settings.

    re-run and fresh execute the plugin, in a process of its own without network, judge and truth;
    what the operating system cannot do here is printed.

    \b
    Examples:
      collapse-bench verify mine.submission.zip
      collapse-bench verify mine.submission.zip --level re-run --cells 8
      collapse-bench verify mine.submission.zip --level fresh --report verify.json
    \b
    Exit codes: 0 all levels passed, 2 no submission, 4 a level failed.
    """
    from .. import api

    found = api.verify(
        path,
        level,
        cells=cells,
        key=key,
        plugin=plugin,
        seconds=time_limit,
        memory=memory_limit,
        report=report,
    )
    for line in found.lines():
        say(line)
    if report is not None:
        tell(f"written: {visible(report)}")
    if not found.passed:
        sys.exit(MISMATCH)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=str))
@SUITE
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=str), help="Folder of the board."
)
def merge(paths, suite_name, output):
    """Join submissions and folders of results to one folder, which `board` shows.

    Rows need no plugin.  Conflicts are named: one row with two codes, one cell with two numbers,
    other settings of the suite.

    \b
    Example:
      collapse-bench merge a.submission.zip b.submission.zip results -o merged
    \b
    Exit codes: 0 written, 2 usage, 4 the parts contradict each other, 5 chains are missing.
    """
    from .. import api
    from ..submissions.merge import Conflict

    try:
        manifest = api.merge(paths, output, suite_name)
    except Conflict as problem:
        tell(f"Error: {problem}")
        sys.exit(MISMATCH)
    rows = dict.fromkeys(e.name for e in manifest.entries if e.role == "entry")
    say(f"written: {visible(output)} ({len(rows)} rows: {visible(', '.join(rows))})")
    tell(f"show it with: collapse-bench board {visible(output)}")
