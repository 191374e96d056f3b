"""What an entry used: everything drawn through an access, by user and by substance, per chain.

The track of an entry is what its ledger shows, never what it declares.  What the protocol itself
draws is common to all entries of a task and sets no track.  Shapes: ``R`` are the dimensions of the
chains.
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
        self.fixed: dict[str, int] = {}  # user -> number of its fixed real rows that it has seen
        # (R, pool) which real rows of a finite pool were ever drawn
        self.seen: Tensor | None = None
        self.verifiers: dict[tuple[str, float, float], int] = {}  # (user, phi, psi) -> calls
        # (user, name of a model or data set from outside) -> calls
        self.external: dict[tuple[str, str], int] = {}
        # substance -> the most that all mitigations together may use, per chain
        self.limits: Mapping[str, int] = {}

    def copy(self) -> Ledger:
        """A ledger with the same counts, to which more can be charged without changing this one."""
        twin = Ledger()
        twin.counts, twin.fixed, twin.seen = dict(self.counts), dict(self.fixed), self.seen
        twin.verifiers, twin.external, twin.limits = (
            dict(self.verifiers),
            dict(self.external),
            self.limits,
        )
        return twin

    def under(self, limits: Mapping[str, int]) -> Ledger:
        """A copy that holds the mitigations to these limits from now on."""
        twin = self.copy()
        twin.limits = limits
        return twin

    def charge(self, user: str, substance: str, amount: int | Tensor) -> None:
        """Add an amount, a number or (R,); OverBudget, and nothing added, beyond a limit."""
        self._afford(user, substance, amount)
        self.counts[user, substance] = self.counts.get((user, substance), 0) + amount

    def charge_real(
        self, user: str, n: int, which: Tensor | None, pool: int | None, fixed: bool
    ) -> None:
        """n real rows; ``which (R, n)`` says which ones of a finite pool of this size they are.

        ``fixed`` rows of a user are the same in every generation, and different rows only once.
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
        """Real rows of earlier generations that a method reads again: ``rows (R,)``, ``new (R,)``
        of them not paid yet.

        The new ones were drawn by the protocol.  They pass from its account to the method's, at
        most as many as it has drawn, so that ``real_unique`` of all users together stays the number
        of different rows.
        """
        drawn = self.counts.get((PROTOCOL, "real_unique"), 0)
        unique = torch.minimum(new, torch.as_tensor(drawn, device=new.device))
        self._afford(user, "real_rows", rows)
        if _any(unique):
            self.charge(user, "real_unique", unique)
            self.charge(PROTOCOL, "real_unique", -unique)
        self.charge(user, "real_rows", rows)

    def charge_verifier(self, user: str, calls: int, phi: float, psi: float) -> None:
        """Calls of a verifier that passes right rows with probability phi, wrong ones with psi."""
        self.charge(user, "verifier_calls", calls)
        self.verifiers[user, phi, psi] = self.verifiers.get((user, phi, psi), 0) + calls

    def charge_external(self, user: str, what: str, calls: int) -> None:
        """Calls of a model or data set from outside, by its name."""
        self.charge(user, "external_calls", calls)
        self.external[user, what] = self.external.get((user, what), 0) + calls

    def _afford(self, user: str, substance: str, amount: int | Tensor) -> None:
        """OverBudget where a mitigation asks for more than the limits allow."""
        if substance not in SUBSTANCES:
            raise ValueError(f"the ledger knows {', '.join(SUBSTANCES)}, not {substance}")
        limit = self.limits.get(substance)
        if limit is None or user == PROTOCOL:
            return
        spent = self.by_methods(substance) + amount
        if _any(spent - limit):
            raise OverBudget(
                f"{user} asked for {_most(amount)} {WORDS[substance]}, which makes {_most(spent)}, "
                f"and the budget allows {limit}"
            )

    def charge_growth(self, before: Ledger, n: int, usual: int) -> None:
        """Pass to the methods what the protocol drew since ``before`` beyond its usual rows.

        They asked for a generation of n rows.
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
        """Attach the ledger to any exception, so that what a failed generation used is known."""
        try:
            yield
        except Exception as problem:
            problem.__dict__["ledger"] = self
            raise

    def total(self, substance: str) -> int | Tensor:
        """All users together."""
        return sum((amount for (_, what), amount in self.counts.items() if what == substance), 0)

    def by_methods(self, substance: str) -> int | Tensor:
        """All mitigations together, without the protocol's own use."""
        mine = [
            a for (user, what), a in self.counts.items() if what == substance and user != PROTOCOL
        ]
        return sum(mine, 0)

    def track(self) -> str:
        """The track: blind, provenance, real, verifier, external, or several joined by '+'."""
        return joined_tracks(name for what, name in TRACKS.items() if _any(self.by_methods(what)))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__


def _most(amount: int | Tensor) -> int:
    return int(amount.max()) if isinstance(amount, Tensor) else amount


def _any(amount: int | Tensor) -> bool:
    return bool((amount > 0).any()) if isinstance(amount, Tensor) else amount > 0
