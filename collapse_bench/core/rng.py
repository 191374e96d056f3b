"""Random numbers, one key per chain: a draw is a pure function of (seed, path of names, position).

A draw depends neither on which other chains are drawn at the same time nor on the number of rows.
So chain 5 gets the same numbers by itself, among hundreds, in another shard and after a resume, and
the first k rows of a draw are the same for every n >= k.

Bits come from the SplitMix64 finaliser (Steele, Lea and Flood, OOPSLA 2014, with Stafford's variant
13 constants) over a counter, under a 128-bit key: one half sets the start of the counter, the other
is injected between the two multiplications, so that two streams whose counters happen to overlap
still differ.  For 100 chains of 100 normals this takes 45 us in numpy; a native generator whose
state is set per chain takes 350 us.  Distributions that only numpy can draw (multinomial,
hypergeometric) use its Philox generator per chain, with the same key.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ..errors import Incompatible
from .renamed import OldName

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S12, _S27, _S30, _S31 = (np.uint64(s) for s in (12, 27, 30, 31))
_BLOCK = 1 << 15  # words per pass: small enough to stay in cache
_COUNTER = np.arange(_BLOCK, dtype=np.uint64) * _GAMMA

Words = NDArray[np.uint64]


def _finalise(z: Words, middle: Words | np.uint64) -> Words:
    """Mix the words of ``z`` in place; ``middle`` enters between the two multiplications."""
    shifted = z >> _S30
    z ^= shifted
    z *= _M1
    z ^= middle
    np.right_shift(z, _S27, out=shifted)
    z ^= shifted
    z *= _M2
    np.right_shift(z, _S31, out=shifted)
    z ^= shifted
    return z


def _seed_words(seeds: Words) -> tuple[Words, Words]:
    zero = np.uint64(0)
    first = _finalise(seeds + _GAMMA, zero)
    second = _finalise(seeds * _M2 + _GAMMA, zero)
    return first, second


def _hashed(first: Words, second: Words, path: str) -> tuple[Words, Words]:
    """The keys of the streams under these keys at a path, by a hash that cannot be inverted."""
    text = path.encode("utf-8", "surrogatepass")
    keys = np.stack([first, second], -1).astype("<u8")
    digests = b"".join(blake2b(text, key=key.tobytes(), digest_size=16).digest() for key in keys)
    words = np.frombuffer(digests, "<u8").astype(np.uint64).reshape(-1, 2)
    return words[:, 0].copy(), words[:, 1].copy()


class Stream:
    """A source of random numbers for chains of shape ``R`` (any shape, also ``()``).

    Every draw has shape ``R + shape``: the author writes the shape of one chain.  Two draws from
    one stream differ; ``at(name)`` forks a stream whose numbers depend on the name and not on what
    was drawn before.
    """

    batch = OldName("batch", "chain_shape")
    __slots__ = ("_calls", "_first", "_one_way", "_second", "chain_shape", "device", "path")

    def __init__(self, seeds: ArrayLike, path: str = "", device: str | torch.device = "cpu"):
        """``seeds``: integers in [0, 2^63), one per chain, of any shape; an int gives shape ()."""
        numbers = np.asarray(seeds, dtype=np.int64)
        if numbers.size and numbers.min() < 0:
            raise ValueError(f"seeds must lie in [0, 2^63), got {int(numbers.min())}")
        flat = numbers.reshape(-1).astype(np.uint64)
        self._first, self._second = _seed_words(flat)
        self.chain_shape, self.path, self.device, self._calls = numbers.shape, path, device, 0
        self._one_way = False

    def _sibling(
        self, first: Words, second: Words, chain_shape: tuple[int, ...], path: str
    ) -> Stream:
        twin = object.__new__(Stream)
        twin._first, twin._second, twin.chain_shape = first, second, chain_shape
        twin.path, twin.device, twin._calls = path, self.device, 0
        twin._one_way = self._one_way
        return twin

    def at(self, *names: object) -> Stream:
        """The stream under this one with these ``names``; always the same numbers."""
        path = "/".join((self.path, *map(str, names)))
        if self._one_way:
            first, second = _hashed(self._first, self._second, path)
            return self._sibling(first, second, self.chain_shape, "")
        return self._sibling(self._first, self._second, self.chain_shape, path)

    def one_way(self) -> Stream:
        """The same chains with other numbers, where the key of a stream below says nothing about
        the keys above it and next to it.

        Ordinary streams share one key, which can be computed back from what they draw.  Whoever
        holds a stream of a one-way kind, or its draws, cannot find the truth.  Each fork costs a
        hash per chain (BLAKE2b, RFC 7693, with the key of the stream as its key).
        """
        first, second = _hashed(self._first, self._second, f"one-way {self.path}")
        twin = self._sibling(first, second, self.chain_shape, "")
        twin._one_way = True
        return twin

    def __getitem__(self, index: Any) -> Stream:
        """The stream of some chains: they draw what they would have drawn among the others."""
        pick = np.arange(self._first.size).reshape(self.chain_shape)[index]
        flat = np.asarray(pick).reshape(-1)
        twin = self._sibling(self._first[flat], self._second[flat], np.shape(pick), self.path)
        twin._calls = self._calls
        return twin

    def _key(self) -> tuple[Words, Words]:
        digest = blake2b(f"{self.path}#{self._calls}".encode(), digest_size=16).digest()
        self._calls += 1
        words = np.frombuffer(digest, "<u8")
        return self._first ^ words[0], self._second ^ words[1]

    def _words(
        self, n: int, kernel: Callable[[Words, NDArray[Any]], object], out: NDArray[Any]
    ) -> NDArray[Any]:
        """Fill ``out (chains, n, ...)`` with ``kernel`` of n random words per chain.

        It works in blocks that stay in the cache.
        """
        first, second = self._key()
        step = max(1, min(n, _BLOCK))
        rows = max(1, _BLOCK // step)
        for r in range(0, first.size, rows):
            start, middle = first[r : r + rows, None], second[r : r + rows, None]
            for i in range(0, n, step):
                width = min(step, n - i)
                z = np.add(
                    start + np.uint64((i * int(_GAMMA)) & 0xFFFFFFFFFFFFFFFF), _COUNTER[:width]
                )
                kernel(_finalise(z, middle), out[r : r + rows, i : i + width])
        return out

    def _tensor(self, flat: np.ndarray, shape: tuple[int, ...]) -> torch.Tensor:
        out = torch.from_numpy(flat.reshape((*self.chain_shape, *shape)))
        return out if self.device == "cpu" else out.to(self.device)

    def _uniform(self, n: int) -> np.ndarray:
        return self._words(n, _to_uniform, np.empty((self._first.size, n)))

    def _normal(self, n: int) -> np.ndarray:
        pairs = (n + 1) // 2
        out = self._words(pairs, _to_normal, np.empty((self._first.size, pairs, 2), np.float32))
        return out.reshape(self._first.size, -1)[:, :n]

    def uniform(self, *shape: int) -> torch.Tensor:
        """Uniform on the open interval (0, 1), ``R + shape``, float64 with 52 random bits."""
        return self._tensor(self._uniform(math.prod(shape)), shape)

    def normal(self, *shape: int) -> torch.Tensor:
        """Standard normal, ``R + shape``, float32; tails to 6.7 sigma (Box-Muller on 32 bits).

        Meant for large draws: scale them in float64, so that rows keep their precision when a
        variance has collapsed.
        """
        return self._tensor(np.ascontiguousarray(self._normal(math.prod(shape))), shape)

    def integers(self, high: int, *shape: int) -> torch.Tensor:
        """Integers in [0, high), ``R + shape``, int64.

        ``high`` is at most 2^31, which keeps the bias below 2^-21; else ValueError.
        """
        if not 1 <= high <= 2**31:
            raise ValueError(f"high must lie in [1, 2^31], got {high}")
        drawn = self._uniform(math.prod(shape))
        drawn *= high
        return self._tensor(drawn.astype(np.int64), shape)

    def permutation(self, n: int) -> torch.Tensor:
        """A random order of ``n`` items, ``R + (n,)``, int64."""
        return self._tensor(np.argsort(self._uniform(n), axis=-1), (n,))

    def gumbel(self, *shape: int) -> torch.Tensor:
        """Standard Gumbel noise, ``R + shape``, float64."""
        return self._tensor(-np.log(-np.log(self._uniform(math.prod(shape)))), shape)

    def chi2(self, df: ArrayLike) -> torch.Tensor:
        """Chi-squared variables, ``R + shape of df``, float64; ValueError unless ``df > 0``.

        All chains share the degrees of freedom ``df``.  The method is Marsaglia and Tsang's
        rejection (ACM TOMS 2000), element by element: rejected elements are drawn again with a key
        of their own, so that an element does not depend on its neighbours.
        """
        shape = np.shape(df)
        df = np.asarray(df, dtype=np.float64).reshape(-1)
        if not (df > 0).all():
            raise ValueError(f"df must be positive, got {df.min()}")
        boosted = np.where(df < 2, df / 2 + 1, df / 2)  # the method needs a shape of at least 1
        d = boosted - 1 / 3
        base = self.at("chi2", self._calls)
        self._calls += 1
        words = base._words(
            2 * df.size, _as_is, np.empty((self._first.size, 2 * df.size), np.uint64)
        )
        out, good = _gamma(words.reshape(self._first.size, df.size, 2), d)
        while not good.all():
            first, second = base._key()
            chain, element = np.nonzero(~good)
            places = 2 * element[:, None].astype(np.uint64) + np.arange(2, dtype=np.uint64)
            words = _finalise(
                (first[chain, None] + places * _GAMMA).astype(np.uint64), second[chain, None]
            )
            out[chain, element], good[chain, element] = _gamma(words, d[element])
        if (df < 2).any():
            out = np.where(df < 2, out * base.at("boost")._uniform(df.size) ** (2 / df), out)
        return self._tensor(2 * out, shape)

    def natives(self) -> list[np.random.Generator]:
        """One numpy generator per chain (flattened), for distributions that only numpy draws."""
        first, second = self._key()
        keys = np.stack([first, second], -1)
        return [np.random.Generator(np.random.Philox(key=key)) for key in keys]

    def multinomial(self, n: int, p: torch.Tensor) -> torch.Tensor:
        """Counts of ``n`` draws from ``p (R, K)``, ``(R, K)`` int64.

        The cost does not depend on n.
        """
        flat = p.detach().cpu().double().numpy().reshape(self._first.size, -1)
        out = np.zeros(flat.shape, np.int64)
        for row, probs, native in zip(out, flat, self.natives(), strict=True):
            # a collapsed distribution has few symbols left, so this saves time
            alive = np.flatnonzero(probs)
            row[alive] = native.multinomial(n, probs[alive] / probs[alive].sum())
        return self._tensor(out, (flat.shape[-1],))

    def multinomials(self, n: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        """Counts (R, C, K) int64 of ``n (R, C)`` int64 draws from each row of ``p (R, C, K)``.

        The cost does not depend on n.
        """
        C, K = p.shape[-2:]
        probs = p.detach().cpu().double().numpy().reshape(self._first.size, C, K)
        many = n.cpu().numpy().reshape(self._first.size, C)
        # numpy assigns rounding errors of p to the last symbol; put the most likely one there, so
        # that a lost symbol never reappears; rounding does not choose among equally likely ones
        likeliest = probs.round(12).argmax(-1)[..., None]
        ends = np.concatenate([likeliest, np.full_like(likeliest, K - 1)], -1)
        probs = _swapped(probs, ends)
        probs /= probs.sum(-1, keepdims=True)
        drawn = [
            native.multinomial(*law)
            for native, *law in zip(self.natives(), many, probs, strict=True)
        ]
        return self._tensor(
            _swapped(np.stack(drawn), ends) if drawn else np.zeros(probs.shape, np.int64), (C, K)
        )

    def hypergeometric(self, counts: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
        """Counts ``(R, K)`` of ``n (R,)`` items drawn without replacement from ``counts (R, K)``.

        ``counts`` is int64; Incompatible for 10^9 items or more.
        """
        flat = counts.cpu().numpy().reshape(self._first.size, -1)
        many = n.cpu().numpy().reshape(-1)
        if flat.sum(-1).max(initial=0) >= 10**9:
            raise Incompatible(
                "drawing without replacement needs fewer than 10^9 rows; choose a smaller n or T"
            )
        out = np.zeros(flat.shape, np.int64)
        for drawn, row, m, native in zip(out, flat, many, self.natives(), strict=True):
            alive = np.flatnonzero(row)
            m = int(min(m, row.sum()))
            drawn[alive] = native.multivariate_hypergeometric(row[alive], m, method="marginals")
        return self._tensor(out, (flat.shape[-1],))

    def torch_generator(self) -> torch.Generator:
        """A torch generator for one chain, for neural training loops; ValueError for several."""
        if self.chain_shape:
            raise ValueError(
                f"a torch generator serves one chain; this stream has chains of shape "
                f"{self.chain_shape}"
            )
        first, _ = self._key()
        return torch.Generator(device=self.device).manual_seed(int(first[0] >> np.uint64(1)))


def _swapped(values: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """A copy of ``values (..., K)`` with the entries at ``ends (..., 2)`` exchanged."""
    out = values.copy()
    np.put_along_axis(out, ends, np.take_along_axis(values, ends[..., ::-1], -1), -1)
    return out


def _gamma(words: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A candidate of shape d + 1/3 from each pair of ``words (..., 2)``; whether it is accepted."""
    radius, angle = _polar(words[..., 0])
    x = (radius * np.cos(angle)).astype(np.float64)
    cubed = x / np.sqrt(9 * d)
    cubed += 1
    cubed *= cubed * cubed
    u = ((words[..., 1] >> _S12) + 0.5) * 2.0**-52
    log_v = np.log(np.maximum(cubed, 1e-300))
    good = np.log(u) < 0.5 * x * x + d * (1 - cubed + log_v)
    return d * cubed, good & (cubed > 0)


def _as_is(z: np.ndarray, out: np.ndarray) -> None:
    out[...] = z


def _to_uniform(z: np.ndarray, out: np.ndarray) -> np.ndarray:
    z >>= _S12
    np.add(z, 0.5, out=out)  # 52 bits and a half: never 0, never 1
    out *= 2.0**-52
    return out


def _polar(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Box and Muller's radius and angle, float32, from the two halves of each word."""
    halves = np.ascontiguousarray(z).view(np.uint32)
    radius, angle = halves[..., 0::2].astype(np.float32), halves[..., 1::2].astype(np.float32)
    radius += np.float32(0.5)
    radius *= np.float32(2.0**-32)
    np.log(radius, out=radius)
    radius *= np.float32(-2)
    np.maximum(radius, 0, out=radius)  # the largest word rounds to 1 or just above in float32
    np.sqrt(radius, out=radius)
    angle *= np.float32(2 * math.pi * 2.0**-32)
    return radius, angle


def _to_normal(z: np.ndarray, out: np.ndarray) -> np.ndarray:
    radius, angle = _polar(z)
    np.multiply(radius, np.cos(angle), out=out[..., 0])
    np.multiply(radius, np.sin(angle), out=out[..., 1])
    return out
