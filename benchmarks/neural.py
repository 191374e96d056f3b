"""The cost of the neural tasks, as a ratio to plain PyTorch code.

    python benchmarks/neural.py            # all, some minutes on one core
    python benchmarks/neural.py write      # those whose name contains the word

One process, one thread, CPU time, the two sides by turns and the best of each.  Before a ratio is
printed both sides must have computed the same thing; a case that has not is an error.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import sys
from dataclasses import replace

import torch
from turns import by_turns

from collapse_bench.core.corpus import Corpus
from collapse_bench.core.replicates import lift
from collapse_bench.core.rng import Stream
from collapse_bench.lib.neural.layers import dense, started
from collapse_bench.lib.neural.training import batches, seeded
from collapse_bench.plugins.models.causal_lm._pretrained import small_llama
from collapse_bench.registry.discovery import registry

torch.set_num_threads(1)

V, WIDTH, LAYERS, HEADS, BATCH, LENGTH = 1000, 256, 6, 4, 16, 64
FIVE_MILLION = f"layers={LAYERS}, width={WIDTH}, heads={HEADS}, batch={BATCH}, lr=0.001"


def texts(n: int) -> Corpus:
    y = Stream(0).at("texts").integers(V, n, LENGTH)
    return Corpus.of(y[:, :1], y[:, 1:], (), labels=V)


# -- training --------------------------------------------------------------------------------------


def train_causal_lm(steps: int = 12):
    """Training a causal-lm of five million parameters, against a plain loop over the network."""
    corpus, rng = texts(steps * BATCH), Stream(0).at("fit")
    student = registry().build("model", f"causal-lm({FIVE_MILLION}, steps={steps})")
    last = {}

    def ours():
        last["ours"] = student.fit(corpus, rng.at("same"))

    def theirs():
        generator = rng.at("same").torch_generator()
        ids = torch.cat([corpus.x, corpus.y], -1)
        with seeded(generator):
            net = small_llama(V + 1, WIDTH, LAYERS, HEADS)
            matrices = [p for p in net.parameters() if p.ndim > 1]
            gains = [p for p in net.parameters() if p.ndim <= 1]
            groups = [{"params": matrices}, {"params": gains}]
            optimiser = torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.0, fused=True)
            net.train()
            for rows in batches(torch.arange(len(ids)), BATCH, steps, generator):
                logits = net(input_ids=ids[rows, :-1], use_cache=False).logits
                loss = torch.nn.functional.cross_entropy(
                    logits.flatten(0, 1), ids[rows, 1:].flatten()
                )
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        last["theirs"] = net

    ours_s, theirs_s = by_turns(ours, theirs)
    size = sum(p.numel() for p in last["theirs"].parameters())
    for mine, other in zip(
        last["ours"].module.parameters(), last["theirs"].parameters(), strict=True
    ):
        torch.testing.assert_close(mine, other, atol=2e-4, rtol=1e-3)
    return (
        f"training, {size / 1e6:.1f}M parameters, {steps} steps of {BATCH} x {LENGTH}",
        theirs_s / ours_s,
        0.95,
    )


def train_mlp(steps: int = 500):
    """Training an mlp on images against a plain loop over the same network."""
    n, d, classes = 2000, 64, 10
    corpus = Corpus.of(
        Stream(0).at("x").normal(n, d), Stream(0).at("y").integers(classes, n), (), labels=classes
    )
    student, rng, last = (
        registry().build("model", f"mlp(width=256, depth=2, steps={steps})"),
        Stream(0).at("fit"),
        {},
    )

    def ours():
        last["ours"] = student.fit(corpus, rng.at("same"))

    def theirs():
        generator = rng.at("same").torch_generator()
        net = started(lambda: dense(d, 256, 2, classes), generator)
        optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
        net.train()
        for rows in batches(torch.arange(n), 64, steps, generator):
            loss = torch.nn.functional.cross_entropy(net(corpus.x[rows]), corpus.y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        last["theirs"] = net

    ours_s, theirs_s = by_turns(ours, theirs)
    for mine, other in zip(
        last["ours"].module.parameters(), last["theirs"].parameters(), strict=True
    ):
        torch.testing.assert_close(mine, other, atol=2e-3, rtol=1e-2)
    return (
        f"training an mlp, {d} - 256 - 256 - {classes}, {steps} steps of 64",
        theirs_s / ours_s,
        0.9,
    )


# -- writing ---------------------------------------------------------------------------------------


def write_together(length: int = 48):
    """32 texts written together, against one at a time, by a network of five million weights."""
    teacher = (
        registry()
        .build("model", f"causal-lm({FIVE_MILLION}, steps=1)")
        .fit(texts(BATCH), Stream(0).at("fit"))
    )
    teacher, x, rng = replace(teacher, length=length), texts(32).x, Stream(0).at("write")
    u, said = rng.at("same").uniform(32, length), {}

    def ours():
        said["ours"] = teacher.answer(x, rng.at("same"))

    def theirs():
        said["theirs"] = torch.cat(
            [teacher._sampled(x[i : i + 1], u[i : i + 1]) for i in range(32)]
        )

    ours_s, theirs_s = by_turns(ours, theirs)
    same = (said["ours"] == said["theirs"]).double().mean()
    if same < 0.97:  # rounding may tip a draw that lies on an edge
        raise AssertionError(f"only {same:.1%} of the tokens agree")
    return (
        f"writing 32 texts of {length} tokens together, against one at a time",
        theirs_s / ours_s,
        4.0,
    )


def write_with_memory(length: int = 96):
    """The same texts with cached keys of earlier tokens, against a full pass for every token."""
    teacher = (
        registry()
        .build("model", f"causal-lm({FIVE_MILLION}, steps=1)")
        .fit(texts(BATCH), Stream(0).at("fit"))
    )
    greedy, x = replace(teacher, length=length).decoded(top_k=1), texts(16).x
    said = {}

    def ours():
        said["ours"] = greedy.answer(x, Stream(0).at("write"))

    @torch.no_grad()
    def theirs():
        ids = x
        for _ in range(length):
            logits = greedy.module(input_ids=ids, use_cache=False, logits_to_keep=1).logits
            ids = torch.cat([ids, logits[:, -1].argmax(-1, keepdim=True)], -1)
        said["theirs"] = ids[:, 1:]

    ours_s, theirs_s = by_turns(ours, theirs)
    alive = said["ours"] >= 0
    if not torch.equal(said["ours"][alive], said["theirs"][alive]):
        raise AssertionError("the two sides wrote different texts")
    return (
        f"writing 16 texts of {length} tokens with a cache, against re-forwarding",
        theirs_s / ours_s,
        2.5,
    )


# -- exams -----------------------------------------------------------------------------------------


def measure_a_generation(n: int = 300):
    """All losses and measures of a generation against its training and the writing of its corpus.

    A fifth of the rows and of the exam of a cell at n=1500, test=200, judged=64: the share is the
    same.
    """
    data = registry().build(
        "generator", f"grammar-stories(block=48, test={n * 2 // 15}, judged={n * 64 // 1500})"
    )
    data, rng = data.sample_truth(Stream([0]).at("truth")), Stream([0])
    x = data.ask(n, rng.at("x"))
    corpus = Corpus.of(x, data.answer(x, rng.at("y")), (1,), labels=data.labels)
    model, taught = lift(registry().build("model", f"causal-lm({FIVE_MILLION}, epochs=1)")), {}

    def theirs():
        taught["teacher"] = model.fit(corpus, rng.at("fit"))
        taught["teacher"].answer(x, rng.at("write"))

    def ours():
        data.truth.exam.forget()
        found = data.losses(taught["teacher"], rng.at("exam")) | data.diagnostics(taught["teacher"])
        if not all(value.isfinite().all() for value in found.values()):
            raise AssertionError(f"not everything was measured: {found}")

    theirs_s = by_turns(lambda: None, theirs, rounds=1)[1]
    ours_s = by_turns(ours, lambda: None)[0]
    return (
        "measuring a generation of a 5M causal-lm, against its training and writing",
        theirs_s / ours_s,
        1 / 0.15,
    )


CASES = [train_causal_lm, train_mlp, write_together, write_with_memory, measure_a_generation]


def main(words: list[str]) -> None:
    for case in CASES:
        if not words or any(word in case.__name__ for word in words):
            what, ratio, goal = case()
            print(f"{ratio:7.2f}x  (goal {goal:g}x)  {what}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
