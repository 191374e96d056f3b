"""The plugin's side: what stands for the objects of the judge, and what the judge may call."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..core.access import Access
from ..core.components import (
    FACTS,
    Component,
    Mitigation,
    Model,
    Teacher,
    has_method,
)
from ..core.corpus import Corpus
from ..core.ledger import Ledger
from ..core.rng import Stream
from ..errors import UsageError
from ..registry.discovery import Registry
from .judge import CONFIGURED, MODEL, TEACHER
from .link import Link
from .objects import PLUGIN, Exchange

STAGES = ("size", "steer", "curate", "adapt")
MOST_GRAPHS = 64  # losses whose gradients are waited for
#: class attributes of a mitigation that the judge needs
TRAITS = ("version", "kinds", "needs", "couples_chains", "applies_to_memory", "tunings", "control")


class PluginExchange(Exchange):
    """How the plugin's process shows its objects."""

    side = PLUGIN

    def shown(self, value: Any) -> tuple[str, dict[str, Any]] | None:
        if isinstance(value, Teacher):
            methods = [name for name in TEACHER if has_method(value, name)]
            return "teacher", {"class": type(value).__name__, "methods": methods}
        if isinstance(value, Model):
            facts = {name: self.encode(getattr(value, name)) for name in FACTS}
            methods = [name for name in MODEL if has_method(value, name)]
            about = {"class": type(value).__name__, "methods": methods, "title": value.title()}
            return "model", {**about, **facts, "vectorized": bool(value.vectorized)}
        return ("function", {}) if callable(value) else None

    def standing_for(self, role: str, number: int, about: dict[str, Any]) -> Any:
        assert self.link is not None
        if role == "access":
            known = {name: self.decode(value) for name, value in about.items()}
            return JudgesAccess(self.link, number, known)
        if role == "teacher":
            return JudgesTeacher(self.link, number)
        if role == "model":
            known = {name: self.decode(value) for name, value in about.items()}
            return JudgesModel(self.link, number, known)
        return JudgesObject(number)

    def number_there(self, value: Any) -> int | None:
        return vars(value)["_number"] if isinstance(value, _OF_JUDGE) else None

    def origins_out(self, origin: int | Tensor, hidden: bool, shape: tuple[int, ...]) -> Any:
        return origin

    def origins_in(self, origin: Any, shape: tuple[int, ...]) -> int | Tensor:
        return origin


# -- what stands for objects of the judge ----------------------------------------------------------


class JudgesObject:
    """An object of the judge's process that a plugin can only hand back."""

    def __init__(self, number: int):
        self._number = number


class JudgesTeacher(Teacher):
    """A teacher of the judge's process, called by messages."""

    def __init__(self, link: Link, number: int):
        self._link, self._number = link, number

    def _called(self, name: str, *args: Any, **settings: Any) -> Any:
        return self._link.call(f"teacher.{name}", self, list(args), settings)

    def __getattr__(self, name: str) -> Any:
        """A public attribute that is a plain value; called for names that this class lacks."""
        if name.startswith("_"):
            raise AttributeError(name)
        return self._link.call("teacher.attribute", self, name)

    @property
    def linear(self) -> bool:
        return self._link.call("teacher.linear", self)

    @property
    def account(self) -> Mapping[str, float]:
        return self._link.call("teacher.account", self)

    def answer(self, x: Tensor, rng: Stream) -> Tensor:
        return self._called("answer", x, rng)

    def mean_answer(self, x: Tensor) -> Tensor:
        return self._called("mean_answer", x)

    def logp(self, x: Tensor, y: Tensor) -> Tensor:
        return self._called("logp", x, y)

    def decoded(self, *args: Any, **settings: Any) -> Teacher:
        return self._called("decoded", *args, **settings)

    def blend(self, other: Teacher, w: float) -> Teacher:
        return self._called("blend", other, w)

    def redraw(self, x: Tensor, y: Tensor, mask: Tensor, rng: Stream) -> Tensor:
        return self._called("redraw", x, y, mask, rng)

    def mean_and_factor(self) -> tuple[Tensor, Tensor]:
        return self._called("mean_and_factor")

    def sample_sufficient(self, n: Any, rng: Stream) -> Corpus:
        return self._called("sample_sufficient", n, rng)


