"""Nodes that prepare painting into a picture, beyond it, and editing it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import node
from graphflow.values import Conditioning, Image, Latent, Mask, Vae

from ..choices import Offset
from ..conditioning.extras import with_extras
from ..images.checks import require_batch, require_size
from ..masks.make import require_masks

if TYPE_CHECKING:
    import torch

__all__ = ["edit_conditioning", "encode_for_inpaint", "inpaint_conditioning", "pad_for_outpaint"]

Positive = Annotated[Conditioning, Field(description="what the picture shows")]
Negative = Annotated[Conditioning, Field(description="what the picture does not show")]
Encoder = Annotated[Vae, Field(description="the autoencoder")]
PaintMask = Annotated[Mask, Field(description="1 = make anew, 0 = keep; stretched over the pictures")]


class Padded(NamedTuple):
    """A picture with margins, and where they are."""

    image: Annotated[Image, Field(description="the picture with grey margins")]
    mask: Annotated[Mask, Field(description="1 in the margins, falling to 0 inside over the feather")]


class Conditioned(NamedTuple):
    """Conditioning that carries a picture, and latents to start from."""

    positive: Annotated[Conditioning, Field(description="what the picture shows, with the picture")]
    negative: Annotated[Conditioning, Field(description="what it does not show, with the picture")]
    latent: Annotated[Latent, Field(description="where sampling starts")]


@node("pad_for_outpaint", map=True)
def pad_for_outpaint(
    images: Annotated[Image, Field(description="the pictures")],
    left: Annotated[Offset, Field(description="pixels to add")] = 0,
    top: Annotated[Offset, Field(description="pixels to add")] = 0,
    right: Annotated[Offset, Field(description="pixels to add")] = 0,
    bottom: Annotated[Offset, Field(description="pixels to add")] = 0,
    feather: Annotated[
        Offset, Field(description="pixels inside each padded edge over which the mask falls off with the square")
    ] = 40,
) -> Padded:
    """Add grey margins to pictures, and make the mask by which sampling fills them.

    A feather that is not less than half of an edge of the picture is left out.

    Raises:
        LimitError: The result is larger than the limits allow.
    """
    from graphflow.pixels import filling

    height, width = images.pixels.shape[-2:]
    require_size(width + left + right, height + top + bottom)
    require_batch(*images.pixels.shape[:2], height + top + bottom, width + left + right)
    pixels, mask = filling.pad_for_outpaint(images.pixels, left, top, right, bottom, feather)
    return Padded(replace(images, pixels=pixels), Mask(values=mask))


@node("encode_for_inpaint", lane="device", map=True)
def encode_for_inpaint(
    vae: Encoder,
    images: Annotated[Image, Field(description="the pictures; edges that are no multiple of 8 are cut")],
    mask: PaintMask,
    grow: Annotated[
        int, Field(ge=0, le=64, description="pixels by which the noise mask is widened, so that no seam is left")
    ] = 6,
) -> Latent:
    """Encode pictures whose masked part is grey first, with a noise mask: for inpainting at full strength.

    Raises:
        InvalidInputError: A picture is smaller than one latent sample, or the masks do not fit the pictures.
        NonFiniteError: The autoencoder makes NaN, in float32 too.
    """
    from graphflow.pixels.filling import grey_under, grown_hole

    with vae.use() as loaded:
        pixels, hole = _cut(images, mask, loaded.downscale)
        samples = loaded.encode(grey_under(pixels, hole.round()))
    return Latent(samples=samples, noise_mask=grown_hole(hole, grow), family=vae.family, downscale=loaded.downscale)


@node("inpaint_conditioning", version=2, lane="device", map=True)
def inpaint_conditioning(
    positive: Positive,
    negative: Negative,
    vae: Encoder,
    images: Annotated[Image, Field(description="the pictures; edges that are no multiple of 8 are cut")],
    mask: PaintMask,
    noise_mask: Annotated[
        bool, Field(description="keep what the mask keeps; without it the model may change everything a little")
    ] = True,
) -> Conditioned:
    """Tell an inpainting model which picture to complete, and where.

    The model reads the mask and the latents of the picture whose masked part is grey, beside the noisy latents
    (Rombach et al. 2022, arXiv:2112.10752; FLUX.1 Fill).

    Raises:
        InvalidInputError: A picture is smaller than one latent sample, or the masks do not fit the pictures.
        NonFiniteError: The autoencoder makes NaN, in float32 too.
    """
    from graphflow.pixels.filling import grey_under

    with vae.use() as loaded:
        pixels, hole = _cut(images, mask, loaded.downscale)
        original = loaded.encode(pixels)
        masked = loaded.encode(grey_under(pixels, hole.round()))
        factor: int = loaded.downscale
    told = {"picture": masked, "hole": hole}
    latent = Latent(
        samples=original, noise_mask=hole[:, 0] if noise_mask else None, family=vae.family, downscale=factor
    )
    return Conditioned(with_extras(positive, told), with_extras(negative, told), latent)


@node("edit_conditioning", version=2, lane="device")
def edit_conditioning(
    positive: Positive,
    negative: Negative,
    vae: Encoder,
    images: Annotated[Image, Field(description="the pictures; edges that are no multiple of 8 are cut")],
) -> Conditioned:
    """Tell an editing model which picture to change as the prompt says, or FLUX.1 Canny and Depth which one to follow.

    The model reads the picture's latents beside the noisy ones (InstructPix2Pix, Brooks et al. 2022, arXiv:2211.09800).

    Raises:
        InvalidInputError: A picture is smaller than one latent sample.
        NonFiniteError: The autoencoder makes NaN, in float32 too.
    """
    import torch

    with vae.use() as loaded:
        factor: int = loaded.downscale
        _require_sample(images, factor)
        samples = loaded.encode(images.pixels)
    latent = Latent(samples=torch.zeros_like(samples), family=vae.family, downscale=factor)
    told = {"picture": samples}
    return Conditioned(with_extras(positive, told), with_extras(negative, told), latent)


def _cut(images: Image, mask: Mask, factor: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (B, 3, H, W) and masks (B or 1, 1, H, W) of whole latent samples, cut evenly on both sides."""
    from graphflow.pixels.filling import with_hole

    _require_sample(images, factor)
    require_masks(mask, images.pixels.shape[0])
    return with_hole(images.pixels, mask.values, factor)


def _require_sample(images: Image, factor: int) -> None:
    height, width = images.pixels.shape[-2:]
    if min(height, width) < factor:
        raise InvalidInputError(f"a picture of {width} x {height} is smaller than {factor} pixels", where="images")
