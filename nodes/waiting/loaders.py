"""Loaders and patches of families that run whole (``run_pipeline``), but not by components."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from graphflow.spec.decorator import ModelName, node
from graphflow.values import TextEncoder

from ..models.loaders import load_text_encoder

__all__ = ["load_family_text_encoder"]

Family = Literal[
    "stable_cascade", "sd3", "stable_audio", "mochi", "ltxv", "pixart", "cosmos", "lumina2", "wan", "hidream", "chroma",
    "ace", "omnigen2", "qwen_image", "hunyuan_image", "hunyuan_video", "hunyuan_video_15", "flux", "flux2", "kandinsky5",
    "kandinsky5_image", "ovis", "longcat_image", "newbie", "krea2", "cogvideox", "other",
]  # fmt: skip
"""Families whose text encoders are named apart."""

EncoderName = Annotated[
    str, ModelName("text_encoder"), Field(description="a further text encoder; empty where there is none")
]


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
