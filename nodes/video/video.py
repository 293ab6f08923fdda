"""Nodes between pictures and moving pictures."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field

from graphflow.errors import LimitError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import node
from graphflow.values import Image, Video

__all__ = ["images_to_video", "video_to_images"]


class Frames(NamedTuple):
    """The frames of a video and their rate."""

    image: Annotated[Image, Field(description="the frames, (T, 3, H, W)")]
    fps: Annotated[float, Field(description="frames a second")]


@node("images_to_video")
def images_to_video(
    images: Annotated[Image, Field(description="the frames, in order; alpha is left out")],
    fps: Annotated[float, Field(gt=0, le=1000, description="frames a second")] = 8.0,
) -> Video:
    """Make a video of a batch of pictures.

    Raises:
        LimitError: There are more frames than the limits allow.
    """
    count = images.pixels.shape[0]
    if count > LIMITS.frames:
        raise LimitError(f"{count:,} frames are more than {LIMITS.frames:,}", where="images")
    return Video(frames=images.pixels[:, :3], fps=fps)


@node("video_to_images")
def video_to_images(
    video: Annotated[Video, Field(description="the video")],
    fps: Annotated[
        float,
        Field(ge=0, le=1000, description="frames a second to take, each the last one that has begun; 0 takes all"),
    ] = 0.0,
) -> Frames:
    """Take the frames out of a video, all of them or at another rate.

    Raises:
        LimitError: There are more frames than the limits allow.
    """
    if not fps or fps == video.fps:
        return Frames(Image(pixels=video.frames), video.fps)
    count = video.frames.shape[0]
    wanted = max(1, int(count * fps / video.fps + 1e-6))
    if wanted > LIMITS.frames:
        raise LimitError(f"{wanted:,} frames are more than {LIMITS.frames:,}", where="fps")
    places = [min(count - 1, int(number * video.fps / fps + 1e-6)) for number in range(wanted)]
    return Frames(Image(pixels=video.frames[places]), fps)
