"""Nodes that put pictures into batches and take them out."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import Each, OneOrMany, node
from graphflow.values import Image

from ..choices import Pictures
from ..sequences import each, pictures_of
from .checks import require_batch, require_items

__all__ = ["batch_images", "images_from_batch", "pick_images", "rebatch_images", "repeat_images"]


@node("batch_images", version=2)
def batch_images(
    images: Annotated[list[OneOrMany[Image]], Field(description="the pictures to put together, in order")],
    resize: Annotated[
        bool,
        Field(description="bring all to the size of the first (bilinear, cut to its shape), with alpha if any has"),
    ] = False,
) -> Image:
    """Put pictures, or sequences of them, into one batch (B, C, H, W), numbered from 0.

    Raises:
        InvalidInputError: There are none, or the sizes or channels differ and nothing was resized.
        LimitError: The batch is larger than the limits allow.
    """
    import torch

    from graphflow.pixels.alpha import with_channels
    from graphflow.pixels.resampling import resample

    parts = [picture for given in images for picture in pictures_of(given)]
    if not parts:
        raise InvalidInputError("there are no pictures", where="images", advice="link at least one")
    first = parts[0].pixels
    channels = max(part.pixels.shape[1] for part in parts)
    require_batch(sum(part.pixels.shape[0] + part.withheld for part in parts), channels, *first.shape[2:])
    if resize:
        height, width = parts[0].pixels.shape[-2:]
        parts = [
            replace(
                part,
                pixels=with_channels(
                    resample(part.pixels, (height, width), "bilinear", "center").clamp(0, 1), channels
                ),
            )
            for part in parts
        ]
    shapes = {tuple(part.pixels.shape[1:]) for part in parts}
    if len(shapes) != 1:
        shown = ", ".join(f"{w} x {h} with {c} channels" for c, h, w in sorted(shapes))
        raise InvalidInputError(
            f"pictures of different shapes do not make one batch: {shown}",
            where="images",
            advice="set resize, or make them equal with a resize node",
        )
    numbers: list[int] = []
    offset = 0
    for part in parts:
        count = part.pixels.shape[0]
        numbers += [offset + number for number in (part.numbers or range(count))]
        offset += count + part.withheld
    withheld = sum(part.withheld for part in parts)
    return Image(
        pixels=torch.cat([part.pixels for part in parts]),
        numbers=tuple(numbers) if withheld else None,
        withheld=withheld,
    )


@node("images_from_batch", map=True)
def images_from_batch(
    images: Pictures,
    start: Annotated[int, Field(ge=0, le=LIMITS.batch, description="the first one to take, from 0")] = 0,
    length: Annotated[int, Field(ge=1, le=LIMITS.batch, description="how many to take, at most to the last one")] = 1,
) -> Image:
    """Take some pictures out of a batch, numbered from 0. A start behind the last one takes the last one.

    Raises:
        InvalidInputError: The batch is empty.
    """
    from graphflow.pixels.batches import window

    require_items(images.pixels)
    wanted = window(images.pixels.shape[0], start, length)
    return Image(pixels=images.pixels[wanted.start : wanted.stop])


@node("pick_images", map=True)
def pick_images(
    images: Pictures,
    places: Annotated[
        str,
        Field(
            max_length=10_000, description='numbers from 0 and slices as Python has them: "0, 3, -1", "::2", "8:0:-1"'
        ),
    ],
) -> Image:
    """Take pictures out of a batch by their places, in any order; a picture may come several times.

    Raises:
        InvalidInputError: The places are written wrongly, or there is no picture at one of them, or none is left.
        LimitError: The batch is larger than the limits allow.
    """
    from graphflow.pixels.batches import picked

    count = images.pixels.shape[0]
    try:
        wanted = picked(count, places)
    except ValueError as error:
        raise InvalidInputError(
            str(error), where="places", advice="write numbers and slices, as 0, 2:5, ::2"
        ) from error
    require_batch(len(wanted), *images.pixels.shape[1:])
    return Image(pixels=images.pixels[wanted])


@node("repeat_images", map=True)
def repeat_images(
    images: Pictures,
    count: Annotated[int, Field(ge=1, le=LIMITS.batch, description="how many times the batch")] = 2,
) -> Image:
    """Put a batch of pictures several times behind itself: (B, C, H, W) to (count * B, C, H, W).

    Raises:
        LimitError: The batch is larger than the limits allow.
    """
    require_batch(images.pixels.shape[0] * count, *images.pixels.shape[1:])
    return Image(pixels=images.pixels.repeat(count, 1, 1, 1))


@node("rebatch_images")
def rebatch_images(
    images: Annotated[OneOrMany[Image], Field(description="the pictures: one batch, or a sequence of batches")],
    batch_size: Annotated[int, Field(ge=1, le=LIMITS.batch, description="how many in each batch")] = 1,
) -> Each[Image]:
    """Make a sequence of batches of another size; nodes that map over sequences then run once for each.

    Pictures of different shapes do not share a batch.

    Raises:
        InvalidInputError: There are no pictures.
    """
    groups: list[list[Image]] = []
    for part in pictures_of(images):
        if groups and groups[-1][0].pixels.shape[1:] == part.pixels.shape[1:]:
            groups[-1].append(part)
        else:
            groups.append([part])
    return each(
        Image(pixels=whole.pixels[start : start + batch_size])
        for group in groups
        for whole in (batch_images([tuple(group)]),)
        for start in range(0, whole.pixels.shape[0], batch_size)
    )
