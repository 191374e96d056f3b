"""Options and parameter types that several commands share."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from ..display import MOST, shell, visible
from ..forms import FORMS
from .output import tell

if TYPE_CHECKING:
    from ..registry.discovery import Registry
    from ..running.jobs import JobOutcome

F = TypeVar("F", bound=Callable[..., Any])  # a command, or the function of one


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
    envvar_list_splitter = ";"  # a spec may contain spaces


class Duration(click.ParamType):
    name = "time"

    def convert(self, value, param, ctx):
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", value)
        if not match or float(match[1]) <= 0:
            self.fail(f"{value!r} is not a time; write 90, 90s, 10m or 2h")
        return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def key_and_value(pair: str) -> tuple[str, str]:
    """The two sides of a typed key=value."""
    key, equals, text = pair.partition("=")
    if not equals:
        raise click.BadParameter(f"{pair!r} is not key=value")
    return key, text


def _set(ctx, param, pairs: tuple[str, ...]) -> dict[str, Any]:
    """Settings from key=value pairs; values are written as in a spec."""
    out: dict[str, Any] = {}
    for pair in pairs:
        key, text = key_and_value(pair)
        if key in ("protocols", "mitigations"):
            out[key] = [item.strip() for item in text.strip("[]").split(";")]
        else:
            from ..errors import UserError
            from ..spec import parse_call

            try:
                out[key] = dict(parse_call(f"set({key}={text})").args)[key]
            except UserError as problem:
                raise click.BadParameter(
                    f"{pair!r}: {text!r} is neither a number nor a word"
                ) from problem
    return out


class PluginFile(click.Path):
    """The path of a plugin file; a shell leaves the `~` in `--plugin=~/mine.py`."""

    def convert(self, value, param, ctx):
        from ..errors import UserError
        from ..paths import named

        try:
            return super().convert(str(named(value, "a plugin file")), param, ctx)
        except UserError as problem:
            self.fail(str(problem))


PLUGIN = click.option(
    "--plugin",
    "plugin_files",
    multiple=True,
    type=PluginFile(path_type=str),
    help="Load this plugin file too (repeatable).",
)


OUTPUT = click.option(
    "-o",
    "--output",
    default="results",
    show_default=True,
    type=click.Path(path_type=str),
    help="Folder of the records.",
)


SEEDS = click.option(
    "--seeds", help="Chains to run: 0:64, 7, or 0:4,10:12.  [default: the suite's]"
)


MITIGATION = click.option(
    "--mitigation",
    "mitigations",
    multiple=True,
    type=Spec(),
    help="Add this entry to the suite (repeatable); the first one is compared with all others.",
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
    help="Limits per chain, e.g. real=0.1,verifier=1000; a cell that exceeds one is over-budget.",
)


QUICK = click.option(
    "--quick",
    is_flag=True,
    help="Run only the --mitigation entries; take the others from published records.",
)


PUBLISHED = click.option(
    "--published",
    type=click.Path(path_type=str),
    help="File of published records.  [default with --quick: the repository's]",
)


TUNE = click.option(
    "--tune",
    is_flag=True,
    help="Pick a configuration of each --mitigation per family, on calibration seeds; without "
    "--mitigation, of each method of the suite.",
)


SIGNS = click.option(
    "--signs",
    is_flag=True,
    help="Run the tasks marked with signs = true at n/4, n, 4n rows by T/2, T, 2T generations too, "
    "and show in how many of the nine cells the sign of a score holds.",
)


JOBS = click.option(
    "-j", "--n-jobs", default=1, show_default=True, type=click.IntRange(1), help="Worker processes."
)


QUIET = click.option("-q", "--quiet", is_flag=True, help="No progress.")


JSON = click.option("--json", "as_json", is_flag=True, help="As JSON.")


def format_option(help: str = "Output format.") -> Callable[[F], F]:
    """The option that names the format of a table."""
    return click.option(
        "--format",
        "form",
        default="table",
        show_default=True,
        type=click.Choice(FORMS),
        help=help,
    )


FOCUS = click.option(
    "--focus", help="Compare this entry with all others (name it before you look)."
)


TRACK = click.option(
    "--track",
    help="Only the tasks on which an entry uses no more than this track allows, e.g. blind.",
)


DEVICE = click.option(
    "--device", default="cpu", show_default=True, help="cpu, cuda, cuda:0 or auto."
)


SUITE = click.option("--suite", "suite_name", help="The suite, if the folder contains several.")


def loaded(plugin_files: Sequence[str]) -> Registry:
    """The plugins, with those of these files.  One warning line for those that could not be loaded
    and were not selected, and one for each misspelt stage."""
    from ..registry.discovery import registry
    from ..registry.misspelt import warnings_of

    reg = registry(plugin_files)
    for sentence in warnings_of(reg.classes["mitigation"].values()):
        tell(f"warning: {visible(sentence)}")
    if reg.broken:
        names = ", ".join(visible(plugin.module) for plugin in reg.broken)
        tell(f"warning: could not load {names}; see 'collapse-bench plugins'")
    return reg


def warn_skipped(reg) -> None:
    """One warning line for each plugin whose claims or figures are not listed, since it fails."""
    for sentence in reg.skipped.values():
        tell(f"warning: left out: {visible(sentence)}")


def terminal_width() -> int | None:
    """Columns of the terminal; None where stdout is not a terminal."""
    import shutil

    return shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else None


def colored() -> bool:
    """Whether stdout shows colours: it is a terminal, and NO_COLOR is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def begun() -> None:
    """From now on finished chains are kept: a command that is broken off says how to resume."""
    click.get_current_context().obj.append(same_command())


def exit_where_failed(failed: Sequence[JobOutcome], resume: str) -> None:
    """If jobs failed, say how to resume and why the first one did, and end with exit code 1."""
    if failed:
        tell(f"once this is fixed, resume with: {resume}")
        tell(f"{len(failed)} job(s) failed, the first: {visible(failed[0].reason, MOST)}")
        sys.exit(1)


#: variables that change what a run reads, besides those of the options
_VARIABLES = ("COLLAPSE_BENCH_PLUGINS", "COLLAPSE_BENCH_DATA")


def same_command() -> str:
    """The command that is running, with the settings that came from environment variables."""
    ctx = click.get_current_context()
    words = ["collapse-bench", *sys.argv[1:]]
    for option in ctx.command.params:
        source = ctx.get_parameter_source(option.name or "")
        if isinstance(option, click.Option) and source is ParameterSource.ENVIRONMENT:
            flag = max(option.opts, key=len)
            given = option.value_from_envvar(ctx)
            if option.is_flag:
                words += [flag] if ctx.params[option.name or ""] else []
                continue
            for value in given if isinstance(given, (list, tuple)) else [given]:
                words += [flag, str(value)]
    here = [f"{name}={shell([os.environ[name]])}" for name in _VARIABLES if name in os.environ]
    return " ".join([*here, shell(words)])
