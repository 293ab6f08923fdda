"""What the Stable Diffusion x4 upscaler is told."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graphflow.spec.decorator import node
from graphflow.values import Conditioning, Image, Latent

from ..conditioning.extras import with_extras
from ..images.checks import require_size
from .inpainting import Conditioned

__all__ = ["enlarge_conditioning"]

_PIXELS_PER_SAMPLE = 4


@node("enlarge_conditioning")
def enlarge_conditioning(
    positive: Annotated[Conditioning, Field(description="what the picture shows")],
    negative: Annotated[Conditioning, Field(description="what the picture does not show")],
    images: Annotated[Image, Field(description="the pictures to enlarge")],
    scale_ratio: Annotated[
        float, Field(ge=0, le=10, description="how many times larger; the model was trained with 4")
    ] = 4.0,
    noise_augmentation: Annotated[
        float, Field(ge=0, le=1, description="noise on the pictures, which leaves the model more to invent")
    ] = 0.0,
) -> Conditioned:
    """Tell the Stable Diffusion x4 upscaler which picture to enlarge.

    The model reads the picture, in [-1, 1] at the size of the latent, beside the noisy latents, and how noisy it is
    (Rombach et al. 2022, arXiv:2112.10752).

    Raises:
        LimitError: The result is larger than the limits allow.
    """
    import torch

    from graphflow.pixels.resampling import crop_to_shape, resize_bilinear

    height, width = (max(1, round(edge * scale_ratio)) for edge in images.pixels.shape[-2:])
    require_size(width, height)
    size = (max(1, height // _PIXELS_PER_SAMPLE), max(1, width // _PIXELS_PER_SAMPLE))
    picture = resize_bilinear(crop_to_shape(images.pixels[:, :3], size), size) * 2 - 1
    told = {"picture": picture, "noise_augmentation": noise_augmentation}
    latent = Latent(samples=torch.zeros(len(picture), 4, *size), downscale=_PIXELS_PER_SAMPLE)
    return Conditioned(with_extras(positive, told), with_extras(negative, told), latent)
