"""Annotated parameter types that several nodes share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field

from graphflow.limits import LIMITS
from graphflow.sampling.names import SAMPLER_NAMES, SCHEDULE_NAMES

if TYPE_CHECKING:
    SamplerName: TypeAlias = str
    ScheduleName: TypeAlias = str
else:
    SamplerName = Literal[SAMPLER_NAMES]
    ScheduleName = Literal[SCHEDULE_NAMES]

Resampling: TypeAlias = Annotated[
    Literal["nearest", "bilinear", "bicubic", "area", "lanczos"],
    Field(description="how new pixels are made from old ones"),
]
"""Resampling methods for pictures."""

LatentResampling: TypeAlias = Annotated[
    Literal["nearest", "bilinear", "bicubic", "area"], Field(description="how new samples are made from old ones")
]
"""Resampling methods for latents."""

Crop: TypeAlias = Annotated[
    Literal["none", "center"],
    Field(description="center cuts the longer side to the wanted shape first; none stretches"),
]

Tile: TypeAlias = Annotated[
    int,
    Field(ge=0, le=8192, multiple_of=8, description="tile edge in pixels, to save memory; 0 takes the picture whole"),
]

LatentEdge: TypeAlias = Annotated[
    int, Field(ge=8, le=LIMITS.edge, multiple_of=8, description="pixels of the picture, a multiple of 8")
]
