"""Prompts for SDXL with what it is told beside the text: sizes, crop, aesthetic score."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from graphflow.basics.prompt_syntax import embedding_names
from graphflow.limits import LIMITS
from graphflow.spec.decorator import FileNeed, node
from graphflow.values import Conditioning, TextEncoder

__all__ = ["encode_prompt_refiner", "encode_prompt_sdxl"]

Encoders = Annotated[TextEncoder, Field(description="SDXL's text encoders")]
Text = Annotated[str, Field(max_length=LIMITS.text)]
Size = Annotated[int, Field(ge=0, le=LIMITS.edge)]


def _embeddings(params: Mapping[str, Any]) -> Iterable[FileNeed]:
    for param in ("text", "text_l"):
        text = params.get(param)
        for name in embedding_names(text) if isinstance(text, str) else ():
            yield FileNeed(param, name, "embedding", optional=True)


@node("encode_prompt_sdxl", lane="device", map=True, needs=_embeddings)
def encode_prompt_sdxl(
    text_encoder: Encoders,
    text: Annotated[Text, Field(description="the prompt for the large encoder (OpenCLIP bigG)")] = "",
    text_l: Annotated[
        Text | None, Field(description="the prompt for the small encoder (CLIP L); none takes the same")
    ] = None,
    width: Annotated[Size, Field(description="width in pixels of the picture it should resemble")] = 1024,
    height: Annotated[Size, Field(description="its height")] = 1024,
    crop_x: Annotated[Size, Field(description="left edge of the crop it should resemble; 0 centres things")] = 0,
    crop_y: Annotated[Size, Field(description="upper edge of that crop")] = 0,
    target_width: Annotated[Size, Field(description="width in pixels that the picture will have")] = 1024,
    target_height: Annotated[Size, Field(description="height that it will have")] = 1024,
) -> Conditioning:
    """Encode a prompt for SDXL, one text for each encoder, with the sizes that it was trained on.

    Embedding (1, 77 k, 2048), pooled (1, 1280). Prompt syntax as in encode_prompt (Podell et al. 2023,
    arXiv:2307.01952, section 2.2).
    """
    extras = {
        "width": width,
        "height": height,
        "crop_w": crop_x,
        "crop_h": crop_y,
        "target_width": target_width,
        "target_height": target_height,
    }
    with text_encoder.use() as loaded:
        told: Conditioning = loaded.encode(text, {} if text_l is None else {"text_encoder": text_l})
    return _with_extras(told, extras)


@node("encode_prompt_refiner", lane="device", map=True, needs=_embeddings)
def encode_prompt_refiner(
    text_encoder: Encoders,
    text: Annotated[Text, Field(description="the prompt")] = "",
    aesthetic_score: Annotated[
        float, Field(ge=0, le=1000, description="how good it should look; 6 for the prompt, 2.5 for the negative one")
    ] = 6.0,
    width: Annotated[Size, Field(description="width in pixels of the picture it should resemble")] = 1024,
    height: Annotated[Size, Field(description="its height")] = 1024,
) -> Conditioning:
    """Encode a prompt for SDXL's refiner: embedding (1, 77 k, 1280), pooled (1, 1280), size and aesthetic score."""
    with text_encoder.use() as loaded:
        told: Conditioning = loaded.encode(text)
    return _with_extras(told, {"aesthetic_score": aesthetic_score, "width": width, "height": height})


def _with_extras(told: Conditioning, extras: Mapping[str, Any]) -> Conditioning:
    return Conditioning(entries=tuple(replace(entry, extras={**entry.extras, **extras}) for entry in told.entries))
