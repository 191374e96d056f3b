"""n-grams: the next token by its frequency after the last few; a cheap model of language."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from collapse_bench.core.components import Model, Teacher
from collapse_bench.core.params import param
from collapse_bench.errors import Unsupported
from collapse_bench.lib.distributions.decoding import PLAIN, Decoding
from collapse_bench.lib.rounding import remains
from collapse_bench.lib.text.language import events_of
from collapse_bench.registry.hookspecs import hookimpl

BUDGET = 1 << 22  # probabilities per chunk, where whole rows of them are needed
KEPT = 1 << 24  # probabilities that a teacher keeps, at most


@dataclass(frozen=True)
class NGram(Model):
    """Interpolated n-grams: p(w | h) is a mixture of the relative frequency of w after the last
    order - 1 tokens and p(w | h') for a context h' that is one token shorter; the shortest is
    empty, and below it the law is uniform.

    With N(h) the weighted number of tokens read after h, c(h, w) of those that were w, and T(h) how
    many different ones there were, ``witten-bell`` (Witten and Bell 1991; interpolated as in Chen
    and Goodman 1999) is p(w | h) = (c(h, w) + T(h) p(w | h')) / (N(h) + T(h)), and
    ``jelinek-mercer`` is p(w | h) = lam c(h, w) / N(h) + (1 - lam) p(w | h').  With ``lam=1`` it is
    maximum likelihood, which backs off only where a context was never read: there p(w | h) = p(w |
    h').

    The end of a text is a symbol like any other; empty places precede its beginning, and are part
    of contexts.  Tokens of questions are part of contexts, and are not learnt themselves.  Counts
    are sparse: memory grows with what was read.
    """

    order: int = param(
        3, "tokens of an n-gram, including the predicted one; 1: no context", ge=1, le=12
    )
    smoothing: Literal["witten-bell", "jelinek-mercer"] = param("witten-bell", "smoothing method")
    lam: float = param(
        0.9, "weight of the higher order for jelinek-mercer; 1: maximum likelihood", ge=0, le=1
    )

    kinds = ("sequence",)
    vectorized = True
    tiny = {"order": 2}

    def fit(self, corpus, rng, before=None):
        if corpus.labels is None:
            raise Unsupported(f"{self.title()} needs data that state how many tokens there are")
        lam = None if self.smoothing == "witten-bell" else self.lam
        grams, count = _read(corpus.x, corpus.y, corpus.multiplicity, self.order, corpus.labels)
        grams, count = _summed(grams, count, corpus.labels + 1)
        return NGramTeacher(
            grams, count, corpus.labels, corpus.y.shape[-1], corpus.chain_shape, lam
        )


# -- counting --------------------------------------------------------------------------------------


def _read(x: Tensor, y: Tensor, weight: Tensor, order: int, labels: int) -> tuple[Tensor, Tensor]:
    """Every symbol of y with its context, (E, order + 1): chain, nearest symbol, ..., farthest, the
    symbol itself; and the weight of each, (E,).  ``labels`` encodes the end and empty places."""
    # (R, n, L, order), the predicted symbol last
    windows = _padded(x, y, order, labels).unfold(-1, order, 1)
    n, L = y.shape[-2:]
    windows, weight = windows.reshape(-1, n, L, order), weight.reshape(-1, n)
    at = torch.nonzero(events_of(y).reshape(-1, n, L) & (weight > 0)[..., None]).unbind(-1)
    symbols = windows[at]
    grams = torch.cat([at[0][:, None], symbols[:, :-1].flip(-1), symbols[:, -1:]], -1)
    return grams, weight[at[:2]]


def _padded(x: Tensor, y: Tensor, order: int, labels: int) -> Tensor:
    """The last order - 1 positions of each question (or empty ones), then the answer."""
    x, y = (torch.where(tokens < 0, labels, tokens) for tokens in (x, y))
    x = pad(x.long(), (order - 1, 0), value=labels)
    return torch.cat([x[..., x.shape[-1] - order + 1 :], y], -1)


def _summed(grams: Tensor, count: Tensor, symbols: int) -> tuple[Tensor, Tensor]:
    """Distinct rows of ``grams (E, k)``, sorted, (U, k), and the sums of their counts, (U,).

    All columns except the first are below ``symbols``; as many columns as fit into 63 bits are
    sorted in one pass, which is much faster than sorting rows.
    """
    key, most = grams[:, 0], _most(grams[:, 0])
    for column in grams.T[1:]:
        if most * symbols >= 2**63:
            key = torch.unique(key, return_inverse=True)[1]
            most = _most(key)
        key, most = key * symbols + column, most * symbols
    key, row = key.sort(stable=True)
    new = _changes(key)
    return grams[row[new]], _sums(count[row], new)


def _most(key: Tensor) -> int:
    return int(key.max()) + 1 if len(key) else 1


def _changes(key: Tensor) -> Tensor:
    """Where a sorted key (N,) differs from the one before, bool; the first one does."""
    new = torch.ones_like(key, dtype=torch.bool)
    new[1:] = key[1:] != key[:-1]
    return new


def _sums(value: Tensor, new: Tensor) -> Tensor:
    """Sums of value (N,) over runs, each of which begins where ``new`` is set."""
    return value.new_zeros(int(new.sum())).index_add(0, new.cumsum(0) - 1, value)


class Trie:
    """Contexts of all lengths as nodes of a tree.  The root of a chain is the empty context, and
    its node is the chain's number; the parent of a longer context lacks its farthest symbol.

    The root of a chain, its empty context, has the index of the chain.  The parent of a longer
    context is the context without its farthest symbol.

    parent (N,) of each node, -1 of roots; key (N - roots,) = parent * symbols + farthest symbol,
    sorted; gram (G,) = node * symbols + symbol, sorted, with count (G,); total (N,) counts of a
    node; own (N,) its weight against its parent.
    """

    def __init__(self, grams: Tensor, count: Tensor, symbols: int, roots: int, lam: float | None):
        self.symbols, self.roots, self.depth = symbols, roots, grams.shape[1] - 1
        node, nodes, new = grams[:, 0], roots, _changes(grams[:, 0])
        keys, values, counts = [], [node * symbols + grams[:, -1]], []
        for column in grams.T[1:-1]:
            new = new | _changes(column)
            keys.append((node * symbols + column)[new])
            node, nodes = nodes + new.cumsum(0) - 1, nodes + len(keys[-1])
            values.append(node * symbols + grams[:, -1])
        for level in values:
            ranked, row = level.sort(stable=True)
            first = _changes(ranked)
            counts.append(_sums(count[row], first))
            keys.append(ranked[first])
        self.key, self.gram = (
            torch.cat(keys[: self.depth - 1] or [node[:0]]),
            torch.cat(keys[self.depth - 1 :]),
        )
        self.count, at = torch.cat(counts), self.gram // symbols
        self.total = count.new_zeros(nodes).index_add(0, at, self.count)
        types = torch.bincount(at, minlength=nodes)
        self.first = pad(types.cumsum(0), (1, 0))  # where the symbols of each node begin, (N + 1,)
        own = self.total / (self.total + types) if lam is None else torch.full_like(self.total, lam)
        self.own = torch.where(self.total > 0, own, 0.0)

    @cached_property
    def reach(self) -> Tensor:
        """Stacked distribution functions of relative frequency, (G,): node c from c to c + 1."""
        at, climb = self.gram // self.symbols, self.count.cumsum(0)
        below = (climb - self.count)[self.first[at]]
        reach = at + ((climb - below) / self.total[at]).clamp_max(1)
        reach[self.first[1:][self.first[1:] > self.first[:-1]] - 1] = (
            torch.unique(at) + 1
        ).double()
        return reach

    def path(self, root: Tensor, before: Tensor) -> Tensor:
        """Nodes of the contexts of each row, (M, depth), shortest first, -1 for unseen ones.

        root (M,): the chain; before (M, depth - 1): the last symbols, nearest first.
        """
        nodes = [root]
        for symbol in before.unbind(-1):
            place, there = _find(self.key, nodes[-1] * self.symbols + symbol)
            nodes.append(torch.where(there & (nodes[-1] >= 0), self.roots + place, -1))
        return torch.stack(nodes, -1)

    def probability(self, path: Tensor, symbol: Tensor) -> Tensor:
        """p of symbols (M,) after contexts (M, depth), (M,) float64."""
        p = torch.full(symbol.shape, 1 / self.symbols, dtype=torch.float64, device=symbol.device)
        for node in path.unbind(-1):
            place, there = _find(self.gram, node * self.symbols + symbol)
            own = torch.where(node >= 0, self.own[node], 0.0)
            share = torch.where(there, self.count[place] / self.total[node], 0.0)
            p = torch.where(own > 0, own * share, 0.0) + (1 - own) * p
        return p

    def rows(self, path: Tensor) -> Tensor:
        """p of all symbols after contexts (M, depth), (M, symbols) float64.

        Contexts that agree in their last symbols share the rows of the shorter contexts.
        """
        p = torch.full((1, self.symbols), 1 / self.symbols, dtype=torch.float64, device=path.device)
        parent = torch.zeros_like(path[:, 0])
        for depth, node in enumerate(path.unbind(-1), 1):
            which = parent
            if depth < path.shape[-1]:
                # the longest context that was read determines all shorter ones
                some, which = _firsts(path[:, :depth].amax(-1))
                node, parent = node[some], parent[some]
            p = p[parent]
            own = torch.where(node >= 0, self.own[node], 0.0)
            p *= (1 - own)[:, None]
            many = torch.where(own > 0, self.first[node + 1] - self.first[node], 0)
            row = torch.repeat_interleave(many)
            at = (
                torch.arange(len(row), device=path.device)
                - (many.cumsum(0) - many)[row]
                + self.first[node[row]]
            )
            p.view(-1).scatter_add_(
                0,
                row * self.symbols + self.gram[at] % self.symbols,
                (own / self.total[node])[row] * self.count[at],
            )
            parent = which
        return p

    def draw(self, path: Tensor, u: Tensor) -> Tensor:
        """A symbol after each context (M, depth) by uniform ``u (M,)``.

        The longest context is tried first; it passes the remaining probability on to the next
        shorter one.
        """
        node = torch.full_like(path[:, 0], -1)  # the context that draws it; -1: none, uniform
        for longer in path.flip(-1).unbind(-1):
            own = torch.where((longer >= 0) & (node < 0), self.own[longer], 0.0)
            taken = u < own
            u = torch.where(taken, u / own, torch.where(node < 0, (u - own) / (1 - own), u))
            node = torch.where(taken, longer, node)
        u = u.clamp(0, 1 - 2**-53)
        height = torch.minimum(node + u, torch.nextafter(node + 1.0, node.double()))
        place = torch.searchsorted(self.reach, height, right=True).clamp_max(len(self.gram) - 1)
        return torch.where(node >= 0, self.gram[place] % self.symbols, (u * self.symbols).long())


def _firsts(key: Tensor) -> tuple[Tensor, Tensor]:
    """(a place of each distinct key, which of them is at each place); sorted by key."""
    values, which = torch.unique(key, return_inverse=True)
    places = torch.arange(len(which), device=which.device)
    return torch.zeros_like(values).scatter_(0, which, places), which


def _find(keys: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """(position of each key among sorted ``keys``, whether it is there)."""
    if not len(keys):
        return torch.zeros_like(key), torch.zeros_like(key, dtype=torch.bool)
    place = torch.searchsorted(keys, key).clamp_max(len(keys) - 1)
    return place, keys[place] == key


# -- the teacher -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class NGramTeacher(Teacher):
    """grams (U, order + 1) int64: chain, context, nearest symbol first, symbol; count (U,).

    It writes ``length`` tokens at most.  ``blend`` adds counts, (1 - w) of its own and w of the
    other's:  what would be learnt from both corpora at these weights.  With w < 0 the other's
    counts, scaled to the same mass, are subtracted; nothing is left of counts below 0 or 0.
    ``redraw`` goes from left to right, draws each marked token given those before it, and leaves
    the length of a text as it is.
    """

    grams: Tensor
    count: Tensor
    labels: int
    length: int
    chain_shape: tuple[int, ...]
    lam: float | None  # None: Witten and Bell
    decoding: Decoding = PLAIN

    @cached_property
    def trie(self) -> Trie:
        return Trie(self.grams, self.count, self.labels + 1, prod(self.chain_shape), self.lam)

    @cached_property
    def kept(self) -> KeptLaws:
        return KeptLaws(len(self.trie.total), self.labels + 1, self.grams.device)

    @property
    def order(self) -> int:
        return self.grams.shape[1] - 1

    def __getstate__(self):
        made = ("trie", "kept")  # from the counts, when they are needed
        return {name: value for name, value in self.__dict__.items() if name not in made}

    def decoded(self, temperature=None, top_p=None, top_k=None, min_p=None, processor=None):
        settings = {
            "temperature": temperature,
            "top_p": top_p,
            "top_k": top_k,
            "min_p": min_p,
            "processor": processor,
        }
        return replace(self, decoding=self.decoding.then(**settings))

    def blend(self, other: NGramTeacher, w: float) -> NGramTeacher:
        theirs = other.count
        if w < 0:
            chains = prod(self.chain_shape)
            mass = [
                torch.bincount(t.grams[:, 0], t.count, minlength=chains).double()
                for t in (self, other)
            ]
            theirs = theirs * (mass[0] / mass[1].clamp_min(1e-300))[other.grams[:, 0]]
        both = torch.cat([self.grams, other.grams])
        terms = torch.cat([(1 - w) * self.count, w * theirs])
        grams, count = _summed(both, terms, self.labels + 1)
        size = count if 0 <= w <= 1 else _summed(both, terms.abs(), self.labels + 1)[1]
        left = remains(count, size)
        return replace(self, grams=grams[left], count=count[left])

    def answer(self, x, rng):
        n = x.shape[-2]
        texts = _Texts(self, x, n)
        u = rng.uniform(n, self.length).reshape(-1, self.length)
        for i in range(self.length):
            rows = texts.open()
            if not len(rows):
                break
            path = texts.path(rows, i)
            if self.decoding.plain:
                texts.write(rows, i, self.trie.draw(path, u[rows, i]))
                continue
            if self.decoding.processor is None:
                texts.write(rows, i, self._draw(path, u[rows, i]))
                continue
            for some, law, index in self._laws(path, texts.context(rows, i)):
                texts.write(rows[some], i, _drawn(law, index, u[rows[some], i]))
        return texts.y.reshape(*x.shape[:-1], self.length)

    def logp(self, x, y):
        texts, values = (
            _Texts(self, x, x.shape[-2], y),
            torch.zeros(y.shape, dtype=torch.float64, device=y.device),
        )
        events, table = events_of(y).reshape(texts.y.shape), values.view(texts.y.shape)
        for rows, i in texts.positions(events, apart=self.decoding.processor is not None):
            path, symbol = texts.path(rows, i), texts.symbol(rows, i)
            if self.decoding.plain:
                table[rows, i] = self.trie.probability(path, symbol).log()
                continue
            logp = torch.empty(len(rows), dtype=torch.float64, device=y.device)
            for some, law, index in self._laws(path, texts.context(rows, i)):
                logp[some] = law[index, symbol[some]]
            table[rows, i] = logp
        return values

    def redraw(self, x, y, mask, rng):
        n, L = y.shape[-2:]
        texts, u = _Texts(self, x, n, y), rng.uniform(n, L).reshape(-1, L)
        marked = (mask & (y >= 0)).reshape(texts.y.shape)
        for i in range(L):
            rows = torch.nonzero(marked[:, i])[:, 0]
            for some, law, index in self._laws(texts.path(rows, i), texts.context(rows, i)):
                tokens = law[:, : self.labels].clone()  # a redrawn token is never the end
                lost = (tokens.amax(-1) == -torch.inf)[index]
                chosen = rows[some][~lost]
                texts.write(chosen, i, _drawn(tokens, index[~lost], u[chosen, i]))
        return texts.y.reshape(y.shape)

    def _draw(self, path: Tensor, u: Tensor) -> Tensor:
        """A symbol after each context by uniform ``u``; the decoded law of a context is computed
        once, as far as the laws that are kept have room."""
        some, which = _firsts(path.amax(-1))
        node, step, kept = path[some].amax(-1), self._step, self.kept
        symbol = torch.empty_like(which)
        for new in torch.nonzero(kept.place[node] < 0)[:, 0].split(step):
            reach = _reach(self.decoding.apply(self.trie.rows(path[some[new]]).log()))
            if not kept.keep(node[new], reach):
                place = torch.full_like(node, -1)
                place[new] = torch.arange(len(new), device=new.device)
                rows = torch.nonzero(place[which] >= 0)[:, 0]
                symbol[rows] = _found(reach, place[which[rows]], which[rows] % step, u[rows])
        place = kept.place[node][which]
        rows = torch.nonzero(place >= 0)[:, 0]
        symbol[rows] = _found(kept.reach, place[rows], which[rows] % step, u[rows])
        return symbol

    @property
    def _step(self) -> int:
        """Contexts per chunk."""
        return max(1, BUDGET // (self.labels + 1))

    def _laws(
        self, path: Tensor, context: Tensor | None
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """(rows, log-probabilities (c, symbols), index): decoded distributions of contexts.

        ``index`` maps rows to the table.  Equal contexts share a row, unless a processor reads the
        whole prefix; a processor with ``only_last`` only reads the last position.
        """
        # the longest context determines all shorter ones
        processor, node = self.decoding.processor, path.amax(-1)
        if processor is None or getattr(processor, "only_last", False):
            if processor is not None and context is not None and context.shape[-1]:
                node = node * (self.labels + 1) + context[:, -1] + 1
            row, which = _firsts(node)
            path, context = path[row], None if context is None else context[row]
        else:
            which = torch.arange(len(path), device=path.device)
        step = self._step
        for begin in range(0, len(path), step):
            some = slice(begin, begin + step)
            law = self.decoding.apply(
                self.trie.rows(path[some]).log(), None if context is None else context[some]
            )
            rows = torch.nonzero((which >= begin) & (which < begin + step))[:, 0]
            yield rows, law, which[rows] - begin


class KeptLaws:
    """Distribution functions of decoded laws by context; ``place (N,)`` of each node, -1 for none.

    The room is taken from the memory only as far as it is used.
    """

    def __init__(self, nodes: int, symbols: int, device: torch.device):
        self.place = torch.full((nodes,), -1, dtype=torch.int64, device=device)
        room = min(nodes, KEPT // symbols)
        self.reach = torch.empty(room, symbols, dtype=torch.float64, device=device)
        self.used = 0

    def keep(self, node: Tensor, reach: Tensor) -> bool:
        """Keep the functions (c, symbols) of these nodes; False where there is no room for all."""
        end = self.used + len(node)
        if end > len(self.reach):
            return False
        self.reach[self.used : end] = reach
        self.place[node] = torch.arange(self.used, end, device=node.device)
        self.used = end
        return True


class _Texts:
    """Unfinished texts y (B n, L), -1 for positions not yet generated, and their contexts."""

    def __init__(self, teacher: NGramTeacher, x: Tensor, n: int, y: Tensor | None = None):
        self.labels, self.order, self.trie = teacher.labels, teacher.order, teacher.trie
        self.asked = teacher.decoding.processor is not None
        self.x = x.flatten(0, -2)
        length = teacher.length if y is None else y.shape[-1]
        y = x.new_full((*x.shape[:-1], length), -1, dtype=torch.int64) if y is None else y
        self.symbols = _padded(x, y, self.order, self.labels).flatten(0, -2)
        self.root = torch.arange(len(self.x), device=x.device) // max(1, n)
        self.ended = torch.zeros_like(self.root, dtype=torch.bool)

    @property
    def y(self) -> Tensor:
        texts = self.symbols[:, self.order - 1 :]
        return torch.where(texts < self.labels, texts, -1)

    def open(self) -> Tensor:
        """Indices of the texts that have not ended."""
        return torch.nonzero(~self.ended)[:, 0]

    def write(self, rows: Tensor, i: int, symbol: Tensor) -> None:
        self.symbols[rows, self.order - 1 + i] = symbol
        self.ended[rows] = symbol == self.labels

    def symbol(self, rows: Tensor, i: int | Tensor) -> Tensor:
        return self.symbols[rows, self.order - 1 + i]

    def path(self, rows: Tensor, i: int | Tensor) -> Tensor:
        """The nodes of the contexts at place i of these texts."""
        before = [self.symbols[rows, self.order - 1 + i - back] for back in range(1, self.order)]
        return self.trie.path(
            self.root[rows], torch.stack(before, -1) if before else rows.new_empty(len(rows), 0)
        )

    def context(self, rows: Tensor, i: int) -> Tensor | None:
        """Question and answer before place i, (rows, P + i), where a processor reads it."""
        return torch.cat([self.x[rows], self.y[rows, :i]], -1) if self.asked else None

    def positions(self, events: Tensor, apart: bool) -> Iterator[tuple[Tensor, int | Tensor]]:
        """(texts, positions) of all events (B n, L), at once or position by position."""
        if not apart:
            at = torch.nonzero(events)
            yield at[:, 0], at[:, 1]
            return
        for i in range(events.shape[-1]):
            yield torch.nonzero(events[:, i])[:, 0], i


def _drawn(law: Tensor, index: Tensor, u: Tensor) -> Tensor:
    """A symbol for each row of log-probabilities (c, symbols), which need not be normalised."""
    return _found(_reach(law), index, index, u)


def _reach(law: Tensor) -> Tensor:
    """Distribution functions of log-probabilities (c, symbols), which need not be normalised."""
    reach = (law - law.amax(-1, keepdim=True)).exp().cumsum(-1)
    return reach / reach[:, -1:]


def _found(reach: Tensor, row: Tensor, offset: Tensor, u: Tensor) -> Tensor:
    """The symbol at height u in each row of distribution functions (c, symbols), by bisection.

    ``offset`` is added to both before they are compared, which rounds them: draws are those of a
    search in functions that are stacked.
    """
    height = torch.minimum(offset + u, torch.nextafter(offset + 1.0, offset.double()))
    symbols = reach.shape[-1]
    low, high = torch.zeros_like(row), torch.full_like(row, symbols - 1)
    for _ in range((symbols - 1).bit_length()):
        middle = (low + high) // 2
        below = reach.view(-1)[row * symbols + middle] + offset <= height
        low, high = torch.where(below, middle + 1, low), torch.where(below, high, middle)
    return low


@hookimpl
def collapse_models():
    return {"ngram": NGram}
