"""Conditioning of Wan's video models (Wan Team 2025, arXiv:2503.20314): by pictures, sound and movements."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from graphflow.limits import LIMITS
from graphflow.spec.decorator import node
from graphflow.values import Conditioning, Image, Latent, Mask

from ..latents.video import Length, VideoEdge, Videos
from .choices import (
    Before,
    Begun,
    Conditioned,
    Control,
    Crop,
    Encoder,
    End,
    Negative,
    NotShown,
    Positive,
    Reference,
    Seeing,
    Seen,
    Shown,
    SoundEncoderName,
    Spoken,
    Start,
    Trim,
)

__all__ = [
    "wan22_image_latent",
    "wan_animate_conditioning",
    "wan_camera_conditioning",
    "wan_control_conditioning",
    "wan_image_conditioning",
    "wan_speech_conditioning",
    "wan_speech_continuation",
    "wan_subject_conditioning",
    "wan_track_conditioning",
    "wan_vace_conditioning",
]

Pose = Literal[
    "static", "pan_up", "pan_down", "pan_left", "pan_right", "zoom_in", "zoom_out", "counterclockwise", "clockwise"
]
Lens = Annotated[float, Field(ge=0, le=1)]


class Trimmed(NamedTuple):
    """Conditioning that carries pictures, latents to start from, and how many of their frames are the reference's."""

    positive: Shown
    negative: NotShown
    latent: Begun
    trim: Trim


class Subjects(NamedTuple):
    """Conditioning for guidance by text and by pictures apart."""

    positive: Shown
    negative: NotShown
    negative_image: Annotated[Conditioning, Field(description="neither the text nor the pictures")]
    latent: Begun


class Animated(NamedTuple):
    """Conditioning that carries movements, latents to start from, and what to leave out and where to go on."""

    positive: Shown
    negative: NotShown
    latent: Begun
    trim: Trim
    trim_image: Annotated[int, Field(description="frames at the start that repeat those before")]
    next_offset: Annotated[int, Field(description="the frame at which the next part begins")]


@node("wan_image_conditioning", waits="wan")
def wan_image_conditioning(
    positive: Positive,
    negative: Negative,
    vae: Encoder,
    start_image: Start = None,
    end_image: End = None,
    image_encoder: Seeing = None,
    seen_start: Seen = None,
    seen_end: Seen = None,
    crop: Crop = "center",
    width: VideoEdge = 832,
    height: VideoEdge = 480,
    length: Length = 81,
    batch_size: Videos = 1,
    task: Annotated[
        Literal["image", "first_last", "inpaint"],
        Field(description="the model: from a first frame, between two frames, or one that fills in missing frames"),
    ] = "image",
) -> Conditioned:
    """Make a video from its first frame, or from its first and last one (Wan 2.1, 2.2 and Fun-InP)."""


@node("wan22_image_latent", waits="wan")
def wan22_image_latent(
    vae: Encoder,
    start_image: Start = None,
    width: VideoEdge = 1280,
    height: VideoEdge = 704,
    length: Length = 49,
    batch_size: Videos = 1,
) -> Latent:
    """Make latents of a video whose first frame is given and kept (Wan 2.2 TI2V 5B)."""


@node("wan_control_conditioning", waits="wan")
def wan_control_conditioning(
    positive: Positive,
    negative: Negative,
    vae: Encoder,
    control_video: Control = None,
    start_image: Start = None,
    reference_image: Reference = None,
    image_encoder: Seeing = None,
    seen_image: Seen = None,
    crop: Crop = "center",
    width: VideoEdge = 832,
    height: VideoEdge = 480,
    length: Length = 81,
    batch_size: Videos = 1,
    version: Annotated[Literal["2.1", "2.2"], Field(description="of Wan Fun Control")] = "2.1",
) -> Conditioned:
    """Make a video that follows another one's edges, depth or poses (Wan Fun Control)."""


@node("wan_camera_conditioning", waits="wan")
def wan_camera_conditioning(
    positive: Positive,
    negative: Negative,
    vae: Encoder,
    start_image: Start = None,
    image_encoder: Seeing = None,
    seen_image: Seen = None,
    crop: Crop = "center",
    camera: Annotated[Pose | None, Field(description="how the camera moves; none leaves it to the prompt")] = None,
    speed: Annotated[float, Field(ge=0, le=10, description="how fast the camera moves")] = 1.0,
    focal_x: Annotated[Lens, Field(description="focal length as a share of the width")] = 0.5,
    focal_y: Annotated[Lens, Field(description="focal length as a share of the height")] = 0.5,
    center_x: Annotated[Lens, Field(description="centre of the lens as a share of the width")] = 0.5,
    center_y: Annotated[Lens, Field(description="centre of the lens as a share of the height")] = 0.5,
    width: VideoEdge = 832,
    height: VideoEdge = 480,
    length: Length = 81,
    batch_size: Videos = 1,
) -> Conditioned:
    """Make a video from its first frame, with a given movement of the camera (Wan Fun Camera)."""


