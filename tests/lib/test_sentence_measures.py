"""Diversity of meaning and of structure: by hand, as a law, and through real packages on models made here."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from collapse_bench.errors import Unreachable, UsageError
from collapse_bench.extras import lacking
from collapse_bench.lib.text import sentences as measure


def test_sentences_lose_their_ends():
    texts = ["One. Two! Three? Four.", "Alone.", "Left, right. Both go.", ""]
    found, source = measure.sentences(texts)
    assert found == ["Two!", "Three?", "Alone.", "Left, right.", "Both go."]
    assert source.tolist() == [0, 0, 1, 2, 2]


def test_mean_distance_by_hand():
    distance = np.array(
        [[9, 1, 2], [1, 9, 6], [2, 6, 9.0]]
    )  # what stands on the diagonal is not read
    mean, error = measure.mean_distance(distance, np.arange(3), 0)
    assert mean == pytest.approx(3)
    assert error > 0
    assert measure.mean_distance(distance, np.zeros(3, int), 0)[0] == pytest.approx(3)
    assert math.isnan(
        measure.mean_distance(distance, np.zeros(3, int), 0)[1]
    )  # one text: no spread to be seen
    assert measure.mean_distance(distance[:1, :1], np.arange(1), 0)[0] == 0


def test_cosine_distance_by_hand():
    found = measure.cosine_distance(np.array([[2.0, 0], [0, 5], [-1, 0], [0, 0]]))
    assert found[0] == pytest.approx([0, 0.5, 1, 0.5])
    assert np.allclose(found, found.T)


def test_bootstrap_error_is_the_spread_over_samples():
    """Of independent texts with three sentences each that share a topic: errors of single samples against the spread of
    the mean over many."""
    rng = np.random.default_rng(0)

    def sample():
        topic = rng.normal(size=(30, 1, 4))
        vectors = (topic + 0.5 * rng.normal(size=(30, 3, 4)) + 0.7).reshape(90, 4)
        return measure.mean_distance(
            measure.cosine_distance(vectors), np.repeat(np.arange(30), 3), 0
        )

    means, errors = np.array([sample() for _ in range(300)]).T
    spread = means.std(ddof=1)
    assert errors.mean() == pytest.approx(spread, rel=4 / math.sqrt(2 * 299) + 0.1)
    alone = [
        measure.mean_distance(
            measure.cosine_distance(rng.normal(size=(90, 4)) + 0.7), np.arange(90), 0
        )[1]
        for _ in range(20)
    ]
    assert np.mean(alone) < 0.8 * errors.mean()  # as if the sentences of a text were independent


# -- structure ------------------------------------------------------------------------------------------------------

spacy = pytest.importorskip("spacy") if lacking("syntax", "x") is None else None
needs_spacy = pytest.mark.skipif(spacy is None, reason="the extra syntax is not installed")


def doc(words: str, heads: list[int], pos: str):
    from spacy.tokens import Doc

    names = words.split()
    return Doc(
        spacy.blank("en").vocab,
        words=names,
        heads=heads,
        pos=pos.split(),
        deps=["dep"] * len(names),
    )


@needs_spacy
def test_weisfeiler_lehman_by_hand():
    tree = doc("Mia saw him", [1, 1, 1], "PROPN VERB PRON")[:]
    assert measure.features(tree) == Counter(
        {
            "PROPN": 1,
            "VERB": 1,
            "PRON": 1,
            "PROPN(VERB)": 1,
            "VERB(PRON,PROPN)": 1,
            "PRON(VERB)": 1,
            "PROPN(VERB)(VERB(PRON,PROPN))": 1,
            "VERB(PRON,PROPN)(PRON(VERB),PROPN(VERB))": 1,
            "PRON(VERB)(VERB(PRON,PROPN))": 1,
        }
    )
    alike = doc("Tom hit it", [1, 1, 1], "PROPN VERB PRON")[:]
    other = doc("Mia slept", [1, 1], "PROPN VERB")[
        :
    ]  # shares PROPN, VERB and PROPN(VERB): 3 of 9 and of 6
    found = measure.kernel([measure.features(t) for t in (tree, alike, other)])
    assert found[0, 1] == pytest.approx(1)
    assert found[0, 2] == pytest.approx(3 / math.sqrt(9 * 6))
    assert np.allclose(np.diag(found), 1)


@needs_spacy
def test_syntactic_diversity_of_one_structure_is_nought():
    shapes = {"a": ([1, 1, 1], "PROPN VERB PRON"), "b": ([0, 0, 1], "VERB NOUN ADJ")}

    def parser(sentences):
        return [doc(text, *shapes[text.split()[0]]) for text in sentences]

    same, _ = measure.syntactic_diversity(["a b c", "a x y", "a u v"], parser)
    mixed, error = measure.syntactic_diversity(["a b c", "a x y", "b u v"], parser)
    assert same == pytest.approx(0, abs=1e-12)
    assert mixed > 0
    assert error > 0


@needs_spacy
def test_a_parser_that_is_none_is_refused(tmp_path):
    spacy.blank("en").to_disk(tmp_path)
    with pytest.raises(UsageError, match="has no dependency parser"):
        measure.parser_of(tmp_path, "text: parser")
    with pytest.raises(UsageError, match=r"spaCy cannot load 'nothing_here'"):
        measure.parser_of("nothing_here", "text: parser")


@needs_spacy
def test_a_pipeline_with_a_parser_is_read(tmp_path):
    """A parser of random weights, saved and read as a real one is."""
    nlp = spacy.blank("en")
    parser = nlp.add_pipe("parser")
    parser.add_label("dep")
    nlp.add_pipe("sentencizer", before="parser")
    nlp.initialize()
    nlp.to_disk(tmp_path)
    found, error = measure.syntactic_diversity(
        ["Mia saw Tom. Tom ran far. They met.", "It rained.", "No one came there."],
        measure.parser_of(tmp_path, "text: parser").pipe,
    )
    assert 0 <= found <= 1
    assert error >= 0


# -- meaning --------------------------------------------------------------------------------------------------------

needs_encoder = pytest.mark.skipif(
    lacking("semantic", "x") is not None,
    reason="the extra semantic is not installed",
)


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory):
    """A BERT of random weights, with a tokenizer of whole words, as save_pretrained writes them."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "Mia",
        "Tom",
        "saw",
        "ran",
        "found",
        "a",
        "kite",
        ".",
    ]
    inner = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    )
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
    }
    folder = tmp_path_factory.mktemp("bert")
    PreTrainedTokenizerFast(tokenizer_object=inner, **special).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.mark.slow
@needs_encoder
def test_semantic_diversity_with_a_real_encoder(tiny_bert):
    encoder = measure.encoder_of(tiny_bert, "text: encoder")
    same, _ = measure.semantic_diversity(["Mia ran."] * 4, encoder)
    mixed, error = measure.semantic_diversity(
        ["Mia ran.", "Tom found a kite.", "the hill", "Tom saw Mia."], encoder
    )
    assert same == pytest.approx(0, abs=1e-6)
    assert 0 < mixed < 1
    assert error > 0
    assert measure.semantic_diversity(["Mia ran."], encoder)[0] == 0


@pytest.mark.slow
@needs_encoder
def test_an_encoder_that_is_none_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UsageError, match="does not contain a readable sentence encoder"):
        measure.encoder_of(tmp_path, "text: encoder")
    with pytest.raises(Unreachable, match='an encoder "owner/name" is not a local path'):
        measure.encoder_of("owner/name", "text: encoder")
