"""Checks of data generators."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import torch
from torch import Tensor

from ..core.cell import Cell
from ..core.components import DataGenerator, Model, has_method
from ..core.replicates import lift
from ..core.rng import Stream
from ..errors import Incompatible
from ..registry.discovery import Registry
from .compare import CheckFailure, Lent, Undisturbed, alike, chain_at, disturb, z_score
from .world import (
    BATCHES,
    MANY,
    ROWS,
    Check,
    cells_of,
    desk,
    name_of,
    on_first,
    probe_of,
    stream_of,
)


def generator_checks(data: DataGenerator, among: Registry) -> Iterator[tuple[str, Check]]:
    for chain_shape in BATCHES:
        yield (
            f"asks and answers in shape, replicates {chain_shape}",
            partial(_asks_in_shape, data, chain_shape),
        )
        yield (
            f"judges in shape, replicates {chain_shape}",
            partial(_judges_in_shape, data, chain_shape),
        )
    yield "seed alone equals seed among others", partial(_seed_alone, data)
    yield "first rows do not depend on how many are asked for", partial(_prefix, data)
    yield "draws from its stream alone", partial(_own_stream, data)
    yield "different seeds have different truths", partial(_truths_differ, data)
    yield "inputs untouched", partial(_answers_untouched, data)
    yield "nature has the lowest loss", partial(_nature_is_best, data, among)
    yield "describes in shape", partial(_describes_in_shape, data, among)
    yield "verifies its own answers", partial(_verifies_itself, data)
    yield "names the items of its pool", partial(_pool, data)
    yield "both samplers follow one law", partial(_samplers_agree, data, among)


def _asks_in_shape(generator: DataGenerator, chain_shape) -> None:
    data, _ = desk(generator, chain_shape)
    if not isinstance(data, type(generator)):
        raise CheckFailure(
            f"{data.title()}.drawn must return a copy of itself: return self.with_truth(truth=...)"
        )
    x, y, rng = probe_of(data, chain_shape)
    due = (*chain_shape, ROWS)
    if tuple(x.shape[: len(due)]) != due or x.ndim == len(due):
        raise CheckFailure(
            f"{data.title()}.ask returned {tuple(x.shape)} for replicates {chain_shape} and n = {ROWS}; {due} and at least "
            "one more dimension are due (width 0 where there is nothing to ask): start from rng.chain_shape, or draw with "
            "rng.normal(n, d), which brings the replicates along"
        )
    for verb, value in (("answer", y), ("observe", data.observe(y, rng.at("noise")))):
        if tuple(value.shape[: len(due)]) != due:
            raise CheckFailure(
                f"{data.title()}.{verb} returned {tuple(value.shape)}; {due} in front was due: keep what stands before "
                "the last named dimensions, e.g. with '...' in indices"
            )
    wants_integers = data.kind in ("discrete", "classification", "sequence")
    if wants_integers and y.dtype != torch.int64:
        raise CheckFailure(f"{data.title()} is {data.kind} and answers in {y.dtype}; int64 is due")
    if not wants_integers and not y.is_floating_point():
        raise CheckFailure(
            f"{data.title()} is {data.kind} and answers in {y.dtype}; floating point is due"
        )
    if y.is_floating_point() and not torch.isfinite(y).all():
        raise CheckFailure(f"{data.title()}.answer returned numbers that are not finite")
    low = -1 if data.kind == "sequence" else 0
    if data.labels is not None and (int(y.min()) < low or int(y.max()) >= data.labels):
        raise CheckFailure(
            f"{data.title()} states labels = {data.labels}, and answers lie outside [0, {data.labels})"
        )
    if data.kind == "sequence":
        _ends_once(data, y)


def _ends_once(data: DataGenerator, y: Tensor) -> None:
    if data.labels is None:
        raise CheckFailure(
            f"{data.title()} is {data.kind} and must state labels, how many tokens there are"
        )
    gone = y < 0
    if (gone[..., :-1] & ~gone[..., 1:]).any():
        raise CheckFailure(
            f"{data.title()} answers with a token after a -1; -1 stands after the end alone"
        )


def _judges_in_shape(generator: DataGenerator, chain_shape) -> None:
    data, _ = desk(generator, chain_shape)
    scores = data.losses(data, stream_of(chain_shape).at("exam"))
    if data.primary not in scores:
        raise CheckFailure(
            f"{data.title()}.judge returned {sorted(scores)} without {data.primary!r}, which it names as its primary loss"
        )
    for name, value in scores.items():
        if not isinstance(value, Tensor) or tuple(value.shape) != tuple(chain_shape):
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise CheckFailure(
                f"{data.title()}.judge returned {name} as {got}; one number per replicate {chain_shape} is due: average over "
                "rows with .mean(-1), not .mean()"
            )
        if not torch.isfinite(value).all():
            raise CheckFailure(
                f"{data.title()}.judge gave nature itself a {name} that is not finite"
            )
    if data.resolution > 0 and (scores[data.primary] < 0).any():
        raise CheckFailure(
            f"{data.title()}.judge gave a negative {data.primary}; a loss with resolution {data.resolution:g} is "
            "scored by its logarithm and must be >= 0 (rounding: .clamp_min(0))"
        )


def _seed_alone(generator: DataGenerator) -> None:
    whole, _ = desk(generator, (2, 3))
    x, y, rng = probe_of(whole, (2, 3))
    among = {
        "x": x,
        "y": whole.observe(y, rng.at("noise")),
        "loss": whole.losses(whole, rng.at("exam"))[whole.primary],
    }
    seeds = stream_of((2, 3))
    for r in product(range(2), range(3)):
        data = generator.sample_truth(seeds[r].at("truth"))
        one = seeds[r].at("probe")
        x = data.ask(ROWS, one.at("x"))
        y = data.observe(data.answer(x, one.at("y")), one.at("noise"))
        alone = {"x": x, "y": y, "loss": data.losses(data, one.at("exam"))[data.primary]}
        alike(
            chain_at(among, r),
            alone,
            f"{generator.title()}: seed {r} alone draws other numbers than among others; draw only from the rng that "
            "is handed in, and let no replicate's numbers enter another's (a mean without -1, a shared shuffle)",
        )


def _prefix(generator: DataGenerator) -> None:
    data, _ = desk(generator, (2,))
    drawn = []
    for n in (ROWS, 2 * ROWS):
        rng = stream_of((2,)).at("probe")
        x = data.ask(n, rng.at("x"))
        drawn.append({"x": x, "y": data.observe(data.answer(x, rng.at("y")), rng.at("noise"))})
    shorter, longer = drawn
    alike(
        shorter,
        {name: value[:, :ROWS] for name, value in longer.items()},
        f"{generator.title()}: the first {ROWS} rows change when {2 * ROWS} are asked for; draw each quantity whole, rows "
        "first, from a stream of its own (rng.at('name')), and never after another draw whose size depends on n",
    )


def _own_stream(generator: DataGenerator) -> None:
    seen = []
    with Undisturbed():
        for seed in (1, 2):
            disturb(seed)
            data, _ = desk(generator, (2,))
            x, y, rng = probe_of(data, (2,))
            y = data.observe(y, rng.at("noise"))
            seen.append({"x": x, "y": y, "loss": data.losses(data, rng.at("exam"))[data.primary]})
    alike(
        *seen,
        f"{generator.title()} draws from a global generator; draw from the rng that is handed in (rng.normal, ...)",
    )


def _truths_differ(generator: DataGenerator) -> None:
    if getattr(generator, "truth_is", None) == "fixed":
        raise Incompatible(f"{name_of(generator)} says that all seeds share one truth")
    if generator.pool_size is not None:
        raise Incompatible(f"{name_of(generator)} draws from a finite pool, which all seeds share")
    seeds, same = stream_of((2,)), Stream(0)
    here, there = (generator.sample_truth(seeds[r].at("truth")) for r in range(2))
    x = here.ask(ROWS, same.at("x"))
    if torch.equal(here.answer(x, same.at("y")), there.answer(x, same.at("y"))):
        raise CheckFailure(
            f"{generator.title()} has the same truth for every seed, so that a method may know it beforehand; draw it "
            "in drawn(rng), or state truth_is = 'fixed' where that is meant"
        )


def _answers_untouched(generator: DataGenerator) -> None:
    data, _ = desk(generator, (2,))
    x, y, rng = probe_of(data, (2,))
    truth = (
        {f"truth.{name}": value for name, value in vars(data.truth).items()} if data.truth else {}
    )
    lent = Lent(x=x, y=y, **truth)
    data.answer(x, rng.at("again"))
    data.observe(y, rng.at("noise"))
    data.losses(data, rng.at("exam"))
    for verb in ("mean_answer", "logp", "verify", "identity"):
        try:
            getattr(data, verb)(*((x,) if verb == "mean_answer" else (x, y)))
        except Incompatible:
            continue
    lent.untouched(data.title())


def _pupil(generator: DataGenerator, among: Registry, body: Callable[[Cell, Model], None]) -> None:
    """The body with the first registered model that can learn from this generator."""
    on_first(list(cells_of(among, data=generator)), lambda cell: body(cell, lift(cell.model)))


def _nature_is_best(generator: DataGenerator, among: Registry) -> None:
    data, access = desk(generator, (8,))
    exam = stream_of((8,)).at("exam")
    own = data.losses(data, exam.at("paper"))[data.primary].double()
    if float(own.abs().max()) <= max(data.resolution, 1e-9):
        return

    def body(cell, model):
        teacher = model.fit(access.real(ROWS), exam.at("fit"))
        learnt = data.losses(teacher, exam.at("paper"))[data.primary].double()
        if z_score(own - learnt) > 4:
            raise CheckFailure(
                f"{data.title()}.judge gives nature itself {float(own.mean()):.4g} and {name_of(cell.model)}, fitted to "
                f"{ROWS} rows, {float(learnt.mean()):.4g}; {data.primary} must be a loss, lower is better, that nature "
                "minimises (a diversity is judged as diversity lost)"
            )

    _pupil(generator, among, body)


def _describes_in_shape(generator: DataGenerator, among: Registry) -> None:
    def body(cell, model):
        for chain_shape in BATCHES:
            data, access = desk(generator, chain_shape)
            teacher = model.fit(access.real(ROWS), stream_of(chain_shape).at("fit"))
            for said in (data.diagnostics(data), data.diagnostics(teacher)):
                for name, value in said.items():
                    if tuple(value.shape) != tuple(chain_shape):
                        raise CheckFailure(
                            f"{data.title()}.describe returned {name} of shape {tuple(value.shape)}; {chain_shape} was due"
                        )

    _pupil(generator, among, body)


def _verifies_itself(generator: DataGenerator) -> None:
    if not has_method(generator, "verify"):
        raise Incompatible(f"{generator.title()} has no verifier")
    data, _ = desk(generator, (8,))
    x, y, rng = probe_of(data, (8,))
    right = data.verify(x, data.observe(y, rng.at("noise")))
    if right.dtype != torch.bool or tuple(right.shape) != (8, ROWS):
        raise CheckFailure(
            f"{data.title()}.verify returned {right.dtype} {tuple(right.shape)}; bool {(8, ROWS)} was due"
        )
    share = float(right.double().mean())
    if share < 0.8:
        raise CheckFailure(
            f"{data.title()}.verify calls only {share:.0%} of nature's own answers right"
        )
    if x.shape[-1] and float(data.verify(x, y.roll(1, 1)).double().mean()) >= share:
        raise CheckFailure(
            f"{data.title()}.verify passes answers to other questions as often as right ones; does it look at x?"
        )


def _pool(generator: DataGenerator) -> None:
    data, _ = desk(generator, (2,))
    x, y, _ = probe_of(data, (2,))
    which = data.identity(x, y)
    if (which is None) != (data.pool_size is None):
        raise CheckFailure(
            f"{data.title()} must have both identity(x, y) and pool_size, or neither"
        )
    if which is None:
        raise Incompatible(f"{data.title()} has no finite pool")
    if which.dtype != torch.int64 or tuple(which.shape) != (2, ROWS):
        raise CheckFailure(
            f"{data.title()}.identity returned {which.dtype} {tuple(which.shape)}; int64 {(2, ROWS)} was due"
        )
    if int(which.min()) < 0 or int(which.max()) >= data.pool_size:
        raise CheckFailure(f"{data.title()}.identity names items outside [0, {data.pool_size})")


def _samplers_agree(generator: DataGenerator, among: Registry) -> None:
    if "sampler" not in {f.name for f in dataclasses.fields(generator)}:
        raise Incompatible(f"{generator.title()} has one sampler")
    rows, law = (
        dataclasses.replace(generator, sampler=sampler) for sampler in ("explicit", "exact-law")
    )

    def body(cell, model):
        seen = []
        for source in (rows, law):
            data, access = desk(source, MANY)
            exam = stream_of(MANY).at("exam")
            corpus = access.real(ROWS)
            if not torch.allclose(corpus.mass, torch.full_like(corpus.mass, ROWS)):
                raise CheckFailure(
                    f"{generator.title()}: {ROWS} rows under sampler={source.sampler} weigh {corpus.mass.unique().tolist()}"
                )
            teacher = model.fit(corpus, exam.at("fit", source.sampler))
            seen.append(data.losses(teacher, exam.at("paper")) | data.diagnostics(teacher))
        for name, value in seen[0].items():
            z = z_score(value - seen[1][name])
            if abs(z) > 5:
                raise CheckFailure(
                    f"{generator.title()}: {name} after one fit differs between sampler=explicit and sampler=exact-law "
                    f"by {z:+.1f} standard errors; `sufficient` must draw the same law as `answer`"
                )

    on_first(list(cells_of(among, data=law)), lambda cell: body(cell, lift(cell.model)))
