"""Pictures and masks."""

from __future__ import annotations

from typing import Any

from graphflow.nodes.plain.resolutions import PRESETS

from ..handles import Decoding, Masks, Pixels, Scalar
from ..layout import Expression, Items, call, flat, literal
from .base import Emission, Emitter
from .loaders import input_path

CHANNELS = ("red", "green", "blue")


def load_image(emission: Emission) -> dict[str, Any]:
    """A picture from a file, or all that it holds."""
    emission.begin()
    script, path = emission.script, input_path(emission, "IMAGE")
    every = emission.fixed("frames") == "all" and emission.node.frames > 1
    reader = "read_frames" if every else "read_picture"
    script.need(reader)
    masked = any(link.node == emission.node.id and link.output == "mask" for link in script.graph.readers)
    keeps = emission.fixed("keep_alpha")
    if not masked and not keeps:
        return {"image": Pixels(emission.assign(f"{reader}({path})[:, :3]", "image")), "mask": None}
    picture = emission.assign(call(reader, path), "picture")
    mask = emission.assign(f"1 - {picture}[:, 3]", "mask") if masked else ""
    shown: Expression = f"{picture}[:, :3]"
    if keeps:
        script.need("without_unused_alpha")
        shown = call("without_unused_alpha", path, picture)
    return {"image": Pixels(emission.assign(shown, "image")), "mask": Masks(mask)}


def load_mask(emission: Emission) -> Masks:
    """A mask from a file."""
    emission.begin()
    emission.script.need("read_picture")
    path, channel = input_path(emission, "MASK"), emission.fixed("channel")
    shown = (
        f"1 - read_picture({path}, keyed=True)[:, 3]"
        if channel == "alpha"
        else f"read_picture({path})[:, {CHANNELS.index(channel)}]"
    )
    return Masks(emission.assign(shown, "mask"))


def resize(emission: Emission) -> Any:
    """Another size."""
    pixels = emission.pixels("images")
    emission.begin()
    size = _size(emission, pixels.variable)
    resized = resized_to(emission, pixels.variable, size, antialias=emission.fixed("antialias"))
    return Pixels(emission.assign(resized.then(".clamp(0, 1)")))


def resized_to(emission: Emission, variable: str, size: Expression, *, antialias: bool = False) -> Items:
    """The call of the node's method of resampling."""
    method = emission.fixed("method")
    if not isinstance(size, str):
        size = emission.script.assign("size", size)
    cuts = "crop" in emission.inputs and not emission.is_default("crop", "none")  # padding has no such setting
    if cuts and emission.fixed("crop") == "center":
        emission.script.need("crop_to_shape")
        variable = f"crop_to_shape({variable}, {size})"
    emission.script.need(f"resize_{method}")
    extra: dict[str, Expression] = {"antialias": "True"} if antialias and method in ("bilinear", "bicubic") else {}
    return call(f"resize_{method}", variable, size, **extra)


def resize_mask(emission: Emission) -> Masks:
    """Masks of another size."""
    mask = emission.mask("mask")
    emission.begin()
    size = f"({emission.value('height')}, {emission.value('width')})"
    resized = resized_to(emission, f"{mask}[:, None]", size)
    return Masks(emission.assign(resized.then("[:, 0].clamp(0, 1)")))


def resize_and_pad(emission: Emission) -> Pixels:
    """Pictures in the middle of a size."""
    pixels = emission.pixels("images")
    emission.begin()
    size = f"({emission.value('height')}, {emission.value('width')})"
    emission.script.need("fitted_size", "paste_centred")
    fitted = call("fitted_size", f"{pixels.variable}.shape[-2:]", size)
    inner = resized_to(emission, pixels.variable, fitted).then(".clamp(0, 1)")
    resized = emission.script.assign("resized", inner)
    return Pixels(emission.assign(call("paste_centred", resized, size, **emission.options(color="#000000"))))


def resize_to_preset(emission: Emission) -> Pixels:
    """The size, of those that a model was trained with, whose shape is nearest."""
    preset = emission.fixed("preset")
    pixels = emission.pixels("images")
    emission.begin()
    emission.script.need("nearest_shape")
    constant = emission.script.constant(f"{preset}_SIZES", literal(PRESETS[preset]))
    size = call("nearest_shape", f"{pixels.variable}.shape[-2:]", constant)
    return Pixels(emission.assign(resized_to(emission, pixels.variable, size).then(".clamp(0, 1)")))


def image_size(emission: Emission) -> dict[str, Scalar]:
    """Numbers that other nodes take."""
    shape = f"{emission.pixels('images').variable}.shape"
    found = {"width": f"{shape}[-1]", "height": f"{shape}[-2]", "batch_size": f"{shape}[0]"}
    return {name: Scalar(shown) for name, shown in found.items()}


def repeat_images(emission: Emission) -> Pixels:
    """A batch several times."""
    pixels = emission.pixels("images")
    emission.begin()
    return Pixels(emission.assign(f"{pixels.variable}.repeat({emission.value('count')}, 1, 1, 1)"))


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
    """The size that is asked for: itself, or what it is computed from, by no more than the node asks for."""
    usual = {
        "width": 0,
        "height": 0,
        "scale": 1.0,
        "megapixels": 0.0,
        "longest_edge": 0,
        "max_edge": 0,
        "multiple_of": 1,
    }
    options = emission.options(**usual)
    computed = any(isinstance(emission.inputs[name], Scalar) for name in usual)
    known = not computed and not any(emission.script.is_open(emission.inputs[name]) for name in ("width", "height"))
    if known and options.keys() == {"width", "height"}:
        return f"({flat(options['height'])}, {flat(options['width'])})"
    shape: Expression = f"{images}.shape[-2:]"
    if options.keys() <= {"scale", "max_edge"} and not computed:
        emission.script.need("whole_pixels")
        if "scale" in options:
            shape = f"[edge * {flat(options['scale'])} for edge in {shape}]"
        if "max_edge" in options:
            emission.script.need("shrunk")
            shape = call("shrunk", shape, options["max_edge"])
        return call("whole_pixels", shape)
    emission.script.need("target_size")
    return call("target_size", shape, **options)


EMITTERS: dict[str, Emitter] = {
    "load_image": load_image,
    "load_mask": load_mask,
    "resize": resize,
    "resize_mask": resize_mask,
    "resize_and_pad": resize_and_pad,
    "resize_to_preset": resize_to_preset,
    "image_size": image_size,
    "repeat_images": repeat_images,
    "batch_images": batch_images,
}
