"""Models that read a picture beside noisy latents: inpainting ones without its hole, editing ones all of it."""

from __future__ import annotations

from typing import Any

from graphflow.modelfiles.families import installed

from ..conditionings import Conditioning
from ..handles import Latents
from ..layout import Expression, call
from ..nets import autoencoder_functions
from .base import Emission, Emitter
from .conditioning import with_settings


def inpaint_conditioning(emission: Emission) -> dict[str, Any]:
    """A picture and its hole, for a UNet of 9 channels."""
    pixels, mask, vae = emission.pixels("images"), emission.mask("mask"), emission.part("vae")
    sides = {name: emission.conditioning(name) for name in ("positive", "negative")}
    emission.begin()
    script = emission.script
    if (functions := autoencoder_functions(vae)) is not None:
        script.need("see_hole_apart", functions[0])
        latents, hole, picture = (script.name(hint) for hint in ("latents", "hole", "picture"))
        made = call("see_hole_apart", functions[0], emission.loader.vae(vae), pixels.variable, mask)
        script.add(f"{latents}, {hole}, {picture} = ", made)
        told = {name: _with(side, picture=picture, hole=hole) for name, side in sides.items() if side is not None}
        return {**told, "latent": Latents(latents, vae, f"{hole}[:, 0]" if emission.fixed("noise_mask") else "")}
    script.need("see_hole")
    names = [script.name(hint) for hint in ("latents", "hole", "channels")]
    script.add(f"{', '.join(names)} = ", call("see_hole", emission.loader.vae(vae), pixels.variable, mask))
    latents, hole, channels = names
    found = {name: _with(side, channels=channels) for name, side in sides.items() if side is not None}
    return {**found, "latent": Latents(latents, vae, hole if emission.fixed("noise_mask") else "")}


def edit_conditioning(emission: Emission) -> dict[str, Any]:
    """A picture to change, for a UNet of 8 channels."""
    pixels, vae = emission.pixels("images"), emission.part("vae")
    sides = {name: emission.conditioning(name) for name in ("positive", "negative")}
    emission.begin()
    script = emission.script
    if (functions := autoencoder_functions(vae)) is not None:
        script.need(functions[0])
        picture = script.assign("picture", call(functions[0], emission.loader.vae(vae), pixels.variable))
        told = {name: _with(side, picture=picture) for name, side in sides.items() if side is not None}
        return {**told, "latent": Latents(f"torch.zeros_like({picture})", vae)}
    script.need("see_picture")
    latents, channels = script.name("latents"), script.name("channels")
    family = installed().get(vae.base.family)
    scaled = family is not None and family.latent.scaled_reference
    options: dict[str, Expression] = {"scaled": "True"} if scaled else {}
    made = call("see_picture", emission.loader.vae(vae), pixels.variable, **options)
    script.add(f"{latents}, {channels} = ", made)
    found = {name: _with(side, channels=channels) for name, side in sides.items() if side is not None}
    return {**found, "latent": Latents(latents, vae)}


def _with(conditioning: Conditioning, **settings: str) -> Conditioning:
    return Conditioning(tuple(with_settings(entry, **settings) for entry in conditioning.entries))


EMITTERS: dict[str, Emitter] = {"inpaint_conditioning": inpaint_conditioning, "edit_conditioning": edit_conditioning}
