"""Latents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..handles import Decoding, EmptyLatent, Latents, Sampling
from ..layout import Expression, call
from ..script import UnsupportedError
from .base import Emission, Emitter
from .loaders import input_path
from .tiles import decode_in_tiles, encode_in_tiles, latents_of


def empty_latent(emission: Emission) -> EmptyLatent:
    """Where a new picture starts; written where it is read."""
    return EmptyLatent(
        width=emission.value("width"),
        height=emission.value("height"),
        batch=emission.value("batch_size"),
        channels=emission.value("channels"),
        node=emission.node.id,
    )


def encode_image(emission: Emission) -> Latents:
    """Pictures to latents."""
    if emission.fixed("tile"):
        return encode_in_tiles(emission)
    pixels, vae = emission.pixels("images"), emission.part("vae")
    emission.begin()
    emission.script.need("encode_image")
    variable = emission.assign(call("encode_image", emission.loader.vae(vae), pixels.variable), "latents")
    return Latents(variable, vae)


def vae_decode(emission: Emission) -> Any:
    """Latents to pictures."""
    if emission.fixed("tile"):
        return decode_in_tiles(emission)
    found, vae = emission.inputs["latent"], emission.part("vae")
    if isinstance(found, Sampling):
        return Decoding(found, vae, emission.node.id)
    latents = emission.latents("latent")
    if isinstance(latents, EmptyLatent):
        raise UnsupportedError("decoding latents that were never sampled cannot be exported")
    emission.begin()
    return emission.writer.decode(latents_of(emission, latents, vae), vae, emission.node.id)


def encode_for_inpaint(emission: Emission) -> Latents:
    """Pictures to latents with the masked part grey, and a noise mask."""
    pixels, mask, vae = emission.pixels("images"), emission.mask("mask"), emission.part("vae")
    emission.begin()
    emission.script.need("grey_out", "encode_image")
    grey, hole = emission.script.name("grey"), emission.script.name("hole")
    options = emission.options(grow=6)
    emission.script.add(f"{grey}, {hole} = ", call("grey_out", pixels.variable, mask, **options))
    variable = emission.assign(call("encode_image", emission.loader.vae(vae), grey), "latents")
    return Latents(variable, vae, hole)


def set_noise_mask(emission: Emission) -> Latents:
    """Which part sampling may change."""
    latents = emission.latents("latent")
    if isinstance(latents, EmptyLatent):
        raise UnsupportedError("a noise mask on an empty latent cannot be exported")
    return replace(latents, mask=emission.mask("mask"))


def fill_masked_latent(emission: Emission) -> Latents:
    """Latents with nothing of what was there under their noise mask."""
    latents = emission.latents("latent")
    if isinstance(latents, EmptyLatent) or not latents.mask:
        raise UnsupportedError("its latents have no noise mask")
    emission.begin()
    emission.script.need("fill_masked_latent")
    options = emission.options(content="noise", seed=0)
    made = call("fill_masked_latent", f"{latents.variable}.cpu()", latents.mask, **options)
    return replace(latents, variable=emission.assign(made.then(".to(DEVICE)"), "latents"))


def load_latent(emission: Emission) -> Latents:
    """Latents from a file, as an autoencoder makes them."""
    emission.begin()
    emission.script.need("load_latents")
    return Latents(emission.assign(call("load_latents", input_path(emission, "LATENT")).then(".to(DEVICE)"), "latents"))


def upscale_latent(emission: Emission) -> Latents:
    """Resample latents."""
    latents = emission.latents("latent")
    if isinstance(latents, EmptyLatent):
        raise UnsupportedError("upscaling an empty latent cannot be exported")
    emission.begin()
    options = emission.options(width=0, height=0, scale=1.0)
    simple = emission.fixed("method") != "bislerp"
    helper = "resize_to" if simple else "resample"
    emission.script.need("latent_size", helper)
    size = call("latent_size", latents.variable, **options)
    extra: dict[str, Expression] = {} if emission.is_default("crop", "none") else {"crop": "True"}
    method = emission.value("method")
    return replace(latents, variable=emission.assign(call(helper, latents.variable, size, method, **extra)))


EMITTERS: dict[str, Emitter] = {
    "empty_latent": empty_latent,
    "encode_image": encode_image,
    "encode_for_inpaint": encode_for_inpaint,
    "vae_decode": vae_decode,
    "set_noise_mask": set_noise_mask,
    "upscale_latent": upscale_latent,
    "fill_masked_latent": fill_masked_latent,
    "load_latent": load_latent,
}
