"""Annotated parameter types that several nodes share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from graphflow.limits import LIMITS
from graphflow.sampling.names import SAMPLER_ALIASES, SAMPLER_NAMES, SCHEDULE_ALIASES, SCHEDULE_NAMES
from graphflow.spec.spec import Aliases
from graphflow.values import Conditioning, Image, Latent, Model

if TYPE_CHECKING:
    SamplerName: TypeAlias = str
    ScheduleName: TypeAlias = str
else:
    SamplerName = Annotated[Literal[SAMPLER_NAMES], Aliases(SAMPLER_ALIASES)]
    ScheduleName = Annotated[Literal[SCHEDULE_NAMES], Aliases(SCHEDULE_ALIASES)]

Pictures: TypeAlias = Annotated[Image, Field(description="the pictures")]

Latents: TypeAlias = Annotated[Latent, Field(description="the latents")]

Told: TypeAlias = Annotated[Conditioning, Field(description="the conditioning")]

Denoiser: TypeAlias = Annotated[Model, Field(description="the denoising model")]

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]

Resampling: TypeAlias = Annotated[
    Literal["nearest", "bilinear", "bicubic", "area", "lanczos", "lanczos_8bit"],
    Field(description="how new pixels are made from old ones; lanczos_8bit rounds between as picture programs do"),
]
"""Resampling methods for pictures."""

LatentResampling: TypeAlias = Annotated[
    Literal["nearest", "bilinear", "bicubic", "area", "bislerp"],
    Field(description="how new samples are made from old ones; bislerp keeps the contrast of latents"),
]
"""Resampling methods for latents."""

Crop: TypeAlias = Annotated[
    Literal["none", "center"],
    Field(description="center cuts the longer side to the wanted shape first; none stretches"),
]

Tile: TypeAlias = Annotated[
    int,
    Field(ge=0, le=8192, description="tile edge in pixels, to save memory; 0 takes the picture whole"),
]

TileOverlap: TypeAlias = Annotated[
    int, Field(ge=0, le=4096, description="pixels that neighbouring tiles share, at most half of one")
]

LatentEdge: TypeAlias = Annotated[
    int, Field(ge=8, le=LIMITS.edge, description="pixels of the picture; rounded down to whole latent samples")
]

Flip: TypeAlias = Annotated[
    Literal["vertical", "horizontal"],
    Field(description="vertical turns it upside down, horizontal swaps left and right"),
]

Degrees: TypeAlias = Annotated[Literal[0, 90, 180, 270], Field(description="how far to turn, clockwise")]

Side: TypeAlias = Annotated[
    Literal["right", "left", "down", "up"], Field(description="on which side of the first the second comes")
]

MOST_BYTES = 200
"""Bytes of UTF-8 with which a file name may begin; systems take 255, and a number, a counter and a suffix follow."""


def _fits_a_name(prefix: str) -> str:
    count = max(len(part.encode("utf-8", "replace")) for part in prefix.replace("\\", "/").split("/"))
    if count > MOST_BYTES:
        raise PydanticCustomError(
            "name_bytes",
            "a file name begins with at most {most} bytes of UTF-8, this has {count}",
            {"most": MOST_BYTES, "count": count},
        )
    return prefix


Prefix: TypeAlias = Annotated[
    str,
    AfterValidator(_fits_a_name),
    Field(
        min_length=1,
        max_length=200,
        description="how the file names begin; a counter follows. a/b is b in the folder a; %date:yyyy-MM-dd%, %seed%,"
        " %NODE.PARAM% and the like are filled in",
    ),
]
"""Beginning of file names; :mod:`graphflow.execution.filenames` has the tokens."""

Offset: TypeAlias = Annotated[int, Field(ge=0, le=LIMITS.edge)]
"""A place or a margin in pixels."""

Edge: TypeAlias = Annotated[int, Field(ge=1, le=LIMITS.edge)]
"""An edge in pixels."""

Spread: TypeAlias = Annotated[
    float, Field(ge=0.1, le=10, description="spread of the Gaussian weights, in units of the radius")
]

Sharpness: TypeAlias = Annotated[float, Field(ge=0, le=50, description="factor on what blurring takes away")]

LatentRadius: TypeAlias = Annotated[int, Field(ge=1, le=31, description="latent samples around each that count")]

Plateau: TypeAlias = Annotated[
    float, Field(gt=0, le=100, description="height of the plateau; small values flatten, large ones change nothing")
]

Color: TypeAlias = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
"""A colour as the web writes it, #rrggbb."""

NoiseLayout: TypeAlias = Annotated[
    Literal["per_sample", "batch"],
    Field(
        description="per_sample: an item's noise depends on seed and place alone; batch: one draw for all, as ComfyUI has it"
    ),
]

NoiseDevice: TypeAlias = Annotated[
    Literal["cpu", "cuda"],
    Field(description="whose random numbers the first noise is: torch's on the CPU, or those of CUDA devices"),
]

StepNoise: TypeAlias = Annotated[
    Literal["seed", "seed + 1"],
    Field(
        description="where the CPU's noise of steps starts: seed draws the first noise once more, seed + 1 is what ComfyUI does since 0.7.0; Brownian noise starts from seed"
    ),
]

StepNoiseDevice: TypeAlias = Annotated[
    Literal["cpu", "cuda"],
    Field(
        description="the same for the noise that samplers add on their way; Brownian noise follows it where the sampler's name ends with _gpu"
    ),
]
