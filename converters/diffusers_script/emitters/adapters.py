"""Relatives of LoRA that Diffusers does not load: the script adds their layers to the weights itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from graphflow.modelfiles.formats import read_header

from ..families import family_of, text_parts
from ..graph import Given
from ..layout import quoted
from ..models import Change, ModelPart
from ..script import UnsupportedError
from .base import Emission
from .stored import stored

METHODS = frozenset({"loha", "lokr", "dora"})
"""Variants of LoRA files that are applied this way."""

UNETS, TEXT = ("lora_unet_", "lycoris_"), "lora_te_text_model_"
ROLES = re.compile(r"(alpha|dora_scale|hada_(w[12]_[ab]|t[12])|lokr_(w[12](_[ab])?|t2)|lora_(up|down|mid)\.weight)")


def apply_adapter(emission: Emission, path: str, encoder: Any) -> dict[str, Any]:
    """A LoHa, LoKr or DoRA file on a model and, where linked, its text encoder.

    Raises:
        UnsupportedError: Its layers are named otherwise than in the layout of kohya with the names of Diffusers.
    """
    model = emission.part("model")
    names = set(_layers(emission))
    unet = next((prefix for prefix in UNETS if any(name.startswith(prefix) for name in names)), UNETS[0])
    modules = family_of(model.base).tensor_names(model.base.description.parts["unet"]).modules
    known = tuple(f"{unet}{name.replace('.', '_')}_" for name in modules.values())
    text = {name for name in names if name.startswith(TEXT)}
    strange = {name for name in names - text if not f"{name}_".startswith(known)}
    if strange:
        raise UnsupportedError(f"the layer {min(strange)} of its file is none that scripts know")
    if text and len(text_parts(model.base)) > 1:
        raise UnsupportedError("its file has layers for one of several text encoders, which scripts do not change")
    result: dict[str, Any] = {"model": model, "text_encoder": Given(None)}
    if not emission.is_default("strength", 0.0):
        result["model"] = _changed(model, "unet", path, unet, emission.value("strength"))
    if isinstance(encoder, ModelPart):
        strength = emission.value("text_encoder_strength")
        changes = bool(text) and not emission.is_default("text_encoder_strength", 0.0)
        result["text_encoder"] = _changed(encoder, "text_encoder", path, TEXT, strength) if changes else encoder
    return result


def _changed(part: ModelPart, module: str, path: str, prefix: str, strength: str) -> ModelPart:
    rounded = stored(part) if module == "text_encoder" else ""
    arguments = (("path", path), ("prefix", quoted(prefix)), ("strength", strength))
    change = Change("apply_adapter", module, arguments, rounded=rounded)
    return replace(part, patches=(*part.patches, change))


def _layers(emission: Emission) -> Iterator[str]:
    """The names of the file's layers."""
    path = emission.use_of("lora").path
    if path is None:
        raise UnsupportedError("its file is not downloaded yet")
    for key in read_header(Path(path)).tensors:
        name, _, role = key.partition(".")
        if not ROLES.fullmatch(role):
            raise UnsupportedError(f"the tensor {key} of its file is none that scripts know")
        yield name
