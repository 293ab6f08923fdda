"""Nodes on pictures, masks and latents that are plain functions on tensors: a script carries the function."""

from __future__ import annotations

from typing import Any

from ..graph import Given
from ..handles import Decoding, EmptyLatent, Latents, Masks, Pictures, Pixels, Sampling, Scalar, Sequence
from ..layout import Expression, call, flat, listed
from ..script import UnsupportedError
from .base import Emission, Emitter

TENSOR_NODES = (
    "pad_for_outpaint", "solid_mask", "rectangle_mask", "mask_from_image", "mask_from_color", "mask_to_image",
    "invert_mask", "grow_mask", "feather_mask", "blur_mask", "threshold_mask", "crop_mask", "resize_mask",
    "compose_masks", "resize", "resize_and_pad", "crop_image", "pad_image", "flip_image", "rotate_image",
    "stitch_images", "repeat_images", "solid_image", "image_size", "composite_images", "blend_images", "blur_image",
    "sharpen_image", "morphology", "quantize_image", "invert_image", "adjust_image", "match_colors", "rgb_to_yuv",
    "yuv_to_rgb", "join_alpha", "split_alpha", "porter_duff", "flip_latent", "rotate_latent",
    "blend_latents", "combine_latents", "multiply_latent", "concat_latents", "canny_edges", "sharpen_latent",
    "tonemap_latent", "mask_bounds", "add_image_noise", "fill_masked_image",
)  # fmt: skip
"""Node types whose function scripts have under the same name, see ``pieces/f_nodes.py``."""

OWN_NODES = ("composite_latents", "crop_latent", "cut_latent")
"""The same, with functions that are written for scripts, see ``pieces/e_latents.py``."""


UNKNOWN = object()
"""Stands for the scale of latents before the first of them is seen."""


def function(emission: Emission) -> dict[str, Any]:
    """A call of the node's function."""
    node, script = emission.node, emission.script
    positional: list[Expression] = []
    named: dict[str, Expression] = {}
    scaled_for: Any = UNKNOWN
    for name in node.values:
        found = emission.inputs[name]
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
    script.need(node.type)
    made = call(node.type, *positional, **named)
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


EMITTERS: dict[str, Emitter] = dict.fromkeys((*TENSOR_NODES, *OWN_NODES), function)
