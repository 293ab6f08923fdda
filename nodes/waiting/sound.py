"""Conditioning and latents of families that make sound (Stable Audio, ACE-Step), whose networks are not built yet.

What is only carried along (when a sound begins and how long it lasts) is carried for real. What has to compute with such
a family's networks keeps the graph whole and its models listed; running it is an error that names the family.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from graphflow.limits import LIMITS
from graphflow.spec.decorator import Seed, node
from graphflow.values import Conditioning, Latent, TextEncoder

from ..conditioning.extras import with_extras
from .loaders import refuse

__all__ = ["empty_audio_latent", "encode_song", "encode_song_plan", "set_audio_length"]

Encoder = Annotated[TextEncoder, Field(description="the text encoders")]
Tags = Annotated[str, Field(max_length=LIMITS.text, description="style, instruments, voices and mood, with commas")]
Lyrics = Annotated[str, Field(max_length=LIMITS.text, description="what is sung, with [verse], [chorus] and the like")]
Seconds = Annotated[float, Field(ge=0, le=1000)]


@node("empty_audio_latent")
def empty_audio_latent(
    seconds: Annotated[float, Field(ge=1, le=1000, description="how long the sound is")] = 120.0,
    batch_size: Annotated[int, Field(ge=1, le=LIMITS.batch, description="how many sounds")] = 1,
    family: Annotated[
        Literal["stable_audio", "ace", "ace_1_5"], Field(description="Stable Audio, ACE-Step or ACE-Step 1.5")
    ] = "ace",
) -> Latent:
    """Make latents of sound, which sampling fills; running it is an error until a family that makes sound is there.

    Raises:
        InvalidInputError: Always: none of these families runs by components.
    """
    refuse(f"latents of sound of the family {family}")


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


@node("encode_song")
def encode_song(
    text_encoder: Encoder,
    tags: Tags = "",
    lyrics: Lyrics = "",
    strength: Annotated[float, Field(ge=0, le=10, description="of the lyrics")] = 1.0,
) -> Conditioning:
    """Encode style and lyrics of a song (ACE-Step, Gong et al. 2025, arXiv:2506.00045).

    Raises:
        InvalidInputError: Always: ACE-Step does not run by components.
    """
    refuse("ACE-Step's text encoder")


@node("encode_song_plan")
def encode_song_plan(
    text_encoder: Encoder,
    tags: Tags = "",
    lyrics: Lyrics = "",
    seed: Seed = 0,
    tempo: Annotated[int, Field(ge=1, le=1000, description="beats a minute")] = 120,
    duration: Annotated[float, Field(ge=0, le=10_000, description="seconds")] = 120.0,
    time_signature: Annotated[str, Field(max_length=20, description="beats of a bar")] = "4",
    language: Annotated[str, Field(max_length=20, description="of the lyrics, e.g. en")] = "en",
    key: Annotated[str, Field(max_length=20, description="e.g. C major")] = "C major",
    plan: Annotated[bool, Field(description="have the language model sketch the sound first")] = True,
    guidance_scale: Annotated[float, Field(ge=0, le=100, description="of the sketch")] = 2.0,
    temperature: Annotated[float, Field(ge=0, le=10, description="of the sketch: how freely it is drawn")] = 0.85,
    top_p: Annotated[float, Field(ge=0, le=1, description="of the sketch: share of likely tokens")] = 0.9,
    top_k: Annotated[int, Field(ge=0, le=1_000_000, description="of the sketch: how many likely tokens; 0 is all")] = 0,
    min_p: Annotated[float, Field(ge=0, le=1, description="of the sketch: least share of the likeliest token")] = 0.0,
) -> Conditioning:
    """Encode style, lyrics and music of a song, which a language model sketches first (ACE-Step 1.5).

    Raises:
        InvalidInputError: Always: ACE-Step 1.5 does not run by components.
    """
    refuse("ACE-Step 1.5's language model")
