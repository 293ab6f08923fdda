"""Nodes that withhold what a safety checker flags. The planner puts them before everything that is saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import Field

from graphflow import runtime
from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import node
from graphflow.values import Image, SafetyChecker, Video

if TYPE_CHECKING:
    import torch

__all__ = ["safety_filter", "safety_filter_video"]

Checker = Annotated[SafetyChecker, Field(description="the checker")]

SHORT = 128
"""Frames up to which every frame of a video is checked."""

_FARTHEST = 12
"""Frames from one checked frame to the next at most, whatever the frame rate says."""

_AT_ONCE = 16
"""Pictures that a checker gets at once."""

_GRID, _CUT = 16, 0.1
"""A frame is checked where the mean of a cell of this grid is this far from the frame that was checked last."""


class FilteredImages(NamedTuple):
    """Pictures that passed, and what was flagged."""

    images: Annotated[Image, Field(description="the pictures that passed, with their old numbers")]
    flags: Annotated[list[bool], Field(description="for each picture that came in, whether it was flagged")]


class FilteredVideo(NamedTuple):
    """A video with flagged stretches blackened, and what was flagged."""

    video: Annotated[Video, Field(description="the video; stretches whose checked frame was flagged are black")]
    flags: Annotated[list[bool], Field(description="for each frame, whether it was blackened")]


@node("safety_filter", version=2, lane="device", checks=True, map=True)
def safety_filter(
    images: Annotated[Image, Field(description="pictures (B, 3 or 4, H, W) in [0, 1]")], safety_checker: Checker
) -> FilteredImages:
    """Take out the pictures that a safety checker flags; the others keep their numbers.

    The checker sees the colours and, of pictures with alpha, how they look over white and over black, and alpha as a
    grey picture. ``Image.withheld`` counts what was taken out, so that saving can say so.
    """
    pixels = images.pixels
    numbers = images.numbers if images.numbers is not None else tuple(range(pixels.shape[0]))
    with safety_checker.use() as checker:
        flags = _flags(checker, pixels)
    kept = [index for index, flag in enumerate(flags) if not flag]
    flagged = [numbers[index] for index, flag in enumerate(flags) if flag]
    if flagged:
        runtime.current().notice(f"the safety checker withheld {_count(flagged, 'picture')} of {len(flags)}")
    passed = replace(
        images,
        pixels=pixels[kept],
        numbers=tuple(numbers[index] for index in kept),
        withheld=images.withheld + len(flagged),
    )
    return FilteredImages(passed if flagged else images, list(flags))


def _every_eighth(version: int, params: dict[str, Any]) -> dict[str, Any]:
    return {"every": 8, **params} if version == 1 else params


@node("safety_filter_video", version=2, lane="device", checks=True, map=True, migrate=_every_eighth)
def safety_filter_video(
    video: Annotated[Video, Field(description="frames (T, 3, H, W) in [0, 1]")],
    safety_checker: Checker,
    every: Annotated[
        int, Field(ge=0, le=1000, description="check each n-th frame, and the last; 0 as many as the video needs")
    ] = 0,
) -> FilteredVideo:
    """Blacken the stretches of a video whose checked frame a safety checker flags.

    Of up to 128 frames every one is checked; of more, at least two a second and each twelfth, and every one that differs
    from the one checked before it, as after a cut.

    Raises:
        InvalidInputError: The video has no frame.
    """
    frames = video.frames
    total = frames.shape[0]
    if not total:
        raise InvalidInputError("the video has no frame", where="video")
    checked = sorted({*range(0, total, every), total - 1}) if every else _watched(frames, video.fps)
    with safety_checker.use() as checker:
        found = _flags(checker, frames[checked])
    flags = _spread(checked, found, total)
    withheld = sum(flags)
    if not withheld:
        return FilteredVideo(video, flags)
    runtime.current().notice(f"the safety checker blackened {withheld} of {total} frames")
    clean = frames.clone()
    clean[[index for index, flag in enumerate(flags) if flag]] = 0.0
    return FilteredVideo(replace(video, frames=clean, withheld=video.withheld + withheld), flags)


def _flags(checker: Any, pixels: torch.Tensor) -> list[bool]:
    """Tell for each picture whether anything that it shows is flagged."""
    from graphflow.pixels.alpha import appearances

    flags: list[bool] = []
    for part in pixels.split(_AT_ONCE):
        verdicts = [checker.check(seen) for seen in appearances(part)]
        flags += [any(each) for each in zip(*verdicts, strict=True)]
    return flags


def _watched(frames: torch.Tensor, fps: float) -> list[int]:
    """Return which frames of a video are checked."""
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    total = frames.shape[0]
    if total <= SHORT:
        return list(range(total))
    farthest = max(1, min(_FARTHEST, int(fps / 2)))
    coarse = torch.stack([adaptive_avg_pool2d(frame.float().clamp(0, 1), _GRID) for frame in frames])
    watched = [0]
    for index in range(1, total):
        far = index - watched[-1] >= farthest or index == total - 1
        if far or float((coarse[index] - coarse[watched[-1]]).abs().max()) > _CUT:
            watched.append(index)
    return watched


def _spread(checked: Sequence[int], found: Sequence[bool], total: int) -> list[bool]:
    """Flag every frame that lies between a flagged frame and its checked neighbours."""
    flags = [False] * total
    for place, (index, flag) in enumerate(zip(checked, found, strict=True)):
        if flag:
            first = checked[place - 1] + 1 if place else 0
            last = checked[place + 1] - 1 if place + 1 < len(checked) else total - 1
            flags[first : last + 1] = [True] * (last + 1 - first)
            flags[index] = True
    return flags


def _count(numbers: Sequence[int], what: str) -> str:
    shown = ", ".join(map(str, numbers[:10])) + (", …" if len(numbers) > 10 else "")
    return f"{what} {shown}" if len(numbers) == 1 else f"{what}s {shown}"