class JudgesModel(Model):
    """The model of the cell, which is fitted in the judge's process, with what was asked for."""

    vectorized = True

    def __init__(self, link: Link, number: int, about: Mapping[str, Any]):
        own = {name: about[name] for name in FACTS}
        title = about["title"]
        known = {"_link": link, "_number": number, "_contents": {}, "title": lambda: title}
        for name, value in {**own, **known}.items():
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        """A parameter that is a plain value; called for names that this class lacks."""
        if name.startswith("_"):
            raise AttributeError(name)
        return self._link.call("model.attribute", self, name)


def _of_judge(name: str) -> Any:
    def called(self: JudgesModel, *args: Any, **settings: Any) -> Any:
        return self._link.call(f"model.{name}", self, list(args), settings)

    return called


for _name in CONFIGURED:
    setattr(JudgesModel, _name, _of_judge(_name))


class JudgesAccess(Access):
    """The access of a stage: every request is a message to the judge, who charges it."""

    def __init__(self, link: Link, number: int, about: Mapping[str, Any]):
        self._link, self._number, self._natural = link, number, about["natural"]
        self.user, self.t, self.n = about["user"], about["t"], about["n"]
        self.teacher, self.rng = about["teacher"], about["rng"]
        self.composition = about["composition"]

    def _asked(self, name: str, *args: Any) -> Any:
        return self._link.call(f"access.{name}", self, *args)

    def real(self, n: int | None = None, *, x: Tensor | None = None, fixed: bool = False) -> Corpus:
        return self._asked("real", n, x, fixed)

    def synthetic(
        self, n: int | None = None, *, x: Tensor | None = None, of: Teacher | None = None
    ) -> Corpus:
        return self._asked("synthetic", n, x, of)

    @property
    def natural(self) -> bool:
        return self._natural

    @property
    def handed(self) -> int:
        return self._asked("handed")

    def verify(
        self, corpus: Corpus, phi: float = 1.0, psi: float = 0.0, centre: Any = None
    ) -> Tensor:
        return self._asked("verify", corpus, phi, psi, centre)

    def provenance(self, corpus: Corpus) -> Tensor:
        return self._asked("provenance", corpus)

    def external(self, what: str, calls: int = 1) -> None:
        self._asked("external", what, calls)

    @property
    def trivial(self) -> Teacher:
        return self._asked("trivial")

    @property
    def first(self) -> Teacher | None:
        return self._asked("first")

    def fit(
        self, model: Model, corpus: Corpus, before: Teacher | None = None, rng: Stream | None = None
    ) -> Teacher:
        return self._asked("fit", model, corpus, before, rng)

    def read_out(self, teacher: Teacher) -> Teacher:
        return self._asked("read_out", teacher)

    @property
    def memory(self) -> Any:
        return self._asked("recall")

    @memory.setter
    def memory(self, value: Any) -> None:
        self._asked("keep", value)

    @property
    def ledger(self) -> Ledger:
        ledger = Ledger()
        counts = {(user, what): amount for user, what, amount in self._asked("ledger")}
        ledger.counts = counts
        return ledger


_OF_JUDGE = (JudgesObject, JudgesTeacher, JudgesModel, JudgesAccess)


# -- what the judge may call -----------------------------------------------------------------------


