"""Commands that show and publish results."""

from __future__ import annotations

import click

from ..display import visible
from .options import FOCUS, SUITE, TRACK, Spec, colored, format_option, terminal_width
from .output import say, say_shown, tell

FAMILY = click.option("--family", help="Only the tasks of this family, scored by themselves.")


@click.command()
@click.argument("path", type=click.Path(path_type=str))
@SUITE
@format_option()
@FOCUS
@TRACK
@FAMILY
@click.option(
    "--entry",
    "entries",
    multiple=True,
    type=Spec(),
    help="Show only rows of this name, of this method, or that match a pattern such as 'real-*' "
    "(repeatable); ranks stay those of the whole board.",
)
@click.option("--tasks", is_flag=True, help="One row per entry and task instead of one per entry.")
@click.option("--wide", is_flag=True, help="All columns, however wide the terminal is.")
@click.option("--across", is_flag=True, help="One row per entry, one column per task.")
@click.option(
    "--curves",
    "figure",
    type=click.Path(path_type=str),
    help="Draw loss against generation to a PNG or SVG file.",
)
@click.option(
    "--statistic",
    default="mean",
    show_default=True,
    type=click.Choice(["mean", "median"]),
    help="What --curves draws of the chains; a few bad chains can carry the mean.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=str),
    help="Write to a file instead of the terminal.",
)
@click.option("--legend", is_flag=True, help="Say below the table what its columns mean.")
def board(
    path,
    suite_name,
    form,
    focus,
    track,
    family,
    entries,
    tasks,
    wide,
    across,
    figure,
    statistic,
    output,
    legend,
):
    """Show the leaderboard of a folder of records.

    PATH may also be a parquet file of published records, or the name of a published suite.

    \b
    Examples:
      collapse-bench board results
      collapse-bench board standard --family gaussian --track blind
      collapse-bench board results --entry mine --entry 'real-*' --tasks
      collapse-bench board results --across
      collapse-bench board results --tasks --format csv > tasks.csv
      collapse-bench board results --curves curves.png --statistic median
    """
    from .. import api
    from ..board.curves import picture
    from ..board.render import writable
    from ..paths import named, unwritable

    # fail before the work, not after it
    file = None if output is None else writable(named(output, "the board"))
    drawing = None if figure is None else picture(named(figure, "the picture"))
    results = api.results(path, suite_name)
    table = results.board(focus, track, family)
    # a file has no width; one that is read on a terminal later is cut there
    width = None if wide or output else terminal_width()
    text = table.render(
        form,
        per_task=tasks,
        width=width,
        across=across,
        entries=entries,
        legend=legend or width is None,
        color=output is None and colored(),
    )
    if file is not None:
        try:
            file.write_text(text + "\n", encoding="utf-8")
        except OSError as problem:
            raise unwritable(file, problem) from problem
        tell(f"written: {visible(file)}")
    elif form == "table":
        say_shown(text)
    else:
        say(text)
    if drawing is not None:
        for page in results.draw(drawing, statistic):
            tell(f"written: {visible(page)}")


@click.command()
@click.argument("a", type=Spec())
@click.argument("b", type=Spec())
@click.argument("path", default="results", type=click.Path(path_type=str))
@SUITE
@format_option()
@TRACK
@FAMILY
def compare(a, b, path, suite_name, form, track, family):
    """Compare row A of a board with row B: their difference, by family and by task.

    PATH is what `board` takes: a folder of records (results, if it is left out), a parquet file of
    published records, or the name of a published suite.  Rows are compared on the tasks that both
    fit, chain by chain.

    \b
    Examples:
      collapse-bench compare weight-averaging frozen-relabel standard
      collapse-bench compare "mine(strength=2)" none results
      collapse-bench compare mine real-anchor results --family gaussian --format json
    """
    from .. import api

    pair = api.results(path, suite_name).compare(a, b, track, family)
    say(pair.render(form, terminal_width()))


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
    help="Replace files; allow changed settings or code, another manifest, interrupted chains, "
    "rows of a quick run, plugins that are not installed or fail their checks, and doubtful rows.",
)
def publish(path, suite_name, output, force):
    """Publish a finished run: its records in one file, its board, and what the numbers say.

    Runs the conformance kit on the plugin files of the run, which imports them (not with --force).

    \b
    Example:
      collapse-bench publish results --suite standard -o mine
    """
    from .. import api

    for file in api.publish_run(path, output, suite_name, force):
        say(f"written: {visible(file)}")
