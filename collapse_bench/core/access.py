"""The only way to data.  Every drop is written to the ledger before it is served.

Each user (the protocol, each mitigation) has taps with random numbers of its own, so that a method that draws more
does not shift what the others see.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

from torch import Tensor

from ..errors import ContractError, Incompatible
from .components import BiasedVerifier, DataGenerator, Mitigation, Model, Teacher
from .corpus import Corpus
from .ledger import Ledger
from .rng import Stream
from .tracks import PROTOCOL

MOST = (
    2**32
)  # bytes that rows of all chains may take that are drawn at once: 4 GiB, of which models take copies
LOOKED_AT = 2**17  # rows from which on it is looked at how large they are


class _Day:
    """One generation at the taps: every user's streams, and whether it is still on."""

    def __init__(self) -> None:
        self.desks: dict[str, tuple] = {}
        self.over = False


class Access:
    """Data on request.  Readable: ``rng, t, n, teacher, first``, and a copy of the ``ledger``.

    ``age`` is how many generations from nature the rows stand that the teacher writes: t, or t + 1 where a flawed source
    taught the first generation.  Taps serve one user in one generation; afterwards they are closed.
    """

    def __init__(
        self,
        data: DataGenerator,
        teacher: Teacher,
        first: Teacher | None,
        t: int,
        n: int,
        here: Stream,
        root: Stream,
        ledger: Ledger,
        age: int | None = None,
        user: str = PROTOCOL,
        edit: Callable[[Corpus, Access], Corpus] | None = None,
        day: _Day | None = None,
        decode: Mitigation | None = None,
    ):
        self._data, self._here, self._root, self._edit, self._ledger = (
            data,
            here,
            root,
            edit,
            ledger,
        )
        self.teacher, self.first, self.t, self.n, self.user = teacher, first, t, n, user
        self._age, self._decode = t if age is None else age, decode
        # a user keeps its streams through the moments of a generation, so that no draw comes twice
        self._day = _Day() if day is None else day
        desk = (here.at(user), here.at(user, "own"), itertools.count(1))
        self._mine, self.rng, self._calls = self._day.desks.setdefault(user, desk)

    # What the engine does with taps; a plugin is handed those of its own.

    def _by(self, user: str) -> Access:
        """The same taps for another user, with its own random numbers and its own line in the ledger."""
        return self._like(self.teacher, user, None)

    def _close(self) -> None:
        """End the generation: who kept these taps can no longer draw from them, past the ledger of the next one."""
        self._day.over = True

    def _taught_by(
        self, teacher: Teacher, edit: Callable[[Corpus, Access], Corpus] | None = None
    ) -> Access:
        """The same taps with another teacher at the desk; ``edit`` passes over fresh synthetic rows."""
        if teacher is self.teacher and edit is None:
            return self
        return self._like(teacher, self.user, edit)

    def _like(
        self, teacher: Teacher, user: str, edit: Callable[[Corpus, Access], Corpus] | None
    ) -> Access:
        scene = (
            self._data,
            teacher,
            self.first,
            self.t,
            self.n,
            self._here,
            self._root,
            self._ledger,
            self._age,
        )
        return Access(*scene, user, edit, self._day, self._decode)

    @property
    def ledger(self) -> Ledger:
        """What was used so far, to read."""
        return self._ledger.copy()

    @property
    def natural(self) -> bool:
        """True where the teacher is nature itself: what it writes is real, and nothing needs filtering."""
        return self.teacher is self._data

    def real(self, n: int | None = None, *, x: Tensor | None = None, fixed: bool = False) -> Corpus:
        """``n`` fresh real rows, or real answers to the questions ``x``; ``fixed`` gives the same rows every time."""
        return self._written(self._data, n, x, fixed=fixed)

    def synthetic(
        self, n: int | None = None, *, x: Tensor | None = None, of: Teacher | None = None
    ) -> Corpus:
        """``n`` rows written by the teacher (or by ``of``), or its answers to the questions ``x``."""
        corpus = self._written(of or self.teacher, n, x)
        return corpus if self._edit is None else self._edit(corpus, self)

    def verify(
        self,
        corpus: Corpus,
        phi: float = 1.0,
        psi: float = 0.0,
        centre: BiasedVerifier | None = None,
    ) -> Tensor:
        """Which rows a verifier lets pass, (R, n) bool: right ones with probability phi, wrong ones with psi.

        With a ``centre``, right is what lies near it, which need not be the truth.
        """
        for name, value in (("phi", phi), ("psi", psi)):
            if not 0 <= value <= 1:
                raise ContractError(f"{name} must lie in [0, 1], got {value}")
        self._open().charge_verifier(self.user, corpus.n, float(phi), float(psi))
        rows = corpus.x, corpus.y
        right = self._data.verify(*rows) if centre is None else self._data.within(*rows, centre)
        if (phi, psi) == (1, 0):
            return right
        u = self._next("verify").uniform(corpus.n)
        return (right & (u < phi)) | (~right & (u < psi))

    def provenance(self, corpus: Corpus) -> Tensor:
        """The generation each row came from, (R, n) int64: 0 = real, g = g generations from nature."""
        self._open().charge(self.user, "provenance_lookups", corpus.n)
        return corpus._origin()

    def read_out(self, teacher: Teacher) -> Teacher:
        """A teacher of one's own as the world reads teachers out: through the protocol's decoder, where it has one."""
        return (
            teacher
            if self._decode is None
            else self._decode.steer(teacher, self._by(f"decode for {self.user}"))
        )

    def fit(
        self, model: Model, corpus: Corpus, before: Teacher | None = None, rng: Stream | None = None
    ) -> Teacher:
        """What a model learns from a corpus beside the fit of the generation itself: one more fit in the ledger.

        By random numbers of its own, or by those of ``rng``, where several fits are to be compared.
        """
        self._open().charge(self.user, "fits", 1)
        return model.fit(corpus, self._next("fit") if rng is None else rng, before)

    def external(self, what: str, calls: int = 1) -> None:
        """Say that a model or data set from outside is used, by its name: it puts the entry on the track `external`."""
        if isinstance(calls, bool) or not isinstance(calls, int) or calls < 0:
            raise ContractError(f"calls of {what} must be a whole number >= 0, got {calls!r}")
        self._open().charge_external(self.user, str(what), calls)

    def _open(self) -> Ledger:
        """The ledger, while the generation lasts."""
        if self._day.over:
            raise ContractError(
                f"{self.user} drew from the access of generation {self.t} after it had ended; use those that are handed over"
            )
        return self._ledger

    def _next(self, verb: str) -> Stream:
        return self._mine.at(verb, next(self._calls))

    def _written(
        self, teacher: Teacher, n: int | None, x: Tensor | None, fixed: bool = False
    ) -> Corpus:
        if (n is None) == (x is None):
            raise ContractError("give either a number of rows n or questions x, and not both")
        if n is not None and (n != int(n) or n < 0):
            raise ContractError(f"a number of rows must be a whole number >= 0, got {n}")
        if fixed and x is not None:
            raise ContractError(
                "fixed rows are drawn with questions of their own; leave out x or fixed"
            )
        real = teacher is self._data
        self._must_exist(n, real)
        rng = (
            self._root.at("fixed", self.user)
            if fixed
            else self._next("real" if real else "synthetic")
        )
        rows = int(n) if x is None else x.shape[len(rng.chain_shape)]
        origin = 0 if real else self._age
        # questions and noise are nature's, whoever answers; but for a flawed source that writes whole rows
        world = teacher if isinstance(teacher, DataGenerator) and teacher.own_rows else self._data
        if self._data.sampler == "exact-law":
            if x is not None:
                raise Incompatible(
                    "sampler=exact-law draws no answers to given questions; choose sampler=explicit"
                )
            self._charge(real, rows, None, fixed)
            return world.summary(teacher, rows, rng).dated(origin)
        if x is None:
            x = world.ask(rows, rng.at("x"))
        y = teacher.answer(x, rng.at("y"))
        if tuple(y.shape[: len(rng.chain_shape) + 1]) != (*rng.chain_shape, rows):
            raise ContractError(
                f"{type(teacher).__name__}.answer returned shape {tuple(y.shape)}; {(*rng.chain_shape, rows)} in front was due"
            )
        self._charge(real, rows, (x, y), fixed)
        return Corpus.of(
            x,
            world.observe(y, rng.at("noise")),
            rng.chain_shape,
            origin=origin,
            labels=self._data.labels,
        )

    def _must_exist(self, n: int | None, real: bool) -> None:
        """ContractError where a mitigation asks for more real rows than there are, or anybody for more than fit a memory."""
        if n is None:
            return
        pool = self._data.pool_size
        if real and self.user != PROTOCOL and pool is not None and n > pool:
            raise ContractError(
                f"{self.user} asked for {n} real rows at once, and {self._data.title()} has {pool} different ones; ask for "
                "fewer, or more often"
            )
        n, chains = int(n), max(1, math.prod(self.rng.chain_shape))
        if self._data.sampler == "exact-law" or n * chains < LOOKED_AT:
            return
        x = self._data.ask(1, self._root.at("probe"))
        numbers = (
            x.numel() + self._data.answer(x, self._root.at("probe", "answer")).numel()
        )  # of a row in each chain
        if 8 * n * numbers > MOST:
            raise ContractError(
                f"{self.user} asked for {n} rows in {chains} chain(s), which take {8 * n * numbers / 2**30:.3g} GiB; at most "
                f"{MOST / 2**30:.0f} GiB are drawn at once"
            )

    def _charge(self, real: bool, n: int, row: tuple[Tensor, Tensor] | None, fixed: bool) -> None:
        """Write down n rows, of which ``row`` is (x, y) where there are any to look at."""
        ledger = self._open()
        if real:
            which = None if row is None else self._data.identity(*row)
            ledger.charge_real(self.user, n, which, self._data.pool_size, fixed)
        else:
            ledger.charge(self.user, "generated_rows", n)
        if row is not None and self._data.kind == "sequence":
            prompt, said = ((tokens >= 0).sum((-2, -1)) for tokens in row)
            if real:
                ledger.charge(self.user, "real_tokens", prompt + said)
            else:  # a question is real, whoever answers it
                ledger.charge(self.user, "prompt_tokens", prompt)
                ledger.charge(self.user, "generated_tokens", said)
