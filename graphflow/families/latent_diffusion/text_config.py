"""transformers configs of text and image encoders, from the names and shapes of their tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from graphflow.errors import ModelFormatError
from graphflow.families.latent_diffusion.key_names import openclip_vision_places
from graphflow.families.latent_diffusion.unet_config import HEAD_WIDTH
from graphflow.modelfiles.description import Config
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

_VISION_MARK = "vision_model.embeddings.patch_embedding.weight"
VARIANTS = {768: "clip_l", 1024: "openclip_h", 1280: "openclip_bigg"}
"""Width to the encoder it speaks for."""


@dataclass(frozen=True, slots=True)
class Found:
    """A text encoder in a file.

    Attributes:
        prefix: What its keys start with, up to and including `text_model.`'s parent.
        keys: Naming after the prefix.
    """

    prefix: str
    keys: Literal["diffusers", "openclip"]


def find_text_encoders(shapes: Shapes) -> Iterator[Found]:
    """CLIP text encoders in a file, in the file's order of first mention sorted by prefix."""
    for name in sorted(shapes):
        if name.endswith("embeddings.token_embedding.weight"):
            prefix = name.removesuffix("embeddings.token_embedding.weight").removesuffix("text_model.")
            yield Found(prefix, "diffusers")
        elif name.endswith("token_embedding.weight"):
            prefix = name.removesuffix("token_embedding.weight")
            if prefix + "positional_embedding" in shapes:
                yield Found(prefix, "openclip")


def find_image_encoder(shapes: Shapes) -> Found | None:
    """The image encoder in a file, if there is one."""
    for name in shapes:
        if name.endswith(_VISION_MARK):
            return Found(name.removesuffix(_VISION_MARK), "diffusers")
        if name.endswith("class_embedding"):
            prefix = name.removesuffix("class_embedding")
            if prefix + "conv1.weight" in shapes:
                return Found(prefix, "openclip")
    return None


def infer_text_encoder(
    shapes: Shapes, keys: str, where: str, *, with_projection: bool, drop_last: bool = False
) -> Inferred:
    """Config of a `CLIPTextModel` or `CLIPTextModelWithProjection`.

    Args:
        shapes: The encoder's tensors, without prefix.
        keys: `diffusers` or `openclip`.
        where: The file, for errors.
        with_projection: Whether the pooled output goes through the projection (SDXL's second encoder).
        drop_last: Leave out the last layer, as Diffusers does for SD 2.x, whose text is read before it.

    Raises:
        ModelFormatError: The tensors do not form a CLIP text encoder.
    """
    stem = "" if keys == "openclip" else ("text_model." if any(key.startswith("text_model.") for key in shapes) else "")
    names = (
        ("token_embedding.weight", "positional_embedding", "transformer.resblocks.0.mlp.c_fc.weight", "text_projection")
        if keys == "openclip"
        else (
            stem + "embeddings.token_embedding.weight",
            stem + "embeddings.position_embedding.weight",
            stem + "encoder.layers.0.mlp.fc1.weight",
            "text_projection.weight",
        )
    )
    tokens, positions, inner, projection = (shape_of(shapes, name, dims=2) for name in names)
    if not (tokens and positions and inner) or positions[1] != tokens[1]:
        raise ModelFormatError("the text encoder lacks embeddings or layers", where=where)
    count = _layers(shapes, "transformer.resblocks." if keys == "openclip" else stem + "encoder.layers.")
    width = tokens[1]
    variant = VARIANTS.get(width, "")
    vocabulary = tokens[0]
    facts: Config = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "max_position_embeddings": positions[0],
        "intermediate_size": inner[0],
        "num_hidden_layers": count - 1 if drop_last and count > 1 else count,
    }
    if projection and with_projection:
        facts["projection_dim"] = projection[1] if keys == "openclip" else projection[0]
    heads = width // HEAD_WIDTH if width % HEAD_WIDTH == 0 else next(n for n in (8, 4, 2, 1) if width % n == 0)
    defaults: Config = {
        "num_attention_heads": heads,
        "hidden_act": "quick_gelu" if keys == "diffusers" and variant in ("", "clip_l") else "gelu",
        "layer_norm_eps": 1e-5,
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
        "pad_token_id": vocabulary - 1 if variant == "clip_l" else (0 if vocabulary == 49408 else vocabulary - 1),
    }
    if "projection_dim" not in facts:
        defaults["projection_dim"] = width
    certain = {"layer_norm_eps"}
    if variant and vocabulary == 49408:
        certain |= set(defaults)
    class_name = "CLIPTextModelWithProjection" if with_projection else "CLIPTextModel"
    return Inferred(class_name, variant, facts, defaults, frozenset(certain))


