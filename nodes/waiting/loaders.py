"""Loaders and patches of families that run whole (``run_pipeline``), but not by components."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from graphflow.spec.decorator import ModelName, node
from graphflow.values import ControlNet, Image, Mask, Model, TextEncoder, Vae

from ..models.loaders import load_text_encoder

__all__ = ["apply_control_patch", "load_control_patch", "load_family_text_encoder"]

Family = Literal[
    "stable_cascade", "sd3", "stable_audio", "mochi", "ltxv", "pixart", "cosmos", "lumina2", "wan", "hidream", "chroma",
    "ace", "omnigen2", "qwen_image", "hunyuan_image", "hunyuan_video", "hunyuan_video_15", "flux", "flux2", "kandinsky5",
    "kandinsky5_image", "ovis", "longcat_image", "newbie", "krea2", "cogvideox", "other",
]  # fmt: skip
"""Families whose text encoders are named apart."""

EncoderName = Annotated[
    str, ModelName("text_encoder"), Field(description="a further text encoder; empty where there is none")
]
PatchName = Annotated[str, ModelName("controlnet"), Field(min_length=1, description="the patch's file")]


@node(
    "load_family_text_encoder",
    waits="{family}",
    unless={"family": ("chroma", "flux", "flux2", "lumina2", "qwen_image", "sd3")},
)
def load_family_text_encoder(
    model: Annotated[str, ModelName("text_encoder"), Field(min_length=1, description="a text encoder")],
    model_2: EncoderName = "",
    model_3: EncoderName = "",
    model_4: EncoderName = "",
    family: Annotated[Family, Field(description="the family that they condition")] = "other",
) -> TextEncoder:
    """Name up to four text encoders of a family that does not run by components yet.

    The node keeps such a graph whole and its models listed. For a family that does run it is ``load_text_encoder``.
    """
    return load_text_encoder(model, model_2, model_3, family)


@node("load_control_patch", waits="a transformer with control patches")
def load_control_patch(control_net: PatchName) -> ControlNet:
    """Name a control patch of a transformer (DiffSynth, Fun, USO)."""


@node("apply_control_patch", waits="a transformer with control patches")
def apply_control_patch(
    model: Annotated[Model, Field(description="the denoising model")],
    control_net: Annotated[ControlNet, Field(description="the patch")],
    image: Annotated[Image, Field(description="the picture that it reads")],
    vae: Annotated[Vae | None, Field(description="the autoencoder that encodes the picture")] = None,
    mask: Annotated[Mask | None, Field(description="where it acts; none is everywhere")] = None,
    strength: Annotated[float, Field(ge=-10, le=10, description="factor on what the patch adds")] = 1.0,
) -> Model:
    """Steer a transformer by a picture through a control patch."""
