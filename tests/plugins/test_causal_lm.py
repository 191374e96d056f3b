"""The causal language model: its law, its writing, its checkpoints, and what it refuses."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass, replace

import pytest
import torch

from collapse_bench import Cell, UsageError
from collapse_bench.core.components import DataGenerator
from collapse_bench.core.corpus import Corpus
from collapse_bench.core.identity import fingerprint
from collapse_bench.core.rng import Stream
from collapse_bench.errors import DataChanged, Unreachable
from collapse_bench.plugins.models.causal_lm._pretrained import small_llama
from collapse_bench.plugins.protocols.standard import Replace
from collapse_bench.records.checkpoint import packed, unpacked
from collapse_bench.registry.discovery import registry

V, L = 4, 5


def model(**settings):
    values = {"layers": 1, "width": 16, "heads": 2, "steps": 60, "batch": 32, "lr": 0.02} | settings
    text = ", ".join(
        f'{name}="{value}"' if name == "checkpoint" else f"{name}={value}"
        for name, value in values.items()
    )
    return registry().build("model", f"causal-lm({text})")


def lessons(n: int = 60, prompt: int = 1) -> Corpus:
    """Walks 0, 1, 2, 3, 0, ... from any start that end after a 3; a third of them leaves out the first step."""
    x = torch.arange(n)[:, None] % V
    y = (x + 1 + (torch.arange(n)[:, None] % 3 == 0) + torch.arange(L)) % V
    y[(y == V - 1).cumsum(-1) - (y == V - 1).long() > 0] = -1
    return Corpus.of(x[:, :prompt], y, (), labels=V)


@pytest.fixture(scope="module")
def taught():
    return model(steps=200, cosine="true").fit(lessons(), Stream(0).at("fit"))


def every(L: int) -> torch.Tensor:
    """All sequences of up to L tokens, ended ones padded by -1."""
    found = []
    for k in range(L + 1):
        found += [(*some, *[-1] * (L - k)) for some in itertools.product(range(V), repeat=k)]
    return torch.tensor(found)


@pytest.mark.parametrize("prompt", [0, 1])
def test_all_texts_together_have_probability_one(prompt):
    teacher = model(steps=5).fit(lessons(prompt=prompt), Stream(1).at("fit"))
    for settings in ({}, {"temperature": 0.5}, {"top_k": 2}, {"top_p": 0.8}, {"min_p": 0.3}):
        texts = every(3)
        x = torch.ones(len(texts), prompt, dtype=torch.int64)
        logp = teacher.decoded(**settings).logp(x, texts)
        assert float(logp.sum(-1).exp().sum()) == pytest.approx(1, abs=1e-5), settings
        over = (texts < 0).cumsum(-1) > 1
        assert (logp[over] == 0).all()


def test_it_learns_what_comes_next_and_where_texts_end(taught):
    corpus = lessons()
    nats = -taught.logp(corpus.x, corpus.y).sum(-1).mean()
    least = math.log(3) / 3 + math.log(1.5) * 2 / 3  # nothing but the first step is uncertain
    assert least - 1e-6 < float(nats) < least + 0.1


def test_writing_follows_the_law(taught):
    """Every text is written as often as its probability says, at plain and at other decodings."""
    n = 4000
    x = torch.zeros(n, 1, dtype=torch.int64)
    for settings in ({}, {"temperature": 2.0}, {"top_k": 2, "temperature": 3.0}):
        teacher = replace(taught.decoded(**settings), length=2)
        texts = every(2)
        p = teacher.logp(x[: len(texts)], texts).sum(-1).exp()
        said = teacher.answer(x, Stream(3).at("said", str(settings)))
        share = (said[:, None] == texts).all(-1).double().mean(0)
        error = (p * (1 - p) / n).sqrt().clamp_min(1 / n)
        assert ((share - p).abs() / error).max() < 4.5, settings


def test_what_is_kept_of_earlier_tokens_changes_nothing(taught):
    """Greedy writing equals the likeliest token of a network that reads everything anew at each step."""
    x = torch.arange(V)[:, None]
    said = taught.decoded(top_k=1).answer(x, Stream(0).at("said"))
    ids = x
    for i in range(L):
        with torch.no_grad():
            token = taught.module(input_ids=ids).logits[:, -1].argmax(-1)
        alive = (ids[:, 1:] != taught.end).all(-1)
        assert torch.equal(said[alive, i], torch.where(token == taught.end, -1, token)[alive])
        assert (said[~alive, i] == -1).all()
        ids = torch.cat([ids, token[:, None]], -1)


def test_a_row_is_written_alike_whoever_stands_beside_it(taught):
    x = torch.arange(150)[:, None] % V
    few, many = (taught.answer(x[:n], Stream(5).at("said")) for n in (40, 150))
    assert torch.equal(few, many[:40])


def test_no_question_is_no_answer(taught):
    """A protocol may ask for no synthetic row at all."""
    x, y = torch.zeros(0, 1, dtype=torch.int64), torch.zeros(0, L, dtype=torch.int64)
    assert taught.answer(x, Stream(0).at("a")).shape == taught.logp(x, y).shape == (0, L)
    assert taught.redraw(x, y, y > 0, Stream(0).at("r")).shape == (0, L)


def test_beam_search_finds_the_likeliest_text(taught):
    wide = replace(taught, beam=(V + 1) ** 2, length=3)
    said = wide.answer(torch.zeros(1, 1, dtype=torch.int64), Stream(0).at("said"))
    texts = every(3)
    logp = taught.logp(torch.zeros(len(texts), 1, dtype=torch.int64), texts).sum(-1)
    length = (texts >= 0).sum(-1) + (texts[:, -1] < 0)
    best = (
        logp / length
    ).argmax()  # a search compares means over what is written, the end included
    assert torch.equal(said[0], texts[best])
    with pytest.raises(Exception, match="choose beam=1"):
        wide.decoded(temperature=2.0)


def test_a_processor_sees_what_stands_before():
    seen = []

    def forbid_twice(logp, context):
        seen.append(tuple(context.shape))
        last = context[..., -1:]
        return logp.scatter(-1, last.clamp_min(0), -torch.inf)

    teacher = model(steps=1).fit(lessons(), Stream(0).at("fit")).decoded(processor=forbid_twice)
    said = teacher.answer(torch.zeros(50, 1, dtype=torch.int64), Stream(0).at("said"))
    both = (said[:, 1:] >= 0) & (said[:, :-1] >= 0)
    assert not ((said[:, 1:] == said[:, :-1]) & both).any()
    assert {shape[-1] for shape in seen} == set(range(1, L + 1))
    twice = torch.tensor([[2, 2, -1, -1, -1]])
    assert teacher.logp(torch.tensor([[1]]), twice)[0, 1] == -torch.inf


def test_redraw_touches_marked_tokens_alone_and_follows_the_law(taught):
    hot = taught.decoded(temperature=5.0)
    n = 3000
    x, y = torch.zeros(n, 1, dtype=torch.int64), torch.tensor([1, 2, 3, -1, -1]).repeat(n, 1)
    mask = torch.zeros(n, L, dtype=torch.bool)
    mask[:, 1] = mask[:, 4] = True
    again = hot.redraw(x, y, mask, Stream(0).at("redraw"))
    assert torch.equal(again[:, [0, 2, 3, 4]], y[:, [0, 2, 3, 4]])  # what is over stays over
    each = y[:V].clone()
    each[:, 1] = torch.arange(V)
    p = hot.logp(x[:V], each)[:, 1].exp()
    p /= p.sum()  # the end is not drawn
    share = torch.nn.functional.one_hot(again[:, 1], V).double().mean(0)
    assert ((share - p).abs() / (p * (1 - p) / n).sqrt()).max() < 4.5


def test_blend_of_weights(taught):
    other = model(steps=1).fit(lessons(), Stream(9).at("fit"))
    x, y = lessons().x, lessons().y
    torch.testing.assert_close(taught.blend(other, 0.0).logp(x, y), taught.logp(x, y))
    torch.testing.assert_close(
        taught.blend(other, 1.0).logp(x, y), other.logp(x, y), atol=1e-5, rtol=1e-5
    )
    mine, theirs, both = (
        next(t.module.parameters()) for t in (taught, other, taught.blend(other, -0.5))
    )
    torch.testing.assert_close(both, 1.5 * mine - 0.5 * theirs)


def test_it_survives_a_checkpoint(taught):
    content, weights = packed(taught)
    assert sum(w.numel() for w in weights.values()) == sum(
        p.numel() for p in taught.module.parameters()
    )
    assert len(content) < 100_000
    back = unpacked(content, weights)
    x, y = lessons().x, lessons().y
    assert torch.equal(back.logp(x, y), taught.logp(x, y))
    assert torch.equal(back.answer(x, Stream(0).at("a")), taught.answer(x, Stream(0).at("a")))


def test_another_loss_is_obeyed():
    still = model(steps=30, lr=0.1).with_loss(lambda logp, y: 0 * logp[:, 0])
    kept, start = (m.fit(lessons(), Stream(2).at("fit")) for m in (still, model(steps=1, lr=1e-9)))
    for mine, theirs in zip(kept.module.parameters(), start.module.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=0)


def test_validation_stops_before_it_is_too_late():
    """Validation rows that say the opposite: the best is close to where it began."""
    rows = lessons()
    astray = rows.edited(y=torch.where(rows.y < 0, -1, (rows.y + 2) % V))
    teacher = model(steps=100).with_validation(astray).fit(rows, Stream(0).at("fit"))
    assert teacher.account["stopped_at"] <= 10


def test_prompts_are_learnt_on_demand():
    corpus = Corpus.of(torch.tensor([[0, 1, 2, 3]] * 8), torch.tensor([[0, -1]] * 8), (), labels=V)
    units = {
        on: model(steps=1, loss_on=on).fit(corpus, Stream(0).at("fit")).account["units"]
        for on in ("answer", "all")
    }
    assert units == {"answer": 8 * 2, "all": 8 * 5}


# -- checkpoints ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Walks(DataGenerator):
    """The walk above as data; ``said`` is the vocabulary, ``long`` the tokens of a row."""

    said: tuple[str, ...] | None = ("a", "b", "c", "d")
    long: int = 6

    kind = "sequence"
    continues_prompt = True
    labels = V

    @property
    def vocabulary(self):
        return self.said

    @property
    def span(self):
        return self.long


def cell(student, **data) -> Cell:
    return Cell(Walks(**data), student, Replace())


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A Llama of six ids with a tokenizer: four words, an end, and one that stands for nothing."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    place = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    net = small_llama(6, 16, 1, 2)
    net.config.eos_token_id, net.config.bos_token_id = 4, None
    net.config.max_position_embeddings = 8
    net.save_pretrained(place)
    raw = Tokenizer(models.WordLevel({"a": 0, "b": 1, "c": 2, "d": 3, "<end>": 4}, unk_token="a"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>").save_pretrained(place)
    return place


def test_a_checkpoint_is_where_training_begins(checkpoint):
    corpus = lessons()
    barely = model(checkpoint=checkpoint, steps=1, lr=1e-9).fit(corpus, Stream(0).at("fit"))
    again = model(checkpoint=checkpoint, steps=1, lr=1e-9).fit(corpus, Stream(7).at("fit"), barely)
    assert barely.end == 4
    torch.testing.assert_close(barely.logp(corpus.x, corpus.y), again.logp(corpus.x, corpus.y))
    texts = every(3)
    total = barely.logp(torch.zeros(len(texts), 1, dtype=torch.int64), texts).sum(-1).exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-5)  # the id that stands for nothing has no share
    assert int(barely.answer(corpus.x, Stream(0).at("said")).max()) < V


def test_init_says_from_where(checkpoint):
    corpus, rng = lessons(), Stream(0).at("fit")
    shares = {}
    for init in ("pretrained", "scratch", "previous"):
        student = model(checkpoint=checkpoint, init=init, steps=1, lr=1e-9)
        before = model(checkpoint=checkpoint, init=init, steps=40).fit(corpus, rng)
        shares[init] = float(student.fit(corpus, rng, before).logp(corpus.x, corpus.y).sum())
        learnt = float(before.logp(corpus.x, corpus.y).sum())
        assert (shares[init] == pytest.approx(learnt, rel=1e-4)) == (init == "previous")
    assert shares["pretrained"] != pytest.approx(shares["scratch"])


def test_low_rank_adapters_train_little_and_are_merged(checkpoint):
    pytest.importorskip("peft")
    corpus = lessons()
    full, low = (model(checkpoint=checkpoint, **more) for more in ({}, {"lora": 2}))
    assert low.incompatibility(cell(low)) is None
    teacher = low.fit(corpus, Stream(0).at("fit"))
    start = model(checkpoint=checkpoint, steps=1, lr=1e-9).fit(corpus, Stream(0).at("fit"))
    assert type(teacher.module) is type(start.module)
    moved = {
        name: torch.linalg.matrix_rank((mine - theirs).float(), atol=1e-5).item()
        for (name, mine), theirs in zip(
            teacher.module.named_parameters(), start.module.parameters(), strict=True
        )
        if mine.ndim == 2
    }
    assert max(moved.values()) == 2
    assert moved["model.embed_tokens.weight"] == 0
    losses = [
        -float(t.logp(corpus.x, corpus.y).sum())
        for t in (start, teacher, full.fit(corpus, Stream(0).at("fit")))
    ]
    assert losses[0] > losses[1] > losses[2]


def test_what_a_checkpoint_is_refused_for(checkpoint, tmp_path):
    def said(student, **data):
        return student.incompatibility(cell(student, **data))

    assert said(model(checkpoint=checkpoint)) is None
    assert "reads at most 8 tokens, and a row of Walks has 9" in said(
        model(checkpoint=checkpoint), long=9
    )
    for strange in (None, ("a", "b", "d", "c")):
        assert "has a vocabulary of 6 tokens" in said(model(checkpoint=checkpoint), said=strange)
        assert said(model(checkpoint=checkpoint, init="scratch"), said=strange) is None
    place = tmp_path / "spoilt"

    def spoilt(name, content):
        place.mkdir(exist_ok=True)
        for file in checkpoint.iterdir():
            (place / file.name).write_bytes(file.read_bytes())
        (place / name).write_bytes(content)
        return said(model(checkpoint=place))

    weights = (checkpoint / "model.safetensors").read_bytes()
    assert "is damaged" in spoilt("model.safetensors", weights[:-10])
    assert "is damaged" in spoilt("model.safetensors", b"")
    assert "cannot be read" in spoilt("config.json", b"{")
    assert "names no model_type" in spoilt("config.json", b"{}")
    (place / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    spoilt("model.safetensors", weights)
    (place / "model.safetensors").rename(place / "model.bin")
    assert "has no *.safetensors" in said(model(checkpoint=place))


def test_a_checkpoint_without_an_end_is_refused(checkpoint, tmp_path):
    for file in checkpoint.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    told = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**told, "eos_token_id": None}))
    with pytest.raises(Exception, match="names no end token"):
        model(checkpoint=tmp_path).fit(lessons(), Stream(0).at("fit"))


def test_a_hub_id_without_network_is_one_sentence():
    with pytest.raises(
        Unreachable, match=r'the checkpoint "gpt2".*give the path of a local copy'
    ) as refusal:
        model(checkpoint="gpt2").fit(lessons(), Stream(0).at("fit"))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"checkpoint": "no/such/place"}, "'no/such/place' does not exist"),
        ({"checkpoint": "/"}, "has no config.json"),
        ({"init": "pretrained"}, "needs a checkpoint"),
        ({"width": 10, "heads": 4}, "choose width=8"),
        ({"steps": 3, "epochs": 2}, "give either steps or epochs"),
        ({"beam": 0}, "beam must be >= 1"),
        ({"lora": 0}, "lora must be >= 1"),
        ({"init": "zero"}, "init must be one of auto, pretrained, scratch, previous"),
    ],
    ids=str,
)
def test_bad_parameters(settings, words):
    with pytest.raises(UsageError) as refusal:
        model(**settings)
    assert words in str(refusal.value)


def test_questions_that_are_no_beginning_are_refused():
    @dataclass(frozen=True)
    class Sums(Walks):
        continues_prompt = False

    assert "are not prompts" in model().incompatibility(Cell(Sums(), model(), Replace()))


def test_a_checkpoint_that_changes_after_its_id_was_made_is_refused(checkpoint, tmp_path):
    for file in checkpoint.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    student = model(checkpoint=tmp_path, steps=1)
    before = fingerprint(student)
    (tmp_path / "README.md").write_text("no reader takes it")
    assert fingerprint(model(checkpoint=tmp_path, steps=1)) == before
    torch.manual_seed(1)
    net = small_llama(6, 16, 1, 2)
    net.config.eos_token_id, net.config.bos_token_id = 4, None
    net.save_pretrained(tmp_path)
    for fitted in (student, student.with_parameters(lr=0.01)):
        with pytest.raises(
            DataChanged, match=r"data in .* changed during the run: .*model\.safetensors"
        ):
            fitted.fit(lessons(), Stream(0).at("fit"))
    model(checkpoint=tmp_path, steps=1).fit(lessons(), Stream(0).at("fit"))
