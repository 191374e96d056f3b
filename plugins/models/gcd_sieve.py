"""A symbolic learner of greatest common divisors, which knows a set of prime powers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property

import torch
from torch import Tensor

from collapse_bench.core.components import ACCUMULATE, REPLACE, Model, Teacher
from collapse_bench.core.params import param
from collapse_bench.errors import Lacking
from collapse_bench.laws.claims import Claim, recursion
from collapse_bench.lib.distributions.decoding import PLAIN, Decoding, as_it_is
from collapse_bench.lib.rounding import at_least, extrapolated
from collapse_bench.lib.text.arithmetic import decode, encode
from collapse_bench.registry.hookspecs import hookimpl
from collapse_bench.theory import gcd as theory

LARGEST = 1 << 22  # most pairs of a table
BUDGET = 1 << 20  # tokens of answers per chunk of rows


@dataclass(frozen=True)
class GcdSieve(Model):
    """The sieve rule: the answer is the largest member of the learnt set D that divides both.

    Charton, arXiv 2308.15594.

    D is all products of known prime powers.  An answer is a product of prime powers q = p^k up to
    ``most``.  Where q divides both numbers and p^(k-1) is in the answer, q is in it with
    probability r_q, independently of other primes.  A fit takes r_q = (1 - noise) times the share
    of such rows of the corpus whose answer has q, provided that their weight is at least ``examples
    * grok^(j-1)``, and 0 otherwise.  Here j is how many last digits decide whether q divides: the
    smallest j with q dividing base^j, and all digits where there is none.  So powers of primes of
    the base are learnt first, then small primes.  Rows whose answer is not a number are not read.

    A sampled answer to g is right with probability (1 - noise)^m, where m prime powers divide g and
    all of them are known.

    Over generations: without noise a label is f(g), the largest member of D that divides g.  A
    student knows no more than its teacher, and under ``replace`` permanently loses every power that
    too few of its own rows show.  Enough real rows bring a power back, slowly: under
    ``mix(real=p)`` r_q rises from p in the first fit towards 1.  With noise and temperature 1, r_q
    drifts like a neutral gene and falls by the factor 1 - noise per generation.  A temperature
    below 1, top-p and greedy decoding push r_q above one half towards 1 and below it towards 0,
    since each power is decoded as a binary choice.

    The laws are ``gcd.accuracy``, ``gcd.survives``, ``gcd.said``, ``gcd.sieve_accuracy`` and
    ``gcd.sieve_learned``.
    """

    examples: float = param(
        20.0, "weight of rows that must show a prime power for it to be learnt", gt=0, le=1e12
    )
    grok: float = param(4.0, "factor on examples for each further digit", ge=1, le=1e6)
    noise: float = param(
        0.0, "probability that a known prime power is left out of an answer", ge=0, le=1
    )
    most: int = param(100, "largest prime power that can be known", ge=1, le=10_000)

    kinds = ("sequence",)
    vectorized = True
    estimator = "gcd-sieve"
    tiny = {"examples": 2.0, "grok": 1.0, "most": 9}

    def incompatibility(self, cell):
        if cell.data.family != "arithmetic":
            return (
                f"{self.title()} reads pairs of numbers and their greatest common divisor; use it "
                "with the data gcd"
            )
        return super().incompatibility(cell)

    def fit(self, corpus, rng, before=None):
        base = corpus.labels - 1
        units = Units.of(self.most, base, corpus.x.shape[-1] // 2 - 1, corpus.y.device)
        g = torch.gcd(*decode(corpus.x, base, 2).unbind(-1))
        label = decode(corpus.y, base, 1)[..., 0]
        pairs, mass = _tally(g, label, corpus.multiplicity, corpus.chain_shape)
        g, label = pairs[:, :1], pairs[:, 1:]
        asks = (g % units.q == 0) & (label % (units.q // units.p) == 0) & (g * label > 0)
        asked = mass @ asks.double()
        saying = mass @ (asks & (label % units.q == 0)).double()
        needed = self.examples * self.grok ** (units.reading.double() - 1)
        learnt = at_least(saying, needed)
        return SieveTeacher(
            torch.where(learnt, (1 - self.noise) * saying / asked, 0.0), units, base
        )


def _tally(
    g: Tensor, label: Tensor, weight: Tensor, chain_shape: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """(pairs (K, 2), mass (R, K)): distinct pairs of g and what it shares with the label, and their
    weight in each chain.  Nothing else of a label matters."""
    span = int(label.max()) + 1 if label.numel() else 1
    if span * (int(g.max()) + 1 if g.numel() else 1) > LARGEST:
        pairs, where = _shared(g, label)
    else:  # a table of all pairs, since most rows repeat a pair
        key = g * span + label
        seen = torch.bincount(key.flatten()).nonzero()[:, 0]
        pairs, rank = _shared(seen // span, seen % span)
        ranks = torch.zeros(
            int(seen[-1]) + 1 if len(seen) else 1, dtype=torch.int64, device=g.device
        )
        where = ranks.index_copy_(0, seen, rank)[key]
    mass = torch.zeros(*chain_shape, len(pairs), dtype=torch.float64, device=g.device).scatter_add(
        -1, where, weight
    )
    return pairs, mass


def _shared(g: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """(distinct pairs (K, 2) of g and gcd(g, label), sorted; which of them each row is)."""
    label = torch.where(label > 0, torch.gcd(label, g), 0)
    span = int(label.max()) + 1 if label.numel() else 1
    pairs, where = torch.unique(g * span + label, return_inverse=True)
    return torch.stack([pairs // span, pairs % span], -1), where


@dataclass(frozen=True, eq=False)
class Units:
    """Prime powers in order of p and then k, all (U,) int64."""

    p: Tensor
    k: Tensor
    q: Tensor  # p^k
    reading: Tensor  # last digits that tell whether q divides

    @classmethod
    def of(cls, most: int, base: int, digits: int, device) -> Units:
        found = theory.prime_powers(most)
        rows = [(p, k, p**k, theory.digits_to_read(p, k, base, digits)) for p, k in found]
        return cls(*torch.tensor(rows, dtype=torch.int64, device=device).reshape(-1, 4).unbind(-1))

    @cached_property
    def chains(self) -> list[tuple[int, int, int]]:
        """(p, first, last + 1) of the units of each prime."""
        primes, sizes = self.p.unique_consecutive(return_counts=True)
        ends = sizes.cumsum(0)
        return list(zip(primes.tolist(), (ends - sizes).tolist(), ends.tolist(), strict=True))

    def index(self, q: int) -> int:
        """The position of the prime power q."""
        return self.q.tolist().index(q)


@dataclass(frozen=True, eq=False)
class SieveTeacher(Teacher):
    """r (R, U) float64: P(a power is included, given that it divides and the lower one is)."""

    r: Tensor
    units: Units
    base: int
    decoding: Decoding = PLAIN

    @cached_property
    def reach(self) -> Tensor:
        """Probability (R, U) after decoding that at least this power of its prime is included."""
        r = self.r
        if not self.decoding.plain:
            r = self.decoding.apply(torch.stack([(1 - r).log(), r.log()], -1))[..., 1].exp()
        out = torch.zeros_like(r)
        for _, first, last in self.units.chains:
            out[..., first:last] = r[..., first:last].cumprod(-1)
        return out

    def answer(self, x, rng):
        g = torch.gcd(*decode(x, self.base, 2).unbind(-1))
        label = torch.ones_like(g)
        for p, first, last in self.units.chains:
            reach = self.reach[..., first:last]
            if not (reach > 0).any():
                continue
            u = rng.at("prime", p).uniform(g.shape[-1]) if (reach < 1).any() else 0.5
            for i in range(
                last - first
            ):  # reach falls, so that no power is said without those below it
                if (reach[..., i] > 0).any():
                    says = (g % p ** (i + 1) == 0) & (u < reach[..., i, None])
                    label = torch.where(says, label * p, label)
        return encode(label[..., None], self.base, x.shape[-1] // 2 - 1)

    def logp(self, x, y):
        """Exact: enumerate the answers to each g, and sum probabilities over common prefixes.

        Rows of one chain with the same g and the same answer are computed once.
        """
        g, texts = torch.gcd(*decode(x, self.base, 2).unbind(-1)), y.reshape(-1, y.shape[-1])
        chain = torch.arange(g.shape[:-1].numel(), device=g.device).repeat_interleave(g.shape[-1])
        row, which = _distinct(g.flatten(), chain, *texts.unbind(-1))
        numbers, number = g.flatten()[row].unique(return_inverse=True)
        chain, texts = chain[row], texts[row]
        laws = self._laws(numbers, y.shape[-1] - 1)
        size = torch.tensor([len(spelt) for spelt, _ in laws], device=y.device)[number]
        out = torch.zeros(texts.shape, dtype=torch.float64, device=y.device)
        for a in size.unique().tolist():  # as many answers: one table of laws
            same = [i for i, (spelt, _) in enumerate(laws) if len(spelt) == a]
            place = torch.zeros_like(numbers).index_put_(
                (torch.tensor(same, device=y.device),), torch.arange(len(same), device=y.device)
            )
            spelt = torch.stack([laws[i][0] for i in same])  # (G, a, L)
            chance = torch.stack([laws[i][1].reshape(-1, a) for i in same])  # (G, R, a)
            rows = torch.nonzero(size == a)[:, 0]
            for some in rows.split(max(1, BUDGET // (a * y.shape[-1]))):
                at = place[number[some]]
                out[some] = _conditional(chance[at, chain[some]], spelt[at], texts[some])
        return out[which].view(y.shape)

    def _laws(self, numbers: Tensor, digits: int) -> list[tuple[Tensor, Tensor]]:
        """(tokens (a, 1 + digits), probabilities (R, a)) of all answers to pairs with these g."""
        power = cache(self._power)
        found = [self._answers(g, power) for g in numbers.tolist()]
        answers = torch.cat([numbers[:0], *(answers for answers, _ in found)])
        spelt = encode(answers[:, None], self.base, digits).split([len(a) for a, _ in found])
        return [(tokens, chance) for tokens, (_, chance) in zip(spelt, found, strict=True)]

    def _answers(self, g: int, power: Callable[[int, int, int], tuple[Tensor, Tensor]]):
        """(answers (a,) int64, probabilities (R, a)) of all answers to pairs with divisor g."""
        answers, chance = self.units.q.new_ones(1), self.r.new_ones(*self.r.shape[:-1], 1)
        for p, first, last in self.units.chains:
            height = min(last - first, _valuation(g, p))
            if height:
                powers, law = power(p, first, height)
                answers = (answers[:, None] * powers).flatten()
                chance = (chance[..., :, None] * law[..., None, :]).flatten(-2)
        return answers, chance

    def _power(self, p: int, first: int, height: int) -> tuple[Tensor, Tensor]:
        """(p^0 ... p^height, the probability (R, height + 1) that the answer has each)."""
        reach = self.reach[..., first : first + height]
        edge = torch.ones_like(reach[..., :1])
        law = -torch.diff(reach, prepend=edge, append=0 * edge, dim=-1)
        return p ** torch.arange(height + 1, device=reach.device), law

    def decoded(self, temperature=None, top_p=None, top_k=None, min_p=None, processor=None):
        """Each prime power is decoded as a binary choice, to be in the answer or not."""
        if processor not in (None, as_it_is):
            raise Lacking(
                "a sieve chooses between prime powers and does not support a processor of tokens",
                type(self),
            )
        settings = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": min_p}
        return replace(self, decoding=self.decoding.then(**settings))

    def blend(self, other, w):
        return replace(self, r=extrapolated(self.r, other.r, w).clamp(0, 1))


def _distinct(*columns: Tensor) -> tuple[Tensor, Tensor]:
    """(one of each kind of equal rows (K,), sorted by the columns, the kind of each row (N,))."""
    key, kinds = torch.zeros_like(columns[0]), 1
    for column in columns:
        low, high = (int(end) for end in column.aminmax()) if len(column) else (0, 0)
        if kinds * (high - low + 1) >= 2**63:  # number the kinds so far
            values, key = key.unique(return_inverse=True)
            kinds = len(values)
        key = key * (high - low + 1) + (column - low)
        kinds *= high - low + 1
    values, which = key.unique(return_inverse=True)
    place = torch.arange(len(which), device=which.device)
    return torch.zeros_like(values).scatter_(0, which, place), which


def _valuation(g: int, p: int) -> int:
    k = 0
    while g % p == 0:
        g, k = g // p, k + 1
    return k


def _conditional(chance: Tensor, spelt: Tensor, y: Tensor) -> Tensor:
    """Log-probability of each token of y (m, L) given its prefix.

    The answers spelt (m, a, L) have probabilities chance (m, a).
    """
    alive, before, out = torch.ones_like(chance), chance.sum(-1), []
    for column in range(y.shape[-1]):
        alive = alive * (spelt[:, :, column] == y[:, column, None])
        mass = (chance * alive).sum(-1)
        beyond = (y[:, column] < 0) & (y[:, max(column - 1, 0)] < 0) & (column > 0)
        share = torch.where(beyond, 1.0, mass / before.clamp_min(1e-300))
        out.append(share.clamp_max(1.0).log())
        before = mass
    return torch.stack(out, -1)


# -- laws ------------------------------------------------------------------------------------------


@hookimpl
def collapse_theory(cell):
    """Expected error without label noise, for natural operands, and without real rows mixed in."""
    data, model, (name, protocol) = cell.data, cell.model, recursion(cell) or (None, None)
    if (
        name != "gcd-sieve"
        or not isinstance(model, GcdSieve)
        or model.noise
        or data.outcomes != "natural"
    ):
        return None
    if protocol not in (REPLACE, ACCUMULATE) and not cell.nature:
        return None
    if data.max > theory.MOST:
        return None
    sizes = [cell.size(t) for t in range(cell.generations + 1)]
    curve = []
    for t in range(len(sizes)):
        read = sizes[: t + 1] if protocol == REPLACE and not cell.nature else sizes[:1]
        if cell.nature:  # every fit reads real rows only, and all of them where they are kept
            read = [sum(sizes[: t + 1]) if protocol == ACCUMULATE else sizes[t]]
        how = (data.base, data.max, model.examples, model.grok, model.most, data.operands)
        curve.append(1 - theory.accuracy_of(theory.heights_after(read, *how), data.max))
    return curve


@hookimpl
def collapse_claims():
    def error(law, given, data, model, t=0, chains=300, n=2000, protocol="replace"):
        spec = f"gcd({data}, test=400, each=1) | gcd-sieve({model}) | {protocol} @ n={n} T={t}"
        return Claim(law, given, spec, "error", t, chains, times=-1, plus=1)

    def count(law, given, data, model, t=0, chains=20, n=2000):
        limit = given.get("limit", 100)
        spec = f"gcd({data}, test=400, each=1) | gcd-sieve({model}) | replace @ n={n} T={t}"
        return Claim(law, given, spec, "unlearned", t, chains, times=-1, plus=limit)

    def read(law, given, q, of, data, model, n, t, chains=2000, protocol="replace"):
        spec = f"gcd({data}, test=1, each=1) | gcd-sieve({model}) | {protocol} @ n={n} T={t}"
        return Claim(law, given, spec, f"{q} is {of}", t, chains, read=_reader(q, of == "known"))

    def fits(n, k, base, N, examples, grok, **more):
        """The parameters of the laws of the whole learner."""
        return {"n": n, "k": k, "base": base, "N": N, "examples": examples, "grok": grok, **more}

    surely = "examples=1, grok=1000000.0"
    small, wide = (
        fits(250, 4, 10, 1000, 4.0, 2.0),
        fits(500, 3, 6, 200, 2.0, 1.5, operands="log-uniform"),
    )
    return [
        # what is known is certain
        error(
            "gcd.accuracy",
            {"D": 60, "powers": False, "N": 100},
            "max=100",
            "examples=1, grok=1, most=5",
            3,
        ),
        error(
            "gcd.accuracy",
            {"D": 10, "powers": False, "N": 10**6},
            "max=1000000",
            f"{surely}, most=5",
        ),
        error(
            "gcd.accuracy",
            {"D": 420, "powers": False, "N": 5000},
            "base=420, max=5000",
            f"{surely}, most=7",
        ),
        error(
            "gcd.accuracy",
            {"D": 2, "N": 30},
            "base=16, max=30",
            f"{surely}, most=16",
            n=8000,
            chains=60,
        ),
        error("gcd.accuracy", {"D": 1, "N": 1000}, "base=11, max=1000", f"{surely}, most=10"),
        count(
            "gcd.learned_count",
            {"D": 60, "powers": False},
            "max=100",
            "examples=1, grok=1, most=5",
            3,
        ),
        count(
            "gcd.learned_count",
            {"D": 2, "limit": 30},
            "base=16, max=30",
            f"{surely}, most=16",
            n=8000,
        ),
        # what is known is drawn
        read(
            "gcd.survives",
            {"q": 9, "n": 300, "k": 3, "examples": 3, "N": 100},
            9,
            "known",
            "max=100",
            "examples=3, grok=1, most=9",
            300,
            2,
        ),
        read(
            "gcd.survives",
            {"q": 7, "n": 200, "k": 5, "examples": 2, "N": 1000},
            7,
            "known",
            "max=1000",
            "examples=2, grok=1, most=7",
            200,
            4,
        ),
        read(
            "gcd.said",
            {"p": 3, "n": 60, "k": 5, "noise": 0.1, "N": 100},
            3,
            "said",
            "max=100",
            "examples=1, grok=1, noise=0.1, most=3",
            60,
            4,
        ),
        read(
            "gcd.said",
            {"p": 3, "n": 60, "k": 5, "noise": 0.2, "pi": 0.3, "N": 100},
            3,
            "said",
            "max=100",
            "examples=1, grok=1, noise=0.2, most=3",
            60,
            4,
            protocol="mix(real=0.3)",
        ),
        error("gcd.sieve_accuracy", small, "max=1000", "examples=4, grok=2", 3, n=250),
        error(
            "gcd.sieve_accuracy",
            wide,
            "base=6, max=200, operands=log-uniform",
            "examples=2, grok=1.5",
            2,
            n=500,
        ),
        count("gcd.sieve_learned", small, "max=1000", "examples=4, grok=2", 3, 300, 250),
        count(
            "gcd.sieve_learned",
            wide,
            "base=6, max=200, operands=log-uniform",
            "examples=2, grok=1.5",
            2,
            300,
            500,
        ),
    ]


def _reader(q: int, known: bool):
    """Probability that the prime power q is included, or whether it is known at all, (R,)."""

    def read(teacher, data):
        r = teacher.r[..., teacher.units.index(q)]
        return (r > 0).double() if known else r

    return read


@hookimpl
def collapse_models():
    return {"gcd-sieve": GcdSieve}
