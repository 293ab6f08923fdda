"""Sampling, written where its result is read."""

from __future__ import annotations

from ..handles import EmptyLatent, Sampling
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
    latent, strength = emission.latents("latent"), emission.inputs["strength"]
    if strength.value == 0 and not emission.script.is_open(strength):
        return latent
    positive = emission.conditioning("positive")
    if positive is None:
        raise UnsupportedError("its positive conditioning is missing")
    if isinstance(latent, EmptyLatent) and latent.channels != "4":
        raise UnsupportedError("only latents of 4 channels can be exported")
    return Sampling(
        node=emission.node.id,
        model=emission.part("model"),
        positive=positive,
        negative=emission.conditioning("negative"),
        latent=latent,
        values={name: emission.inputs[name] for name in READ},
    )


EMITTERS: dict[str, Emitter] = {"sample": sample}
