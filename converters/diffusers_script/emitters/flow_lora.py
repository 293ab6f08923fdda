"""LoRA on models on a flow: the script adds the layers to the weights, by a table of what they are for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from graphflow.modelfiles.description import Part

from ..families import traits_of
from ..flows import described_network
from ..graph import Given
from ..models import Change, ModelPart
from ..script import UnsupportedError
from ..single_files import layers_table, tensor_names
from .base import Emission
from .loaders import constant_path
from .stored import stored


def apply_to_flow(emission: Emission) -> dict[str, Any]:
    """A LoRA on a transformer and, where linked, its text encoders."""
    model, encoder = emission.part("model"), emission.inputs["text_encoder"]
    emission.script.fixed(emission.inputs["lora"], "its layers decide what is written")
    path = constant_path(emission, "lora", "LORA", kind="Path")
    results: dict[str, Any] = {"model": model, "text_encoder": encoder}
    name = traits_of(model.base).network
    if not emission.is_default("strength", 0.0):
        part = described_network(model).parts[name]
        results["model"] = _changed(emission, model, {name: part}, path, emission.value("strength"))
    if not isinstance(encoder, ModelPart):
        emission.inputs["text_encoder_strength"]
        return {**results, "text_encoder": Given(None)}
    if not emission.is_default("text_encoder_strength", 0.0):
        strength = emission.value("text_encoder_strength")
        results["text_encoder"] = _changed(emission, encoder, _encoders(encoder), path, strength)
    return results


def _encoders(encoder: ModelPart) -> dict[str, Part]:
    """What is known of text encoders."""
    parts = encoder.base.description.parts
    return dict(encoder.base.encoders) or {
        name: part for name, part in parts.items() if name.startswith("text_encoder")
    }


def _changed(emission: Emission, owner: ModelPart, parts: Mapping[str, Part], path: str, strength: str) -> ModelPart:
    """A model or text encoders with the layers of the file that are for them."""
    for name, part in parts.items():
        table = _layers(emission, owner.base.family, name, part)
        if not table:
            continue
        names = emission.script.constant(f"{path}_{name}_layers", f'"""\n{table}\n"""')
        rounded = stored(owner) if name == "text_encoder" else ""
        arguments = (("path", path), ("names", names), ("strength", strength))
        change = Change("add_lora", name, arguments, rounded=rounded, alone=True)
        owner = replace(owner, patches=(*owner.patches, change))
    return owner


def _layers(emission: Emission, family: str, name: str, part: Part) -> str:
    """Rows of what layers of the file are for in a part.

    Raises:
        UnsupportedError: One is no plain LoRA.
    """
    import torch

    from graphflow.loading.lora import part_layers, read_lora
    from graphflow.loading.mapped import read_all
    from graphflow.loading.modules import build
    from graphflow.modelfiles.formats import read_header

    place = emission.use_of("lora").path
    if place is None:
        raise UnsupportedError("its file is not downloaded yet")
    file = Path(place)
    header = read_header(file)
    found = read_lora(read_all(file, file.name), file.name, header.metadata)
    part = replace(part, name=name)
    # A stand-in has no file; its class has the same tensors.
    names = tensor_names(part) if part.files else build(part).state_dict()
    shapes = dict.fromkeys(names, torch.Size())
    layers = part_layers(found.layers, part, shapes, family)
    rows: dict[str, list[Any]] = {}
    for tensor, layer in layers.matched.items():
        module, _, leaf = tensor.rpartition(".")
        stated = layer.alpha is not None and f"{layer.name}.alpha" not in header.tensors
        if (
            layer.method != "LoRA"
            or leaf != "weight"
            or layer.magnitude is not None
            or "mid" in layer.tensors
            or stated
        ):
            raise UnsupportedError(
                f"the layer {layer.name} of its file is no plain LoRA, which is all that scripts add"
            )
        rows.setdefault(layer.name, []).append((module, layer.taken))
    if layers.unmatched:
        emission.script.say(f"{emission.node.id}: no place for {', '.join(layers.unmatched)} of the LoRA")
    return layers_table(rows)
