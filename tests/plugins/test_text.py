"""Real text: blocks, prompts and their answers, what is held out, and what is refused before anything is trained."""

from __future__ import annotations

import json
import math

import pytest
import torch

from collapse_bench import UsageError, cell_of, generations
from collapse_bench.checks import outcomes
from collapse_bench.cli import main
from collapse_bench.core.identity import fingerprint
from collapse_bench.core.rng import Stream
from collapse_bench.errors import Incompatible
from collapse_bench.lib.text.language import events_of
from collapse_bench.plugins.generators import text as module
from collapse_bench.plugins.generators.text import Text
from collapse_bench.plugins.generators.text._tokens import tokenizer_of
from collapse_bench.registry.discovery import registry

PLAIN = (
    "the owl saw a kite and ran to the hill where it sang of rain by the old mill until night fell"
)
WORDS = PLAIN.split()


def sentences(n: int, seed: int = 0) -> list[str]:
    pick = Stream(seed).integers(len(WORDS), n, 9).tolist()
    return [" ".join(WORDS[i] for i in row).capitalize() + "." for row in pick]


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "book.txt"
    path.write_text("\n".join(sentences(400)))
    return path


def small(book, **settings) -> Text:
    usual = {"tokenizer": "words", "vocab": 50, "block": 12, "prompt": 4, "test": 20, "judged": 8}
    return Text(source=book, **usual | settings)


def drawn(book, chains=2, **settings):
    return small(book, **settings).sample_truth(Stream(range(chains)).at("truth"))


def rows(data, n, name="rows", chains=2):
    rng = Stream(range(chains)).at(name)
    x = data.ask(n, rng.at("x"))
    return x, data.answer(x, rng.at("y"))


@pytest.mark.parametrize(
    "settings",
    [
        {"unit": "row", "block": 8},
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"prompt": 0}, marks=pytest.mark.slow),
        pytest.param({"tokenizer": "bytes"}, marks=pytest.mark.slow),
    ],
)
def test_it_keeps_what_it_promises(book, settings):
    found = list(outcomes("generator", small(book, **settings)))
    assert [outcome for outcome in found if outcome.status == "failed"] == []
    passed = {outcome.id for outcome in found if outcome.status == "passed"}
    assert {
        "generator.losses-in-shape",
        "generator.truth-has-lowest-loss",
        "generator.pool-declared",
    } <= passed


