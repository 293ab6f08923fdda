"""JSON as graphflow reads and writes it: bounded on the way in, canonical on the way to a hash."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from graphflow.errors import LimitError, Problem, WorkflowError
from graphflow.limits import LIMITS

_SHOWN = 8
_ITEM = 16
STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""A text in JSON, or the rest after an opening quotation mark."""
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(value: Any) -> bytes:
    """Return the one byte string for a JSON value: keys sorted, no spaces, UTF-8, no NaN.

    Raises:
        ValueError: The value holds NaN or an infinity.
        TypeError: The value holds something that is no JSON.
    """
    return _CANONICAL.encode(value).encode("utf-8", "surrogatepass")


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical form, in lower-case hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


class _RefusedError(ValueError):
    """Something that JSON's grammar, or Python's reading of it, allows and a document may not have.

    Attributes:
        pattern: Finds it in the text, and perhaps more of its kind.
    """

    def __init__(self, message: str, pattern: str) -> None:
        super().__init__(message)
        self.pattern = pattern


def _refuse_constant(name: str) -> Any:
    raise _RefusedError(f"{name} is no JSON number", rf"(?<![\w\"]){name}(?![\w\"])")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            spelled = re.escape(json.dumps(key, ensure_ascii=False))
            raise _RefusedError(f"the key {key!r} stands twice in one object", rf"{spelled}\s*:")
        result[key] = value
    return result


def loads(text: str | bytes, *, source: str) -> Any:
    """Parse JSON from a stranger.

    Args:
        text: UTF-8 text, with or without a byte order mark.
        source: What to call the text in errors.

    Raises:
        LimitError: The text is larger or deeper than the limits allow.
        WorkflowError: The text is no JSON, holds NaN, or has a key twice.
    """
    if len(text) > LIMITS.document_bytes:
        raise LimitError(f"the document has more than {LIMITS.document_bytes:,} bytes", where=source)
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise WorkflowError(
                [Problem("document", f"the text is not UTF-8 (byte {error.start})", "save it as UTF-8")], source=source
            ) from error
    if count := excess(text.encode("utf-8", "surrogatepass"), LIMITS.document_containers, LIMITS.document_values):
        raise LimitError(f"the document has more than {count}", where=source)
    try:
        value = json.loads(
            text.removeprefix("\ufeff"), parse_constant=_refuse_constant, object_pairs_hook=_no_duplicates
        )
    except json.JSONDecodeError as error:
        problem = Problem(
            f"line {error.lineno}, column {error.colno}",
            f"this is no JSON: {error.msg}",
            "remove the comma before the closing bracket"
            if _comma_before_bracket(error.doc, error.pos)
            else "mend the document there",
        )
        raise WorkflowError([problem], source=source) from error
    except _RefusedError as error:
        place = _lines(text, error.pattern)
        raise WorkflowError([Problem(place, str(error), "mend the document")], source=source) from error
    except ValueError as error:  # Python reads no number of thousands of digits
        problem = Problem("document", "a number has too many digits", "mend the document")
        raise WorkflowError([problem], source=source) from error
    except RecursionError as error:
        raise LimitError(f"the document is nested deeper than {LIMITS.document_depth} levels", where=source) from error
    if _deeper_than(value, LIMITS.document_depth):
        raise LimitError(f"the document is nested deeper than {LIMITS.document_depth} levels", where=source)
    return value


def excess(data: bytes, containers: int, values: int) -> str:
    """Say what a JSON text has too much of, before anything is made of it; empty where nothing.

    Args:
        data: The text as UTF-8.
        containers: The most objects and lists.
        values: The most commas outside of texts, and half the most quotation marks.
    """
    if data.count(b'"') > 2 * values:
        return f"{values:,} texts"
    bare = STRING.sub(b"", data)
    if bare.count(b",") > values:
        return f"{values:,} values"
    if bare.count(b"[") + bare.count(b"{") > containers:
        return f"{containers:,} objects and lists"
    return ""


def _comma_before_bracket(text: str, position: int) -> bool:
    """Tell whether a comma too many is what stopped the reader, who stands at it or behind it."""
    before, after = text[:position].rstrip(), text[position:].lstrip(", \t\r\n")
    return (before.endswith(",") or text.startswith(",", position)) and after.startswith(("}", "]"))


def _lines(text: str, pattern: str) -> str:
    """Return the lines in which something stands, or ``document`` where they are many or cannot be told."""
    starts = [match.start() for match in islice(re.finditer(pattern, text), _SHOWN + 1)]
    if not 0 < len(starts) <= _SHOWN:
        return "document"
    found = dict.fromkeys(text.count("\n", 0, start) + 1 for start in starts)
    return ("line " if len(found) == 1 else "lines ") + ", ".join(map(str, found))


def is_writable(value: Any) -> bool:
    """Tell whether a JSON value can be written: its escapes may name half of a character, its numbers be too large."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False, default=repr).encode()
    except ValueError as error:  # an encoding error is one, too
        return "Circular" in str(error)
    except (TypeError, RecursionError):  # no JSON at all, which others say
        return True
    return True


def weight(value: Any) -> int:
    """Return the characters of a value, as :class:`graphflow.limits.Limits` counts them."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(_ITEM + len(key) + weight(part) for key, part in value.items())
    if isinstance(value, list | tuple):
        return sum(_ITEM + weight(part) for part in value)
    return 0


def _deeper_than(value: Any, limit: int) -> bool:
    level: list[Any] = [value]
    for _ in range(limit):
        level = [item for part in level for item in _children(part)]
        if not level:
            return False
    return True


def _children(part: Any) -> list[Any]:
    if isinstance(part, dict):
        return [item for item in part.values() if isinstance(item, dict | list)]
    if isinstance(part, list):
        return [item for item in part if isinstance(item, dict | list)]
    return []


def as_table(value: Any) -> Mapping[str, Any]:
    """Return a value of JSON that somebody else wrote where it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def read_table(text: str | None) -> dict[str, Any]:
    """Return the object that a text is as JSON; an empty one where it is none."""
    with suppress(ValueError, RecursionError):
        found = json.loads(text or "")
        return found if isinstance(found, dict) else {}
    return {}
