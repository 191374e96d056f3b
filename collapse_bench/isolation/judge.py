"""The judge's side: what a plugin may ask for, and what stands here for its objects.

Everything that the plugin's process sends is data.  What it returns is checked like the result of a
plugin in the same process, see ``core.contracts``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..core.access import Access
from ..core.components import FACTS, DataGenerator, Model, Teacher
from ..core.corpus import Corpus
from ..core.plain import plain
from ..core.recipe import Recipe
from ..core.rng import Stream
from ..core.rows import PAID
from ..errors import ContractError
from .link import Link
from .objects import JUDGE, Exchange

_LOT = 36  # bits of the place of a row within its lot
_MASK = (1 << _LOT) - 1
_FIRST = -2  # the largest number that stands for a hidden origin; -1 marks paid rows
#: methods of a teacher and of a model that the other process may call
TEACHER = (
    "answer",
    "mean_answer",
    "logp",
    "decoded",
    "blend",
    "redraw",
    "mean_and_factor",
    "sample_sufficient",
)
MODEL = ("fit", "with_loss", "with_validation", "with_start", "with_parameters")
CONFIGURED = (*MODEL, "with_after", "with_training")


class JudgeExchange(Exchange):
    """How the judge's process shows its objects.

    The origins of rows stay here.  The plugin sees a number per row, which says nothing, travels
    with the row, and is exchanged for the origin when the row comes back.
    """

    side = JUDGE

    def __init__(self) -> None:
        super().__init__()
        self._lots: list[int | Tensor] = []  # origins of the rows that were shown

    def shown(self, value: Any) -> tuple[str, dict[str, Any]] | None:
        if isinstance(value, Access):
            return "access", {
                "user": value.user,
                "t": value.t,
                "n": value.n,
                "natural": value.natural,
                "teacher": self.encode(value.teacher),
                "rng": self.encode(value.rng),
                "composition": self.encode(value.composition),
            }
        if isinstance(value, Model):
            facts = {name: self.encode(getattr(value, name)) for name in FACTS}
            return "model", {"title": value.title(), **facts}
        return ("teacher", {}) if isinstance(value, Teacher) else None

    def standing_for(self, role: str, number: int, about: dict[str, Any]) -> Any:
        assert self.link is not None
        if role == "teacher":
            return _of_class(PluginTeacher, TEACHER, _forwarded, about)(self.link, number)
        if role == "model":
            made = _of_class(PluginModel, MODEL, _forwarded_by_model, about, _facts(about))
            return made(self.link, number)
        return PluginFunction(self.link, number) if role == "function" else PluginObject(number)

    def number_there(self, value: Any) -> int | None:
        return getattr(value, "number", None) if isinstance(value, _OF_PLUGIN) else None

    def origins_out(self, origin: int | Tensor, hidden: bool, shape: tuple[int, ...]) -> Any:
        if not hidden and isinstance(origin, int) and origin > 0:
            return origin
        self._lots.append(origin if isinstance(origin, int) else origin.reshape(-1).clone())
        first = _FIRST - ((len(self._lots) - 1) << _LOT)
        if not shape:
            return first
        size = torch.Size(shape).numel()
        places = first - torch.arange(size).reshape(shape)
        return (
            places if hidden or isinstance(origin, int) else torch.where(origin > 0, origin, places)
        )

    def origins_in(self, origin: Any, shape: tuple[int, ...]) -> int | Tensor:
        if isinstance(origin, int):
            found = self._found(torch.tensor([origin]))
            return int(found) if not shape else found.expand(shape).clone()
        if not isinstance(origin, Tensor) or tuple(origin.shape) != shape:
            raise ContractError("rows without an origin each")
        return self._found(origin.long())

    def _found(self, numbers: Tensor) -> Tensor:
        """The origins that these numbers stand for.  Raises ContractError for a number that was
        never given out."""
        if bool((numbers == PAID).any()):
            raise ContractError("an origin must be the number of a generation, 0 or more")
        hidden = numbers <= _FIRST
        if not hidden.any():
            return numbers
        out, codes = numbers.clone(), _FIRST - numbers[hidden]
        lots, places = codes >> _LOT, codes & _MASK
        values = torch.empty_like(codes)
        for lot in lots.unique().tolist():
            mine = lots == lot
            if lot >= len(self._lots):
                raise ContractError("rows come with an origin that nobody gave them")
            known = self._lots[lot]
            if isinstance(known, int):
                values[mine] = known
            elif bool((places[mine] >= known.numel()).any()):
                raise ContractError("rows come with an origin that nobody gave them")
            else:
                values[mine] = known[places[mine]]
        out[hidden] = values
        return out


# -- what stands for objects of the plugin ---------------------------------------------------------


class PluginObject:
    """A value of the plugin that is only kept for it."""

    def __init__(self, number: int):
        self.number = number


class PluginFunction:
    """A function of the plugin: a training, a change of a teacher, or a processor."""

    def __init__(self, link: Link, number: int):
        self.link, self.number = link, number

    def __call__(self, *args: Any) -> Any:
        return self.link.call("function", self, *args)


class PluginLoss(PluginFunction):
    """A loss of the plugin.  It runs in the plugin's process, and so does its gradient."""

    def __call__(self, *args: Any) -> Any:
        return _Loss.apply(*args, self)


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logp: Tensor, y: Tensor, loss: PluginLoss) -> Tensor:
        value, ctx.key = loss.link.call("loss", loss, logp, y, ctx.needs_input_grad[0])
        ctx.link, ctx.like = loss.link, logp
        value = plain(value, "what a loss returned")
        if not value.is_floating_point():
            raise ContractError("a loss must return one number per answer")
        return value.to(logp.device)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        out = plain(ctx.link.call("loss gradient", ctx.key, gradient), "the gradient of a loss")
        if out.shape != ctx.like.shape:
            raise ContractError("the gradient of a loss has another shape than its answers")
        return out.to(ctx.like.device), None, None


