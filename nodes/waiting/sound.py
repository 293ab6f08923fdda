"""Conditioning and latents of families that make sound (Stable Audio, ACE-Step)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from graphflow.limits import LIMITS
from graphflow.spec.decorator import Seed, node
from graphflow.values import Audio, Conditioning, Latent, TextEncoder, Vae

__all__ = ["decode_audio", "empty_audio_latent", "encode_audio", "encode_song", "encode_song_plan"]

Encoder = Annotated[TextEncoder, Field(description="the text encoders")]
Tags = Annotated[str, Field(max_length=LIMITS.text, description="style, instruments, voices and mood, with commas")]
Lyrics = Annotated[str, Field(max_length=LIMITS.text, description="what is sung, with [verse], [chorus] and the like")]


@node("empty_audio_latent", waits="{family}")
def empty_audio_latent(
    seconds: Annotated[float, Field(ge=1, le=1000, description="how long the sound is")] = 120.0,
    batch_size: Annotated[int, Field(ge=1, le=LIMITS.batch, description="how many sounds")] = 1,
    family: Annotated[
        Literal["stable_audio", "ace", "ace_1_5"], Field(description="Stable Audio, ACE-Step or ACE-Step 1.5")
    ] = "ace",
) -> Latent:
    """Make latents of sound, which sampling fills."""


@node("encode_song", waits="ace")
def encode_song(
    text_encoder: Encoder,
    tags: Tags = "",
    lyrics: Lyrics = "",
    strength: Annotated[float, Field(ge=0, le=10, description="of the lyrics")] = 1.0,
) -> Conditioning:
    """Encode style and lyrics of a song (ACE-Step, Gong et al. 2025, arXiv:2506.00045)."""


@node("encode_song_plan", waits="ace_1_5")
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
    """Encode style, lyrics and music of a song, which a language model sketches first (ACE-Step 1.5)."""


@node("encode_audio", waits="a family that makes sound")
def encode_audio(
    audio: Annotated[Audio, Field(description="the sound")],
    vae: Annotated[Vae, Field(description="the autoencoder of sound")],
) -> Latent:
    """Encode sound."""


@node("decode_audio", waits="a family that makes sound")
def decode_audio(
    latent: Annotated[Latent, Field(description="latents of sound")],
    vae: Annotated[Vae, Field(description="the autoencoder of sound")],
) -> Audio:
    """Decode latents of sound."""
