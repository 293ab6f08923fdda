"""Nodes that choose things in pictures, join them, and change their masks."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import node
from graphflow.values import Image, Mask, Segments

from ..choices import Offset
from .common import Things
from .find import Growth

__all__ = [
    "change_segment_masks",
    "choose_segments",
    "count_segments",
    "join_segments",
    "mask_segments",
    "segments_to_mask",
]

Measure = Literal["area", "width", "height", "left", "top", "right", "bottom", "score"]
Number = Annotated[float, Field(ge=-1e9, le=1e9)]


class Chosen(NamedTuple):
    """Things in two groups."""

    chosen: Annotated[Segments, Field(description="what fits, in its order")]
    rest: Annotated[Segments, Field(description="what does not")]


@node("choose_segments")
def choose_segments(
    segments: Things,
    labels: Annotated[
        str, Field(max_length=LIMITS.text, description="take what is labelled so, divided by commas; empty takes all")
    ] = "",
    by: Annotated[Measure, Field(description="what minimum, maximum and order go by; of the box, in pixels")] = "area",
    minimum: Annotated[Number | None, Field(description="take what has at least so much")] = None,
    maximum: Annotated[Number | None, Field(description="take what has at most so much")] = None,
    outside: Annotated[bool, Field(description="take what does not lie between them instead")] = False,
    order: Annotated[
        Literal["as is", "ascending", "descending"], Field(description="in which order they come")
    ] = "as is",
    skip: Annotated[int, Field(ge=0, le=LIMITS.batch, description="leave out the first ones")] = 0,
    most: Annotated[int | None, Field(ge=0, le=LIMITS.batch, description="how many at most; none takes all")] = None,
) -> Chosen:
    """Choose things by label, size, place or certainty."""
    from graphflow.pixels.segments import measure

    wanted = {label.strip().lower() for label in labels.split(",") if label.strip()}
    fits = []
    for part in segments.parts:
        number = measure(part, by)
        between = (minimum is None or number >= minimum) and (maximum is None or number <= maximum)
        if (not wanted or part.label.lower() in wanted) and between != outside:
            fits.append(part)
    if order != "as is":
        fits.sort(key=lambda part: measure(part, by), reverse=order == "descending")
    chosen = fits[skip : None if most is None else skip + most]
    taken = set(map(id, chosen))
    rest = tuple(part for part in segments.parts if id(part) not in taken)
    return Chosen(replace(segments, parts=tuple(chosen)), replace(segments, parts=rest))


@node("join_segments")
def join_segments(
    segments: Annotated[list[Segments], Field(description="the things, in order; all of pictures of one size")],
) -> Segments:
    """Put things of the same pictures together.

    Raises:
        InvalidInputError: There are none, or the pictures differ in size.
    """
    if not segments:
        raise InvalidInputError("there are no segments", where="segments", advice="link at least one")
    sizes = {(one.width, one.height) for one in segments if one.parts}
    if len(sizes) > 1:
        raise InvalidInputError(f"they are of pictures of different sizes: {sorted(sizes)}", where="segments")
    first = next((one for one in segments if one.parts), segments[0])
    return replace(first, parts=tuple(part for one in segments for part in one.parts))


@node("mask_segments")
def mask_segments(
    segments: Things,
    mask: Annotated[Mask, Field(description="the masks of the same pictures; too few repeat the last")],
    operation: Annotated[
        Literal["keep", "remove"], Field(description="keep what lies in the mask, or remove it")
    ] = "keep",
) -> Segments:
    """Keep of every thing's mask what lies in another mask, or what lies outside.

    Raises:
        InvalidInputError: The mask has another size than the pictures.
    """
    from graphflow.pixels.segments import masked_segments

    height, width = mask.values.shape[-2:]
    if segments.parts and ((width, height) != (segments.width, segments.height) or not len(mask.values)):
        raise InvalidInputError(
            f"the mask has {width} x {height} pixels, the pictures {segments.width} x {segments.height}", where="mask"
        )
    return masked_segments(segments, mask.values, keep=operation == "keep")


@node("change_segment_masks")
def change_segment_masks(
    segments: Things,
    dilation: Growth = 0,
    blur: Annotated[Offset, Field(description="pixels around each that count when masks are softened; 0 does not")] = 0,
) -> Segments:
    """Grow, shrink and soften the masks of things, within what is cut out around them."""
    from graphflow.pixels.segments import changed_masks, grown, softened

    return changed_masks(segments, lambda mask: softened(grown(mask, dilation), blur).clamp(0, 1))


@node("segments_to_mask")
def segments_to_mask(
    segments: Things,
    image: Annotated[
        Image | None, Field(description="the pictures: there is a mask for each; without them, as needed")
    ] = None,
) -> Mask:
    """Put all things of each picture into one mask (B, H, W); without things it is 0."""
    from graphflow.pixels.segments import segments_to_masks

    return Mask(values=segments_to_masks(segments, 1 if image is None else len(image.pixels)))


@node("count_segments")
def count_segments(segments: Things) -> int:
    """Count things."""
    return len(segments.parts)
