"""Nodes between pixels and latents."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field

from graphflow import runtime
from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import ModelName, node
from graphflow.values import Image, Latent, Mask, Vae, VisionModel

from ..choices import Tile, TileOverlap

__all__ = ["decode_transparency", "encode_image", "vae_decode"]


@node("vae_decode", lane="device", map=True)
def vae_decode(
    vae: Annotated[Vae, Field(description="the autoencoder")],
    latent: Annotated[Latent, Field(description="the latents")],
    tile: Tile = 0,
    overlap: TileOverlap = 64,
) -> Image:
    """Decode latents (B, C, h, w), or (B, C, 1, h, w) of models of videos, to pixels (B, 3, 8 h, 8 w) in [0, 1].

    Autoencoders with transparency give (B, 4, ...), and some families' latents are smaller than an eighth.

    Tiles share at most a quarter of their edge.

    Raises:
        InvalidInputError: The latents have another number of channels than the autoencoder's, another family made
            them, or they are a video's.
        NonFiniteError: The autoencoder makes NaN, in float32 too.
    """
    from graphflow.sampling.denoise import as_pictures, require_family

    latent = as_pictures(latent)
    with vae.use() as loaded:
        if latent.samples.shape[1] != loaded.latent_channels:
            raise InvalidInputError(
                f"the latent has {latent.samples.shape[1]} channels, the autoencoder needs {loaded.latent_channels}",
                where="latent",
                advice="decode with the autoencoder of the family that made the latent",
            )
        require_family(latent, vae.family, "the autoencoder", getattr(loaded, "axes", 0))
        return Image(pixels=loaded.decode(latent.samples, tile=tile, overlap=min(overlap, tile // 4)))


@node("encode_image", lane="device", map=True)
def encode_image(
    vae: Annotated[Vae, Field(description="the autoencoder")],
    images: Annotated[
        Image, Field(description="the pictures; edges that are no multiple of 8 are cut, alpha is ignored")
    ],
    tile: Tile = 0,
    overlap: TileOverlap = 64,
) -> Latent:
    """Encode pixels (B, 3 or 4, H, W) in [0, 1] to latents (B, C, H / 8, W / 8), at the mode of their distribution.

    An autoencoder that was made for videos gives (B, C, 1, H / 8, W / 8).

    Raises:
        InvalidInputError: A picture is smaller than one latent sample.
        NonFiniteError: The autoencoder makes NaN, in float32 too.
    """
    height, width = images.pixels.shape[-2:]
    with vae.use() as loaded:
        factor: int = loaded.downscale
        if min(height, width) < factor:
            raise InvalidInputError(f"a picture of {width} x {height} is smaller than {factor} pixels", where="images")
        samples = loaded.encode(images.pixels, tile=tile - tile % factor, overlap=overlap - overlap % factor)
    return Latent(samples=samples, family=vae.family, downscale=factor)


class Layered(NamedTuple):
    """Colours and transparency."""

    image: Annotated[Image, Field(description="the colours, (B, 3, H, W)")]
    mask: Annotated[Mask, Field(description="how opaque they are, (B, H, W), 1 = opaque")]


@node("decode_transparency", lane="device", map=True)
def decode_transparency(
    images: Annotated[Image, Field(description="what the autoencoder decodes the latents to")],
    latent: Annotated[Latent, Field(description="the latents, of a model with LayerDiffuse's LoRA")],
    decoder: Annotated[
        str, ModelName("transparency_decoder"), Field(min_length=1, description="LayerDiffuse's decoder")
    ] = "vae_transparent_decoder.safetensors",
) -> Layered:
    """Tell colours and transparency of what LayerDiffuse made (Zhang and Agrawala 2024, arXiv:2402.17113).

    Raises:
        ModelNotFoundError: The decoder is not there.
        ModelFormatError: It is another network.
        InvalidInputError: Pictures and latents do not belong together.
    """
    from graphflow.sampling.denoise import as_pictures
    from graphflow.vision.transparency import colours_and_alpha

    samples = as_pictures(latent).samples
    count, _, height, width = images.pixels.shape
    if tuple(samples.shape) != (count, 4, height // 8, width // 8):
        raise InvalidInputError(
            f"latents of the shape {list(samples.shape)} do not belong to {count} pictures of {width} x {height}",
            where="latent",
            advice="link the latents that the pictures were decoded from",
        )
    models = runtime.current().models
    file = models.find(decoder, "transparency_decoder", part="transparency_decoder")
    with VisionModel(files=(file,)).use() as network:
        colours, alpha = colours_and_alpha(network, images.pixels[:, :3], samples)
    return Layered(Image(pixels=colours), Mask(values=alpha))
