"""What a student reads: rows of questions and answers, with weights and origins.

Shapes: ``R`` stands for the dimensions of the chains, which come first (any number, also none);
``n`` rows.  A corpus is a list of immutable parts.  ``+`` joins the lists without a copy.  The sums
that closed-form models need are computed part by part and cached: if a pool grows by one part per
generation, only that part is summed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from ..display import html, html_table
from ..errors import ContractError, Incompatible, Unsupported
from .renamed import OldName
from .rng import Stream
from .rows import RowsPart, alike, expanded_origin, ones_for, weight_of
from .sums import (
    Moments,
    Part,
    Products,
    Sums,
    SumsPart,
    mass_of,
    moments_of,
    own,
    products_of,
    tally_of,
)

Summed = TypeVar("Summed", Moments, Products, Tensor)


SHOWN_ROWS = 5  # that a notebook shows
SHOWN_VALUES = 8  # of a row


def _check_tensor(what: str, value: object) -> None:
    """Raises ContractError for a plain number or a list, which have no shape."""
    if not isinstance(value, Tensor):
        raise ContractError(f"{what} are a tensor with one for each row, not {value!r:.40}")


def _short(value: Tensor) -> str:
    """The first values of a row as text."""
    flat = value.detach().cpu().flatten()
    words = [f"{number:.4g}" for number in flat[:SHOWN_VALUES].tolist()]
    return ", ".join(words) + ", ..." * (flat.numel() > SHOWN_VALUES)


@dataclass(frozen=True, eq=False)
class Corpus:
    """Rows to learn from: ``x, y, weight, count, origin``.

    Build one with ``Corpus.of``; never change its tensors in place.  A corpus that is known by its
    sums only (``sampler=exact-law``) has no rows, and raises Incompatible if they are read.
    """

    _parts: tuple[Part, ...]
    chain_shape: tuple[int, ...]  # R
    batch = OldName("batch", "chain_shape")
    # if set, rows are shown in this random order; private, since the stream reveals the old order
    _order: Stream | None = None
    _hidden: bool = False  # if set, ``origin`` cannot be read
    # number of possible answers, for symbols and classes, see DataGenerator; not a secret
    labels: int | None = None
    _folds: dict[Hashable, tuple[int, Any]] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        kinds = " and ".join(dict.fromkeys(type(part).__name__ for part in self._parts))
        return f"Corpus({kinds or 'empty'}, chain shape {self.chain_shape})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the first rows of the first chain, without their origin."""
        title = f"<b>{html(repr(self))}</b>"
        if not self._parts or not self.has_rows:
            return f"<div>{title}</div>"
        chain = (0,) * len(self.chain_shape)
        if 0 in self.chain_shape:
            return f"<div>{title}</div>"
        rows = range(min(self.n, SHOWN_ROWS))
        columns = {"x": self.x, "y": self.y, "weight": self.weight}
        if not self.width:
            del columns["x"]
        table = html_table(
            ["row", *columns],
            [[i, *(_short(values[(*chain, i)]) for values in columns.values())] for i in rows],
        )
        more = f"and {self.n - len(rows)} more rows" if self.n > len(rows) else ""
        return f"<div>{title}{table}{more}</div>"

    @classmethod
    def of(
        cls,
        x: Tensor | None,
        y: Tensor,
        chain_shape: tuple[int, ...],
        weight: Tensor | None = None,
        count: Tensor | None = None,
        origin: int | Tensor = 0,
        labels: int | None = None,
    ) -> Corpus:
        """A corpus of one part.

        ``x (R, n, ...)`` may be None for questions of width 0; ``y (R, n, ...)``; weight and count
        (R, n).  ``origin`` is the generation that wrote the rows, 0 = real: one number, or (R, n)
        int64.  Raises ValueError if leading dimensions differ.
        """
        chain_shape = tuple(chain_shape)
        n = y.shape[len(chain_shape)]
        if x is None:
            x = y.new_empty((*chain_shape, n, 0))
        for name, value in (("x", x), ("y", y), ("weight", weight), ("count", count)):
            if value is not None and tuple(value.shape[: len(chain_shape) + 1]) != (
                *chain_shape,
                n,
            ):
                raise ValueError(
                    f"{name} has shape {tuple(value.shape)}; expected leading dimensions "
                    f"{(*chain_shape, n)}, for chains {chain_shape} and {n} rows"
                )
        weight = weight if weight is None else weight.double()
        return cls((RowsPart(x, y, weight, count, origin),), chain_shape, labels=labels)

    @classmethod
    def of_sums(cls, sums: Sums, origin: int = 0) -> Corpus:
        """A sample known by its sums only, drawn from their exact law; it has no rows."""
        return cls((SumsPart(sums, origin),), tuple(sums.weight.shape))

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts in order of age.  Raises Incompatible if provenance is hidden."""
        if self._hidden:
            raise Incompatible(
                "provenance is hidden here; ask access.provenance(corpus), which the ledger records"
            )
        return self._parts

    # -- rows --------------------------------------------------------------------------------------

    @property
    def has_rows(self) -> bool:
        """False if the corpus, or a part of it, is known by its sums only."""
        return all(isinstance(part, RowsPart) for part in self._parts)

    @property
    def _rows(self) -> list[RowsPart]:
        """The parts that have rows."""
        return [part for part in self._parts if isinstance(part, RowsPart)]

    @cached_property
    def _table(self) -> RowsPart:
        """All rows as one part, in the order that this corpus shows."""
        parts = self._rows
        if len(parts) < len(self._parts):
            raise Unsupported(
                "this corpus was drawn by the exact law of its sums and has no rows; choose "
                "sampler=explicit for methods that read rows"
            )
        table = parts[0] if len(parts) == 1 else self._joined(parts)
        if self._order is None:
            return table
        axis = len(self.chain_shape)
        return table.at(self._order.at("order").permutation(table.y.shape[axis]), axis)

    def _joined(self, parts: list[RowsPart]) -> RowsPart:
        axis = len(self.chain_shape)
        rows = [part.y.shape[axis] for part in parts]

        def join(name: str, one: Tensor) -> Tensor | None:
            if all(getattr(p, name) is None for p in parts):
                return None
            values = [
                getattr(p, name)
                if getattr(p, name) is not None
                else one.expand(*self.chain_shape, n)
                for p, n in zip(parts, rows, strict=True)
            ]
            return torch.cat(values, axis)

        y = torch.cat([p.y for p in parts], axis)
        origin = torch.cat(
            [
                expanded_origin(p.origin, (*self.chain_shape, n), y)
                for p, n in zip(parts, rows, strict=True)
            ],
            axis,
        )
        return RowsPart(
            torch.cat([p.x for p in parts], axis),
            y,
            join("weight", torch.ones((), dtype=torch.float64, device=y.device)),
            join("count", torch.ones((), dtype=torch.int64, device=y.device)),
            origin,
        )

    @property
    def n(self) -> int:
        """Number of rows, including rows of weight 0."""
        return sum(part.y.shape[len(self.chain_shape)] for part in self._rows)

    @property
    def width(self) -> int:
        """Number of values in one question; it is known without ordering the rows."""
        first = self._parts[0]
        if not self.has_rows or not isinstance(first, RowsPart):
            return 0
        return first.x.shape[len(self.chain_shape) + 1 :].numel()

    @property
    def x(self) -> Tensor:
        """Questions, (R, n, ...)."""
        return self._table.x

    @property
    def y(self) -> Tensor:
        """Answers: (R, n) labels or scalars, (R, n, d) vectors, (R, n, L) sequences."""
        return self._table.y

    @property
    def weight(self) -> Tensor:
        """Weight of each row, (R, n) float64; 0 equals absent."""
        table = self._table
        return (
            ones_for(self.chain_shape, table, torch.float64)
            if table.weight is None
            else table.weight
        )

    @property
    def count(self) -> Tensor:
        """How many identical rows each row stands for, (R, n) int64."""
        table = self._table
        return (
            ones_for(self.chain_shape, table, torch.int64) if table.count is None else table.count
        )

    @property
    def multiplicity(self) -> Tensor:
        """weight * count, (R, n) float64: the factor of a row in a sum."""
        table = self._table
        if table.weight is None:
            return self.count.double()
        return table.weight if table.count is None else table.weight * table.count

    @property
    def unit(self) -> bool:
        """True if there are rows (or sums) and every row counts once."""
        return all(part.unit for part in self._parts) and (self.n > 0 or not self.has_rows)

    @property
    def origin(self) -> Tensor:
        """The generation each row came from, (R, n) int64, 0 = real.

        Raises Incompatible if provenance is hidden.
        """
        if self._hidden:
            raise Incompatible(
                "provenance is hidden here; ask access.provenance(corpus), which the ledger records"
            )
        return self._origin()

    def _origin(self) -> Tensor:
        table = self._table
        return expanded_origin(
            table.origin, (*self.chain_shape, table.y.shape[len(self.chain_shape)]), table.y
        ).clamp_min(0)

    # -- for the ledger, which may always read origins ---------------------------------------------

    def _real_rows(self, with_paid: bool = True) -> Tensor:
        """Real rows whose weight is not 0, (R,) int64; with or without those already paid for."""
        rows = [part.real_rows(self.chain_shape, with_paid) for part in self._parts]
        return torch.stack(rows).sum(0)

    def _paid(self) -> Corpus:
        """The same rows, the real ones marked as paid for by a mitigation."""
        if not (self._real_rows(with_paid=False) > 0).any():
            return self
        return replace(self, _parts=tuple(part.paid() for part in self._parts))

    def _kept(self) -> Corpus:
        """The form in a memory: provenance is hidden, rows of weight 0 have no content."""
        hidden = self if self._hidden else replace(self, _hidden=True)
        if not self.has_rows or all(
            part.weight is None or part.weight.all() for part in self._rows
        ):
            return hidden
        absent = hidden.weight == 0

        def blank(value: Tensor) -> Tensor:
            extra = (1,) * (value.ndim - absent.ndim)
            return value.masked_fill(absent.reshape(*absent.shape, *extra), 0)

        return hidden.edited(blank(hidden.x), blank(hidden.y))

    def _lent(self) -> Corpus:
        """The same corpus with rows and cached sums of its own, so that no change to them reaches
        this one."""
        return replace(self, _parts=tuple(part.own() for part in self._parts), _folds={})

    # -- sums --------------------------------------------------------------------------------------

    def _fold(self, key: Hashable, of_part: Callable[[Part], Summed]) -> Summed:
        total: Any  # None before the first part; there is always at least one
        done, total = self._folds.get(key, (0, None))
        for part in self._parts[done:]:
            value = of_part(part)
            total = value if total is None else total + value
        self._folds[key] = (len(self._parts), total)
        return cast(Summed, total)

    # The cached sums belong to every corpus that holds these parts, also to the protocol's memory.
    # So callers get copies, which they may change.

    def moments(self) -> Moments:
        """Weighted sums over the rows z = [x, y], cached per part.

        Raises Incompatible if the corpus is known by other sums only.
        """
        return own(self._fold("moments", lambda part: moments_of(part, self.chain_shape)))

    def products(self) -> Products:
        """Weighted sums of products of questions and scalar answers; like ``moments``."""
        return own(self._fold("products", lambda part: products_of(part, self.chain_shape)))

    def tally(self, K: int, contexts: int | None = None) -> Tensor:
        """Weighted count of each symbol of y, (R, K) float64.

        With ``contexts``, of each symbol after each context x, (R, contexts, K).
        """
        key = ("tally", K, contexts)
        return own(self._fold(key, lambda part: tally_of(part, self.chain_shape, K, contexts)))

    @property
    def mass(self) -> Tensor:
        """Total weight, (R,) float64."""
        return own(self._fold("mass", lambda part: mass_of(part, self.chain_shape, 1)))

    @property
    def effective_size(self) -> Tensor:
        """(sum w)^2 / sum w^2 over rows, (R,): Kish's effective sample size."""
        if self.unit:
            return self.mass
        squares = self._fold("squares", lambda part: mass_of(part, self.chain_shape, 2))
        return torch.where(squares > 0, self.mass**2 / squares.clamp_min(1e-300), 0.0)

    # -- new corpora from old ----------------------------------------------------------------------

    def __add__(self, other: Corpus) -> Corpus:
        if self.chain_shape != other.chain_shape:
            raise ValueError(
                f"cannot join chains of shape {self.chain_shape} with {other.chain_shape}"
            )
        # each side keeps its shown order, and a hidden origin stays hidden
        left, right = (
            (c._table,) if c._order is not None and c.has_rows else c._parts for c in (self, other)
        )
        both = alike(left + right)
        return Corpus(
            both,
            self.chain_shape,
            _hidden=self._hidden or other._hidden,
            labels=self.labels or other.labels,
            _folds=dict(self._folds) if both[: len(self._parts)] == self._parts else {},
        )

    def __getitem__(self, r: Any) -> Corpus:
        """The corpus of some chains; an index for every dimension of R gives one chain."""
        parts = tuple(part.picked(r) for part in self._parts)
        order = self._order and self._order[r]
        chain_shape = (
            order.chain_shape
            if order is not None
            else tuple(torch.empty(self.chain_shape)[r].shape)
        )
        return Corpus(parts, chain_shape, order, self._hidden, self.labels)

    def anonymous(self, order: Stream) -> Corpus:
        """The same rows in a random order, with hidden origin, as methods get a training set."""
        return Corpus(self._parts, self.chain_shape, order, True, self.labels, self._folds)

    def _with(self, table: RowsPart, order: Stream | None = None) -> Corpus:
        return Corpus((table,), self.chain_shape, order, self._hidden, self.labels)

    def edited(self, x: Tensor | None = None, y: Tensor | None = None) -> Corpus:
        """The same rows with other questions or answers; weight, count and origin stay."""
        table = self._table
        return self._with(
            replace(table, x=table.x if x is None else x, y=table.y if y is None else y)
        )

    def dated(self, origin: int) -> Corpus:
        """The same rows with this generation as their origin."""
        parts = tuple(part.dated(origin) for part in self._parts)
        return Corpus(parts, self.chain_shape, self._order, self._hidden, self.labels)

    def weighted(self, weight: Tensor) -> Corpus:
        """The same rows with these weights (R, n): 2 equals twice, 0 equals absent."""
        _check_tensor("weights", weight)
        expected = (*self.chain_shape, self.n)
        if tuple(weight.shape) != expected:
            raise ValueError(
                f"weights have shape {tuple(weight.shape)}; expected {expected}, one per chain and "
                "row"
            )
        return self._with(replace(self._table, weight=weight.double()))

    def counted(self, count: Tensor) -> Corpus:
        """The same rows, each standing for this many identical ones (R, n) int64."""
        _check_tensor("counts", count)
        return self._with(replace(self._table, count=count))

    def at(self, rows: Tensor) -> Corpus:
        """The rows at these positions (R, m) int64, in this order."""
        _check_tensor("positions", rows)
        return self._with(self._table.at(rows, len(self.chain_shape)))

    def reweighted(self, factor: Tensor) -> Corpus:
        """Weights times ``factor (R, n)``, rescaled so that they sum to the effective sample size.

        A 0/1 filter is not changed by this, and an estimator that is unbiased for equal weights
        stays unbiased: for weights v with sum 1, E sum v (y - mean)^2 = (1 - sum v^2) variance, and
        1 / sum v^2 is the effective size.  Raises ContractError if a factor is negative or not
        finite.
        """
        _check_tensor("factors of weights", factor)
        if not (factor.isfinite() & (factor >= 0)).all():
            raise ContractError("factors of weights must be finite and >= 0; 0 makes a row absent")
        trust = self.weight * factor
        total = (trust * self.count).sum(-1, keepdim=True)
        squares = (trust**2 * self.count).sum(-1, keepdim=True)
        return self.weighted(
            torch.where(squares > 0, trust * (total / squares.clamp_min(1e-300)), 0.0)
        )

    def keep(self, mask: Tensor, n: int, rng: Stream) -> Corpus:
        """n random rows among those that ``mask (R, N)`` accepts.

        If fewer are accepted, the others are padding of weight 0.
        """
        _check_tensor("masks", mask)
        table, axis = self._table, len(self.chain_shape)
        if table.count is not None:
            accepted = table.count * mask
            return self._with(
                replace(table, count=rng.hypergeometric(accepted, accepted.sum(-1).clamp_max(n)))
            )
        keys = rng.uniform(self.n) + (~mask)  # refused rows come after all accepted ones
        order = keys.topk(min(n, self.n), dim=-1, largest=False).indices
        chosen = table.at(order, axis)
        accepted = mask.gather(-1, order)
        return self._with(replace(chosen, weight=weight_of(chosen, self.chain_shape) * accepted))

    def sample(self, n: int, rng: Stream) -> Corpus:
        """n rows drawn uniformly without replacement, or all rows if there are no more than n.

        Rows of weight 0 are absent.
        """
        table, axis = self._table, len(self.chain_shape)
        if table.count is not None:
            there = table.count if table.weight is None else table.count * (table.weight > 0)
            return self._with(
                replace(table, count=rng.hypergeometric(there, there.sum(-1).clamp_max(n)))
            )
        if n >= self.n:
            return self
        keys = rng.uniform(self.n)
        if table.weight is not None:
            keys = keys * (table.weight > 0)
        return self._with(table.at(keys.topk(n, dim=-1).indices, axis))

    def __getstate__(self) -> dict[str, Any]:
        # the table is built again when it is needed
        return {name: value for name, value in vars(self).items() if name != "_table"}
