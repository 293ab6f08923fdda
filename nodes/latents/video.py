"""Latents of videos: (B, C, t, h, w), with time before the two edges."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, TypeAlias

from pydantic import Field

from graphflow.errors import InvalidInputError, LimitError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import node
from graphflow.values import Latent

from ..images.checks import require_size
from .shape import require_video

__all__ = ["empty_video_latent", "replace_latent_frames", "trim_video_latent"]

VideoEdge: TypeAlias = Annotated[int, Field(ge=8, le=LIMITS.edge, description="pixels of a frame")]
Length: TypeAlias = Annotated[int, Field(ge=1, le=LIMITS.frames, description="frames of the video")]
Videos: TypeAlias = Annotated[int, Field(ge=1, le=LIMITS.batch, description="how many videos")]


@node("empty_video_latent")
def empty_video_latent(
    width: VideoEdge = 848,
    height: VideoEdge = 480,
    length: Length = 25,
    batch_size: Videos = 1,
    channels: Annotated[
        int,
        Field(
            ge=1,
            le=1024,
            description="latent channels: 16 for hunyuan_video, wan and cosmos, 128 for ltxv, 12 for mochi",
        ),
    ] = 16,
    downscale: Annotated[
        int, Field(ge=1, le=256, description="pixels per latent sample along an edge: 8, and 32 for ltxv")
    ] = 8,
    time_downscale: Annotated[
        int,
        Field(
            ge=1, le=64, description="frames per latent frame after the first: 4, 8 for ltxv and cosmos, 6 for mochi"
        ),
    ] = 4,
) -> Latent:
    """Make latents of zeros for a video, which sampling fills.

    They are (batch_size, channels, t, height / downscale, width / downscale) with t = (length - 1) / time_downscale + 1:
    causal autoencoders keep the first frame for itself. Families that make videos do not run by components yet, so
    ``sample`` refuses them.

    Raises:
        LimitError: All frames together have more pixels than the limits allow.
        InvalidInputError: A frame is smaller than one latent sample.
    """
    import torch

    require_size(width, height)
    if min(width, height) < downscale:
        raise InvalidInputError(f"{width} x {height} is smaller than one latent sample of {downscale} pixels")
    frames = (length - 1) // time_downscale + 1
    shape = (batch_size, channels, frames, height // downscale, width // downscale)
    if batch_size * frames * width * height > LIMITS.pixels:
        raise LimitError(
            f"{batch_size} x {frames} latent frames of {width} x {height} have more than {LIMITS.pixels:,} pixels",
            where="length",
        )
    return Latent(samples=torch.zeros(shape), downscale=downscale)


@node("trim_video_latent", map=True)
def trim_video_latent(
    latent: Annotated[Latent, Field(description="the latents of a video")],
    count: Annotated[int, Field(ge=0, le=99_999, description="latent frames to leave out at the start")] = 0,
) -> Latent:
    """Leave out latent frames at the start of a video, e.g. those of a reference picture.

    Raises:
        InvalidInputError: The latents are those of pictures, or no frame would be left.
    """
    require_video(latent, "latent")
    frames = latent.samples.shape[2]
    if count >= frames:
        raise InvalidInputError(f"{count} of {frames} latent frames would leave none", where="count")
    return replace(latent, samples=latent.samples[:, :, count:])


@node("replace_latent_frames")
def replace_latent_frames(
    latent: Annotated[Latent, Field(description="the latents of the video")],
    source: Annotated[Latent | None, Field(description="the latent frames to put in; none changes nothing")] = None,
    start: Annotated[
        int, Field(ge=-LIMITS.frames, le=LIMITS.frames, description="where they go; negative counts from the end")
    ] = 0,
) -> Latent:
    """Put latent frames (B, C, s, h, w) in the place of a video's own (B, C, t, h, w).

    Raises:
        InvalidInputError: Either is no video, their other axes differ, or frames would lie outside.
    """
    if source is None:
        return latent
    require_video(latent, "latent")
    require_video(source, "source")
    have, put = latent.samples, source.samples
    if (*have.shape[:2], *have.shape[3:]) != (*put.shape[:2], *put.shape[3:]):
        raise InvalidInputError(
            f"{tuple(put.shape)} does not fit into {tuple(have.shape)} but for time", where="source"
        )
    first = start + have.shape[2] if start < 0 else start
    if first < 0 or first + put.shape[2] > have.shape[2]:
        raise InvalidInputError(
            f"{put.shape[2]} latent frames from {start} on do not lie inside the {have.shape[2]} of the video",
            where="start",
        )
    samples = have.clone()
    samples[:, :, first : first + put.shape[2]] = put
    return replace(latent, samples=samples)
