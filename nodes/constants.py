"""Nodes that make plain values: numbers, switches and text. They are evaluated while planning where they can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from graphflow.errors import InvalidInputError, LimitError
from graphflow.limits import LIMITS
from graphflow.node import Seed, node

Text = Annotated[str, Field(max_length=LIMITS.text)]


@node("int_value", fold=True)
def int_value(value: Annotated[int, Field(ge=-(2**63), le=2**64 - 1, description="the number")]) -> int:
    """Give one whole number to several inputs."""
    return value


@node("seed_value", fold=True)
def seed_value(seed: Seed) -> int:
    """Give one seed, in [0, 2**64), to several inputs."""
    return seed


@node("float_value", fold=True)
def float_value(value: Annotated[float, Field(allow_inf_nan=False, description="the number")]) -> float:
    """Give one number to several inputs."""
    return value


@node("text_value", fold=True)
def text_value(text: Annotated[Text, Field(description="the text")]) -> str:
    """Give one text to several inputs."""
    return text


@node("bool_value", fold=True)
def bool_value(value: Annotated[bool, Field(description="true or false")]) -> bool:
    """Give one switch position to several inputs."""
    return value


@node("text_join", fold=True)
def text_join(
    first: Annotated[Text, Field(description="the first text")] = "",
    second: Annotated[Text, Field(description="the second text")] = "",
    third: Annotated[Text, Field(description="the third text")] = "",
    fourth: Annotated[Text, Field(description="the fourth text")] = "",
    separator: Annotated[str, Field(max_length=100, description="what stands between two texts")] = ", ",
    skip_empty: Annotated[bool, Field(description="leave out empty texts with their separator")] = True,
) -> str:
    """Join up to four texts, each written here or linked."""
    return separator.join(text for text in (first, second, third, fourth) if text or not skip_empty)


@node("text_replace", fold=True)
def text_replace(
    text: Annotated[Text, Field(description="where to replace")],
    find: Annotated[str, Field(min_length=1, max_length=1000, description="what to look for, to the letter")],
    replacement: Annotated[str, Field(max_length=10_000, description="what to put in its place")] = "",
) -> str:
    """Replace every occurrence of one text in another."""
    result = text.replace(find, replacement)
    if len(result) > LIMITS.text:
        raise LimitError(f"the text would have {len(result):,} characters, more than {LIMITS.text:,}")
    return result


@node("text_lines", fold=True)
def text_lines(
    text: Annotated[Text, Field(description="one item a line")],
    skip_empty: Annotated[bool, Field(description="leave out lines with nothing but spaces")] = True,
) -> Sequence[str]:
    """Make a sequence of texts, one a line; nodes that map over sequences then run once for each.

    Raises:
        InvalidInputError: No line is left.
    """
    lines = tuple(line.strip() for line in text.splitlines() if line.strip() or not skip_empty)
    if not lines:
        raise InvalidInputError("the text has no lines", advice="write one item a line")
    return lines


@node("int_range", fold=True)
def int_range(
    count: Annotated[int, Field(ge=1, le=LIMITS.batch, description="how many numbers")],
    start: Annotated[int, Field(ge=0, le=2**63, description="the first number")] = 0,
    step: Annotated[int, Field(ge=-(2**31), le=2**31, description="from one number to the next")] = 1,
) -> Sequence[int]:
    """Make a sequence of whole numbers, e.g. of seeds; nodes that map over sequences then run once for each."""
    return tuple(start + index * step for index in range(count))


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
        InvalidInputError: Division by zero.
    """
    if operation in ("floor_divide", "modulo") and b == 0:
        raise InvalidInputError(f"{operation} by zero", where="b")
    match operation:
        case "add":
            return a + b
        case "subtract":
            return a - b
        case "multiply":
            return a * b
        case "floor_divide":
            return a // b
        case "modulo":
            return a % b
        case "minimum":
            return min(a, b)
        case "maximum":
            return max(a, b)


@node("float_math", fold=True)
def float_math(
    a: Annotated[float, Field(allow_inf_nan=False, description="the left operand")],
    b: Annotated[float, Field(allow_inf_nan=False, description="the right operand")],
    operation: Annotated[
        Literal["add", "subtract", "multiply", "divide", "minimum", "maximum"], Field(description="what to do")
    ] = "add",
) -> float:
    """Compute with two numbers.

    Raises:
        InvalidInputError: Division by zero, or a result too large for a float.
    """
    if operation == "divide" and b == 0:
        raise InvalidInputError("divide by zero", where="b")
    results = {"add": a + b, "subtract": a - b, "multiply": a * b, "minimum": min(a, b), "maximum": max(a, b)}
    result = a / b if operation == "divide" else results[operation]
    if result in (float("inf"), float("-inf")):
        raise InvalidInputError(f"the result of {operation} is too large")
    return result


@node("compare", fold=True)
def compare(
    a: Annotated[float, Field(allow_inf_nan=False, description="the left operand")],
    b: Annotated[float, Field(allow_inf_nan=False, description="the right operand")],
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
