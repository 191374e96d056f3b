"""The command that writes a report."""

from __future__ import annotations

import click

from ..display import visible
from ..forms import REPORTS
from .options import FOCUS, SUITE, TRACK
from .output import say, tell


@click.command()
@click.argument("path", type=click.Path(path_type=str))
@SUITE
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=str),
    help="The file; its ending says the format.  [default: report.html; standard output for a "
    "format of text that --format names]",
)
@click.option(
    "--format", "form", help=f"{', '.join(REPORTS)}.  [default: by the ending of the file]"
)
@FOCUS
@TRACK
@click.option(
    "--against",
    type=click.Path(path_type=str),
    help="Say what moved since this board: a folder of records, a file of published records, or a "
    "published page.  [default: the last published version of the suite, if it has one]",
)
@click.option(
    "--columns", help="Columns of latex and markdown, e.g. tier,name,score,interval,cost."
)
@click.option(
    "--figure",
    type=click.Path(path_type=str),
    help="Draw the picture of the tiers too, to a .pdf, .svg, .png or .pgf file.",
)
def report(path, suite_name, output, form, focus, track, against, columns, figure):
    """Write a report of PATH: one page that opens without a network, or a table for a paper.

    PATH is a folder of records, a file of published records, or the name of a published suite.

    \b
    Examples:
      collapse-bench report results
      collapse-bench report standard -o standard.html
      collapse-bench report results -o table.tex --columns tier,name,score --figure tiers.pdf
      collapse-bench report results --format json > board.json

    \b
    Exit codes: 0 written, 2 usage, 5 no records, 6 standard output cannot be written.
    """
    from .. import api
    from ..board.curves import picture
    from ..board.page.write import check_columns, form_of
    from ..board.render import writable
    from ..errors import UsageError
    from ..paths import named

    # fail before the work, not after it
    to_terminal = output is None and form is not None and form not in ("html", "parquet")
    if output is None and form == "parquet":
        raise UsageError("parquet is no text; name a file with -o")
    file = None if to_terminal else writable(named(output or "report.html", "the report"))
    form = form_of(form, file)
    picked = [name.strip() for name in columns.split(",")] if columns else []
    check_columns(form, picked)
    if figure is not None:
        figure = picture(named(figure, "the figure"), (".pgf",))
    results = api.results(path, suite_name)
    options = {"focus": focus, "track": track, "against": against, "columns": picked}
    if file is None:
        say(results.report_bytes(form, figure=figure, **options).decode().rstrip("\n"))
        if figure is not None:
            tell(f"written: {visible(figure)}")
        return
    for written in results.report(file, form, figure=figure, **options):
        tell(f"written: {visible(written)} ({written.stat().st_size / 1e6:.2g} MB)")
