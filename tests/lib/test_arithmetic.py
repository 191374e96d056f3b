"""Numbers as tokens and back: reading is the exact inverse of writing, and nothing else is read as a number."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from collapse_bench.lib.text.arithmetic import (
    _decode,
    _decode_by_table,
    _digits,
    _looked_up,
    _rows,
    decode,
    encode,
)
from collapse_bench.theory.gcd import digits_of


@st.composite
def numbers(draw):
    """(values (rows, k), base, digits)."""
    base, digits, k = draw(st.integers(2, 1000)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    row = st.lists(st.integers(1, base**digits - 1), min_size=k, max_size=k)
    return torch.tensor(draw(st.lists(row, min_size=1, max_size=5))), base, digits


@given(numbers())
def test_what_is_written_is_read(case):
    values, base, digits = case
    tokens = encode(values, base, digits)
    assert tokens.shape == (len(values), values.shape[1] * (1 + digits))
    assert torch.equal(decode(tokens, base, values.shape[1]), values)


@given(numbers())
def test_it_is_written_as_people_write(case):
    values, base, digits = case
    for row, spelt in zip(values.tolist(), encode(values, base, digits).tolist(), strict=True):
        due = []
        for value in row:
            figures = []
            while value:
                value, figure = divmod(value, base)
                figures.insert(0, figure)
            due += [base, *figures]
        assert spelt == due + [-1] * (len(spelt) - len(due))


@given(
    st.integers(2, 4),
    st.integers(1, 2),
    st.lists(st.lists(st.integers(-1, 5), min_size=6, max_size=6), min_size=1),
)
def test_only_numbers_are_read(base, k, rows):
    """What is read at all, written again, gives the same tokens: no second spelling of a number passes for it."""
    tokens = torch.tensor(rows)
    values = decode(tokens, base, k)
    assert values.shape == (len(rows), k)
    for row, value in zip(tokens, values, strict=True):
        if value.any():
            again = encode(value[None], base, 6)[0]
            assert (value > 0).all()
            assert torch.equal(again[:6], row)
            assert (again[6:] == -1).all()


def test_replicates_stand_in_front():
    values = torch.arange(1, 13).reshape(2, 3, 2)
    assert torch.equal(decode(encode(values, 3, 4), 3, 2), values)
    assert encode(values[:, :0], 3, 4).shape == (2, 0, 10)
    assert decode(encode(values[:, :0], 3, 4), 3, 2).shape == (2, 0, 2)


def test_digits_are_counted():
    for base in (2, 7, 10, 1000):
        for n in (1, base - 1, base, base + 1, base**3 - 1, base**3):
            assert base ** (digits_of(n, base) - 1) <= n < base ** digits_of(n, base)


@pytest.mark.parametrize(
    ("base", "width", "k"), [(2, 4, 1), (3, 3, 1), (2, 3, 2), (3, 3, 2), (4, 2, 2), (5, 1, 2)]
)
def test_tables_read_every_row_as_the_automaton_does(base, width, k):
    rows = _rows(base, k * width, torch.device("cpu"))
    read = _decode(rows, base, k)
    assert torch.equal(_decode_by_table(rows, base, k), read)
    assert torch.equal(decode(rows, base, k), read)
    assert (read > 0).all(-1).any() == (width > 1)


def test_tables_leave_rows_with_strange_tokens_to_the_automaton():
    rows = _rows(2, 6, torch.device("cpu"))
    for place, token in ((0, 3), (5, -2), (2, 10**9)):
        strange = rows.clone()
        strange[::3, place] = token
        assert torch.equal(_decode_by_table(strange, 2, 2), _decode(strange, 2, 2))


@pytest.mark.parametrize(("base", "digits", "k"), [(2, 5, 1), (3, 3, 2), (10, 2, 3)])
def test_tables_write_every_number_as_the_digits_do(base, digits, k):
    values = torch.arange(1, base**digits)[:, None].expand(-1, k).clone()
    values[:, 1:] = values[:, 1:].flip(0)
    for by_table, by_hand in zip(
        _looked_up(values, base, digits), _digits(values, base, digits), strict=True
    ):
        assert torch.equal(by_table, by_hand)
    assert torch.equal(decode(encode(values, base, digits), base, k), values)


@pytest.mark.parametrize("rows", [1, 1000])
def test_0_is_not_written(rows):
    values = torch.ones(rows, 1, dtype=torch.int64)
    values[-1] = 0
    with pytest.raises(IndexError):
        encode(values, 10, 2)
