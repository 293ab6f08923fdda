"""Sampling, written where its result is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..conditionings import Conditioning
from ..families import family_of, flow_of, traits_of
from ..handles import EmptyLatent, Latents, Sampling
from ..models import ModelPart, merged
from ..nets import net_of
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
    "step_noise",
)


def sample(emission: Emission) -> object:
    """Sampling; a strength of 0, or no step in the window, changes nothing."""
    found = emission.inputs["latent"]
    if emission.is_default("strength", 0) or emission.ends_before("start_step", "end_step", least=1):
        emission.has_no_effect()
        return emission.latents("latent")
    if isinstance(found, Sampling) and not found.shared:
        second = _sampling(emission, Latents("", found.model))
        if emission.writer.calls.fit.fits_stages(found, second):
            return replace(second, latent=emission.writer.first_stage(found))
    latent = emission.latents("latent")
    flow = flow_of(emission.part("model").base)
    if isinstance(latent, EmptyLatent) and latent.channels != "4" and flow is None:
        raise UnsupportedError("only latents of 4 channels can be exported")
    return _sampling(emission, latent)


def _sampling(emission: Emission, latent: Latents | EmptyLatent) -> Sampling:
    given = emission.conditioning("positive")
    if given is None:
        raise UnsupportedError("its positive conditioning is missing")
    other = emission.conditioning("negative")
    sides, channels = without_channels(emission.part("model"), [given, *([other] if other else [])], latent)
    model, positive, (negative,) = together(emission.part("model"), sides[0], sides[1] if other else None)
    return Sampling(
        node=emission.node.id,
        model=with_text(model, positive),
        positive=positive,
        negative=negative,
        latent=latent,
        values={name: emission.inputs[name] for name in READ},
        single=emission.script.graph.single(emission.node.values["latent"]),
        channels=channels,
    )


def without_channels(
    model: ModelPart, sides: Iterable[Conditioning], latent: Latents | EmptyLatent
) -> tuple[list[Conditioning], str]:
    """Prompts without the picture that a model reads beside noisy latents, and what it reads, or empty."""
    sides = list(sides)
    if flow_of(model.base) is not None:
        return sides, ""
    channels = {dict(entry.settings).get("channels", "") for side in sides for entry in side.entries}
    if len(channels) > 1:
        raise UnsupportedError("prompts with different pictures to read cannot be written in scripts")
    told = channels.pop()
    if not told and model.base.description.task in ("inpaint", "edit"):
        told = _blank(model, latent)
    if (model.base.description.task not in ("generate", "estimate")) != bool(told):
        raise UnsupportedError(
            "a model of 9 or 8 channels and inpaint_conditioning or edit_conditioning need each other"
        )
    return [_plain(side) for side in sides], told


def _blank(model: ModelPart, latent: Latents | EmptyLatent) -> str:
    """What a model reads beside noisy latents where it is given no picture; empty where a noise mask stands for one."""
    config, known = model.base.description.parts["unet"].config, family_of(model.base).latent
    more = int(str(config["in_channels"])) - known.channels
    inpaints = model.base.description.task == "inpaint"
    if inpaints and isinstance(latent, Latents) and latent.mask:
        return ""
    return f"torch.tensor({list(known.beside(more))}).reshape(1, {more}, 1, 1)"


def _plain(conditioning: Conditioning) -> Conditioning:
    """Prompts without the picture to read."""
    entries = [
        replace(entry, settings=tuple(item for item in entry.settings if item[0] != "channels"))
        for entry in conditioning.entries
    ]
    return Conditioning(tuple(entries))


def together(
    model: ModelPart, positive: Conditioning, *others: Conditioning | None
) -> tuple[ModelPart, Conditioning, list[Conditioning | None]]:
    """A model and text encoders, some from files of their own, as parts of one pipeline."""
    encoder = positive.entries[0].encoder.base
    if model.base.is_whole and encoder.is_whole:
        return model, positive, [*others]
    network = traits_of(model.base).network
    own = {} if model.base.is_whole else {network: net_of(replace(model, part=network))}
    host = model.base if model.base.is_whole else encoder if encoder.is_whole else None
    known = host or replace(encoder, description=model.base.description, options=model.base.options)
    base = replace(
        known,
        key=f"{model.base.key} {encoder.key}",
        family=model.base.family,
        alone=tuple(
            {**dict(host.alone if host else ()), **own, **dict(() if encoder.is_whole else encoder.alone)}.items()
        ),
        tokenizers=tuple({row[0]: row for row in (*known.tokenizers, *encoder.tokenizers)}.values()),
        host=host.checkpoint if host else "",
    )

    def moved(side: Conditioning) -> Conditioning:
        entries = [
            replace(entry, encoder=replace(entry.encoder, base=base))
            if entry.encoder.base.key == encoder.key
            else entry
            for entry in side.entries
        ]
        return replace(side, entries=tuple(entries))

    model = replace(model, base=base, network=model.base.description)
    return model, moved(positive), [moved(side) if side else None for side in others]


def with_text(model: ModelPart, conditioning: Conditioning) -> ModelPart:
    """A model with the LoRAs of the text encoder that its prompt was encoded by."""
    encoder = conditioning.entries[0].encoder
    return replace(model, patches=merged(model.patches, encoder.patches if encoder.base.key == model.base.key else ()))


EMITTERS: dict[str, Emitter] = {"sample": sample}
