"""The ledger: everything that an entry drew through an access, by user and substance, per chain.

The track of an entry follows from its ledger, not from what it declares.  Rows that the protocol
draws are common to all entries of a task and do not count for the track.  Shapes: ``R`` stands for
the dimensions of the chains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..errors import OverBudget
from .tracks import PROTOCOL, SUBSTANCES, TRACKS, WORDS, joined_tracks


class Ledger:
    """Counts per (user, substance); an amount is a number for all chains, or a tensor (R,)."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int | Tensor] = {}
        self.fixed: dict[str, int] = {}  # user -> how many of its fixed real rows it has read
        # (R, pool) which real rows of a finite pool were drawn so far
        self.seen: Tensor | None = None
        self.verifiers: dict[tuple[str, float, float], int] = {}  # (user, phi, psi) -> calls
        # (user, name of an external model or data set) -> calls
        self.external: dict[tuple[str, str], int] = {}
        # user -> chains of its last fit that are charged and not fitted yet, see charge_fit
        self.spare: dict[str, int] = {}
        # substance -> limit per chain for all mitigations together
        self.limits: Mapping[str, int] = {}

    def copy(self) -> Ledger:
        """An independent ledger with the same counts; no change to it reaches this one."""
        twin = Ledger()
        twin.counts = {key: _own(amount) for key, amount in self.counts.items()}
        twin.fixed, twin.limits = dict(self.fixed), dict(self.limits)
        twin.seen = None if self.seen is None else self.seen.clone()
        twin.verifiers, twin.external = dict(self.verifiers), dict(self.external)
        twin.spare = dict(self.spare)
        return twin

    def under(self, limits: Mapping[str, int]) -> Ledger:
        """A copy that applies these limits to the mitigations from now on."""
        twin = self.copy()
        twin.limits = limits
        return twin

    def charge(self, user: str, substance: str, amount: int | Tensor) -> None:
        """Add an amount, a number or (R,); beyond a limit raise OverBudget and add nothing."""
        self._afford(user, substance, amount)
        self.counts[user, substance] = self.counts.get((user, substance), 0) + amount

    def charge_real(
        self, user: str, n: int, which: Tensor | None, pool: int | None, fixed: bool
    ) -> None:
        """Charge n real rows; ``which (R, n)`` are their indices in a finite pool of size ``pool``.

        ``fixed`` rows of a user are the same in every generation; they count as ``real_unique``
        once.
        """
        self._afford(user, "real_rows", n)
        if which is not None and pool is not None:
            seen = (
                which.new_zeros((*which.shape[:-1], pool), dtype=torch.bool)
                if self.seen is None
                else self.seen
            )
            after = seen.scatter(-1, which, True)
            self.charge(user, "real_unique", after.sum(-1) - seen.sum(-1))
            self.seen = after
        elif fixed:
            self.charge(user, "real_unique", max(0, n - self.fixed.get(user, 0)))
            self.fixed[user] = max(n, self.fixed.get(user, 0))
        else:
            self.charge(user, "real_unique", n)
        self.charge(user, "real_rows", n)

    def charge_carried(self, user: str, rows: Tensor, new: Tensor) -> None:
        """Charge ``rows (R,)`` real rows that a method kept; ``new (R,)`` of them are not paid yet.

        The new ones were drawn by the protocol.  They are moved from its account to that of the
        method, at most as many as it has drawn, so that ``real_unique`` of all users together stays
        the number of different rows.
        """
        drawn = self.counts.get((PROTOCOL, "real_unique"), 0)
        unique = torch.minimum(new, torch.as_tensor(drawn, device=new.device))
        self._afford(user, "real_rows", rows)
        if _any(unique):
            self.charge(user, "real_unique", unique)
            self.charge(PROTOCOL, "real_unique", -unique)
        self.charge(user, "real_rows", rows)

    def charge_verifier(self, user: str, calls: int, phi: float, psi: float) -> None:
        """Charge calls of a verifier; phi and psi as in ``Access.verify``."""
        self.charge(user, "verifier_calls", calls)
        self.verifiers[user, phi, psi] = self.verifiers.get((user, phi, psi), 0) + calls

    def charge_fit(self, user: str, chains: int, all_chains: int) -> None:
        """Charge a fit of some of the chains, as a share of a fit of all of them.

        The first share is charged as a whole fit, which then covers later shares of this user, in
        any generation.  So the amount is the sum of all shares, rounded up, in whatever order they
        come: no share is lost, and a budget ends a method before it exceeds its limit.
        """
        missing = chains - self.spare.get(user, 0)
        fits = max(0, -(-missing // all_chains))
        if fits:
            self.charge(user, "fits", fits)
        self.spare[user] = fits * all_chains - missing

    def charge_external(self, user: str, what: str, calls: int) -> None:
        """Charge calls of an external model or data set, by its name."""
        self.charge(user, "external_calls", calls)
        self.external[user, what] = self.external.get((user, what), 0) + calls

    def _afford(self, user: str, substance: str, amount: int | Tensor) -> None:
        """OverBudget if a mitigation asks for more than the limits allow."""
        if substance not in SUBSTANCES:
            raise ValueError(f"the ledger counts {', '.join(SUBSTANCES)}, not {substance}")
        limit = self.limits.get(substance)
        if limit is None or user == PROTOCOL:
            return
        spent = self.by_methods(substance) + amount
        if _any(spent - limit):
            raise OverBudget(
                f"{user} asked for {_most(amount)} {WORDS[substance]}, {_most(spent)} in total; "
                f"the budget allows {limit}"
            )

    def charge_growth(self, before: Ledger, n: int, usual: int) -> None:
        """Charge the methods for what the protocol drew since ``before`` beyond its usual rows.

        The methods increased the generation from ``usual`` to n rows.
        """
        if n <= usual:
            return
        for substance in TRACKS.keys() | {"real_unique"}:
            spent = self.counts.get((PROTOCOL, substance), 0) - before.counts.get(
                (PROTOCOL, substance), 0
            )
            extra = spent * (n - usual) // n
            if _any(extra):
                self.charge(PROTOCOL, substance, -extra)
                self.charge("size", substance, extra)

    @contextmanager
    def witnessing(self) -> Iterator[None]:
        """Attach the ledger to any exception, so that the use of a failed generation is known."""
        try:
            yield
        except BaseException as problem:  # a plugin may raise what is not an Exception
            problem.__dict__["ledger"] = self
            raise

    def total(self, substance: str) -> int | Tensor:
        """The total of all users, a number or (R,)."""
        return sum((amount for (_, what), amount in self.counts.items() if what == substance), 0)

    def by_methods(self, substance: str) -> int | Tensor:
        """The total of all mitigations, without the protocol, a number or (R,)."""
        mine = [
            a for (user, what), a in self.counts.items() if what == substance and user != PROTOCOL
        ]
        return sum(mine, 0)

    def track(self) -> str:
        """The track: blind, provenance, real, verifier, external, or several joined by '+'."""
        return joined_tracks(name for what, name in TRACKS.items() if _any(self.by_methods(what)))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__


def _own(amount: int | Tensor) -> int | Tensor:
    return amount.clone() if isinstance(amount, Tensor) else amount


def _most(amount: int | Tensor) -> int:
    return int(amount.max()) if isinstance(amount, Tensor) else amount


def _any(amount: int | Tensor) -> bool:
    return bool((amount > 0).any()) if isinstance(amount, Tensor) else amount > 0
