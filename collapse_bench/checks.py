"""The conformance kit: what the harness takes for granted of a plugin, as checks that anyone can run over theirs.

    for name, check in checks_of("model", Ridge):
        check()  # silent; or CheckFailure with a sentence; or Unfit where there is nothing to hold it to

The kit knows no plugin by name: whatever a check needs beside the plugin (data for a model to read, a model for a
mitigation to steer) is taken from the registry, one registered plugin per kind of data that fits.

Three things an author may state in the class body, and need not:

- ``tiny = {"d": 4}``: parameters at which the checks run, where the defaults would take long;
- ``truth_is = "fixed"``: of a data generator whose seeds share one truth (a field of this name will do);
- ``exact = False``: of a model fitted by random steps, whose weights are obeyed in law and not number by number.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import difflib
import math
import pickle
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from . import theory
from .cell import Cell, written
from .corpus import Corpus
from .engine import ContractError, Generation, generations
from .errors import Unfit, UsageError
from .ledger import Ledger
from .lift import lift
from .nouns import DataGenerator, Kind, Mitigation, Model, Noun, Protocol, Teacher, has_verb, type_hints
from .protocols import Accumulate, Replace
from .registry import KINDS, Registry, nearest, registry
from .streams import Stream
from .taps import Taps

Check = Callable[[], None]

BATCHES = ((), (2,), (2, 3))  # replicate shapes that every plugin must bear
ROWS = 40
MANY = (200,)  # chains where two laws are compared
_SMALL = {"d": 2, "K": 20}  # dimension and alphabet of the small variant of a data generator
_JUNK = 100.0  # added to the answers of rows that must not count
MOMENTS = ("steer", "curate", "adapt", "size")  # of a mitigation


class CheckFailure(AssertionError):
    """A plugin does not keep a promise; the sentence says which, and what its author most likely forgot."""


@dataclass(frozen=True)
class Outcome:
    """What became of one check."""

    name: str
    status: Literal["passed", "failed", "skipped"]
    sentence: str = ""


def checks_of(kind: str, thing: type[Noun] | Noun, among: Registry | None = None) -> Iterator[tuple[str, Check]]:
    """All checks of a plugin class (at its small variant) or object, each with its name.

    kind: generator, model, protocol or mitigation; ``among``: where partners are taken from, by default what is
    installed.  A check raises CheckFailure, or Unfit where the plugin has nothing that it could be held to.
    """
    if kind not in KINDS:
        raise UsageError(f"unknown kind of plugin {kind!r}; known: {', '.join(KINDS)}")
    among = among or registry()
    noun = small(thing) if isinstance(thing, type) else thing
    if noun is None:
        (first, *_) = missing = _without_default(thing)
        raise UsageError(
            f"{thing.title()} has no default for {', '.join(missing)}: check it with its parameters, "
            f"{thing.title()}({first}=...), or state `tiny` in the class body, tiny = {{{first!r}: ...}}"
        )
    base = KINDS[kind][1]
    if not isinstance(noun, base):
        raise UsageError(f"{noun.title()} is not a {base.__name__}, and checks of a {kind} were asked for")
    yield "is read as it is written", partial(_read_as_written, kind, noun, among)
    yield "says in a sentence why it does not fit", partial(_fits_or_says_why, kind, noun, among)
    yield from _CHECKS[kind](noun, among)
    yield "claims laws that are there", partial(_claims_are_laws, kind, noun, among)
    yield "its laws bear every cell", partial(_laws_bear_cells, kind, noun, among)


def outcomes(kind: str, thing: type[Noun] | Noun, among: Registry | None = None) -> Iterator[Outcome]:
    """Run all checks of a plugin; nothing is raised."""
    for name, check in checks_of(kind, thing, among):
        try:
            check()
        except Unfit as reason:
            yield Outcome(name, "skipped", str(reason))
        except CheckFailure as failure:
            yield Outcome(name, "failed", str(failure))
        except Exception as problem:
            yield Outcome(name, "failed", f"{type(problem).__name__}: {problem}")
        else:
            yield Outcome(name, "passed")


# -- which objects --------------------------------------------------------------------------------------------------


def small(cls: type[Noun]) -> Noun | None:
    """The plugin at parameters that cost little; None where a parameter has no default and no ``tiny`` is stated."""
    names = {f.name for f in dataclasses.fields(cls)}
    tiny = getattr(cls, "tiny", None) or {name: value for name, value in _SMALL.items() if name in names}
    return _built(cls, **tiny) or _built(cls)


def _built(cls: type[Noun], **parameters: Any) -> Noun | None:
    try:
        return cls(**parameters)
    except (TypeError, ValueError, UsageError):
        return None


def _without_default(cls: type[Noun]) -> list[str]:
    missing = dataclasses.MISSING
    return [f.name for f in dataclasses.fields(cls) if f.init and f.default is missing and f.default_factory is missing]


def variants(cls: type[Noun]) -> Iterator[Noun]:
    """The plugin at its defaults, at its small variant, and one step from that: other words, other switches, and
    (off data generators, where they make worlds without a signal) the ends 0 and 1 of closed ranges."""
    found = _sizes(cls)
    if not found:
        return
    first = found[-1]
    for f in dataclasses.fields(cls):
        if not f.metadata.get("vary", True):
            continue
        hint = type_hints(cls)[f.name]
        options = typing.get_args(hint) if typing.get_origin(hint) is Literal else f.metadata.get("choices") or ()
        if hint in (int, float) and not issubclass(cls, DataGenerator):
            ends = (f.metadata.get("ge"), f.metadata.get("le"))
            options = [hint(end) for end in ends if end in (0, 1) and end is not None]
        for option in (True, False) if hint is bool else options:
            with contextlib.suppress(UsageError):  # what a plugin refuses beside the others is no variant of it
                found.append(dataclasses.replace(first, **{f.name: option}))
    yield from (noun for i, noun in enumerate(found) if noun not in found[:i])


def _sizes(cls: type[Noun]) -> list[Noun]:
    """Defaults and small variant, where they differ."""
    both = [None if hasattr(cls, "tiny") else _built(cls), small(cls)]
    return [noun for i, noun in enumerate(both) if noun is not None and noun not in both[:i]]


def _named(noun: Noun) -> str:
    return str(written(noun))


def _cells(
    among: Registry,
    data: DataGenerator | None = None,
    model: Model | None = None,
    protocols: tuple[Protocol, ...] = (Replace(),),
    mitigations: tuple[Mitigation, ...] = (),
    n: int = ROWS,
) -> Iterator[Cell]:
    """All cells that fit, what is not given being taken from the registry."""
    return filter(_goes_together, _all_cells(among, data, model, protocols, mitigations, n))


def _goes_together(cell: Cell) -> bool:
    try:
        return cell.why_not() is None
    except UsageError:  # a part says neither yes nor why not, which a check of its own tells
        return False


def _all_cells(
    among: Registry,
    data: DataGenerator | None = None,
    model: Model | None = None,
    protocols: tuple[Protocol, ...] = (Replace(),),
    mitigations: tuple[Mitigation, ...] = (),
    n: int = ROWS,
) -> Iterator[Cell]:
    """Likewise, those that do not fit included."""
    sources = [data] if data else [d for cls in among.classes["generator"].values() for d in _sizes(cls)]
    models = [model] if model else [m for cls in among.classes["model"].values() if (m := small(cls))]
    models.sort(key=lambda m: m.alone)  # the first of a kind is tried first: none that is long at work
    for source, pupil, protocol in product(sources, models, protocols):
        yield Cell(source, pupil, protocol, mitigations, n=n, generations=2, seeds=(11, 12))


def _cells_with(kind: str, noun: Noun, among: Registry) -> Iterator[Cell]:
    """All cells that this plugin could be asked about, those that do not fit included."""
    given = {
        "generator": {"data": noun},
        "model": {"model": noun},
        "protocol": {"protocols": (noun,)},
        "mitigation": {"mitigations": (noun,)},
    }
    return _all_cells(among, **given[kind])


def _per_kind(cells: Iterator[Cell]) -> Iterator[tuple[str, list[Cell]]]:
    """Candidates by kind of data, each kind under its name."""
    by_kind: dict[str, list[Cell]] = {}
    for cell in cells:
        by_kind.setdefault(cell.data.kind, []).append(cell)
    yield from by_kind.items()


def _on_first(cells: list[Cell], body: Callable[[Cell], None]) -> None:
    """The check on the first candidate that does not refuse."""
    reason = None
    for cell in cells:
        try:
            return body(cell)
        except Unfit as refusal:
            reason = reason or refusal
    raise reason or Unfit("no registered plugins go together with this one")


# -- a small world --------------------------------------------------------------------------------------------------


def _stream(batch: tuple[int, ...]) -> Stream:
    """Seeds 11, 12, ...: the first replicate of every shape is the same one."""
    return Stream(11 + np.arange(math.prod(batch)).reshape(batch))


def _desk(generator: DataGenerator, batch: tuple[int, ...]) -> tuple[DataGenerator, Taps]:
    """Nature with its truth drawn, and the taps of generation 0."""
    rng = _stream(batch)
    data = generator.drawn(rng.at("truth"))
    return data, Taps(data, data, None, 0, ROWS, rng.at("generation", 0), rng, Ledger())


def _probe(data: DataGenerator, batch: tuple[int, ...]) -> tuple[Tensor, Tensor, Stream]:
    """Questions, nature's answers, and a stream to answer with."""
    rng = _stream(batch).at("probe")
    x = data.ask(ROWS, rng.at("x"))
    return x, data.answer(x, rng.at("y")), rng