@node("wan_track_conditioning", waits="wan")
def wan_track_conditioning(
    positive: Positive,
    negative: Negative,
    vae: Encoder,
    start_image: Annotated[Image, Field(description="the first frame")],
    image_encoder: Seeing = None,
    seen_image: Seen = None,
    crop: Crop = "center",
    tracks: Annotated[
        str,
        Field(max_length=LIMITS.text, description="ways of points as JSON: lists of {x, y} in pixels, one each frame"),
    ] = "[]",
    temperature: Annotated[float, Field(ge=1, le=1000, description="how sharply a way acts around its point")] = 220.0,
    top_k: Annotated[int, Field(ge=1, le=10, description="how many ways act on a place")] = 2,
    width: VideoEdge = 832,
    height: VideoEdge = 480,
    length: Length = 81,
    batch_size: Videos = 1,
) -> Conditioned:
    """Make a video in which points of the first frame move along given ways (ATI, Wang et al. 2025, arXiv:2505.22944)."""


@node("wan_vace_conditioning", waits="wan")
def wan_vace_conditioning(
    positive: Positive,
    negative: Negative,
    vae: Encoder,
    control_video: Control = None,
    control_masks: Annotated[Mask | None, Field(description="1 = make anew, one mask each frame")] = None,
    reference_image: Reference = None,
    strength: Annotated[float, Field(ge=0, le=1000, description="factor on what the control adds")] = 1.0,
    width: VideoEdge = 832,
    height: VideoEdge = 480,
    length: Length = 81,
    batch_size: Videos = 1,
) -> Trimmed:
    """Make, extend or repaint a video by frames, masks and a reference (VACE, Jiang et al. 2025, arXiv:2503.07598)."""


@node("wan_subject_conditioning", waits="wan")
def wan_subject_conditioning(
    positive: Positive,
    negative: Negative,
    vae: Encoder,
    images: Annotated[Image | None, Field(description="pictures of what the video shows, one each subject")] = None,
    width: VideoEdge = 832,
    height: VideoEdge = 480,
    length: Length = 81,
    batch_size: Videos = 1,
) -> Subjects:
    """Make a video of the subjects in pictures (Phantom, Liu et al. 2025, arXiv:2502.11079)."""


@node("wan_speech_conditioning", waits="wan")
def wan_speech_conditioning(
    positive: Positive,
    negative: Negative,
    vae: Encoder,
    audio_encoder: SoundEncoderName = "",
    audio: Spoken = None,
    reference_image: Reference = None,
    control_video: Control = None,
    reference_motion: Before = None,
    width: VideoEdge = 832,
    height: VideoEdge = 480,
    length: Length = 77,
    batch_size: Videos = 1,
    model: Annotated[Literal["s2v", "humo"], Field(description="Wan S2V, or HuMo")] = "s2v",
) -> Conditioned:
    """Make a video of somebody who speaks what is heard (Wan S2V, arXiv:2508.18621; HuMo, arXiv:2509.08519)."""


@node("wan_speech_continuation", waits="wan")
def wan_speech_continuation(
    positive: Positive,
    negative: Negative,
    vae: Encoder,
    latent: Annotated[Latent, Field(description="the part before")],
    audio_encoder: SoundEncoderName = "",
    audio: Spoken = None,
    reference_image: Reference = None,
    control_video: Control = None,
    length: Length = 77,
) -> Conditioned:
    """Go on with a video that ``wan_speech_conditioning`` began."""


@node("wan_animate_conditioning", waits="wan")
def wan_animate_conditioning(
    positive: Positive,
    negative: Negative,
    vae: Encoder,
    reference_image: Reference = None,
    face_video: Annotated[Image | None, Field(description="frames of a face to take the expression from")] = None,
    pose_video: Annotated[Image | None, Field(description="frames of drawn poses")] = None,
    background_video: Annotated[Image | None, Field(description="frames to put the character into")] = None,
    character_mask: Annotated[
        Mask | None, Field(description="1 where the character stands, one mask each frame")
    ] = None,
    continue_motion: Before = None,
    image_encoder: Seeing = None,
    seen_image: Seen = None,
    crop: Crop = "center",
    continue_frames: Annotated[Length, Field(description="how many of the frames before are used")] = 5,
    offset: Annotated[int, Field(ge=0, le=LIMITS.frames, description="the frame of the videos to begin at")] = 0,
    width: VideoEdge = 832,
    height: VideoEdge = 480,
    length: Length = 77,
    batch_size: Videos = 1,
) -> Animated:
    """Move a character as somebody in a video moves, or put it in that one's place (Wan Animate, arXiv:2509.14055)."""