@pytest.mark.parametrize("tokenizer", ["bytes", "bpe", "words"])
def test_blocks_are_the_text_one_after_another(book, tokenizer):
    data = drawn(book, tokenizer=tokenizer, vocab=270)
    pool, text = data.truth.blocks[: data.pool_size], book.read_text()
    learnt = text[: round(0.9 * len(text))]
    tokenizer = tokenizer_of(tokenizer, [learnt], 270, "text")
    tokens = tokenizer.encode(learnt)
    assert pool.flatten().tolist() == tokens[: len(tokens) // 12 * 12]
    assert data.vocabulary == tokenizer.vocabulary
    assert data.spell(pool[:2]) == [tokenizer.decode(tokens[:12]), tokenizer.decode(tokens[12:24])]
    assert data.labels == len(data.vocabulary) > int(data.truth.blocks.max())


def test_what_is_held_out_is_never_dealt(book):
    data = drawn(book, 1, held_out=0.3)
    pool, exam = data.pool_size, data.truth.held_out
    x, y = rows(data, 3 * pool, chains=1)
    which = data.identity(x, y)
    assert int(which.max()) < pool
    assert len(which.unique()) > 0.95 * pool  # some begin alike, and one of them answers
    asked = torch.cat([exam.x, exam.y], -1)[0]
    assert all((data.truth.blocks[pool:] == block).all(-1).any() for block in asked)
    assert 0.25 < (len(data.truth.blocks) - pool) / len(data.truth.blocks) < 0.35


def test_prompts_are_dealt_without_repetition_and_answered_truly(book):
    data = drawn(book)
    pool = data.pool_size
    x, y = rows(data, pool)
    blocks = {tuple(block) for block in data.truth.blocks[:pool].tolist()}
    found = torch.cat([x, y], -1)
    for r in range(2):
        assert {tuple(block) for block in found[r].tolist()} <= blocks
        prompts = sorted(map(tuple, x[r].tolist()))
        assert prompts == sorted(map(tuple, data.truth.blocks[:pool, :4].tolist()))
    assert not torch.equal(x[0], x[1])  # one text, in another order


def test_one_prompt_of_several_blocks_has_their_answers(tmp_path):
    """The empirical law: each block that begins so is as likely."""
    file = tmp_path / "rows.jsonl"
    lines = ["a b c"] * 1 + ["a b d"] * 2 + ["a b"] * 1 + ["c d e"] * 4 + ["x y z"] * 4
    file.write_text("\n".join(json.dumps({"text": line}) for line in lines))
    data = small(file, unit="row", block=3, prompt=1, held_out=0.34, judged=2, test=2).sample_truth(
        Stream(range(1))
    )
    n = 4000
    token = {word: i for i, word in enumerate(data.vocabulary)}
    x = torch.full((1, n, 1), token["a"])
    y = data.answer(x, Stream([3]))
    expected = {
        (token["b"], token["c"]): 1 / 4,
        (token["b"], token["d"]): 1 / 2,
        (token["b"], -1): 1 / 4,
    }
    for answer, p in expected.items():
        seen = int((y == torch.tensor(answer)).all(-1).sum())
        assert abs(seen - n * p) < 4.5 * math.sqrt(n * p * (1 - p))
        logp = data.logp(x[:, :1], torch.tensor([[answer]]))
        assert logp.exp().tolist()[0][0] == pytest.approx([1, p])
    ended = data.logp(x[:, :1], torch.tensor([[[-1, -1]]]))
    assert ended.tolist() == [[[-math.inf, 0]]]
    with pytest.raises(Incompatible, match="a prompt does not occur in this text"):
        data.answer(torch.full((1, 1, 1), token["b"]), Stream([3]))


def test_equal_blocks_are_one_row_of_the_ledger(tmp_path):
    file = tmp_path / "same.txt"
    file.write_text("to be or not\n" * 50 + "what else is there\n" * 10)
    data = small(file, unit="row", block=4, prompt=0, held_out=0.2, judged=2, test=2)
    cell = cell_of(f"{_spec(data)} | ngram | replace @ n=30 T=1", seeds=(1, 2))
    *_, last = generations(cell)
    assert last.ledger.total("real_unique").tolist() == [1, 1]
    assert last.ledger.total("real_rows") == 30


def _spec(data):
    from collapse_bench.core.identity import written

    return written(data)


def test_prompts_and_tokens_are_on_the_ledger(book):
    cell = cell_of(f"{_spec(small(book))} | ngram | mix(real=0.5) @ n=10 T=2", seeds=(1, 2, 3))
    *_, last = generations(cell)
    total = last.ledger.total
    # generation 0 reads 10 real rows, 1 and 2 five real and five of their own each
    assert total("real_rows") == 20
    assert total("real_tokens").tolist() == [20 * 12] * 3
    assert total("prompt_tokens").tolist() == [10 * 4] * 3
    assert (total("generated_tokens") <= 10 * 8).all()


def test_rows_end_and_short_ones_are_left_out(tmp_path):
    file = tmp_path / "names.txt"
    file.write_text("\n".join(["anna", "bo", "", "c", "emmeline"] * 20))
    data = small(file, unit="row", tokenizer="bytes", block=6, prompt=1).sample_truth(Stream([0]))
    words = {word for block in data.truth.blocks for word in data.spell(block[None])}
    assert words == {"anna", "bo", "emmeli"}
    events = events_of(data.truth.blocks).sum(-1)
    assert sorted(events.unique().tolist()) == [3, 5, 6]  # the end counts where there is one


@pytest.mark.parametrize("kind", ["file", "split"])
def test_another_text_may_be_the_exam(kind, book, tmp_path):
    other = sentences(60, seed=9)
    if kind == "file":
        path = tmp_path / "other.txt"
        path.write_text("\n".join(other))
        data = drawn(book, exam=path, tokenizer="bytes")
        assert data.pool_size == len(book.read_text()) // 12  # nothing is cut off
    else:
        from datasets import Dataset, DatasetDict, disable_progress_bars

        disable_progress_bars()
        sets = {
            "train": Dataset.from_dict({"text": sentences(90)}),
            "test": Dataset.from_dict({"text": other}),
        }
        DatasetDict(sets).save_to_disk(tmp_path / "saved")
        data = drawn(tmp_path / "saved", exam="test", tokenizer="bytes")
        assert data.pool_size == len("\n".join(sentences(90))) // 12
    (exam,) = data.spell(data.truth.blocks[data.pool_size :].reshape(1, -1))
    assert exam == "\n".join(other)[: len(exam)]
    assert len(exam) > len("\n".join(other)) - 12


def test_content_and_not_the_path_makes_the_cell(book, tmp_path):
    copy = tmp_path / "copy.txt"
    copy.write_bytes(book.read_bytes())
    cells = [cell_of(f'text(source="{path}") | ngram @ n=10 T=1') for path in (book, copy)]
    assert cells[0].id == cells[1].id
    copy.write_text(book.read_text() + "!")
    assert cell_of(f'text(source="{copy}") | ngram @ n=10 T=1').id != cells[0].id
    hub = cell_of('text(source="owner/name", revision=v1) | ngram @ n=10 T=1')
    assert hub.canonical["data"]["params"]["source"] == "owner/name"


def test_a_saved_data_set_is_the_files_that_hold_its_splits(tmp_path):
    from datasets import Dataset, DatasetDict, disable_progress_bars

    disable_progress_bars()
    folder = tmp_path / "saved"
    sets = {
        name: Dataset.from_dict({"text": sentences(30, seed)})
        for seed, name in enumerate(("train", "test", "dev"))
    }
    DatasetDict(sets).save_to_disk(folder)

    def hashed(**settings):
        return fingerprint(small(folder, **settings))["params"]["source"]

    def edit(split):
        (file,) = (folder / split).glob("data-*.arrow")
        file.write_bytes(file.read_bytes() + b"\0")

    train, both = hashed(), hashed(exam="test")
    (folder / "train" / "cache-0123.arrow").write_bytes(b"stray")
    (folder / ".DS_Store").write_bytes(b"stray")
    edit("dev")
    assert (hashed(), hashed(exam="test")) == (train, both)
    assert hashed(split="test") != train
    edit("test")
    assert hashed() == train
    assert hashed(exam="test") != both
    edit("train")
    assert hashed() != train


def test_each_file_is_cut_as_its_own_kind_and_blamed_by_its_own_name(tmp_path):
    """Rows of an exam in a .txt are its lines, whatever the source is."""
    source, exam = tmp_path / "rows.jsonl", tmp_path / "lines.txt"
    source.write_text("".join(f'{{"text": "row {i} of the source"}}\n' for i in range(20)))
    exam.write_text("".join(f"line {i} of the exam\n" for i in range(30)))
    spec = f'text(source="{source}", exam="{exam}", unit=row, tokenizer=bytes, block=12, prompt=1, test=50, judged=4)'
    data = registry().build("generator", spec).sample_truth(Stream([0]))
    assert data.pool_size == 20
    assert data.truth.held_out.y.shape[-2] == 30
    exam.write_text("  \n")
    with pytest.raises(UsageError, match=r"lines\.txt is empty"):
        registry().build("generator", spec.replace("block=12", "block=13")).sample_truth(
            Stream([0])
        )


def test_a_mark_in_the_text_ends_no_block(book, tmp_path):
    """A model that starts from the checkpoint would take the mark for the end of a text."""
    from transformers import PreTrainedTokenizerFast

    inner = tokenizer_of("bpe", [book.read_text()], 280, "text").inner
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|endoftext|>")
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    file = tmp_path / "marked.txt"
    file.write_text("<|endoftext|>".join(sentences(200)))
    data = drawn(file, tokenizer=tmp_path / "tokenizer")
    end = data.vocabulary.index("<|endoftext|>")
    assert not (data.truth.blocks == end).any()
    assert "<|endoftext|>" in "".join(data.spell(data.truth.blocks[:20]))


# -- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            'source="nowhere/at/all.txt"',
            "text: source: 'nowhere/at/all.txt' does not exist; give the local path of a text",
        ),
        ("", "text needs its source"),
        (
            "source={book}, prompt=64",
            "prompt is a part of block and must be smaller; got prompt=64, block=64",
        ),
        (
            "source={book}, vocab=100",
            "a bpe vocabulary contains all 256 bytes; choose vocab >= 256, got 100",
        ),
        (
            "source={book}, tokenizer=wrods/x/y",
            "text: tokenizer (bpe, bytes or words): 'wrods/x/y' does not exist",
        ),
        ("source={book}, exam=nothing.txt", "text: exam='nothing.txt' is not a file"),
        ("source={book}, exam=validation", "exam='validation' is not a file"),
        ("source={book}, split=test", "is a file and has no splits; leave out split=test"),
        ("source={book}, held_out=1", "held_out must be > 0 and < 1"),
        ("source={book}, unit=line", "unit must be one of window, row"),
    ],
)
def test_bad_parameters_are_refused_as_they_are_typed(settings, words, book):
    settings = settings.replace("{book}", f'"{book}"').replace("wrods/x/y", '"wrods/x/y"')
    settings = settings.replace("exam=nothing.txt", 'exam="nothing.txt"')
    with pytest.raises(UsageError) as refusal:
        registry().build("generator", f"text({settings})")
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty; give a file or data set with some text"),
        (" \n \n", "is empty"),
        (
            "one two three",
            "is too short: the training part has 12 tokens, and at least 2 blocks of 12 are needed",
        ),
        ("one two three " * 8, "is too short: the held-out part has"),
    ],
)
def test_too_little_text_is_refused_before_training(content, words, tmp_path):
    file = tmp_path / "little.txt"
    file.write_text(content)
    with pytest.raises(UsageError, match=words):
        drawn(file, tokenizer="bytes")


def test_a_hub_out_of_reach_fails_its_cells_alone(tmp_path, capsys):
    """Exit code 1, one sentence, and the others are done."""
    specs = [
        'text(source="owner/name") | ngram | replace @ n=4 T=1',
        "zipf(K=5) | counts | replace @ n=4 T=1",
    ]
    with pytest.raises(SystemExit) as end:
        main(["run", *specs, "--seeds", "0:2", "-o", str(tmp_path)])
    said = capsys.readouterr()
    assert end.value.code == 1
    assert (
        'the data set "owner/name" is not a local path and could not be loaded from the hub'
        in said.err
    )
    assert "2 done" in said.err
    assert "Traceback" not in said.err


def test_a_hub_is_asked_once(monkeypatch):
    asked = []

    def refuse(self):
        asked.append(self.source)
        raise module.Unreachable("not there")

    monkeypatch.setattr(module.Place, "texts", refuse)
    data = Text(source="owner/asked-once")
    assert data.pool_size is None
    for _ in range(3):
        with pytest.raises(module.Unreachable, match="not there"):
            data.sample_truth(Stream([0]))
    assert asked == ["owner/asked-once"]
