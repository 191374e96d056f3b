"""Checks of mitigations."""

from __future__ import annotations

import dataclasses
import difflib
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor

from ..core.components import Mitigation, Model, Protocol, Teacher, size_takes_memory
from ..core.corpus import Corpus
from ..core.loop import Generation
from ..core.replicates import lift
from .compare import (
    CheckFailure,
    Lent,
    Undisturbed,
    alike,
    answers_as_stated,
    behaviour,
    chain_at,
    disturb,
    tensors_of,
)
from .kit import Subject, World, check
from .scenes import (
    CellCase,
    Onlooker,
    Scene,
    drawn_without,
    finite_losses,
    key_of,
    per_kind,
    run_cell,
    run_of,
)
from .world import CHAIN_SHAPES, ROWS, STAGES, cells_of, probe_of, registered, small, stream_of


@dataclass(frozen=True)
class Colder(Mitigation):
    """A biased decoder, for mitigations that need a protocol with one."""

    def steer(self, teacher, access):
        return teacher.decoded(temperature=0.9)


def one_per_kind(subject: Subject[Mitigation]) -> Iterator[World]:
    """For each kind of data, the mitigation with registered data, models and protocols."""
    registry = subject.registry
    protocols = [registry.build("protocol", name) for name in ("accumulate", "replace")]
    protocols += [
        p for cls in registered(registry, Protocol) if (p := small(cls)) and p not in protocols
    ]
    protocols.append(dataclasses.replace(protocols[0], decode=Colder()))
    mitigations = (subject.component,)
    return per_kind(
        registry,
        partial(cells_of, registry, protocols=tuple(protocols), mitigations=mitigations),
    )


def writes(mitigation: Mitigation, stage: str) -> bool:
    """Whether the class defines this stage itself."""
    return getattr(type(mitigation), stage) is not getattr(Mitigation, stage)


def _is_no_control(subject: Subject[Mitigation]) -> str | None:
    return f"{subject.title} is a control" if subject.component.control else None


def _leaves_a_stage_out(subject: Subject[Mitigation]) -> str | None:
    if all(writes(subject.component, stage) for stage in STAGES[:3]):
        return f"{subject.title} defines all stages"
    return None


def _goes_with_others(subject: Subject[Mitigation]) -> str | None:
    if subject.component.perfect_teacher or subject.component.untrained:
        return f"{subject.title} goes with no other mitigation"
    return None


@check(essential=True, applies=_is_no_control)
def check_mitigation_acts(case: Subject[Mitigation]) -> None:
    """A mitigation defines at least one of its four stages."""
    cls = type(case.component)
    if any(writes(case.component, stage) for stage in STAGES):
        return
    own = {name for base in cls.__mro__ if base not in Mitigation.__mro__ for name in vars(base)}
    for name in sorted(own):
        close = difflib.get_close_matches(name, STAGES, 1)
        if close:
            raise CheckFailure(
                f"{case.title} defines {name}, which is never called; did you mean {close[0]!r}?"
            )
    raise CheckFailure(f"{case.title} does nothing; define at least one of {', '.join(STAGES)}")


@check(worlds=one_per_kind)
def check_mitigation_returns_what_it_was_given(case: CellCase) -> None:
    """steer returns a teacher, curate a corpus with valid weights, adapt a model, and size a whole
    number >= 1."""
    mitigation, title = case.cell.mitigations[0], case.cell.mitigations[0].title()
    scene = Scene.of(case.cell, (2,))
    outputs = scene.stages()
    for stage, output, expected in zip(STAGES, outputs, (Teacher, Corpus, Model), strict=False):
        if not isinstance(output, expected):
            raise CheckFailure(
                f"{title}.{stage} returned {type(output).__name__}; expected a {expected.__name__} "
                f"(is a return missing?)"
            )
    memory = (None,) if size_takes_memory(mitigation) else ()
    for t in range(1, 4):
        n = mitigation.size(ROWS, t, *memory)
        if type(n) is not int or n < 1:
            raise CheckFailure(
                f"{title}.size returned {n!r}; expected a whole number of rows >= 1 (round it)"
            )
    _, curated, _ = outputs
    if curated.chain_shape != scene.corpus.chain_shape:
        raise CheckFailure(
            f"{title}.curate returned chain shape {curated.chain_shape}; expected "
            f"{scene.corpus.chain_shape}"
        )
    if not (torch.isfinite(curated.mass) & (curated.mass >= 0)).all():
        raise CheckFailure(f"{title}.curate returned weights that are negative or not finite")


