"""Conditioning of LTX-Video and LTX-2 (HaCohen et al. 2024, arXiv:2501.00103), whose networks are not built yet.

What is only carried along (the frame rate) is carried for real. What has to compute with the family's networks keeps
the graph whole and its models listed; running it is an error that names the family.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field

from graphflow.spec.decorator import ModelName, node
from graphflow.values import Audio, Conditioning, Image, Latent, Model, Vae

from ..conditioning.extras import with_extras
from .choices import (
    Conditioned,
    Denoiser,
    Encoder,
    Length,
    Negative,
    Positive,
    Share,
    Start,
    Strength,
    VideoEdge,
    Videos,
)
from .loaders import refuse

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
    "set_frame_rate",
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


@node("set_frame_rate", map=True)
def set_frame_rate(
    conditioning: Annotated[Conditioning, Field(description="the conditioning")],
    fps: Annotated[float, Field(ge=0, le=1000, description="frames a second of the video to be made")] = 25.0,
) -> Conditioning:
    """Say at which frame rate a video model (LTX-Video) makes its frames.

    It stands in the extras of each entry as ``frame_rate``; models that do not read it leave it alone.
    """
    return with_extras(conditioning, {"frame_rate": fps})


@node("ltxv_image_conditioning")
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
    """Make a video from its first frame with LTX-Video.

    Raises:
        InvalidInputError: Always: LTX-Video does not run by components.
    """
    refuse("LTX-Video's conditioning by pictures")


@node("ltxv_set_start")
def ltxv_set_start(
    vae: Encoder,
    latent: Moving,
    image: Start = None,
    strength: Strength = 1.0,
    bypass: Annotated[bool, Field(description="leave the latents as they are")] = False,
) -> Latent:
    """Put a picture in the place of the first frame of LTX-Video's latents, and keep it while sampling.

    Raises:
        InvalidInputError: LTX-Video does not run by components; only ``bypass`` does.
    """
    if not bypass:
        refuse("LTX-Video's latents with a first frame")
    return latent


@node("ltxv_add_guide")
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
    """Have a video of LTX-Video show a picture, or follow frames, from a given frame on.

    Raises:
        InvalidInputError: Always: LTX-Video does not run by components.
    """
    refuse("LTX-Video's guiding frames")


@node("ltxv_crop_guides")
def ltxv_crop_guides(positive: Positive, negative: Negative, latent: Moving) -> Conditioned:
    """Take the guiding frames of ``ltxv_add_guide`` off again, after sampling.

    Raises:
        InvalidInputError: Always: LTX-Video does not run by components.
    """
    refuse("LTX-Video's guiding frames")


@node("compress_frames")
def compress_frames(
    image: Annotated[Image, Field(description="the pictures")],
    crf: Annotated[int, Field(ge=0, le=100, description="rate factor of H.264; 0 leaves the pictures alone")] = 35,
) -> Image:
    """Give pictures the traces of H.264, which the videos that LTX-Video learnt from had.

    Raises:
        InvalidInputError: The pictures are to be compressed: there is no encoder of H.264.
    """
    if crf > 0:
        refuse("H.264's compression, which LTX-Video expects of pictures,")
    return image


@node("set_ltxv_shift")
def set_ltxv_shift(
    model: Denoiser,
    max_shift: Annotated[Shift, Field(description="shift of a latent of 4096 samples")] = 2.05,
    base_shift: Annotated[Shift, Field(description="shift of a latent of 1024 samples")] = 0.95,
    latent: Annotated[Latent | None, Field(description="the latent, whose size sets the shift; none has 4096")] = None,
) -> Model:
    """Shift LTX-Video's noise levels by the size of the latent. ``ltxv_sigmas`` makes such levels.

    Raises:
        InvalidInputError: Always: LTX-Video does not run by components.
    """
    refuse("LTX-Video's shift of noise levels")


@node("ltxv_upscale_latent")
def ltxv_upscale_latent(
    latent: Moving,
    vae: Encoder,
    upscale_model: Annotated[
        str, ModelName("latent_upscale_model"), Field(min_length=1, description="a latent upscaler of LTX-Video")
    ],
) -> Latent:
    """Enlarge LTX-Video's latents with a network, before a second pass.

    Raises:
        InvalidInputError: Always: LTX-Video does not run by components.
    """
    refuse("LTX-Video's latent upscaler")


@node("ltxv_load_audio_vae")
def ltxv_load_audio_vae(
    model: Annotated[str, ModelName("checkpoint"), Field(min_length=1, description="a checkpoint of LTX-2")],
) -> Vae:
    """Name the autoencoder of sound inside a checkpoint of LTX-2.

    Raises:
        InvalidInputError: Always: LTX-Video does not run by components.
    """
    refuse("LTX-2's autoencoder of sound")


@node("ltxv_empty_audio_latent")
def ltxv_empty_audio_latent(
    vae: SoundVae,
    length: Length = 97,
    fps: Annotated[float, Field(gt=0, le=1000, description="frames a second")] = 25.0,
    batch_size: Videos = 1,
) -> Latent:
    """Make latents of sound as long as a video, which sampling fills.

    Raises:
        InvalidInputError: Always: LTX-Video does not run by components.
    """
    refuse("LTX-2's latents of sound")


@node("ltxv_join_audio")
def ltxv_join_audio(latent: Moving, audio_latent: Sounding) -> Latent:
    """Put latents of a video and of its sound together, so that LTX-2 samples both at once.

    Raises:
        InvalidInputError: Always: LTX-Video does not run by components.
    """
    refuse("LTX-2's latents of video and sound")


@node("ltxv_split_audio")
def ltxv_split_audio(latent: Both) -> Apart:
    """Take latents of a video and of its sound apart again.

    Raises:
        InvalidInputError: Always: LTX-Video does not run by components.
    """
    refuse("LTX-2's latents of video and sound")


@node("ltxv_decode_audio")
def ltxv_decode_audio(latent: Sounding, vae: SoundVae) -> Audio:
    """Decode LTX-2's latents of sound.

    Raises:
        InvalidInputError: Always: LTX-Video does not run by components.
    """
    refuse("LTX-2's autoencoder of sound")


@node("ltxv_encode_audio")
def ltxv_encode_audio(audio: Annotated[Audio, Field(description="the sound")], vae: SoundVae) -> Latent:
    """Encode sound for LTX-2.

    Raises:
        InvalidInputError: Always: LTX-Video does not run by components.
    """
    refuse("LTX-2's autoencoder of sound")


@node("ltxv_reference_audio")
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
    """Have LTX-2 speak with a given voice.

    Raises:
        InvalidInputError: Always: LTX-Video does not run by components.
    """
    refuse("LTX-2's voice by reference")
