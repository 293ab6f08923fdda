"""Conditioning and latents of LTX-Video and LTX-2 (HaCohen et al. 2024, arXiv:2501.00103)."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field

from graphflow.spec.decorator import ModelName, node
from graphflow.values import Audio, Conditioning, Image, Latent, Model, Vae

from ..choices import Denoiser, Share
from ..latents.video import Length, VideoEdge, Videos
from .choices import Conditioned, Encoder, Negative, Positive, Start, Strength

__all__ = [
    "compress_frames",
    "ltxv_add_guide",
    "ltxv_crop_guides",
    "ltxv_decode_audio",
    "ltxv_empty_audio_latent",
    "ltxv_encode_audio",
    "ltxv_image_conditioning",
    "ltxv_join_audio",
    "ltxv_load_audio_vae",
    "ltxv_reference_audio",
    "ltxv_set_start",
    "ltxv_split_audio",
    "ltxv_upscale_latent",
    "set_ltxv_shift",
]

SoundVae = Annotated[Vae, Field(description="the autoencoder of sound")]
Sounding = Annotated[Latent, Field(description="latents of sound")]
Moving = Annotated[Latent, Field(description="latents of a video")]
Both = Annotated[Latent, Field(description="latents of a video and its sound")]
Shift = Annotated[float, Field(ge=0, le=100)]


class Apart(NamedTuple):
    """A video and its sound."""

    latent: Moving
    audio_latent: Sounding


class Voiced(NamedTuple):
    """A model and conditioning that know a voice."""

    model: Annotated[Model, Field(description="the denoising model, guided towards the voice")]
    positive: Annotated[Conditioning, Field(description="what the video shows, with the voice")]
    negative: Annotated[Conditioning, Field(description="what it does not show, with the voice")]


@node("ltxv_image_conditioning", waits="ltxv")
def ltxv_image_conditioning(
    positive: Positive,
    negative: Negative,
    vae: Encoder,
    image: Annotated[Image, Field(description="the first frame, or the first frames")],
    width: VideoEdge = 768,
    height: VideoEdge = 512,
    length: Length = 97,
    batch_size: Videos = 1,
    strength: Strength = 1.0,
) -> Conditioned:
    """Make a video from its first frame with LTX-Video."""


@node("ltxv_set_start", waits="ltxv", unless={"bypass": True})
def ltxv_set_start(
    vae: Encoder,
    latent: Moving,
    image: Start = None,
    strength: Strength = 1.0,
    bypass: Annotated[bool, Field(description="leave the latents as they are")] = False,
) -> Latent:
    """Put a picture in the place of the first frame of LTX-Video's latents, and keep it while sampling.

    With ``bypass`` there is nothing to do, and it runs.
    """
    return latent


@node("ltxv_add_guide", waits="ltxv")
def ltxv_add_guide(
    positive: Positive,
    negative: Negative,
    vae: Encoder,
    latent: Moving,
    image: Annotated[Image, Field(description="a picture or frames that the video shows at that place")],
    frame: Annotated[
        int, Field(ge=-9999, le=9999, description="the frame where they begin; negative counts from the end")
    ] = 0,
    strength: Strength = 1.0,
) -> Conditioned:
    """Have a video of LTX-Video show a picture, or follow frames, from a given frame on."""


@node("ltxv_crop_guides", waits="ltxv")
def ltxv_crop_guides(positive: Positive, negative: Negative, latent: Moving) -> Conditioned:
    """Take the guiding frames of ``ltxv_add_guide`` off again, after sampling."""


@node("compress_frames", waits="ltxv", unless={"crf": 0})
def compress_frames(
    image: Annotated[Image, Field(description="the pictures")],
    crf: Annotated[int, Field(ge=0, le=100, description="rate factor of H.264; 0 leaves the pictures alone")] = 35,
) -> Image:
    """Give pictures the traces of H.264, which the videos that LTX-Video learnt from had.

    With ``crf`` 0 there is nothing to do, and it runs.
    """
    return image


@node("set_ltxv_shift", waits="ltxv")
def set_ltxv_shift(
    model: Denoiser,
    max_shift: Annotated[Shift, Field(description="shift of a latent of 4096 samples")] = 2.05,
    base_shift: Annotated[Shift, Field(description="shift of a latent of 1024 samples")] = 0.95,
    latent: Annotated[Latent | None, Field(description="the latent, whose size sets the shift; none has 4096")] = None,
) -> Model:
    """Shift LTX-Video's noise levels by the size of the latent. ``ltxv_sigmas`` makes such levels."""


@node("ltxv_upscale_latent", waits="ltxv")
def ltxv_upscale_latent(
    latent: Moving,
    vae: Encoder,
    upscale_model: Annotated[
        str, ModelName("latent_upscale_model"), Field(min_length=1, description="a latent upscaler of LTX-Video")
    ],
) -> Latent:
    """Enlarge LTX-Video's latents with a network, before a second pass."""


@node("ltxv_load_audio_vae", waits="ltxv")
def ltxv_load_audio_vae(
    model: Annotated[str, ModelName("checkpoint"), Field(min_length=1, description="a checkpoint of LTX-2")],
) -> Vae:
    """Name the autoencoder of sound inside a checkpoint of LTX-2."""


@node("ltxv_empty_audio_latent", waits="ltxv")
def ltxv_empty_audio_latent(
    vae: SoundVae,
    length: Length = 97,
    fps: Annotated[float, Field(gt=0, le=1000, description="frames a second")] = 25.0,
    batch_size: Videos = 1,
) -> Latent:
    """Make latents of sound as long as a video, which sampling fills."""


@node("ltxv_join_audio", waits="ltxv")
def ltxv_join_audio(latent: Moving, audio_latent: Sounding) -> Latent:
    """Put latents of a video and of its sound together, so that LTX-2 samples both at once."""


@node("ltxv_split_audio", waits="ltxv")
def ltxv_split_audio(latent: Both) -> Apart:
    """Take latents of a video and of its sound apart again."""


@node("ltxv_decode_audio", waits="ltxv")
def ltxv_decode_audio(latent: Sounding, vae: SoundVae) -> Audio:
    """Decode LTX-2's latents of sound."""


@node("ltxv_encode_audio", waits="ltxv")
def ltxv_encode_audio(audio: Annotated[Audio, Field(description="the sound")], vae: SoundVae) -> Latent:
    """Encode sound for LTX-2."""


@node("ltxv_reference_audio", waits="ltxv")
def ltxv_reference_audio(
    model: Denoiser,
    positive: Positive,
    negative: Negative,
    audio: Annotated[Audio, Field(description="the voice to speak with")],
    vae: SoundVae,
    strength: Annotated[float, Field(ge=0, le=100, description="guidance towards the voice")] = 3.0,
    start: Annotated[Share, Field(description="share of the sampling at which it begins")] = 0.0,
    end: Annotated[Share, Field(description="share of the sampling at which it ends")] = 1.0,
) -> Voiced:
    """Have LTX-2 speak with a given voice."""
