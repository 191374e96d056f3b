"""Texts are read from files, saved data sets and hubs, and what cannot be read is told in one sentence."""

from __future__ import annotations

import json

import pytest

from collapse_bench.errors import Unreachable, UsageError
from collapse_bench.plugins.generators.text._texts import Place
from collapse_bench.plugins.generators.text._tokens import BYTES, UNKNOWN, tokenizer_of

ROWS = ["One day it rained.", "Ünïcode\u2028 and\ttabs", "", "Fin."]


@pytest.fixture
def places(tmp_path):
    """The same rows, stored in every way."""
    from datasets import Dataset, DatasetDict, disable_progress_bars

    disable_progress_bars()
    rows = Dataset.from_dict({"text": ROWS, "n": list(range(4))})
    lines = "\n".join(json.dumps({"n": 1, "text": row}, ensure_ascii=False) for row in ROWS)
    (tmp_path / "rows.jsonl").write_text(lines + "\n\n", encoding="utf-8")
    (tmp_path / "rows.JSONL").write_text(lines, encoding="utf-8")
    rows.to_parquet(tmp_path / "rows.parquet")
    rows.save_to_disk(tmp_path / "saved")
    DatasetDict(train=rows, test=rows.select([0])).save_to_disk(tmp_path / "splits")
    (tmp_path / "plain.txt").write_bytes(b"\xef\xbb\xbf" + "\n".join(ROWS).encode())
    return tmp_path


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.JSONL", "rows.parquet", "saved", "splits"])
def test_rows_are_read_alike_from_everywhere(name, places):
    assert Place(places / name, "text").texts() == ROWS


def test_a_plain_file_is_one_text_without_its_mark(places):
    assert Place(places / "plain.txt", "text").texts() == ["\n".join(ROWS)]


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_line_ends_of_other_systems_are_line_ends(end, tmp_path):
    (tmp_path / "a.txt").write_bytes(end.join(["one", "two\x0cpage", ""]).encode())
    assert Place(tmp_path / "a.txt", "text").texts() == ["one\ntwo\x0cpage\n"]
    lines = [json.dumps({"text": f"{word}\r\n"}) for word in ("one", "two")]
    (tmp_path / "a.jsonl").write_bytes(end.join(lines).encode())
    assert Place(tmp_path / "a.jsonl", "text").texts() == ["one\r\n", "two\r\n"]


def test_a_split_is_chosen(places):
    assert Place(places / "splits", "text", split="test").texts() == ROWS[:1]


