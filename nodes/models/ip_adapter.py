"""Nodes that prompt by pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from graphflow import runtime
from graphflow.errors import InvalidInputError, ModelFormatError
from graphflow.spec.decorator import ModelName, node
from graphflow.values import Image, ImageEncoder, IPAdapter, Mask, Model
from graphflow.values.image_prompts import ImagePrompt

from ..choices import Share
from .control import never_acts

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["apply_ip_adapter", "load_image_encoder", "load_ip_adapter"]


@node("load_ip_adapter")
def load_ip_adapter(
    ip_adapter: Annotated[
        str,
        ModelName("ip_adapter"),
        Field(min_length=1, description="an IP-Adapter: plain, plus or full-face, FaceID's kinds, or InstantID's"),
    ],
) -> IPAdapter:
    """Name an IP-Adapter.

    Raises:
        ModelNotFoundError: The name resolves to nothing.
        ModelFormatError: The file holds none.
    """
    models = runtime.current().models
    if "ip_adapter" not in models.parts(ip_adapter, "ip_adapter"):
        raise ModelFormatError("it holds no IP-Adapter", where=ip_adapter)
    return IPAdapter(files=(models.find(ip_adapter, "ip_adapter", part="ip_adapter"),))


@node("load_image_encoder")
def load_image_encoder(
    image_encoder: Annotated[
        str, ModelName("image_encoder"), Field(min_length=1, description="a CLIP image encoder, file or folder")
    ],
) -> ImageEncoder:
    """Name a CLIP image encoder.

    Raises:
        ModelNotFoundError: The name resolves to nothing.
        ModelFormatError: The file holds none.
    """
    models = runtime.current().models
    if "image_encoder" not in models.parts(image_encoder, "image_encoder"):
        raise ModelFormatError("it holds no image encoder", where=image_encoder)
    return ImageEncoder(files=(models.find(image_encoder, "image_encoder", part="image_encoder"),))


@node("apply_ip_adapter", lane="device")
def apply_ip_adapter(
    model: Annotated[Model, Field(description="the denoising model")],
    ip_adapter: Annotated[IPAdapter, Field(description="the IP-Adapter")],
    image_encoder: Annotated[ImageEncoder, Field(description="the image encoder that the IP-Adapter was made with")],
    image: Annotated[Image, Field(description="pictures to take after; their middle squares are seen")],
    mask: Annotated[
        Mask | None, Field(description="where in the result each picture acts; one mask serves all pictures")
    ] = None,
    strength: Annotated[
        float,
        Field(ge=-1, le=5, description="how strongly; 0 not at all, 1 as trained, often more than the text can bear"),
    ] = 1.0,
    start: Annotated[Share, Field(description="share of the sampling at which it begins")] = 0.0,
    end: Annotated[Share, Field(description="share of the sampling at which it ends")] = 1.0,
    part: Annotated[
        Literal["all", "style", "layout", "style_and_layout"],
        Field(description="what the result takes after: everything, or with SDXL the style or the layout alone"),
    ] = "all",
    negative_image: Annotated[
        Image | None, Field(description="a picture that the result should not take after; none is an empty one")
    ] = None,
) -> Model:
    """Have the model take after pictures, beside the text; several adapters are applied by chaining.

    Ye et al. 2023, arXiv:2308.06721. A batch of pictures is seen side by side. Style and layout are those layers that
    InstantStyle names (Wang et al. 2024, arXiv:2404.02733).

    Raises:
        InvalidInputError: The number of masks or of negative pictures fits no pictures, or the image encoder is not the
            adapter's. When the model is used: the adapter is for another family, or `part` for one other than SDXL.
    """
    import torch

    if strength == 0.0 or never_acts(start, end):
        return model
    with ip_adapter.use() as adapter:
        if adapter.network.reads == "faces":
            raise InvalidInputError(
                f"the IP-Adapter {adapter.name!r} reads faces by a recogniser, not pictures by an image encoder",
                where="ip_adapter",
                advice="find_faces and apply_face_adapter take it",
            )
        pooled, wanted, black = adapter.network.pooled, adapter.network.image_width, adapter.black
    with image_encoder.use() as encoder:
        pixels = encoder.prepared(image.pixels)
        features = encoder.pooled(pixels) if pooled else encoder.patches(pixels)
        if negative_image is not None:
            unwanted = encoder.prepared(negative_image.pixels)
            nothing = encoder.pooled(unwanted) if pooled else encoder.patches(unwanted)
        elif pooled:
            blank = torch.zeros_like(image.pixels[:1])
            nothing = encoder.pooled(encoder.prepared(blank)) if black else torch.zeros_like(features[:1])
        else:
            nothing = encoder.patches(torch.zeros_like(pixels[:1]))
    if len(nothing) not in (1, len(features)):
        raise InvalidInputError(
            f"there are {len(nothing)} negative pictures for {len(features)} pictures",
            where="negative_image",
            advice="give one, or one for each",
        )
    if features.shape[-1] != wanted:
        raise InvalidInputError(
            f"the image encoder makes vectors of width {features.shape[-1]}, the IP-Adapter reads {wanted}",
            where="image_encoder",
            advice="most IP-Adapters of SD 1.5, and those of SDXL named 'vit-h', go with ViT-H; the others of SDXL with"
            " ViT-bigG; FLUX.1's with CLIP-L's (clip-vit-large-patch14)",
        )
    prompt = ImagePrompt(
        adapter=ip_adapter,
        features=features,
        nothing=nothing,
        masks=None if mask is None else masks_of(mask.values, len(features)),
        strength=strength,
        start=start,
        end=end,
        part=part,
    )
    return model.hooked(prompt)


def masks_of(values: Tensor, pictures: int) -> Tensor:
    """One mask a picture (n, H, W); one serves all."""
    if len(values) not in (1, pictures):
        raise InvalidInputError(
            f"there are {len(values)} masks for {pictures} pictures", where="mask", advice="give one, or one for each"
        )
    return values.expand(pictures, -1, -1).contiguous()
