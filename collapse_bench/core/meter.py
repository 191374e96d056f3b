"""Counts fits of a generation, whoever calls them.

A mitigation may call ``model.fit`` itself, in a training around the fit, in a class of its own
around the model, or in any stage.  Of all these, one fit per chain is that of the generation; the
others are charged to the mitigation that calls them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from .components import Model, Teacher
from .corpus import Corpus
from .ledger import Ledger
from .replicates import Configured, lift
from .rng import Stream


@dataclass
class Meter:
    """The fits of one generation, in chains: a fit of 3 of 12 chains is a quarter."""

    ledger: Ledger
    chains: int  # of the run
    free: int = 0  # chains whose next fit is paid for already

    @contextmanager
    def grant(self, chains: int) -> Iterator[None]:
        """Within, fits of this number of chains are paid for."""
        before, self.free = self.free, chains
        try:
            yield
        finally:
            self.free = before

    def count(self, user: str, chains: int) -> None:
        """Charge a user for a fit of some chains, as far as they are not free."""
        paid = min(self.free, chains)
        self.free -= paid
        self.ledger.charge_fit(user, chains - paid, self.chains)


_METER: ContextVar[Meter | None] = ContextVar("meter", default=None)


@contextmanager
def metering(ledger: Ledger, chain_shape: tuple[int, ...]) -> Iterator[Meter]:
    """Count the fits of one generation in this ledger."""
    token = _METER.set(meter := Meter(ledger, max(1, math.prod(chain_shape))))
    try:
        yield meter
    finally:
        _METER.reset(token)


def metered(model: Model, user: str) -> Configured:
    """The model, whose fits are counted as those of ``user``."""
    return lift(model).with_training(Counted(user))


def paid_fit(model: Model, corpus: Corpus, rng: Stream, before: Teacher | None) -> Teacher:
    """A fit that is charged already."""
    meter = _METER.get()
    if meter is None:
        return model.fit(corpus, rng, before)
    with meter.grant(math.prod(corpus.chain_shape)):
        return model.fit(corpus, rng, before)


@dataclass(frozen=True)
class Counted:
    """The training that counts each fit of the model inside it."""

    user: str

    def __call__(
        self, model: Configured, corpus: Corpus, rng: Stream, before: Teacher | None
    ) -> Teacher:
        if (meter := _METER.get()) is not None:
            meter.count(self.user, math.prod(corpus.chain_shape))
        return paid_fit(model, corpus, rng, before)
