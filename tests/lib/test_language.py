"""The judge of texts: what counts as lost, who is rare, and that a teacher writes once for all that is measured."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch

from collapse_bench import extras, generations
from collapse_bench.core.components import Teacher
from collapse_bench.core.rng import Stream
from collapse_bench.lib.text import language
from collapse_bench.lib.text.language import HeldOut, Language, events_of, lost, tail_of
from collapse_bench.plugins.generators.grammar_stories import GrammarStories
from collapse_bench.registry.discovery import registry
from collapse_bench.running.chains import run_chains

DATA = {"words": 30, "block": 24, "test": 30, "judged": 20}


class Parrot(Teacher):
    """Says one thing, whatever is asked, and finds everything as likely."""

    def __init__(self, y):
        self.y, self.asked = y, 0

    def answer(self, x, rng):
        self.asked += 1
        return self.y[:, :1].expand(*x.shape[:-1], -1)

    def logp(self, x, y):
        return torch.where(events_of(y), -2.0, 0.0).double()


@pytest.fixture
def data() -> GrammarStories:
    return GrammarStories(**DATA).sample_truth(Stream(range(3)).at("truth"))


def test_events_are_tokens_and_the_first_end():
    y = torch.tensor([[3, 1, -1, -1], [2, 2, 2, 2], [-1, -1, -1, -1]])
    assert events_of(y).tolist() == [
        [True, True, True, False],
        [True] * 4,
        [True, False, False, False],
    ]


def test_the_tail_by_hand():
    rare, share = tail_of(torch.tensor([50.0, 2, 0, 30, 3, 15]), 0.05)
    assert rare.tolist() == [False, True, True, False, True, False]
    assert float(share) == pytest.approx(0.05)
    rare, share = tail_of(torch.tensor([[50.0, 2, 0, 30, 3, 15]]), 0.049)
    assert rare.tolist() == [[False, True, True, False, False, False]]
    assert float(share) == pytest.approx(0.02)


def test_what_is_lost():
    written = {"a": torch.tensor([0.5, 1.0, 2.0]), "b": torch.tensor([0.0, 0.3, 1.0])}
    real = {"a": torch.ones(3), "b": torch.zeros(3)}
    assert {name: value.tolist() for name, value in lost(written, real).items()} == {
        "a_lost": [0.5, 0, 0],  # more than the truth is neither merit nor loss
        "b_lost": [0, 0, 0],  # nothing is there to lose
    }


def test_one_text_for_ever_has_lost_its_diversity(data):
    parrot = Parrot(data.truth.held_out.y)
    scores = data.losses(parrot, Stream(range(3)))
    assert scores["nats"].tolist() == pytest.approx([2, 2, 2])
    assert scores["perplexity"].tolist() == pytest.approx([math.exp(2)] * 3)
    assert scores["rare_nats"].tolist() == pytest.approx([2, 2, 2])
    for name in ("distinct_1", "distinct_2", "distinct_4", "compression"):
        assert (scores[f"{name}_lost"] > 0.3).all(), name
    assert torch.allclose(scores["self_bleu_lost"], torch.ones(3).double())
    assert (scores["ungrammatical"] == 0).all()  # it is a true story
    law = data.truth.held_out.law
    assert torch.allclose(
        scores["excess_nats"],
        scores["nats"] + law.sum((-2, -1)) / data.truth.held_out.events.sum((-2, -1)),
    )


def test_nature_loses_next_to_nothing(data):
    scores = data.losses(data, Stream(range(3)))
    for name in ("excess_nats", "total_variation", "tail_missing", "ungrammatical"):
        assert (scores[name] == 0).all(), name
    assert (scores["nats"] > 0).all()
    assert all(
        (value < 0.5).all()
        for name, value in scores.items()
        if name.endswith("_lost") and name != "rare_lost"
    )


def test_total_variation_is_that_of_the_laws(data):
    """(1 - q/p)+ on average over p, against half the sum of |p - q|: a teacher that halves one word and doubles others."""
    p = torch.tensor([0.5, 0.3, 0.2])
    q = torch.tensor([0.25, 0.25, 0.5])
    assert float((p * (1 - q / p).clamp_min(0)).sum()) == pytest.approx(
        float((p - q).abs().sum() / 2)
    )

    class Halved(Parrot):
        def logp(self, x, y):
            return data.logp(x, y) + torch.where(events_of(y), math.log(0.5), 0.0)

    scores = data.losses(Halved(data.truth.held_out.y), Stream(range(3)))
    for name in ("total_variation", "tail_missing"):
        assert scores[name].tolist() == pytest.approx([0.5] * 3)
    assert scores["excess_nats"].tolist() == pytest.approx([math.log(2)] * 3)


def test_a_teacher_writes_once_for_judge_and_description(data):
    parrot, other = Parrot(data.truth.held_out.y), Parrot(data.truth.held_out.y)
    data.losses(parrot, Stream(range(3)))
    described = data.diagnostics(parrot)
    assert parrot.asked == 1
    data.diagnostics(other)
    assert other.asked == 1
    again = data.diagnostics(parrot)
    assert parrot.asked == 2  # only the last one is remembered, and its draws are the same
    assert all(torch.equal(described[name], again[name]) for name in described)


def test_what_is_remembered_does_not_keep_a_teacher_alive(data):
    import gc
    import weakref

    parrot = Parrot(data.truth.held_out.y)
    gone = weakref.ref(parrot)
    data.losses(parrot, Stream(range(3)))
    del parrot
    gc.collect()
    assert gone() is None
    fresh = Parrot(data.truth.held_out.y)
    data.diagnostics(fresh)
    assert fresh.asked == 1


def test_an_exam_can_be_copied_and_stored(data):
    data.losses(Parrot(data.truth.held_out.y), Stream(range(3)))
    for twin in (
        copy.deepcopy(data.truth.held_out),
        pickle.loads(pickle.dumps(data.truth.held_out)),
    ):
        assert isinstance(twin, HeldOut)
        assert torch.equal(twin.y, data.truth.held_out.y)


def test_described_are_the_measures(data):
    found = data.diagnostics(Parrot(data.truth.held_out.y))
    assert found["self_bleu"].tolist() == pytest.approx([1, 1, 1])
    story = data.truth.held_out.y[:, 0]
    words = torch.tensor([len(set(row) - {-1}) for row in story.tolist()]).double()
    assert torch.equal(found["vocabulary"], words)
    assert torch.equal(found["length"], (story >= 0).sum(-1).double())
    assert torch.equal(found["ended"], (story[:, -1] < 0).double())


# -- what is measured by packages that may be absent ----------------------------------------------------------------


def test_an_absent_package_is_a_remark_of_the_record(monkeypatch, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    cell = registry().cell(
        f'grammar-stories(words=30, block=12, test=4, judged=2, encoder="{tmp_path}") | ngram @ n=5 T=0'
    )
    record = run_chains(cell, [0])
    (remark,) = record.runs[-1]["remarks"]
    assert remark == (
        "encoder of grammar-stories is left out: it needs the package sentence_transformers, which is not installed; "
        "pip install 'collapse-bench[semantic]' adds it"
    )
    assert not any("semantic" in name for name in record.metric)
    assert set(record.facts.status) == {"done"}


@pytest.mark.parametrize("name", ["encoder", "parser"])
def test_diversities_of_sentences_are_judged_where_they_can_be(name, monkeypatch, tmp_path):
    """By a tool that stands in for the package: its two numbers become a loss, a measure and an error."""
    measure = {"encoder": "semantic", "parser": "syntactic"}[name]
    called = []

    def of(texts, tool):
        called.append(len(texts))
        return len(set(texts)) / len(texts), 0.125

    monkeypatch.setattr(extras, "find_spec", lambda package: object())
    monkeypatch.setattr("collapse_bench.lib.text.language._tool", lambda *_: (None, of))
    (tmp_path / "tool").write_text("its files")
    data = GrammarStories(**DATA, **{name: tmp_path}).sample_truth(Stream(range(3)))
    parrot = Parrot(data.truth.held_out.y)
    scores, described = data.losses(parrot, Stream(range(3))), data.diagnostics(parrot)
    real = torch.tensor([len(set(data.spell(texts))) / 20 for texts in data.truth.held_out.real.y])
    assert torch.allclose(scores[f"{measure}_lost"], 1 - (1 / 20) / real.double())
    assert described[f"{measure}_diversity"].tolist() == pytest.approx([1 / 20] * 3)
    assert described[f"{measure}_error"].tolist() == [0.125] * 3
    assert len(called) == 6  # three chains, written and real, once each
    assert data.remarks() == []


def test_language_is_judged_in_nats():
    assert Language.log_loss
    assert Language.primary == "nats"
    cell = registry().cell(
        "grammar-stories(words=30, block=12, test=4, judged=2) | ngram @ n=5 T=1", seeds=(0, 1)
    )
    for moment in generations(cell):
        assert moment.scores["nats"].isfinite().all()


def test_an_encoder_is_loaded_again_when_its_files_change(monkeypatch, tmp_path):
    monkeypatch.setattr(extras, "find_spec", lambda package: object())
    loaded = []

    def encoder(source, whose, device):
        loaded.append((source / "weights").read_text())
        return loaded[-1]

    monkeypatch.setattr("collapse_bench.lib.text.language.sentences.encoder_of", encoder)
    (tmp_path / "weights").write_text("one")
    tool = language._tool(GrammarStories(**DATA, encoder=tmp_path), "encoder", "cpu")[0]
    same = language._tool(GrammarStories(**DATA, encoder=tmp_path), "encoder", "cpu")[0]
    (tmp_path / "weights").write_text("two")
    other = language._tool(GrammarStories(**DATA, encoder=tmp_path), "encoder", "cpu")[0]
    assert (tool, same, other) == ("one", "one", "two")
    assert loaded == ["one", "two"]
