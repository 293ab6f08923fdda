"""Nodes that compute with numbers. They are evaluated while planning where they can be."""

from __future__ import annotations

import math
import random
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import Seed, node

from .expressions import Number, evaluate, within_64_bits

__all__ = [
    "bool_math",
    "compare",
    "expression",
    "float_math",
    "int_math",
    "random_float",
    "random_int",
    "to_float",
    "to_int",
    "to_text",
]

Operand = Annotated[float, Field(allow_inf_nan=False)]
Plain = Annotated[str | int | float | bool, Field(description="a text, a number, or true or false")]
Name = Annotated[int | float | bool, Field(description="the value of its name in the expression")]

WHOLE = 2**63


class Result(NamedTuple):
    """What an expression gives, in three types."""

    value: Annotated[float, Field(description="the number")]
    rounded: Annotated[int, Field(description="the number without its decimals")]
    truth: Annotated[bool, Field(description="whether it is not 0")]


@node("int_math", fold=True)
def int_math(
    a: Annotated[int, Field(description="the left operand")],
    b: Annotated[int, Field(description="the right operand")],
    operation: Annotated[
        Literal["add", "subtract", "multiply", "floor_divide", "modulo", "minimum", "maximum"],
        Field(description="what to do"),
    ] = "add",
) -> int:
    """Compute with two whole numbers.

    Raises:
        InvalidInputError: Division by zero, or a result too large for 64 bits.
    """
    if operation in ("floor_divide", "modulo") and b == 0:
        raise InvalidInputError(f"{operation} by zero", where="b")
    match operation:
        case "add":
            result = a + b
        case "subtract":
            result = a - b
        case "multiply":
            result = a * b
        case "floor_divide":
            result = a // b
        case "modulo":
            result = a % b
        case "minimum":
            result = min(a, b)
        case "maximum":
            result = max(a, b)
    return int(within_64_bits(result))


@node("float_math", fold=True)
def float_math(
    a: Annotated[Operand, Field(description="the left operand")],
    b: Annotated[Operand, Field(description="the right operand")],
    operation: Annotated[
        Literal["add", "subtract", "multiply", "divide", "power", "modulo", "minimum", "maximum"],
        Field(description="what to do"),
    ] = "add",
) -> float:
    """Compute with two numbers.

    Raises:
        InvalidInputError: Division by zero, a root of a negative number, or a result too large for a float.
    """
    symbols = {"add": "a + b", "subtract": "a - b", "multiply": "a * b", "divide": "a / b", "power": "a ** b"}
    others = {"modulo": "a % b", "minimum": "min(a, b)", "maximum": "max(a, b)"}
    return float(evaluate((symbols | others)[operation], {"a": float(a), "b": float(b)}))


@node("compare", fold=True)
def compare(
    a: Annotated[Operand, Field(description="the left operand")],
    b: Annotated[Operand, Field(description="the right operand")],
    operation: Annotated[
        Literal["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"],
        Field(description="how to compare"),
    ] = "equal",
) -> bool:
    """Compare two numbers, e.g. to drive a switch."""
    outcomes = {
        "equal": a == b,
        "not_equal": a != b,
        "less": a < b,
        "less_equal": a <= b,
        "greater": a > b,
        "greater_equal": a >= b,
    }
    return outcomes[operation]


@node("bool_math", fold=True)
def bool_math(
    a: Annotated[bool, Field(description="the left operand")],
    b: Annotated[bool, Field(description="the right operand; not does without it")] = False,
    operation: Annotated[Literal["and", "or", "xor", "not"], Field(description="what to do")] = "and",
) -> bool:
    """Combine two truth values; ``not`` is true where the left one is false."""
    return {"and": a and b, "or": a or b, "xor": a != b, "not": not a}[operation]