@check(applies=_leaves_a_stage_out, worlds=one_per_kind)
def check_mitigation_other_stages_pass_through(case: CellCase) -> None:
    """Stages that a mitigation does not define return their input itself."""
    mitigation, scene = case.cell.mitigations[0], Scene.of(case.cell, (2,))
    inputs = {"steer": scene.access.teacher, "curate": scene.corpus, "adapt": scene.model}
    for stage, output in zip(inputs, scene.stages(), strict=True):
        if not writes(mitigation, stage) and output is not inputs[stage]:
            raise CheckFailure(
                f"{mitigation.title()} does not define {stage}, but its input was replaced there"
            )


@check(worlds=one_per_kind)
def check_mitigation_inputs_untouched(case: CellCase) -> None:
    """No stage changes the corpus or the teacher in place."""
    title, scene = case.cell.mitigations[0].title(), Scene.of(case.cell, (2,))
    x, y, rng = probe_of(scene.data, (2,))
    before = behaviour(scene.access.teacher, x, y, rng)
    parts, shown = Lent.of(scene.corpus), Lent(**tensors_of(scene.corpus))
    scene.stages()
    for lent in (parts, shown):
        lent.untouched(f"{title}.curate")
    alike(
        before,
        behaviour(scene.access.teacher, x, y, rng),
        f"{title}.steer changed the teacher in place; return another one, e.g. "
        f"teacher.decoded(...)",
    )


@check(worlds=one_per_kind)
def check_mitigation_chain_shapes_agree(case: CellCase) -> None:
    """The first chain is treated the same in every chain shape."""
    for chain_shape in CHAIN_SHAPES[1:]:
        alike(
            chain_at(outputs_of(case, chain_shape), (0,) * len(chain_shape)),
            outputs_of(case, ()),
            f"{case.cell.mitigations[0].title()} treats a chain differently in chain shape "
            f"{chain_shape} than by itself; "
            "take sums and quantiles over rows (dim -1), and keep chains apart",
        )


@check(worlds=one_per_kind)
def check_mitigation_is_repeatable(case: CellCase) -> None:
    """A mitigation does the same twice in each stage, and in each generation of a run, whatever
    the state of global random generators."""
    sentence = (
        f"{case.cell.mitigations[0].title()} acts differently the second time; draw only from "
        "access.rng (never torch.rand, numpy.random or random), and keep what the next generation "
        "needs in access.memory"
    )
    alike(outputs_of(case, (2,), 1), outputs_of(case, (2,), 2), sentence)
    with Undisturbed():
        disturb(3)
        again = run_cell(case.cell)
    for one, other in zip(run_of(case), again, strict=True):
        alike(_results(one), _results(other), f"{sentence}; generation {one.t}")


def _results(generation: Generation) -> dict[str, Tensor]:
    """Effective sizes and losses (R,)."""
    return {"effective size": generation.size, **generation.scores}


