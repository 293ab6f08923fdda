"""Nodes that withhold what a safety checker flags. The planner puts them before everything that is saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, NamedTuple

from pydantic import Field

from graphflow import runtime
from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import node
from graphflow.values import Image, SafetyChecker, Video

__all__ = ["safety_filter", "safety_filter_video"]

Checker = Annotated[SafetyChecker, Field(description="the checker")]


class FilteredImages(NamedTuple):
    """Pictures that passed, and what was flagged."""

    images: Annotated[Image, Field(description="the pictures that passed, with their old numbers")]
    flags: Annotated[list[bool], Field(description="for each picture that came in, whether it was flagged")]


class FilteredVideo(NamedTuple):
    """A video with flagged stretches blackened, and what was flagged."""

    video: Annotated[Video, Field(description="the video; stretches whose checked frame was flagged are black")]
    flags: Annotated[list[bool], Field(description="for each frame, whether it was blackened")]


@node("safety_filter", lane="device", checks=True, map=True)
def safety_filter(
    images: Annotated[Image, Field(description="pictures (B, 3 or 4, H, W) in [0, 1]")], safety_checker: Checker
) -> FilteredImages:
    """Take out the pictures that a safety checker flags; the others keep their numbers.

    ``Image.withheld`` counts what was taken out, so that saving can say so.
    """
    pixels = images.pixels
    numbers = images.numbers if images.numbers is not None else tuple(range(pixels.shape[0]))
    with safety_checker.use() as checker:
        flags = tuple(bool(flag) for flag in checker.check(pixels[:, :3])) if pixels.shape[0] else ()
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


@node("safety_filter_video", lane="device", checks=True, map=True)
def safety_filter_video(
    video: Annotated[Video, Field(description="frames (T, 3, H, W) in [0, 1]")],
    safety_checker: Checker,
    every: Annotated[int, Field(ge=1, le=1000, description="check each n-th frame, and the last")] = 8,
) -> FilteredVideo:
    """Blacken the stretches of a video whose checked frame a safety checker flags.

    Raises:
        InvalidInputError: The video has no frame.
    """
    frames = video.frames
    total = frames.shape[0]
    if not total:
        raise InvalidInputError("the video has no frame", where="video")
    checked = sorted({*range(0, total, every), total - 1})
    with safety_checker.use() as checker:
        found = [bool(flag) for flag in checker.check(frames[checked])]
    flags = _spread(checked, found, total)
    withheld = sum(flags)
    if not withheld:
        return FilteredVideo(video, flags)
    runtime.current().notice(f"the safety checker blackened {withheld} of {total} frames")
    clean = frames.clone()
    clean[[index for index, flag in enumerate(flags) if flag]] = 0.0
    return FilteredVideo(replace(video, frames=clean, withheld=video.withheld + withheld), flags)


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
