"""Mistral's Tekken vocabularies in model files, with what is wrong with them said."""

from __future__ import annotations

from collections.abc import Callable

from graphflow.errors import ModelFormatError

TEKKEN = "tekken_model"
"""The tensor in which weight files bring a tekken.json along."""


def make_tekken(data: bytes, where: str) -> Callable[[str], list[int]]:
    """From texts to ids, by the contents of a tekken.json; names of special tokens are these tokens.

    Args:
        data: The contents.
        where: The file, for errors.

    Raises:
        ModelFormatError: It is no such vocabulary.
    """
    import regex  # type: ignore[import-untyped]

    from graphflow.basics.tekken import read_tekken

    try:
        read = read_tekken(data)
    except (ValueError, KeyError, TypeError, RecursionError, regex.error) as error:
        raise ModelFormatError(f"holds no Tekken vocabulary: {error}", where=where) from error

    def ids(text: str) -> list[int]:
        try:
            return read(text)
        except TimeoutError as error:
            raise ModelFormatError("the pattern of its Tekken vocabulary runs away", where=where) from error

    return ids
