"""A truncated Zipf distribution over symbols: the simplest data with a tail."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from collapse_bench.core.components import DataGenerator, Mitigation
from collapse_bench.core.params import param
from collapse_bench.laws.claims import Claim, natural, recursion
from collapse_bench.lib.distributions.tables import TableTeacher, left, lost, uniform
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import tails


@dataclass(frozen=True)
class Zipf(DataGenerator):
    """One symbol per row: p_i proportional to i^-beta for ranks i = 1..K; y (R, n) int64.

    Questions have width 0.

    For each seed the ranks are assigned to the symbols at random; ``truth_is=fixed`` gives symbol i
    rank i + 1.  ``sampler=exact-law`` draws the counts of all symbols at once from their
    multinomial distribution: rows with ``count``, at a cost independent of n.

    ``read`` and ``plain`` make a flawed first teacher, which keeps the ranks of the data.  With
    ``first=zipf(read=top-k(k=100), plain=0.1)`` generation 0 reads a tail cut at rank 100, and the
    full distribution for one row in ten (Dohmatob et al., arXiv 2402.07043); ``first=zipf(beta=2)``
    narrows the tail.

    Losses: ``total_variation`` (primary, in [0, 1]); ``missing_mass``, the true probability of
    symbols that the teacher has lost, which is the test error of a memoriser (Hutter, arXiv
    2102.04074); ``support_lost``, the share of the K symbols that are lost.  Diagnostics: surviving
    support, entropy in nats, heterozygosity 1 - sum p^2, and squared drift sum (p_hat - p)^2.
    """

    beta: float = param(1.5, "exponent of the Zipf law; 0: uniform", ge=0, le=8)
    K: int = param(1000, "number of symbols", ge=2, le=10_000_000)
    truth_is: Literal["drawn", "fixed"] = param("drawn", "ranks random per seed, or in order")
    sampler: Literal["explicit", "exact-law"] = param(
        "explicit", "one symbol per row, or counts from their exact distribution"
    )
    read: Mitigation | None = param(None, "a decoder applied to the true law, e.g. top-k(k=100)")
    plain: float = param(0.0, "share of draws without that decoder", ge=0, le=1)

    kind = "discrete"
    family = "tails"
    primary = "total_variation"
    tail_metric = "missing_mass"
    diversity_metric = "support_lost"

    @property
    def labels(self):
        return self.K

    def sample_truth(self, rng, nature=None):
        p = torch.arange(1, self.K + 1, dtype=torch.float64, device=rng.device) ** -self.beta
        p = p / p.sum()
        if self.read is not None:
            p = torch.lerp(self.read.steer(TableTeacher(p), None).read, p, self.plain)
        p = p.expand(*rng.chain_shape, self.K)
        ranks = None
        if isinstance(nature, Zipf):
            ranks = nature.truth.ranks
        elif self.truth_is == "drawn":
            ranks = rng.at("ranks").permutation(self.K)
        return self.with_truth(
            teacher=TableTeacher(p if ranks is None else p.gather(-1, ranks)), ranks=ranks
        )

    def ask(self, n, rng):
        return torch.empty(*rng.chain_shape, n, 0, device=rng.device)

    def answer(self, x, rng):
        return self.truth.teacher.answer(x, rng)

    def sample_sufficient(self, n, rng):
        return self.truth.teacher.sample_sufficient(n, rng)

    def logp(self, x, y):
        return self.truth.teacher.logp(x, y)

    def trivial(self):
        """Uniform symbols."""
        return TableTeacher(uniform(self.truth.teacher.p))

    def _table(self, teacher):
        p = self.truth.teacher.p
        symbols = torch.arange(self.K, device=p.device).expand(p.shape)
        return p, teacher.logp(p.new_empty(*p.shape, 0), symbols)[..., 0].exp()

    def losses(self, teacher, rng):
        return lost(*self._table(teacher))

    def diagnostics(self, teacher):
        return left(*self._table(teacher))


# -- laws ------------------------------------------------------------------------------------------


@hookimpl
def collapse_theory(cell):
    """Total variation of one fit to real rows: exact.  Later generations have no closed form."""
    data, (model, _), read = cell.data, recursion(cell) or (None, None), natural(cell)
    if not isinstance(data, Zipf) or model != "counts" or cell.model.smoothing or data.read:
        return None
    risks = [tails.bigram_tv(data.beta, T, data.K) for T in (read if cell.nature else read[:1])]
    return risks + [math.nan] * (cell.generations + 1 - len(risks))


def _divergence(teacher, data):
    """KL(p || teacher), nats."""
    p = data.truth.teacher.p
    return (p * (p / teacher.p).log()).sum(-1)


def _rare(teacher, data):
    """Whether the second of two symbols survives."""
    return (teacher.p[..., 1] > 0).double()


@hookimpl
def collapse_claims():
    def fit(
        law,
        K,
        beta,
        M,
        k,
        metric,
        chains=4000,
        protocol="replace",
        sampler="explicit",
        read=None,
        **given,
    ):
        spec = (
            f"zipf(K={K}, beta={beta}, sampler={sampler}) | counts | {protocol} @ n={M} T={k - 1}"
        )
        known = {"K": K, "beta": beta, "M": M, **({"k": k} if "mix" not in law else {}), **given}
        return Claim(f"discrete.{law}", known, spec, metric, k - 1, chains, read=read)

    def survival(c, k, M):
        beta = math.log2(M / c - 1)  # two symbols, the second with probability c/M
        spec = (
            f"zipf(K=2, beta={beta}, truth_is=fixed, sampler=exact-law) | counts | replace @ n={M} "
            f"T={k}"
        )
        return Claim(
            "discrete.survive_count",
            {"c": c, "k": k, "M": M},
            spec,
            "rare symbol is said",
            k,
            8000,
            read=_rare,
        )

    def seen(
        beta,
        T,
        K,
        chains,
        first="",
        law="hutter",
        t=0,
        metric="missing_mass",
        sampler="explicit",
        **given,
    ):
        first = first and f" first=zipf({first}, K={K}, sampler={sampler})"
        spec = (
            f"zipf(beta={beta}, K={K}, truth_is=fixed, sampler={sampler}) | counts | replace @ "
            f"n={T} T={t}{first}"
        )
        known = {"beta": beta, "T": T, **({} if "asym" in law else {"N": K}), **given}
        return Claim(f"tails.{law}", known, spec, metric, t, chains)

    return [
        *(
            fit(law, 30, 1.5, 20, k, metric, sampler=sampler)
            for sampler, k in (("explicit", 10), ("exact-law", 3))
            for law, metric in (
                ("heterozygosity", "heterozygosity"),
                ("l2_drift", "l2_drift"),
                ("support", "support"),
                ("missing_mass", "missing_mass"),
            )
        ),
        fit("H_accumulate", 30, 1.5, 20, 15, "heterozygosity", protocol="accumulate"),
        fit("l2_mix_limit", 30, 1.5, 20, 40, "l2_drift", protocol="mix(real=0.1)", pi=0.1),
        fit("support_branching", 2000, 1.0, 500, 11, "support", 400),
        fit("kl_replace", 5, 0.5, 1500, 4, "KL(p || p_k)", read=_divergence),
        fit(
            "kl_accumulate",
            5,
            0.5,
            1500,
            8,
            "KL(p || p_k)",
            protocol="accumulate",
            read=_divergence,
        ),
        survival(8.0, 20, 2000),
        survival(5.0, 5, 1000),
        seen(1.5, 500, 1000, 2000, law="bigram_tv", metric="total_variation"),
        seen(
            2.0, 10**6, 20_000, 200, law="bigram_tv", metric="total_variation", sampler="exact-law"
        ),
        seen(1.5, 500, 1000, 2000, kind="real"),
        seen(1.5, 10**8, 100_000, 60, sampler="exact-law", kind="real"),
        seen(1.5, 500, 1000, 2000, "beta=1.5, read=top-k(k=30)", kind="cut", k=30),
        seen(1.5, 500, 1000, 2000, "beta=1.5, read=top-p(p=0.9)", kind="topp", top_p=0.9),
        seen(1.5, 500, 1000, 2000, "beta=1.5, read=temperature(t=0.8)", kind="temp", temp=0.8),
        seen(1.5, 500, 1000, 2000, "beta=2.0", kind="narrow", beta2=2.0),
        seen(
            1.5,
            500,
            1000,
            2000,
            "beta=1.5, read=top-k(k=30), plain=0.05",
            kind="mix",
            k=30,
            pi=0.05,
        ),
        seen(2.0, 3000, 50_000, 200, law="asym_real"),
        seen(2.0, 3000, 50_000, 200, "beta=2.0, read=top-k(k=60)", law="asym_cut", k=60),
        seen(1.8, 3000, 100_000, 100, "beta=2.4", law="asym_narrow", beta2=2.4),
        seen(1.5, 3000, 20_000, 200, law="gens_resample", t=9, g=10),
        seen(2.0, 3000, 20_000, 200, law="gens_resample", t=4, g=5),
    ]


@hookimpl
def collapse_generators():
    return {"zipf": Zipf}
