"""Nodes on sequences of numbers, texts, latents and models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.limits import LIMITS
from graphflow.node import node
from graphflow.values import Image, Video

T = TypeVar("T")

Items = Annotated[Sequence[T], Field(description="the sequence")]


@node("make_list", category="lists")
def make_list(items: Annotated[list[T], Field(description="the items, in order")]) -> Sequence[T]:
    """Make a sequence of linked values; nodes that map over sequences then run once for each.

    Raises:
        InvalidInputError: There are no items, or an item is a picture.
    """
    if not items:
        raise InvalidInputError("there are no items", where="items", advice="link at least one")
    return _checked(tuple(items))


@node("list_item", category="lists")
def list_item(
    items: Items[T],
    index: Annotated[
        int, Field(ge=-LIMITS.batch, le=LIMITS.batch, description="which, from 0; negative counts from the end")
    ] = 0,
) -> T:
    """Take one item out of a sequence.

    Raises:
        InvalidInputError: The sequence has no such item, or it is a picture.
    """
    sequence = _sequence(items)
    if not -len(sequence) <= index < len(sequence):
        raise InvalidInputError(
            f"there is no item {index}, only {len(sequence)} items", where="index", advice="the first one is 0"
        )
    return sequence[index]


@node("list_slice", category="lists")
def list_slice(
    items: Items[T],
    start: Annotated[int, Field(ge=0, le=LIMITS.batch, description="the first one to take, from 0")] = 0,
    length: Annotated[int, Field(ge=1, le=LIMITS.batch, description="how many to take, at most to the end")] = 1,
) -> Sequence[T]:
    """Take a part of a sequence.

    Raises:
        InvalidInputError: Nothing is left, or an item is a picture.
    """
    taken = _sequence(items)[start : start + length]
    if not taken:
        raise InvalidInputError(f"the sequence has only {len(_sequence(items))} items", where="start")
    return taken


@node("list_length", category="lists")
def list_length(items: Annotated[Sequence[Any], Field(description="the sequence")]) -> int:
    """Count the items of a sequence; a single value counts as one."""
    return len(items) if isinstance(items, tuple | list) else 1


def _sequence(items: Sequence[T]) -> tuple[T, ...]:
    """The items; a single value is a sequence of one."""
    return _checked(tuple(items) if isinstance(items, tuple | list) else (items,))


def _checked(items: tuple[T, ...]) -> tuple[T, ...]:
    # The safety pass knows pictures by the type of a link, and what a sequence of anything holds it cannot tell.
    if any(isinstance(item, Image | Video) for item in items):
        raise InvalidInputError(
            "pictures do not go through lists",
            where="items",
            advice="use batch_images, images_from_batch and rebatch_images",
        )
    return items
