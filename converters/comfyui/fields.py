"""Reading fields of a stranger's JSON: the right type, or an error that names the place."""

from __future__ import annotations

from typing import Any

from graphflow.errors import ConversionError

ID_LENGTH = 256
"""Characters of one node, link or definition id."""

_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}


def quote(value: object, limit: int = 60) -> str:
    """Return a short, printable rendering of a value for a message."""
    if isinstance(value, dict | list | tuple):
        return f"{_KINDS.get(type(value), 'a list')} of {len(value)}"
    text = value if isinstance(value, str) else str(value)[: limit + 1]
    text = text[: limit + 1].encode("utf-8", "backslashreplace").decode("utf-8")
    text = "".join(char if char.isprintable() else " " for char in text)
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return f"“{text}”" if isinstance(value, str) else text


def wrong(value: object, wanted: str, where: str) -> ConversionError:
    """Return the error for a value of the wrong type."""
    kind = "nothing" if value is None else _KINDS.get(type(value), type(value).__name__)
    shown = "" if value is None or isinstance(value, dict | list) else f" ({quote(value)})"
    return ConversionError(
        f"expected {wanted}, found {kind}{shown}",
        where=where,
        advice="save the workflow again in ComfyUI, or mend the file there",
    )


def as_object(value: object, where: str) -> dict[str, Any]:
    """Return the value if it is a JSON object.

    Raises:
        ConversionError: It is something else.
    """
    if not isinstance(value, dict):
        raise wrong(value, "an object", where)
    return value


def as_list(value: object, where: str) -> list[Any]:
    """Return the value if it is a list; nothing counts as an empty one.

    Raises:
        ConversionError: It is something else.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong(value, "a list", where)
    return value


def as_text(value: object, where: str) -> str:
    """Return the value if it is a text.

    Raises:
        ConversionError: It is something else.
    """
    if not isinstance(value, str):
        raise wrong(value, "a text", where)
    return value


def as_index(value: object, where: str) -> int:
    """Return the value if it is a slot number, 0 or above.

    Raises:
        ConversionError: It is something else.
    """
    number = int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
    if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 10:
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**31:
        raise wrong(value, "a slot number", where)
    return number


def as_id(value: object, where: str) -> str:
    """Return an id as text; files write numbers and texts.

    Raises:
        ConversionError: It is neither, or too long.
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**64:
        return str(value)
    if isinstance(value, str) and 0 < len(value) <= ID_LENGTH:
        return value
    raise wrong(value, "an id (a number or a short text)", where)
