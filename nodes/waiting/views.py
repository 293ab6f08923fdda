"""Conditioning of families that show things from given sides, and of refiners, that have no components here yet."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from graphflow.limits import LIMITS
from graphflow.spec.decorator import node
from graphflow.values import Conditioning, Image, ImageEncoder, Latent, TextEncoder

from ..choices import Share
from ..latents.video import VideoEdge
from .choices import Conditioned, Encoder, Negative, Positive

__all__ = ["camera_conditioning", "encode_prompt_pixart", "refiner_conditioning", "set_conditioning_volume"]

Degrees = Annotated[float, Field(ge=-180, le=180)]


@node("camera_conditioning", waits="{family}")
def camera_conditioning(
    image_encoder: Annotated[ImageEncoder, Field(description="the CLIP image encoder")],
    image: Annotated[Image, Field(description="the thing, from the front")],
    vae: Encoder,
    width: VideoEdge = 256,
    height: VideoEdge = 256,
    count: Annotated[int, Field(ge=1, le=LIMITS.frames, description="pictures, or frames of the way round")] = 1,
    elevation: Annotated[Degrees, Field(description="degrees that the camera stands higher")] = 0.0,
    azimuth: Annotated[Degrees, Field(description="degrees that the camera has gone round")] = 0.0,
    elevation_step: Annotated[Degrees, Field(description="more from picture to picture")] = 0.0,
    azimuth_step: Annotated[Degrees, Field(description="more from picture to picture")] = 0.0,
    family: Annotated[
        Literal["zero123", "sv3d"], Field(description="Stable Zero123, or Stable Video 3D, which goes once round")
    ] = "zero123",
) -> Conditioned:
    """Show a thing from other sides (Zero-1-to-3, arXiv:2303.11328; SV3D, arXiv:2403.12008)."""


@node("refiner_conditioning", waits="hunyuan_image_refiner")
def refiner_conditioning(
    positive: Positive,
    negative: Negative,
    latent: Annotated[Latent, Field(description="the picture to refine")],
    noise_augmentation: Annotated[Share, Field(description="noise on what the refiner reads of it")] = 0.1,
) -> Conditioned:
    """Refine a picture with HunyuanImage 2.1's second model."""


@node("encode_prompt_pixart", waits="pixart")
def encode_prompt_pixart(
    text_encoder: Annotated[TextEncoder, Field(description="the T5 text encoder")],
    text: Annotated[str, Field(max_length=LIMITS.text, description="what the picture shows")] = "",
    width: Annotated[int, Field(ge=0, le=LIMITS.edge, description="width that the model is told, in pixels")] = 1024,
    height: Annotated[int, Field(ge=0, le=LIMITS.edge, description="height that the model is told, in pixels")] = 1024,
) -> Conditioning:
    """Encode a prompt and the picture's size (PixArt-alpha at 1024, Chen et al. 2023, arXiv:2310.00426)."""


@node("set_conditioning_volume", waits="a family that makes videos")
def set_conditioning_volume(
    conditioning: Annotated[Conditioning, Field(description="the conditioning")],
    width: Annotated[Share, Field(description="share of the width")] = 1.0,
    height: Annotated[Share, Field(description="share of the height")] = 1.0,
    length: Annotated[Share, Field(description="share of the time")] = 1.0,
    x: Annotated[Share, Field(description="its left edge")] = 0.0,
    y: Annotated[Share, Field(description="its upper edge")] = 0.0,
    start: Annotated[Share, Field(description="when it begins")] = 0.0,
    strength: Annotated[float, Field(ge=0, le=10, description="weight in it")] = 1.0,
) -> Conditioning:
    """Let a prompt act in a rectangle and for a part of a video's time."""
