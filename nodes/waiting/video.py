"""Conditioning of video families other than Wan and LTX-Video."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from graphflow.limits import LIMITS
from graphflow.spec.decorator import node
from graphflow.values import Conditioning, Image, ImageEncoder, Latent, Model, TextEncoder

from ..choices import Denoiser
from ..latents.video import Length, VideoEdge, Videos
from .choices import Begun, Conditioned, Crop, Encoder, End, Negative, NotShown, Positive, Seeing, Seen, Shown, Start

__all__ = [
    "cosmos_image_latent",
    "encode_video_prompt_with_image",
    "hunyuan15_image_conditioning",
    "hunyuan_image_conditioning",
    "kandinsky5_image_conditioning",
    "scale_temporal_attention",
    "set_context_windows",
]

Factor = Annotated[float, Field(ge=0, le=10)]


class Told(NamedTuple):
    """Conditioning that carries a picture, and latents to start from."""

    positive: Shown
    latent: Begun


class WithStart(NamedTuple):
    """Conditioning, latents to start from, and the encoded first frame."""

    positive: Shown
    negative: NotShown
    latent: Begun
    start: Annotated[Latent, Field(description="the encoded first frame")]


@node("hunyuan_image_conditioning", waits="hunyuan_video")
def hunyuan_image_conditioning(
    positive: Positive,
    vae: Encoder,
    start_image: Start = None,
    width: VideoEdge = 848,
    height: VideoEdge = 480,
    length: Length = 53,
    batch_size: Videos = 1,
    method: Annotated[
        Literal["concat", "replace", "custom"],
        Field(description="the model: one that reads the frame as channels, as the first latent frame, or either"),
    ] = "concat",
) -> Told:
    """Make a video from its first frame with HunyuanVideo (Kong et al. 2024, arXiv:2412.03603)."""


@node("encode_video_prompt_with_image", waits="hunyuan_video")
def encode_video_prompt_with_image(
    text_encoder: Annotated[TextEncoder, Field(description="the text encoders")],
    image_encoder: Annotated[ImageEncoder, Field(description="the CLIP image encoder")],
    image: Annotated[Image, Field(description="the first frame")],
    text: Annotated[str, Field(max_length=LIMITS.text, description="what the video shows")] = "",
    crop: Crop = "center",
    interleave: Annotated[int, Field(ge=1, le=512, description="of the picture's tokens every so manieth is read")] = 2,
) -> Conditioning:
    """Encode a prompt together with the first frame (HunyuanVideo-I2V, whose language model sees pictures)."""


@node("hunyuan15_image_conditioning", waits="hunyuan_video_15")
def hunyuan15_image_conditioning(
    positive: Positive,
    negative: Negative,
    vae: Encoder,
    start_image: Start = None,
    image_encoder: Seeing = None,
    seen_image: Seen = None,
    crop: Crop = "center",
    width: VideoEdge = 848,
    height: VideoEdge = 480,
    length: Length = 33,
    batch_size: Videos = 1,
) -> Conditioned:
    """Make a video from its first frame with HunyuanVideo 1.5 (arXiv:2511.18870)."""


@node("kandinsky5_image_conditioning", waits="kandinsky5")
def kandinsky5_image_conditioning(
    positive: Positive,
    negative: Negative,
    vae: Encoder,
    start_image: Start = None,
    width: VideoEdge = 768,
    height: VideoEdge = 512,
    length: Length = 121,
    batch_size: Videos = 1,
) -> WithStart:
    """Make a video, or one from its first frame, with Kandinsky 5 (arXiv:2511.14993)."""


@node("cosmos_image_latent", waits="cosmos")
def cosmos_image_latent(
    vae: Encoder,
    start_image: Start = None,
    end_image: End = None,
    width: VideoEdge = 1280,
    height: VideoEdge = 704,
    length: Length = 121,
    batch_size: Videos = 1,
    version: Annotated[Literal["1", "predict2"], Field(description="of Cosmos")] = "1",
) -> Latent:
    """Make latents of a video whose first or last frames are given and kept (Cosmos, arXiv:2501.03575)."""


@node("set_context_windows", waits="a family that makes videos")
def set_context_windows(
    model: Denoiser,
    length: Annotated[int, Field(ge=1, le=LIMITS.frames, description="frames that the model sees at once")] = 81,
    overlap: Annotated[int, Field(ge=0, le=LIMITS.frames, description="frames that neighbouring windows share")] = 30,
    schedule: Annotated[
        Literal["standard_static", "standard_uniform", "looped_uniform", "batched"],
        Field(description="how windows lie from step to step"),
    ] = "standard_static",
    stride: Annotated[int, Field(ge=1, le=LIMITS.frames, description="of uniform schedules: the widest step")] = 1,
    closed_loop: Annotated[bool, Field(description="join the end to the beginning, where it is looped")] = False,
    fuse: Annotated[
        Literal["pyramid", "relative", "flat", "overlap-linear"], Field(description="weights where windows overlap")
    ] = "pyramid",
    axis: Annotated[int, Field(ge=0, le=5, description="the latents' axis that is divided: 2 is time")] = 2,
    latent_units: Annotated[bool, Field(description="count latent frames instead of frames")] = False,
) -> Model:
    """Sample a long video in windows that overlap."""


@node(
    "scale_temporal_attention",
    waits="a family that makes videos",
    unless={"self_space": 1.0, "self_time": 1.0, "cross_space": 1.0, "cross_time": 1.0},
)
def scale_temporal_attention(
    model: Denoiser,
    self_space: Annotated[Factor, Field(description="of attention within a frame")] = 1.0,
    self_time: Annotated[Factor, Field(description="of attention between frames")] = 1.0,
    cross_space: Annotated[Factor, Field(description="of attention to the prompt within a frame")] = 1.0,
    cross_time: Annotated[Factor, Field(description="of attention to the prompt between frames")] = 1.0,
) -> Model:
    """Scale what the attention of a video model puts out, within frames and between them.

    With factors of 1 there is nothing to do, and it runs.
    """
    return model
