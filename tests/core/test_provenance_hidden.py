"""Provenance is hidden: a classifier that sees all of a lesson but its content tells real rows from synthetic ones by chance.

Of every row it sees where it stands, where it lies in memory, how its numbers are stored, weight and count, all that the public
names of corpus and taps lead to, identities of objects among it, and random numbers of every stream that can be reached.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from collapse_bench import Mitigation, cell_of, generations
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.rng import Stream

ROWS, CHAINS, T = 60, 20, 2
LARGEST_Z = 4.0
#: what is in the lesson, which may tell real rows from synthetic ones as well as it can
CONTENT = {"x", "y"}

TASKS = {
    "density": f"gaussian(d=2) | gaussian-fit | {{}} @ n={ROWS} T={T}",
    "mixture": f"gaussian-mixture | mixture-fit | {{}} @ n={ROWS} T={T}",
    "discrete": f"zipf(K=20) | counts | {{}} @ n={ROWS} T={T}",
    "contexts": f"bigram(K=5) | counts | {{}} @ n={ROWS} T={T}",
    "regression": f"linear(d=3) | ridge | {{}} @ n={ROWS} T={T}",
    "classification": f"half-space(d=3) | averaging | {{}} @ n={ROWS} T={T}",
    "labelled images": f"digits | averaging | {{}} @ n={ROWS} T={T}",
    "images": f"pictures(test=60) | gaussian-fit | {{}} @ n={ROWS} T={T}",
    "sequence": f"grammar-stories | ngram | {{}} @ n={ROWS} T={T}",
    "arithmetic": f"gcd(max=100, test=30, each=1) | gcd-sieve | {{}} @ n={ROWS} T={T}",
}
PROTOCOLS = [
    "mix(real=0.3)",
    "accumulate",
    pytest.param("mix(real=0.5, fresh=false)", marks=pytest.mark.slow),
    pytest.param("accumulate-subsample", marks=pytest.mark.slow),
]


@dataclass(frozen=True)
class Onlooker(Mitigation):
    """Writes down what a lesson shows besides its content, and where its rows come from."""

    seen: list = field(default_factory=list)
    unhidden: bool = False

    def curate(self, corpus, access):
        if access.t == T:
            shown = (
                Corpus(corpus._parts, corpus.chain_shape, labels=corpus.labels)
                if self.unhidden
                else corpus
            )
            told = features(shown, access)
            self.seen.append((told, (shown._origin() == 0).numpy().copy()))
        return corpus


def features(corpus: Corpus, access) -> np.ndarray:
    """(R, n, f): everything but content."""
    n, columns = corpus.n, []
    place = np.arange(n)
    columns += [place / n, place % 2, place % 8]
    for noun in (corpus, access, access.rng, access.ledger, access.teacher):
        columns += traces(noun, corpus, {id(noun)})
    for value in (corpus.x, corpus.y):
        columns += storage(value, corpus.chain_shape)
    return np.stack(
        [np.broadcast_to(column, (*corpus.chain_shape, n)) for column in columns], -1
    ).astype(float)


def traces(noun: object, corpus: Corpus, met: set[int], depth: int = 0) -> list[np.ndarray | float]:
    """What the public names of an object say of each row: identities, sizes, numbers per row, and streams' draws."""
    found: list[np.ndarray | float] = [id(noun) % 4096]
    for name in sorted(vars(type(noun)) | getattr(noun, "__dict__", {})):
        if name.startswith("_") or name in CONTENT:
            continue
        try:
            value = getattr(noun, name)
        except Exception as refused:  # a refusal says the same of all rows
            found.append(len(str(refused)))
            continue
        found += [id(value) % 4096, len(type(value).__name__)]
        if isinstance(value, Stream):
            found += draws(value, corpus)
        elif isinstance(value, torch.Tensor):
            found.append(value.dtype.itemsize)
            if tuple(value.shape) == (*corpus.chain_shape, corpus.n):
                found.append(value.double().numpy())
        elif isinstance(value, (int, float)):
            found.append(float(value))
        elif isinstance(value, (str, tuple, list, dict)):
            found.append(len(value))
    return found


