"""Change the share of real rows from one generation to the next."""

from __future__ import annotations

from dataclasses import dataclass

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import Incompatible, Lacks, UsageError
from collapse_bench.lib.linear.regression import LinearWorld
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import strong


@dataclass(frozen=True)
class ShareSchedule(Mitigation):
    """The share of real rows follows a schedule over generations (dynamic mixing, as in the rounds
    of Dohmatob et al., arXiv 2410.04840; no single paper).

    Stage: curate; track: provenance and real.  The training set keeps its size.  Where it has too
    few real rows, new ones are drawn for this method and random synthetic rows are dropped; where
    it has too many, random real rows are dropped and the teacher writes others.  Generation 0 is
    left as it is; item t - 1 of ``shares`` is the share of generation t, and the last item holds
    from there on.  ``mix(schedule=...)`` is the same as a protocol.
    """

    shares: tuple[float, ...] = param(
        (0.5, 0.2, 0.1), "share of real rows of generation 1, 2, ..., e.g. [0.5, 0.1]"
    )

    def __post_init__(self):
        super().__post_init__()
        if not self.shares:
            raise UsageError(f"{self.title()}: shares must have at least one item, e.g. [0.5, 0.1]")
        for share in self.shares:
            if not 0 <= share <= 1:
                raise UsageError(
                    f"{self.title()}: each item of shares must lie in [0, 1], got {share:g}"
                )

    def share(self, t: int) -> float:
        """The share of real rows in generation t >= 1."""
        return self.shares[min(max(t, 1), len(self.shares)) - 1]

    def incompatibility(self, cell):
        made = cell.protocol.composition
        if made is not None and (made.earlier == "sample" or made.verified):
            return Lacks(
                f"share-schedule sets the number of real rows, and under {cell.protocol.title()} "
                "it differs from chain to chain; choose replace, mix or accumulate"
            )
        if cell.data.sampler == "exact-law":
            return Lacks(
                "share-schedule exchanges rows, and sampler=exact-law draws only their sums or "
                "counts; choose sampler=explicit"
            )
        return super().incompatibility(cell)

    def curate(self, corpus, access):
        if access.t == 0:  # a flawed source teaches generation 0
            return corpus
        real = access.provenance(corpus) == 0
        numbers = real.sum(-1).flatten()
        have, n = int(numbers[0]), corpus.n
        if (numbers != have).any():
            raise Incompatible(
                "share-schedule needs equally many real rows in every chain, and another "
                "mitigation kept different numbers; put share-schedule first"
            )
        want = round(self.share(access.t) * n)
        if want == have:
            return corpus
        kept = corpus.keep(real, min(have, want), access.rng.at("real")) + corpus.keep(
            ~real, n - max(have, want), access.rng.at("synthetic")
        )
        new = access.real(want - have) if want > have else access.synthetic(have - want)
        return kept + new


# -- laws ------------------------------------------------------------------------------------------


def _shares(cell):
    """(t -> share of real rows, t >= 1) of a cell whose rows are new each time; else None."""
    made, acts = cell.protocol.composition, cell.mitigations
    if [type(act) for act in acts] == [ShareSchedule]:
        new = made is not None and made.earlier == "none" and made.fresh and not made.verified
        return acts[0].share if new and acts[0].incompatibility(cell) is None else None
    if getattr(cell.protocol, "schedule", ()) and (not acts or cell.entry == "none"):
        return cell.protocol.share
    return None


@hookimpl
def collapse_theory(cell):
    """The recursion of a mix, with another share p in every round.

    A mean of known variance: e' = (1 - p)^2 e + sigma^2/n, exact.  Least squares: one round of
    ``strong.iter_mix``, to leading order in d/n.
    """
    share, data, model = _shares(cell), cell.data, cell.model
    if share is None or data.moves or cell.protocol.decode is not None or cell.first_teacher:
        return None
    known = (data.distribution, model.estimator) == ("gaussian", "gaussian-fit")
    if known and model.sigma == data.sigma and (data.d == 1 or not data.beta):
        one = data.d * data.sigma**2
        curve = [one / cell.size(0)]
        for t in range(1, cell.generations + 1):
            n = cell.size(t)
            curve.append((1 - round(share(t) * n) / n) ** 2 * curve[-1] + one / n)
        return curve
    if model.estimator != "ols" or not isinstance(data, LinearWorld):
        return None
    if not all(hasattr(data, name) for name in ("d", "noise", "fresh")):
        return None
    d, smallest = data.d, min(cell.size(t) for t in range(cell.generations + 1))
    if d > 0.05 * smallest or not data.fresh:
        return None
    curve = [strong.iter_mix(d, cell.size(0), 0.0, 1, 0.0, data.noise)]
    for t in range(1, cell.generations + 1):
        n = cell.size(t)
        p2 = 1 - round(share(t) * n) / n
        curve.append(strong.iter_mix(d, n, p2, 1, curve[-1], data.noise))
    return curve


@hookimpl
def collapse_mitigations():
    return {"share-schedule": ShareSchedule}
