"""What is wrong with a literal or a name, in our words, and which known names are near it."""

from __future__ import annotations

import difflib
import numbers
import os
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

PLAIN = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "none_required": "null",
}
"""Pydantic's names of wrong types, in our words."""


LISTED = 8
"""The most choices that an error lists; of more it names those that are near."""

_JSON_NAMES = {None: "null", True: "true", False: "false"}


def say(error: Any, value: Any) -> str:
    """Put one pydantic error into our words."""
    context = error.get("ctx", {})
    got = shorten(error.get("input", value))
    place = "".join(f"[{part!r}]" for part in error.get("loc", ()) if isinstance(part, int))
    bounds = {
        "greater_than_equal": "≥ {ge}",
        "greater_than": "> {gt}",
        "less_than_equal": "≤ {le}",
        "less_than": "< {lt}",
        "multiple_of": "a multiple of {multiple_of}",
    }
    if error["type"] in bounds:
        return f"{place} must be {bounds[error['type']].format(**context)}, got {got}".strip()
    if error["type"] == "literal_error":
        return f"must be one of {context['expected']}, got {got}"
    if error["type"] in PLAIN:
        return f"{place} must be {PLAIN[error['type']]}, got {got}".strip()
    return f"{place} {error['msg'][0].lower()}{error['msg'][1:]}, got {got}".strip()


def plain(value: Any) -> Any:
    """Return what Python code gives for a literal as JSON has it: paths as text, tuples as lists, numpy's numbers."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


_LIKE = 0.6
"""How like a near name is, of 1."""

_LONGEST = 200
"""Characters of the longest name that others are near to."""

_COMPARED = 400
"""Of more names only those are compared that begin alike."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name nearest to ``name``, or None where none is near."""
    matches = difflib.get_close_matches(name[:_LONGEST], _comparable(name, known), n=1, cutoff=_LIKE)
    return matches[0] if matches else None


def _comparable(name: str, known: Iterable[str]) -> list[str]:
    """Return the names that are worth to be compared with another: the time that it takes is bounded."""
    if len(name) > _LONGEST:
        return []
    names = [other for other in known if len(other) <= _LONGEST]
    if len(names) <= _COMPARED:
        return names
    return [other for other in names if other[:1] == name[:1]][: _COMPARED // 2]


def nearest_names(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Up to `count` names close to `name`, best first; letter case, folders and extensions count for less.

    Args:
        name: What was asked for.
        known: The names that exist.
        count: The most names to return.
    """
    wanted = _bare(name)
    scored: list[tuple[float, str]] = []
    for candidate in dict.fromkeys(known) if len(name) <= _LONGEST else ():
        plain = _bare(candidate)
        score = max(_ratio(wanted, plain), _ratio(wanted.rpartition("/")[2], plain.rpartition("/")[2]) - 0.02)
        if score >= _LIKE:
            scored.append((-score, candidate))
    return [candidate for _, candidate in sorted(scored)[:count]]


def _ratio(name: str, other: str) -> float:
    """Return how like two names are, in [0, 1]; 0 soon where that is little."""
    if 2 * min(len(name), len(other)) < _LIKE * (len(name) + len(other)):
        return 0.0
    matcher = difflib.SequenceMatcher(None, name, other)
    return matcher.ratio() if matcher.quick_ratio() >= _LIKE else 0.0


def nearest_choices(name: str, choices: Iterable[str], aliases: Mapping[str, str] | None = None) -> list[str]:
    """Return up to three choices that ``name`` may stand for, the likeliest first.

    Case, spaces and signs do not count, and ``++`` is ``pp``: ``DPM++ 2M`` is ``dpmpp_2m``. A name that begins with a
    choice is that choice (``DPM++ 2M Karras``).

    Args:
        name: What was asked for.
        choices: The names that exist.
        aliases: Other names for them.
    """
    known = {_squashed(alias): choice for alias, choice in (aliases or {}).items()}
    known |= {_squashed(choice): choice for choice in choices}
    wanted = _squashed(name[:_LONGEST])
    if wanted in known:
        return [known[wanted]]
    begun = sorted((key for key in known if len(key) > 2 and wanted.startswith(key)), key=len)[-1:]
    near = [*begun, *difflib.get_close_matches(wanted, known, n=6)]
    return list(dict.fromkeys(known[key] for key in near))[:3]


def _squashed(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower().replace("++", "pp"))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`did you mean 'a' or 'b'?`, or an empty string where nothing is near."""
    return meant(nearest_names(name, known))


def meant(names: Iterable[str]) -> str:
    """`did you mean 'a' or 'b'?`, or an empty string where there is no name."""
    found = " or ".join(map(repr, names))
    return f"did you mean {found}?" if found else ""


def with_article(noun: object) -> str:
    """Return ``a latent``, ``an image``; the type ``any`` is a value of any type."""
    text = str(noun)
    return "any value" if text == "any" else f"{'an' if text[:1] in 'aeiou' else 'a'} {text}"


def some(names: Iterable[str], count: int = 3) -> str:
    """Name the first few in alphabetical order, and how many more there are."""
    ordered = sorted(names)
    more = f" and {len(ordered) - count} more" if len(ordered) > count else ""
    return ", ".join(ordered[:count]) + more


def shorten(value: Any, limit: int = 80) -> str:
    """Show a value in at most ``limit`` characters."""
    text = (
        _JSON_NAMES.get(value, "") if value is None or isinstance(value, bool) else repr(_part(value, limit, [limit]))
    )
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _part(value: Any, limit: int, room: list[int]) -> Any:
    """Return as much of JSON as ``limit`` characters can show: the rest may be large."""
    room[0] -= 1
    if type(value) is str:
        return value[: limit + 1]
    if type(value) is list:
        return [_part(item, limit, room) for item in islice(value, limit) if room[0] > 0]
    if type(value) is dict:
        return {key: _part(item, limit, room) for key, item in islice(value.items(), limit) if room[0] > 0}
    return value


def _bare(name: str) -> str:
    plain = name.replace("\\", "/").lower()
    stem, dot, extension = plain.rpartition(".")
    return stem if dot and extension in {"safetensors", "sft", "gguf", "ckpt", "pt", "pth", "bin"} else plain
