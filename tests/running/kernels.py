"""Runs cells in a process whose arithmetic has other last bits, and compares the numbers.

As a script it reads specs from standard input, one a line, and writes JSON: the bits of a few
library calls, and the values of each cell.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from collapse_bench import cell_of
from collapse_bench.api import RunRequest, load_suite
from collapse_bench.core import loop
from collapse_bench.core.cell import Cell
from collapse_bench.core.corpus import Corpus
from collapse_bench.running.chains import run_chains

SEEDS = [0, 1, 2, 3]
NUDGE = 1e-15  # relative change of what is fitted

#: variables that make libraries use the instructions of other processors
OTHER_KERNELS = {
    # MKL, of which torch takes its linear algebra and its vectors of exp and log
    "MKL_CBWR": "COMPATIBLE",
    # torch's own loops
    "ATEN_CPU_CAPABILITY": "default",
    # the BLAS of numpy and scipy
    "OPENBLAS_CORETYPE": "Nehalem",
    # numpy's loops
    "NPY_DISABLE_CPU_FEATURES": "AVX512_SPR AVX512_ICL X86_V4",
}

Values = dict[str, list[float]]


def values_of(cell: Cell, seeds: list[int] = SEEDS) -> Values:
    """Metric -> its value in every chain and generation; none where the parts do not fit."""
    record = run_chains(cell, seeds)
    statuses = set(record.status.values())
    assert statuses <= {"done", "starved", "skipped"}, (cell.label, record.facts.reason)
    names = sorted(set(record.metric))
    return {name: [float(v) for v in record.value[record.metric == name]] for name in names}


def elsewhere(specs: Iterable[str], settings: dict[str, str]) -> tuple[dict[str, float], dict]:
    """(probe, spec -> values) of a process with these variables."""
    here = {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    out = subprocess.run(
        [sys.executable, __file__],
        input="\n".join(specs),
        env={**os.environ, **here, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(out.stdout)
    return answer["probe"], answer["cells"]


def probe() -> dict[str, list[float]]:
    """Values that depend on the kernels in their last bits."""
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(64, 40, 40)))
    return {
        "matmul": (x @ x.mT).sum((-2, -1)).tolist(),
        "cholesky": torch.linalg.cholesky(x @ x.mT).sum((-2, -1)).tolist(),
        "exp": x[0].exp().flatten().tolist(),
        "softmax": x.softmax(-1)[0].flatten().tolist(),
        "numpy": (x.numpy() @ x.numpy()).sum((-2, -1)).tolist(),
    }


def worst(one: Values, other: Values) -> tuple[float, str]:
    """(the largest relative difference, the metric that has it)."""
    assert one.keys() == other.keys()
    gaps = [(0.0, "")]
    for name, values in one.items():
        a, b = np.asarray(values, dtype=float), np.asarray(other[name], dtype=float)
        if a.shape != b.shape:
            return np.inf, name
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        with np.errstate(all="ignore"):
            gap = np.abs(a - b) / np.maximum(np.abs(a), np.abs(b))
        # A loss that vanishes is zero up to the rounding of the terms that it is a difference of.
        gap[same | (np.abs(a - b) < 1e-14)] = 0.0
        gaps.append((float(np.nan_to_num(gap, nan=np.inf).max(initial=0.0)), name))
    return max(gaps)


def golden_cells(most: int = 3) -> list[Cell]:
    """Cells of ``standard``, T cut: of each method on each kind of data, and of each pair of data
    and model without one.

    The pairs and protocols of a kind take turns.
    """
    chosen: dict[tuple[str, ...], list[Cell]] = {}
    for entry in load_suite(RunRequest("standard")).run_list():
        if entry.role == "curve":
            continue
        cell = entry.cell
        where = (cell.data.title(), cell.model.title()) if entry.name == "none" else ()
        chosen.setdefault((entry.name, cell.data.kind, *where), []).append(cell)
    return [
        dataclasses.replace(same[i % len(same)], generations=min(most, same[0].generations))
        for i, same in enumerate(chosen.values())
    ]


def nudged(corpus: Corpus, noise: np.random.Generator) -> Corpus:
    """The rows with all numbers and weights changed by about NUDGE, relative to their size."""

    def nudge(value: Tensor) -> Tensor:
        factor = 1 + NUDGE * torch.from_numpy(noise.uniform(-1, 1, tuple(value.shape)))
        return (value.double() * factor).to(value.dtype)

    if not corpus.has_rows:
        return corpus
    if not corpus.unit:
        corpus = corpus.weighted(nudge(corpus.weight))
    x, y = (v if v.is_floating_point() and v.numel() else None for v in (corpus.x, corpus.y))
    if x is None and y is None:
        return corpus
    return corpus.edited(x=None if x is None else nudge(x), y=None if y is None else nudge(y))


def nudged_values(cell: Cell, monkeypatch) -> Values:
    """The values of a cell whose every training set is nudged."""
    noise, fit = np.random.default_rng(0), loop.fitted
    with monkeypatch.context() as patch:
        patch.setattr(
            loop, "fitted", lambda model, rows, *rest: fit(model, nudged(rows, noise), *rest)
        )
        return values_of(cell)


def main() -> None:
    torch.set_num_threads(1)
    specs = [line for line in sys.stdin.read().splitlines() if line.strip()]
    cells = {spec: values_of(cell_of(spec)) for spec in specs}
    json.dump({"probe": probe(), "cells": cells}, sys.stdout)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
