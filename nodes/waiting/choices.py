"""Annotated parameter types that nodes of video families share."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, TypeAlias

from pydantic import Field

from graphflow.spec.decorator import ModelName
from graphflow.values import Audio, Conditioning, Image, ImageEncoder, Latent, Vae

Positive: TypeAlias = Annotated[Conditioning, Field(description="what the video shows")]
Negative: TypeAlias = Annotated[Conditioning, Field(description="what the video does not show")]
Encoder: TypeAlias = Annotated[Vae, Field(description="the autoencoder, which encodes the pictures")]
Start: TypeAlias = Annotated[Image | None, Field(description="the first frame, or the first frames")]
End: TypeAlias = Annotated[Image | None, Field(description="the last frame, or the last frames")]
Control: TypeAlias = Annotated[Image | None, Field(description="frames that the video follows: edges, depth, poses")]
Reference: TypeAlias = Annotated[Image | None, Field(description="a picture of what the video shows")]
Seeing: TypeAlias = Annotated[ImageEncoder | None, Field(description="the CLIP image encoder that sees pictures")]
Seen: TypeAlias = Annotated[Image | None, Field(description="a picture that the image encoder sees")]
Crop: TypeAlias = Annotated[
    Literal["center", "none"], Field(description="how pictures that the image encoder sees are made square")
]
Before: TypeAlias = Annotated[Image | None, Field(description="frames that go before")]
Spoken: TypeAlias = Annotated[Audio | None, Field(description="what is spoken or sung, from the beginning")]
Strength: TypeAlias = Annotated[float, Field(ge=0, le=1, description="how far the picture is kept; 1 wholly")]
SoundEncoderName: TypeAlias = Annotated[
    str,
    ModelName("audio_encoder"),
    Field(description="an encoder of speech (wav2vec2, Whisper); empty where no sound is heard"),
]

Shown: TypeAlias = Annotated[Conditioning, Field(description="what the video shows, with the pictures")]
NotShown: TypeAlias = Annotated[Conditioning, Field(description="what it does not show, with the pictures")]
Begun: TypeAlias = Annotated[Latent, Field(description="where sampling starts")]
Trim: TypeAlias = Annotated[int, Field(description="latent frames at the start that trim_video_latent leaves out")]


class Conditioned(NamedTuple):
    """Conditioning that carries pictures, and latents to start from."""

    positive: Shown
    negative: NotShown
    latent: Begun