@lru_cache(maxsize=16)
def outputs_of(case: CellCase, chain_shape: tuple[int, ...], seed: int = 1) -> dict[str, Tensor]:
    """What the stages return and what is learned from it, as tensors; global generators start at
    ``seed``."""
    scene = Scene.of(case.cell, chain_shape)
    x, y, rng = probe_of(scene.data, chain_shape)
    with Undisturbed():
        disturb(seed)
        steered, curated, adapted = scene.stages()
        fitted = lift(adapted).fit(curated, rng.at("fit"), scene.access.teacher)
        values = {
            "steered": behaviour(steered, x, y, rng),
            "curated": tensors_of(curated),
            "fitted": behaviour(fitted, x, y, rng),
        }
    return {f"{stage} {name}": value for stage in values for name, value in values[stage].items()}


@check(worlds=one_per_kind)
def check_mitigation_answers_as_it_states(case: CellCase) -> None:
    """The answers of the teacher that is fitted have the distribution that it states."""
    scene = Scene.of(case.cell, (2,))
    _, curated, adapted = scene.stages()
    rng = stream_of((2,)).at("probe")
    fitted = lift(adapted).fit(curated, rng.at("fit"), scene.access.teacher)
    if differs := answers_as_stated(fitted, scene.data, rng):
        raise CheckFailure(
            f"the teacher under {case.cell.mitigations[0].title()}: {differs}; it is judged by "
            "what it states"
        )


@check(essential=True, worlds=one_per_kind)
def check_mitigation_runs_in_the_loop(case: CellCase) -> None:
    """A cell with the mitigation runs with finite losses."""
    finite_losses(case.cell, run_of(case))


@check(worlds=one_per_kind)
def check_mitigation_resumes(case: CellCase) -> None:
    """What a mitigation keeps can be saved, and a run that is resumed ends the same."""
    title, run = case.cell.mitigations[0].title(), run_of(case)
    try:
        pickle.dumps(run[-2].kept)
    except Exception as problem:
        raise CheckFailure(
            f"{title} keeps something in access.memory that cannot be pickled, so a run cannot be "
            f"saved: {problem}"
        ) from problem
    alike(
        run[-1].scores,
        run_cell(case.cell, pickle.loads(pickle.dumps(run[-2])))[-1].scores,
        f"{title} gives other results when a run is resumed; keep all that the next generation "
        f"needs in access.memory, "
        "and nothing in the mitigation itself",
    )


@check(worlds=one_per_kind)
def check_mitigation_memory_per_chain(case: CellCase) -> None:
    """What a mitigation keeps for one chain does not depend on the other chains of the run."""
    run = run_of(case)
    if not run[-1].kept:
        return
    for i, seed in enumerate(case.cell.seeds):
        alike(
            chain_at(run[-1].scores, (i,)),
            chain_at(run_cell(case.cell.for_seeds([seed]))[-1].scores, (0,)),
            f"{case.cell.mitigations[0].title()} gives other results when a chain runs by itself; "
            f"keep tensors with the "
            "dimensions of the chains in front, and no number that is computed from several chains",
        )


@check(applies=_goes_with_others, worlds=one_per_kind)
def check_mitigation_ignores_others_draws(case: CellCase) -> None:
    """Random numbers that another mitigation draws do not change the results."""
    mitigation = case.cell.mitigations[0]
    watched = dataclasses.replace(case.cell, mitigations=(Onlooker(), mitigation, Onlooker()))
    alike(
        run_of(case)[-1].scores,
        run_cell(watched)[-1].scores,
        f"{mitigation.title()} gives other results when an idle mitigation next to it draws random "
        f"numbers; draw only "
        "from access.rng",
    )


@check(applies=_goes_with_others, worlds=one_per_kind)
def check_mitigation_leaves_others_draws(case: CellCase) -> None:
    """The mitigation does not change the random numbers that another mitigation draws."""
    mitigation, onlooker = case.cell.mitigations[0], Onlooker()
    run_cell(dataclasses.replace(case.cell, mitigations=(mitigation, onlooker)))
    for left, right in zip(onlooker.drawn, drawn_without(key_of(case.cell)), strict=True):
        alike(
            left,
            right,
            f"{mitigation.title()} shifts the random numbers of a mitigation next to it; draw only "
            f"from access.rng",
        )
