"""The command line.  Heavy modules are imported when a command runs, so that help is quick."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from typing import Any

import click

from ..display import MOST, visible
from .laws import law, laws, predict, reproduce, verify_laws
from .output import NOT_SHOWN, Unseen, finish, prepare, tell
from .plugins import check, list_, plugins, show
from .report import report
from .results import board, compare, publish
from .run import plan, run
from .submit import merge, submit, verify
from .suite import suite
from .sweep import sweep

EPILOG = """\b
Examples:
  collapse-bench run smoke
  collapse-bench run smoke --plugin mine.py --mitigation "mine(strength=2)"
  collapse-bench run "gaussian | gaussian-fit | replace | real-anchor(k=5) @ n=100 T=20"
  collapse-bench board results
  collapse-bench compare mine none results
  collapse-bench sweep "fading(rate=0.01,0.02,0.05)"

\b
Exit codes: 0 all done, 1 some cells failed, 2 usage, 3 a plugin could not be loaded,
4 verification mismatch, 5 nothing matched, 6 the result could not be shown or written,
130 interrupted, 143 terminated, 129 hung up."""

#: commands that only show something: a reader who has seen enough ends them without an error
READERS = {
    "board",
    "compare",
    "law",
    "laws",
    "list",
    "plan",
    "plugins",
    "predict",
    "report",
    "show",
}


EXIT_SECONDS = 30.0  # time limit for exit handlers
#: signal that ends a command -> the first word of its sentence
ENDINGS: dict[int, str] = {signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}


class _Commands(click.Group):
    def invoke(self, ctx: click.Context):
        try:
            try:
                result = super().invoke(ctx)
            except SystemExit:  # a command that found something to report
                finish()
                raise
            finish()
            return result
        except Unseen as problem:
            if problem.reader_left and ctx.invoked_subcommand in READERS:
                return 0
            tell(f"Error: standard output cannot be written ({problem})")
            return NOT_SHOWN


@click.group(cls=_Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="collapse-bench", prog_name="collapse-bench")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Measure how models collapse when trained on the output of earlier models, and what helps."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def _by_environment(command: click.Command, prefix: str) -> None:
    """Give every option an environment variable: COLLAPSE_BENCH_RUN_SEEDS for `run --seeds`."""
    for option in command.params:
        if isinstance(option, click.Option):
            flag = max(option.opts, key=len)
            option.envvar = f"{prefix}_{flag.strip('-')}".replace("-", "_").upper()
    for name, inner in getattr(command, "commands", {}).items():
        _by_environment(inner, f"{prefix}_{name}")


for command in (
    run,
    plan,
    board,
    compare,
    sweep,
    report,
    list_,
    show,
    plugins,
    check,
    laws,
    law,
    predict,
    verify_laws,
    reproduce,
    publish,
    submit,
    verify,
    merge,
    suite,
):
    cli.add_command(command)
_by_environment(cli, "COLLAPSE_BENCH")


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit with the documented code; an error is a sentence on stderr."""
    prepare()
    resume: list[str] = []  # a command that keeps what is finished says how to go on
    ended_by = _end_like_an_interrupt()
    try:
        code = cli.main(args, standalone_mode=False, obj=resume)
    except click.exceptions.Exit as leaving:
        code = leaving.exit_code
    except click.ClickException as problem:
        if isinstance(problem, click.UsageError) and problem.ctx is not None:
            tell(problem.ctx.get_usage())
            tell(f"Try '{problem.ctx.command_path} --help' for help.\n")
        if resume:  # --fail-fast
            tell(f"once this is fixed, resume with: {resume[0]}")
        tell(f"Error: {visible(problem.format_message(), MOST)}")  # it quotes what was typed
        code = problem.exit_code
    except (KeyboardInterrupt, click.Abort):
        for sort in (signal.SIGINT, *ENDINGS):
            signal.signal(sort, signal.SIG_IGN)  # a second one must not spoil the sentence
        kept = f"; finished chains are kept; resume with: {resume[0]}" if resume else ""
        came = ended_by[0] if ended_by else signal.SIGINT
        tell(f"{ENDINGS.get(came, 'interrupted')}{kept}")
        code = 128 + came
    except SystemExit as leaving:
        code = leaving.code
    except Exception as problem:
        code = _exit_code(problem, resume)
    code = code or 0
    number = code if isinstance(code, int) else 1
    if any(not t.daemon for t in threading.enumerate() if t is not threading.main_thread()):
        _end_in_time(number)  # the interpreter waits for threads of plugins before exit handlers
    # registered last, so that it runs before the exit handlers of plugins
    atexit.register(_end_in_time, number)
    sys.exit(code)


def _end_like_an_interrupt() -> list[int]:
    """Let signals that end a process end the command as Ctrl-C does, so that it says how to resume.

    Batch systems send SIGTERM, and a terminal that is closed sends SIGHUP.  The list holds the
    number of the signal that came.
    """
    came: list[int] = []

    def end(number: int, frame: Any) -> None:
        came.append(number)
        if callable(signal.getsignal(signal.SIGINT)):
            signal.raise_signal(signal.SIGINT)
        else:  # ignored, as in a job that a shell runs in the background
            raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for number in ENDINGS:
            if signal.getsignal(number) is signal.SIG_DFL:  # `nohup` ignores SIGHUP
                signal.signal(number, end)
    return came


def _end_in_time(code: int) -> None:
    """End the process after ``EXIT_SECONDS`` if an exit handler or thread of a plugin runs on."""
    stop = threading.Timer(EXIT_SECONDS, os._exit, [code])
    stop.daemon = True
    stop.start()


def _exit_code(problem: Exception, resume: list[str]) -> int:
    from ..errors import NothingMatched, PluginError, UserError

    if isinstance(problem, OSError):
        where = f" ({visible(problem.filename)})" if problem.filename else ""
        kept = "; finished chains are kept; once this is fixed, resume with: " if resume else ""
        tell(f"Error: {visible(problem.strerror or problem)}{where}{kept}{''.join(resume[:1])}")
        return 1
    if not isinstance(problem, UserError):
        raise problem
    if resume:  # it was refused after it had begun
        tell(f"resume with: {resume[0]}")
    tell(f"Error: {problem}")
    return (
        3 if isinstance(problem, PluginError) else 5 if isinstance(problem, NothingMatched) else 2
    )
