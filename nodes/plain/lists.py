"""Nodes on sequences. Each has its own type, so that the safety pass knows where pictures are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import Each, OneOrMany, node
from graphflow.values import Image, Latent

from ..sequences import each, latents_of, pictures_of
from .text import within_limits

__all__ = ["image_item", "image_list", "int_item", "latent_item", "list_length", "text_from_list", "text_item"]

T = TypeVar("T")

Index = Annotated[
    int, Field(ge=-LIMITS.batch, le=LIMITS.batch, description="which, from 0; negative counts from the end")
]


@node("list_length")
def list_length(items: Annotated[OneOrMany[Any], Field(description="the sequence")]) -> int:
    """Count the items of a sequence; a single value counts as one."""
    return len(_items(items))


@node("image_list")
def image_list(
    images: Annotated[list[OneOrMany[Image]], Field(description="the pictures, or sequences of them, in order")],
) -> Each[Image]:
    """Make a sequence of batches, which may differ in size; nodes that map over sequences then run once for each.

    Raises:
        InvalidInputError: There are none.
    """
    if not images:
        raise InvalidInputError("there are no pictures", where="images", advice="link at least one")
    return each(picture for given in images for picture in pictures_of(given))


@node("image_item")
def image_item(
    images: Annotated[OneOrMany[Image], Field(description="the sequence of batches")], index: Index = 0
) -> Image:
    """Take one batch of pictures out of a sequence.

    Raises:
        InvalidInputError: There is no such one.
    """
    return _item(pictures_of(images), index)


@node("latent_item")
def latent_item(
    latents: Annotated[OneOrMany[Latent], Field(description="the sequence of batches")], index: Index = 0
) -> Latent:
    """Take one batch of latents out of a sequence.

    Raises:
        InvalidInputError: There is no such one.
    """
    return _item(latents_of([latents]), index)


@node("text_item")
def text_item(texts: Annotated[OneOrMany[str], Field(description="the texts")], index: Index = 0) -> str:
    """Take one text out of a sequence.

    Raises:
        InvalidInputError: There is no such one.
    """
    return str(_item(_items(texts), index))


@node("int_item")
def int_item(numbers: Annotated[OneOrMany[int], Field(description="the whole numbers")], index: Index = 0) -> int:
    """Take one whole number out of a sequence.

    Raises:
        InvalidInputError: There is no such one.
    """
    return int(_item(_items(numbers), index))


@node("text_from_list")
def text_from_list(
    texts: Annotated[OneOrMany[str], Field(description="the texts")],
    separator: Annotated[str, Field(max_length=20, description="what stands between two texts")] = "\n",
) -> str:
    """Join a sequence of texts into one.

    Raises:
        LimitError: The text becomes too long.
    """
    parts = _items(texts)
    return within_limits(separator.join(parts))


def _items(items: Any) -> Sequence[Any]:
    """The items; a single value is a sequence of one."""
    return items if isinstance(items, tuple | list) else (items,)


def _item(items: Sequence[T], index: int) -> T:
    if not -len(items) <= index < len(items):
        raise InvalidInputError(
            f"there is no item {index}, only {len(items)} items", where="index", advice="the first one is 0"
        )
    return items[index]
