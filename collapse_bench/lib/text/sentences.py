"""Semantic and syntactic diversity: mean distances between sentences by an encoder and by a parser.

Both need a package that is not installed by default (extras ``semantic`` and ``syntax``) and a
model, by path or by name.  Code that comes with a model is never run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import UsageError
from ..sources import fetched, quiet

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Span

MOST = 1000  # most sentences that are compared pairwise
RESAMPLES = 200  # bootstrap resamples
ITERATIONS = 2  # rounds of the Weisfeiler-Lehman kernel


def sentences(texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The sentences of all texts, at most ``MOST``, and the index of the text of each, (m,).

    The first and the last sentence of a text are dropped, since blocks are cut from running text
    and these sentences are usually incomplete.  A text of at most two sentences is kept whole.
    """
    parts_of_all, source = [], []
    for i, text in enumerate(texts):
        parts = [part for part in re.split(r"(?<=[.!?])\s+", text.strip()) if part]
        parts = parts[1:-1] or parts
        parts_of_all += parts
        source += [i] * len(parts)
    return parts_of_all[:MOST], np.asarray(source[:MOST], np.int64)


# -- mean distance over pairs ----------------------------------------------------------------------


def mean_distance(distance: np.ndarray, source: np.ndarray, seed: int) -> tuple[float, float]:
    """(mean over pairs of different sentences, its standard error) of distances (m, m).

    The error comes from a bootstrap over texts (``source (m,)`` is the text of each sentence),
    because pairs that share a sentence and sentences that share a text are not independent.  A
    sentence is never paired with its own bootstrap copy.  (0, NaN) for fewer than two sentences.
    """
    if len(distance) < 2:
        return 0.0, np.nan
    distance = distance.copy()
    np.fill_diagonal(distance, 0.0)
    texts, source = np.unique(source, return_inverse=True)
    draws = np.random.Generator(np.random.Philox(seed)).integers(
        len(texts), size=(RESAMPLES, len(texts))
    )
    often = np.stack([np.bincount(draw, minlength=len(texts)) for draw in draws])  # (B, texts)
    weights = np.concatenate([np.ones((1, len(texts))), often])[:, source].astype(float)
    pairs = weights.sum(-1) ** 2 - (weights**2).sum(-1)
    means = np.divide(
        ((weights @ distance) * weights).sum(-1),
        pairs,
        out=np.full(len(pairs), np.nan),
        where=pairs > 0,
    )
    return float(means[0]), float(np.nanstd(means[1:], ddof=1)) if len(texts) > 1 else np.nan


def cosine_distance(vectors: np.ndarray) -> np.ndarray:
    """(1 - cosine) / 2 of rows of ``vectors (m, d)``, (m, m) in [0, 1]; 1/2 for zero vectors."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-300)
    return (1 - unit @ unit.T) / 2


# -- semantic diversity ----------------------------------------------------------------------------


def encoder_of(source: Path | str, whose: str, device: str = "cpu"):
    """The sentence encoder at a path or hub id; plain transformers get mean pooling over tokens."""
    from sentence_transformers import SentenceTransformer

    quiet()

    def load():
        return SentenceTransformer(str(source), device=device, trust_remote_code=False)

    if isinstance(source, str):
        return fetched(source, whose, load, "an encoder")
    try:
        return load()
    except Exception as problem:  # the library raises many types for a folder it did not write
        raise UsageError(
            f"{whose}: {source} does not contain a readable sentence encoder ({_first(problem)}); "
            "give the folder of one"
        ) from problem


def semantic_diversity(texts: Sequence[str], encoder, seed: int = 0) -> tuple[float, float]:
    """Mean of (1 - cos)/2 over pairs of sentences, and its standard error.

    Guo et al. 2024, arXiv 2311.09807.
    """
    parts, source = sentences(texts)
    if len(parts) < 2:
        return 0.0, np.nan
    vectors = encoder.encode(parts, show_progress_bar=False, convert_to_numpy=True)
    return mean_distance(cosine_distance(np.asarray(vectors, np.float64)), source, seed)


# -- syntactic diversity ---------------------------------------------------------------------------


def parser_of(source: Path | str, whose: str) -> Language:
    """The spaCy pipeline at a path or installed as a package of this name.

    Raises UsageError if it cannot be loaded or has no dependency parser.
    """
    import spacy

    try:
        parser = spacy.load(source)
    except (OSError, ValueError, ImportError) as problem:
        raise UsageError(
            f"{whose}: spaCy cannot load {str(source)!r} ({_first(problem)}); install the pipeline "
            "as a package, or give the folder that nlp.to_disk wrote"
        ) from problem
    if "parser" not in parser.pipe_names:
        raise UsageError(
            f"{whose}: {str(source)!r} has no dependency parser; give a pipeline that has one"
        )
    return parser


def syntactic_diversity(texts: Sequence[str], parser, seed: int = 0) -> tuple[float, float]:
    """Mean over pairs of sentences of 1 - kernel of their dependency trees, and its standard error.

    The kernel is the normalised Weisfeiler-Lehman kernel (Guo et al. 2024, arXiv 2311.09807).
    ``parser`` maps texts to documents, as spaCy's ``Language.pipe`` does.
    """
    parts, source = sentences(texts)
    trees = [next(iter(doc.sents), doc[:]) if len(doc) else doc[:] for doc in parser(parts)]
    return mean_distance(1 - kernel([features(tree) for tree in trees]), source, seed)


def features(tree: Span) -> Counter:
    """Counts of the labels of a dependency tree: of words (part of speech) and of neighbourhoods.

    Two rounds of Weisfeiler-Lehman relabelling (Shervashidze et al. 2011): the new label of a word
    is its old label with the sorted labels of its neighbours, which are its head and its
    dependants.
    """
    near: dict[int, list[int]] = {token.i: [] for token in tree}
    for token in tree:
        if token.head.i != token.i and token.head.i in near:
            near[token.i].append(token.head.i)
            near[token.head.i].append(token.i)
    label = {token.i: token.pos_ for token in tree}
    seen = Counter(label.values())
    for _ in range(ITERATIONS):
        label = {i: f"{label[i]}({','.join(sorted(label[j] for j in near[i]))})" for i in near}
        seen.update(label.values())
    return seen


def kernel(trees: Sequence[Counter]) -> np.ndarray:
    """Normalised inner products of label counts, (m, m); 1 on the diagonal."""
    index = {name: k for k, name in enumerate(sorted(set().union(*trees)))}
    counts = np.zeros((len(trees), max(1, len(index))))
    for row, tree in zip(counts, trees, strict=True):
        row[[index[name] for name in tree]] = list(tree.values())
    counts /= np.maximum(np.linalg.norm(counts, axis=-1, keepdims=True), 1e-300)
    return counts @ counts.T


def _first(problem: Exception) -> str:
    return " ".join(str(problem).split())[:200] or type(problem).__name__