def behaviour(teacher: Teacher, x: Tensor, y: Tensor, rng: Stream, drawing: bool = True) -> dict[str, Tensor]:
    """What a teacher shows through its verbs (R, ...); those that it lacks are left out.

    Without ``drawing``, its answers are left out where another verb tells its law: a factor is known up to signs.
    """
    shown: dict[str, Tensor] = {}
    try:
        shown["mean"], factor = teacher.spread()
        shown["covariance"] = factor @ factor.mT
    except Unfit:
        pass
    for verb, call in (("expect", lambda: teacher.expect(x)), ("logp", lambda: teacher.logp(x, y))):
        try:
            shown[verb] = call()
        except Unfit:
            continue
    if drawing or not shown:
        shown["answer"] = teacher.answer(x, rng.at("answer"))
    return shown


def _differ(left: Tensor, right: Tensor) -> str | None:
    """None where two tensors agree to 1e-6 of their scale (float32: 1e-3), else how they differ."""
    if left.shape != right.shape:
        return f"shapes {tuple(left.shape)} and {tuple(right.shape)}"
    if not left.is_floating_point():
        return None if torch.equal(left, right) else f"{int((left != right).sum())} entries differ"
    finite = torch.isfinite(left) & torch.isfinite(right)
    same = (left == right) | (torch.isnan(left) & torch.isnan(right))
    if not (finite | same).all():
        return "one is finite where the other is not"
    gap = torch.where(finite & ~same, left.double() - right.double(), 0.0).abs()
    scale = torch.where(finite, left.double().abs(), 0.0)
    limit = 1e-6 if left.dtype == right.dtype == torch.float64 else 1e-3
    worst = float(gap.max()) if gap.numel() else 0.0
    if worst <= limit * float(scale.max() if scale.numel() else 0.0):
        return None
    return f"largest difference {worst:.3g} at scale {float(scale.max()):.3g}"


def _alike(left: dict[str, Tensor], right: dict[str, Tensor], sentence: str) -> None:
    """Fail with the sentence where two behaviours differ."""
    if left.keys() != right.keys():
        raise CheckFailure(f"{sentence} (verbs {sorted(left)} and {sorted(right)})")
    for verb in left:
        difference = _differ(left[verb], right[verb])
        if difference:
            raise CheckFailure(f"{sentence} ({verb}: {difference})")


def _at(shown: dict[str, Tensor], r) -> dict[str, Tensor]:
    return {verb: value[r] for verb, value in shown.items()}


def _shows(corpus: Corpus) -> dict[str, Tensor]:
    """A corpus as tensors to compare."""
    if not corpus.has_rows:
        sums = corpus.moments()
        return {"weight": sums.weight, "mean": sums.mean, "scatter": sums.scatter}
    return {"x": corpus.x, "y": corpus.y, "weight": corpus.weight, "count": corpus.count}