@node("expression", fold=True)
def expression(
    expression: Annotated[
        str,
        Field(
            min_length=1,
            max_length=500,
            description="e.g. 'a * 2 + min(b, 3)', 'c > 1 and d < 2', 'a if b else c'; see the node for functions",
        ),
    ],
    a: Name = 0,
    b: Name = 0,
    c: Name = 0,
    d: Name = 0,
) -> Result:
    """Compute an arithmetic expression with the names a, b, c and d.

    It may have + - * / // % **, comparisons, and, or, not, x if y else z, the constants pi and e, and the functions
    abs, ceil, clamp(x, low, high), cos, exp, float, floor, int, log, log2, log10, max, min, pow, round, sin, sqrt, tan.

    Raises:
        InvalidInputError: It is no such expression, divides by zero, or the result is no number or too large.
    """
    result = evaluate(expression, {"a": a, "b": b, "c": c, "d": d})
    return Result(float(result), int(within_64_bits(int(result))), bool(result))


@node("to_int", fold=True)
def to_int(
    value: Plain,
    rounding: Annotated[
        Literal["truncate", "nearest", "floor", "ceil"],
        Field(description="what becomes of decimals; nearest takes the even number where two are as near"),
    ] = "truncate",
) -> int:
    """Turn a text, number or truth value into a whole number.

    Raises:
        InvalidInputError: The text is no number, or the number is too large for 64 bits.
    """
    number = _number(value)
    if isinstance(number, float) and not math.isfinite(number):
        raise InvalidInputError(f"{value!r} is no whole number", where="value")
    match rounding:
        case "truncate":
            whole = math.trunc(number)
        case "nearest":
            whole = round(number)
        case "floor":
            whole = math.floor(number)
        case "ceil":
            whole = math.ceil(number)
    return int(within_64_bits(whole))


@node("to_float", fold=True)
def to_float(value: Plain) -> float:
    """Turn a text, number or truth value into a number.

    Raises:
        InvalidInputError: The text is no number, or the number is not finite.
    """
    number = float(_number(value))
    if not math.isfinite(number):
        raise InvalidInputError(f"{value!r} is no finite number", where="value")
    return number


@node("to_text", fold=True)
def to_text(
    value: Plain,
    decimals: Annotated[
        int, Field(ge=-1, le=17, description="digits after the point; -1 takes as many as there are")
    ] = -1,
) -> str:
    """Turn a number or truth value into a text."""
    if decimals >= 0 and isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:.{decimals}f}"
    return str(value)


@node("random_int", fold=True)
def random_int(
    seed: Seed = 0,
    minimum: Annotated[int, Field(ge=-WHOLE, le=WHOLE, description="the smallest number")] = 0,
    maximum: Annotated[int, Field(ge=-WHOLE, le=WHOLE, description="the largest number")] = 2**32 - 1,
) -> int:
    """Draw a whole number; the same seed draws the same one.

    Raises:
        InvalidInputError: The smallest is larger than the largest.
    """
    _require_order(minimum, maximum)
    return random.Random(seed).randint(minimum, maximum)


@node("random_float", fold=True)
def random_float(
    seed: Seed = 0,
    minimum: Annotated[Operand, Field(description="the smallest number")] = 0.0,
    maximum: Annotated[Operand, Field(description="the largest number")] = 1.0,
) -> float:
    """Draw a number, evenly; the same seed draws the same one.

    Raises:
        InvalidInputError: The smallest is larger than the largest, or they are too far apart for a float.
    """
    _require_order(minimum, maximum)
    return float(within_64_bits(random.Random(seed).uniform(minimum, maximum)))


def _require_order(minimum: float, maximum: float) -> None:
    if minimum > maximum:
        raise InvalidInputError(f"the smallest, {minimum}, is larger than the largest, {maximum}", where="minimum")


def _number(value: str | Number) -> Number:
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if text in ("true", "false"):
        return text == "true"
    if len(text) > LIMITS.text // 1000:
        raise InvalidInputError("the text is too long for a number", where="value")
    for parse in (int, float):
        try:
            return parse(text)
        except ValueError:
            continue
    raise InvalidInputError(f"{value!r} is no number", where="value", advice="write digits, with a point for decimals")
