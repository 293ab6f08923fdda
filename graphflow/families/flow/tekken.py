"""Mistral's Tekken vocabularies: pairs of bytes joined by rank (Sennrich et al. 2016, arXiv:1508.07909), as tekken.json has them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from itertools import pairwise

from graphflow.errors import ModelFormatError

TEKKEN = "tekken_model"
"""The tensor in which weight files bring a tekken.json along."""
_SECONDS = 10
"""How long a vocabulary's pattern may take to split a text."""


def make_tekken(data: bytes, where: str) -> Callable[[str], list[int]]:
    """From texts to ids, by the contents of a tekken.json; names of special tokens are these tokens.

    Args:
        data: The contents.
        where: The file, for errors.

    Raises:
        ModelFormatError: It is no such vocabulary.
    """
    import regex  # type: ignore[import-untyped]

    try:
        found = json.loads(data)
        config = found["config"]
        first = int(config["default_num_special_tokens"])
        ranks = {base64.b64decode(entry["token_bytes"]): int(entry["rank"]) for entry in found["vocab"]}
        size = int(config["default_vocab_size"]) - first
        ranks = {piece: rank for piece, rank in ranks.items() if rank < size}
        special = {str(entry["token_str"]): int(entry["rank"]) for entry in found["special_tokens"]}
        pattern = regex.compile(config["pattern"])
        names = regex.compile("|".join(map(regex.escape, sorted(special, key=len, reverse=True))))
    except (ValueError, KeyError, TypeError, RecursionError, regex.error) as error:
        raise ModelFormatError(f"holds no Tekken vocabulary: {error}", where=where) from error
    if not special or any(bytes([number]) not in ranks for number in range(256)):
        raise ModelFormatError("its Tekken vocabulary lacks special tokens or single bytes", where=where)

    def plain(text: str) -> list[int]:
        try:
            parts = [match[0] for match in pattern.finditer(text, timeout=_SECONDS)]
        except TimeoutError as error:
            raise ModelFormatError("the pattern of its Tekken vocabulary runs away", where=where) from error
        return [first + rank for part in parts for rank in _joined(part.encode(), ranks)]

    def ids(text: str) -> list[int]:
        made, reached = [], 0
        for match in names.finditer(text):
            made += [*plain(text[reached : match.start()]), special[match[0]]]
            reached = match.end()
        return made + plain(text[reached:])

    return ids


def _joined(part: bytes, ranks: Mapping[bytes, int]) -> list[int]:
    """Ranks of the pieces that bytes become when the pair of the lowest rank is joined, again and again."""
    pieces = [part] if part in ranks else [bytes([number]) for number in part]
    while True:
        rank, pair = min(
            ((ranks[a + b], (a, b)) for a, b in pairwise(pieces) if a + b in ranks), default=(-1, (b"", b""))
        )
        if rank < 0:
            return [ranks[piece] for piece in pieces]
        joined: list[bytes] = []
        index = 0
        while index < len(pieces):
            step = 2 if tuple(pieces[index : index + 2]) == pair else 1
            joined.append(b"".join(pieces[index : index + step]))
            index += step
        pieces = joined
