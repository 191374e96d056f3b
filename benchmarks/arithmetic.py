"""The cost of labels of the gcd task.

It compares generation with a cache of keys with a full forward pass per token, and times the sieve.

    python benchmarks/arithmetic.py

One process, one thread, CPU time, the two sides by turns and the best of each.  Both sides must
have written the same labels before their ratio is printed.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")


import torch
from turns import by_turns

from collapse_bench.core.corpus import Corpus
from collapse_bench.core.rng import Stream
from collapse_bench.registry.discovery import registry

torch.set_num_threads(1)


def written(data: str, model: str, n: int, learnt: int):
    """A transformer of the published size, its questions, and both ways to label them greedily."""
    nature = registry().build("generator", data).sample_truth(Stream(0))
    x = nature.ask(learnt, Stream(1))
    training_set = Corpus.of(x, nature.answer(x), (), labels=nature.labels)
    teacher = registry().build("model", model).fit(training_set, Stream(2)).decoded(top_k=1)
    asked = nature.ask(n, Stream(3))
    length = (asked >= 0).sum(-1)

    def cached():
        return teacher.answer(asked, Stream(4))

    @torch.no_grad()
    def full():
        """Questions of a length together, as with the cache; everything is read again for every
        token."""
        net = teacher.net
        out = torch.full((n, net.longest), -1)
        for size in length.unique().tolist():
            for rows in torch.nonzero(length == size)[:, 0].split(1024):
                alive = rows
                for at in range(net.longest):
                    said = torch.nn.functional.pad(out[alive, :at], (0, 1))
                    token = net(asked[alive, :size], said)[:, at].argmax(-1)
                    on = token != net.stop
                    alive = alive[on]
                    out[alive, at] = token[on]
                    if not len(alive):
                        break
        return out

    return cached, full


CASES = [
    # (what, data, model, labels, rows learnt from)
    (
        "base 10",
        "gcd(max=1000000)",
        "transformer(layers=4, width=256, steps=8, batch=64)",
        2000,
        512,
    ),
    (
        "base 1000",
        "gcd(base=1000, max=1000000)",
        "transformer(layers=4, width=256, steps=8, batch=64)",
        2000,
        512,
    ),
]


def main() -> None:
    for what, *case in CASES:
        cached, full = written(*case)
        same = (cached() == full()).all(-1).double().mean()
        if same < 0.999:  # rounding may tip a tie
            raise AssertionError(f"{what}: only {same:.2%} of the labels agree")
        ours, theirs = by_turns(cached, full)
        print(
            f"{theirs / ours:7.2f}x  (goal 2.5x)  {what}: labels with a cache, against "
            f"re-forwarding",
            flush=True,
        )
    chains, n = 500, 100
    cell = registry().cell(f"gcd(max=10000) | gcd-sieve | replace @ n={n} T=0", seeds=range(chains))
    nature = cell.data.sample_truth(Stream(range(chains)))
    x = nature.ask(n, Stream(range(chains)).at("x"))
    corpus = Corpus.of(x, nature.answer(x), (chains,), labels=nature.labels)
    spent, _ = by_turns(lambda: cell.model.fit(corpus, Stream(range(chains))), lambda: None)
    print(
        f"{1e6 * spent / chains:7.1f} us  a fit of gcd-sieve to {n} rows, {chains} chains at a "
        f"time",
        flush=True,
    )


if __name__ == "__main__":
    main()
