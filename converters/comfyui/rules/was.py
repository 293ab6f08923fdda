"""Pictures, masks, logic and texts of the WAS node suite, which is under the MIT licence."""

from __future__ import annotations

from typing import Any

from ..building import Builder, Const, Fused, RefusedError, Source, Value
from .kjnodes import mask_by
from .rule import AnyRule, Made, Make, Rule
from .values import expression

_PACK = "was-node-suite-comfyui"
_BOUNDS = "bounds of a picture"
_MODES = {"add": "add", "color": "color", "color_burn": "color_burn", "color_dodge": "color_dodge", "darken": "darken", "difference": "difference",
          "exclusion": "exclusion", "hard_light": "hard_light", "hue": "hue", "lighten": "lighten", "multiply": "multiply", "overlay": "overlay",
          "screen": "screen", "soft_light": "soft_light"}  # fmt: skip
_SWITCHES = (
    # the type before "Input Switch", and the beginning of its inputs
    ("Image", "image"), ("Latent", "latent"), ("Conditioning", "conditioning"), ("Model", "model"), ("VAE", "vae"), ("CLIP", "clip"),
    ("Text", "text"), ("Number", "number"), ("Control Net Model", "control_net"), ("CLIP Vision", "clip_vision"),
)  # fmt: skip


def _switched(name: str) -> Make:
    """Return a function for the input switches: a where the truth value is true."""

    def make(builder: Builder, source: Source) -> list[Value]:
        select = source.get("boolean") if "boolean" in source.inputs else source.get("boolean_number", 1)
        if isinstance(select, Const):
            return [source.get(f"{name}_a" if source.flag(_first(source), True) else f"{name}_b")]
        if source.inputs.get("boolean") is None:
            select = expression(builder, source, "a != 0", {"a": select})[2]
        inputs = {"select": select, "on_true": source.get(f"{name}_a"), "on_false": source.get(f"{name}_b")}
        return [builder.add(source, "switch", inputs)]

    def _first(source: Source) -> str:
        source.used |= {f"{name}_a", f"{name}_b"}
        return "boolean" if "boolean" in source.inputs else "boolean_number"

    return make


def _blended(builder: Builder, source: Source) -> list[Value]:
    """Image Blend and Image Blending Mode."""
    mode = source.text("mode", "normal")
    if mode != "normal" and mode not in _MODES:
        raise RefusedError(f"its mode {mode} has no native counterpart")
    share = source.get("blend_percentage", 0.5 if mode == "normal" else 1.0)
    inputs = {"first": source.get("image_a"), "second": source.get("image_b"), "mode": _MODES.get(mode, mode)}
    return [builder.add(source, "blend_images", {**inputs, "factor": share})]


def _blended_by_mask(builder: Builder, source: Source) -> list[Value]:
    """Image Blend by Mask: the second picture where the mask picture is white."""
    first, second, mask = source.get("image_a"), source.get("image_b"), source.get("mask")
    made = builder.add(source, "mask_from_image", {"images": mask, "channel": "brightness"}, suffix="mask")
    share = source.get("blend_percentage", 0.0)
    mixed = builder.add(source, "blend_images", {"first": first, "second": second, "factor": share}, suffix="mixed")
    return [builder.add(source, "composite_images", {"destination": first, "source": mixed, "mask": made})]


def _adjusted(builder: Builder, source: Source) -> list[Value]:
    """Image Filter Adjustments, where it changes colours, or softens."""
    made = source.get("image")
    for name, neutral in (("sharpness", 1.0), ("blur", 0), ("edge_enhance", 0.0)):
        if source.number(name, neutral) != neutral:
            raise RefusedError(f"{name} other than {neutral:g} has no native counterpart")
    if source.text("detail_enhance", "false").lower() not in ("false", "0"):
        raise RefusedError("detail_enhance has no native counterpart")
    changed = {
        "brightness": source.number("brightness", 0.0),
        "contrast": source.number("contrast", 1.0),
        "saturation": source.number("saturation", 1.0),
    }
    spread = source.number("gaussian_blur", 0)
    if changed != {"brightness": 0, "contrast": 1, "saturation": 1}:
        if changed["contrast"] != 1:
            source.remark("contrast is changed about middle grey; the node takes 0")
        made = builder.add(source, "adjust_image", {"images": made, **changed}, suffix="colors" if spread else "")
    if spread > 0:
        radius = max(1, round(3 * spread))
        inputs = {"images": made, "radius": radius, "sigma": max(0.1, spread / radius)}
        made = builder.add(source, "blur_image", inputs)
    return [made]


