"""JSON as graphflow reads and writes it: bounded on the way in, canonical on the way to a hash."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from graphflow.errors import LimitError, Problem, WorkflowError
from graphflow.limits import LIMITS

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


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key!r} stands twice in one object")
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
        raise LimitError(f"the document has {len(text):,} bytes, more than {LIMITS.document_bytes:,}", where=source)
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise WorkflowError(
                [Problem("document", f"the text is not UTF-8 (byte {error.start})", "save it as UTF-8")], source=source
            ) from error
    try:
        value = json.loads(
            text.removeprefix("\ufeff"), parse_constant=_refuse_constant, object_pairs_hook=_no_duplicates
        )
    except json.JSONDecodeError as error:
        problem = Problem(
            f"line {error.lineno}, column {error.colno}", f"this is no JSON: {error.msg}", "mend the document there"
        )
        raise WorkflowError([problem], source=source) from error
    except ValueError as error:
        raise WorkflowError([Problem("document", str(error), "mend the document")], source=source) from error
    except RecursionError as error:
        raise LimitError(f"the document is nested deeper than {LIMITS.document_depth} levels", where=source) from error
    if _deeper_than(value, LIMITS.document_depth):
        raise LimitError(f"the document is nested deeper than {LIMITS.document_depth} levels", where=source)
    return value


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
