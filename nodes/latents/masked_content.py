"""Nodes that say what is under a mask before sampling paints there; the original is what stays without them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.pixels.batching import cycle_to
from graphflow.pixels.resampling import resample
from graphflow.spec.decorator import Seed, node
from graphflow.values import Image, Latent, Mask

from ..masks.make import require_masks

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["fill_masked_image", "fill_masked_latent"]


@node("fill_masked_image", map=True)
def fill_masked_image(
    images: Annotated[Image, Field(description="the pictures")],
    mask: Annotated[Mask, Field(description="1 = fill, 0 = keep, between mixes; stretched over the pictures")],
    method: Annotated[
        Literal["surroundings", "grey"],
        Field(description="surroundings: colours from the mask's edge, ever smoother inside; grey: 0.5"),
    ] = "surroundings",
) -> Image:
    """Fill what is masked, so that inpainting starts from plain colours instead of what was there.

    Surroundings are filled by averages at half the size, a quarter, and so on, each where the finer one knows nothing
    (pull and push; Gortler et al. 1996, The Lumigraph, section 3.3).

    Raises:
        InvalidInputError: The number of masks fits no pictures.
    """
    import torch

    pixels = images.pixels
    require_masks(mask, pixels.shape[0])
    hole = resample(mask.values[:, None], (pixels.shape[-2], pixels.shape[-1]), "bilinear")
    colours = pixels[:, :3]
    filled = torch.full_like(colours, 0.5) if method == "grey" else _from_surroundings(colours, (hole < 0.5).float())
    mixed = colours + (filled - colours) * hole
    return replace(images, pixels=torch.cat([mixed, pixels[:, 3:]], dim=1))


@node("fill_masked_latent", map=True)
def fill_masked_latent(
    latent: Annotated[Latent, Field(description="the latents, with a noise mask")],
    content: Annotated[
        Literal["noise", "nothing"],
        Field(description="noise: random numbers as spread out as the latents are; nothing: zeros"),
    ] = "noise",
    seed: Seed = 0,
) -> Latent:
    """Replace the latents under their noise mask, so that nothing of what was there shines through.

    Raises:
        InvalidInputError: The latents have no noise mask, or are a video's.
    """
    import torch

    from graphflow.sampling.denoise import require_pictures

    require_pictures(latent)
    if latent.noise_mask is None:
        raise InvalidInputError(
            "the latents have no noise mask", where="latent", advice="put set_noise_mask before this node"
        )
    samples = latent.samples
    if not samples.shape[0]:
        return latent
    hole = cycle_to(
        resample(latent.noise_mask[:, None], (samples.shape[-2], samples.shape[-1]), "bilinear"), samples.shape[0]
    )
    filling = torch.zeros_like(samples)
    if content == "noise":
        generator = torch.Generator().manual_seed(seed)
        filling = torch.randn(samples.shape, generator=generator) * samples.std(unbiased=samples.numel() > 1)
    return replace(latent, samples=samples + (filling - samples) * hole)


def _from_surroundings(colours: Tensor, known: Tensor) -> Tensor:
    """Colours (B, 3, H, W) with those that are not known (B or 1, 1, H, W) from ever wider averages of the others."""
    import torch
    from torch.nn import functional

    weight = known.expand(len(colours), 1, *colours.shape[-2:])
    if min(colours.shape[-2:]) == 1 or not bool((weight == 0).any()):
        mean = (colours * weight).sum(dim=(2, 3), keepdim=True) / weight.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)
        return torch.where(weight > 0, colours, mean)
    total = functional.avg_pool2d(weight, 2, ceil_mode=True)
    coarse = functional.avg_pool2d(colours * weight, 2, ceil_mode=True) / total.clamp(min=1e-6)
    coarse = _from_surroundings(coarse, (total > 0).float())
    wide = functional.interpolate(coarse, size=colours.shape[-2:], mode="bilinear", align_corners=False)
    return torch.where(weight > 0, colours, wide)
