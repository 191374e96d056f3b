"""The conformance kit for plugin files, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ..foreign.process import safe_path

SECONDS = 1800.0  # time limit for the kit on one file
UNFIT = 4  # exit code of `check` where a check fails


def failures(files: Mapping[str, str]) -> list[str]:
    """Sentences about plugins that fail a check of the conformance kit or cannot be checked.

    files: kind and name of a plugin -> the file that offers it, as in a manifest.
    """
    found = []
    for file in sorted(set(files.values())):
        names = sorted({p.rpartition(" ")[2] for p, offered in files.items() if offered == file})
        if not Path(file).is_file():
            found.append(f"{', '.join(names)} cannot be checked: plugin file {file} is gone")
            continue
        command = ["check", *names, "--plugin", file, "--allow-skipped", "--json"]
        try:
            with safe_path():  # the processes that the kit starts inherit it
                ended = subprocess.run(
                    [sys.executable, "-m", "collapse_bench", *command],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    errors="backslashreplace",
                    timeout=SECONDS,
                )
        except subprocess.TimeoutExpired:
            found.append(f"{', '.join(names)}: the conformance kit did not end in {SECONDS:g} s")
            continue
        if ended.returncode not in (0, UNFIT):
            last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
            code = ended.returncode
            found.append(f"{', '.join(names)} cannot be checked (exit code {code}): {last}")
            continue
        try:
            checks = [
                (one["status"], f"{one['plugin']} fails {one['id']}: {one['sentence']}")
                for one in json.loads(ended.stdout)
            ]
        except (ValueError, TypeError, KeyError):
            checks = []
        found += [sentence for status, sentence in checks if status == "failed"]
        if not checks:  # also with exit code 0
            found.append(
                f"{', '.join(names)} cannot be checked: its code ended the process of the kit"
            )
    return found
