"""JSON as ComfyUI and its users leave it: any Unicode encoding, NaN literals, bounded in every direction."""

from __future__ import annotations

import codecs
import json
import math
import re
from itertools import accumulate
from typing import Any

from graphflow.basics import jsontools
from graphflow.errors import ConversionError
from graphflow.limits import LIMITS

TEXT_BYTES = LIMITS.document_bytes
"""Bytes of one JSON text."""
DEPTH = 200
"""Levels of nested objects and lists."""
CONTAINERS = LIMITS.document_containers
"""Objects and lists in one text."""
VALUES = LIMITS.document_values
"""Commas outside strings, and quotation marks, in one text: what bounds time and memory."""

_SURROGATE = re.compile(r"\\u[dD]|[\ud800-\udfff]")
_STEP = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in _STEP)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(data: bytes, where: str) -> str:
    """Decode JSON bytes: a byte order mark decides, else the pattern of zero bytes, else UTF-8, else Windows-1252.

    Raises:
        ConversionError: The bytes are no text in any of these.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None) or json.detect_encoding(data)
    for candidate in (encoding, "cp1252"):
        try:
            return data.decode(candidate)
        except UnicodeDecodeError:
            continue
    raise ConversionError(
        "the bytes are no text in a known encoding", where=where, advice="save the file as UTF-8 JSON"
    )


def loads(text: str | bytes, where: str) -> Any:
    """Parse JSON from a stranger. NaN and infinities become null, as ComfyUI's own reader makes them.

    Half of a character, where an editor cut an emoji in two, becomes U+FFFD: no file can hold it.

    Args:
        text: The JSON text; bytes may be in any Unicode encoding.
        where: What to call the text in errors.

    Raises:
        ConversionError: The text is no JSON, or is larger or deeper than the limits of this module.
    """
    if len(text) > TEXT_BYTES:
        raise _too_much(f"has {len(text):,} bytes, more than {TEXT_BYTES:,}", where)
    source = decode(text, where) if isinstance(text, bytes) else text
    _check_structure(source.encode("utf-8", "surrogatepass"), where)
    try:
        value = json.loads(source, strict=False, parse_constant=lambda _: None, parse_float=_finite, parse_int=_whole)
        return _well_formed(value) if _SURROGATE.search(source) else value
    except json.JSONDecodeError as error:
        raise ConversionError(
            f"this is no JSON: {error.msg.removesuffix(' at')} at line {error.lineno}, column {error.colno}",
            where=where,
            advice="export the workflow again, or mend the file there",
        ) from error
    except RecursionError as error:
        raise _too_much(f"is nested deeper than {DEPTH} levels", where) from error


def _well_formed(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [_well_formed(part) for part in value]
    if isinstance(value, dict):
        return {_well_formed(key): _well_formed(part) for key, part in value.items()}
    return value


def _check_structure(data: bytes, where: str) -> None:
    if count := jsontools.excess(data, CONTAINERS, VALUES):
        raise _too_much(f"holds more than {count}", where)
    brackets = jsontools.STRING.sub(b"", data).translate(None, _NOT_BRACKETS)
    if max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > DEPTH:
        raise _too_much(f"is nested deeper than {DEPTH} levels", where)


def _too_much(what: str, where: str) -> ConversionError:
    return ConversionError(f"the JSON text {what}", where=where, advice="workflows are far smaller; check the file")


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _whole(text: str) -> int | float | None:
    """Return an integer; one beyond any use (over 300 digits) becomes null, as in JavaScript."""
    return int(text) if len(text) <= 300 else None
