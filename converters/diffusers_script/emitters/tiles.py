"""Pictures in tiles: autoencoders that are told to save memory, and networks that make pictures larger."""

from __future__ import annotations

from dataclasses import replace

from ..handles import EmptyLatent, Latents, Pixels, Upscaler
from ..layout import call
from ..models import ModelPart
from ..nets import autoencoder_functions
from ..script import UnsupportedError
from .base import Emission, Emitter
from .loaders import constant_path

SAMPLE = 8
"""Pixels of a latent sample's edge."""
SMALLEST = 2 * SAMPLE
"""Least pixels of a tile's edge."""


def latents_of(emission: Emission, latents: Latents, vae: ModelPart) -> Latents:
    """Latents as an autoencoder's model reads them; those of a file get its scale."""
    if latents.scaled_for is not None or autoencoder_functions(vae) is not None:
        return latents
    scaled = f"{latents.variable} * {emission.loader.vae(vae)}.config.scaling_factor"
    return replace(latents, variable=emission.script.assign("latents", scaled), scaled_for=vae)


def decode_in_tiles(emission: Emission) -> Pixels:
    """Latents to pictures, in tiles."""
    latents, vae = emission.latents("latent"), emission.part("vae")
    if isinstance(latents, EmptyLatent):
        raise UnsupportedError("decoding latents that were never sampled cannot be exported")
    tile = emission.fixed("tile")
    overlap = min(emission.fixed("overlap"), tile // 4)
    tile = max(tile, SMALLEST)
    if autoencoder_functions(vae) is not None:
        raise UnsupportedError("autoencoders of flow models work in tiles in no script; leave the tiles out")
    emission.begin()
    emission.script.need("decode_in_tiles")
    latents = latents_of(emission, latents, vae)
    numbers = str(tile), str(min(overlap, tile // 2))
    return Pixels(emission.assign(call("decode_in_tiles", emission.loader.vae(vae), latents.variable, *numbers)))


def encode_in_tiles(emission: Emission) -> Latents:
    """Pictures to latents, in tiles."""
    pixels, vae = emission.pixels("images"), emission.part("vae")
    tile, overlap = (emission.fixed(name) // SAMPLE * SAMPLE for name in ("tile", "overlap"))
    tile = max(tile, SMALLEST)
    if autoencoder_functions(vae) is not None:
        raise UnsupportedError("autoencoders of flow models work in tiles in no script; leave the tiles out")
    emission.begin()
    emission.script.need("encode_in_tiles")
    numbers = str(tile), str(min(overlap, tile // 2))
    made = call("encode_in_tiles", emission.loader.vae(vae), pixels.variable, *numbers)
    return Latents(emission.assign(made, "latents"), vae)


def load_upscale_model(emission: Emission) -> Upscaler:
    """A network that spandrel knows."""
    path = constant_path(emission, "model", "UPSCALER")
    emission.begin()
    emission.script.need("load_upscaler")
    emission.script.say("Needs the package spandrel.")
    shown = emission.script.value(emission.inputs["model"], default=path, shown=path)
    return Upscaler(emission.assign(call("load_upscaler", shown, "DEVICE"), "upscaler"))


def upscale_image_with_model(emission: Emission) -> Pixels:
    """Larger pictures."""
    network, pixels = emission.inputs["upscale_model"], emission.pixels("image")
    emission.begin()
    emission.script.need("upscale")
    options = emission.options(tile=512, overlap=32)
    return Pixels(emission.assign(call("upscale", network.variable, pixels.variable, **options)))


EMITTERS: dict[str, Emitter] = {
    "load_upscale_model": load_upscale_model,
    "upscale_image_with_model": upscale_image_with_model,
}
