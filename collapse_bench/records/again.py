"""The command that runs the cells of a manifest again, which reuses finished chains."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..display import shell
from .manifest import Manifest


def run_again(output: Path, manifest: Manifest, methods: Iterable[str] = ()) -> str:
    """The command as text for a sentence, with the plugin files that must be put back first.

    output: the folder of the records.  methods: the rows to run, where the run was a quick one.
    """
    files = list(dict.fromkeys(manifest.files.values()))
    words = ["collapse-bench", "run", str(output / f"{manifest.suite.name}.suite.toml")]
    for file in files:
        words += ["--plugin", file]
    if manifest.published:
        words += ["--quick", "--published", manifest.published]
        for name in methods:
            words += ["--mitigation", name]
    if manifest.budget is not None:
        words += ["--budget", manifest.budget]
    command = shell([*words, "-o", str(output)])
    gone = [file for file in files if not Path(file).is_file()]
    return f"{command} (first put back {' and '.join(gone)})" if gone else command