class PluginTeacher(Teacher):
    """A teacher of the plugin; its class here has the methods that its class there has."""

    def __init__(self, link: Link, number: int):
        self.link, self.number = link, number

    @property
    def linear(self) -> bool:
        return bool(self.link.call("teacher.linear", self))

    @property
    def account(self) -> Mapping[str, float]:
        account = self.link.call("teacher.account", self)
        if not isinstance(account, dict):
            raise ContractError("the account of a teacher must map names to numbers")
        return account


class PluginModel(Model):
    """A model of the plugin: it is fitted in the plugin's process."""

    def __init__(self, link: Link, number: int):
        object.__setattr__(self, "link", link)
        object.__setattr__(self, "number", number)
        object.__setattr__(self, "_contents", {})


_OF_PLUGIN = (PluginObject, PluginFunction, PluginTeacher, PluginModel)


def _of_class(
    base: type,
    methods: tuple[str, ...],
    forward: Callable[[str], Any],
    about: Mapping[str, Any],
    facts: Mapping[str, Any] | None = None,
) -> type:
    """A class with the methods that the plugin's class says that it has, under its name."""
    name = re.sub(r"\W", "_", str(about.get("class"))[:60]) or "Unnamed"
    there = set(map(str, about.get("methods") or ()))
    body = {method: forward(method) for method in methods if method in there}
    return type(name, (base,), {**body, **(facts or {})})


def _forwarded(method: str) -> Any:
    def called(self: Any, *args: Any, **settings: Any) -> Any:
        return self.link.call(f"teacher.{method}", self, list(args), settings)

    return called


def _forwarded_by_model(method: str) -> Any:
    def called(self: Any, *args: Any, **settings: Any) -> Any:
        return self.link.call(f"model.{method}", self, list(args), settings)

    return called


def _facts(about: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that a model of the plugin states."""
    facts: dict[str, Any] = {"name": str(about.get("title"))[:60], "kinds": None, "needs": ()}
    for name in FACTS:
        if isinstance(about.get(name), bool):
            facts[name] = about[name]
    if isinstance(about.get("estimator"), str):
        facts["estimator"] = about["estimator"]
    facts["vectorized"] = about.get("vectorized") is True
    return facts


# -- what the plugin may call ----------------------------------------------------------------------


def serve(method: str, args: list[Any]) -> Any:
    """What a call of the plugin's process gives.  Raises ContractError for one that is not offered;
    else what the called method raises."""
    role, _, name = method.partition(".")
    owner, *rest = args or [None]
    if role == "access" and isinstance(owner, Access) and name in _ASKED:
        return _ASKED[name](owner, *rest)
    if role == "teacher" and isinstance(owner, Teacher):
        if name in TEACHER:
            args, settings = rest
            return getattr(owner, name)(*args, **settings)
        if name == "linear":
            return bool(owner.linear)
        if name == "account":
            return dict(owner.account)
        if name == "attribute":
            return _attribute(owner, *rest)
    if role == "model" and isinstance(owner, Model):
        if name in CONFIGURED:
            args, settings = rest
            if name == "with_loss" and args and isinstance(args[0], PluginFunction):
                args = [PluginLoss(args[0].link, args[0].number), *args[1:]]
            return getattr(owner, name)(*args, **settings)
        if name == "attribute":
            return _attribute(owner, *rest)
    raise ContractError(f"the judge offers no {method[:60]!r} to a plugin")


def _attribute(owner: Any, name: Any) -> Any:
    """A public attribute of a fitted teacher or a model, where it is a plain value."""
    if not isinstance(name, str) or name.startswith("_") or isinstance(owner, DataGenerator):
        raise ContractError(f"the judge does not show the attribute {name!r}")
    value = getattr(owner, name)
    if not _is_plain(value):
        raise ContractError(
            f"the judge does not show the attribute {name!r}, which is no plain value"
        )
    return value


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    if isinstance(value, Teacher):
        return not isinstance(value, DataGenerator)
    return value is None or isinstance(value, (bool, int, float, str, Tensor, Recipe))


def _keep(access: Access, value: Any) -> None:
    access.memory = value


def _real(access: Access, n: Any, x: Any, fixed: Any) -> Corpus:
    return access.real(n, x=x, fixed=bool(fixed))


def _synthetic(access: Access, n: Any, x: Any, of: Any) -> Corpus:
    if of is not None and not isinstance(of, Teacher):
        raise ContractError("rows are written by a teacher")
    return access.synthetic(n, x=x, of=of)


def _fit(access: Access, model: Any, corpus: Any, before: Any, rng: Any) -> Teacher:
    if not isinstance(model, Model) or not isinstance(corpus, Corpus):
        raise ContractError("a fit needs a model and a corpus")
    if rng is not None and not isinstance(rng, Stream):
        raise ContractError("rng must be a stream")
    return access.fit(model, corpus, before, rng)


def _ledger(access: Access) -> list[list[Any]]:
    return [[*key, amount] for key, amount in access.ledger.counts.items()]


_ASKED: dict[str, Callable[..., Any]] = {
    "real": _real,
    "synthetic": _synthetic,
    "handed": lambda access: access.handed,
    "verify": lambda access, *args: access.verify(*args),
    "provenance": lambda access, corpus: access.provenance(corpus),
    "external": lambda access, what, calls: access.external(what, calls),
    "trivial": lambda access: access.trivial,
    "first": lambda access: access.first,
    "fit": _fit,
    "read_out": lambda access, teacher: access.read_out(teacher),
    "recall": lambda access: access.memory,
    "keep": _keep,
    "ledger": _ledger,
}
