"""Checks of protocols."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..core.access import Access
from ..core.cell import Cell
from ..core.components import Protocol
from ..core.corpus import Corpus
from ..core.desk import Desk
from ..core.ledger import Ledger
from ..core.loop import Generation, generations
from ..core.replicates import lift
from ..core.tracks import PROTOCOL
from ..errors import ContractError
from ..registry.discovery import Registry
from .compare import CheckFailure, Lent, alike, chain_at, shown_by
from .world import BATCHES, Check, cells_of, name_of, on_first, per_kind, stream_of


def protocol_checks(protocol: Protocol, among: Registry) -> Iterator[tuple[str, Check]]:
    fitting = list(cells_of(among, protocols=(protocol,), n=20))
    for kind, cells in per_kind(iter(fitting)):
        for name, body in (
            ("right number of rows", _row_counts),
            ("memory survives pickling", _memory_survives),
            ("what was handed out stays untouched", _handed_out),
            ("replicate shapes agree", _protocol_shapes),
            ("every row is on the ledger", _charged),
        ):
            yield f"{name}, {kind}", partial(on_first, cells, body)
    for cell in fitting:
        yield (
            f"runs and resumes, {name_of(cell.data)} | {name_of(cell.model)}",
            partial(_runs_and_resumes, cell),
        )
    if not fitting:
        yield "has something to run with", partial(on_first, [], _row_counts)


def composed_by(
    cell: Cell, chain_shape: tuple[int, ...], last: int = 3, reload: bool = False
) -> Iterator[tuple[Access, Corpus, Any]]:
    """(access, corpus, memory) of generations 0 .. last, without mitigations; ``reload`` pickles the memory."""
    rng = stream_of(chain_shape)
    data = cell.data.sample_truth(rng.at("truth"))
    teacher, first, memory, ledger = data, None, None, Ledger()
    for t in range(last + 1):
        here = rng.at("generation", t)
        access = Desk(data, teacher, t, cell.size(t), rng, ledger, first).access(PROTOCOL)
        out = cell.protocol.compose(access, memory)
        if not (isinstance(out, tuple) and len(out) == 2 and isinstance(out[0], Corpus)):
            raise CheckFailure(
                f"{cell.protocol.title()}.compose must return (corpus, memory); memory is None where nothing is remembered"
            )
        corpus, memory = out
        yield access, corpus, memory
        if reload:
            memory = pickle.loads(pickle.dumps(memory))
        teacher = lift(cell.model).fit(corpus, here.at("fit"))
        first = first or teacher


def _row_counts(cell: Cell) -> None:
    for access, corpus, _ in composed_by(cell, (2,)):
        if not corpus.has_rows:
            continue
        if corpus.chain_shape != (2,):
            raise CheckFailure(
                f"{cell.protocol.title()} composed replicates {corpus.chain_shape}; (2,) were due"
            )
        rows, most = int(corpus.count.sum(-1).max()), cell.n * (access.t + 1)
        if not cell.n <= rows <= most:
            raise CheckFailure(
                f"{cell.protocol.title()} gives generation {access.t} {rows} rows; between {cell.n} (a fixed budget) and "
                f"{most} (everything ever written) are due, rows of weight 0 included: ask for access.n rows in all"
            )


def _memory_survives(cell: Cell) -> None:
    straight = [shown_by(corpus) for _, corpus, _ in composed_by(cell, (2,))]
    through = [shown_by(corpus) for _, corpus, _ in composed_by(cell, (2,), reload=True)]
    for left, right in zip(straight, through, strict=True):
        alike(
            left,
            right,
            f"{cell.protocol.title()} goes on otherwise after its memory was saved and read back; remember corpora and plain "
            "values, and nothing in the protocol itself",
        )


def _handed_out(cell: Cell) -> None:
    lent = [Lent.of(corpus) for _, corpus, _ in composed_by(cell, (2,))]
    for corpus in lent:
        corpus.untouched(f"{cell.protocol.title()}.compose")


def _protocol_shapes(cell: Cell) -> None:
    alone = [shown_by(corpus) for _, corpus, _ in composed_by(cell, ())]
    for chain_shape in BATCHES[1:]:
        for own, (access, corpus, _) in zip(alone, composed_by(cell, chain_shape), strict=True):
            alike(
                chain_at(shown_by(corpus), (0,) * len(chain_shape)),
                own,
                f"{cell.protocol.title()} composes generation {access.t} otherwise for replicates {chain_shape} than for one run "
                "alone; let no replicate's numbers enter another's",
            )


def _charged(cell: Cell) -> None:
    for access, corpus, _ in composed_by(cell, (2,), last=2):
        drawn = access.ledger.total("real_rows") + access.ledger.total("generated_rows")
        if corpus.has_rows and int(corpus.count.sum(-1).max()) > int(torch.as_tensor(drawn).max()):
            raise CheckFailure(
                f"{cell.protocol.title()} hands out more rows than its taps drew; rows come from access.real and "
                "access.synthetic alone, and are handed out once"
            )


def run_cell(cell: Cell, start: Generation | None = None) -> list[Generation]:
    try:
        return list(generations(cell, start))
    except ContractError as broken:
        raise CheckFailure(str(broken)) from broken


def starved(moment: Generation) -> Tensor | bool:
    return False if moment.starved is None else moment.starved


def _runs_and_resumes(cell: Cell) -> None:
    straight = run_cell(cell)
    for moment in straight:
        loss = moment.scores[cell.data.primary]
        if not (torch.isfinite(loss) | starved(moment)).all():
            raise CheckFailure(
                f"{cell.label}: the loss of generation {moment.t} is {loss.tolist()}"
            )
    resumed = run_cell(cell, pickle.loads(pickle.dumps(straight[0])))
    alike(
        straight[-1].scores,
        resumed[-1].scores,
        f"{cell.label}: a run that is resumed after generation 0 ends elsewhere than one that was not stopped",
    )
