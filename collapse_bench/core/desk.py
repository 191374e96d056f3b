"""The desk of one generation: it draws rows for its users and charges them, until it is closed.

Plugins use it only through their ``Access``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..errors import ContractError, Unsupported
from .access import Access
from .components import Composition, DataGenerator, Mitigation, Teacher
from .corpus import Corpus
from .ledger import Ledger
from .memory import copied, corpora_in, leaves_of, to_keep
from .plain import plain
from .rng import Stream
from .rows import PAID
from .tracks import PROTOCOL

#: the most bytes of one request for rows, all chains together: 4 GiB, since models make copies
LARGEST_REQUEST = 2**32
#: the size in bytes is not checked for fewer rows than this, all chains together
SMALL_REQUEST = 2**17


@dataclass(frozen=True)
class _Streams:
    """The random numbers of one user; it has the same ones in all stages, so no draw repeats."""

    requests: Stream  # for the rows that it asks for, one fork per request
    own: Stream  # for the user itself
    numbers: Iterator[int]  # numbers of the requests


class Desk:
    """One generation's data, teacher, streams of random numbers, ledger and memories.

    ``age`` is the number of generations between nature and the rows that the teacher writes: t, or
    t + 1 if a flawed source taught the first generation.  ``kept`` has the memory of each
    mitigation, by user.  ``guarded``: code that is not part of the suite takes part, so rows are
    copied where it could keep a reference to them.  ``beginning`` is the data generator of
    generation 0, from which fixed rows come; by default ``data``.  ``composition`` is what the
    protocol states of its training sets.
    """

    def __init__(
        self,
        data: DataGenerator,
        teacher: Teacher,
        t: int,
        n: int,
        root: Stream,
        ledger: Ledger,
        first: Teacher | None = None,
        age: int | None = None,
        decode: Mitigation | None = None,
        kept: Mapping[str, Any] | None = None,
        guarded: bool = False,
        beginning: DataGenerator | None = None,
        composition: Composition | None = None,
    ):
        self.data, self.teacher, self.first = data, teacher, first
        self.beginning = beginning or data
        self.composition = composition
        self.t, self.n, self.age = t, n, t if age is None else age
        self.guarded = guarded
        self.rng, self.ledger = root.at("generation", t), ledger
        self.kept: dict[str, Any] = dict(kept or {})
        self._root, self._decode, self._closed = root, decode, False
        self._streams: dict[str, _Streams] = {}
        self._unread = set(self.kept)  # users that have not read their memory yet
        self._with_memory = set(self.kept)
        self._before = dict(ledger.counts)  # the use before this generation

    def access(self, user: str, edit: Callable[[Corpus], Corpus] | None = None) -> Access:
        """The access of ``user`` to the current teacher; ``edit`` changes its synthetic rows."""
        return Access(self, user, self.teacher, self._of(user).own, edit)

    def close(self) -> None:
        """End the generation, so that nobody draws rows that the next ledger does not count."""
        self._closed = True

    def open_ledger(self, user: str) -> Ledger:
        """The ledger, until the generation ends; ContractError afterwards."""
        if self._closed:
            raise ContractError(
                f"{user} used the access of generation {self.t} after its end; use the access that "
                "is passed to each stage"
            )
        return self.ledger

    def _of(self, user: str) -> _Streams:
        streams = _Streams(self.rng.at(user), self.rng.at(user, "own"), itertools.count(1))
        return self._streams.setdefault(user, streams)

    def stream(self, user: str, request: str) -> Stream:
        """The random numbers of the next request of a user."""
        streams = self._of(user)
        return streams.requests.at(request, next(streams.numbers))

    def read_out(self, teacher: Teacher, user: str) -> Teacher:
        """The teacher through the protocol's decoder, if it has one."""
        if self._decode is None:
            return teacher
        return self._decode.steer(teacher, self.access(f"decode for {user}"))

    # -- rows --------------------------------------------------------------------------------------

    def write(
        self,
        access: Access,
        teacher: Teacher,
        n: int | None,
        x: Tensor | None,
        fixed: bool = False,
    ) -> Corpus:
        """n rows of the teacher, or its answers to x, charged to the user of the access."""
        n = None if n is None else _whole(n)
        self._check_request(access.user, teacher, n, x, fixed)
        real = teacher is self.data
        if fixed:
            teacher = self.beginning
        rng = (
            self._root.at("fixed", access.user)
            if fixed
            else self.stream(access.user, "real" if real else "synthetic")
        )
        chains = rng.chain_shape
        if x is None:
            assert n is not None  # checked above
            rows = n
        else:
            x = plain(x, "x")
            rows = x.shape[len(chains)]
        # a mitigation pays for its real rows here, and not again if it keeps them
        origin = self.age if not real else 0 if access.user == PROTOCOL else PAID
        # questions and noise always come from nature, except for a flawed source that writes whole
        # rows
        world = teacher if isinstance(teacher, DataGenerator) and teacher.own_rows else self.data
        if fixed:
            world = self.beginning
        if self.data.sampler == "exact-law":
            self._charge(access.user, real, rows, None, fixed)
            return world.summary(teacher, rows, rng).dated(origin)
        if x is None:
            x = world.ask(rows, rng.at("x"))
        y = self._answered(teacher, x, rng.at("y"))
        if tuple(y.shape[: len(chains) + 1]) != (*chains, rows):
            raise ContractError(
                f"{type(teacher).__name__}.answer returned shape {tuple(y.shape)}; expected "
                f"leading dimensions {(*chains, rows)}"
            )
        self._charge(access.user, real, rows, (x, y), fixed)
        noisy = world.observe(y, rng.at("noise"))
        return Corpus.of(x, noisy, chains, origin=origin, labels=self.data.labels)

    def _answered(self, teacher: Teacher, x: Tensor, rng: Stream) -> Tensor:
        """The teacher's answers; it gets copies and leaves copies, so that it cannot change the
        questions, nor the rows later."""
        lent = x.clone() if self.guarded else x
        y = plain(teacher.answer(lent, rng), f"what {type(teacher).__name__}.answer returned")
        return y.clone() if self.guarded else y

    def _check_request(
        self, user: str, teacher: Teacher, n: int | None, x: Tensor | None, fixed: bool
    ) -> None:
        """ContractError or Incompatible if a request for rows cannot be served."""
        if (n is None) == (x is None):
            raise ContractError("give either a number of rows n or questions x")
        if fixed and x is not None:
            raise ContractError(
                "fixed rows are drawn with questions of their own; leave out x or fixed"
            )
        if n is not None:
            self._check_number(user, teacher is self.data, n)
        elif self.data.sampler == "exact-law":
            raise Unsupported(
                "sampler=exact-law draws no answers to given questions; choose sampler=explicit"
            )

    def _check_number(self, user: str, real: bool, n: int) -> None:
        """ContractError for more real rows than there are, or more rows than fit into memory."""
        pool = self.data.pool_size
        if real and user != PROTOCOL and pool is not None and n > pool:
            raise ContractError(
                f"{user} asked for {n} real rows at once, and {self.data.title()} has only {pool} "
                "different ones; ask for fewer rows at a time"
            )
        chains = max(1, math.prod(self.rng.chain_shape))
        if self.data.sampler == "exact-law" or n * chains < SMALL_REQUEST:
            return
        x = self.data.ask(1, self._root.at("probe"))
        y = self.data.answer(x, self._root.at("probe", "answer"))
        size = 8 * n * (x.numel() + y.numel())  # bytes; x and y hold one row of each chain
        if size > LARGEST_REQUEST:
            raise ContractError(
                f"{user} asked for {n} rows in {chains} chain(s), which take {size / 2**30:.3g} "
                f"GiB; at most {LARGEST_REQUEST / 2**30:.0f} GiB are drawn at once"
            )

    def _charge(
        self, user: str, real: bool, n: int, rows: tuple[Tensor, Tensor] | None, fixed: bool
    ) -> None:
        """Charge n rows; ``rows`` is their (x, y), None where only their sums are drawn."""
        ledger = self.open_ledger(user)
        if real:
            which = None if rows is None else self.data.identity(*rows)
            ledger.charge_real(user, n, which, self.data.pool_size, fixed)
        else:
            ledger.charge(user, "generated_rows", n)
        if rows is not None and self.data.kind == "sequence":
            prompt, answer = ((tokens >= 0).sum((-2, -1)) for tokens in rows)
            if real:
                ledger.charge(user, "real_tokens", prompt + answer)
            else:  # a question is real, even if the answer is generated
                ledger.charge(user, "prompt_tokens", prompt)
                ledger.charge(user, "generated_tokens", answer)

    # -- memories ----------------------------------------------------------------------------------

    def recall(self, user: str) -> Any:
        """The memory of the user; real rows from earlier generations are charged first."""
        self._check_memory(user)
        if user in self._unread:
            for corpus in corpora_in(self.kept[user]):
                self._charge_kept(user, corpus)
            if any(leaf is self.first for leaf in leaves_of(self.kept[user])):
                self.open_ledger(user).charge(user, "first_reads", 1)
            # rows that are kept again are not charged as new ones
            self.kept[user] = copied(self.kept[user], _paid)
            self._unread.discard(user)
        return copied(self.kept.get(user))

    def keep(self, user: str, value: Any) -> None:
        """Store the memory of a user; ContractError if the value cannot be kept."""
        self._check_memory(user)
        self._unread.discard(user)
        self._with_memory.add(user)
        self.kept[user] = to_keep(user, value, self.rng.chain_shape)
        if value is None:
            del self.kept[user]

    def _check_memory(self, user: str) -> None:
        self.open_ledger(user)
        if user == PROTOCOL:
            raise ContractError(
                "a protocol returns its memory from compose, as (corpus, memory); access.memory is "
                "for mitigations"
            )

    def _charge_kept(self, user: str, corpus: Corpus) -> None:
        rows, new = corpus._real_rows(), corpus._real_rows(with_paid=False)
        if not (rows > 0).any():
            return
        ledger = self.open_ledger(user)
        ledger.charge_carried(user, rows, new)
        if self.data.kind == "sequence" and corpus.has_rows:
            tokens = (corpus.x >= 0).sum(-1) + (corpus.y >= 0).sum(-1)
            present = (corpus._origin() == 0) & (corpus.weight > 0)
            ledger.charge(user, "real_tokens", (tokens * corpus.count * present).sum(-1))

    @property
    def handed(self) -> int:
        """Real rows that the protocol has drawn in this generation."""
        return int(self._served(PROTOCOL))

    def _served(self, user: str) -> int | Tensor:
        """Real rows, a number or (R,), charged to the user in this generation."""
        used = self.ledger.counts.get((user, "real_rows"), 0)
        return used - self._before.get((user, "real_rows"), 0)

    def charge_rebuilt(self, user: str, lent: Corpus, returned: Corpus) -> None:
        """Charge real rows that a mitigation with a memory added without asking for them.

        It must have rebuilt them from tensors that it kept.
        """
        if user not in self._with_memory or returned is lent:
            return
        extra = (returned._real_rows() - lent._real_rows() - self._served(user)).clamp_min(0)
        if (extra > 0).any():
            self.open_ledger(user).charge_carried(user, extra, extra)


def _whole(n: Any) -> int:
    """A number of rows as a plain int.  Raises ContractError unless it is a whole number >= 0."""
    try:
        whole = int(n)
    except (TypeError, ValueError, OverflowError):
        whole = -1
    if whole < 0 or n != whole:
        raise ContractError(f"a number of rows must be a whole number >= 0, got {n}")
    return whole


def _paid(leaf: Any) -> Any:
    return leaf._paid() if isinstance(leaf, Corpus) else leaf