def refused(kind, *place, **more):
    with pytest.raises(kind) as refusal:
        Place(*place, **more).texts()
    said = str(refusal.value)
    assert "\n" not in said
    assert said.startswith("text: ")
    return said


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"x", "ends in .csv; texts are read from .txt, .jsonl, .parquet, a folder"),
        ("a", b"x", "ends in nothing"),
        ("a.txt", b"fine \xff not", "is not UTF-8 (byte 5 is 0xff)"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "b"\n', "line 2 of"),
        ("a.jsonl", b'{"text": "a"}\n{"body": "b", "n": 2}\n', "line 2 of"),
        ("a.jsonl", b'{"text": 7}\n', "has no text under 'text' (it has text)"),
        ("a.jsonl", b'["text"]\n', "(it has list)"),
        ("a.jsonl", b'\n{"text": "a\\ud83d"}\n', r"line 2 of"),
        ("a.jsonl", b'{"text": "\\udc00"}\n', r"holds '\udc00', one half of a character"),
        ("a.jsonl", b'{"\\ud800": 7}\n', r"(it has \ud800)"),
        ("a.jsonl", b"[" * 100_000, "line 1 of"),
        ("a.jsonl", "\ufeff{}".encode("utf-16-le"), "is UTF-16, and texts are read as UTF-8"),
        ("a.txt", "\ufefftext".encode("utf-16-be"), "convert it with iconv -f utf-16 -t utf-8"),
        ("a.txt", "\ufefftext".encode("utf-32-le"), "is UTF-32"),
        ("a.txt", "text".encode("utf-16-le"), "holds the character 0 at place 1"),
        ("a.parquet", b"PAR1 and no more", "cannot be read as a data set"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_sentence(name, content, words, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert words in refused(UsageError, tmp_path / name, "text")


def test_what_a_data_set_lacks_is_told(places, tmp_path):
    assert "has no column 'body'; set field to one of text, n" in refused(
        UsageError, places / "rows.parquet", "text", "body"
    )
    assert "has no split 'dev'; choose one of train, test" in refused(
        UsageError, places / "splits", "text", split="dev"
    )
    assert "has no splits; leave out split=dev" in refused(
        UsageError, places / "saved", "text", split="dev"
    )
    (tmp_path / "empty").mkdir()
    assert "cannot be read as a data set" in refused(UsageError, tmp_path / "empty", "text")


def test_a_hub_without_network_is_told():
    said = refused(Unreachable, "owner/name", "text", revision="v2")
    assert 'the data set "owner/name" at revision v2' in said
    assert "give the path of a local copy" in said


# -- tokens ---------------------------------------------------------------------------------------------------------

TEXT = "The owl sang. The owl, it ran — the end\n\nThe owl slept"


@pytest.mark.parametrize(("kind", "size"), [("bytes", 7), ("bpe", 256), ("bpe", 300)])
def test_bytes_and_byte_pairs_give_back_any_text(kind, size):
    tokenizer = tokenizer_of(kind, [TEXT], size, "text")
    for text in (TEXT, "unseen: Ωμέγα 🦉", ""):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert all(0 <= token < len(tokenizer.vocabulary) for token in tokenizer.encode(TEXT))
    assert BYTES <= len(tokenizer.vocabulary) <= max(BYTES, size)
    assert len(set(tokenizer.vocabulary)) == len(tokenizer.vocabulary)
    assert tokenizer.encode_all([TEXT, "a"]) == [tokenizer.encode(TEXT), tokenizer.encode("a")]


def test_byte_pairs_learn_the_same_every_time():
    one, two = (tokenizer_of("bpe", [TEXT * 3, "more of it"], 280, "text") for _ in range(2))
    assert one.vocabulary == two.vocabulary
    assert len(one.encode(TEXT)) < len(TEXT.encode())


def test_words_keep_the_frequent_ones():
    tokenizer = tokenizer_of("words", [TEXT], 4, "text")
    assert tokenizer.vocabulary == (
        UNKNOWN,
        "The",
        "owl",
        "sang",
    )  # sang, like others once, came first
    assert tokenizer.encode("The owl ran.") == [1, 2, 0, 0]
    assert tokenizer.decode([1, 2, 0]) == f"The owl {UNKNOWN}"


@pytest.mark.slow
def test_the_tokenizer_of_a_checkpoint(tmp_path):
    from transformers import PreTrainedTokenizerFast

    learnt = tokenizer_of("bpe", [TEXT], 280, "text")
    PreTrainedTokenizerFast(tokenizer_object=learnt.inner).save_pretrained(tmp_path / "here")
    found = tokenizer_of(tmp_path / "here", [], 0, "text: tokenizer")
    assert found.vocabulary == learnt.vocabulary
    assert found.encode(TEXT) == learnt.encode(TEXT)
    assert found.decode(found.encode(TEXT)) == TEXT
    assert found.encode_all([TEXT, "a"]) == learnt.encode_all([TEXT, "a"])
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="does not contain a readable tokenizer"):
        tokenizer_of(tmp_path / "none", [], 0, "text: tokenizer")
    with pytest.raises(Unreachable, match='the tokenizer "owner/name" is not a local path'):
        tokenizer_of("owner/name", [], 0, "text: tokenizer")


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """A byte-pair tokenizer with an end of texts, a special mark, and a token that was added."""
    from transformers import PreTrainedTokenizerFast

    place = tmp_path_factory.mktemp("marked")
    inner = tokenizer_of("bpe", [TEXT], 280, "text").inner
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|endoftext|>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|user|>"]})
    tokenizer.add_tokens(["<tool>"])
    tokenizer.save_pretrained(place)
    return place


def test_special_tokens_that_are_written_in_a_text_are_text(marked):
    tokenizer = tokenizer_of(marked, [], 0, "text: tokenizer")
    end, user, tool = map(tokenizer.vocabulary.index, ("<|endoftext|>", "<|user|>", "<tool>"))
    text = "The owl sang.<|endoftext|>The owl, <|user|> it ran <tool>"
    (row,) = tokenizer.encode_all([text])
    assert row == tokenizer.encode(text)
    assert not {end, user} & set(row)
    assert tool in row  # an ordinary token
    assert tokenizer.decode(row) == text


def test_a_tokenizer_that_makes_special_tokens_of_text_is_refused(marked, monkeypatch):
    tokenizer = tokenizer_of(marked, [], 0, "text: tokenizer")
    call = type(tokenizer.inner).__call__
    monkeypatch.setattr(
        type(tokenizer.inner),
        "__call__",
        lambda self, texts, split_special_tokens, **how: call(self, texts, **how),
    )
    with pytest.raises(UsageError) as refusal:
        tokenizer.encode("The owl sang.<|endoftext|>The owl")
    assert "encodes '<|endoftext|>', which is written in the text" in str(refusal.value)
    assert str(refusal.value).startswith(f"text: tokenizer: {marked} ")
