"""Numbers: computed, converted, drawn, and sizes made of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphflow import nodes
from graphflow.errors import InvalidInputError
from graphflow.nodes.plain.expressions import evaluate

small = st.integers(-1000, 1000)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a + b * c", 3 + 4 * 5),
        ("(a + b) * c", 35),
        ("-a ** 2", -9),
        ("a // 2 + a % 2 + b / 8", 2.5),
        ("a if a > b else b", 4),
        ("1 < a <= 3 and not b == 3", True),
        ("a > 100 or c", 5),
        ("min(a, b, c) + max(1, 2)", 5),
        ("clamp(a, 0, 2) + abs(-1)", 3),
        ("round(2.5) + round(2.25, 1) + int(2.9) + ceil(0.1) + floor(0.9)", 2 + 2.2 + 2 + 1),
        ("sqrt(16) + log2(8) + log(e) + log(8, 2) + pow(2, 3)", 4 + 3 + 1 + 3 + 8),
        ("sin(pi / 2) + cos(0) + exp(0) + tan(0) + float(1) + log10(100)", 6),
        ("True + 1", 2),
    ],
)
def test_expressions(text: str, wanted: float) -> None:
    assert evaluate(text, {"a": 3, "b": 4, "c": 5}) == pytest.approx(wanted)


@given(small, small, st.sampled_from(["a + b", "a - b", "a * b", "a < b", "max(a, b)", "a and b", "a or b", "not a"]))
def test_an_expression_means_what_it_means_in_python(a: int, b: int, text: str) -> None:
    assert nodes.expression(text, a, b).value == float(eval(text, {"max": max}, {"a": a, "b": b}))


def test_an_expression_gives_three_types() -> None:
    assert nodes.expression("a / 4", 10) == (2.5, 2, True)
    assert nodes.expression("a - a", 10) == (0.0, 0, False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a +",
        "x",
        "a.real",
        "a[0]",
        "'text'",
        "[1]",
        "lambda: 1",
        "__import__('os')",
        "open(1)",
        "abs(1, 2)",
        "min(1)",
        "abs(x=1)",
        "(lambda: 1)()",
        "a; b",
        "a = 1",
        "a & 1",
        "1j",
        "a / 0",
        "a % 0",
        "0 ** -1",
        "9 ** 9 ** 9",
        "10 ** 400",
        "1e308 * 10",
        "exp(1000)",
        "(-8) ** 0.5",
        "sqrt(-1)",
        "log(0)",
        "99999999999999999999999",
        "-" * 400 + "1" * 100,
        "(" * 240 + "1" + ")" * 240,
        "round(1, 2, 3)",
        "round(5, -10**9)",
        "round(0.5, 2**60)",
        "f'{a}'",
        "max(*[1, 2])",
        "a\0",
    ],
)
def test_what_is_no_arithmetic_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        nodes.expression(text, 1)


def test_whole_numbers_stay_within_64_bits() -> None:
    assert nodes.int_math(2**63, 2**62, "add") == 2**63 + 2**62
    with pytest.raises(InvalidInputError, match="too large"):
        nodes.int_math(2**40, 2**40, "multiply")


def test_powers_and_remainders() -> None:
    assert nodes.float_math(2.0, 0.5, "power") == pytest.approx(math.sqrt(2))
    assert nodes.float_math(7.5, 2.0, "modulo") == 1.5
    with pytest.raises(InvalidInputError):
        nodes.float_math(-1.0, 0.5, "power")
    with pytest.raises(InvalidInputError, match="zero"):
        nodes.float_math(1.0, 0.0, "modulo")


@given(st.booleans(), st.booleans())
def test_truth(a: bool, b: bool) -> None:
    assert nodes.bool_math(a, b, "and") is (a and b)
    assert nodes.bool_math(a, b, "or") is (a or b)
    assert nodes.bool_math(a, b, "xor") is (a != b)
    assert nodes.bool_math(a, operation="not") is (not a)


def test_conversions() -> None:
    assert nodes.to_int(" 42 ") == 42
    assert nodes.to_int("2.7") == 2
    assert [nodes.to_int(-2.5, r) for r in ("truncate", "nearest", "floor", "ceil")] == [-2, -2, -3, -2]  # type: ignore[arg-type]
    assert nodes.to_int(True) == 1
    assert nodes.to_float("1e3") == 1000
    assert nodes.to_float("true") == 1
    assert nodes.to_text(2.5) == "2.5"
    assert nodes.to_text(2.456, 1) == "2.5"
    assert nodes.to_text(3, 2) == "3.00"
    assert nodes.to_text(True, 2) == "True"
    for wrong in ("", "two", "nan", "inf", "1" * 1000):
        with pytest.raises(InvalidInputError):
            nodes.to_int(wrong)
        with pytest.raises(InvalidInputError):
            nodes.to_float(wrong)


@given(st.integers(0, 2**64 - 1), st.integers(-1000, 1000), st.integers(0, 1000))
def test_drawn_numbers_lie_between_their_bounds_and_repeat(seed: int, low: int, span: int) -> None:
    drawn = nodes.random_int(seed, low, low + span)
    assert low <= drawn <= low + span
    assert drawn == nodes.random_int(seed, low, low + span)
    assert low <= nodes.random_float(seed, float(low), float(low + span)) <= low + span
    with pytest.raises(InvalidInputError, match="larger"):
        nodes.random_int(seed, 1, 0)
    with pytest.raises(InvalidInputError, match="too large"):
        nodes.random_float(seed, -1.7e308, 1.7e308)
    with pytest.raises(InvalidInputError, match="too large"):
        nodes.float_math(10.0, 400.0, "power")


def test_presets_and_shapes() -> None:
    assert nodes.resolution_preset("1216 x 832 (19:13)") == (1216, 832)
    assert nodes.resolution_preset("1216 x 832 (19:13)", portrait=True) == (832, 1216)
    assert nodes.aspect_ratio_size("16:9") == (1344, 768)
    assert nodes.aspect_ratio_size("1:1", 0.25, 8) == (512, 512)
    assert nodes.aspect_ratio_size("2.39:1", 1.0, 16) == (1584, 656)
    with pytest.raises(InvalidInputError, match="0"):
        nodes.aspect_ratio_size("0:1")
    with pytest.raises(InvalidInputError, match="longer"):
        nodes.aspect_ratio_size("99999:1")
