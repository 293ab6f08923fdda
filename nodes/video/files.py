"""Nodes that read moving pictures and cut them."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from graphflow import runtime
from graphflow.basics.pictures import check_size, loaded_frames, read_picture
from graphflow.errors import InvalidInputError, LimitError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import InputFile, node
from graphflow.values import Video

from ..images.files import channels_of
from ..output.user_files import read

if TYPE_CHECKING:
    import PIL.Image
    import torch

__all__ = ["load_video", "slice_video"]

_USUAL_FPS = 8.0


@node("load_video")
def load_video(
    file: Annotated[str, InputFile("video"), Field(min_length=1, description="an animated WebP, PNG or GIF picture")],
) -> Video:
    """Read an animated picture as a video: frames (T, 3, H, W) in [0, 1], at the mean of its frame rate.

    Alpha is left out. MP4 and other video files are not read: they have to be converted before.

    Raises:
        MediaError: The file is not there, is none of the formats, or not a row of it can be read.
        LimitError: It has more frames or pixels than the limits allow.
    """
    import torch

    def take(picture: PIL.Image.Image) -> tuple[list[torch.Tensor], float]:
        count = getattr(picture, "n_frames", 1)
        if count > LIMITS.frames:
            raise LimitError(f"{count:,} frames are more than {LIMITS.frames:,}", where=file)
        check_size(picture.size, file, count)
        found = [(channels_of(frame)[0], frame.info.get("duration", 0.0)) for frame in loaded_frames(picture, count)]
        return [pixels for pixels, _ in found], float(sum(lasts for _, lasts in found))

    frames, lasts = read_picture("video", io.BytesIO(read(file)), file, take, runtime.current().notice)
    fps = 1000.0 * len(frames) / lasts if lasts > 0 else _USUAL_FPS
    return Video(frames=torch.stack(frames), fps=min(max(fps, 0.001), 1000.0))


@node("slice_video")
def slice_video(
    video: Annotated[Video, Field(description="the video")],
    start: Annotated[
        float, Field(ge=-1e6, le=1e6, description="seconds from the beginning; negative counts from the end")
    ] = 0.0,
    duration: Annotated[float, Field(ge=0, le=1e6, description="seconds; 0 is up to the end")] = 0.0,
    strict: Annotated[
        bool, Field(description="a video that is too short is an error, instead of a shorter part")
    ] = False,
) -> Video:
    """Take a part out of a video, in whole frames, at least one.

    Raises:
        InvalidInputError: The part lies outside, or ``strict`` is set and the video ends before the part does.
    """
    count = video.frames.shape[0]
    first = math.floor(start * video.fps + 1e-6) + (count if start < 0 else 0)
    wanted = max(1, round(duration * video.fps)) if duration else count - first
    if not 0 <= first < count or (strict and first + wanted > count):
        raise InvalidInputError(
            f"{duration or 'all'} seconds from {start} on do not lie inside the {count / video.fps:.3g} seconds of the video",
            where="start",
        )
    return replace(video, frames=video.frames[first : first + wanted])
