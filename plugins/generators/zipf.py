"""A truncated Zipf distribution over symbols: the simplest data with a tail."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn.functional import pad

from collapse_bench.core.components import Mitigation
from collapse_bench.core.params import param
from collapse_bench.errors import Incompatible
from collapse_bench.laws.claims import Claim, frozen, natural, pure, recursion
from collapse_bench.lib.distributions.tables import TableTeacher, left, lost, uniform
from collapse_bench.lib.moving import Moving, Path, no_room
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import tails, worlds


@dataclass(frozen=True)
class Zipf(Moving):
    """One symbol per row: p_i proportional to i^-beta for ranks i = 1..K; y (R, n) int64.

    Questions have width 0.

    For each seed the ranks are assigned to the symbols at random; ``truth_is=fixed`` gives symbol i
    rank i + 1.  ``sampler=exact-law`` draws the counts of all symbols at once from their
    multinomial distribution: rows with ``count``, at a cost independent of n.

    ``read`` and ``plain`` make a flawed first teacher, which keeps the ranks of the data.  With
    ``first=zipf(read=top-k(k=100), plain=0.1)`` generation 0 reads a tail cut at rank 100, and the
    full distribution for one row in ten (Dohmatob et al., arXiv 2402.07043); ``first=zipf(beta=2)``
    narrows the tail.

    With ``novel`` the world gets new symbols: in every generation this share of the mass moves to a
    new block of K symbols with the same Zipf law, and all older probabilities shrink.  The alphabet
    has room for ``blocks`` of them.  Symbols that are not yet in use do not count as lost.

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
    novel: float = param(
        0.0,
        "share of the mass that moves to K new symbols in every generation",
        ge=0,
        le=1,
        later=True,
    )
    blocks: int = param(
        20,
        "with novel: how many times K new symbols the alphabet has room for, the most generations",
        ge=1,
        le=10_000,
        later=True,
    )

    kind = "discrete"
    family = "tails"
    primary = "total_variation"
    tail_metric = "missing_mass"
    diversity_metric = "support_lost"

    @property
    def labels(self):
        return self.K * (1 + self.blocks) if self.moves else self.K

    moving = {"novel": 0.2}

    @property
    def moves(self):
        return self.novel > 0

    def incompatibility(self, cell):
        if self.moves and cell.data is self and cell.generations > self.blocks:
            return no_room(self, cell.generations)
        return super().incompatibility(cell)

    def sample_truth(self, rng, nature=None):
        p = torch.arange(1, self.K + 1, dtype=torch.float64, device=rng.device) ** -self.beta
        p = p / p.sum()
        if self.read is not None:
            p = torch.lerp(self.read.steer(TableTeacher(p), None).read, p, self.plain)
        ranks, labels = None, self.labels
        if isinstance(nature, Zipf):
            ranks, labels = nature.truth.ranks, nature.labels
        elif self.truth_is == "drawn":
            ranks = rng.at("ranks").permutation(self.labels)
        p = pad(p, (0, max(0, labels - self.K))).expand(*rng.chain_shape, -1)
        return self.with_truth(
            teacher=TableTeacher(p if ranks is None else p.gather(-1, ranks)),
            ranks=ranks,
            block=p[..., : self.K],
            path=Path(),
        )

    def following(self, t):
        if t > self.blocks:
            raise Incompatible(no_room(self, t))
        ranks, after = self.truth.ranks, self.labels - (t + 1) * self.K
        new = pad(self.truth.block, (t * self.K, after))
        p = torch.lerp(
            self.truth.teacher.p, new if ranks is None else new.gather(-1, ranks), self.novel
        )
        return self.with_changed(teacher=TableTeacher(p))

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
        symbols = torch.arange(p.shape[-1], device=p.device).expand(p.shape)
        return p, teacher.logp(p.new_empty(*p.shape, 0), symbols)[..., 0].exp()

    def losses(self, teacher, rng):
        return lost(*self._table(teacher), among_used=self.moves)

    def diagnostics(self, teacher):
        return left(*self._table(teacher))


