"""What a report of a large store costs: time, peak memory and size of the page.

    python benchmarks/report.py          # 10 000 cells
    python benchmarks/report.py 1000     # about so many

The records are synthetic: their losses are drawn here, and cells, ids and files are as a run makes
them.  The report is made by the command, in a process of its own.  Goals: 60 s of CPU time, 1.5 GB.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from collapse_bench.core.identity import NUMERICS, SCHEMA
from collapse_bench.records.facts import CellFacts, Prediction, track_shown
from collapse_bench.records.record import Record
from collapse_bench.records.store import Store
from collapse_bench.registry.discovery import registry
from collapse_bench.status import Status
from collapse_bench.suite.expand import Entry, expand
from collapse_bench.suite.manifest import save_run
from collapse_bench.suite.model import read_suite

CHAINS, GENERATIONS = 32, 20


def suite_text(tasks: int, rows: int) -> str:
    """A suite of so many tasks and mitigations, calibrated."""
    sizes = [20 + i for i in range(tasks)]
    methods = ", ".join(f'"real-anchor(k={k})"' for k in range(1, rows + 1))
    parts = [
        f'name = "large"\nversion = 1\ntitle = "a large store"\nseeds = "0:{CHAINS}"\n'
        f"generations = {GENERATIONS}\nmitigations = [{methods}]\n"
    ]
    parts += [
        f'[[tasks]]\ndata = "gaussian"\nmodel = "gaussian-fit"\nprotocols = ["mix(real=0.1)"]\n'
        f"n = {n}\n"
        for n in sizes
    ]
    parts += [
        f'[[calibration]]\ntask = "{task_name(n)}"\nfloor = 0.01\ngap = 2.0\ngap_sd = 0.5\n'
        "harm = 2.0\nharm_sd = 0.5\nchains = 256\n"
        for n in sizes
    ]
    return "\n".join(parts)


def task_name(n: int) -> str:
    return f"gaussian | gaussian-fit | mix(real=0.1) @ n={n} T={GENERATIONS}"


def record_of(entry: Entry, rng: np.random.Generator) -> Record:
    """A record of a cell whose losses grow from generation to generation."""
    cell = entry.cell
    level = {"none": 0.0, "nature": -2.0, "trivial": 2.0}.get(entry.name, rng.normal(-0.3, 0.5))
    steps = np.arange(GENERATIONS + 1) / GENERATIONS
    noise = rng.normal(0, 0.3, (CHAINS, GENERATIONS + 1))
    losses = np.exp(-3 + (1 + level) * steps + noise)
    k = getattr(cell.mitigations[0], "k", 0) if cell.mitigations else 0
    drawn = (k * GENERATIONS,) * CHAINS
    ledger = {
        "fits": (GENERATIONS + 1,) * CHAINS,
        "generated_rows": (cell.n * GENERATIONS,) * CHAINS,
        "real_rows": drawn,
        "real_rows_by_methods": drawn,
        "real_unique": drawn,
        "real_unique_by_methods": drawn,
    }
    facts = CellFacts(
        schema=SCHEMA,
        id=cell.id,
        label=cell.label,
        task=entry.task,
        entry=entry.name,
        family=cell.data.family,
        primary=cell.data.primary,
        generations=GENERATIONS,
        track=track_shown(ledger),
        seeds=tuple(range(CHAINS)),
        status=(Status.DONE,) * CHAINS,
        reason=(None,) * CHAINS,
        ledger=ledger,
        verifiers=(),
        external=(),
        theory=Prediction(None),
        canonical=cell.canonical,
        numerics=NUMERICS,
    )
    return Record(
        np.repeat(np.arange(CHAINS), GENERATIONS + 1),
        np.tile(np.arange(GENERATIONS + 1), CHAINS).astype(np.int32),
        np.full(losses.size, cell.data.primary, dtype=object),
        losses.ravel(),
        facts,
        [{"seeds": [0, CHAINS - 1], "at": "2026-01-01T00:00:00Z", "cpu_seconds": 1.0}],
    )


def fill(folder: Path, cells: int) -> int:
    """Write a store of about so many cells.  Returns the number."""
    side = round(cells**0.5)
    file = folder / "large.toml"
    file.write_text(suite_text(side, side - 3))  # none, nature and trivial are cells too
    suite = expand(read_suite(file), registry(), file)
    store = Store(folder / "out").create()
    save_run(suite, suite.seeds, store)
    rng = np.random.default_rng(0)
    written = set()
    for entry in suite.run_list():
        path = store.block_path(entry.cell.id, 0)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(record_of(entry, rng).packed())
        written.add(entry.cell.id)
    return len(written)


def main() -> None:
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        cells = fill(folder, wanted)
        page = folder / "report.html"
        command = [sys.executable, "-m", "collapse_bench", "report", str(folder / "out")]
        subprocess.run([*command, "-o", str(page)], check=True)
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(
            f"{cells} cells: {spent.ru_utime + spent.ru_stime:.0f} s of CPU time, "
            f"{spent.ru_maxrss / 1024:.0f} MiB at most, page of {page.stat().st_size / 1e6:.2f} MB"
        )


if __name__ == "__main__":
    main()
