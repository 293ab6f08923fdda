"""Inputs that take one value or a sequence of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from graphflow.errors import InvalidInputError
from graphflow.values import Image, Latent

T = TypeVar("T")


def each(items: Iterable[T]) -> T:
    """Return a sequence, which type checkers take for one of its elements: see :data:`graphflow.spec.spec.Each`."""
    found: Any = tuple(items)
    return found  # type: ignore[no-any-return]


def pictures_of(images: Image | Sequence[Image]) -> tuple[Image, ...]:
    """Return pictures that came as one batch or as a sequence of batches as a sequence.

    Raises:
        InvalidInputError: The sequence is empty, or holds something else.
    """
    parts = (images,) if isinstance(images, Image) else tuple(images)
    if not parts:
        raise InvalidInputError("the sequence of pictures is empty", where="images")
    if not all(isinstance(part, Image) for part in parts):
        raise InvalidInputError("the sequence holds something that is no picture", where="images")
    return parts


def latents_of(latents: Sequence[Latent | Sequence[Latent]]) -> list[Latent]:
    """Return latents that came as values and sequences as one list.

    Raises:
        InvalidInputError: There are none, or something else is among them.
    """
    parts: list[Latent] = []
    for given in latents:
        parts += [given] if isinstance(given, Latent) else given
    if not parts:
        raise InvalidInputError("there are no latents", where="latents", advice="link at least one")
    if not all(isinstance(part, Latent) for part in parts):
        raise InvalidInputError("the sequence holds something that is no latent", where="latents")
    return parts
