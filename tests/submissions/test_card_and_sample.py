"""The method card, and how sure a sample of cells makes."""

from __future__ import annotations

import itertools
import math
import tomllib

import forge
import pytest

from collapse_bench.errors import UsageError
from collapse_bench.submissions.card import KNOWN_TRACKS, Card, read_card, template, to_fill
from collapse_bench.submissions.fresh import Averted, averted, lost
from collapse_bench.submissions.sampling import confidence, drawn, seen, surely_seen

GOOD = forge.CARD_TEXT.format(name="mine(strength=2)", track="verifier+real")


def test_a_card_is_read():
    card = read_card(GOOD.encode())
    assert card.mitigation == "mine(strength=2)"
    assert card.track == "real+verifier"  # in the order of the tracks


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("licence = ", "license = "), "unknown key 'license'; did you mean 'licence'"),
        (('title = "A method"\n', ""), "the key 'title' is missing"),
        (("verifier+real", "verifyer"), "'verifyer' is no track; did you mean 'verifier'"),
        (("Apache-2.0", "TODO e.g. Apache-2.0"), "licence is still to be filled in"),
        (("mine(strength=2)", "mine("), "mitigation: "),
        (("[[authors]]", "[[authors"), "cannot be read as TOML"),
        (('"A. Author"', "7"), "authors[0].name"),
    ],
)
def test_a_fault_of_a_card_is_one_sentence(change, sentence):
    with pytest.raises(UsageError) as problem:
        read_card(GOOD.replace(*change).encode(), "card.toml")
    assert sentence in str(problem.value)
    assert "\n" not in str(problem.value)


def test_all_faults_of_a_card_are_one_sentence():
    bad = (
        GOOD.replace("What it does, in more than twenty characters.", " too short ")
        .replace("A method", "TODO a name")
        .replace("licence = ", "license = ")
        .replace('"A. Author"', '"A. Author"\nmail = "a@b"')
    )
    with pytest.raises(UsageError) as problem:
        read_card(bad.encode(), "card.toml", {"mitigation": "other", "track": "real"})
    assert str(problem.value) == (
        "card.toml: title is still to be filled in; description has 9 characters, at least 20 "
        "needed; unknown key 'mail' in authors[0]; known: affiliation, name; unknown key 'license'; did "
        "you mean 'licence'?; it is the card of 'mine(strength=2)', not of 'other'; it claims the "
        "track verifier+real, and the ledger shows real; write what the ledger shows"
    )
    many = "".join(f"key_{i} = 1\n" for i in range(15))
    with pytest.raises(UsageError, match=r"; and 5 more$"):
        read_card((many + GOOD).encode())


def test_a_card_may_say_the_same_in_other_words():
    known = {"mitigation": "mine(strength=2)", "track": "real+verifier"}
    assert read_card(GOOD.encode(), "card.toml", known).track == "real+verifier"


def test_a_template_is_a_card_that_is_to_be_filled_in():
    text = template({"mitigation": "mine", "track": "blind"})
    with pytest.raises(UsageError) as problem:
        read_card(text.encode())
    unfilled = to_fill(tomllib.loads(text))
    assert unfilled == ["title", "description", "licence", "authors[0].name"]
    # and no other fault of it
    assert str(problem.value) == f"the card: {', '.join(unfilled)} are still to be filled in"


def test_a_template_says_what_each_key_must_contain():
    above, comments = [], {}
    for line in template({"mitigation": "mine", "track": "blind"}).splitlines():
        if line.startswith("# "):
            above.append(line)
        elif line:
            comments[line.partition(" =")[0]] = " ".join(above)
            above = []
    assert set(Card.model_fields) - {"authors", "code"} <= set(comments)
    assert "20 to 4000 characters" in comments["description"]
    assert "1 to 200 characters" in comments["title"]
    assert all(track in comments["track"] for track in KNOWN_TRACKS)
    assert "optional" in comments["paper"]


def test_a_filled_template_is_a_card():
    text = template({"mitigation": "mine", "track": "blind"})
    for place, value in (
        ("TODO a name for people", "Mine"),
        ("TODO what it does", "x" * 20),
        ("TODO e.g. Apache-2.0", "MIT"),
        ("TODO your name", "A. Author"),
    ):
        assert text.count(place) == 1
        text = text.replace(place, value)
    optional = text.index("# [code]")
    code = text[optional:].replace("# ", "").replace("40 hex digits", "0" * 40)
    assert read_card(text.encode()).code is None
    card = read_card((text[:optional] + code.replace("https://...", "https://a.org")).encode())
    assert card.code is not None


@pytest.mark.parametrize(("total", "false", "m"), [(6, 2, 3), (5, 1, 2), (7, 3, 1), (4, 0, 2)])
def test_the_chance_to_see_a_false_cell_is_that_of_all_samples(total, false, m):
    samples = list(itertools.combinations(range(total), m))
    hit = sum(any(i < false for i in sample) for sample in samples)
    assert seen(total, false, m) == pytest.approx(hit / len(samples))


def test_for_few_draws_the_chance_is_that_with_replacement():
    assert seen(10_000, 1000, 5) == pytest.approx(1 - 0.9**5, rel=1e-3)
    assert confidence(20, 4)[0.5] == pytest.approx(1 - math.comb(10, 4) / math.comb(20, 4))
    assert surely_seen(20, 20) == pytest.approx(1 / 20)
    assert surely_seen(20, 1) == pytest.approx(19 / 20)


def test_a_sample_is_that_of_its_key():
    names = [f"cell {i}" for i in range(50)]
    first = drawn(names, names, 5, "a")
    assert first == drawn(names, names, 5, "a")
    assert len(set(first)) == 5
    counts = dict.fromkeys(names, 0)
    for key in range(2000):
        for name in drawn(names, names, 5, str(key)):
            counts[name] += 1
    expected, error = 200, math.sqrt(2000 * 0.1 * 0.9)
    assert max(abs(count - expected) for count in counts.values()) < 4.5 * error


def test_what_is_averted_is_0_for_none_and_1_for_nature():
    losses = {"none": [1.0, 2.0, 4.0], "nature": [0.1, 0.11, 0.09]}
    assert averted({**losses, "method": losses["none"]}, 1e-9, False).mean == pytest.approx(0)
    assert averted({**losses, "method": losses["nature"]}, 1e-9, False).mean == pytest.approx(1)
    flat = {"none": [1.0, 2.0, 1.5], "nature": [1.0, 2.1, 1.4], "method": [1.0, 2.0, 1.5]}
    assert averted(flat, 1e-9, False) is None


def test_the_interval_of_a_loss_uses_the_larger_error():
    same = [(Averted(0.5, 0.1), Averted(0.5, 0.1))] * 2
    *_, low, high = lost(same)
    assert (low, high) == pytest.approx((-0.196, 0.196))  # two tasks of error sqrt(.02) each
    apart = [(Averted(1.0, 0.0), Averted(0.0, 0.0)), (Averted(0.0, 0.0), Averted(0.0, 0.0))]
    *_, low, high = lost(apart)
    assert (low, high) == pytest.approx((0.5 - 0.98, 0.5 + 0.98))
