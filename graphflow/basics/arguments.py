"""Refusing arguments of a wrong type by name, where Python code calls in."""

from __future__ import annotations

from graphflow.basics.wording import shorten
from graphflow.errors import InvalidInputError


def require(value: object, kind: type | tuple[type, ...], where: str, wanted: str, advice: str | None = None) -> None:
    """Refuse a value of another type.

    Raises:
        InvalidInputError: It is of another type.
    """
    if not isinstance(value, kind):
        raise InvalidInputError(f"must be {wanted}, got {shorten(value)}", where=where, advice=advice)
