"""Latents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..graph import Given
from ..handles import Decoding, EmptyLatent, Latents, Sampling
from ..layout import call
from ..nets import autoencoder_functions
from ..script import UnsupportedError
from .base import Emission, Emitter
from .images import resized_to
from .loaders import input_path
from .tiles import decode_in_tiles, encode_in_tiles, latents_of


def empty_latent(emission: Emission) -> EmptyLatent:
    """Where a new picture starts; written where it is read."""
    return EmptyLatent(
        width=_edge(emission, "width"),
        height=_edge(emission, "height"),
        batch=emission.value("batch_size"),
        channels=emission.value("channels"),
        node=emission.node.id,
        edge=emission.fixed("downscale"),
    )


def empty_video_latent(emission: Emission) -> EmptyLatent:
    """Where several frames or layers start."""
    length, rate = emission.value("length"), emission.fixed("time_downscale")
    frames = length if rate == 1 else f"({length} - 1) // {rate} + 1"
    return replace(empty_latent(emission), frames=frames)


def cut_latent_to_batch(emission: Emission) -> Latents:
    """Frames or layers as pictures of a batch."""
    latents = emission.latents("latent")
    if isinstance(latents, EmptyLatent) or emission.fixed("axis") != "t" or emission.fixed("length") != 1:
        raise UnsupportedError("only single frames of latents that were sampled are cut in scripts")
    emission.begin()
    made = f"{latents.variable}.transpose(1, 2).flatten(0, 1)"
    return replace(latents, variable=emission.assign(made), mask="", places="")


def _edge(emission: Emission, name: str) -> str:
    """An edge in pixels, rounded down to whole latent samples unless it is known to be a multiple."""
    given, text, sample = emission.inputs[name], emission.value(name), emission.fixed("downscale")
    if isinstance(given, Given) and given.value % sample == 0:
        return text
    if text.isdigit():
        return str(int(text) // sample * sample)
    return f"({text}) // {sample} * {sample}" if " " in text else f"{text} // {sample} * {sample}"


def encode_image(emission: Emission) -> Latents:
    """Pictures to latents."""
    if emission.fixed("tile"):
        return encode_in_tiles(emission)
    pixels, vae = emission.pixels("images"), emission.part("vae")
    emission.begin()
    function = (autoencoder_functions(vae) or ("encode_image",))[0]
    emission.script.need(function)
    variable = emission.assign(call(function, emission.loader.vae(vae), pixels.variable), "latents")
    return Latents(variable, vae)


def encode_stage_c(emission: Emission) -> dict[str, Any]:
    """Pictures for stage C of Stable Cascade, and empty latents of stage B as large."""
    pixels, vae = emission.pixels("images").variable, emission.part("vae")
    if autoencoder_functions(vae) != ("encode_stage_c", "decode_stage_c"):
        raise UnsupportedError("its autoencoder does not encode pictures for stage C")
    emission.begin()
    emission.script.need("encode_resized")
    made = call("encode_resized", emission.loader.vae(vae), pixels, **emission.options(compression=42))
    stage_c = Latents(emission.assign(made, "latents"), vae)
    width, height = (f"{pixels}.shape[{axis}] // 8 * 8" for axis in (-1, -2))
    stage_b = EmptyLatent(width, height, f"len({pixels})", "4", emission.node.id, edge=4)
    return {"stage_c": stage_c, "stage_b": stage_b}


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
    function = (autoencoder_functions(vae) or ("encode_image",))[0]
    emission.script.need("with_hole", "grey_under", "grown_hole", function)
    whole, hole = emission.script.name("whole"), emission.script.name("hole")
    emission.script.add(f"{whole}, {hole} = ", call("with_hole", pixels.variable, mask))
    grey = emission.script.assign("grey", f"grey_under({whole}, {hole}.round())")
    variable = emission.assign(call(function, emission.loader.vae(vae), grey), "latents")
    grown = emission.script.assign("noise_mask", call("grown_hole", hole, emission.value("grow")))
    return Latents(variable, vae, grown)


def set_noise_mask(emission: Emission) -> Latents:
    """Which part sampling may change."""
    latents = emission.latents("latent")
    if isinstance(latents, EmptyLatent):
        raise UnsupportedError("a noise mask on an empty latent cannot be exported")
    return replace(latents, mask=emission.mask("mask"))


def fill_masked_latent(emission: Emission) -> Latents:
    """Latents with nothing of what was there under their noise mask."""
    from graphflow.pixels.filling import LATENT_FILLINGS

    latents = emission.latents("latent")
    if isinstance(latents, EmptyLatent) or not latents.mask:
        raise UnsupportedError("its latents have no noise mask")
    emission.begin()
    function = LATENT_FILLINGS[emission.fixed("content")].__name__
    emission.script.need(function)
    made = call(function, f"{latents.variable}.cpu()", latents.mask, **emission.options(seed=0))
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
    emission.script.need("latent_size")
    size = call("latent_size", f"{latents.variable}.shape[-2:]", **emission.options(width=0, height=0, scale=1.0))
    return replace(latents, variable=emission.assign(resized_to(emission, latents.variable, size)))


EMITTERS: dict[str, Emitter] = {
    "empty_latent": empty_latent,
    "empty_video_latent": empty_video_latent,
    "cut_latent_to_batch": cut_latent_to_batch,
    "encode_image": encode_image,
    "encode_stage_c": encode_stage_c,
    "encode_for_inpaint": encode_for_inpaint,
    "vae_decode": vae_decode,
    "set_noise_mask": set_noise_mask,
    "upscale_latent": upscale_latent,
    "fill_masked_latent": fill_masked_latent,
    "load_latent": load_latent,
}
