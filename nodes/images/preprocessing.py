"""Nodes that draw what ControlNets read from pictures."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graphflow import runtime
from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import Seed, node
from graphflow.values import Image
from graphflow.vision.annotators import PreprocessorName

__all__ = ["canny_edges", "preprocess"]

Threshold = Annotated[float, Field(ge=0.01, le=0.99)]


@node("canny_edges")
def canny_edges(
    image: Annotated[Image, Field(description="the pictures")],
    low_threshold: Annotated[Threshold, Field(description="contrast that continues an edge")] = 0.4,
    high_threshold: Annotated[Threshold, Field(description="contrast that begins an edge")] = 0.8,
) -> Image:
    """Draw edges, white on black, by Canny's method (Canny 1986); the thresholds mean what they mean in kornia.

    Raises:
        InvalidInputError: The low threshold is above the high one.
    """
    from graphflow.pixels import canny

    if low_threshold > high_threshold:
        raise InvalidInputError(
            f"the low threshold {low_threshold} is above the high one, {high_threshold}", where="low_threshold"
        )
    edges = canny.canny_edges(image.pixels, low_threshold, high_threshold)
    return Image(pixels=edges, numbers=image.numbers, withheld=image.withheld)


@node("preprocess", lane="device")
def preprocess(
    image: Annotated[Image, Field(description="the pictures")],
    method: Annotated[
        PreprocessorName,
        Field(
            description="what to draw: soft edges (hed, pidi, teed), scribbles, line art, straight lines (mlsd), poses,"
            " depth, normals, or the content shuffled; canny, lineart_standard and shuffle need no weights"
        ),
    ] = "hed",
    resolution: Annotated[
        int,
        Field(
            ge=64,
            le=4096,
            description="pixels of the shorter edge at which it looks; the result has the picture's size",
        ),
    ] = 512,
    seed: Annotated[Seed, Field(description="for shuffle, which alone is random")] = 0,
) -> Image:
    """Draw what a ControlNet reads, with the detectors of controlnet-aux.

    Their weights are looked for in the folder `annotators` of each model folder, and in the Hub cache.

    Raises:
        ModelNotFoundError: Weights are missing; the message names the files and where they were looked for.
        ModelFormatError: A weight file is damaged.
    """
    with runtime.current().models.preprocessor(method) as loaded:
        pixels = loaded.draw(image.pixels, resolution, seed)
    return Image(pixels=pixels, numbers=image.numbers, withheld=image.withheld)