class Served:
    """The mitigations of the plugin files, and the losses whose gradients are asked for later."""

    def __init__(self, registry: Registry):
        self.registry = registry
        self._built: dict[str, Mitigation] = {}
        self._graphs: dict[int, tuple[Tensor, Tensor]] = {}
        self._count = 0

    def __call__(self, method: str, args: list[Any]) -> Any:
        return _CALLS[method](self, *args) if method in _CALLS else _of_object(method, *args)

    def act(self, spec: str) -> Mitigation:
        """The mitigation of a spec; it is built once."""
        if spec not in self._built:
            self._built[spec] = self.registry.build("mitigation", spec)
        return self._built[spec]

    def describe(self, name: str) -> dict[str, Any]:
        """What the judge must know of the class of a mitigation."""
        cls = self.registry.find("mitigation", name)
        assert issubclass(cls, Mitigation)
        hints = typing.get_type_hints(cls)
        return {
            "title": cls.title(),
            "fields": [
                {
                    "name": field.name,
                    "type": _written_type(name, field.name, hints[field.name]),
                    "default": field.default,
                    "limits": {
                        key: field.metadata.get(key)
                        for key in ("ge", "gt", "le", "lt", "later", "doc")
                    },
                    "choices": _listed(field.metadata.get("choices")),
                }
                for field in dataclasses.fields(cls)
            ],
            "traits": {trait: getattr(cls, trait) for trait in TRAITS},
            "stages": [s for s in STAGES if getattr(cls, s) is not getattr(Mitigation, s)],
            "size takes memory": _takes_memory(cls),
            "judges cells": cls.incompatibility is not Component.incompatibility,
            "digests": dict(cls.file_digests),
        }

    def stage(self, spec: str, name: str, *args: Any) -> Any:
        if name not in STAGES:
            raise UsageError(f"there is no stage {name!r}")
        return getattr(self.act(spec), name)(*args)

    def incompatibility(self, place: int, label: str) -> Any:
        """What the mitigation at a place of a cell says of it; both are copies without seeds."""
        cell = self.registry.cell(label).lent()
        return cell.mitigations[place].incompatibility(cell)

    def function(self, function: Any, *args: Any) -> Any:
        return function(*args)

    def loss(self, function: Any, logp: Tensor, y: Tensor, wanted: bool) -> tuple[Tensor, int]:
        if not wanted:
            return function(logp, y), 0
        with torch.enable_grad():
            leaf = logp.requires_grad_()
            value = function(leaf, y)
        self._count += 1
        self._graphs[self._count] = leaf, value
        self._graphs.pop(self._count - MOST_GRAPHS, None)  # its gradient was never asked for
        return value, self._count

    def gradient(self, key: int, gradient: Tensor) -> Tensor:
        leaf, value = self._graphs.pop(key)
        (out,) = torch.autograd.grad(value, leaf, gradient.to(value.dtype), allow_unused=True)
        return torch.zeros_like(leaf) if out is None else out


def _of_object(method: str, owner: Any, *rest: Any) -> Any:
    """A method or a fact of a teacher or a model of the plugin."""
    role, _, name = method.partition(".")
    if role == "teacher" and name == "linear":
        return bool(owner.linear)
    if role == "teacher" and name == "account":
        return dict(owner.account)
    if name in {"teacher": TEACHER, "model": MODEL}.get(role, ()):
        args, settings = rest
        return getattr(owner, name)(*args, **settings)
    raise UsageError(f"there is no call {method!r}")


_CALLS: dict[str, Callable[..., Any]] = {
    "describe": Served.describe,
    "stage": Served.stage,
    "incompatibility": Served.incompatibility,
    "function": Served.function,
    "loss": Served.loss,
    "loss gradient": Served.gradient,
}

#: the types of parameters that can be sent to the judge
TYPES: dict[Any, str] = {int: "int", float: "float", bool: "bool", str: "str"}


def _written_type(plugin: str, parameter: str, hint: Any) -> str:
    """The type of a parameter as text.  Raises UsageError for one that is no plain value."""
    options = typing.get_args(hint) or (hint,)
    plain = [TYPES[option] for option in options if option in TYPES]
    others = [option for option in options if option not in TYPES and option is not type(None)]
    if typing.get_origin(hint) is typing.Literal:
        return "str"
    if others or not plain or typing.get_origin(hint) in (tuple, list):
        raise UsageError(
            f"{plugin}: the parameter {parameter} is neither a number, nor a word, nor true or "
            "false, and an audited run takes only these; leave it at its default in a wrapper "
            "class without this parameter"
        )
    return " | ".join([*plain, *(["None"] if type(None) in options else [])])


def _listed(choices: Any) -> list[Any] | None:
    return None if choices is None else list(choices)


def _takes_memory(cls: type[Mitigation]) -> bool:
    """Whether ``size`` of a class has a third parameter."""
    return len(inspect.signature(cls.size).parameters) > 3
