"""The style of a picture, as tokens that a transformer reads beside the text."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import node
from graphflow.values import ControlNet, Image, ImageEncoder, Model
from graphflow.values.image_prompts import StyleTokens

from .control import STYLE

__all__ = ["apply_style_patch"]


@node("apply_style_patch", lane="device")
def apply_style_patch(
    model: Annotated[Model, Field(description="the denoising model")],
    control_net: Annotated[ControlNet, Field(description="the patch")],
    image_encoder: Annotated[ImageEncoder, Field(description="the image encoder")],
    image: Annotated[Image, Field(description="the picture")],
    crop: Annotated[Literal["center", "none"], Field(description="how the picture is made square")] = "center",
) -> Model:
    """Take the style of a picture through a patch (USO for FLUX.1); several add up, and so do the pictures of a batch.

    Wu et al. 2025, arXiv:2508.18966. The LoRA that was published with it belongs to it.

    Raises:
        InvalidInputError: The patch is a ControlNet, or reads another image encoder. When the model is used: it is of
            another family or width.
    """
    if control_net.files[0].part != STYLE:
        raise InvalidInputError(
            "it is no patch for styles", where="control_net", advice="steer by a ControlNet with apply_control_patch"
        )
    with control_net.use() as projector:
        with image_encoder.use() as encoder:
            states = encoder.states(image.pixels, crop, projector.layers)
        if states[0].shape[1:] != projector.reads:
            raise InvalidInputError(
                f"the patch reads {projector.reads[0]} tokens of width {projector.reads[1]}, the image encoder makes"
                f" {states[0].shape[1]} of width {states[0].shape[2]}",
                where="image_encoder",
                advice="USO goes with sigclip_vision_patch14_384",
            )
        tokens = projector.tokens(states)
    return model.hooked(StyleTokens(tokens=tokens.flatten(0, 1)[None]))
