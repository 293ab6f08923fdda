"""What is only carried along with conditioning: guidance values, reference latents, rates and lengths.

Families that do not know it leave it alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from graphflow.spec.decorator import node
from graphflow.values import Conditioning, Latent

from ..choices import Told

__all__ = ["add_reference_latent", "set_audio_length", "set_frame_rate", "set_guidance", "set_reference_method"]

Seconds = Annotated[float, Field(ge=0, le=1000)]


@node("set_guidance", version=2, map=True)
def set_guidance(
    conditioning: Told,
    guidance: Annotated[
        float | None, Field(ge=0, le=100, description="the value that the model was distilled with; none leaves it out")
    ] = 3.5,
) -> Conditioning:
    """Set the guidance that a guidance-distilled model (Flux dev) reads as an input of its own.

    It stands in the extras of each entry as ``guidance``; models that have no such input leave it alone.
    """
    entries = tuple(replace(entry, extras={**entry.extras, "guidance": guidance}) for entry in conditioning.entries)
    return Conditioning(entries=entries)


@node("add_reference_latent", map=True)
def add_reference_latent(
    conditioning: Told, latent: Annotated[Latent | None, Field(description="the encoded picture")] = None
) -> Conditioning:
    """Let an editing model (Flux Kontext, Flux.2, Qwen-Image-Edit) see an encoded picture beside the prompt.

    The latents stand in the extras of each entry as ``reference_latents``, in the order in which they were added;
    without a latent nothing changes.
    """
    if latent is None:
        return conditioning
    entries = []
    for entry in conditioning.entries:
        before = tuple(entry.extras.get("reference_latents", ()))
        entries.append(replace(entry, extras={**entry.extras, "reference_latents": (*before, latent)}))
    return Conditioning(entries=tuple(entries))


@node("set_reference_method", map=True)
def set_reference_method(
    conditioning: Told,
    method: Annotated[
        Literal["offset", "index", "index_timestep_zero", "uno", "negative_index"],
        Field(description="how positions of several reference pictures are set apart"),
    ] = "offset",
) -> Conditioning:
    """Choose how a model tells several reference latents apart (``reference_method`` in the extras)."""
    return with_extras(conditioning, {"reference_method": method})


@node("set_frame_rate", map=True)
def set_frame_rate(
    conditioning: Annotated[Conditioning, Field(description="the conditioning")],
    fps: Annotated[float, Field(ge=0, le=1000, description="frames a second of the video to be made")] = 25.0,
) -> Conditioning:
    """Say at which frame rate a video model (LTX-Video) makes its frames.

    It stands in the extras of each entry as ``frame_rate``; models that do not read it leave it alone.
    """
    return with_extras(conditioning, {"frame_rate": fps})


@node("set_audio_length", map=True)
def set_audio_length(
    conditioning: Annotated[Conditioning, Field(description="the conditioning")],
    start: Annotated[Seconds, Field(description="seconds of the whole at which the sound begins")] = 0.0,
    total: Annotated[Seconds, Field(description="seconds that the whole lasts")] = 47.0,
) -> Conditioning:
    """Say which part of how long a sound is to be made (Stable Audio, Evans et al. 2024, arXiv:2407.14358).

    It stands in the extras of each entry as ``seconds_start`` and ``seconds_total``; other models leave it alone.
    """
    return with_extras(conditioning, {"seconds_start": start, "seconds_total": total})


def with_extras(conditioning: Told, extras: Mapping[str, Any]) -> Conditioning:
    """Return the conditioning with more extras; those that are None are taken out."""
    entries = []
    for entry in conditioning.entries:
        merged = {**entry.extras, **extras}
        merged = {key: value for key, value in merged.items() if value is not None or key not in extras}
        entries.append(replace(entry, extras=merged))
    return Conditioning(entries=tuple(entries))
