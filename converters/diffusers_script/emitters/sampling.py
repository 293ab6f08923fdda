"""Sampling, written where its result is read."""

from __future__ import annotations

from dataclasses import replace

from ..handles import Conditioning, EmptyLatent, Latents, ModelPart, Sampling, merged
from ..script import UnsupportedError
from .base import Emission, Emitter

READ = (
    "seed",
    "steps",
    "guidance_scale",
    "sampler",
    "schedule",
    "strength",
    "start_step",
    "end_step",
    "add_noise",
    "leftover_noise",
    "noise_layout",
)


def sample(emission: Emission) -> object:
    """Sampling; a strength of 0 changes nothing."""
    found, strength = emission.inputs["latent"], emission.inputs["strength"]
    if strength.value == 0 and not emission.script.is_open(strength):
        return emission.latents("latent")
    if isinstance(found, Sampling) and not found.shared:
        second = _sampling(emission, Latents("", found.model))
        if emission.writer.calls.fits_stages(found, second):
            return replace(second, latent=emission.writer.first_stage(found))
    latent = emission.latents("latent")
    if isinstance(latent, EmptyLatent) and latent.channels != "4":
        raise UnsupportedError("only latents of 4 channels can be exported")
    return _sampling(emission, latent)


def _sampling(emission: Emission, latent: Latents | EmptyLatent) -> Sampling:
    positive = emission.conditioning("positive")
    if positive is None:
        raise UnsupportedError("its positive conditioning is missing")
    return Sampling(
        node=emission.node.id,
        model=with_text(emission.part("model"), positive),
        positive=positive,
        negative=emission.conditioning("negative"),
        latent=latent,
        values={name: emission.inputs[name] for name in READ},
        single=emission.script.graph.single(emission.node.values["latent"]),
    )


def with_text(model: ModelPart, conditioning: Conditioning) -> ModelPart:
    """A model with the LoRAs of the text encoder that its prompt was encoded by."""
    encoder = conditioning.entries[0].encoder
    return replace(model, patches=merged(model.patches, encoder.patches if encoder.base.key == model.base.key else ()))


EMITTERS: dict[str, Emitter] = {"sample": sample}
