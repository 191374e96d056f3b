"""Checks of data generators."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from ..core.components import DataGenerator, Model, Teacher, has_method
from ..core.replicates import lift
from ..core.rng import Stream
from ..errors import Incompatible
from .compare import CheckFailure, Lent, Undisturbed, alike, behaviour, chain_at, disturb, z_score
from .kit import Subject, World, check
from .world import (
    CHAIN_SHAPES,
    MANY,
    ROWS,
    Lazy,
    access_at_0,
    cells_of,
    in_motion,
    name_of,
    probe_of,
    stream_of,
    varied,
)

POOL_PROBE = 1000  # rows in which a pool of up to about 100 000 different ones shows by recurrence


@dataclass(frozen=True, eq=False)
class WithModel:
    """A generator under test and a registered model that can learn from it; no model where there is
    none."""

    component: DataGenerator
    candidate: Model | None

    @property
    def learner(self) -> Model:
        """The model as registered.  Raises Incompatible where there is none."""
        if self.candidate is None:
            raise Incompatible(f"no registered model can learn from {self.component.title()}")
        return self.candidate

    @property
    def model(self) -> Model:
        """The model, written for all chains at once.  Raises Incompatible where there is none."""
        return lift(self.learner)

    def broken_partner(self, problem: Exception) -> str | None:
        """One sentence if the error arose in a method of the model or its teacher, else None."""
        frame, innermost = problem.__traceback__, None
        while frame is not None:
            owner = frame.tb_frame.f_locals.get("self")
            if isinstance(owner, (Model, Teacher)):
                innermost = owner
            frame = frame.tb_next
        if innermost is None or isinstance(innermost, DataGenerator):
            return None
        return (
            f"{name_of(self.learner)} fails on {self.component.title()}: "
            f"{type(problem).__name__}: {problem}"
        )


def with_models(subject: Subject[DataGenerator]) -> Iterator[World]:
    """The generator with the first registered model that can learn from it."""
    yield _with_models(subject, subject.component)


def with_models_of_sums(subject: Subject[DataGenerator]) -> Iterator[World]:
    """The generator with the first registered model that can learn from sums drawn by their exact
    law."""
    yield _with_models(subject, varied(subject.component, sampler="exact-law"))


def _with_models(subject: Subject[DataGenerator], read: DataGenerator) -> World:
    """The generator with the registered models that can learn from ``read``, found when they are
    needed."""
    cells = cells_of(subject.registry, data=read)
    cases = Lazy(WithModel(subject.component, cell.model) for cell in cells)
    return World("", cases or (WithModel(subject.component, None),))


def _truths_differ_by_intent(subject: Subject[DataGenerator]) -> str | None:
    if getattr(subject.component, "truth_is", None) == "fixed":
        return f"{name_of(subject.component)} says that all seeds share one truth"
    return None


def _has_verifier(subject: Subject[DataGenerator]) -> str | None:
    has = has_method(subject.component, "verify")
    return None if has else f"{subject.title} has no verifier"


def _has_two_samplers(subject: Subject[DataGenerator]) -> str | None:
    has = "sampler" in {f.name for f in dataclasses.fields(subject.component)}
    return None if has else f"{subject.title} has one sampler"


def _has_trivial(subject: Subject[DataGenerator]) -> str | None:
    has = has_method(subject.component, "trivial")
    return None if has else f"{subject.title} states no trivial teacher"


@check(essential=True)
def check_generator_answers_in_shape(case: Subject[DataGenerator]) -> None:
    """Questions, answers and observations begin with the chain dimensions and n, and have the dtype
    of their kind."""
    for chain_shape in CHAIN_SHAPES:
        _answers_in_shape(case.component, chain_shape)


def _answers_in_shape(generator: DataGenerator, chain_shape: tuple[int, ...]) -> None:
    data, _ = access_at_0(generator, chain_shape)
    if not isinstance(data, type(generator)):
        raise CheckFailure(
            f"{generator.title()}.sample_truth must return a copy of itself: return "
            f"self.with_truth(truth=...)"
        )
    x, y, rng = probe_of(data, chain_shape)
    leading = (*chain_shape, ROWS)
    if tuple(x.shape[: len(leading)]) != leading or x.ndim == len(leading):
        raise CheckFailure(
            f"{data.title()}.ask returned shape {tuple(x.shape)} for chain shape {chain_shape} and "
            f"n = {ROWS}; expected "
            f"leading dimensions {leading} and at least one more (of width 0 where there is "
            f"nothing to ask): start from "
            "rng.chain_shape, or draw with rng.normal(n, d), which adds the chain dimensions"
        )
    for method, value in (("answer", y), ("observe", data.observe(y, rng.at("noise")))):
        if tuple(value.shape[: len(leading)]) != leading:
            raise CheckFailure(
                f"{data.title()}.{method} returned shape {tuple(value.shape)}; expected leading "
                f"dimensions {leading}: "
                "index the last dimensions only, e.g. y[..., 0]"
            )
    _dtype_of_kind(data, y)
    if y.is_floating_point() and not torch.isfinite(y).all():
        raise CheckFailure(f"{data.title()}.answer returned values that are not finite")
    low = -1 if data.kind == "sequence" else 0
    symbols = y[..., -1] if data.kind == "density" else y  # a class is the last column
    if data.labels is not None and (int(symbols.min()) < low or int(symbols.max()) >= data.labels):
        raise CheckFailure(
            f"{data.title()} states labels = {data.labels}, but some answers are outside [0, "
            f"{data.labels})"
        )
    if data.kind == "sequence":
        _ends_once(data, y)


def _dtype_of_kind(data: DataGenerator, y: Tensor) -> None:
    wants_integers = data.kind in ("discrete", "classification", "sequence")
    if wants_integers and y.dtype != torch.int64:
        raise CheckFailure(
            f"{data.title()} has kind {data.kind!r} and answers in {y.dtype}; expected int64"
        )
    if not wants_integers and not y.is_floating_point():
        raise CheckFailure(
            f"{data.title()} has kind {data.kind!r} and answers in {y.dtype}; expected floating "
            f"point"
        )


def _ends_once(data: DataGenerator, y: Tensor) -> None:
    if data.labels is None:
        raise CheckFailure(
            f"{data.title()} has kind 'sequence' and must state labels, its number of tokens"
        )
    ended = y < 0
    if (ended[..., :-1] & ~ended[..., 1:]).any():
        raise CheckFailure(
            f"{data.title()} answers with a token after -1; after the end of a sequence all "
            f"entries must be -1"
        )


@check(essential=True)
def check_generator_losses_in_shape(case: Subject[DataGenerator]) -> None:
    """Losses are finite, one per chain, include the primary loss, and are >= 0 where they are
    scored by a logarithm."""
    for chain_shape in CHAIN_SHAPES:
        _losses_in_shape(case.component, chain_shape)


def _losses_in_shape(generator: DataGenerator, chain_shape: tuple[int, ...]) -> None:
    data, _ = access_at_0(generator, chain_shape)
    scores = data.losses(data, stream_of(chain_shape).at("exam"))
    if data.primary not in scores:
        raise CheckFailure(
            f"{data.title()}.losses returned {sorted(scores)} without {data.primary!r}, which is "
            f"its primary loss"
        )
    for name, value in scores.items():
        if not isinstance(value, Tensor) or tuple(value.shape) != tuple(chain_shape):
            got = (
                f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            )
            raise CheckFailure(
                f"{data.title()}.losses returned {name} with {got}; expected shape {chain_shape}, "
                f"one number per chain: "
                "average over rows with .mean(-1), not .mean()"
            )
        if not torch.isfinite(value).all():
            raise CheckFailure(
                f"{data.title()}.losses returned a {name} that is not finite for the true "
                f"distribution itself"
            )
    if data.resolution > 0 and (scores[data.primary] < 0).any():
        raise CheckFailure(
            f"{data.title()}.losses returned a negative {data.primary}; a loss with resolution "
            f"{data.resolution:g} is "
            "scored by its logarithm and must be >= 0 (rounding: .clamp_min(0))"
        )


@check()
def check_generator_chains_independent(case: Subject[DataGenerator]) -> None:
    """A chain draws the same numbers by itself as together with other chains."""
    generator = case.component
    whole, _ = access_at_0(generator, (2, 3))
    x, y, rng = probe_of(whole, (2, 3))
    together = {
        "x": x,
        "y": whole.observe(y, rng.at("noise")),
        "loss": whole.losses(whole, rng.at("exam"))[whole.primary],
    }
    seeds = stream_of((2, 3))
    for r in product(range(2), range(3)):
        data = generator.sample_truth(seeds[r].at("truth"))
        rng = seeds[r].at("probe")
        x = data.ask(ROWS, rng.at("x"))
        y = data.observe(data.answer(x, rng.at("y")), rng.at("noise"))
        by_itself = {"x": x, "y": y, "loss": data.losses(data, rng.at("exam"))[data.primary]}
        alike(
            chain_at(together, r),
            by_itself,
            f"{generator.title()}: chain {r} draws other numbers by itself than together with "
            f"other chains; draw only "
            "from the rng that is passed in, and keep chains apart (a mean without -1 and a shared "
            "shuffle mix them)",
        )


@check(essential=True)
def check_generator_world_of_a_generation(case: Subject[DataGenerator]) -> None:
    """The world of generation t depends on the seed and t, that of generation 0 is the generator
    itself, and only a generator that says so moves."""
    for generator in filter(None, (case.component, in_motion(case.component))):
        _at_is_pure(generator)


def _at_is_pure(generator: DataGenerator) -> None:
    name, seeds = generator.title(), stream_of((2,))

    def seen(world: DataGenerator, rng: Stream) -> dict[str, Tensor]:
        x = world.ask(ROWS, rng.at("x"))
        y = world.observe(world.answer(x, rng.at("y")), rng.at("noise"))
        return {"x": x, "y": y, "loss": world.losses(data, rng.at("exam"))[world.primary]}

    data = generator.sample_truth(seeds.at("truth"))
    if data.at(0) is not data:
        raise CheckFailure(f"{name}.at(0) must return the generator itself")
    if not generator.moves:
        if data.at(1) is not data:
            raise CheckFailure(
                f"{name}.at(1) returns another world, and {name} does not say that it moves: set "
                f"moves = True"
            )
        return
    if generator.distribution is not None:
        raise CheckFailure(
            f"{name} moves and declares distribution = {generator.distribution!r}; laws of worlds "
            f"that stand still do not hold for it: declare None where it moves"
        )
    first, last = (seen(data.at(t), seeds.at("probe")) for t in (0, 2))
    alike(
        last,
        seen(data.at(2), seeds.at("probe")),
        f"{name}.at(2) differs after at(0) and at(2); it must be a pure function of the seed and t",
    )
    jumped = generator.sample_truth(seeds.at("truth"))
    alike(
        last,
        seen(jumped.at(2), seeds.at("probe")) | {"loss": last["loss"]},
        f"{name}.at(2) depends on which generations were asked for before; draw each step from "
        f"rng.at('name', t)",
    )
    for r in range(2):
        data = generator.sample_truth(seeds[r].at("truth"))
        alike(
            chain_at(last, (r,)),
            seen(data.at(2), seeds[r].at("probe")),
            f"{name}.at(2): chain {r} moves otherwise by itself than together with other chains",
        )
    if all(torch.equal(first[part], last[part]) for part in first):
        raise CheckFailure(
            f"{name} says that it moves, and generation 2 has the rows and the losses of "
            f"generation 0"
        )


@check()
def check_generator_prefix_stable(case: Subject[DataGenerator]) -> None:
    """The first rows do not depend on how many rows are asked for."""
    data, _ = access_at_0(case.component, (2,))
    draws = []
    for n in (ROWS, 2 * ROWS):
        rng = stream_of((2,)).at("probe")
        x = data.ask(n, rng.at("x"))
        draws.append({"x": x, "y": data.observe(data.answer(x, rng.at("y")), rng.at("noise"))})
    shorter, longer = draws
    alike(
        shorter,
        {name: value[:, :ROWS] for name, value in longer.items()},
        f"{data.title()}: the first {ROWS} rows change when {2 * ROWS} are asked for; draw each "
        f"quantity at once, rows "
        "first, from a stream of its own (rng.at('name')), and never after another draw whose size "
        "depends on n",
    )


@check(essential=True)
def check_generator_own_stream(case: Subject[DataGenerator]) -> None:
    """All random numbers come from the rng that is passed in."""
    values = []
    with Undisturbed():
        for seed in (1, 2):
            disturb(seed)
            data, _ = access_at_0(case.component, (2,))
            x, y, rng = probe_of(data, (2,))
            y = data.observe(y, rng.at("noise"))
            loss = data.losses(data, rng.at("exam"))[data.primary]
            values.append({"x": x, "y": y, "loss": loss})
    alike(
        values[0],
        values[1],
        f"{case.title} draws from a global random generator; draw from the rng that is passed in "
        f"(rng.normal, ...)",
    )


@check(applies=_truths_differ_by_intent)
def check_generator_truths_differ(case: Subject[DataGenerator]) -> None:
    """Different seeds have different truths, unless the generator says that they share one."""
    generator = case.component
    if generator.pool_size is not None:
        raise Incompatible(f"{name_of(generator)} draws from a finite pool, which all seeds share")
    seeds, same = stream_of((2,)), Stream(0)
    one, other = (generator.sample_truth(seeds[r].at("truth")) for r in range(2))
    x = one.ask(ROWS, same.at("x"))
    if torch.equal(one.answer(x, same.at("y")), other.answer(x, same.at("y"))):
        raise CheckFailure(
            f"{generator.title()} has the same truth for every seed, so a method could know it in "
            f"advance; draw it in "
            "sample_truth(rng), or state truth_is = 'fixed' if that is intended"
        )


@check()
def check_generator_inputs_untouched(case: Subject[DataGenerator]) -> None:
    """No method changes its inputs or the truth in place."""
    data, _ = access_at_0(case.component, (2,))
    x, y, rng = probe_of(data, (2,))
    truth = vars(data.truth) if data.truth else {}
    lent = Lent(x=x, y=y, **{f"truth.{name}": value for name, value in truth.items()})
    data.answer(x, rng.at("again"))
    data.observe(y, rng.at("noise"))
    data.losses(data, rng.at("exam"))
    for method in ("mean_answer", "logp", "verify", "identity"):
        try:
            getattr(data, method)(*((x,) if method == "mean_answer" else (x, y)))
        except Incompatible:
            continue
    lent.untouched(data.title())


@check(essential=True, worlds=with_models)
def check_generator_truth_has_lowest_loss(case: WithModel) -> None:
    """The true distribution has a lower primary loss than a model that learned from a few rows."""
    data, access = access_at_0(case.component, (8,))
    exam = stream_of((8,)).at("exam")
    own = data.losses(data, exam.at("paper"))[data.primary].double()
    if float(own.abs().max()) <= max(data.resolution, 1e-9):
        return  # no loss is lower than 0
    teacher = case.model.fit(access.real(ROWS), exam.at("fit"))
    learned = data.losses(teacher, exam.at("paper"))[data.primary].double()
    if z_score(own - learned) > 4:
        raise CheckFailure(
            f"{data.title()}.losses gives the true distribution {float(own.mean()):.4g} and "
            f"{name_of(case.learner)}, "
            f"fitted to {ROWS} rows, {float(learned.mean()):.4g}; {data.primary} must be a loss "
            f"(lower is better) that the "
            "true distribution minimises (turn a diversity into diversity lost)"
        )


@check(applies=_has_trivial)
def check_generator_trivial_has_read_nothing(case: Subject[DataGenerator]) -> None:
    """The trivial teacher does not know the truth, and its losses are finite and not below those of
    the true distribution."""
    for chain_shape in CHAIN_SHAPES:
        _trivial_is_judged(case.component, chain_shape)
    seeds, same = stream_of((2,)), Stream(0)
    one, other = (case.component.sample_truth(seeds[r].at("truth")) for r in range(2))
    x = one.ask(ROWS, same.at("x"))
    y = one.answer(x, same.at("y"))
    alike(
        behaviour(one.trivial(), x, y, same),
        behaviour(other.trivial(), x, y, same),
        f"{case.title}.trivial answers differently for another truth; it has read nothing, so use "
        "parameters of the generator, and of self.truth shapes only",
    )


def _trivial_is_judged(generator: DataGenerator, chain_shape: tuple[int, ...]) -> None:
    data, _ = access_at_0(generator, chain_shape)
    exam = stream_of(chain_shape).at("exam")
    own, scores = (data.losses(teacher, exam) for teacher in (data, data.trivial()))
    for name, value in scores.items():
        if tuple(value.shape) != tuple(chain_shape) or not torch.isfinite(value).all():
            raise CheckFailure(
                f"{data.title()}.trivial has a {name} of shape {tuple(value.shape)} that is "
                f"{value.flatten()[:3].tolist()}; expected shape {tuple(chain_shape)} and finite "
                "values"
            )
    if (scores[data.primary] < own[data.primary] - data.resolution).any():
        raise CheckFailure(
            f"{data.title()}.trivial has a lower {data.primary} than the true distribution; no "
            "teacher that has read nothing can know more"
        )


@check(worlds=with_models)
def check_generator_diagnostics_in_shape(case: WithModel) -> None:
    """Diagnostics are one number per chain, for the true distribution and for a learned teacher."""
    for chain_shape in CHAIN_SHAPES:
        data, access = access_at_0(case.component, chain_shape)
        teacher = case.model.fit(access.real(ROWS), stream_of(chain_shape).at("fit"))
        for values in (data.diagnostics(data), data.diagnostics(teacher)):
            for name, value in values.items():
                if tuple(value.shape) != tuple(chain_shape):
                    raise CheckFailure(
                        f"{data.title()}.diagnostics returned {name} with shape "
                        f"{tuple(value.shape)}; expected "
                        f"{chain_shape}, one number per chain"
                    )


@check(applies=_has_verifier)
def check_generator_verifies_own_answers(case: Subject[DataGenerator]) -> None:
    """The verifier passes the true distribution's answers, and fewer answers to other questions."""
    data, _ = access_at_0(case.component, (8,))
    x, y, rng = probe_of(data, (8,))
    right = data.verify(x, data.observe(y, rng.at("noise")))
    if right.dtype != torch.bool or tuple(right.shape) != (8, ROWS):
        raise CheckFailure(
            f"{data.title()}.verify returned {right.dtype} of shape {tuple(right.shape)}; expected "
            f"bool of shape "
            f"{(8, ROWS)}"
        )
    share = float(right.double().mean())
    if share < 0.8:
        raise CheckFailure(
            f"{data.title()}.verify passes only {share:.0%} of the true distribution's own answers"
        )
    if x.shape[-1] and float(data.verify(x, y.roll(1, 1)).double().mean()) >= share:
        raise CheckFailure(
            f"{data.title()}.verify passes answers to other questions as often as right ones; does "
            f"it read x?"
        )


