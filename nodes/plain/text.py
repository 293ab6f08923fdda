"""Nodes that change, compare and measure texts."""

from __future__ import annotations

import json
import random
import string
from typing import Annotated, Any, Literal

from pydantic import Field

from graphflow.basics.wording import nearest
from graphflow.errors import InvalidInputError, LimitError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import Seed, node

from .constants import Text

__all__ = [
    "json_value",
    "random_line",
    "text_case",
    "text_compare",
    "text_contains",
    "text_format",
    "text_length",
    "text_substring",
    "text_trim",
]

Given = Annotated[Text, Field(description="the text")]
Exact = Annotated[bool, Field(description="tell capital letters from small ones")]
Slot = Annotated[str | int | float | bool, Field(description="what stands for its name in braces")]


@node("json_value", fold=True)
def json_value(
    text: Annotated[Text, Field(description="a JSON object")],
    key: Annotated[Text, Field(description="the name of the value, to the letter")],
) -> str:
    """Take one value out of a JSON object, as text: what is no text itself is written as JSON.

    Raises:
        InvalidInputError: The text is no JSON object, or has no such key.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"this is no JSON: {error}", where="text") from error
    if not isinstance(found, dict):
        raise InvalidInputError("this is JSON, but no object with keys", where="text", advice='it begins with "{"')
    if key not in found:
        near = nearest(key, found)
        raise InvalidInputError(
            f"the object has no key {key!r}", where="key", advice=f"did you mean {near!r}?" if near else None
        )
    value = found[key]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@node("text_trim", fold=True)
def text_trim(
    text: Given, side: Annotated[Literal["both", "left", "right"], Field(description="on which side")] = "both"
) -> str:
    """Take spaces and line breaks off the ends of a text."""
    return {"both": text.strip, "left": text.lstrip, "right": text.rstrip}[side]()


@node("text_case", fold=True)
def text_case(
    text: Given,
    case: Annotated[
        Literal["upper", "lower", "capitalize", "title"],
        Field(description="capitalize begins the text with a capital letter, title every word"),
    ] = "lower",
) -> str:
    """Change capital letters to small ones or the other way round."""
    return {"upper": text.upper, "lower": text.lower, "capitalize": text.capitalize, "title": text.title}[case]()


@node("text_substring", fold=True)
def text_substring(
    text: Given,
    start: Annotated[int, Field(description="the first character, from 0; negative counts from the end")] = 0,
    end: Annotated[int | None, Field(description="the first one not to take; null takes all to the end")] = None,
) -> str:
    """Take a part of a text."""
    return text[start:end]


@node("text_length", fold=True)
def text_length(text: Given) -> int:
    """Count the characters of a text."""
    return len(text)


@node("text_contains", fold=True)
def text_contains(
    text: Given,
    find: Annotated[Text, Field(description="what to look for, to the letter")],
    case_sensitive: Exact = True,
) -> bool:
    """Tell whether a text occurs in another."""
    return find in text if case_sensitive else find.lower() in text.lower()


@node("text_compare", fold=True)
def text_compare(
    a: Annotated[Text, Field(description="the first text")],
    b: Annotated[Text, Field(description="the second text")],
    operation: Annotated[
        Literal["equal", "starts_with", "ends_with"], Field(description="how the first is compared with the second")
    ] = "equal",
    case_sensitive: Exact = True,
) -> bool:
    """Compare two texts, e.g. to drive a switch."""
    if not case_sensitive:
        a, b = a.lower(), b.lower()
    return {"equal": a == b, "starts_with": a.startswith(b), "ends_with": a.endswith(b)}[operation]


@node("text_format", fold=True)
def text_format(
    template: Annotated[Text, Field(description="e.g. '{a} of {b:.2f}'; {{ and }} stand for braces")],
    a: Slot = "",
    b: Slot = "",
    c: Slot = "",
    d: Slot = "",
) -> str:
    """Fill texts and numbers into the places that a template names in braces.

    After a colon a place may say how a number looks: ``.2f`` has two decimals, ``05d`` leading zeros.

    Raises:
        InvalidInputError: The template names another place, or a number does not fit its format.
        LimitError: The text becomes too long.
    """
    values: dict[str, Any] = {"a": a, "b": b, "c": c, "d": d}
    parts: list[str] = []
    room = LIMITS.text
    try:
        for literal, name, style, conversion in string.Formatter().parse(template):
            parts.append(literal)
            if name is None:
                continue
            if name not in values or conversion:
                raise InvalidInputError(
                    f"the template has no place {{{name}}}", where="template", advice="use {a}, {b}, {c} and {d}"
                )
            parts.append(_formatted(values[name], style or ""))
            room -= len(parts[-1])
            if room < 0:
                raise LimitError(f"the text would have more than {LIMITS.text:,} characters")
    except ValueError as error:
        raise InvalidInputError(f"the template cannot be filled: {error}", where="template") from error
    return within_limits("".join(parts))


@node("random_line", fold=True)
def random_line(
    text: Annotated[Text, Field(description="one choice a line; empty lines and lines that begin with # do not count")],
    seed: Seed = 0,
) -> str:
    """Choose one line of a text; the same seed chooses the same one.

    Raises:
        InvalidInputError: No line is left.
    """
    lines = [line.strip() for line in text.splitlines()]
    choices = [line for line in lines if line and not line.startswith("#")]
    if not choices:
        raise InvalidInputError("the text has no lines to choose from", where="text", advice="write one choice a line")
    return choices[random.Random(seed).randrange(len(choices))]


def within_limits(text: str) -> str:
    """Return a text that is not too long.

    Raises:
        LimitError: It is.
    """
    if len(text) > LIMITS.text:
        raise LimitError(f"the text would have {len(text):,} characters, more than {LIMITS.text:,}")
    return text


def _formatted(value: str | int | float | bool, style: str) -> str:
    # A width or precision of a billion would fill the memory with spaces or digits.
    if any(len(digits) > 3 for digits in "".join(c if c.isdigit() else " " for c in style).split()):
        raise InvalidInputError(f"the format {style!r} is too wide", where="template", advice="use at most 999 places")
    if "{" in style or "}" in style:
        raise InvalidInputError("a format has no braces of its own", where="template")
    return format(value, style)