# -- laws ------------------------------------------------------------------------------------------


@hookimpl
def collapse_theory(cell):
    """Total variation of one fit to real rows: exact.  Later generations have no closed form.

    With new symbols: exact under frozen, nature and mix with new real rows, by the chain of counts.
    """
    if isinstance(cell.data, Zipf) and cell.data.moves:
        return _novel(cell)
    data, (model, _), read = cell.data, recursion(cell) or (None, None), natural(cell)
    if not isinstance(data, Zipf) or model != "counts" or cell.model.smoothing or data.read:
        return None
    risks = [tails.bigram_tv(data.beta, T, data.K) for T in (read if cell.nature else read[:1])]
    return risks + [math.nan] * (cell.generations + 1 - len(risks))


MOST_STEPS = 4 * 10**9  # K n^2 T of a curve that is worked out for every run, about two seconds


def _novel(cell):
    """The law of new symbols: what generation t has read, against the truth of generation t."""
    data, made, last = cell.data, cell.protocol.composition, cell.generations
    counted = cell.model.estimator == "counts" and not cell.model.smoothing and data.read is None
    if not (pure(cell) and counted) or made is None or made.verified:
        return None
    K, beta, n, h = data.K, data.beta, cell.n, data.novel
    if frozen(cell):
        return [worlds.novel_frozen_tv(K, beta, n, t, h) for t in range(last + 1)]
    replaces = made.earlier == "none" and made.fresh and not cell.growth
    if cell.nature and replaces:
        return [worlds.novel_nature_tv(K, beta, n, t, h) for t in range(last + 1)]
    if replaces and not cell.nature and K * n**2 * last <= MOST_STEPS:
        return worlds.novel_mix_curve(K, beta, n, made.real, last, h)
    return [worlds.novel_frozen_tv(K, beta, cell.size(0), 0), *[math.nan] * last]


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

    def novel(law, how, K, beta, n, t, h, metric, chains=4000, sampler="explicit", **more):
        spec = (
            f"zipf(K={K}, beta={beta}, novel={h}, blocks={t}, sampler={sampler}) | counts | {how} "
            f"@ n={n} T={t}"
        )
        given = {"K": K, "beta": beta, "M": n, "t": t, "h": h, **more}
        return Claim(f"worlds.novel_{law}", given, spec, metric, t, chains)

    missing, distance = "missing_mass", "total_variation"
    return [
        novel("frozen_missing", "replace | frozen", 200, 1.5, 1000, 10, 0.05, missing, 400),
        novel("frozen_missing", "mix(real=0.3) | frozen", 10, 1.0, 20, 4, 0.2, missing),
        novel("frozen_tv", "mix(real=0.3) | frozen", 10, 1.0, 20, 4, 0.2, distance),
        novel("nature_tv", "mix(real=0.3) | nature", 10, 1.0, 20, 4, 0.2, distance),
        *(
            novel(law, how, 12, 1.2, 40, 6, 0.1, metric, pi=pi, sampler=sampler)
            for how, pi, sampler in (
                ("mix(real=0.2)", 0.2, "explicit"),
                ("mix(real=0.2)", 0.2, "exact-law"),
                ("replace", 0.0, "explicit"),
            )
            for law, metric in (("mix_missing", missing), ("mix_tv", distance))
        ),
        novel("mix_missing", "mix(real=0.1)", 200, 1.5, 1000, 10, 0.05, missing, 200, pi=0.1),
        novel(
            "kept_missing", "accumulate(real=0.1)", 200, 1.5, 1000, 10, 0.05, missing, 200, m=100
        ),
        novel("kept_missing", "accumulate(real=0.2)", 10, 1.0, 20, 6, 0.2, missing, m=4),
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
