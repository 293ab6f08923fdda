"""Pictures and masks."""

from __future__ import annotations

from typing import Any

from graphflow.nodes.plain.resolutions import PRESETS

from ..handles import Decoding, Masks, Pixels, Scalar
from ..layout import Expression, call, flat, literal, quoted
from .base import Emission, Emitter
from .functions import function
from .loaders import input_path


def load_image(emission: Emission) -> dict[str, Any]:
    """A picture from a file."""
    emission.begin()
    path = input_path(emission, "IMAGE")
    masked = any(link.node == emission.node.id and link.output == "mask" for link in emission.script.graph.readers)
    options = {"keep_alpha": "True"} if emission.fixed("keep_alpha") else {}
    if not masked and not options:
        emission.script.need("load_pixels")
        return {"image": Pixels(emission.assign(call("load_pixels", path), "image")), "mask": None}
    emission.script.need("load_image")
    image, mask = emission.script.name("image"), emission.script.name("mask")
    emission.script.add(f"{image}, {mask} = ", call("load_image", path, **options))
    return {"image": Pixels(image), "mask": Masks(mask)}


def load_mask(emission: Emission) -> Masks:
    """A mask from a file."""
    emission.begin()
    emission.script.need("load_mask")
    return Masks(emission.assign(call("load_mask", input_path(emission, "MASK"), emission.value("channel")), "mask"))


SIMPLE = frozenset({"nearest", "bilinear", "bicubic", "area", "lanczos"})


def resize(emission: Emission) -> Any:
    """Another size; what is unusual is left to the node's own function."""
    usual = {"megapixels": 0.0, "longest_edge": 0, "multiple_of": 1}
    if not all(emission.is_default(name, value) for name, value in usual.items()):
        return function(emission)
    method = emission.fixed("method")
    if method not in SIMPLE or any(isinstance(emission.inputs[name], Scalar) for name in ("width", "height", "scale")):
        return function(emission)
    pixels = emission.pixels("images")
    emission.begin()
    emission.script.need("resize_to")
    size = _size(emission, pixels.variable)
    extra: dict[str, Expression] = {} if emission.is_default("crop", "none") else {"crop": "True"}
    if emission.fixed("antialias") and method in ("bilinear", "bicubic"):
        extra["antialias"] = "True"
    resized = call("resize_to", pixels.variable, size, flat(literal(method)), **extra)
    return Pixels(emission.assign(resized.then(".clamp(0, 1)")))


def resize_to_preset(emission: Emission) -> Pixels:
    """The size, of those that a model was trained with, whose shape is nearest."""
    preset, method = emission.fixed("preset"), emission.fixed("method")
    pixels = emission.pixels("images")
    emission.begin()
    emission.script.need("nearest_shape", "resample")
    constant = emission.script.constant(f"{preset}_SIZES", literal(PRESETS[preset]))
    size = f"nearest_shape({pixels.variable}.shape[-2:], {constant})"
    made = call("resample", pixels.variable, size, quoted(method), quoted(emission.fixed("crop")))
    return Pixels(emission.assign(made.then(".clamp(0, 1)")))


def batch_images(emission: Emission) -> Pixels:
    """Pictures in one batch."""
    parts = emission.inputs["images"]
    parts = parts if isinstance(parts, tuple) else getattr(parts, "items", (parts,))
    variables = [emission.writer.pixels(part) if isinstance(part, Decoding) else part for part in parts]
    if len(variables) == 1:
        return variables[0]
    emission.begin()
    joined = ", ".join(part.variable for part in variables)
    return Pixels(emission.assign(f"torch.cat([{joined}])"))


def _size(emission: Emission, images: str) -> Expression:
    """The size that is asked for: itself, or what it is computed from."""
    options = emission.options(width=0, height=0, scale=1.0, max_edge=0)
    settled = not any(emission.script.is_open(emission.inputs[name]) for name in ("width", "height"))
    if settled and options.keys() >= {"width", "height"} and "max_edge" not in options:
        return f"({flat(options['height'])}, {flat(options['width'])})"
    emission.script.need("wanted_size")
    return call("wanted_size", f"{images}.shape[-2:]", **options)


EMITTERS: dict[str, Emitter] = {
    "load_image": load_image,
    "load_mask": load_mask,
    "resize": resize,
    "resize_to_preset": resize_to_preset,
    "batch_images": batch_images,
}
