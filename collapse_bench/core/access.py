"""What a plugin may ask for.  Every row is written to the ledger before it is served.

Shapes: ``R`` stands for the dimensions of the chains, which come first; ``n`` rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..errors import ContractError
from .components import BiasedVerifier, Composition, Model, Teacher
from .corpus import Corpus
from .meter import paid_fit
from .plain import plain
from .rng import Stream

if TYPE_CHECKING:
    from .desk import Desk
    from .ledger import Ledger


class Access:
    """What one user (the protocol, or one mitigation) may ask for during one generation.

    Every user has its own random numbers, so that a method that draws more does not shift the draws
    of others.

    All methods raise ContractError after the generation has ended, since its ledger is closed, and
    for a number of rows that is not a whole number >= 0.  They raise OverBudget if a mitigation
    would exceed the budget of the run; then nothing is served and nothing is charged.
    """

    user: str  #: the name under which requests are charged
    teacher: Teacher  #: the teacher that writes synthetic rows in this generation
    t: int  #: the generation
    n: int  #: rows that this generation reads
    #: what the protocol states of its training sets, such as the share of real rows; everybody may
    #: know it, and nobody is charged.  None: the protocol states nothing
    composition: Composition | None
    rng: Stream  #: random numbers of this user

    def __init__(
        self,
        desk: Desk,
        user: str,
        teacher: Teacher,
        rng: Stream,
        edit: Callable[[Corpus], Corpus] | None = None,
    ):
        self._desk, self._edit = desk, edit
        self.user, self.teacher, self.rng = user, teacher, rng
        self.t, self.n = desk.t, desk.n
        self.composition = desk.composition

    # -- data --------------------------------------------------------------------------------------

    def real(self, n: int | None = None, *, x: Tensor | None = None, fixed: bool = False) -> Corpus:
        """``n`` new real rows, or real answers to the questions ``x (R, n, ...)``.

        With ``fixed`` the user gets the same rows in every generation, and a larger ``n`` begins
        with the rows of a smaller one.  Charged as ``real_rows``, and as ``real_unique`` the first
        time.  Raises ContractError if a mitigation asks for more rows than a finite pool has, or if
        the rows do not fit into memory; Incompatible for questions under ``sampler=exact-law``.
        """
        return self._desk.write(self, self._desk.data, n, x, fixed)

    def synthetic(
        self, n: int | None = None, *, x: Tensor | None = None, of: Teacher | None = None
    ) -> Corpus:
        """``n`` rows by the teacher (or by ``of``), or its answers to ``x (R, n, ...)``.

        Charged as ``generated_rows``.  Raises what ``real`` raises.
        """
        corpus = self._desk.write(self, of or self.teacher, n, x)
        return corpus if self._edit is None else self._edit(corpus)

    @property
    def natural(self) -> bool:
        """True if the teacher is nature: its rows are real, and nothing needs filtering."""
        return self.teacher is self._desk.data

    @property
    def handed(self) -> int:
        """How many real rows the protocol has drawn in this generation.

        Where real rows come from is the protocol's rule, so the number is free.  It is 0 in
        ``size`` and ``steer``, before the protocol has composed the training set.
        """
        return self._desk.handed

    # -- knowledge ---------------------------------------------------------------------------------

    def verify(
        self,
        corpus: Corpus,
        phi: float = 1.0,
        psi: float = 0.0,
        centre: BiasedVerifier | None = None,
    ) -> Tensor:
        """Which rows a verifier accepts, (R, n) bool.

        Right rows are accepted with probability phi, wrong rows with psi.  A biased verifier counts
        rows near its ``centre`` as right, whether they are true or not.  Charged as
        ``verifier_calls``, one per row.  Raises ContractError if phi or psi is outside [0, 1];
        Incompatible if the data generator cannot verify answers.
        """
        phi, psi = float(phi), float(psi)
        for name, value in (("phi", phi), ("psi", psi)):
            if not 0 <= value <= 1:
                raise ContractError(f"{name} must lie in [0, 1], got {value}")
        data, rows = self._desk.data, (plain(corpus.x, "x"), plain(corpus.y, "y"))
        n = rows[1].shape[len(self.rng.chain_shape)]  # the rows that are verified are charged
        self._desk.open_ledger(self.user).charge_verifier(self.user, n, phi, psi)
        right = data.verify(*rows) if centre is None else data.within(*rows, centre)
        if (phi, psi) == (1, 0):
            return right
        u = self._desk.stream(self.user, "verify").uniform(n)
        return (right & (u < phi)) | (~right & (u < psi))

    def provenance(self, corpus: Corpus) -> Tensor:
        """The generation each row came from, (R, n) int64: 0 = real, g = g generations from nature.

        Charged as ``provenance_lookups``, one per row.
        """
        origin = corpus._origin()
        self._desk.open_ledger(self.user).charge(self.user, "provenance_lookups", origin.shape[-1])
        return origin

    def external(self, what: str, calls: int = 1) -> None:
        """Declare the use of an external model or data set, by its name.

        It puts the entry on the track `external`.  Raises ContractError if ``calls`` is not a whole
        number >= 0.
        """
        if isinstance(calls, bool) or not isinstance(calls, int) or calls < 0:
            raise ContractError(f"calls of {what} must be a whole number >= 0, got {calls!r}")
        self._desk.open_ledger(self.user).charge_external(self.user, str(what), calls)

    # -- teachers ----------------------------------------------------------------------------------

    @property
    def trivial(self) -> Teacher:
        """The teacher of who knows the domain and has read no row; see ``DataGenerator.trivial``.

        Raises Incompatible where the data generator states none.
        """
        return self._desk.data.trivial()

    @property
    def first(self) -> Teacher | None:
        """The teacher of generation 0; None before it is fitted.

        It was fitted to real rows, and no later teacher knows more of them.  Each read is charged
        as one of ``first_reads``, and so is reading a memory that holds this teacher.
        """
        if self._desk.first is not None:
            self._desk.open_ledger(self.user).charge(self.user, "first_reads", 1)
        return self._desk.first

    def fit(
        self, model: Model, corpus: Corpus, before: Teacher | None = None, rng: Stream | None = None
    ) -> Teacher:
        """Fit ``model`` to ``corpus``, in addition to the fit of the generation itself.

        Charged as one of ``fits``, like a fit that a mitigation calls without this; a fit of some
        of the chains is a share of one, see ``Ledger.charge_fit``.  Pass ``rng`` to compare
        several fits with the same random numbers.
        """
        ledger, chains = self._desk.open_ledger(self.user), math.prod(self._desk.rng.chain_shape)
        ledger.charge_fit(self.user, math.prod(corpus.chain_shape), chains)
        rng = self._desk.stream(self.user, "fit") if rng is None else rng
        return paid_fit(model, corpus, rng, before)

    def read_out(self, teacher: Teacher) -> Teacher:
        """``teacher`` through the decoder of the protocol, if it has one."""
        return self._desk.read_out(teacher, self.user)

    # -- what a mitigation keeps -------------------------------------------------------------------

    @property
    def memory(self) -> Any:
        """What this mitigation keeps from one generation to the next; None at first.

        Set it in any stage, also from a model that ``adapt`` returned while it fits.  Each
        mitigation of an entry has its own memory.  It is part of a checkpoint, so a resumed run
        continues with it.  Chains may run in several groups, so everything must be kept per chain:
        the dimensions R of tensors come first.

        Allowed are None, numbers, strings, tensors, corpora and teachers, also in tuples, lists and
        dicts, and other objects that can be pickled and hold no corpus.  A corpus comes back with
        its provenance hidden and without the content of rows of weight 0.  Reading returns a copy
        of tuples, lists and dicts: to keep a change, set the memory again.

        Real rows that are kept are real rows used.  The first read in a generation charges each
        real row that an earlier generation left in this memory: as ``real_rows`` every time, and as
        ``real_unique`` the first time it is read, unless this user or another mitigation paid for
        it when it was drawn.  So a buffer of synthetic rows stays blind, and one that keeps the
        protocol's real rows is on the track `real`.  A mitigation with a memory also pays for real
        rows that it adds to a training set from elsewhere, e.g. from tensors that it kept: a corpus
        made by ``Corpus.of`` is real unless its ``origin`` says otherwise.

        Raises ContractError for a value that cannot be kept, and for the protocol, which returns
        its memory from ``compose``; OverBudget like any request.
        """
        return self._desk.recall(self.user)

    @memory.setter
    def memory(self, value: Any) -> None:
        self._desk.keep(self.user, value)

    @property
    def ledger(self) -> Ledger:
        """A copy of the ledger: what all users have used so far, in this run."""
        return self._desk.ledger.copy()
