"""Nodes that make pictures larger with a network."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from graphflow import runtime
from graphflow.errors import LimitError, ModelFormatError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import ModelName, node
from graphflow.values import Image, UpscaleModel

__all__ = ["load_upscale_model", "upscale_image_with_model"]


@node("load_upscale_model")
def load_upscale_model(
    model: Annotated[
        str,
        ModelName("upscale_model"),
        Field(min_length=1, description="an upscaler or restorer: ESRGAN, SwinIR, HAT, DAT, SPAN and many others"),
    ],
) -> UpscaleModel:
    """Name an upscaler; spandrel recognises the architecture when it is loaded.

    Raises:
        ModelNotFoundError: The name resolves to nothing.
        ModelFormatError: The file is a model of another kind.
    """
    models = runtime.current().models
    if "upscaler" not in models.parts(model, "upscale_model"):
        raise ModelFormatError("it holds no upscaler", where=model)
    return UpscaleModel(files=(models.find(model, "upscale_model", part="upscaler"),))


@node("upscale_image_with_model", lane="device")
def upscale_image_with_model(
    upscale_model: Annotated[UpscaleModel, Field(description="the upscaler")],
    image: Annotated[Image, Field(description="pictures to make larger, or to repair with a model of scale 1")],
    tile: Annotated[
        int,
        Field(ge=0, le=4096, description="edge in pixels of the tiles that are computed one by one; 0 takes it whole"),
    ] = 512,
    overlap: Annotated[
        int, Field(ge=0, le=1024, description="pixels that neighbouring tiles share, so that no seam is seen")
    ] = 32,
) -> Image:
    """Upscale pictures (B, 3 or 4, H, W) with a network, in tiles that fade into each other.

    The factor is the model's own. An alpha channel is enlarged bilinearly. Where memory runs out, the tiles are halved.

    Raises:
        LimitError: The result would be too large.
        NonFiniteError: The network makes NaN.
    """
    import torch
    from torch.nn import functional

    with upscale_model.use() as loaded:
        scale = loaded.network.scale
        height, width = (edge * scale for edge in image.pixels.shape[-2:])
        if height * width > LIMITS.pixels or max(height, width) > LIMITS.edge:
            raise LimitError(
                f"the result would be {width}x{height} pixels, more than {LIMITS.pixels:,}",
                where="image",
                advice="make the picture smaller before",
            )
        pixels = loaded.upscale(image.pixels[:, :3], tile, overlap)
    if image.pixels.shape[1] == 4:
        alpha = functional.interpolate(image.pixels[:, 3:], size=(height, width), mode="bilinear")
        pixels = torch.cat([pixels, alpha], dim=1)
    return replace(image, pixels=pixels)