class _Lent:
    """Tensors that a plugin is lent, so that a change in place is found."""

    def __init__(self, **tensors: Any):
        self.tensors = {name: value for name, value in tensors.items() if isinstance(value, Tensor)}
        self.copies = {name: (value._version, value.clone()) for name, value in self.tensors.items()}

    @classmethod
    def of(cls, corpus: Corpus) -> _Lent:
        held = {}
        for i, part in enumerate(corpus._parts):
            held |= {f"{name} of part {i}": getattr(part, name) for name in ("x", "y", "weight", "count", "origin")}
            if part.sums is not None:
                held |= {f"{name} of part {i}": getattr(part.sums, name) for name in ("mean", "scatter", "factor")}
        return cls(**held)

    def untouched(self, who: str) -> None:
        for name, value in self.tensors.items():
            version, copy = self.copies[name]
            if value._version != version or _differ(value, copy):
                raise CheckFailure(
                    f"{who} changed {name} in place; it is only lent: return a new tensor (`a + b`, not `a += b`)"
                )


def _disturb(seed: int) -> None:
    """Set the global generators, which no plugin may read."""
    torch.manual_seed(seed)
    np.random.seed(seed)


class _Undisturbed:
    """The global generators as they were, after a check has played with them."""

    def __enter__(self):
        self.torch, self.numpy = torch.get_rng_state(), np.random.get_state()

    def __exit__(self, *_):
        torch.set_rng_state(self.torch)
        np.random.set_state(self.numpy)


def _z(gap: Tensor) -> float:
    """Mean of independent differences (R,) over its standard error."""
    gap = gap.double()
    mean, error = float(gap.mean()), float(gap.std() / math.sqrt(gap.numel()))
    return 0.0 if abs(mean) < 1e-12 else mean / max(error, 1e-300)


# -- every noun -----------------------------------------------------------------------------------------------------


def _read_as_written(kind: str, noun: Noun, among: Registry) -> None:
    who = noun.title()
    for cls in type(noun).__mro__[:1]:
        if not dataclasses.is_dataclass(cls) or not cls.__dataclass_params__.frozen:
            raise CheckFailure(f"{who} must be a frozen dataclass: put @dataclass(frozen=True) above the class")
    if type(noun.version) is not int or noun.version < 1:
        raise CheckFailure(f"{who}.version must be a whole number >= 1, got {noun.version!r}")
    unknown = set(noun.kinds or ()) - set(typing.get_args(Kind))
    if unknown or isinstance(noun.kinds, str):
        raise CheckFailure(
            f"{who}.kinds must be a tuple of {', '.join(typing.get_args(Kind))}; got {noun.kinds!r} "
            "(a tuple of one needs its comma)"
        )
    if pickle.loads(pickle.dumps(noun)) != noun:
        raise CheckFailure(f"{who} does not survive pickling, and executors send it to other processes")
    if among.classes[kind].get(who) is type(noun) and among.build(kind, written(noun)) != noun:
        raise CheckFailure(
            f"{_named(noun)} is not read as it is written; give every parameter a type that a spec can express "
            "(numbers, words, true and false, lists, paths, nested plugins)"
        )
    if kind in ("generator", "model", "protocol", "mitigation") and who not in among.classes[kind]:
        clash = [name for name, cls in among.classes[kind].items() if cls is type(noun)]
        if clash:
            raise CheckFailure(
                f"{clash[0]!r} calls itself {who!r}; leave `name` out, the hook that offers the class gives it"
            )


def _fits_or_says_why(kind: str, noun: Noun, among: Registry) -> None:
    for cell in _cells_with(kind, noun, among):
        said = noun.fits(cell)
        if said is not None and not (isinstance(said, str) and said.strip()):
            raise CheckFailure(
                f"{noun.title()}.fits returned {said!r} for {cell.label}; return None where the cell fits, else one "
                "sentence that says why not"
            )


def _claims_are_laws(kind: str, noun: Noun, among: Registry) -> None:
    claims = getattr(among.module_of(kind, noun.title()), "collapse_claims", list)()
    if not claims:
        raise Unfit(f"the plugin of {noun.title()} claims no law")
    laws = theory.laws()
    for claim in claims:
        whose = f"the plugin of {noun.title()} claims {claim.law!r} for {claim.spec!r}"
        if claim.law not in laws:
            raise CheckFailure(f"{whose}, and there is no such law{nearest(claim.law, laws)}")
        try:
            cell, _ = among.cell(claim.spec), claim.predicted
        except Exception as problem:
            raise CheckFailure(f"{whose}, which cannot be checked: {problem}") from problem
        reason = cell.why_not()
        if reason is not None:
            raise CheckFailure(f"{whose}: {reason}")
        if not 0 <= claim.t <= cell.generations:
            raise CheckFailure(f"{whose} at generation {claim.t}, and the cell ends at {cell.generations}: raise its T")


def _laws_bear_cells(kind: str, noun: Noun, among: Registry) -> None:
    if not hasattr(among.module_of(kind, noun.title()), "collapse_theory"):
        raise Unfit(f"the plugin of {noun.title()} predicts nothing")
    for cell in filter(_goes_together, _cells_with(kind, noun, among)):
        try:
            among.predicted(cell)
        except Exception as problem:
            raise CheckFailure(
                f"what is expected of {cell.label} cannot be told ({type(problem).__name__}: {problem}); "
                "collapse_theory(cell) returns one number per generation 0 .. T, or None where it knows no law"
            ) from problem


# -- data generators ------------------------------------------------------------------------------------------------


def _generator_checks(data: DataGenerator, among: Registry) -> Iterator[tuple[str, Check]]:
    for batch in BATCHES:
        yield f"asks and answers in shape, replicates {batch}", partial(_asks_in_shape, data, batch)
        yield f"judges in shape, replicates {batch}", partial(_judges_in_shape, data, batch)
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


