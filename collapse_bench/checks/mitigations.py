"""Checks of mitigations."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from ..core.access import Access
from ..core.cell import Cell
from ..core.components import Mitigation, Model, Teacher, size_takes_memory
from ..core.corpus import Corpus
from ..core.loop import Generation
from ..core.replicates import lift
from ..errors import Incompatible
from ..registry.discovery import Registry
from .compare import CheckFailure, Lent, Undisturbed, alike, behaviour, chain_at, disturb, shown_by
from .protocols import composed_by, run_cell, starved
from .world import (
    BATCHES,
    MOMENTS,
    ROWS,
    Check,
    cells_of,
    on_first,
    per_kind,
    probe_of,
    small,
    stream_of,
)


@dataclass(frozen=True)
class Onlooker(Mitigation):
    """Draws much, changes nothing, and writes down what it drew."""

    seen: list = field(default_factory=list)

    def curate(self, corpus, access):
        self.seen.append(
            {
                "own": access.rng.uniform(3),
                "called": access._desk.stream(access.user, "onlooker").uniform(3),
            }
        )
        access.rng.normal(5)
        return corpus


def mitigation_checks(act: Mitigation, among: Registry) -> Iterator[tuple[str, Check]]:
    protocols = [among.build("protocol", name) for name in ("accumulate", "replace")]
    protocols += [
        p for cls in among.classes["protocol"].values() if (p := small(cls)) and p not in protocols
    ]
    none = True
    yield "acts at one of its moments", partial(_acts, act)
    for kind, cells in per_kind(cells_of(among, protocols=tuple(protocols), mitigations=(act,))):
        none = False
        for name, body in (
            ("returns the noun it was given", _same_components),
            ("leaves alone what it does not write", _identity_moments),
            ("inputs untouched", _lesson_untouched),
            ("replicate shapes agree", _mitigation_shapes),
            ("draws from its stream alone", _mitigation_twice),
            ("runs in the loop", _runs_in_loop),
            ("is not shifted by others' draws", _not_shifted),
            ("does not shift others' draws", _shifts_none),
        ):
            yield f"{name}, {kind}", partial(on_first, cells, body)
    if none:
        yield "has something to act on", partial(on_first, [], _same_components)


def _acts(act: Mitigation) -> None:
    if act.control:
        raise Incompatible(f"{act.title()} is a control")
    if any(getattr(type(act), moment) is not getattr(Mitigation, moment) for moment in MOMENTS):
        return
    for name in sorted(name for name in dir(type(act)) if not hasattr(Mitigation, name)):
        close = difflib.get_close_matches(name, MOMENTS, 1)
        if close:
            raise CheckFailure(
                f"{act.title()} writes {name}, which nobody calls; did you mean {close[0]!r}?"
            )
    raise CheckFailure(f"{act.title()} does nothing; write at least one of {', '.join(MOMENTS)}")


@dataclass(frozen=True, eq=False)
class _Scene:
    """What a mitigation meets at generation 2."""

    act: Mitigation
    access: Access
    corpus: Corpus
    model: Model

    @classmethod
    def of(cls, cell: Cell, chain_shape: tuple[int, ...]) -> _Scene:
        *_, (access, corpus, _) = composed_by(cell, chain_shape, last=2)
        shuffled = corpus.anonymous(stream_of(chain_shape).at("shuffle"))
        return cls(cell.mitigations[0], access, shuffled, lift(cell.model))

    def moments(self) -> tuple[Teacher, Corpus, Model]:
        """All moments in the order of the loop."""
        who = self.act.title()
        desk = copy.copy(self.access._desk)  # whose teacher is set here
        steered = self.act.steer(desk.teacher, desk.access(who))
        desk.teacher = steered
        curated = self.act.curate(self.corpus, desk.access(who))
        adapted = self.act.adapt(self.model, desk.access(who))
        return steered, curated, adapted

    def shows(self) -> dict[str, Tensor]:
        """What comes of all moments, as tensors."""
        steered, curated, adapted = self.moments()
        data, chain_shape = self.access._desk.data, self.corpus.chain_shape
        x, y, rng = probe_of(data, chain_shape)
        fitted = lift(adapted).fit(curated, rng.at("fit"), self.access.teacher)
        shown = {}
        for prefix, values in (
            ("steered", behaviour(steered, x, y, rng)),
            ("curated", shown_by(curated)),
            ("fitted", behaviour(fitted, x, y, rng)),
        ):
            shown |= {f"{prefix} {name}": value for name, value in values.items()}
        return shown


def _same_components(cell: Cell) -> None:
    act, who = cell.mitigations[0], cell.mitigations[0].title()
    scene = _Scene.of(cell, (2,))
    for verb, out, noun in zip(
        ("steer", "curate", "adapt"), scene.moments(), (Teacher, Corpus, Model), strict=True
    ):
        if not isinstance(out, noun):
            raise CheckFailure(
                f"{who}.{verb} returned {type(out).__name__}; a mitigation returns the noun it was given, here a "
                f"{noun.__name__} (is a return missing?)"
            )
    for t in range(1, 4):
        n = act.size(ROWS, t, *((None,) if size_takes_memory(act) else ()))
        if type(n) is not int or n < 1:
            raise CheckFailure(
                f"{who}.size returned {n!r}; a whole number of rows >= 1 is due (round it)"
            )
    _, curated, _ = scene.moments()
    if curated.chain_shape != scene.corpus.chain_shape:
        raise CheckFailure(
            f"{who}.curate returned replicates {curated.chain_shape}; {scene.corpus.chain_shape} were lent"
        )
    if not (torch.isfinite(curated.mass) & (curated.mass >= 0)).all():
        raise CheckFailure(f"{who}.curate gave weights that are negative or not finite")


def _identity_moments(cell: Cell) -> None:
    act, scene = cell.mitigations[0], _Scene.of(cell, (2,))
    lent = {"steer": scene.access.teacher, "curate": scene.corpus, "adapt": scene.model}
    for verb, out in zip(lent, scene.moments(), strict=True):
        if getattr(type(act), verb) is getattr(Mitigation, verb) and out is not lent[verb]:
            raise CheckFailure(
                f"{act.title()} does not write {verb}, and it still changed what passed through"
            )


def _lesson_untouched(cell: Cell) -> None:
    scene = _Scene.of(cell, (2,))
    x, y, rng = probe_of(scene.access._desk.data, (2,))
    taught = behaviour(scene.access.teacher, x, y, rng)
    lent, sight = Lent.of(scene.corpus), Lent(**shown_by(scene.corpus))
    scene.moments()
    for held in (lent, sight):
        held.untouched(f"{cell.mitigations[0].title()}.curate")
    alike(
        taught,
        behaviour(scene.access.teacher, x, y, rng),
        f"{cell.mitigations[0].title()}.steer changed the teacher itself; return another one, e.g. teacher.decoded(...)",
    )


def _mitigation_shapes(cell: Cell) -> None:
    alone = _Scene.of(cell, ()).shows()
    for chain_shape in BATCHES[1:]:
        alike(
            chain_at(_Scene.of(cell, chain_shape).shows(), (0,) * len(chain_shape)),
            alone,
            f"{cell.mitigations[0].title()} acts otherwise on replicates {chain_shape} than on one run alone; take sums and "
            "quantiles over rows (dim -1), and let no replicate's numbers enter another's",
        )


def _mitigation_twice(cell: Cell) -> None:
    seen = []
    with Undisturbed():
        for seed in (1, 2):
            disturb(seed)
            seen.append(_Scene.of(cell, (2,)).shows())
    alike(
        *seen,
        f"{cell.mitigations[0].title()} acts otherwise the second time; draw from access.rng only, and keep what the next "
        "generation needs in access.memory",
    )


def _runs_in_loop(cell: Cell) -> None:
    moments = run_cell(cell)
    for moment in moments:
        loss = moment.scores[cell.data.primary]
        if not (torch.isfinite(loss) | starved(moment)).all():
            raise CheckFailure(
                f"{cell.mitigations[0].title()}: the loss of generation {moment.t} is {loss.tolist()}"
            )
    if moments[-1].kept:
        _keeps_well(cell, moments)


def _keeps_well(cell: Cell, whole: list[Generation]) -> None:
    """What is kept survives a resume, and that of one chain does not depend on the others."""
    who = cell.mitigations[0].title()
    try:
        saved = pickle.dumps(whole[-2])
    except Exception as problem:
        raise CheckFailure(
            f"{who} keeps something that cannot be pickled ({problem}), so that a run cannot be resumed"
        ) from problem
    alike(
        run_cell(cell, pickle.loads(saved))[-1].scores,
        whole[-1].scores,
        f"{who} comes out otherwise when a run is resumed; keep in access.memory all that the next generation needs, and "
        "nothing in the mitigation itself",
    )
    for i, seed in enumerate(cell.seeds):
        alike(
            chain_at(run_cell(cell.for_seeds([seed]))[-1].scores, (0,)),
            chain_at(whole[-1].scores, (i,)),
            f"{who} comes out otherwise when chains run in groups; keep tensors with the dimensions of the chains in front, "
            "and no number that several chains enter",
        )


def _alone(cell: Cell) -> Mitigation:
    act = cell.mitigations[0]
    if act.perfect_teacher:
        raise Incompatible(f"{act.title()} takes no mitigation beside it")
    return act


def _not_shifted(cell: Cell) -> None:
    act = _alone(cell)
    watched = dataclasses.replace(cell, mitigations=(Onlooker(), act, Onlooker()))
    alike(
        run_cell(cell)[-1].scores,
        run_cell(watched)[-1].scores,
        f"{act.title()} comes out otherwise when an idle mitigation beside it draws numbers; draw from access.rng alone",
    )


def _shifts_none(cell: Cell) -> None:
    act = _alone(cell)
    with_it, without = Onlooker(), Onlooker()
    run_cell(dataclasses.replace(cell, mitigations=(act, with_it)))
    run_cell(dataclasses.replace(cell, mitigations=(without,)))
    for left, right in zip(with_it.seen, without.seen, strict=True):
        alike(
            left,
            right,
            f"{act.title()} shifts the numbers that a mitigation beside it draws; draw from access.rng alone",
        )
