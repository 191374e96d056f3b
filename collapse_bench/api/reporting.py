"""The page of a run: its board, and what its records and its plugins add."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..board import Board
from ..records.archive import Archive, shipped
from ..records.manifest import Manifest
from ..registry.about import about_row
from ..registry.discovery import registry
from ..scoring.tuning import HINDSIGHT, TUNED

if TYPE_CHECKING:
    from ..board.page.gather import Gathered
    from ..board.page.model import About, Page


def page_of_run(
    board: Board,
    gathered: Gathered,
    manifest: Manifest,
    archive: Archive | None,
    version: str,
) -> Page:
    """The page of the board of a run.

    gathered: the records that the board has read.  archive: the published records that the run
    reuses.  version: of this package.
    """
    from ..board.page.build import page_of

    suite = manifest.suite.name
    known = suite in {path.stem for path in registry(()).suites}
    return page_of(
        board,
        gathered,
        {row: _about(row) for row in dict.fromkeys(board.frame().entry)},
        suite if known else f"{suite}.suite.toml",
        _options(manifest, shipped(suite).is_file()),
        _versions(manifest, archive, version),
    )


def _about(row: str) -> list[About]:
    """The plugins of a row; a tuned row has those of its method."""
    from ..board.page.model import About, Parameter

    text = row.removesuffix(f" {TUNED}").removesuffix(f" {HINDSIGHT}")
    return [
        About(**{**one, "parameters": tuple(Parameter(**p) for p in one["parameters"])})
        for one in about_row(text, registry(()))
    ]


def _options(manifest: Manifest, published: bool) -> list[str]:
    """Further words of the command that runs one row of a suite."""
    files = dict.fromkeys(Path(file).name for file in manifest.files.values())
    plugins = [word for file in files for word in ("--plugin", file)]
    return [*plugins, *(["--quick"] if published else [])]


def _versions(manifest: Manifest, archive: Archive | None, version: str) -> list[tuple[str, str]]:
    """What the records were made with and read by."""
    seal = "" if archive is None else archive.seal
    return [
        ("suite", f"{manifest.suite.name} version {manifest.suite.version}"),
        ("read by", f"collapse-bench {version}"),
        ("seeds", f"{manifest.suite.seeds} ({len(manifest.seeds)} chains)"),
        ("cells", str(sum(entry.skip is None for entry in manifest.entries))),
        ("seal of the published records", seal)
        if seal
        else ("seal", "each record has one; publishing gives one over all of them"),
    ]
