"""Nodes that choose a size for a picture."""

from __future__ import annotations

import math
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import node

__all__ = ["aspect_ratio_size", "resolution_preset"]


class Size(NamedTuple):
    """A size in pixels."""

    width: Annotated[int, Field(description="pixels")]
    height: Annotated[int, Field(description="pixels")]


@node("resolution_preset", fold=True)
def resolution_preset(
    preset: Annotated[
        Literal[
            "512 x 512 (1:1)", "640 x 512 (5:4)", "768 x 512 (3:2)", "896 x 512 (7:4)",
            "768 x 768 (1:1)", "1024 x 768 (4:3)", "1152 x 768 (3:2)", "1360 x 768 (16:9)",
            "1024 x 1024 (1:1)", "1152 x 896 (9:7)", "1216 x 832 (19:13)", "1344 x 768 (7:4)", "1536 x 640 (12:5)",
        ],
        Field(description="512: Stable Diffusion 1; 768: Stable Diffusion 2; 1024 and the last rows: SDXL and later"),
    ] = "1024 x 1024 (1:1)",
    portrait: Annotated[bool, Field(description="swap width and height")] = False,
) -> Size:  # fmt: skip
    """Choose one of the sizes that models were trained with."""
    width, height = (int(edge) for edge in preset.partition(" (")[0].split(" x "))
    return Size(height, width) if portrait else Size(width, height)


@node("aspect_ratio_size", fold=True)
def aspect_ratio_size(
    ratio: Annotated[
        str,
        Field(
            pattern=r"^[0-9]{1,5}(\.[0-9]{1,5})?:[0-9]{1,5}(\.[0-9]{1,5})?$",
            description="width to height, e.g. 16:9 or 2.39:1",
        ),
    ] = "1:1",
    megapixels: Annotated[float, Field(gt=0, le=256, description="area in units of 1024 x 1024 pixels")] = 1.0,
    multiple_of: Annotated[int, Field(ge=1, le=256, description="round both edges to a multiple of it")] = 64,
) -> Size:
    """Compute the size of a picture of a shape and an area.

    Raises:
        InvalidInputError: The shape has an edge of 0, or the picture is larger than the limits allow.
    """
    across, down = (float(part) for part in ratio.split(":"))
    if not across or not down:
        raise InvalidInputError("an edge is 0", where="ratio", advice="write for example 16:9")
    area = megapixels * 1024 * 1024
    exact = math.sqrt(area * across / down), math.sqrt(area * down / across)
    width, height = (max(multiple_of, round(edge / multiple_of) * multiple_of) for edge in exact)
    if max(width, height) > LIMITS.edge:
        raise InvalidInputError(f"{width} x {height} has an edge longer than {LIMITS.edge:,}", where="ratio")
    return Size(width, height)
