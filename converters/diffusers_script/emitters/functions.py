"""Nodes on pictures, masks and latents that are plain functions on tensors: a script carries the function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import signature
from typing import Any

from ..graph import Given
from ..handles import Decoding, EmptyLatent, Latents, Masks, Pictures, Pixels, Sampling, Scalar, Sequence
from ..layout import Expression, call, flat, listed
from ..script import UnsupportedError
from .base import Emission, Emitter

PLAIN: Mapping[str, str] = {
    **{
        name: name
        for name in (
            "pad_for_outpaint", "solid_mask", "rectangle_mask", "mask_from_color", "mask_to_image", "invert_mask",
            "grow_mask", "feather_mask", "blur_mask", "threshold_mask", "stitch_images", "solid_image",
            "composite_images", "blur_image", "sharpen_image", "invert_image", "adjust_image", "match_colors",
            "rgb_to_yuv", "yuv_to_rgb", "join_alpha", "split_alpha", "multiply_latent", "concat_latents", "canny_edges",
            "sharpen_latent", "tonemap_latent", "mask_bounds", "add_image_noise", "composite_latents", "crop_latent",
            "cut_latent", "place_image", "shift_hsv",
        )
    },
    "crop_image": "crop_rectangle",
    "crop_mask": "crop_rectangle",
    "gradient_image": "color_gradient",
    "rotate_image": "rotate",
    "rotate_latent": "rotate",
}  # fmt: skip
"""The engine's function on tensors by node type; its parameters are the node's."""

CHOSEN: Mapping[str, tuple[str, str, str]] = {
    "mask_from_image": ("channel", "masks", "MASK_CHANNELS"),
    "compose_masks": ("operation", "masks", "COMPOSITIONS"),
    "morphology": ("operation", "filters", "MORPHOLOGY"),
    "quantize_image": ("dither", "filters", "DITHERS"),
    "blend_images": ("mode", "blending", "BLENDS"),
    "pad_image": ("fill", "shapes", "PADDINGS"),
    "flip_image": ("direction", "shapes", "FLIPS"),
    "flip_latent": ("direction", "shapes", "FLIPS"),
    "blend_latents": ("method", "latents", "LATENT_BLENDS"),
    "combine_latents": ("operation", "latents", "LATENT_SUMS"),
    "fill_masked_image": ("method", "filling", "FILLINGS"),
}
"""Node types with one function for each value of a parameter: it, and where the engine has their table."""


def function_of(node_type: str, choice: Callable[[str], Any]) -> tuple[str, frozenset[str]]:
    """The engine's function for a node, and those of the node's parameters that it has no use for.

    Args:
        node_type: The node.
        choice: Tells the value of a parameter that chooses the function.
    """
    if node_type in PLAIN:
        return PLAIN[node_type], frozenset()
    parameter, module, table = CHOSEN[node_type]
    functions = getattr(import_module(f"graphflow.pixels.{module}"), table)
    function = functions[choice(parameter)]
    unused = {parameter, *({"color"} if node_type == "pad_image" else ())} - set(signature(function).parameters)
    return function.__name__, frozenset(unused)


UNKNOWN = object()
"""Stands for the scale of latents before the first of them is seen."""


def function(emission: Emission) -> dict[str, Any]:
    """A call of the engine's function for the node."""
    name, unused = function_of(emission.node.type, emission.fixed)
    return call_of(emission, name, unused)


def call_of(
    emission: Emission, function: str, unused: frozenset[str] = frozenset(), **more: Expression
) -> dict[str, Any]:
    """A call of a function with the node's inputs, but for those that it has no use for."""
    node, script = emission.node, emission.script
    positional: list[Expression] = []
    named: dict[str, Expression] = {}
    scaled_for: Any = UNKNOWN
    for name in node.values:
        found = emission.inputs[name]
        if name in unused:
            continue
        if isinstance(found, Given):
            if found.value is None or emission.is_default(name, node.standard.get(name)):
                continue
            named[name] = script.value(found)
        elif isinstance(found, Scalar):
            named[name] = found.expression
        else:
            variable, scaled_for = _variable(emission, found, scaled_for)
            if named or list(node.values).index(name) != len(positional):
                named[name] = variable
            else:
                positional.append(variable)
    emission.begin()
    script.need(function)
    made = call(function, *positional, **named, **more)
    if len(node.outputs) == 1:
        names = [emission.assign(made)]
    else:
        names = [script.name(output) for output in node.outputs]
        script.add(f"{', '.join(names)} = ", made)
    return {
        output: _handle(emission, output, name, scaled_for) for output, name in zip(node.outputs, names, strict=True)
    }


def _variable(emission: Emission, found: Any, scaled_for: Any) -> tuple[Expression, Any]:
    if isinstance(found, tuple | Sequence):
        parts = found if isinstance(found, tuple) else found.items
        return listed(flat(_variable(emission, part, UNKNOWN)[0]) for part in parts), scaled_for
    if isinstance(found, Masks):
        return found.variable, scaled_for
    if isinstance(found, Latents | Sampling):
        latents = emission.writer.latents(found) if isinstance(found, Sampling) else found
        if latents.mask:
            raise UnsupportedError("latents with a noise mask cannot be changed in scripts; set the mask afterwards")
        if scaled_for is not UNKNOWN and (scaled_for is None) != (latents.scaled_for is None):
            raise UnsupportedError("latents from files cannot be mixed with others in scripts before they are sampled")
        return latents.variable, latents.scaled_for
    if isinstance(found, Pixels | Decoding | Pictures):
        return emission.pixels_of(found).variable, scaled_for
    if isinstance(found, EmptyLatent):
        raise UnsupportedError("empty latents cannot be changed in scripts")
    raise UnsupportedError("one of its inputs is nothing that a function on tensors takes")


def _handle(emission: Emission, output: str, variable: str, scaled_for: Any) -> Any:
    kind = emission.node.makes[output]
    if kind == "image":
        return Pixels(variable)
    if kind == "mask":
        return Masks(variable)
    return Latents(variable, scaled_for) if kind == "latent" else Scalar(variable)


def porter_duff(emission: Emission) -> dict[str, Any]:
    """The operator is a function, too."""
    from graphflow.pixels.alpha import PORTER_DUFF

    operator = PORTER_DUFF[emission.fixed("mode")].__name__
    emission.script.need(operator)
    return call_of(emission, "porter_duff", frozenset({"mode"}), operator=operator)


EMITTERS: dict[str, Emitter] = {**dict.fromkeys((*PLAIN, *CHOSEN), function), "porter_duff": porter_duff}