def infer_image_encoder(shapes: Shapes, where: str) -> Inferred:
    """Config of a `CLIPVisionModelWithProjection`, or of a `SiglipVisionModel`, which has no token for the whole picture.

    Raises:
        ModelFormatError: The tensors do not form one.
    """
    if "conv1.weight" in shapes:
        shapes = _as_transformers(shapes)
    patch = shape_of(shapes, "vision_model.embeddings.patch_embedding.weight", dims=4)
    positions = shape_of(shapes, "vision_model.embeddings.position_embedding.weight", dims=2)
    inner = shape_of(shapes, "vision_model.encoder.layers.0.mlp.fc1.weight", dims=2)
    if not (patch and positions and inner):
        raise ModelFormatError("the image encoder lacks embeddings or layers", where=where)
    width = patch[0]
    if math.isqrt(positions[0]) ** 2 == positions[0]:
        return _siglip(shapes, patch, positions[0], inner[0])
    projection = shape_of(shapes, "visual_projection.weight", dims=2)
    head = {1280: 80, 1664: 104}.get(width, HEAD_WIDTH)
    facts: Config = {
        "hidden_size": width,
        "intermediate_size": inner[0],
        "num_hidden_layers": (layers := _layers(shapes, "vision_model.encoder.layers.")),
        "patch_size": patch[2],
        "num_channels": patch[1],
        "image_size": round((positions[0] - 1) ** 0.5) * patch[2],
    }
    if projection:
        facts["projection_dim"] = projection[0]
    defaults: Config = {
        "num_attention_heads": max(1, width // head),
        "hidden_act": "quick_gelu" if layers == 24 else "gelu",  # ViT-L is OpenAI's, the deeper ones are OpenCLIP's
        "layer_norm_eps": 1e-5,
    }
    known = width in (768, 1024, 1280, 1664)
    variant = {1024: "clip_vision_l", 1280: "clip_vision_h", 1664: "clip_vision_g"}.get(width, "")
    certain = frozenset(defaults) if known else frozenset({"layer_norm_eps"})
    return Inferred("CLIPVisionModelWithProjection", variant, facts, defaults, certain)


def _as_transformers(shapes: Shapes) -> Shapes:
    """The shapes of an OpenCLIP image encoder by the names of the transformers class."""
    found: dict[str, tuple[int, ...]] = {}
    for key, shape in shapes.items():
        for name, change in openclip_vision_places(key):
            size = tuple(shape)
            if change == "transpose":
                size = size[::-1]
            elif change:
                size = (size[0] // 3, *size[1:])
            found[name if name.startswith("visual_projection") else f"vision_model.{name}"] = size
    return found


def _siglip(shapes: Shapes, patch: tuple[int, ...], positions: int, inner: int) -> Inferred:
    width = patch[0]
    facts: Config = {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": _layers(shapes, "vision_model.encoder.layers."),
        "patch_size": patch[2],
        "num_channels": patch[1],
        "vision_use_head": any(name.startswith("vision_model.head.") for name in shapes),
    }
    side = round(positions**0.5) * patch[2]
    defaults: Config = {
        "image_size": 384 if side == 378 else side,  # as published, where 14 x 14 pixels leave a margin
        "num_attention_heads": max(1, width // (72 if width == 1152 else HEAD_WIDTH)),
        "hidden_act": "gelu_pytorch_tanh",
        "layer_norm_eps": 1e-5,  # ComfyUI's; transformers has 1e-6, which is 2.5e-5 off
    }
    return Inferred(
        "SiglipVisionModel", "siglip", facts, defaults, frozenset({"image_size", "hidden_act", "layer_norm_eps"})
    )


def _layers(shapes: Shapes, start: str) -> int:
    """How many numbers follow a beginning: another encoder in the file has a beginning of its own."""
    return len({name[len(start) :].partition(".")[0] for name in shapes if name.startswith(start)})
