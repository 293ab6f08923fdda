"""Pictures and masks of much used custom packs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..building import Builder, Ref, RefusedError, Source, Value
from .common import IMAGE_METHOD, METHOD
from .images import sized
from .rule import AnyRule, Made, Make, Rule

_WAS, _KJ, _ESSENTIALS = "was-node-suite-comfyui", "ComfyUI-KJNodes", "ComfyUI_essentials"
_JPS, _IMPACT = "ComfyUI_JPS-Nodes", "ComfyUI-Impact-Pack"


def _method(source: Source, name: str, default: str) -> str:
    value = source.text(name, default)
    return IMAGE_METHOD.get(value, value)


def _shorter(edge: str, image: str, method: str = "") -> Make:
    """Return a function that resizes to a length of the shorter edge."""

    def make(builder: Builder, source: Source) -> list[Value]:
        scale = sized(source, builder, source.get(image), "c / min(a, b)", suffix="scale", c=source.get(edge, 512))
        how = _method(source, method, "lanczos") if method else "lanczos_8bit"
        inputs = {"images": source.get(image), "scale": scale, "method": how}
        return [builder.add(source, "resize", inputs)]

    return make


def _channels(red: str, green: str, blue: str) -> Callable[[Source], str]:
    def color(source: Source) -> str:
        return "#" + "".join(f"{max(0, min(255, int(source.number(name, 0)))):02x}" for name in (red, green, blue))

    return color


def _blank(builder: Builder, source: Source) -> list[Value]:
    """Image Blank: one colour; edges are multiples of 8."""
    size = {name: max(8, int(source.number(name, 512)) // 8 * 8) for name in ("width", "height")}
    return [builder.add(source, "solid_image", {**size, "color": _channels("red", "green", "blue")(source)})]


def _mask_of_color(builder: Builder, source: Source) -> list[Value]:
    inputs = {
        "images": source.get("image"),
        "color": _channels("red", "green", "blue")(source),
        "tolerance": source.get("threshold", 0),
    }
    return [builder.add(source, "mask_from_color", inputs)]


def _flipped_mask(builder: Builder, source: Source) -> list[Value]:
    axis = source.text("axis", "x")
    made: Value = builder.add(source, "mask_to_image", {"mask": source.get("mask")}, suffix="picture")
    for letter, direction in (("x", "horizontal"), ("y", "vertical")):
        if letter in axis:
            made = builder.add(source, "flip_image", {"images": made, "direction": direction}, suffix=direction)
    return [builder.add(source, "mask_from_image", {"images": made, "channel": "red"})]


def _remapped(builder: Builder, source: Source) -> list[Value]:
    """RemapMaskRange: 0 to 1 becomes min to max, which is a contrast about the middle and a brightness."""
    low, high = source.number("min", 0.0), source.number("max", 1.0)
    if high < low:
        raise RefusedError("its max is below its min")
    source.remark("the mask is not first brought to a maximum of 1")
    picture = builder.add(source, "mask_to_image", {"mask": source.get("mask")}, suffix="picture")
    change = {"images": picture, "contrast": high - low, "brightness": (low + high - 1) / 2}
    changed = builder.add(source, "adjust_image", change, suffix="range")
    return [builder.add(source, "mask_from_image", {"images": changed, "channel": "red"})]


def _dilated(builder: Builder, source: Source) -> list[Value]:
    """ImpactDilateMask: a square of this edge."""
    edge = int(source.number("dilation", 10))
    if edge % 2 == 0 and edge:
        source.remark("a square of an even edge is taken as one of the next odd edge")
    amount = abs(edge) // 2 * (1 if edge >= 0 else -1)
    return [builder.add(source, "grow_mask", {"mask": source.get("mask"), "amount": amount, "tapered_corners": False})]


def _grey(builder: Builder, source: Source) -> list[Value]:
    source.used.add("method")
    source.remark("grey is weighed as the native method does, whatever the node's method says")
    inputs = {"images": source.get("image"), "saturation": 1 - source.number("factor", 1.0)}
    return [builder.add(source, "adjust_image", inputs)]


def _cropped(builder: Builder, source: Source) -> list[Value]:
    """ImageCrop+: from a corner, an edge or the middle, moved by an offset."""
    position = source.text("position", "center")
    width, height = source.get("width", 256), source.get("height", 256)
    moved = {"x": int(source.number("x_offset", 0)), "y": int(source.number("y_offset", 0))}
    places: dict[str, Any] = {}
    for name, extent, edge, near, far in (("x", "a", width, "left", "right"), ("y", "b", height, "top", "bottom")):
        if near in position:
            places[name] = max(0, moved[name])
            continue
        share = "" if far in position else " // 2"
        text = f"max(0, ({extent} - c){share} + {moved[name]})"
        made = sized(source, builder, source.get("image"), text, suffix=name, c=edge)
        places[name] = builder.ref(made.node, "rounded")
    cut = builder.add(source, "crop_image", {"images": source.get("image"), "width": width, "height": height, **places})
    return [
        cut,
        places["x"] if isinstance(places["x"], Ref) else None,
        places["y"] if isinstance(places["y"], Ref) else None,
    ]


def _between(builder: Builder, source: Source) -> list[Value]:
    """Image Crop Location: by its four edges."""
    left, top, right, bottom = (int(source.number(name, 0)) for name in ("left", "top", "right", "bottom"))
    if right <= left or bottom <= top:
        raise RefusedError("its right edge is not behind its left one, or its bottom not below its top")
    inputs = {"images": source.get("image"), "x": left, "y": top, "width": right - left, "height": bottom - top}
    return [builder.add(source, "crop_image", inputs), None]


def _batched(builder: Builder, source: Source) -> list[Value]:
    """ImageBatchMulti and its kin: image_1, image_2 and so on."""
    source.used.add("inputcount")
    names = source.numbered("image")
    pictures = [value for name in names if (value := source.get(name)) is not None]
    if not pictures:
        raise RefusedError("none of its pictures is linked")
    return [builder.add(source, "batch_images", {"images": pictures, "resize": True})]


def _resized(builder: Builder, source: Source) -> list[Value]:
    """ImageResize of comfyui-imageresize, as far as it only changes the size."""
    if source.text("action", "resize only") != "resize only":
        raise RefusedError(f"its action {source.text('action')} has no native counterpart")
    source.used |= {"resize_mode", "side_ratio", "crop_pad_position", "pad_feathering"}
    if source.get("mask_optional") is not None:
        raise RefusedError("its mask input has no native counterpart")
    image, scale = source.get("pixels"), source.number("scale_factor", 0.0)
    short, long = int(source.number("smaller_side", 0)), int(source.number("larger_side", 0))
    how: dict[str, Any] = {"longest_edge": long} if long else {"scale": scale} if scale else {}
    if short:
        how = {"scale": sized(source, builder, image, "c / min(a, b)", suffix="scale", c=short)}
    made = builder.add(source, "resize", {"images": image, "method": "lanczos_8bit", **how})
    return [made, None]


def _square(builder: Builder, source: Source, position: str) -> Ref:
    """Cut the largest square at an edge of a picture, in the middle of the other direction."""
    image = source.get("image")
    edge = sized(source, builder, image, "min(a, b)", suffix="edge")
    size = builder.ref(edge.node, "rounded")
    places: dict[str, Any] = {}
    for name, extent, near, far in (("x", "a", "left", "right"), ("y", "b", "top", "bottom")):
        if position != near:
            text = f"({extent} - min(a, b))" + ("" if position == far else " // 2")
            places[name] = builder.ref(sized(source, builder, image, text, suffix=name).node, "rounded")
    return builder.add(source, "crop_image", {"images": image, "width": size, "height": size, **places}, suffix="cut")


def _prepared(builder: Builder, source: Source) -> list[Value]:
    """PrepImageForClipVision: a sharpened square of 224 pixels."""
    position = source.text("crop_position", "center")
    method = source.text("interpolation", "LANCZOS").lower()
    method = {"lanczos": "lanczos_8bit", "hamming": "bilinear", "box": "area"}.get(method, METHOD.get(method, method))
    inputs = {"images": source.get("image"), "width": 224, "height": 224, "method": method}
    sharp = source.number("sharpening", 0.0)
    suffix = "square" if sharp else ""
    if position == "pad":
        made = builder.add(source, "resize_and_pad", inputs, suffix=suffix)
    elif position == "center":
        made = builder.add(source, "resize", {**inputs, "crop": "center"}, suffix=suffix)
    elif position in ("top", "bottom", "left", "right"):
        made = builder.add(source, "resize", {**inputs, "images": _square(builder, source, position)}, suffix=suffix)
    else:
        raise RefusedError(f"its crop_position {position} has no native counterpart")
    if sharp:
        source.remark("it is sharpened by an unsharp mask")
        made = builder.add(source, "sharpen_image", {"images": made, "radius": 1, "strength": sharp})
    return [made]


def _pixel_perfect(builder: Builder, source: Source) -> list[Value]:
    """PixelPerfectResolution: the shorter edge at which the picture covers, or fits, what is generated."""
    which = "min" if "Fill" in source.text("resize_mode", "Just Resize") else "max"
    wanted = {"c": source.get("image_gen_width", 512), "d": source.get("image_gen_height", 512)}
    made = sized(
        source, builder, source.get("original_image"), f"round({which}(c / a, d / b) * min(a, b))", suffix="", **wanted
    )
    return [builder.ref(made.node, "rounded")]


def _shape(builder: Builder, source: Source) -> list[Value]:
    """CreateShapeMask: one rectangle that does not grow."""
    if source.text("shape", "circle") != "square":
        raise RefusedError(f"its shape {source.text('shape', 'circle')} has no native counterpart; a square has")
    if source.number("frames", 1) != 1 or source.number("grow", 0) != 0:
        raise RefusedError("a shape that grows from frame to frame has no native counterpart")
    width, height = source.number("frame_width", 512), source.number("frame_height", 512)
    x, y = source.number("location_x", 256), source.number("location_y", 256)
    across, down = source.number("shape_width", 128) / 2, source.number("shape_height", 128) / 2
    inputs = {
        "width": int(width), "height": int(height), "left": max(0.0, (x - across) / width), "right": min(1.0, (x + across) / width),
        "top": max(0.0, (y - down) / height), "bottom": min(1.0, (y + down) / height),
    }  # fmt: skip
    made = builder.add(source, "rectangle_mask", inputs)
    return [made, builder.add(source, "invert_mask", {"mask": made}, suffix="inverted")]


def _filled(builder: Builder, source: Source) -> list[Value]:
    """INPAINT_MaskedFill: grey, or the surroundings."""
    fill = source.text("fill", "neutral")
    if fill != "neutral":
        source.remark(f"the surroundings are taken by averages, not by the method {fill}")
    if source.number("falloff", 0) > 0:
        source.remark("the mask's edge is not softened first")
    method = "grey" if fill == "neutral" else "surroundings"
    inputs = {"images": source.get("image"), "mask": source.get("mask"), "method": method}
    return [builder.add(source, "fill_masked_image", inputs)]


def _counted(builder: Builder, source: Source) -> list[Value]:
    """GetImageSizeAndCount: the pictures, and their size."""
    made = builder.add(source, "image_size", {"images": source.get("image")})
    return [source.get("image"), *(builder.ref(made.node, name) for name in ("width", "height", "batch_size"))]


RULES: tuple[AnyRule, ...] = (
    Made("ImageResize", ("resize", "image_size", "expression"), _resized, says="resize", pack="comfyui-imageresize"),
    Made("ResizeImagesByShorterEdge", ("resize", "image_size", "expression"), _shorter("shorter_edge", "images"), says="image_size, expression and resize"),
    Made("JWImageResizeByShorterSide", ("resize", "image_size", "expression"), _shorter("size", "image", "interpolation_mode"),
         says="image_size, expression and resize", pack="comfyui-various"),
    Made("PrepImageForClipVision", ("image_size", "expression", "crop_image", "resize", "resize_and_pad", "sharpen_image"), _prepared,
         says="resize or resize_and_pad, and sharpen_image; crop_image where it cuts at an edge", pack="ComfyUI_IPAdapter_plus"),
    Made("PixelPerfectResolution", ("image_size", "expression"), _pixel_perfect, says="image_size and expression", pack="comfyui_controlnet_aux"),
    Made("ImageCrop+", ("crop_image", "image_size", "expression"), _cropped, says="crop_image, with image_size and expression", pack=_ESSENTIALS),
    Made("Image Crop Location", ("crop_image",), _between, says="crop_image", pack=_WAS),
    Made("ImageDesaturate+", ("adjust_image",), _grey, says="adjust_image", pack=_ESSENTIALS),
    Made("ImageBatchMulti", ("batch_images",), _batched, says="batch_images", pack=_KJ),
    Made("ImageBatchMultiple+", ("batch_images",), _batched, says="batch_images", pack=_ESSENTIALS),
    Made("Image Batch", ("batch_images",), _batched, says="batch_images", pack=_WAS),
    Made("Image Blank", ("solid_image",), _blank, says="solid_image", pack=_WAS),
    Made("GetImageSizeAndCount", ("image_size",), _counted, says="image_size", pack=_KJ),
    Made("INPAINT_MaskedFill", ("fill_masked_image",), _filled, says="fill_masked_image", pack="comfyui-inpaint-nodes"),
    Rule("Image Flip", "flip_image", "images mode:direction", pack=_WAS, back=False),
    Rule("easy imageSize", "image_size", "image:images", "width height", pack="ComfyUI-Easy-Use", back=False),
    Rule("Get Image Size (JPS)", "image_size", "image:images", "width height", pack=_JPS, back=False),
    Rule("ImpactImageInfo", "image_size", "value:images", "batch_size height width", pack=_IMPACT, back=False),
    # masks
    Made("MaskFromColor+", ("mask_from_color",), _mask_of_color, says="mask_from_color", pack=_ESSENTIALS),
    Made("MaskFlip+", ("mask_to_image", "flip_image", "mask_from_image"), _flipped_mask, says="flip_image, between mask_to_image and mask_from_image", pack=_ESSENTIALS),
    Made("RemapMaskRange", ("mask_to_image", "adjust_image", "mask_from_image"), _remapped, says="adjust_image, between mask_to_image and mask_from_image", pack=_KJ),
    Made("ImpactDilateMask", ("grow_mask",), _dilated, says="grow_mask", pack=_IMPACT),
    Made("CreateShapeMask", ("rectangle_mask", "invert_mask"), _shape, says="rectangle_mask and invert_mask", pack=_KJ),
    Rule("Masks Add", "compose_masks", "masks_a:destination masks_b:source", fixed={"operation": "add"}, pack=_WAS, back=False),
    Rule("Masks Subtract", "compose_masks", "masks_a:destination masks_b:source", fixed={"operation": "subtract"}, pack=_WAS, back=False),
    Rule("Mask Invert", "invert_mask", "masks:mask", pack=_WAS, back=False),
    Rule("InvertMask (segment anything)", "invert_mask", "mask", pack="comfyui_segment_anything", back=False),
)  # fmt: skip
"""By ComfyUI type."""
