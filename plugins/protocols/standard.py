"""The standard protocols.  They are loaded like the protocols of any other package."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import (
    REPLACE,
    VERIFIED,
    Composition,
    Protocol,
)
from collapse_bench.core.params import param
from collapse_bench.errors import UsageError
from collapse_bench.lib.rows.selection import unverifiable
from collapse_bench.registry.hookspecs import hookimpl

LATER = "share of new real rows among those that every generation adds"


def _grown(pool, access, real):
    """The pool with the rows of this generation, a share ``real`` of them new real rows."""
    m = round(real * access.n)
    fresh = access.synthetic(access.n - m) if m < access.n else access.real(m)
    if 0 < m < access.n:
        fresh = access.real(m) + fresh
    return fresh if pool is None else pool + fresh


@dataclass(frozen=True)
class Replace(Protocol):
    """Every generation reads only synthetic rows of the previous one (Shumailov et al. 2024)."""

    composition = REPLACE

    def compose(self, access, memory):
        return access.synthetic(access.n), None


@dataclass(frozen=True)
class Accumulate(Protocol):
    """Every generation reads the real rows and all synthetic rows so far.

    Gerstgrasser et al., arXiv 2404.01413.  With ``real``, every generation adds a share of new real
    rows: a web that goes on growing (Wang, Niu, Li, arXiv 2602.16065; Amin et al., arXiv
    2601.15468).
    """

    real: float = param(0.0, LATER, ge=0, le=1, later=True)

    @property
    def composition(self):
        return Composition(real=self.real, earlier="all")

    def compose(self, access, memory):
        pool = _grown(memory, access, self.real)
        return pool, pool


@dataclass(frozen=True)
class AccumulateSubsample(Protocol):
    """All rows are kept; every generation reads n of them, drawn without replacement.

    Kazdan et al., arXiv 2410.16713.  With ``real``, every generation adds a share of new real rows.
    """

    real: float = param(0.0, LATER, ge=0, le=1, later=True)

    @property
    def composition(self):
        return Composition(real=self.real, earlier="sample")

    def compose(self, access, memory):
        pool = _grown(memory, access, self.real)
        return pool.sample(access.n, access.rng), pool


@dataclass(frozen=True)
class Mix(Protocol):
    """A share of real rows in every generation, new or always the same (Bertrand et al. 2023).

    A schedule gives the share of generation 0, 1, ...; its last item holds from there on.
    """

    real: float = param(0.5, "share of real rows", ge=0, le=1)
    fresh: bool = param(True, "new real rows in every generation; false: always those of the first")
    schedule: tuple[float, ...] = param(
        (), "share of real rows by generation, in place of `real`, e.g. [0.5, 0.2]", later=True
    )

    def __post_init__(self):
        super().__post_init__()
        for share in self.schedule:
            if not 0 <= share <= 1:
                raise UsageError(
                    f"{self.title()}: each share of schedule must lie in [0, 1], got {share:g}"
                )
        if self.schedule and not self.fresh:
            raise UsageError(
                f"{self.title()}: a schedule changes the number of real rows, and fresh=false "
                "keeps those of the first generation; leave out one of them"
            )

    @property
    def composition(self):
        return None if self.schedule else Composition(real=self.real, fresh=self.fresh)

    @property
    def reads_real(self):
        return any(self.schedule) if self.schedule else super().reads_real

    def share(self, t):
        """The share of real rows in generation t."""
        return self.schedule[min(t, len(self.schedule) - 1)] if self.schedule else self.real

    def compose(self, access, memory):
        m = round(self.share(access.t) * access.n)
        if self.fresh:
            return access.real(m) + access.synthetic(access.n - m), None
        kept = access.real(m) if memory is None else memory
        return kept + access.synthetic(max(0, access.n - m)), kept


@dataclass(frozen=True)
class IterativeMix(Protocol):
    """A fixed set of rows whose synthetic share is relabelled in every round by the previous model.

    Dohmatob et al., arXiv 2410.04840; choose a flawed first teacher with ``first=``.  The real rows
    and the relabelled questions are those of the first round.  With ``fresh`` both are new in every
    round, which equals ``mix``.
    """

    real: float = param(0.5, "share of real rows", ge=0, le=1)
    fresh: bool = param(False, "new real rows and new questions in every round")

    @property
    def composition(self):
        return Composition(real=self.real, fresh=self.fresh)

    def incompatibility(self, cell):
        if cell.data.sampler == "exact-law" and not self.fresh:
            return (
                f"{self.title()} asks the same questions again, and sampler=exact-law draws no "
                "questions; choose fresh=true"
            )
        return super().incompatibility(cell)

    def compose(self, access, memory):
        m = round(self.real * access.n)
        if self.fresh:
            return access.real(m) + access.synthetic(access.n - m), None
        if memory is None:
            real, synthetic = access.real(m), access.synthetic(access.n - m)
        else:
            real, questions = memory
            synthetic = self._relabelled(access, questions, max(0, access.n - m))
        return real + synthetic, (real, synthetic.x)

    def _relabelled(self, access, questions, n):
        """Answers to the first n questions; new questions fill up if there are fewer than n."""
        axis = len(access.rng.chain_shape)
        known = min(n, questions.shape[axis])
        again = access.synthetic(x=questions.narrow(axis, 0, known))
        return again if known == n else again + access.synthetic(n - known)


@dataclass(frozen=True)
class VerifyFilter(Protocol):
    """A verifier accepts right rows with probability phi and wrong rows with probability psi.

    Every generation reads n accepted rows.

    Feng et al., arXiv 2406.07515.  Rows of the oracle teacher are not filtered.
    """

    oversample: float = param(2.0, "rows generated per row read", ge=1, le=1000)
    phi: float = param(1.0, "probability that a right row is accepted", ge=0, le=1)
    psi: float = param(0.0, "probability that a wrong row is accepted", ge=0, le=1)

    composition = VERIFIED

    def incompatibility(self, cell):
        return unverifiable(self.title(), cell.data) or super().incompatibility(cell)

    def compose(self, access, memory):
        if access.natural:
            return access.synthetic(access.n), None
        pool = access.synthetic(round(self.oversample * access.n))
        return pool.keep(access.verify(pool, self.phi, self.psi), access.n, access.rng), None


@hookimpl
def collapse_protocols():
    return {
        "replace": Replace,
        "accumulate": Accumulate,
        "accumulate-subsample": AccumulateSubsample,
        "mix": Mix,
        "iterative-mix": IterativeMix,
        "verify-filter": VerifyFilter,
    }
