"""Diffusers configs of Z-Image's transformers, from the names and shapes of their tensors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import Config, Description, Part
from graphflow.modelfiles.flow_times import FlowTimes
from graphflow.modelfiles.formats import read_header
from graphflow.modelfiles.header import TensorInfo
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

VARIANT = "z_image"
CONTROL = "ZImageControlNetModel"
SHIFT = 3.0
"""Time shift that ComfyUI and the distilled model's authors have."""
TEMPLATE = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
"""What the language model is asked; `{}` is the prompt."""
_PATCH = 2
_LAYERS, _REFINERS = 30, 2
"""Of the published transformers; ControlNets steer every so many layers."""
_REFINED_BY = "add_control_noise_refiner"
_CONTROL_LAYER = re.compile(r"^control_layers\.(\d{1,3})\.")
_CONTROL_REFINER = re.compile(r"^control_noise_refiner\.(\d{1,3})\.")
_BLOCK = re.compile(r"^(layers|noise_refiner)\.(\d{1,3})\.")


def infer_transformer(shapes: Shapes, where: str) -> Inferred:
    """Config of a `ZImageTransformer2DModel`, in the authors' or in Diffusers' naming.

    Args:
        shapes: The transformer's tensors, without prefix.
        where: The file, for errors.

    Raises:
        ModelFormatError: The tensors do not form such a transformer.
    """
    first = shape_of(shapes, "x_embedder.weight", "all_x_embedder.2-1.weight", dims=2)
    last = shape_of(shapes, "final_layer.linear.weight", "all_final_layer.2-1.linear.weight", dims=2)
    text = shape_of(shapes, "cap_embedder.1.weight", dims=2)
    norm = shape_of(
        shapes, "noise_refiner.0.attention.k_norm.weight", "noise_refiner.0.attention.norm_k.weight", dims=1
    )
    if not (first and last and text and norm) or first[0] % norm[0] or first[1] != last[0] or first[1] % _PATCH**2:
        raise ModelFormatError("the Z-Image transformer lacks its first or last layers", where=where)
    if missing := [name for name in ("x_pad_token", "cap_pad_token") if name not in shapes]:
        raise ModelFormatError(f"the Z-Image transformer lacks its {' and '.join(missing)}", where=where)
    blocks: dict[str, set[str]] = {}
    for name in shapes:
        if match := _BLOCK.match(name):
            blocks.setdefault(match[1], set()).add(match[2])
    heads = first[0] // norm[0]
    facts: Config = {
        "in_channels": first[1] // _PATCH**2,
        "dim": first[0],
        "n_layers": len(blocks.get("layers", ())),
        "n_refiner_layers": len(blocks.get("noise_refiner", ())),
        "n_heads": heads,
        "n_kv_heads": heads,
        "cap_feat_dim": text[1],
    }
    # Positions have three axes: the place in the text takes a quarter of a head, row and column share the rest.
    quarter = norm[0] // 4
    defaults: Config = {
        "axes_dims": [quarter, (norm[0] - quarter) // 2, (norm[0] - quarter) // 2],
        "axes_lens": [1536, 512, 512],
    }
    return Inferred("ZImageTransformer2DModel", VARIANT, facts, defaults, frozenset(defaults))


def infer_control(shapes: Shapes, where: str) -> Inferred:
    """Config of a `ZImageControlNetModel`.

    Args:
        shapes: Its tensors, without prefix.
        where: The file, for errors.

    Raises:
        ModelFormatError: The tensors do not form one.
    """
    first = shape_of(shapes, "control_all_x_embedder.2-1.weight", dims=2)
    norm = shape_of(
        shapes, "control_layers.0.attention.norm_k.weight", "control_layers.0.attention.k_norm.weight", dims=1
    )
    if not (first and norm) or first[0] % norm[0] or first[1] % _PATCH**2:
        raise ModelFormatError("the Z-Image ControlNet lacks its first layers", where=where)
    layers = {int(match[1]) for name in shapes if (match := _CONTROL_LAYER.match(name))}
    refiners = {int(match[1]) for name in shapes if (match := _CONTROL_REFINER.match(name))}
    steers_refiner = "control_noise_refiner.0.after_proj.weight" in shapes
    heads = first[0] // norm[0]
    facts: Config = {
        "control_in_dim": first[1] // _PATCH**2,
        "dim": first[0],
        "n_heads": heads,
        "n_kv_heads": heads,
        "n_refiner_layers": len(refiners) or _REFINERS,
        _REFINED_BY: "control_noise_refiner" if steers_refiner else None if refiners else "control_layers",
        "control_refiner_layers_places": [*sorted(refiners)] if steers_refiner else [*range(_REFINERS)],
    }
    step = max(_LAYERS // len(layers), 1)
    defaults: Config = {"control_layers_places": [number * step for number in sorted(layers)]}
    return Inferred(CONTROL, VARIANT, facts, defaults, frozenset(defaults))


def schedule(variant: str) -> Config:
    """The config of Diffusers' scheduler, as the distilled model was published."""
    return {
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "num_train_timesteps": 1000,
        "shift": SHIFT,
        "use_dynamic_shifting": False,
    }


def times(description: Description) -> FlowTimes:
    """The noise levels, whatever the model."""
    return FlowTimes(shift=SHIFT)


def settled_control(part: Part) -> Config:
    """The config of a ControlNet: layers that refine the picture may be there and untrained, as version 2.0 was published.

    Others do it then; only the weights tell.
    """
    if part.config.get(_REFINED_BY) != "control_noise_refiner" or not any(map(_is_untrained, _first_layers(part))):
        return part.config
    return {**part.config, _REFINED_BY: "control_layers"}


def _first_layers(part: Part) -> Iterator[tuple[Path, TensorInfo]]:
    name = f"{part.prefix}control_noise_refiner.0.before_proj.weight"
    for path in part.files:
        if name in (tensors := read_header(path).tensors):
            yield path, tensors[name]


def _is_untrained(stored: tuple[Path, TensorInfo]) -> bool:
    """Whether the first row of a tensor is zeros."""
    path, tensor = stored
    with path.open("rb") as file:
        file.seek(tensor.start)
        return not any(file.read(tensor.size // tensor.shape[0]))