def _turned(builder: Builder, source: Source) -> list[Value]:
    """Image Rotate: counterclockwise, by quarters of a turn."""
    degrees = source.number("rotation", 0)
    source.used |= {"mode", "sampler"}
    if degrees % 90:
        raise RefusedError(f"a turn by {degrees:g} degrees has no native counterpart; one by a multiple of 90 has")
    return [builder.add(source, "rotate_image", {"images": source.get("images"), "degrees": int(-degrees % 360)})]


def _stitched(builder: Builder, source: Source) -> list[Value]:
    """Image Stitch: the second picture on a side of the first."""
    sides = {"top": "up", "bottom": "down", "left": "left", "right": "right"}
    side = source.text("stitch", "right")
    if side not in sides:
        raise RefusedError(f"its stitch {side} has no native counterpart")
    if source.number("feathering", 0) > 0:
        source.remark("the seam is not softened")
    inputs = {"first": source.get("image_a"), "second": source.get("image_b"), "direction": sides[side]}
    return [builder.add(source, "stitch_images", inputs)]


def _square(builder: Builder, source: Source) -> list[Value]:
    """Image Crop Square Location: a square about a place."""
    x, y, size = (int(source.number(name, default)) for name, default in (("x", 256), ("y", 256), ("size", 512)))
    inputs = {
        "images": source.get("image"),
        "x": max(0, x - size // 2),
        "y": max(0, y - size // 2),
        "width": size,
        "height": size,
    }
    if x < size // 2 or y < size // 2:
        source.remark("a square that reaches beyond the edge is moved inside")
    return [builder.add(source, "crop_image", inputs), None]


def _padded(builder: Builder, source: Source) -> list[Value]:
    """Image Padding: black margins."""
    if source.number("feathering", 0) > 0 or source.flag("feather_second_pass", True):
        source.remark("the picture's edge is not softened")
    sides = {side: source.get(f"{side}_padding", 0) for side in ("left", "right", "top", "bottom")}
    made = builder.add(source, "pad_image", {"images": source.get("image"), **sides})
    return [made, None]


def _hard(builder: Builder, source: Source) -> list[Value]:
    """Image Threshold: black or white."""
    mask = builder.add(
        source, "mask_from_image", {"images": source.get("image"), "channel": "brightness"}, suffix="mask"
    )
    hard = builder.add(
        source, "threshold_mask", {"mask": mask, "threshold": source.get("threshold", 0.5)}, suffix="hard"
    )
    return [builder.add(source, "mask_to_image", {"mask": hard})]


def _channel(builder: Builder, source: Source) -> list[Value]:
    """Image Select Channel: one channel as a grey picture."""
    mask = builder.add(
        source,
        "mask_from_image",
        {"images": source.get("image"), "channel": source.text("channel", "red")},
        suffix="mask",
    )
    return [builder.add(source, "mask_to_image", {"mask": mask})]


def _softened(builder: Builder, source: Source) -> list[Value]:
    """Mask Gaussian Region: the spread in pixels."""
    spread = source.number("radius", 5.0)
    if spread <= 0:
        return [source.get("masks")]
    radius = max(1, min(512, round(3 * spread)))
    return [builder.add(source, "blur_mask", {"mask": source.get("masks"), "radius": radius, "sigma": spread})]


def _grown(sign: int) -> Make:
    def make(builder: Builder, source: Source) -> list[Value]:
        amount = sign * int(source.number("iterations", 5))
        return [builder.add(source, "grow_mask", {"mask": source.get("masks"), "amount": amount})]

    return make


def _united(builder: Builder, source: Source) -> list[Value]:
    """Masks Combine Regions: up to six masks."""
    masks = [mask for letter in "abcdef" if (mask := source.get(f"mask_{letter}")) is not None]
    if not masks:
        raise RefusedError("none of its masks is linked")
    made = masks[0]
    for number, mask in enumerate(masks[1:], 2):
        suffix = "" if number == len(masks) else f"{number}"
        made = builder.add(
            source, "compose_masks", {"destination": made, "source": mask, "operation": "add"}, suffix=suffix
        )
    return [made]


def _boxed(builder: Builder, source: Source) -> list[Value]:
    """Bounded Image Crop with Mask: the picture cut to the box of the mask, with margins."""
    image, mask = source.get("image"), source.get("mask")
    size = builder.add(source, "image_size", {"images": image}, suffix="size")
    found = builder.add(source, "mask_bounds", {"mask": mask}, suffix="bounds")
    box: dict[str, Any] = {}
    for place, edge, near, far in (("x", "width", "left", "right"), ("y", "height", "top", "bottom")):
        before, after = int(source.number(f"padding_{near}", 64)), int(source.number(f"padding_{far}", 64))
        values = {
            "a": builder.ref(found.node, place),
            "b": builder.ref(found.node, edge),
            "c": builder.ref(size.node, edge),
        }
        box[place] = expression(builder, source, f"max(0, a - {before})", {"a": values["a"]})[1]
        box[edge] = expression(builder, source, f"min(c, a + b + {after}) - max(0, a - {before})", values)[1]
    return [builder.add(source, "crop_image", {"images": image, **box}), Fused(_BOUNDS, box, (source.id,))]


def _unboxed(builder: Builder, source: Source) -> list[Value]:
    """Bounded Image Blend with Mask: a picture back into its box, where the mask is."""
    box = source.part("target_bounds", _BOUNDS)
    target, mask = source.get("target"), source.get("target_mask")
    share = source.number("blend_factor", 1.0)
    spread = source.number("feathering", 16)
    edges = {edge: box.parts[edge] for edge in ("width", "height")}
    fitted = builder.add(
        source, "resize", {"images": source.get("source"), **edges, "method": "lanczos_8bit"}, suffix="fitted"
    )
    cut = builder.add(source, "crop_mask", {"mask": mask, **box.parts}, suffix="cut")
    if spread > 0:
        soft = {"mask": cut, "radius": max(1, round(spread)), "sigma": spread / 3}
        cut = builder.add(source, "blur_mask", soft, suffix="soft")
        source.remark("the mask's edge is softened by Gaussian weights")
    if share < 1:
        weak = {"contrast": share, "brightness": (share - 1) / 2}
        cut = mask_by(builder, source, cut, "adjust_image", weak, "weak-")
    inputs = {"destination": target, "source": fitted, "mask": cut, "x": box.parts["x"], "y": box.parts["y"]}
    return [builder.add(source, "composite_images", inputs, ids=box.ids)]


def _random(builder: Builder, source: Source) -> list[Value]:
    """Random Number: another number than the node's, from the same range."""
    low, high, kind = (
        source.number("minimum", 0),
        source.number("maximum", 18446744073709551615),
        source.text("number_type", "integer"),
    )
    source.remark("another number than the node's is drawn, from the same range")
    seed = source.get("seed", 0)
    if kind == "float":
        real = builder.add(source, "random_float", {"seed": seed, "minimum": low, "maximum": high})
        return [real, real, builder.add(source, "to_int", {"value": real}, suffix="int")]
    low, high = (0, 1) if kind == "bool" else (low, high)
    whole = builder.add(source, "random_int", {"seed": seed, "minimum": int(low), "maximum": min(int(high), 2**63 - 1)})
    return [whole, whole, whole]


def _judged(text: str) -> Make:
    """Return a function for logic on two truth values."""

    def make(builder: Builder, source: Source) -> list[Value]:
        values = {name[-1]: source.get(name, False) for name in ("boolean_a", "boolean_b") if name[-1] in text.split()}
        if not values:
            values = {"a": source.get("boolean", False)}
        return [expression(builder, source, text, values)[2]]

    return make


def _concatenated(builder: Builder, source: Source) -> list[Value]:
    """Text List: up to seven texts as a list."""
    texts = [source.text(f"text_{letter}") for letter in "abcdefg" if f"text_{letter}" in source.inputs]
    texts = [text for text in texts if text]
    if any("\n" in text for text in texts):
        raise RefusedError("a list of texts of several lines has no native counterpart")
    return [builder.add(source, "text_lines", {"text": "\n".join(texts)})]


def _conditioned(builder: Builder, source: Source) -> list[Value]:
    """Text Contains."""
    inputs = {"text": source.get("text", ""), "find": source.get("sub_text", "")}
    return [
        builder.add(source, "text_contains", {**inputs, "case_sensitive": not source.flag("case_insensitive", True)})
    ]


def _sized_ratio(builder: Builder, source: Source) -> list[Value]:
    """Image Aspect Ratio: width divided by height."""
    image = source.get("image")
    if image is None:
        values = {"a": source.get("width", 1), "b": source.get("height", 1)}
    else:
        size = builder.add(source, "image_size", {"images": image}, suffix="size")
        values = {"a": builder.ref(size.node, "width"), "b": builder.ref(size.node, "height")}
    ratio = expression(builder, source, "a / b", values)[0]
    return [ratio, ratio, None, None, None]


def _truth(builder: Builder, source: Source) -> list[Value]:
    """Logic Boolean: as a truth value, and as numbers."""
    value = source.get("boolean", 1)
    made = expression(builder, source, "a != 0", {"a": value})[2]
    whole = builder.add(source, "to_int", {"value": value}, suffix="int")
    real = builder.add(source, "to_float", {"value": value}, suffix="float")
    return [made, real, whole, real]


RULES: tuple[AnyRule, ...] = (
    *(
        Made(f"{kind} Input Switch", ("switch", "expression"), _switched(name), says="switch; the chosen input where it is known", pack=_PACK)
        for kind, name in _SWITCHES
    ),
    Made("Upscale Model Switch", ("switch", "expression"), _switched("upscale_model"), says="switch; the chosen input where it is known", pack=_PACK),
    Made("Image Blend", ("blend_images",), _blended, says="blend_images", pack=_PACK),
    Made("Image Blending Mode", ("blend_images",), _blended, says="blend_images", pack=_PACK),
    Made("Image Blend by Mask", ("mask_from_image", "blend_images", "composite_images"), _blended_by_mask, says="blend_images and composite_images", pack=_PACK),
    Made("Image Filter Adjustments", ("adjust_image", "blur_image"), _adjusted, says="adjust_image and blur_image", pack=_PACK),
    Made("Image Rotate", ("rotate_image",), _turned, says="rotate_image", pack=_PACK),
    Made("Image Stitch", ("stitch_images",), _stitched, says="stitch_images", pack=_PACK),
    Made("Image Crop Square Location", ("crop_image",), _square, says="crop_image", pack=_PACK),
    Made("Image Padding", ("pad_image",), _padded, says="pad_image", pack=_PACK),
    Made("Image Threshold", ("mask_from_image", "threshold_mask", "mask_to_image"), _hard, says="threshold_mask, between mask_from_image and mask_to_image", pack=_PACK),
    Made("Image Select Channel", ("mask_from_image", "mask_to_image"), _channel, says="mask_from_image and mask_to_image", pack=_PACK),
    Rule("Images to RGB", "split_alpha", "images", pack=_PACK, back=False),
    Rule("Image to Latent Mask", "mask_from_image", "images channel", pack=_PACK, back=False),
    Made("Image Aspect Ratio", ("image_size", "expression"), _sized_ratio, says="image_size and expression", pack=_PACK),
    Made("Bounded Image Crop with Mask", ("image_size", "mask_bounds", "expression", "crop_image"), _boxed, says="mask_bounds and crop_image", pack=_PACK),
    Made("Bounded Image Blend with Mask", ("resize", "crop_mask", "blur_mask", "mask_to_image", "adjust_image", "mask_from_image", "composite_images"), _unboxed,
         says="resize and composite_images", pack=_PACK),
    # masks
    Made("Mask Gaussian Region", ("blur_mask",), _softened, says="blur_mask", pack=_PACK),
    Made("Mask Dilate Region", ("grow_mask",), _grown(1), says="grow_mask", pack=_PACK),
    Made("Mask Erode Region", ("grow_mask",), _grown(-1), says="grow_mask", pack=_PACK),
    Made("Masks Combine Regions", ("compose_masks",), _united, says="compose_masks", pack=_PACK),
    # models
    Rule("Checkpoint Loader (Simple)", "load_checkpoint", "ckpt_name:model", "model text_encoder vae -", pack=_PACK, back=False),
    Rule("Lora Loader", "apply_lora", "lora_name:lora model clip:text_encoder strength_model:strength strength_clip:text_encoder_strength", "model text_encoder -", pack=_PACK, back=False),
    Rule("Upscale Model Loader", "load_upscale_model", "model_name:model", "upscale_model -", pack=_PACK, back=False),
    Rule("Image Load", "load_image", "image_path:file", "image mask -", ignored="RGBA filename_text_extension", pack=_PACK, back=False),
    # numbers and texts
    Made("Random Number", ("random_int", "random_float", "to_int"), _random, says="random_int or random_float", pack=_PACK),
    Made("Logic Boolean", ("expression", "to_int", "to_float"), _truth, says="expression, to_int and to_float", pack=_PACK),
    Rule("Logic Boolean Primitive", "bool_value", "boolean:value", pack=_PACK, back=False),
    Made("Logic Comparison AND", ("expression",), _judged("a and b"), says="expression", pack=_PACK),
    Made("Logic Comparison OR", ("expression",), _judged("a or b"), says="expression", pack=_PACK),
    Made("Logic Comparison XOR", ("expression",), _judged("not ( a == b )"), says="expression", pack=_PACK),
    Made("Logic NOT", ("expression",), _judged("not a"), says="expression", pack=_PACK),
    Rule("Number to String", "to_text", "number:value", pack=_PACK, back=False),
    Rule("Number to Seed", "to_int", "number:value", pack=_PACK, back=False),
    Rule("Text to Number", "to_float", "text:value", pack=_PACK, back=False),
    Rule("Text to String", "to_text", "text:value", pack=_PACK, back=False),
    Made("Text List", ("text_lines",), _concatenated, says="text_lines", pack=_PACK),
    Rule("Text List to Text", "text_from_list", "text_list:texts delimiter:separator", pack=_PACK, back=False),
    Made("Text Contains", ("text_contains",), _conditioned, says="text_contains", pack=_PACK),
    Rule("Save Text File", "save_text", "text filename_prefix", ignored="path filename_delimiter filename_number_padding file_extension encoding filename_suffix", passes="text", pack=_PACK, back=False),
)  # fmt: skip
"""By ComfyUI type."""