def _asks_in_shape(generator: DataGenerator, batch) -> None:
    data, _ = _desk(generator, batch)
    if not isinstance(data, type(generator)):
        raise CheckFailure(f"{data.title()}.drawn must return a copy of itself: return self.holding(truth=...)")
    x, y, rng = _probe(data, batch)
    due = (*batch, ROWS)
    if tuple(x.shape[: len(due)]) != due or x.ndim == len(due):
        raise CheckFailure(
            f"{data.title()}.ask returned {tuple(x.shape)} for replicates {batch} and n = {ROWS}; {due} and at least "
            "one more dimension are due (width 0 where there is nothing to ask): start from rng.batch, or draw with "
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
        raise CheckFailure(f"{data.title()} is {data.kind} and answers in {y.dtype}; floating point is due")
    if y.is_floating_point() and not torch.isfinite(y).all():
        raise CheckFailure(f"{data.title()}.answer returned numbers that are not finite")
    low = -1 if data.kind == "sequence" else 0
    if data.labels is not None and (int(y.min()) < low or int(y.max()) >= data.labels):
        raise CheckFailure(f"{data.title()} states labels = {data.labels}, and answers lie outside [0, {data.labels})")
    if data.kind == "sequence":
        _ends_once(data, y)


def _ends_once(data: DataGenerator, y: Tensor) -> None:
    if data.labels is None:
        raise CheckFailure(f"{data.title()} is {data.kind} and must state labels, how many tokens there are")
    gone = y < 0
    if (gone[..., :-1] & ~gone[..., 1:]).any():
        raise CheckFailure(f"{data.title()} answers with a token after a -1; -1 stands after the end alone")


def _judges_in_shape(generator: DataGenerator, batch) -> None:
    data, _ = _desk(generator, batch)
    scores = data.judge(data, _stream(batch).at("exam"))
    if data.primary not in scores:
        raise CheckFailure(
            f"{data.title()}.judge returned {sorted(scores)} without {data.primary!r}, which it names as its primary loss"
        )
    for name, value in scores.items():
        if not isinstance(value, Tensor) or tuple(value.shape) != tuple(batch):
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise CheckFailure(
                f"{data.title()}.judge returned {name} as {got}; one number per replicate {batch} is due: average over "
                "rows with .mean(-1), not .mean()"
            )
        if not torch.isfinite(value).all():
            raise CheckFailure(f"{data.title()}.judge gave nature itself a {name} that is not finite")
    if data.resolution > 0 and (scores[data.primary] < 0).any():
        raise CheckFailure(
            f"{data.title()}.judge gave a negative {data.primary}; a loss with resolution {data.resolution:g} is "
            "scored by its logarithm and must be >= 0 (rounding: .clamp_min(0))"
        )


def _seed_alone(generator: DataGenerator) -> None:
    whole, _ = _desk(generator, (2, 3))
    x, y, rng = _probe(whole, (2, 3))
    among = {
        "x": x,
        "y": whole.observe(y, rng.at("noise")),
        "loss": whole.judge(whole, rng.at("exam"))[whole.primary],
    }
    seeds = _stream((2, 3))
    for r in product(range(2), range(3)):
        data = generator.drawn(seeds[r].at("truth"))
        one = seeds[r].at("probe")
        x = data.ask(ROWS, one.at("x"))
        y = data.observe(data.answer(x, one.at("y")), one.at("noise"))
        alone = {"x": x, "y": y, "loss": data.judge(data, one.at("exam"))[data.primary]}
        _alike(
            _at(among, r),
            alone,
            f"{generator.title()}: seed {r} alone draws other numbers than among others; draw only from the rng that "
            "is handed in, and let no replicate's numbers enter another's (a mean without -1, a shared shuffle)",
        )


def _prefix(generator: DataGenerator) -> None:
    data, _ = _desk(generator, (2,))
    drawn = []
    for n in (ROWS, 2 * ROWS):
        rng = _stream((2,)).at("probe")
        x = data.ask(n, rng.at("x"))
        drawn.append({"x": x, "y": data.observe(data.answer(x, rng.at("y")), rng.at("noise"))})
    shorter, longer = drawn
    _alike(
        shorter,
        {name: value[:, :ROWS] for name, value in longer.items()},
        f"{generator.title()}: the first {ROWS} rows change when {2 * ROWS} are asked for; draw each quantity whole, rows "
        "first, from a stream of its own (rng.at('name')), and never after another draw whose size depends on n",
    )


def _own_stream(generator: DataGenerator) -> None:
    seen = []
    with _Undisturbed():
        for seed in (1, 2):
            _disturb(seed)
            data, _ = _desk(generator, (2,))
            x, y, rng = _probe(data, (2,))
            y = data.observe(y, rng.at("noise"))
            seen.append({"x": x, "y": y, "loss": data.judge(data, rng.at("exam"))[data.primary]})
    _alike(
        *seen,
        f"{generator.title()} draws from a global generator; draw from the rng that is handed in (rng.normal, ...)",
    )


def _truths_differ(generator: DataGenerator) -> None:
    if getattr(generator, "truth_is", None) == "fixed":
        raise Unfit(f"{_named(generator)} says that all seeds share one truth")
    if generator.pool_size is not None:
        raise Unfit(f"{_named(generator)} draws from a finite pool, which all seeds share")
    seeds, same = _stream((2,)), Stream(0)
    here, there = (generator.drawn(seeds[r].at("truth")) for r in range(2))
    x = here.ask(ROWS, same.at("x"))
    if torch.equal(here.answer(x, same.at("y")), there.answer(x, same.at("y"))):
        raise CheckFailure(
            f"{generator.title()} has the same truth for every seed, so that a method may know it beforehand; draw it "
            "in drawn(rng), or state truth_is = 'fixed' where that is meant"
        )


def _answers_untouched(generator: DataGenerator) -> None:
    data, _ = _desk(generator, (2,))
    x, y, rng = _probe(data, (2,))
    truth = {f"truth.{name}": value for name, value in vars(data.truth).items()} if data.truth else {}
    lent = _Lent(x=x, y=y, **truth)
    data.answer(x, rng.at("again"))
    data.observe(y, rng.at("noise"))
    data.judge(data, rng.at("exam"))
    for verb in ("expect", "logp", "verify", "identity"):
        try:
            getattr(data, verb)(*((x,) if verb == "expect" else (x, y)))
        except Unfit:
            continue
    lent.untouched(data.title())


def _pupil(generator: DataGenerator, among: Registry, body: Callable[[Cell, Model], None]) -> None:
    """The body with the first registered model that can learn from this generator."""
    _on_first(list(_cells(among, data=generator)), lambda cell: body(cell, lift(cell.model)))


def _nature_is_best(generator: DataGenerator, among: Registry) -> None:
    data, taps = _desk(generator, (8,))
    exam = _stream((8,)).at("exam")
    own = data.judge(data, exam.at("paper"))[data.primary].double()
    if float(own.abs().max()) <= max(data.resolution, 1e-9):
        return

    def body(cell, model):
        teacher = model.fit(taps.real(ROWS), exam.at("fit"))
        learnt = data.judge(teacher, exam.at("paper"))[data.primary].double()
        if _z(own - learnt) > 4:
            raise CheckFailure(
                f"{data.title()}.judge gives nature itself {float(own.mean()):.4g} and {_named(cell.model)}, fitted to "
                f"{ROWS} rows, {float(learnt.mean()):.4g}; {data.primary} must be a loss, lower is better, that nature "
                "minimises (a diversity is judged as diversity lost)"
            )

    _pupil(generator, among, body)


def _describes_in_shape(generator: DataGenerator, among: Registry) -> None:
    def body(cell, model):
        for batch in BATCHES:
            data, taps = _desk(generator, batch)
            teacher = model.fit(taps.real(ROWS), _stream(batch).at("fit"))
            for said in (data.describe(data), data.describe(teacher)):
                for name, value in said.items():
                    if tuple(value.shape) != tuple(batch):
                        raise CheckFailure(
                            f"{data.title()}.describe returned {name} of shape {tuple(value.shape)}; {batch} was due"
                        )

    _pupil(generator, among, body)


def _verifies_itself(generator: DataGenerator) -> None:
    if not has_verb(generator, "verify"):
        raise Unfit(f"{generator.title()} has no verifier")
    data, _ = _desk(generator, (8,))
    x, y, rng = _probe(data, (8,))
    right = data.verify(x, data.observe(y, rng.at("noise")))
    if right.dtype != torch.bool or tuple(right.shape) != (8, ROWS):
        raise CheckFailure(
            f"{data.title()}.verify returned {right.dtype} {tuple(right.shape)}; bool {(8, ROWS)} was due"
        )
    share = float(right.double().mean())
    if share < 0.8:
        raise CheckFailure(f"{data.title()}.verify calls only {share:.0%} of nature's own answers right")
    if x.shape[-1] and float(data.verify(x, y.roll(1, 1)).double().mean()) >= share:
        raise CheckFailure(
            f"{data.title()}.verify passes answers to other questions as often as right ones; does it look at x?"
        )


def _pool(generator: DataGenerator) -> None:
    data, _ = _desk(generator, (2,))
    x, y, _ = _probe(data, (2,))
    which = data.identity(x, y)
    if (which is None) != (data.pool_size is None):
        raise CheckFailure(f"{data.title()} must have both identity(x, y) and pool_size, or neither")
    if which is None:
        raise Unfit(f"{data.title()} has no finite pool")
    if which.dtype != torch.int64 or tuple(which.shape) != (2, ROWS):
        raise CheckFailure(
            f"{data.title()}.identity returned {which.dtype} {tuple(which.shape)}; int64 {(2, ROWS)} was due"
        )
    if int(which.min()) < 0 or int(which.max()) >= data.pool_size:
        raise CheckFailure(f"{data.title()}.identity names items outside [0, {data.pool_size})")


def _samplers_agree(generator: DataGenerator, among: Registry) -> None:
    if "sampler" not in {f.name for f in dataclasses.fields(generator)}:
        raise Unfit(f"{generator.title()} has one sampler")
    rows, law = (dataclasses.replace(generator, sampler=sampler) for sampler in ("explicit", "exact-law"))

    def body(cell, model):
        seen = []
        for source in (rows, law):
            data, taps = _desk(source, MANY)
            exam = _stream(MANY).at("exam")
            corpus = taps.real(ROWS)
            if not torch.allclose(corpus.mass, torch.full_like(corpus.mass, ROWS)):
                raise CheckFailure(
                    f"{generator.title()}: {ROWS} rows under sampler={source.sampler} weigh {corpus.mass.unique().tolist()}"
                )
            teacher = model.fit(corpus, exam.at("fit", source.sampler))
            seen.append(data.judge(teacher, exam.at("paper")) | data.describe(teacher))
        for name, value in seen[0].items():
            z = _z(value - seen[1][name])
            if abs(z) > 5:
                raise CheckFailure(
                    f"{generator.title()}: {name} after one fit differs between sampler=explicit and sampler=exact-law "
                    f"by {z:+.1f} standard errors; `sufficient` must draw the same law as `answer`"
                )

    _on_first(list(_cells(among, data=law)), lambda cell: body(cell, lift(cell.model)))


# -- models ---------------------------------------------------------------------------------------------------------


def _model_checks(model: Model, among: Registry) -> Iterator[tuple[str, Check]]:
    tried = set()
    for cell in _cells(among, model=model):
        if cell.data.kind in tried and cell.data.title() not in tried:
            continue  # one generator per kind of data, in both its sizes
        tried |= {cell.data.kind, cell.data.title()}
        data, on = cell.data, f"on {_named(cell.data)}"
        yield f"zero weight equals absent, {on}", partial(_zero_is_absent, model, data)
        yield f"weight two equals twice, {on}", partial(_two_is_twice, model, data, "weight")
        yield f"count two equals twice, {on}", partial(_two_is_twice, model, data, "count")
        yield f"native equals loop, {on}", partial(_native_is_loop, model, data)
        yield f"inputs untouched, {on}", partial(_fit_untouched, model, data)
        yield f"replicate shapes agree, {on}", partial(_fit_shapes, model, data)
        yield f"fit twice is fit once, {on}", partial(_fit_twice, model, data)
    if not tried:
        yield "has data to learn from", _nothing_fits


def _nothing_fits() -> None:
    raise Unfit("no registered data generator fits this model")


def _rows(corpus: Corpus, pick: Tensor | slice, **more) -> Corpus:
    """Some rows of a corpus as a corpus of their own."""
    before = (slice(None),) * len(corpus.batch)
    return Corpus.of(corpus.x[(*before, pick)], corpus.y[(*before, pick)], corpus.batch, labels=corpus.labels, **more)


def _same_lesson(model: Model, generator: DataGenerator, pair, sentence: str) -> None:
    """Fail where a model learns something else from the second corpus than from the first.

    ``pair(corpus)`` gives both.  A model that is exact shows the same numbers; another the same mean loss.
    """
    exact = getattr(model, "exact", True)
    batch = (3,) if exact else (24,)
    data, taps = _desk(generator, batch)
    x, y, rng = _probe(data, batch)
    lessons = [copy.deepcopy(corpus) for corpus in pair(taps.real(ROWS))]  # a fit may spoil its own alone
    teachers = [lift(model).fit(corpus, rng.at("fit")) for corpus in lessons]
    if exact:
        _alike(*(behaviour(teacher, x, y, rng, drawing=False) for teacher in teachers), sentence)
        return
    losses = [data.judge(teacher, rng.at("exam"))[data.primary] for teacher in teachers]
    z = _z(losses[0] - losses[1])
    if abs(z) > 5:
        raise CheckFailure(f"{sentence} (mean {data.primary}: {z:+.1f} standard errors apart)")


def _zero_is_absent(model: Model, generator: DataGenerator) -> None:
    def pair(corpus):
        weight = torch.ones(*corpus.batch, ROWS, dtype=torch.float64)
        weight[..., 1::5] = 0
        y = corpus.y.clone()
        if y.is_floating_point():
            y[(slice(None),) * len(corpus.batch) + (slice(1, None, 5),)] += _JUNK
        there = torch.arange(ROWS)[weight.reshape(-1, ROWS)[0] > 0]
        return corpus.edited(y=y).weighted(weight), _rows(corpus, there)

    _same_lesson(
        model,
        generator,
        pair,
        f"{model.title()} learns from rows of weight 0, which must count as absent; filters only set weights to 0: "
        "multiply every sum over rows by corpus.multiplicity (or use corpus.moments() or tally()), and count "
        "sizes as multiplicity.sum(-1), never as corpus.n",
    )


def _two_is_twice(model: Model, generator: DataGenerator, what: str) -> None:
    def pair(corpus):
        if what == "weight":
            twos = corpus.weighted(torch.where(torch.arange(ROWS) < 7, 2.0, 1.0).expand(*corpus.batch, ROWS))
        else:
            count = torch.where(torch.arange(ROWS) < 7, 2, 1).expand(*corpus.batch, ROWS)
            twos = _rows(corpus, slice(None), count=count)
        return twos, corpus + _rows(corpus, slice(0, 7))

    _same_lesson(
        model,
        generator,
        pair,
        f"{model.title()} learns something else from a row of {what} 2 than from the row written twice; multiply every "
        "sum over rows by corpus.multiplicity, which is weight times count, and take its sum as the sample size",
    )


def _native_is_loop(model: Model, generator: DataGenerator) -> None:
    data, taps = _desk(generator, (2, 3))
    x, y, rng = _probe(data, (2, 3))
    corpus = taps.real(ROWS)
    whole = behaviour(lift(model).fit(copy.deepcopy(corpus), rng.at("fit")), x, y, rng)
    for r in product(range(2), range(3)):
        alone = behaviour(model.fit(corpus[r], rng.at("fit")[r]), x[r], y[r], rng[r])
        _alike(
            _at(whole, r),
            alone,
            f"{model.title()} fitted to replicates together is not what it is fitted to replicate {r} alone; a native "
            "model may mix no replicates: sums over .sum(-1) and matrices with .mT and '...', or leave "
            "replicates = 'loop'",
        )


def _fit_untouched(model: Model, generator: DataGenerator) -> None:
    data, taps = _desk(generator, (2,))
    x, y, rng = _probe(data, (2,))
    rows = taps.real(ROWS)
    for corpus in (rows, rows.weighted(torch.full((2, ROWS), 0.5)) + taps.real(ROWS)):
        # what is shown of one part is lent itself, and what is shown of two is a copy, which is lent as well
        lesson, one = (corpus, rng) if model.replicates == "native" else (corpus[0], rng[0])
        lent, sight = _Lent.of(corpus), _Lent(**_shows(lesson))
        model.fit(lesson, one.at("fit"))
        for held in (sight, lent):
            held.untouched(f"{model.title()}.fit")
    asked, first = _Lent(x=x, y=y), lift(model).fit(corpus, rng.at("fit"))
    before = behaviour(first, x, y, rng)
    lift(model).fit(taps.real(ROWS), rng.at("fit again"), first)
    asked.untouched(f"the teacher that {model.title()}.fit returns")
    _alike(
        before,
        behaviour(first, x, y, rng),
        f"{model.title()}.fit changed the teacher that it was given as `before`; copy its parameters first",
    )


def _fit_shapes(model: Model, generator: DataGenerator) -> None:
    seen = {}
    for batch in BATCHES:
        data, taps = _desk(generator, batch)
        x, y, rng = _probe(data, batch)
        seen[batch] = behaviour(lift(model).fit(taps.real(ROWS), rng.at("fit")), x, y, rng)
        for verb in ("expect", "logp", "answer"):
            value = seen[batch].get(verb)
            if value is not None and tuple(value.shape[: len(batch) + 1]) != (*batch, ROWS):
                raise CheckFailure(
                    f"the teacher of {model.title()} returned {verb} of shape {tuple(value.shape)}; {(*batch, ROWS)} in "
                    "front was due"
                )
        if "logp" in seen[batch] and seen[batch]["logp"].ndim != len(batch) + 2:
            raise CheckFailure(
                f"the teacher of {model.title()} returned logp of shape {tuple(seen[batch]['logp'].shape)}; (R, n, L) is "
                "due, L = 1 off sequences: add [..., None]"
            )
        if seen[batch]["answer"].shape != y.shape:
            raise CheckFailure(
                f"the teacher of {model.title()} answers in shape {tuple(seen[batch]['answer'].shape)}, nature in "
                f"{tuple(y.shape)}"
            )
    for batch in BATCHES[1:]:
        _alike(
            _at(seen[batch], (0,) * len(batch)),
            seen[()],
            f"{model.title()} learns other things in replicates {batch} than from the same run alone",
        )


def _fit_twice(model: Model, generator: DataGenerator) -> None:
    data, taps = _desk(generator, (2,))
    x, y, rng = _probe(data, (2,))
    corpus, seen = taps.real(ROWS), []
    with _Undisturbed():
        for seed in (1, 2):
            _disturb(seed)
            seen.append(behaviour(lift(model).fit(copy.deepcopy(corpus), rng.at("fit")), x, y, rng))
    _alike(
        *seen,
        f"{model.title()} fitted twice to one corpus with one stream gives two teachers; draw from the rng that is handed "
        "in (rng.normal, rng.torch_generator(), never torch.rand), and keep nothing between fits",
    )


# -- protocols ------------------------------------------------------------------------------------------------------


def _protocol_checks(protocol: Protocol, among: Registry) -> Iterator[tuple[str, Check]]:
    fitting = list(_cells(among, protocols=(protocol,), n=20))
    for kind, cells in _per_kind(iter(fitting)):
        for name, body in (
            ("right number of rows", _row_counts),
            ("memory survives pickling", _memory_survives),
            ("what was handed out stays untouched", _handed_out),
            ("replicate shapes agree", _protocol_shapes),
            ("every row is on the ledger", _charged),
        ):
            yield f"{name}, {kind}", partial(_on_first, cells, body)
    for cell in fitting:
        yield f"runs and resumes, {_named(cell.data)} | {_named(cell.model)}", partial(_runs_and_resumes, cell)
    if not fitting:
        yield "has something to run with", partial(_on_first, [], _row_counts)


def _composed(
    cell: Cell, batch: tuple[int, ...], last: int = 3, reload: bool = False
) -> Iterator[tuple[Taps, Corpus, Any]]:
    """(taps, corpus, memory) of generations 0 .. last, without mitigations; ``reload`` pickles the memory."""
    rng = _stream(batch)
    data = cell.data.drawn(rng.at("truth"))
    teacher, first, memory, ledger = data, None, None, Ledger()
    for t in range(last + 1):
        here = rng.at("generation", t)
        taps = Taps(data, teacher, first, t, cell.size(t), here, rng, ledger)
        out = cell.protocol.compose(taps, memory)
        if not (isinstance(out, tuple) and len(out) == 2 and isinstance(out[0], Corpus)):
            raise CheckFailure(
                f"{cell.protocol.title()}.compose must return (corpus, memory); memory is None where nothing is remembered"
            )
        corpus, memory = out
        yield taps, corpus, memory
        if reload:
            memory = pickle.loads(pickle.dumps(memory))
        teacher = lift(cell.model).fit(corpus, here.at("fit"))
        first = first or teacher


def _row_counts(cell: Cell) -> None:
    for taps, corpus, _ in _composed(cell, (2,)):
        if not corpus.has_rows:
            continue
        if corpus.batch != (2,):
            raise CheckFailure(f"{cell.protocol.title()} composed replicates {corpus.batch}; (2,) were due")
        rows, most = int(corpus.count.sum(-1).max()), cell.n * (taps.t + 1)
        if not cell.n <= rows <= most:
            raise CheckFailure(
                f"{cell.protocol.title()} gives generation {taps.t} {rows} rows; between {cell.n} (a fixed budget) and "
                f"{most} (everything ever written) are due, rows of weight 0 included: ask for taps.n rows in all"
            )


def _memory_survives(cell: Cell) -> None:
    straight = [_shows(corpus) for _, corpus, _ in _composed(cell, (2,))]
    through = [_shows(corpus) for _, corpus, _ in _composed(cell, (2,), reload=True)]
    for left, right in zip(straight, through, strict=True):
        _alike(
            left,
            right,
            f"{cell.protocol.title()} goes on otherwise after its memory was saved and read back; remember corpora and plain "
            "values, and nothing in the protocol itself",
        )


def _handed_out(cell: Cell) -> None:
    lent = [_Lent.of(corpus) for _, corpus, _ in _composed(cell, (2,))]
    for corpus in lent:
        corpus.untouched(f"{cell.protocol.title()}.compose")


def _protocol_shapes(cell: Cell) -> None:
    alone = [_shows(corpus) for _, corpus, _ in _composed(cell, ())]
    for batch in BATCHES[1:]:
        for own, (taps, corpus, _) in zip(alone, _composed(cell, batch), strict=True):
            _alike(
                _at(_shows(corpus), (0,) * len(batch)),
                own,
                f"{cell.protocol.title()} composes generation {taps.t} otherwise for replicates {batch} than for one run "
                "alone; let no replicate's numbers enter another's",
            )


def _charged(cell: Cell) -> None:
    for taps, corpus, _ in _composed(cell, (2,), last=2):
        drawn = taps.ledger.total("real_rows") + taps.ledger.total("generated_rows")
        if corpus.has_rows and int(corpus.count.sum(-1).max()) > int(torch.as_tensor(drawn).max()):
            raise CheckFailure(
                f"{cell.protocol.title()} hands out more rows than its taps drew; rows come from taps.real and "
                "taps.synthetic alone, and are handed out once"
            )


def _run(cell: Cell, start: Generation | None = None) -> list[Generation]:
    try:
        return list(generations(cell, start))
    except ContractError as broken:
        raise CheckFailure(str(broken)) from broken


def _starved(moment: Generation) -> Tensor | bool:
    return False if moment.starved is None else moment.starved


def _runs_and_resumes(cell: Cell) -> None:
    straight = _run(cell)
    for moment in straight:
        loss = moment.scores[cell.data.primary]
        if not (torch.isfinite(loss) | _starved(moment)).all():
            raise CheckFailure(f"{cell.label}: the loss of generation {moment.t} is {loss.tolist()}")
    resumed = _run(cell, pickle.loads(pickle.dumps(straight[0])))
    _alike(
        straight[-1].scores,
        resumed[-1].scores,
        f"{cell.label}: a run that is resumed after generation 0 ends elsewhere than one that was not stopped",
    )


# -- mitigations ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Onlooker(Mitigation):
    """Draws much, changes nothing, and writes down what it drew."""

    seen: list = field(default_factory=list)

    def curate(self, corpus, taps):
        self.seen.append({"own": taps.rng.uniform(3), "called": taps._next("onlooker").uniform(3)})
        taps.rng.normal(5)
        return corpus


def _mitigation_checks(act: Mitigation, among: Registry) -> Iterator[tuple[str, Check]]:
    protocols = [Accumulate(), Replace()]
    protocols += [p for cls in among.classes["protocol"].values() if (p := small(cls)) and p not in protocols]
    none = True
    yield "acts at one of its moments", partial(_acts, act)
    for kind, cells in _per_kind(_cells(among, protocols=tuple(protocols), mitigations=(act,))):
        none = False
        for name, body in (
            ("returns the noun it was given", _same_nouns),
            ("leaves alone what it does not write", _identity_moments),
            ("inputs untouched", _lesson_untouched),
            ("replicate shapes agree", _mitigation_shapes),
            ("draws from its stream alone", _mitigation_twice),
            ("runs in the loop", _runs_in_loop),
            ("is not shifted by others' draws", _not_shifted),
            ("does not shift others' draws", _shifts_none),
        ):
            yield f"{name}, {kind}", partial(_on_first, cells, body)
    if none:
        yield "has something to act on", partial(_on_first, [], _same_nouns)


def _acts(act: Mitigation) -> None:
    if act.control:
        raise Unfit(f"{act.title()} is a control")
    if any(getattr(type(act), moment) is not getattr(Mitigation, moment) for moment in MOMENTS):
        return
    for name in sorted(name for name in dir(type(act)) if not hasattr(Mitigation, name)):
        close = difflib.get_close_matches(name, MOMENTS, 1)
        if close:
            raise CheckFailure(f"{act.title()} writes {name}, which nobody calls; did you mean {close[0]!r}?")
    raise CheckFailure(f"{act.title()} does nothing; write at least one of {', '.join(MOMENTS)}")


@dataclass(frozen=True, eq=False)
class _Scene:
    """What a mitigation meets at generation 2."""

    act: Mitigation
    taps: Taps
    corpus: Corpus
    model: Model

    @classmethod
    def of(cls, cell: Cell, batch: tuple[int, ...]) -> _Scene:
        *_, (taps, corpus, _) = _composed(cell, batch, last=2)
        shuffled = corpus.anonymous(_stream(batch).at("shuffle"))
        return cls(cell.mitigations[0], taps, shuffled, lift(cell.model))

    def moments(self) -> tuple[Teacher, Corpus, Model]:
        """All moments in the order of the loop."""
        who = self.act.title()
        steered = self.act.steer(self.taps.teacher, self.taps._by(who))
        curated = self.act.curate(self.corpus, self.taps._taught_by(steered)._by(who))
        adapted = self.act.adapt(self.model, self.taps._taught_by(steered)._by(who))
        return steered, curated, adapted

    def shows(self) -> dict[str, Tensor]:
        """What comes of all moments, as tensors."""
        steered, curated, adapted = self.moments()
        data, batch = self.taps._data, self.corpus.batch
        x, y, rng = _probe(data, batch)
        fitted = lift(adapted).fit(curated, rng.at("fit"), self.taps.teacher)
        shown = {}
        for prefix, values in (
            ("steered", behaviour(steered, x, y, rng)),
            ("curated", _shows(curated)),
            ("fitted", behaviour(fitted, x, y, rng)),
        ):
            shown |= {f"{prefix} {name}": value for name, value in values.items()}
        return shown


def _same_nouns(cell: Cell) -> None:
    act, who = cell.mitigations[0], cell.mitigations[0].title()
    scene = _Scene.of(cell, (2,))
    for verb, out, noun in zip(("steer", "curate", "adapt"), scene.moments(), (Teacher, Corpus, Model), strict=True):
        if not isinstance(out, noun):
            raise CheckFailure(
                f"{who}.{verb} returned {type(out).__name__}; a mitigation returns the noun it was given, here a "
                f"{noun.__name__} (is a return missing?)"
            )
    for t in range(1, 4):
        n = act.size(ROWS, t)
        if type(n) is not int or n < 1:
            raise CheckFailure(f"{who}.size returned {n!r}; a whole number of rows >= 1 is due (round it)")
    _, curated, _ = scene.moments()
    if curated.batch != scene.corpus.batch:
        raise CheckFailure(f"{who}.curate returned replicates {curated.batch}; {scene.corpus.batch} were lent")
    if not (torch.isfinite(curated.mass) & (curated.mass >= 0)).all():
        raise CheckFailure(f"{who}.curate gave weights that are negative or not finite")


def _identity_moments(cell: Cell) -> None:
    act, scene = cell.mitigations[0], _Scene.of(cell, (2,))
    lent = {"steer": scene.taps.teacher, "curate": scene.corpus, "adapt": scene.model}
    for verb, out in zip(lent, scene.moments(), strict=True):
        if getattr(type(act), verb) is getattr(Mitigation, verb) and out is not lent[verb]:
            raise CheckFailure(f"{act.title()} does not write {verb}, and it still changed what passed through")


def _lesson_untouched(cell: Cell) -> None:
    scene = _Scene.of(cell, (2,))
    x, y, rng = _probe(scene.taps._data, (2,))
    taught = behaviour(scene.taps.teacher, x, y, rng)
    lent, sight = _Lent.of(scene.corpus), _Lent(**_shows(scene.corpus))
    scene.moments()
    for held in (lent, sight):
        held.untouched(f"{cell.mitigations[0].title()}.curate")
    _alike(
        taught,
        behaviour(scene.taps.teacher, x, y, rng),
        f"{cell.mitigations[0].title()}.steer changed the teacher itself; return another one, e.g. teacher.decoded(...)",
    )


def _mitigation_shapes(cell: Cell) -> None:
    alone = _Scene.of(cell, ()).shows()
    for batch in BATCHES[1:]:
        _alike(
            _at(_Scene.of(cell, batch).shows(), (0,) * len(batch)),
            alone,
            f"{cell.mitigations[0].title()} acts otherwise on replicates {batch} than on one run alone; take sums and "
            "quantiles over rows (dim -1), and let no replicate's numbers enter another's",
        )


def _mitigation_twice(cell: Cell) -> None:
    seen = []
    with _Undisturbed():
        for seed in (1, 2):
            _disturb(seed)
            seen.append(_Scene.of(cell, (2,)).shows())
    _alike(
        *seen,
        f"{cell.mitigations[0].title()} acts otherwise the second time; draw from taps.rng alone, and keep nothing between "
        "generations",
    )


def _runs_in_loop(cell: Cell) -> None:
    for moment in _run(cell):
        loss = moment.scores[cell.data.primary]
        if not (torch.isfinite(loss) | _starved(moment)).all():
            raise CheckFailure(f"{cell.mitigations[0].title()}: the loss of generation {moment.t} is {loss.tolist()}")


def _alone(cell: Cell) -> Mitigation:
    act = cell.mitigations[0]
    if act.perfect_teacher:
        raise Unfit(f"{act.title()} takes no mitigation beside it")
    return act


def _not_shifted(cell: Cell) -> None:
    act = _alone(cell)
    watched = dataclasses.replace(cell, mitigations=(Onlooker(), act, Onlooker()))
    _alike(
        _run(cell)[-1].scores,
        _run(watched)[-1].scores,
        f"{act.title()} comes out otherwise when an idle mitigation beside it draws numbers; draw from taps.rng alone",
    )


def _shifts_none(cell: Cell) -> None:
    act = _alone(cell)
    with_it, without = Onlooker(), Onlooker()
    _run(dataclasses.replace(cell, mitigations=(act, with_it)))
    _run(dataclasses.replace(cell, mitigations=(without,)))
    for left, right in zip(with_it.seen, without.seen, strict=True):
        _alike(
            left, right, f"{act.title()} shifts the numbers that a mitigation beside it draws; draw from taps.rng alone"
        )


_CHECKS: dict[str, Callable[[Any, Registry], Iterator[tuple[str, Check]]]] = {
    "generator": _generator_checks,
    "model": _model_checks,
    "protocol": _protocol_checks,
    "mitigation": _mitigation_checks,
}
