"""LoRA."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..graph import Given
from ..models import ModelPart, Patch
from ..script import UnsupportedError
from .adapters import METHODS, apply_adapter
from .base import Emission, Emitter
from .loaders import constant_path
from .stored import stored


def apply_lora(emission: Emission) -> dict[str, Any]:
    """A LoRA on a model and, where linked, its text encoder; loaded with the pipeline."""
    model, encoder = emission.part("model"), emission.inputs["text_encoder"]
    description = emission.described("lora")
    targets = description.details.get("targets") or []
    has_text = any("text" in str(target) for target in targets) if isinstance(targets, list) else True
    emission.script.fixed(emission.inputs["lora"], "its layers decide what is written")
    path = constant_path(emission, "lora", "LORA", kind="Path")
    if description.variant in METHODS or description.details.get("format") == "lycoris":
        return apply_adapter(emission, path, encoder)
    if description.variant not in ("lora", ""):
        raise UnsupportedError(f"{description.variant} files cannot be written as a LoRA of Diffusers")
    results: dict[str, Any] = {"text_encoder": Given(None)}
    if not emission.is_default("strength", 0.0):
        patch = Patch(path, strength=emission.value("strength"), has_text=has_text)
        model = replace(model, patches=(*model.patches, patch))
    if isinstance(encoder, ModelPart):
        text_strength = emission.value("text_encoder_strength")
        if has_text and not emission.is_default("text_encoder_strength", 0.0):
            patch = Patch(path, text_strength=text_strength, has_text=True, rounded=stored(encoder))
            encoder = replace(encoder, patches=(*encoder.patches, patch))
        results["text_encoder"] = encoder
    else:
        emission.inputs["text_encoder_strength"]
    return {**results, "model": model}


EMITTERS: dict[str, Emitter] = {"apply_lora": apply_lora}
