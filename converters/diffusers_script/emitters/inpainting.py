"""Models that read a picture beside noisy latents: inpainting ones without its hole, editing ones all of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from graphflow.modelfiles.families import installed

from ..conditionings import Conditioning
from ..handles import Latents
from ..layout import Expression, call
from .base import Emission, Emitter


def inpaint_conditioning(emission: Emission) -> dict[str, Any]:
    """A picture and its hole, for a UNet of 9 channels."""
    pixels, mask, vae = emission.pixels("images"), emission.mask("mask"), emission.part("vae")
    sides = {name: emission.conditioning(name) for name in ("positive", "negative")}
    emission.begin()
    script = emission.script
    script.need("see_hole")
    names = [script.name(hint) for hint in ("latents", "hole", "channels")]
    script.add(f"{', '.join(names)} = ", call("see_hole", emission.loader.vae(vae), pixels.variable, mask))
    latents, hole, channels = names
    found = {name: _with(side, channels) for name, side in sides.items() if side is not None}
    return {**found, "latent": Latents(latents, vae, hole if emission.fixed("noise_mask") else "")}


def edit_conditioning(emission: Emission) -> dict[str, Any]:
    """A picture to change, for a UNet of 8 channels."""
    pixels, vae = emission.pixels("images"), emission.part("vae")
    sides = {name: emission.conditioning(name) for name in ("positive", "negative")}
    emission.begin()
    script = emission.script
    script.need("see_picture")
    latents, channels = script.name("latents"), script.name("channels")
    family = installed().get(vae.base.family)
    scaled = family is not None and family.latent.scaled_reference
    options: dict[str, Expression] = {"scaled": "True"} if scaled else {}
    made = call("see_picture", emission.loader.vae(vae), pixels.variable, **options)
    script.add(f"{latents}, {channels} = ", made)
    found = {name: _with(side, channels) for name, side in sides.items() if side is not None}
    return {**found, "latent": Latents(latents, vae)}


def _with(conditioning: Conditioning, channels: str) -> Conditioning:
    entries = [
        replace(entry, settings=tuple({**dict(entry.settings), "channels": channels}.items()))
        for entry in conditioning.entries
    ]
    return Conditioning(tuple(entries))


EMITTERS: dict[str, Emitter] = {"inpaint_conditioning": inpaint_conditioning, "edit_conditioning": edit_conditioning}
