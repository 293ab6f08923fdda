"""How long ago, as command lines say it."""

from __future__ import annotations

import re
from datetime import timedelta

from graphflow.errors import InvalidInputError

_AGO = re.compile(r"(\d{1,6})\s*([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def ago(text: str, option: str) -> timedelta:
    """Read a time span: ``30m``, ``12h``, ``7d``, ``2w``.

    Raises:
        InvalidInputError: The text is none.
    """
    found = _AGO.fullmatch(text.strip())
    if found is None:
        raise InvalidInputError(f"{text!r} is no time span", where=option, advice="write e.g. 12h, 7d or 2w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
