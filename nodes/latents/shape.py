"""Nodes that turn latents, cut them and join them. Noise masks go along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import node
from graphflow.values import Latent

from ..choices import Degrees, Flip, LatentEdge, Latents, Offset
from ..images.checks import require_items, require_size, tell_rounding

if TYPE_CHECKING:
    import torch

__all__ = ["concat_latents", "crop_latent", "cut_latent", "cut_latent_to_batch", "flip_latent", "rotate_latent"]


@node("flip_latent", map=True)
def flip_latent(latent: Latents, direction: Flip = "vertical") -> Latent:
    """Mirror latents (B, C, h, w)."""
    from graphflow.pixels.shapes import FLIPS

    return _changed(latent, FLIPS[direction])


@node("rotate_latent", map=True)
def rotate_latent(latent: Latents, degrees: Degrees = 90) -> Latent:
    """Turn latents (B, C, h, w) clockwise by a multiple of 90 degrees."""
    from graphflow.pixels.shapes import rotate

    return _changed(latent, lambda tensor: rotate(tensor, degrees))


@node("crop_latent", map=True)
def crop_latent(
    latent: Latents,
    x: Annotated[Offset, Field(description="left edge in pixels of the picture")] = 0,
    y: Annotated[Offset, Field(description="top edge in pixels of the picture")] = 0,
    width: LatentEdge = 512,
    height: LatentEdge = 512,
) -> Latent:
    """Cut a rectangle out of latents. What lies outside is left out; places are rounded down to whole samples.

    Raises:
        InvalidInputError: The rectangle lies outside.
    """
    f = latent.downscale
    tell_rounding(width, height, f)
    left, top, right, bottom = x // f, y // f, (x // f) + max(1, width // f), (y // f) + max(1, height // f)
    rows, columns = latent.samples.shape[-2:]
    if left >= columns or top >= rows:
        raise InvalidInputError(
            f"x {x}, y {y} lies outside a picture of {columns * f} x {rows * f}", advice="take a smaller x and y"
        )
    right, bottom = min(right, columns), min(bottom, rows)
    return _window(latent, left, top, right, bottom)


@node("cut_latent", map=True)
def cut_latent(
    latent: Latents,
    axis: Annotated[Literal["x", "y", "t"], Field(description="x counts columns, y rows, t a video's frames")] = "x",
    start: Annotated[
        int, Field(ge=-LIMITS.edge, le=LIMITS.edge, description="the first latent sample; negative counts from the end")
    ] = 0,
    length: Annotated[int, Field(ge=1, le=LIMITS.edge, description="how many latent samples, at most to the end")] = 1,
) -> Latent:
    """Take a stripe of columns or rows out of latents, or frames out of a video's, counted in latent samples.

    A start outside is moved to the nearest sample.

    Raises:
        InvalidInputError: Frames are asked of latents of pictures.
    """
    if axis == "t":
        require_video(latent, "latent")
    rows, columns = latent.samples.shape[-2:]
    size = {"x": columns, "y": rows, "t": latent.samples.shape[2]}[axis]
    first = max(size + start, 0) if start < 0 else min(start, size - 1)
    last = min(first + length, size)
    if axis == "t":
        return replace(latent, samples=latent.samples[:, :, first:last])
    return _window(latent, first, 0, last, rows) if axis == "x" else _window(latent, 0, first, columns, last)


@node("cut_latent_to_batch", map=True)
def cut_latent_to_batch(
    latent: Latents,
    axis: Annotated[Literal["x", "y", "t"], Field(description="x counts columns, y rows, t a video's frames")] = "t",
    length: Annotated[int, Field(ge=1, le=LIMITS.edge, description="latent samples of a piece, at most all")] = 1,
) -> Latent:
    """Cut latents into pieces of equal length, each of which becomes one of the batch, such as layers of a picture.

    What is left at the end is left out, and so are noise masks.

    Raises:
        InvalidInputError: Frames are asked of latents of pictures.
    """
    import torch

    if axis == "t":
        require_video(latent, "latent")
    place = {"x": -1, "y": -2, "t": 2}[axis]
    size = latent.samples.shape[place]
    pieces = latent.samples.split(min(length, size), dim=place)[: size // min(length, size)]
    return replace(latent, samples=torch.stack(pieces, dim=1).flatten(0, 1), noise_mask=None, batch_index=None)


@node("concat_latents")
def concat_latents(
    first: Annotated[Latent, Field(description="the first latents")],
    second: Annotated[
        Latent, Field(description="the second latents; resized bilinearly along the edge that they share")
    ],
    direction: Annotated[
        Literal["right", "left", "down", "up", "after", "before"],
        Field(description="on which side of the first the second comes; after and before join videos of one size"),
    ] = "right",
) -> Latent:
    """Put latents beside or below other ones, into one picture, or join videos. Noise masks are left out.

    Raises:
        InvalidInputError: The channels differ; or the videos' sizes do, or they are pictures.
        LimitError: The result is larger than the limits allow.
    """
    from graphflow.pixels import latents
    from graphflow.sampling.denoise import as_pictures

    a, b = first.samples, second.samples
    require_same_channels(first, second)
    require_items(b, a.shape[0])
    if direction in ("after", "before"):
        require_video(first, "first")
        require_video(second, "second")
        if a.shape[-2:] != b.shape[-2:]:
            raise InvalidInputError("the videos have different sizes", where="second")
    else:
        a, b = as_pictures(first).samples, as_pictures(second).samples
    joined = latents.concat_latents(a, b, direction)
    if joined.dim() < first.samples.dim():
        joined = joined.unsqueeze(2)
    require_size(joined.shape[-1] * first.downscale, joined.shape[-2] * first.downscale)
    return replace(first, samples=joined, noise_mask=None)


def require_video(latent: Latent, where: str) -> None:
    """Refuse latents of pictures.

    Raises:
        InvalidInputError: They have no axis for time.
    """
    if latent.samples.dim() != 5:
        raise InvalidInputError("the latents are those of pictures, not of a video", where=where)


def require_same_channels(first: Latent, second: Latent) -> None:
    """Refuse to mix latents of different families.

    Raises:
        InvalidInputError: The numbers of channels or the sizes of a sample differ, or one is a video's.
    """
    if first.samples.dim() != second.samples.dim():
        raise InvalidInputError("latents of pictures and those of a video do not go together")
    if first.samples.shape[1] != second.samples.shape[1] or first.downscale != second.downscale:
        raise InvalidInputError(
            f"latents with {first.samples.shape[1]} and with {second.samples.shape[1]} channels do not go together",
            advice="use latents of one model family",
        )


def _window(latent: Latent, left: int, top: int, right: int, bottom: int) -> Latent:
    """Cut by latent samples; the mask, which has a size of its own, is cut at the same shares."""
    rows, columns = latent.samples.shape[-2:]
    mask = latent.noise_mask
    if mask is not None:
        high, wide = mask.shape[-2:]
        mask = mask[
            :,
            top * high // rows : max(bottom * high // rows, top * high // rows + 1),
            left * wide // columns : max(right * wide // columns, left * wide // columns + 1),
        ]
    return replace(latent, samples=latent.samples[..., top:bottom, left:right], noise_mask=mask)


def _changed(latent: Latent, change: Callable[[torch.Tensor], torch.Tensor]) -> Latent:
    mask = latent.noise_mask
    return replace(latent, samples=change(latent.samples), noise_mask=None if mask is None else change(mask))
