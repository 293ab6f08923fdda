"""Nodes that change masks (B, H, W) in [0, 1]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.pixels.batching import cycle_to
from graphflow.pixels.filters import dilate, erode, gaussian_blur
from graphflow.pixels.resampling import require_size, resample
from graphflow.spec.decorator import node
from graphflow.values import Mask

from ..sampling.choices import Crop, Edge, Offset, Resampling

if TYPE_CHECKING:
    import torch

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
    return Mask(values=1.0 - mask.values)


@node("grow_mask", map=True)
def grow_mask(
    mask: Masks,
    amount: Annotated[int, Field(ge=-4096, le=4096, description="pixels to grow by; negative shrinks")] = 0,
    tapered_corners: Annotated[
        bool, Field(description="cut corners, so that growth is a diamond, not a square")
    ] = True,
) -> Mask:
    """Grow or shrink the bright parts of masks: grey dilation or erosion, pixel by pixel."""
    step = dilate if amount > 0 else erode
    values = mask.values[:, None]
    for _ in range(abs(amount)):
        grown = _cross(values, amount > 0) if tapered_corners else step(values, 3, 3)
        if grown.equal(values):
            break
        values = grown
    return Mask(values=values[:, 0])


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
    height, width = mask.values.shape[-2:]
    far_rows, far_columns = _fade(height, bottom).flip(0), _fade(width, right).flip(0)
    if across:
        far_rows, far_columns = far_rows.roll(1), far_columns.roll(1)
    rows, columns = _fade(height, top) * far_rows, _fade(width, left) * far_columns
    return Mask(values=mask.values * rows[:, None] * columns[None, :])


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
    return Mask(
        values=gaussian_blur(mask.values[:, None], radius, max(sigma, 0.1) / radius if sigma else 1 / 3)[:, 0].clamp(
            0, 1
        )
    )


@node("threshold_mask", map=True)
def threshold_mask(
    mask: Masks, threshold: Annotated[float, Field(ge=0, le=1, description="values above it become 1, others 0")] = 0.5
) -> Mask:
    """Make masks of 0 and 1 only."""
    return Mask(values=(mask.values > threshold).float())


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
    require_size(width, height)
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
    result = destination.values.clone()
    count, height, width = result.shape
    if not count or x >= width or y >= height:
        return Mask(values=result)
    above = cycle_to(source.values, count)
    rows, columns = min(above.shape[-2], height - y), min(above.shape[-1], width - x)
    a, b = result[:, y : y + rows, x : x + columns], above[:, :rows, :columns]
    result[:, y : y + rows, x : x + columns] = _combined(a, b, operation)
    return Mask(values=result.clamp(0, 1))


def crop_rectangle(tensor: torch.Tensor, x: int, y: int, width: int, height: int) -> torch.Tensor:
    """Cut a rectangle, as far as it lies inside, out of (…, H, W).

    Raises:
        InvalidInputError: It lies outside.
    """
    rows, columns = tensor.shape[-2:]
    if x >= columns or y >= rows:
        raise InvalidInputError(
            f"x {x}, y {y} lies outside {columns} x {rows} pixels", advice=f"take places below {columns} and {rows}"
        )
    return tensor[..., y : y + height, x : x + width]


def _combined(a: torch.Tensor, b: torch.Tensor, operation: str) -> torch.Tensor:
    match operation:
        case "multiply":
            return a * b
        case "add":
            return a + b
        case "subtract":
            return a - b
        case "and":
            return (a.round().bool() & b.round().bool()).float()
        case "or":
            return (a.round().bool() | b.round().bool()).float()
        case "xor":
            return (a.round().bool() ^ b.round().bool()).float()
    raise InvalidInputError(f"there is no operation {operation!r}", where="operation")


def _cross(values: torch.Tensor, growing: bool) -> torch.Tensor:
    """One step with a cross instead of a square: the better of a row and a column."""
    import torch

    if growing:
        return torch.maximum(dilate(values, 1, 3), dilate(values, 3, 1))
    return torch.minimum(erode(values, 1, 3), erode(values, 3, 1))


def _fade(length: int, margin: int) -> torch.Tensor:
    """Weights 1 / margin, 2 / margin, … at the beginning of an edge, then 1; a margin has at most the edge's length."""
    import torch

    margin = min(margin, length)
    return torch.cat([(torch.arange(margin) + 1) / max(1, margin), torch.ones(length - margin)])
