"""Nodes that change masks (B, H, W) in [0, 1]."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from graphflow.spec.decorator import node
from graphflow.values import Mask

from ..choices import Crop, Edge, Offset, Resampling
from ..images.checks import require_batch, require_inside, require_items, require_radius, require_size

__all__ = [
    "blur_mask",
    "compose_masks",
    "crop_mask",
    "feather_mask",
    "grow_mask",
    "invert_mask",
    "resize_mask",
    "threshold_mask",
]

Masks = Annotated[Mask, Field(description="the masks")]


@node("invert_mask", map=True)
def invert_mask(mask: Masks) -> Mask:
    """Swap what masks keep and what they make anew: 1 - mask, (B, H, W)."""
    from graphflow.pixels import masks

    return Mask(values=masks.invert_mask(mask.values))


@node("grow_mask", map=True)
def grow_mask(
    mask: Masks,
    amount: Annotated[int, Field(ge=-16_384, le=16_384, description="pixels to grow by; negative shrinks")] = 0,
    tapered_corners: Annotated[
        bool, Field(description="cut corners, so that growth is a diamond, not a square")
    ] = True,
) -> Mask:
    """Grow or shrink the bright parts of masks: grey dilation or erosion, pixel by pixel."""
    from graphflow.pixels import masks

    return Mask(values=masks.grow_mask(mask.values, amount, tapered_corners))


@node("feather_mask", map=True)
def feather_mask(
    mask: Masks,
    left: Annotated[Offset, Field(description="pixels over which the left edge fades")] = 0,
    top: Annotated[Offset, Field(description="pixels over which the top edge fades")] = 0,
    right: Annotated[Offset, Field(description="pixels over which the right edge fades")] = 0,
    bottom: Annotated[Offset, Field(description="pixels over which the bottom edge fades")] = 0,
    across: Annotated[
        bool,
        Field(
            description="have the darkest column of the right fade at the left edge, and the darkest row of the bottom"
            " one at the top, as ComfyUI's FeatherMask does"
        ),
    ] = False,
) -> Mask:
    """Fade masks out linearly towards the edges of the picture."""
    from graphflow.pixels import masks

    return Mask(values=masks.feather_mask(mask.values, left, top, right, bottom, across))


@node("blur_mask", map=True)
def blur_mask(
    mask: Masks,
    radius: Annotated[int, Field(ge=1, le=512, description="pixels around each that count")] = 4,
    sigma: Annotated[
        float,
        Field(ge=0, le=512, description="standard deviation of the Gaussian weights in pixels; 0 is a third of radius"),
    ] = 0.0,
) -> Mask:
    """Soften the edges of masks.

    Raises:
        InvalidInputError: The masks are not larger than the radius.
    """
    from graphflow.pixels import masks

    require_radius(radius, mask.values)
    return Mask(values=masks.blur_mask(mask.values, radius, sigma))


@node("threshold_mask", map=True)
def threshold_mask(
    mask: Masks, threshold: Annotated[float, Field(ge=0, le=1, description="values above it become 1, others 0")] = 0.5
) -> Mask:
    """Make masks of 0 and 1 only."""
    from graphflow.pixels import masks

    return Mask(values=masks.threshold_mask(mask.values, threshold))


@node("crop_mask", map=True)
def crop_mask(
    mask: Masks,
    x: Annotated[Offset, Field(description="left edge")] = 0,
    y: Annotated[Offset, Field(description="top edge")] = 0,
    width: Annotated[Edge, Field(description="width; what lies outside is left out")] = 512,
    height: Annotated[Edge, Field(description="height; what lies outside is left out")] = 512,
) -> Mask:
    """Cut a rectangle out of masks.

    Raises:
        InvalidInputError: The rectangle lies outside.
    """
    from graphflow.pixels.shapes import crop_rectangle

    require_inside(x, y, mask.values)
    return Mask(values=crop_rectangle(mask.values, x, y, width, height))


@node("resize_mask", map=True)
def resize_mask(
    mask: Masks,
    width: Annotated[Edge, Field(description="pixels")] = 512,
    height: Annotated[Edge, Field(description="pixels")] = 512,
    method: Resampling = "bilinear",
    crop: Crop = "none",
) -> Mask:
    """Change the size of masks: (B, H, W) to (B, height, width), values stay in [0, 1].

    Raises:
        LimitError: The result is larger than the limits allow.
    """
    from graphflow.pixels.resampling import resample

    require_size(width, height)
    require_batch(mask.values.shape[0], height, width)
    return Mask(values=resample(mask.values[:, None], (height, width), method, crop)[:, 0].clamp(0, 1))


@node("compose_masks")
def compose_masks(
    destination: Annotated[Mask, Field(description="the masks to change")],
    source: Annotated[Mask, Field(description="the masks to put on them; too few are repeated")],
    x: Annotated[Offset, Field(description="left edge of the source")] = 0,
    y: Annotated[Offset, Field(description="top edge of the source")] = 0,
    operation: Annotated[
        Literal["multiply", "add", "subtract", "and", "or", "xor"],
        Field(description="what to do where they overlap; and, or, xor round to 0 and 1 first"),
    ] = "multiply",
) -> Mask:
    """Combine masks where a source lies on a destination; values stay in [0, 1].

    Raises:
        InvalidInputError: There is no source mask.
    """
    from graphflow.pixels.masks import COMPOSITIONS

    require_items(source.values, destination.values.shape[0])
    return Mask(values=COMPOSITIONS[operation](destination.values, source.values, x, y))
