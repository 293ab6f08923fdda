"""Mistral's Tekken vocabularies: pairs of bytes joined by rank (Sennrich et al. 2016, arXiv:1508.07909), as tekken.json has them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from itertools import pairwise

import regex  # type: ignore[import-untyped]

SECONDS = 10
"""How long a vocabulary's pattern may take to split a text."""


def read_tekken(data: bytes) -> Callable[[str], list[int]]:
    """From texts to ids, by the contents of a tekken.json; names of special tokens are these tokens.

    Raises:
        ValueError, KeyError, TypeError, RecursionError, regex.error: It is no such vocabulary.
    """
    found = json.loads(data)
    config = found["config"]
    first = int(config["default_num_special_tokens"])
    size = int(config["default_vocab_size"]) - first
    ranks = {
        base64.b64decode(entry["token_bytes"]): int(entry["rank"])
        for entry in found["vocab"]
        if int(entry["rank"]) < size
    }
    named = found["special_tokens"]
    special = {str(entry["token_str"]): int(entry["rank"]) for entry in named}
    if not special or any(bytes([number]) not in ranks for number in range(256)):
        raise ValueError("it lacks special tokens or single bytes")
    pattern = regex.compile(config["pattern"])
    longest_first = sorted(special, key=len, reverse=True)
    names = regex.compile("|".join(map(regex.escape, longest_first)))

    def plain(text: str) -> list[int]:
        parts = [match[0] for match in pattern.finditer(text, timeout=SECONDS)]
        joined = [joined_bytes(part.encode(), ranks) for part in parts]
        return [first + rank for found in joined for rank in found]

    def ids(text: str) -> list[int]:
        made: list[int] = []
        reached = 0
        for match in names.finditer(text):
            made += [*plain(text[reached : match.start()]), special[match[0]]]
            reached = match.end()
        return made + plain(text[reached:])

    return ids


def joined_bytes(part: bytes, ranks: Mapping[bytes, int]) -> list[int]:
    """Ranks of the pieces that bytes become when the pair of the lowest rank is joined, again and again."""
    pieces = [part] if part in ranks else [bytes([number]) for number in part]
    while True:
        known = [(a, b) for a, b in pairwise(pieces) if a + b in ranks]
        if not known:
            return [ranks[piece] for piece in pieces]
        pair = min(known, key=lambda pair: ranks[b"".join(pair)])
        joined: list[bytes] = []
        index = 0
        while index < len(pieces):
            step = 2 if tuple(pieces[index : index + 2]) == pair else 1
            joined.append(b"".join(pieces[index : index + step]))
            index += step
        pieces = joined
