"""LoRA."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from ..families import flow_of
from ..graph import Given
from ..models import ModelPart, Patch
from ..script import UnsupportedError
from .adapters import METHODS, apply_adapter, tensor_names
from .base import Emission, Emitter
from .flow_lora import apply_to_flow
from .loaders import constant_path
from .stored import stored

NAMED = re.compile(r"(unet|text_encoder(_2)?)\..+\.lora_[AB]\.weight")
"""Tensors that pipelines load under the names that they have."""

RENAMED = re.compile(
    r"lora_(unet|te[12]?)_\w+\.(alpha|lora_(down|up)\.weight)"
    r"|(unet|text_encoder(_2)?)\..+[._]lora(_linear_layer)?\.(down|up)\.weight"
)
"""Tensors in the older layouts, whose names and scales the script puts right."""


def apply_lora(emission: Emission) -> dict[str, Any]:
    """A LoRA on a model and, where linked, its text encoder; loaded with the pipeline."""
    model, encoder = emission.part("model"), emission.inputs["text_encoder"]
    description = emission.described("lora")
    if description.stands_in:
        raise UnsupportedError("the layers of its file decide what is written, and the file is not there")
    if flow_of(model.base) is not None:
        return apply_to_flow(emission)
    targets = description.details.get("targets") or []
    has_text = any("text" in str(target) for target in targets) if isinstance(targets, list) else True
    emission.script.fixed(emission.inputs["lora"], "its layers decide what is written")
    path = constant_path(emission, "lora", "LORA", kind="Path")
    renamed = not all(NAMED.fullmatch(name) for name in tensor_names(emission))
    plain = not renamed or all(RENAMED.fullmatch(name) for name in tensor_names(emission))
    if description.variant in METHODS or (description.variant == "lora" and not plain):
        return apply_adapter(emission, path, encoder)
    if description.variant != "lora":
        raise UnsupportedError(f"{description.variant} files cannot be written as a LoRA of Diffusers")
    results: dict[str, Any] = {"text_encoder": Given(None)}
    if not emission.is_default("strength", 0.0):
        patch = Patch(path, strength=emission.value("strength"), has_text=has_text, renamed=renamed)
        model = replace(model, patches=(*model.patches, patch))
    if isinstance(encoder, ModelPart):
        text_strength = emission.value("text_encoder_strength")
        if has_text and not emission.is_default("text_encoder_strength", 0.0):
            patch = Patch(path, text_strength=text_strength, has_text=True, rounded=stored(encoder), renamed=renamed)
            encoder = replace(encoder, patches=(*encoder.patches, patch))
        results["text_encoder"] = encoder
    else:
        emission.inputs["text_encoder_strength"]
    return {**results, "model": model}


EMITTERS: dict[str, Emitter] = {"apply_lora": apply_lora}
