"""Videos of pictures alone: Stable Video Diffusion (Blattmann et al. 2023, arXiv:2311.15127)."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field

from graphflow import runtime
from graphflow.spec.decorator import ModelName, node
from graphflow.values import Conditioning, ConditioningEntry, Image, ImageEncoder, Latent, Model, Vae

from ..latents.inpainting import Conditioned
from ..latents.video import Length, VideoEdge
from ..models.ip_adapter import load_image_encoder
from ..models.loaders import load_checkpoint

__all__ = ["load_image_to_video_checkpoint", "svd_conditioning"]


class Seers(NamedTuple):
    """What a checkpoint of an image-to-video model holds."""

    model: Annotated[Model, Field(description="the denoising model")]
    image_encoder: Annotated[ImageEncoder, Field(description="the CLIP image encoder")]
    vae: Annotated[Vae, Field(description="the autoencoder")]


@node("load_image_to_video_checkpoint")
def load_image_to_video_checkpoint(
    model: Annotated[str, ModelName("checkpoint"), Field(min_length=1, description="a checkpoint of SVD")],
) -> Seers:
    """Name a checkpoint of a model that makes videos of pictures alone (Stable Video Diffusion).

    Raises:
        ModelNotFoundError: The name resolves to nothing.
        ModelFormatError: The file is no such checkpoint.
    """
    found = load_checkpoint(model)
    return Seers(found.model, load_image_encoder(model), found.vae)


@node("svd_conditioning", lane="device")
def svd_conditioning(
    image_encoder: Annotated[ImageEncoder, Field(description="the CLIP image encoder")],
    image: Annotated[Image, Field(description="the first frame")],
    vae: Annotated[Vae, Field(description="the autoencoder, which encodes the picture")],
    width: VideoEdge = 1024,
    height: VideoEdge = 576,
    length: Length = 14,
    motion: Annotated[int, Field(ge=1, le=1023, description="how much moves (motion bucket)")] = 127,
    fps: Annotated[int, Field(ge=1, le=1024, description="frames a second")] = 6,
    noise_augmentation: Annotated[float, Field(ge=0, le=10, description="noise on the first frame")] = 0.0,
) -> Conditioned:
    """Make a video of a picture with Stable Video Diffusion: a batch of latents is its frames.

    Noise on the first frame is drawn from a fixed seed, so that the same document draws the same video.

    Raises:
        InvalidInputError: The image encoder has no vector for a whole picture.
        NonFiniteError: The autoencoder makes NaN, in float32 too.
    """
    import torch

    from graphflow.pixels.resampling import crop_to_shape, resize_bilinear

    with image_encoder.use() as encoder:
        seen = encoder.vectors(image.pixels[:1], "center")[:, None]
    size = (height, width)
    pixels = resize_bilinear(crop_to_shape(image.pixels[:1, :3], size), size)
    if noise_augmentation:
        noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
        pixels = pixels + noise * noise_augmentation
        runtime.current().notice("the noise on the first frame is drawn from a fixed seed")
    with vae.use() as loaded:
        first = loaded.encode(pixels)
        factor: int = loaded.downscale
    told = {"fps": float(fps), "motion": float(motion), "noise_augmentation": noise_augmentation}

    def side(embedding: torch.Tensor, picture: torch.Tensor) -> Conditioning:
        return Conditioning(entries=(ConditioningEntry(embedding=embedding, extras={**told, "picture": picture}),))

    frames = torch.zeros(length, first.shape[1], height // factor, width // factor)
    return Conditioned(
        side(seen, first),
        side(torch.zeros_like(seen), torch.zeros_like(first)),
        Latent(samples=frames, downscale=factor),
    )
