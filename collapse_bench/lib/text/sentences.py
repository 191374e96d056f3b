"""Diversity of meaning and of structure: mean distances between sentences, as an encoder and as a parser see them.

Both need a package that is not installed by default (extras ``semantic`` and ``syntax``) and a model, by path or by its
name; neither is ever asked to run code that comes with a model.
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

MOST = 1000  # sentences that are compared, each with each
RESAMPLES = 200  # of the bootstrap
ITERATIONS = 2  # of the Weisfeiler-Lehman kernel


def sentences(texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The sentences of all texts, at most ``MOST``, and the number of the text that each comes from, (m,).

    The first and the last sentence of a text are dropped, since a block is cut out of running text, unless nothing would
    be left of it.
    """
    found, source = [], []
    for i, text in enumerate(texts):
        parts = [part for part in re.split(r"(?<=[.!?])\s+", text.strip()) if part]
        parts = parts[1:-1] or parts
        found += parts
        source += [i] * len(parts)
    return found[:MOST], np.asarray(source[:MOST], np.int64)


# -- mean distance over pairs ---------------------------------------------------------------------------------------


def mean_distance(distance: np.ndarray, source: np.ndarray, seed: int) -> tuple[float, float]:
    """(mean over pairs of different sentences, its standard error) of distances (m, m) between sentences.

    The error is that of a bootstrap over texts, which ``source (m,)`` names: pairs that share a sentence, and sentences
    that share a text, are not independent.  A sentence is never paired with its own copy.  (0, NaN) of fewer than two.
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
    """(1 - cosine) / 2 between rows of ``vectors (m, d)``, (m, m) in [0, 1]; a row of zeros is at 1/2 from all others."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-300)
    return (1 - unit @ unit.T) / 2


# -- meaning --------------------------------------------------------------------------------------------------------


def encoder_of(source: Path | str, whose: str, device: str = "cpu"):
    """The sentence encoder at a path or of a hub id; a plain transformer is read out by the mean over its tokens."""
    from sentence_transformers import SentenceTransformer

    quiet()

    def load():
        return SentenceTransformer(str(source), device=device, trust_remote_code=False)

    if isinstance(source, str):
        return fetched(source, whose, load, "an encoder")
    try:
        return load()
    except Exception as problem:  # whatever a library finds in a folder that it did not write
        raise UsageError(
            f"{whose}: {source} holds no sentence encoder that can be read ({_first(problem)}); give the folder of one"
        ) from problem


def semantic_diversity(texts: Sequence[str], encoder, seed: int = 0) -> tuple[float, float]:
    """Mean of (1 - cos)/2 over pairs of sentences (Guo et al. 2024, arXiv 2311.09807), and its standard error."""
    found, source = sentences(texts)
    if len(found) < 2:
        return 0.0, np.nan
    vectors = encoder.encode(found, show_progress_bar=False, convert_to_numpy=True)
    return mean_distance(cosine_distance(np.asarray(vectors, np.float64)), source, seed)


# -- structure ------------------------------------------------------------------------------------------------------


def parser_of(source: Path | str, whose: str) -> Language:
    """The spaCy pipeline at a path, or installed as a package of this name; it must parse dependencies."""
    import spacy

    try:
        parser = spacy.load(source)
    except (OSError, ValueError, ImportError) as problem:
        raise UsageError(
            f"{whose}: spaCy cannot load {str(source)!r} ({_first(problem)}); install the pipeline as a package, or give "
            "the folder that nlp.to_disk wrote"
        ) from problem
    if "parser" not in parser.pipe_names:
        raise UsageError(
            f"{whose}: {str(source)!r} parses no dependencies; name a pipeline that has a parser"
        )
    return parser


def syntactic_diversity(texts: Sequence[str], parser, seed: int = 0) -> tuple[float, float]:
    """Mean over pairs of sentences of 1 - normalised Weisfeiler-Lehman kernel of their dependency trees (Guo et al. 2024,
    arXiv 2311.09807), and its standard error.  ``parser`` maps texts to documents as ``Language.pipe`` does."""
    found, source = sentences(texts)
    trees = [next(iter(doc.sents), doc[:]) if len(doc) else doc[:] for doc in parser(found)]
    return mean_distance(1 - kernel([features(tree) for tree in trees]), source, seed)


def features(tree: Span) -> Counter:
    """How often each label stands in a dependency tree, of words (part of speech) and of their neighbourhoods.

    Two rounds of relabelling after Weisfeiler and Lehman (Shervashidze et al. 2011): a word's new label is its old one with
    those of its neighbours, head and dependants alike.
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
    """Products of counts, each tree's with itself being 1, (m, m)."""
    index = {name: k for k, name in enumerate(sorted(set().union(*trees)))}
    counts = np.zeros((len(trees), max(1, len(index))))
    for row, tree in zip(counts, trees, strict=True):
        row[[index[name] for name in tree]] = list(tree.values())
    counts /= np.maximum(np.linalg.norm(counts, axis=-1, keepdims=True), 1e-300)
    return counts @ counts.T


def _first(problem: Exception) -> str:
    return " ".join(str(problem).split())[:200] or type(problem).__name__