@check()
def check_generator_pool_declared(case: Subject[DataGenerator]) -> None:
    """A generator that draws from a finite pool states pool_size and names each item by identity(x,
    y)."""
    data, _ = access_at_0(case.component, (2,))
    x, y, _ = probe_of(data, (2,))
    items, size = data.identity(x, y), data.pool_size
    if (items is None) != (size is None):
        raise CheckFailure(
            f"{data.title()} must have both identity(x, y) and pool_size, or neither"
        )
    if items is None or size is None:
        if (x.is_floating_point() and x.shape[-1]) or y.is_floating_point():
            _rows_are_new(case.component)
        return
    if items.dtype != torch.int64 or tuple(items.shape) != (2, ROWS):
        raise CheckFailure(
            f"{data.title()}.identity returned {items.dtype} of shape {tuple(items.shape)}; "
            f"expected int64 of shape "
            f"{(2, ROWS)}"
        )
    if int(items.min()) < 0 or int(items.max()) >= size:
        raise CheckFailure(f"{data.title()}.identity names items outside [0, {size})")


def _rows_are_new(generator: DataGenerator) -> None:
    """Raise CheckFailure where rows recur more often than their columns would by chance."""
    data, _ = access_at_0(generator, ())
    rng = stream_of(()).at("pool")
    x = data.ask(POOL_PROBE, rng.at("x"))
    y = data.observe(data.answer(x, rng.at("y")), rng.at("noise"))
    rows = torch.cat([value.reshape(POOL_PROBE, -1).double() for value in (x, y)], dim=1)
    rows = rows.nan_to_num(nan=-1.0)
    distinct = rows.unique(dim=0)
    again = POOL_PROBE - len(distinct)
    if len(distinct) < 2 or again < 3:  # one number of 24 bits recurs by chance now and then
        return
    # how many pairs of rows would be equal if the columns were independent, each with the values of
    # the distinct rows
    chance = torch.ones((), dtype=torch.float64)
    for column in distinct.T:
        count = column.unique(return_counts=True)[1].double()
        chance *= (count * (count - 1)).sum() / (len(distinct) * (len(distinct) - 1))
    if float(chance) * POOL_PROBE**2 / 2 < 0.01:
        raise CheckFailure(
            f"{data.title()} draws rows again: {again} of {POOL_PROBE} rows are exact copies of "
            f"others, which continuous "
            "values never are; it draws from a finite pool, so state pool_size and identity(x, y), "
            "which count the real "
            "rows that a method has used"
        )


@check(applies=_has_two_samplers, worlds=with_models_of_sums)
def check_generator_samplers_agree(case: WithModel) -> None:
    """sampler=explicit and sampler=exact-law draw from the same distribution."""
    generator, values = case.component, []
    for sampler in ("explicit", "exact-law"):
        data, access = access_at_0(varied(generator, sampler=sampler), MANY)
        exam = stream_of(MANY).at("exam")
        corpus = access.real(ROWS)
        if not torch.allclose(corpus.mass, torch.full_like(corpus.mass, ROWS)):
            raise CheckFailure(
                f"{generator.title()}: {ROWS} rows drawn with sampler={sampler} weigh "
                f"{corpus.mass.unique().tolist()}"
            )
        teacher = case.model.fit(corpus, exam.at("fit", sampler))
        values.append(data.losses(teacher, exam.at("paper")) | data.diagnostics(teacher))
    for name, value in values[0].items():
        z = z_score(value - values[1][name])
        if abs(z) > 5:
            raise CheckFailure(
                f"{generator.title()}: {name} after one fit differs between sampler=explicit and "
                f"sampler=exact-law by "
                f"{z:+.1f} standard errors; sample_sufficient must draw from the same distribution "
                f"as answer"
            )
