"""What nodes on things in pictures share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.values import Image, Segments

Things: TypeAlias = Annotated[Segments, Field(description="the things in the pictures")]
CropFactor: TypeAlias = Annotated[
    float, Field(ge=1, le=100, description="how many times as large as a thing what is cut out around it is")
]


def require_same_size(segments: Segments, image: Image) -> None:
    """Refuse things found in pictures of another size, or in more of them; no things fit any picture.

    Raises:
        InvalidInputError: They are.
    """
    count, _, height, width = image.pixels.shape
    if not segments.parts:
        return
    if (segments.width, segments.height) != (width, height):
        raise InvalidInputError(
            f"the things were found in pictures of {segments.width} x {segments.height}, these have {width} x {height}",
            where="segments",
            advice="find them in these pictures, or resize these",
        )
    last = max(part.item for part in segments.parts)
    if last >= count:
        raise InvalidInputError(
            f"a thing was found in picture {last + 1}, but there are {count}",
            where="segments",
            advice="link the pictures that they were found in",
        )
