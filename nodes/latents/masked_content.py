"""Nodes that say what is under a mask before sampling paints there; the original is what stays without them."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import Seed, node
from graphflow.values import Image, Latent, Mask

from ..images.checks import require_items
from ..masks.make import require_masks

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

    Surroundings are averages at half the size, a quarter, and so on (pull and push; Gortler et al. 1996).

    Raises:
        InvalidInputError: The number of masks fits no pictures.
    """
    from graphflow.pixels.filling import FILLINGS

    require_masks(mask, images.pixels.shape[0])
    return replace(images, pixels=FILLINGS[method](images.pixels, mask.values))


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
    from graphflow.pixels.filling import LATENT_FILLINGS
    from graphflow.sampling.denoise import as_pictures

    pictures = as_pictures(latent).samples
    if latent.noise_mask is None:
        raise InvalidInputError(
            "the latents have no noise mask", where="latent", advice="put set_noise_mask before this node"
        )
    if not latent.samples.shape[0]:
        return latent
    require_items(latent.noise_mask)
    filled = LATENT_FILLINGS[content](pictures, latent.noise_mask, seed)
    return replace(latent, samples=filled.reshape(latent.samples.shape))
