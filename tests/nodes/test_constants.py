"""Plain values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphflow.errors import InvalidInputError, LimitError
from graphflow.nodes import (
    bool_value,
    compare,
    float_math,
    float_value,
    int_math,
    int_range,
    int_value,
    seed_value,
    text_join,
    text_lines,
    text_replace,
    text_value,
)


def test_constants_return_what_they_hold() -> None:
    assert int_value(3) == 3
    assert seed_value(seed=2**64 - 1) == 2**64 - 1
    assert float_value(0.5) == 0.5
    assert text_value("a") == "a"
    assert bool_value(True) is True


def test_join_leaves_out_empty_texts_unless_told() -> None:
    assert text_join("a", "", "c") == "a, c"
    assert text_join("a", "", "c", separator="|", skip_empty=False) == "a||c|"


def test_replace() -> None:
    assert text_replace("a cat and a cat", "cat", "dog") == "a dog and a dog"


def test_replace_cannot_grow_without_bound() -> None:
    with pytest.raises(LimitError):
        text_replace("a" * 100_000, "a", "b" * 10_000)


def test_lines_are_stripped_and_empty_ones_left_out() -> None:
    assert text_lines(" a \n\n b") == ("a", "b")
    assert text_lines("a\n\nb", skip_empty=False) == ("a", "", "b")
    with pytest.raises(InvalidInputError, match="no lines"):
        text_lines("\n \n")


def test_range() -> None:
    assert int_range(count=3, start=7, step=2) == (7, 9, 11)


@given(st.integers(-1000, 1000), st.integers(-1000, 1000).filter(bool))
def test_division_and_remainder_belong_together(a: int, b: int) -> None:
    quotient = int_math(a, b, "floor_divide")
    assert int_math(int_math(quotient, b, "multiply"), int_math(a, b, "modulo"), "add") == a


@pytest.mark.parametrize("operation", ["floor_divide", "modulo"])
def test_integer_division_by_zero_is_an_error(operation: str) -> None:
    with pytest.raises(InvalidInputError, match="by zero"):
        int_math(1, 0, operation)  # type: ignore[arg-type]


def test_float_math() -> None:
    assert float_math(3, 2, "divide") == 1.5
    assert float_math(3, 2, "minimum") == 2
    with pytest.raises(InvalidInputError, match="by zero"):
        float_math(1, 0, "divide")
    with pytest.raises(InvalidInputError, match="too large"):
        float_math(1e308, 1e308, "multiply")
    with pytest.raises(InvalidInputError, match="too large"):
        float_math(1e308, 1e-308, "divide")


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_comparisons_agree(a: float, b: float) -> None:
    assert compare(a, b, "less") == (not compare(a, b, "greater_equal"))
    assert compare(a, b, "equal") == (not compare(a, b, "not_equal"))
