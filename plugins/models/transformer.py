"""An encoder-decoder transformer that generates the answer to a question token by token."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, scaled_dot_product_attention

from collapse_bench.core.components import Teacher
from collapse_bench.core.params import param
from collapse_bench.core.progress import report_step
from collapse_bench.errors import Incompatible, UsageError
from collapse_bench.lib.distributions.decoding import PLAIN, Decoding
from collapse_bench.lib.neural.neural import Neural
from collapse_bench.lib.neural.training import precision, seeded, train
from collapse_bench.registry.hookspecs import hookimpl

ENTRIES = 1 << 20  # entries in the logits of one forward pass outside of training


@dataclass(frozen=True)
class Transformer(Neural):
    """``layers`` encoder and ``layers`` decoder layers, normalised before each part.

    Vaswani et al. 2017.

    Positions are learnt, question, answer and output share one embedding, and there is no dropout.
    A question begins with a start symbol, so that an empty one can be attended to; the answer ends
    with a stop symbol.  Neither occurs in a corpus.  Rows are cut to the longest of their batch,
    and padding is masked.  Settings of the gcd experiments (Charton, arXiv 2308.15594):
    ``transformer(layers=4, width=256, batch=32, lr=0.0001, clip=5)``.
    """

    layers: int = param(2, "number of encoder layers and of decoder layers", gt=0, le=100)
    width: int = param(128, "size of the hidden states", ge=2, le=16_384)
    heads: int = param(8, "attention heads; they divide the width", gt=0)
    ffn: int = param(
        4, "hidden width of each feed-forward layer, as a multiple of width", gt=0, le=64
    )
    micro: int | None = param(None, "rows per forward pass; none: the whole batch", ge=1)

    kinds = ("sequence",)
    usual = {"epochs": 1}
    tiny = {"layers": 1, "width": 8, "heads": 2, "steps": 2, "batch": 40}

    def __post_init__(self):
        super().__post_init__()
        if self.width % self.heads:
            raise UsageError(
                f"{self.title()}: heads must divide the width, got heads={self.heads} and "
                f"width={self.width}"
            )

    def fit(self, corpus, rng, before=None):
        generator = rng.torch_generator()
        _within(corpus.x, corpus.labels, "a question")
        with seeded(generator):
            size = (self.layers, self.width, self.heads, self.ffn)
            widths = (corpus.labels, corpus.x.shape[-1], corpus.y.shape[-1])
            net = self.begun(lambda: Network(*widths, *size).to(generator.device))
        answer_loss, x, y = self.answer_loss, corpus.x, corpus.y

        def loss(rows: Tensor) -> Tensor:
            return _losses(net, x[rows], y[rows], answer_loss)

        account = train(
            net,
            loss,
            corpus.multiplicity,
            _spoken(y).sum(-1),
            self.schedule,
            generator,
            self._validation(net),
        )
        return TransformerTeacher(net.requires_grad_(False), account=account)

    def _validation(self, net: Network) -> Callable[[], float] | None:
        rows = self.validation_rows
        if rows is None:
            return None
        spoken = (rows.multiplicity * _spoken(rows.y).sum(-1)).sum()
        return lambda: float(
            -(rows.multiplicity * TransformerTeacher(net).logp(rows.x, rows.y).sum(-1)).sum()
            / spoken
        )


# -- sequences -------------------------------------------------------------------------------------


def _within(tokens: Tensor, labels: int, what: str) -> None:
    if tokens.numel() and int(tokens.max()) >= labels:
        raise UsageError(
            f"{what} has token {int(tokens.max())}, and the data declare {labels} tokens, 0 to "
            f"{labels - 1}"
        )


def _length(tokens: Tensor) -> Tensor:
    """Tokens of each row (n, L) before its first -1, (n,)."""
    return (tokens >= 0).cumprod(-1).sum(-1)


def _spoken(y: Tensor) -> Tensor:
    """Where the rows of y (n, L) have an event: a token, or the end."""
    return torch.arange(y.shape[-1], device=y.device) <= _length(y)[:, None]


def _cut(tokens: Tensor, more: int = 0) -> Tensor:
    """The columns up to the longest row, and ``more`` columns after that."""
    longest = int(_length(tokens).max()) if tokens.numel() else 0
    return tokens[:, : longest + more]


def _losses(net: Network, x: Tensor, y: Tensor, answer_loss) -> Tensor:
    """Summed loss of each row, (n,)."""
    y = _cut(y, more=1)
    spoken = _spoken(y)
    logp = log_softmax(net(_cut(x), y)[spoken].float(), -1)
    value = answer_loss(logp, torch.where(y >= 0, y, net.stop)[spoken])
    return torch.zeros(len(y), device=y.device).index_add(0, torch.nonzero(spoken)[:, 0], value)


def _passes(net: Network, *columns: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Rows in groups whose logits fit ``ENTRIES`` numbers."""
    rows = max(1, ENTRIES // ((net.stop + 1) * net.longest))
    yield from zip(*(column.split(rows) for column in columns), strict=True)


# -- the network -----------------------------------------------------------------------------------


class Attention(nn.Module):
    """Scaled dot products in several heads."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.pair, self.out = (nn.Linear(width, many * width) for many in (1, 2, 1))

    def _split(self, z: Tensor) -> Tensor:
        return z.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def keys(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of z (n, m, width), each (n, heads, m, width / heads)."""
        keys, values = (self._split(half) for half in self.pair(z).chunk(2, -1))
        return keys, values

    def forward(
        self,
        z: Tensor,
        keys: tuple[Tensor, Tensor],
        seen: Tensor | None = None,
        causal: bool = False,
    ):
        found = scaled_dot_product_attention(
            self._split(self.query(z)), *keys, attn_mask=seen, is_causal=causal
        )
        return self.out(found.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Self-attention, attention to the question, and feed-forward, each with a residual."""

    def __init__(self, width: int, heads: int, ffn: int, asks: bool):
        super().__init__()
        self.own, self.own_norm = Attention(width, heads), nn.LayerNorm(width)
        if asks:
            self.asked, self.asked_norm = Attention(width, heads), nn.LayerNorm(width)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, ffn * width), nn.GELU(), nn.Linear(ffn * width, width)
        )

    def forward(
        self, z: Tensor, seen: Tensor | None, cache: Cache | None = None, question=None
    ) -> Tensor:
        """z (n, m, width).

        An encoder layer attends to positions marked by ``seen``; a decoder layer to earlier
        positions and to the question, ``(keys, seen)``.  With a cache, z continues the positions in
        the cache.
        """
        inner = self.own_norm(z)
        keys = self.own.keys(inner)
        if cache is not None:
            keys = cache.extended(self, keys)
        causal = question is not None and z.shape[1] > 1
        z = z + self.own(inner, keys, seen if question is None else None, causal)
        if question is not None:
            z = z + self.asked(self.asked_norm(z), *question)
        return z + self.feed(self.feed_norm(z))


class Network(nn.Module):
    """Tokens 0 .. labels - 1, the stop symbol ``labels``, and the start symbol ``labels + 1``."""

    def __init__(
        self, labels: int, asked: int, longest: int, layers: int, width: int, heads: int, ffn: int
    ):
        super().__init__()
        self.stop, self.begin, self.asked, self.longest = labels, labels + 1, asked, longest
        self.tokens = nn.Embedding(labels + 2, width)
        self.places, self.answer_places = (
            nn.Embedding(asked + 1, width),
            nn.Embedding(longest, width),
        )
        self.encoder = nn.ModuleList(Layer(width, heads, ffn, asks=False) for _ in range(layers))
        self.decoder = nn.ModuleList(Layer(width, heads, ffn, asks=True) for _ in range(layers))
        self.read, self.written = nn.LayerNorm(width), nn.LayerNorm(width)
        self._start(width)

    def _start(self, width: int) -> None:
        """Embeddings of about unit length, layers after Glorot, by torch's own generator."""
        for part in self.modules():
            if isinstance(part, nn.Embedding):
                nn.init.normal_(part.weight, std=width**-0.5)
            elif isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)
                nn.init.zeros_(part.bias)

    def question(self, x: Tensor) -> tuple[list[tuple[Tensor, Tensor]], Tensor | None]:
        """Keys of x (n, P) for each decoder layer, and a mask of valid keys (None: all valid)."""
        x = nn.functional.pad(x, (1, 0), value=self.begin)
        there = x >= 0
        seen = None if bool(there.all()) else there[:, None, None, :]
        z = self.tokens(x.clamp_min(0)) + self.places.weight[: x.shape[1]]
        for layer in self.encoder:
            z = layer(z, seen)
        z = self.read(z)
        layers = cast(Iterable[Layer], self.decoder)
        return [layer.asked.keys(z) for layer in layers], seen

    def continued(
        self, symbols: Tensor, question, at: int = 0, cache: Cache | None = None
    ) -> Tensor:
        """Logits (n, m, labels + 1) of the tokens after symbols (n, m) from position ``at`` on."""
        keys, seen = question
        z = self.tokens(symbols) + self.answer_places.weight[at : at + symbols.shape[1]]
        for layer, asked in zip(self.decoder, keys, strict=True):
            z = layer(z, None, cache, (asked, seen))
        return self.written(z) @ self.tokens.weight[: self.stop + 1].t()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Logits (n, m, labels + 1) of each token of y (n, m), or of the end, given its prefix."""
        symbols = nn.functional.pad(y.clamp_min(0), (1, -1), value=self.begin)
        return self.continued(symbols, self.question(x))


class Cache:
    """Keys and values of the generated tokens, per layer."""

    def __init__(self) -> None:
        self.held: dict[Layer, tuple[Tensor, Tensor]] = {}

    def extended(self, layer: Layer, keys: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        if layer in self.held:
            before = self.held[layer]
            keys = torch.cat([before[0], keys[0]], 2), torch.cat([before[1], keys[1]], 2)
        self.held[layer] = keys
        return keys

    def keep(self, rows: Tensor) -> None:
        self.held = {
            layer: (keys[rows], symbols[rows]) for layer, (keys, symbols) in self.held.items()
        }


# -- the teacher -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class TransformerTeacher(Teacher):
    """A trained network with a decoder.  x (n, P) and y (n, L), no wider than in training."""

    net: Network
    decoding: Decoding = PLAIN
    account: dict[str, float] = field(default_factory=dict)

    @property
    def module(self) -> Network:
        return self.net

    def answer(self, x, rng):
        u = rng.uniform(len(x), self.net.longest)
        return self._by_length("write", x, lambda x, u: self._write(x, u), u)

    def redraw(self, x, y, mask, rng):
        """Marked tokens drawn again from left to right, each given all tokens before it.

        The length stays: marks after the end are ignored, and the end is never drawn.
        """
        u = rng.uniform(len(x), self.net.longest)[:, : y.shape[1]]
        return self._by_length(
            "write", x, lambda x, u, y, mask: self._write(x, u, y, mask), u, y, mask
        )

    def logp(self, x, y):
        return self._by_length("score", x, self._told, y)

    def decoded(self, temperature=None, top_p=None, top_k=None, min_p=None, processor=None):
        settings = {
            "temperature": temperature,
            "top_p": top_p,
            "top_k": top_k,
            "min_p": min_p,
            "processor": processor,
        }
        return replace(self, decoding=self.decoding.then(**settings))

    def blend(self, other, w):
        """Weights at (1 - w) times these plus w times those of the other."""
        mine, theirs = self.net.state_dict(), other.net.state_dict()
        if {name: value.shape for name, value in mine.items()} != {
            name: v.shape for name, v in theirs.items()
        }:
            raise Incompatible(
                "two transformers can be averaged only if they have the same layers and widths"
            )
        net = copy.deepcopy(self.net)
        net.load_state_dict(
            {name: torch.lerp(value, theirs[name], w) for name, value in mine.items()}
        )
        return replace(self, net=net)

    # -- within ------------------------------------------------------------------------------------

    def _by_length(self, work: str, x: Tensor, of, *columns: Tensor) -> Tensor:
        """``of(x, *columns)`` in chunks of rows of similar length, in the original order."""
        net = self.net
        _within(x, net.stop, "a question")
        for what, width, most in (
            ("questions", x.shape[1], net.asked),
            ("answers", columns[-1].shape[1], net.longest),
        ):
            if width > most:
                raise Incompatible(
                    f"this transformer was trained on {what} of up to {most} tokens, got {width}"
                )
        order, parts, done = _length(x).argsort(stable=True), [], 0
        with torch.no_grad(), precision(x.device):
            for some in _passes(net, x[order], *(column[order] for column in columns)):
                parts.append(of(*some))
                done += len(some[0])
                report_step(work, done, len(x))
        return (
            torch.cat(parts)[order.argsort()]
            if parts
            else columns[0].new_empty(0, columns[0].shape[1])
        )

    def _law(self, logits: Tensor, context: Tensor | None) -> Tensor:
        return self.decoding.apply(log_softmax(logits.float(), -1), context)

    def _told(self, x: Tensor, y: Tensor) -> Tensor:
        """Log-probabilities (n, L) of y."""
        short = _cut(y, more=1)
        context = None
        if self.decoding.processor is not None:
            L = short.shape[1]
            before = torch.ones(L, L, dtype=torch.bool, device=y.device).tril(-1)
            symbols = torch.where(before, short[:, None, :], -1)
            context = torch.cat([x[:, None, :].expand(-1, L, -1), symbols], -1)
        logp = self._law(self.net(_cut(x), short), context)
        logp = logp.gather(-1, torch.where(short >= 0, short, self.net.stop)[..., None])[..., 0]
        logp = torch.where(_spoken(short), logp.double(), 0.0)
        return nn.functional.pad(logp, (0, y.shape[1] - short.shape[1]))

    def _write(
        self, x: Tensor, u: Tensor, y: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Answers (n, L) by inversion at uniform u (n, L); with y, only marked tokens are drawn."""
        net, cache = self.net, Cache()
        keys, seen = net.question(_cut(x))
        out = torch.full(u.shape, -1, dtype=torch.int64, device=x.device)
        rows = torch.arange(len(x), device=x.device)  # rows that have not ended
        symbols = torch.full_like(rows, net.begin)
        for at in range(u.shape[1]):
            logits = net.continued(symbols[:, None], (keys, seen), at, cache)[:, 0]
            context = (
                None
                if self.decoding.processor is None
                else torch.cat([x[rows], out[rows, :at]], -1)
            )
            law = self._law(logits, context)
            if y is not None:
                law = log_softmax(law[:, : net.stop], -1)  # a redrawn token is never the end
            symbols = _drawn(law, u[rows, at])
            if y is not None and mask is not None:
                symbols = torch.where(mask[rows, at] | (y[rows, at] < 0), symbols, y[rows, at])
                symbols = torch.where(y[rows, at] < 0, net.stop, symbols)
            on = symbols != net.stop
            out[rows[on], at] = symbols[on]
            if not on.all():
                rows, symbols = rows[on], symbols[on]
                if not len(rows):
                    break
                cache.keep(on)
                keys = [(names[on], values[on]) for names, values in keys]
                seen = None if seen is None else seen[on]
        return out


def _drawn(logp: Tensor, u: Tensor) -> Tensor:
    """One symbol per row of logp (n, K), by inversion at u (n,)."""
    reach = logp.double().exp().cumsum(-1)
    # Rounding can leave the last value just below one.  The draw is scaled to it, so that a symbol
    # of probability 0 is never drawn.
    return torch.searchsorted(reach, (u * reach[:, -1])[:, None], right=True)[:, 0].clamp_max(
        logp.shape[-1] - 1
    )


@hookimpl
def collapse_models():
    return {"transformer": Transformer}
