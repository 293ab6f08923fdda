"""Pictures and masks."""

from __future__ import annotations

from typing import Any

from ..handles import Decoding, Masks, Pixels
from ..layout import Expression, call, flat, literal
from ..script import UnsupportedError
from .base import Emission, Emitter
from .loaders import constant_path


def load_image(emission: Emission) -> dict[str, Any]:
    """A picture from a file."""
    emission.begin()
    path = _path(emission, "IMAGE")
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
    return Masks(emission.assign(call("load_mask", _path(emission, "MASK"), emission.value("channel")), "mask"))


def resize(emission: Emission) -> Pixels:
    """Another size."""
    pixels = emission.pixels("images")
    emission.begin()
    emission.script.need("resample")
    size = _size(emission, pixels.variable)
    method = emission.fixed("method")
    extra: dict[str, Expression] = {} if emission.is_default("crop", "none") else {"crop": "True"}
    if emission.fixed("antialias") and method in ("bilinear", "bicubic"):
        extra["antialias"] = "True"
    resized = call("resample", pixels.variable, size, flat(literal(method)), **extra).then(".clamp(0, 1)")
    return Pixels(emission.assign(resized))


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


def rectangle_mask(emission: Emission) -> Masks:
    """A rectangle."""
    emission.begin()
    emission.script.need("rectangle_mask")
    defaults = {"left": 0.25, "top": 0.25, "right": 0.75, "bottom": 0.75, "invert": False}
    size = (emission.value("width"), emission.value("height"))
    return Masks(emission.assign(call("rectangle_mask", *size, **emission.options(**defaults)), "mask"))


def invert_mask(emission: Emission) -> Masks:
    """What is kept against what is made anew."""
    mask = emission.mask("mask")
    emission.begin()
    return Masks(emission.assign(f"1 - {mask}", "mask"))


def _size(emission: Emission, images: str) -> Expression:
    """The size that is asked for: itself, or what it is computed from."""
    options = emission.options(width=0, height=0, scale=1.0, max_edge=0)
    settled = not any(emission.script.is_open(emission.inputs[name]) for name in ("width", "height"))
    if settled and options.keys() >= {"width", "height"} and "max_edge" not in options:
        return f"({flat(options['height'])}, {flat(options['width'])})"
    emission.script.need("target_size")
    return call("target_size", f"{images}.shape[-2:]", **options)


def _path(emission: Emission, constant: str) -> str:
    given = emission.inputs["file"]
    if not hasattr(given, "value"):
        raise UnsupportedError("its file name is computed")
    path = constant_path(emission, "file", constant)
    return emission.script.value(given, default=path, shown=path)


EMITTERS: dict[str, Emitter] = {
    "load_image": load_image,
    "load_mask": load_mask,
    "resize": resize,
    "batch_images": batch_images,
    "rectangle_mask": rectangle_mask,
    "invert_mask": invert_mask,
}
