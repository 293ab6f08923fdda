"""Nearest known names, for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Up to `count` names close to `name`, best first; letter case, folders and extensions count for less.

    Args:
        name: What was asked for.
        known: The names that exist.
        count: The most names to return.
    """
    wanted = _plain(name)
    scored: list[tuple[float, str]] = []
    for candidate in dict.fromkeys(known):
        plain = _plain(candidate)
        ratio = difflib.SequenceMatcher(None, wanted, plain).ratio()
        tail = difflib.SequenceMatcher(None, wanted.rpartition("/")[2], plain.rpartition("/")[2]).ratio()
        score = max(ratio, tail - 0.02)
        if score >= 0.6:
            scored.append((-score, candidate))
    return [candidate for _, candidate in sorted(scored)[:count]]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`did you mean 'a' or 'b'?`, or an empty string where nothing is near."""
    found = nearest(name, known)
    return f"did you mean {' or '.join(repr(item) for item in found)}?" if found else ""


def _plain(name: str) -> str:
    plain = name.replace("\\", "/").lower()
    stem, dot, extension = plain.rpartition(".")
    return stem if dot and extension in {"safetensors", "sft", "gguf", "ckpt", "pt", "pth", "bin"} else plain
