"""Nodes that cut things out of pictures, to be drawn anew larger, and put them back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from graphflow import runtime
from graphflow.errors import InvalidInputError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import Each, OneOrMany, Seed, node
from graphflow.values import Conditioning, ConditioningEntry, Image, Mask, Segment, Segments

from ..choices import Offset, Pictures
from ..images.checks import require_batch, require_size
from ..sequences import each
from .common import Things, require_same_size

__all__ = ["batch_masks", "crop_conditioning", "crop_segments", "paste_segments", "seeds_for"]


class Crops(NamedTuple):
    """Things cut out of pictures."""

    images: Annotated[Each[Image], Field(description="a picture of each, (1, C, h, w)")]
    masks: Annotated[Each[Mask], Field(description="its mask, (1, h, w)")]
    segments: Annotated[Segments, Field(description="those that were cut out")]


@node("crop_segments")
def crop_segments(
    image: Pictures,
    segments: Things,
    guide_size: Annotated[
        int,
        Field(ge=0, le=LIMITS.edge, description="pixels that the shorter edge is enlarged to; 0 leaves the size"),
    ] = 512,
    guide: Annotated[
        Literal["box", "crop"], Field(description="whose shorter edge: the thing's, or the cut-out's")
    ] = "box",
    longest: Annotated[int, Field(ge=8, le=LIMITS.edge, description="pixels that no edge of a cut-out exceeds")] = 1024,
    skip_large: Annotated[
        bool, Field(description="leave out what is large enough already; else it is cut out at its size")
    ] = False,
    multiple_of: Annotated[int, Field(ge=1, le=256, description="pixels that edges are multiples of")] = 8,
    width: Annotated[
        int, Field(ge=0, le=LIMITS.edge, description="with height: what all are fitted into; 0 goes by guide_size")
    ] = 0,
    height: Annotated[int, Field(ge=0, le=LIMITS.edge, description="the same")] = 0,
) -> Crops:
    """Cut every thing out of its picture with its surroundings, enlarged; nodes that follow run once for each.

    Raises:
        InvalidInputError: The things were found in other pictures.
        LimitError: A cut-out becomes too large.
    """
    from graphflow.pixels.segments import cut_out, fitted, size_to_draw

    require_same_size(segments, image)
    found, kept = [], []
    for part in segments.parts:
        size: tuple[int, int] | None
        if width and height:
            size = fitted(part.crop, width, height, multiple_of)
        else:
            size = size_to_draw(
                part.box,
                part.crop,
                guide=guide_size,
                by_box=guide == "box",
                longest=longest,
                enlarge_only=skip_large,
                multiple=multiple_of,
            )
        if size is None:
            continue
        require_size(size[1], size[0])
        found.append(cut_out(image.pixels, part, size))
        kept.append(part)
    if len(kept) < len(segments.parts):
        runtime.current().notice(f"{len(segments.parts) - len(kept)} of {len(segments.parts)} things are large enough")
    pictures, masks = [one for one, _ in found], [one for _, one in found]
    return Crops(
        each(Image(pixels=pixels) for pixels in pictures),
        each(Mask(values=values) for values in masks),
        replace(segments, parts=tuple(kept)),
    )


@node("paste_segments")
def paste_segments(
    image: Pictures,
    segments: Annotated[Segments, Field(description="where the cut-outs come from")],
    images: Annotated[OneOrMany[Image], Field(description="what was drawn of each, in the same order, at any size")],
    feather: Annotated[Offset, Field(description="pixels over which the masks are softened")] = 5,
) -> Image:
    """Put pictures of things back to where they were cut out; alpha stays.

    Raises:
        InvalidInputError: There are more things or fewer than pictures, or they were found in other pictures.
    """
    from graphflow.pixels.segments import paste_back

    require_same_size(segments, image)
    drawn: Sequence[Any] = (images,) if isinstance(images, Image) else images
    if len(drawn) != len(segments.parts):
        raise InvalidInputError(
            f"there are {len(drawn)} pictures of {len(segments.parts)} things",
            where="images",
            advice="link the segments that crop_segments gives beside its pictures",
        )
    withheld = [index for index, one in enumerate(drawn) if not len(one.pixels)]
    parts = [part for index, part in enumerate(segments.parts) if index not in withheld]
    pixels = [one.pixels for one in drawn if len(one.pixels)]
    return replace(image, pixels=paste_back(image.pixels, parts, pixels, feather))


@node("crop_conditioning")
def crop_conditioning(
    conditioning: Annotated[Conditioning, Field(description="what the model is told of the whole picture")],
    segments: Things,
) -> Each[Conditioning]:
    """Tell the model of every cut-out what it is told of the whole: pictures of ControlNets, and masks, are cut alike.

    Raises:
        InvalidInputError: A prompt acts in a rectangle.
    """
    from graphflow.pixels.segments import cut_in_proportion

    if any(entry.area is not None for entry in conditioning.entries):
        raise InvalidInputError(
            "a prompt that acts in a rectangle cannot be cut", where="conditioning", advice="use set_conditioning_mask"
        )
    size = segments.width, segments.height

    def cut(entry: ConditioningEntry, part: Segment) -> ConditioningEntry:
        controls = tuple(replace(one, hint=cut_in_proportion(one.hint, part, *size)) for one in entry.controls)
        mask = None if entry.mask is None else cut_in_proportion(entry.mask, part, *size)
        return replace(entry, controls=controls, mask=mask)

    return each(
        replace(conditioning, entries=tuple(cut(entry, part) for entry in conditioning.entries))
        for part in segments.parts
    )


@node("seeds_for")
def seeds_for(
    items: Annotated[OneOrMany[Any], Field(description="the sequence that each gets a seed")],
    seed: Seed = 0,
) -> Each[int]:
    """Count seeds up from the first, one for each item of a sequence, so that nodes that run for each differ."""
    count = len(items) if isinstance(items, tuple | list) else 1
    return each((seed + number) % 2**64 for number in range(count))


@node("batch_masks")
def batch_masks(
    masks: Annotated[list[OneOrMany[Mask]], Field(description="the masks, or sequences of them, in order")],
) -> Mask:
    """Put masks into one batch (B, H, W), brought to the size of the first.

    Raises:
        InvalidInputError: There are none.
        LimitError: The batch is larger than the limits allow.
    """
    import torch

    from graphflow.pixels.resampling import resample

    parts = [one.values for given in masks for one in ((given,) if isinstance(given, Mask) else given)]
    if not parts:
        raise InvalidInputError("there are no masks", where="masks", advice="link at least one")
    size = parts[0].shape[-2:]
    require_batch(sum(map(len, parts)), *size)
    return Mask(values=torch.cat([resample(part[:, None], size, "bilinear")[:, 0] for part in parts]).clamp(0, 1))
