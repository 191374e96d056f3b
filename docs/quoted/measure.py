"""Means over chains, as the commands of the pages compute them."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from collapse_bench import cell_of
from collapse_bench.api import verify_laws
from collapse_bench.laws.tables import render_laws
from collapse_bench.records.record import Record, blocks_of
from collapse_bench.running.chains import run_chains

from . import Number


@cache
def records(spec: str, chains: int) -> tuple[Record, ...]:
    """The records of a cell over the seeds 0 .. chains - 1, block by block.

    Raises ValueError if a chain did not end well.
    """
    out = []
    for seeds in blocks_of(range(chains)).values():
        record = run_chains(cell_of(spec, seeds=seeds), seeds)
        if set(record.facts.status) != {"done"}:
            raise ValueError(f"{spec}: {set(record.facts.status)}, {record.facts.reason}")
        out.append(record)
    return tuple(out)


def values(spec: str, chains: int, metric: str | None, t: int) -> np.ndarray:
    """The metric of every chain at generation t, (chains,); None: the primary loss."""
    found = [
        record.value[(record.metric == (metric or record.facts.primary)) & (record.generation == t)]
        for record in records(spec, chains)
    ]
    out = np.concatenate(found)
    if len(out) != chains:
        raise ValueError(f"{spec}: {len(out)} values of {metric} at generation {t}")
    return out


def number(sample: np.ndarray, form: str = ".3f") -> Number:
    """The mean over chains, written in this form."""
    value, error = float(sample.mean()), float(sample.std(ddof=1)) / math.sqrt(len(sample))
    return Number(value, format(value, form), error)


def mean(spec: str, chains: int, t: int, metric: str | None = None, form: str = ".3f") -> Number:
    """The mean over chains of a metric at generation t; None: the primary loss."""
    return number(values(spec, chains, metric, t), form)


def verified(family: str) -> str:
    """The table of ``collapse-bench verify-laws FAMILY --format markdown``, without its notes."""
    lines = render_laws(verify_laws(f"{family}."), "markdown").splitlines()
    return "".join(f"{line}\n" for line in lines if line.startswith("|"))