def draws(stream: Stream, corpus: Corpus) -> list[np.ndarray]:
    """Numbers of a stream, one per row, as they come, as an order of the rows, and under the names that a shuffle would use."""
    found = []
    for name in (None, "order", "shuffle", "own"):

        def fresh(name=name):
            return stream[...] if name is None else stream.at(name)

        order = fresh().permutation(corpus.n)
        found += [fresh().uniform(corpus.n).numpy(), order.numpy(), order.argsort(-1).numpy()]
    return found


def storage(value: torch.Tensor, chain_shape: tuple[int, ...]) -> list[np.ndarray | float]:
    """How the numbers of each row are stored: address, strides, which shorter types would hold them."""
    axis, n = len(chain_shape), value.shape[len(chain_shape)]
    found = [
        value.dtype.itemsize,
        value.is_contiguous(),
        value.storage_offset(),
        value.stride(axis),
    ]
    found.append(np.arange(n) * value.stride(axis) * value.element_size() % 4096)
    flat = value.reshape(*chain_shape, n, -1)
    if not flat.shape[-1] or not value.is_floating_point():
        return found
    # whether single precision would hold them; that pixels have few grey levels is content
    found.append((flat.float().to(flat.dtype) == flat).double().mean(-1).numpy())
    found.append(((flat == 0) & flat.signbit()).double().sum(-1).numpy())
    return found


def auroc(told: np.ndarray, real: np.ndarray) -> np.ndarray:
    """AUROC in each chain that neither of two classifiers has learnt from, of the better one on average, (chains,)."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    half = len(told) // 2
    best = np.full(half, 0.5)
    for learner in (
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
        RandomForestClassifier(40, min_samples_leaf=5, random_state=0),
    ):
        learner.fit(told[:half].reshape(-1, told.shape[-1]), real[:half].reshape(-1))
        pairs = zip(told[half:], real[half:], strict=True)
        each = np.array([roc_auc_score(r, learner.predict_proba(rows)[:, 1]) for rows, r in pairs])
        if abs(each.mean() - 0.5) > abs(best.mean() - 0.5):
            best = each
    return best


def looked_at(spec, unhidden=False):
    cell = cell_of(spec, seeds=range(CHAINS))
    eye = Onlooker(unhidden=unhidden)
    list(generations(replace(cell, mitigations=(eye,))))
    ((told, real),) = eye.seen
    return auroc(told, real)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("task", TASKS)
def test_all_but_content_tells_nothing(task, protocol):
    each = looked_at(TASKS[task].format(protocol))
    error = each.std(ddof=1) / len(each) ** 0.5
    assert abs(each.mean() - 0.5) <= LARGEST_Z * error, (
        f"{task}, {protocol}: AUROC {each.mean():.3f} +- {error:.3f}"
    )
    assert error < 0.05


@pytest.mark.parametrize("protocol", PROTOCOLS[:2])
def test_the_same_eyes_see_where_rows_stand_before_they_are_shuffled(protocol):
    assert looked_at(TASKS["discrete"].format(protocol), unhidden=True).mean() > 0.99


def test_rows_that_stand_for_many_tell_by_how_many():
    """A limit that the docs name: counts drawn by an exact law come in one row per symbol and origin, so that origins of
    different size can be told apart by count.  Where all are of one size, as under accumulate, they cannot."""
    spec = f"zipf(K=20, beta=0.5, sampler=exact-law) | counts | {{}} @ n=2000 T={T}"
    each = {
        protocol: looked_at(spec.format(protocol)) for protocol in ("mix(real=0.1)", "accumulate")
    }
    assert each["mix(real=0.1)"].mean() > 0.95
    error = each["accumulate"].std(ddof=1) / len(each["accumulate"]) ** 0.5
    assert abs(each["accumulate"].mean() - 0.5) <= LARGEST_Z * error


def test_rows_that_a_method_adds_are_hidden_from_the_next():
    """real-anchor puts its rows last; whoever comes next meets them anywhere."""
    eye = Onlooker()
    cell = cell_of(
        f"gaussian(d=2) | gaussian-fit | replace | real-anchor(k=20) @ n={ROWS} T={T}",
        seeds=range(CHAINS),
    )
    list(generations(replace(cell, mitigations=(*cell.mitigations, eye))))
    ((told, real),) = eye.seen
    assert real.sum() == 20 * CHAINS
    area = auroc(told, real)
    assert abs(area.mean() - 0.5) <= LARGEST_Z * area.std(ddof=1) / len(area) ** 0.5
