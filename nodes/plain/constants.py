"""Nodes that make plain values: numbers, switches and text. They are evaluated while planning where they can be."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graphflow.errors import InvalidInputError, LimitError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import Each, Seed, node

from ..sequences import each

__all__ = [
    "bool_value",
    "float_value",
    "int_range",
    "int_value",
    "seed_value",
    "text_join",
    "text_lines",
    "text_replace",
    "text_value",
]

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
    """Replace every occurrence of one text in another.

    Raises:
        LimitError: The text becomes too long.
    """
    length = len(text) + text.count(find) * (len(replacement) - len(find))
    if length > LIMITS.text:
        raise LimitError(f"the text would have {length:,} characters, more than {LIMITS.text:,}")
    return text.replace(find, replacement)


@node("text_lines", fold=True)
def text_lines(
    text: Annotated[Text, Field(description="one item a line")],
    skip_empty: Annotated[bool, Field(description="leave out lines with nothing but spaces")] = True,
) -> Each[str]:
    """Make a sequence of texts, one a line; nodes that map over sequences then run once for each.

    Raises:
        InvalidInputError: No line is left.
    """
    lines = tuple(line.strip() for line in text.splitlines() if line.strip() or not skip_empty)
    if not lines:
        raise InvalidInputError("the text has no lines", advice="write one item a line")
    return each(lines)


@node("int_range", fold=True)
def int_range(
    count: Annotated[int, Field(ge=1, le=LIMITS.batch, description="how many numbers")],
    start: Annotated[int, Field(ge=0, le=2**63, description="the first number")] = 0,
    step: Annotated[int, Field(ge=-(2**31), le=2**31, description="from one number to the next")] = 1,
) -> Each[int]:
    """Make a sequence of whole numbers, e.g. of seeds; nodes that map over sequences then run once for each."""
    return each(start + index * step for index in range(count))
