"""Values, choices, sizes and masks of the custom pack LayerStyle, which is under the MIT licence."""

from __future__ import annotations

import re
from typing import Any

from ..building import Builder, Const, Fused, Ref, RefusedError, Source, Value
from .common import PREFIX
from .images import sized
from .rule import AnyRule, Made, Make, Rule
from .values import expression, value_node

_PACK = "ComfyUI_LayerStyle"
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_METHODS = {"lanczos": "lanczos_8bit", "hamming": "bilinear", "box": "area"}
_FITS = ("letterbox", "crop", "fill")
_SIDES = {
    "longest": ("c if a > b else int(c * {r})", "int(c / {r}) if a > b else c"),
    "shortest": ("int(c * {r}) if a > b else c", "c if a > b else int(c / {r})"),
    "None": ("a if a > b else int(b * {r})", "int(a / {r}) if a > b else b"),
}
"""Width and height from those of a picture (a, b), a length (c) and a ratio."""


def _told(native: str, name: str) -> Make:
    """Return a function for a value that also comes as a text."""
    plain = value_node(native, name)

    def make(builder: Builder, source: Source) -> list[Value]:
        (value,) = plain(builder, source)
        return [value, builder.add(source, "to_text", {"value": value}, suffix="text")]

    return make


def _operand(source: Source, name: str) -> Value:
    """A link, else the first number of a text."""
    given = source.get(name)
    text = source.text(f"{name}_value") if given is None else ""
    if given is not None:
        source.used.add(f"{name}_value")
        return given
    found = _NUMBER.search(text)
    return Const(0 if found is None else float(found[0]) if "." in found[0] else int(found[0]))


def _judged(builder: Builder, source: Source) -> list[Value]:
    """BooleanOperator."""
    how = source.text("operator", "==")
    special = {"xor": "not (a == b)", "not(a)": "not a", "min": "min(a, b)", "max": "max(a, b)"}
    if how not in special and how not in ("==", "!=", ">", "<", ">=", "<=", "and", "or"):
        raise RefusedError(f"its operator {how} has no native counterpart")
    values = {name: _operand(source, name) for name in "ab"}
    truth = expression(builder, source, special.get(how, f"a {how} b"), values)[2]
    return [truth, builder.add(source, "to_text", {"value": truth}, suffix="text")]


def _computed(builder: Builder, source: Source) -> list[Value]:
    """NumberCalculator: a whole number, cut, and the real one."""
    how = source.text("operator", "+")
    special = {"nth_root": "a ** (1 / b)", "min": "min(a, b)", "max": "max(a, b)"}
    special |= {sign: f"a {sign} b if b != 0 else 0" for sign in ("/", "//")}
    if how not in special and how not in ("+", "-", "*", "**", "%"):
        raise RefusedError(f"its operator {how} has no native counterpart")
    values = {name: _operand(source, name) for name in "ab"}
    real, whole, _ = expression(builder, source, special.get(how, f"a {how} b"), values)
    return [whole, real, builder.add(source, "to_text", {"value": real}, suffix="text")]


def _found(builder: Builder, source: Source) -> list[Value]:
    """StringCondition: whether a text is, has or lacks another."""
    how, text, part = source.text("condition", "include"), source.get("text", ""), source.get("sub_string", "")
    if how == "equal":
        made = builder.add(source, "text_compare", {"a": text, "b": part})
    elif how in ("include", "exclude"):
        made = builder.add(
            source, "text_contains", {"text": text, "find": part}, suffix="" if how == "include" else "has"
        )
    else:
        raise RefusedError(f"its condition {how} has no native counterpart")
    if how == "exclude":
        made = builder.add(source, "bool_math", {"a": made, "operation": "not"})
    return [made, builder.add(source, "to_text", {"value": made}, suffix="text")]


def _case(builder: Builder, source: Source) -> list[Value]:
    """SwitchCase: the input whose case is the condition."""
    wanted = source.text("switch_condition")
    chosen = source.get("input_default")
    for number in (3, 2, 1):
        given = source.get(f"input_{number}")
        if source.text(f"case_{number}") == wanted and given is not None:
            chosen = given
    if chosen is None:
        raise RefusedError("the input that it chooses is not linked")
    return [chosen]


def _fitted(builder: Builder, source: Source) -> list[Value]:
    """ImageScaleByAspectRatio V2: another size by a ratio and the length of a side."""
    image, mask = source.get("image"), source.get("mask")
    picture = image
    if picture is None:
        picture = builder.add(source, "mask_to_image", {"mask": mask}, suffix="mask-picture")
    name, side, fit = (
        source.text("aspect_ratio", "original"),
        source.text("scale_to_side", "None"),
        source.text("fit", "letterbox"),
    )
    if side not in _SIDES or fit not in _FITS:
        raise RefusedError(f"its way to fit ({side}, {fit}) has no native counterpart")
    if name == "custom":
        across, down = source.number("proportional_width", 1), source.number("proportional_height", 1)
    else:
        source.used |= {"proportional_width", "proportional_height"}
        parts = re.fullmatch(r"(\d{1,3}):(\d{1,3})", name)
        across, down = (float(parts[1]), float(parts[2])) if parts else (0.0, 0.0)
    if name != "original" and min(across, down) <= 0:
        raise RefusedError(f"its aspect_ratio {name} is none")
    ratio = "(a / b)" if name == "original" else f"({across:g} / {down:g})"
    multiple = source.text("round_to_multiple", "None")
    length = source.get("scale_to_length", 1024)
    size: dict[str, Value] = {}
    for edge, text in zip(("width", "height"), _SIDES[side], strict=True):
        text = text.format(r=ratio)
        if multiple.isdigit() and int(multiple):
            text = f"ceil(({text}) / {int(multiple)} - 0.5) * {int(multiple)}"
        made = sized(source, builder, picture, text, suffix=edge, c=length)
        size[edge] = builder.ref(made.node, "rounded")
    how = source.text("method", "lanczos")
    inputs: dict[str, Any] = {**size, "method": _METHODS.get(how, how)}
    native = "resize_and_pad" if fit == "letterbox" else "resize"
    if fit == "crop":
        inputs["crop"] = "center"
    changed = None if image is None else builder.add(source, native, {"images": image, **inputs})
    marked = None
    if mask is not None:
        shown = (
            picture if image is None else builder.add(source, "mask_to_image", {"mask": mask}, suffix="mask-picture")
        )
        scaled = builder.add(source, native, {"images": shown, **inputs}, suffix="mask-size")
        marked = builder.add(source, "mask_from_image", {"images": scaled, "channel": "red"}, suffix="mask")
    return [changed, marked, None, size["width"], size["height"]]


def _grown(builder: Builder, source: Source) -> list[Value]:
    """MaskGrow: turned round, grown and blurred."""
    mask, blur = source.get("mask"), int(source.number("blur", 4))
    if source.flag("invert_mask", True):
        mask = builder.add(source, "invert_mask", {"mask": mask}, suffix="inverted")
    grow = {"mask": mask, "amount": source.get("grow", 4)}
    made = builder.add(source, "grow_mask", grow, suffix="grown" if blur else "")
    return [
        builder.add(source, "blur_mask", {"mask": made, "radius": blur * 3, "sigma": float(blur)}) if blur else made
    ]


def _joined(builder: Builder, source: Source) -> list[Value]:
    """TextJoin: up to four texts."""
    texts = [text for number in range(1, 5) if (text := source.get(f"text_{number}")) is not None]
    places = dict(zip(("first", "second", "third", "fourth"), texts, strict=False))
    return [builder.add(source, "text_join", {**places, "separator": ", ", "skip_empty": False})]


def _freed(builder: Builder, source: Source) -> list[Value]:
    """PurgeVRAM: memory is freed when it is wanted."""
    source.used |= set(source.inputs)
    anything = source.get("anything")
    return [anything] if isinstance(anything, Ref) else []


def _shades(builder: Builder, source: Source) -> list[Value]:
    """Brightness & Contrast: factors."""
    if source.number("contrast", 1.0) != 1:
        source.remark("contrast is changed about middle grey; the node takes the picture's mean")
    inputs = {"images": source.get("image"), "gain": source.get("brightness", 1.0)}
    named = {name: source.get(name, 1.0) for name in ("contrast", "saturation")}
    return [builder.add(source, "adjust_image", {**inputs, **named})]


def _hsv(builder: Builder, source: Source) -> list[Value]:
    shift = {"hue": source.number("H", 0) / 255 * 360}
    shift |= {name: source.number(letter, 0) / 255 for name, letter in (("saturation", "S"), ("value", "V"))}
    return [builder.add(source, "shift_hsv", {"images": source.get("image"), **shift})]


def _softened(builder: Builder, source: Source) -> list[Value]:
    """GaussianBlur: the spread in pixels."""
    blur = source.number("blur", 20)
    if blur <= 0:
        return [source.get("image")]
    radius = max(1, min(512, round(3 * blur)))
    if radius < round(3 * blur):
        source.remark("what lies farther than 512 pixels away is left out")
    inputs = {"images": source.get("image"), "radius": radius, "sigma": max(0.1, min(10.0, blur / radius))}
    return [builder.add(source, "blur_image", inputs)]


def _opaque(builder: Builder, source: Source) -> list[Value]:
    """ImageRemoveAlpha: the colours, or those over a background."""
    image = source.get("RGBA_image")
    parts = builder.add(source, "split_alpha", {"images": image}, suffix="parts")
    mask = source.get("mask")
    if not source.flag("fill_background", False):
        source.used.add("background_color")
        return [parts]
    if mask is None:
        mask = builder.add(source, "invert_mask", {"mask": builder.ref(parts.node, "mask")}, suffix="seen")
    size = builder.add(source, "image_size", {"images": image}, suffix="size")
    edges = {edge: builder.ref(size.node, edge) for edge in ("width", "height")}
    below = builder.add(
        source, "solid_image", {**edges, "color": source.text("background_color", "#000000").lower()}, suffix="below"
    )
    return [builder.add(source, "composite_images", {"destination": below, "source": parts, "mask": mask})]


def _transparent(builder: Builder, source: Source) -> list[Value]:
    """ImageCombineAlpha: the mask says what is seen."""
    hidden = builder.add(source, "invert_mask", {"mask": source.get("mask")}, suffix="hidden")
    return [builder.add(source, "join_alpha", {"images": source.get("RGB_image"), "mask": hidden})]


def _scaled(builder: Builder, source: Source) -> list[Value]:
    """ImageScaleRestore: another size, or the one that another of these nodes has noted."""
    image, mask, before = source.get("image"), source.get("mask"), source.fused("original_size", "size of a picture")
    method = source.text("method", "lanczos")
    inputs: dict[str, Any] = {"method": _METHODS.get(method, method)}
    if source.flag("scale_by_longest_side", False):  # the first version
        way, length = "longest", source.get("longest_side", 1024)
    else:
        source.used.add("longest_side")
        way, length = source.text("scale_by", "by_scale"), source.get("scale_by_length", 1024)
    scale = source.get("scale", 1.0)
    size = builder.add(source, "image_size", {"images": image}, suffix="before")
    noted = {edge: builder.ref(size.node, edge) for edge in ("width", "height")}
    if before is not None:
        inputs |= before.parts
    elif way == "by_scale":
        inputs["scale"] = scale
    elif way in ("longest", "shortest", "width", "height"):
        edge = {"longest": "max(a, b)", "shortest": "min(a, b)", "width": "a", "height": "b"}[way]
        inputs["scale"] = sized(source, builder, image, f"c / {edge}", suffix="scale", c=length)
    else:
        raise RefusedError(f"its scale_by {way} has no native counterpart")
    made = builder.add(source, "resize", {"images": image, **inputs})
    after = builder.add(source, "image_size", {"images": made}, suffix="after")
    edges = {edge: builder.ref(after.node, edge) for edge in ("width", "height")}
    marked = None
    if mask is not None:
        marked = builder.add(source, "resize_mask", {"mask": mask, **edges, "method": inputs["method"]}, suffix="mask")
    return [made, marked, Fused("size of a picture", noted, (source.id,)), edges["width"], edges["height"]]


def _scaled_as(builder: Builder, source: Source) -> list[Value]:
    """ImageMaskScaleAs: the size of another picture, or mask."""
    other, image, mask = source.get("scale_as"), source.get("image"), source.get("mask")
    if isinstance(other, Ref) and builder.type_of(other).name == "mask":
        other = builder.add(source, "mask_to_image", {"mask": other}, suffix="as")
    whole = builder.add(source, "image_size", {"images": other}, suffix="wanted")
    edges = {edge: builder.ref(whole.node, edge) for edge in ("width", "height")}
    method, fit = source.text("method", "lanczos"), source.text("fit", "letterbox")
    if fit not in _FITS:
        raise RefusedError(f"its way to fit {fit} has no native counterpart")
    native = "resize_and_pad" if fit == "letterbox" else "resize"
    inputs: dict[str, Any] = {
        **edges,
        "method": _METHODS.get(method, method),
        **({"crop": "center"} if fit == "crop" else {}),
    }
    color = {"color": source.text("background_color", "#000000").lower()} if fit == "letterbox" else {}
    made = marked = None
    if image is not None:
        made = builder.add(source, native, {"images": image, **inputs, **color})
    if mask is not None:
        picture = builder.add(source, "mask_to_image", {"mask": mask}, suffix="mask-picture")
        scaled = builder.add(source, native, {"images": picture, **inputs}, suffix="mask-size")
        marked = builder.add(source, "mask_from_image", {"images": scaled, "channel": "red"}, suffix="mask")
    if image is None and mask is None:
        raise RefusedError("neither a picture nor a mask is linked")
    before = builder.add(source, "image_size", {"images": image if image is not None else picture}, suffix="before")
    noted = {edge: builder.ref(before.node, edge) for edge in ("width", "height")}
    return [made, marked, Fused("size of a picture", noted, (source.id,)), edges["width"], edges["height"]]


def _channel(builder: Builder, source: Source) -> list[Value]:
    """ImageToMask: one channel, as it is."""
    channels = {"R(RGB)": "red", "G(RGB)": "green", "B(RGB)": "blue", "alpha": "alpha", "Y(YUV)": "brightness", "L(LAB)": "brightness"}  # fmt: skip
    name = source.text("channel", "L(LAB)")
    if name not in channels:
        raise RefusedError(f"its channel {name} has no native counterpart")
    if name == "L(LAB)":
        source.remark("brightness is taken for lightness (L of LAB)")
    standard = {"black_point": 0.0, "white_point": 255.0, "gray_point": 1.0}
    if any(source.number(point, value) != value for point, value in standard.items()):
        raise RefusedError("its points of black, white and grey have no native counterpart")
    turned = source.flag("invert_output_mask", False)
    inputs = {"images": source.get("image"), "channel": channels[name]}
    made = builder.add(source, "mask_from_image", inputs, suffix="channel" if turned else "")
    return [builder.add(source, "invert_mask", {"mask": made}) if turned else made]


def _selected(builder: Builder, source: Source) -> list[Value]:
    """BatchSelector: pictures and masks by their places."""
    places = source.get("select", "0,")
    image, mask = source.get("images"), source.get("masks")
    made = marked = None
    if image is not None:
        made = builder.add(source, "pick_images", {"images": image, "places": places})
    if mask is not None:
        picture = builder.add(source, "mask_to_image", {"mask": mask}, suffix="mask-picture")
        taken = builder.add(source, "pick_images", {"images": picture, "places": places}, suffix="mask-taken")
        marked = builder.add(source, "mask_from_image", {"images": taken, "channel": "red"}, suffix="mask")
    return [made, marked]


def _shares(builder: Builder, source: Source) -> list[Value]:
    """XY to Percent: the middle of a layer whose corner is at a place, in percent of the picture below."""
    whole = builder.add(source, "image_size", {"images": source.get("background_image")}, suffix="whole")
    layer = builder.add(source, "image_size", {"images": source.get("layer_image")}, suffix="layer")
    return [
        expression(
            builder,
            source,
            "(a + b / 2) / c * 100",
            {"a": source.get(axis, 0), "b": builder.ref(layer.node, edge), "c": builder.ref(whole.node, edge)},
        )[0]
        for axis, edge in (("x", "width"), ("y", "height"))
    ]


def _hub(builder: Builder, source: Source) -> list[Value]:
    """ImageHub: the picture of a number."""
    if source.flag("random_output", False):
        raise RefusedError("it draws which picture it gives, for every run anew")
    chosen = source.get(f"image{int(source.number('output', 1))}")
    source.used |= set(source.numbered("image"))
    if chosen is None:
        raise RefusedError("the picture that it chooses is not linked")
    return [chosen]


def _saved(builder: Builder, source: Source) -> list[Value]:
    """SaveImagePlus: PNG or JPEG."""
    source.used |= {"timestamp", "meta_data", "blind_watermark", "preview", "save_workflow_as_json", "custom_path"}
    if source.text("blind_watermark", ""):
        source.remark("no watermark is hidden in the picture")
    if source.text("custom_path", ""):
        source.remark("it is saved in the folder of the run, not at its custom_path")
    format = source.text("format", "png").lower()
    prefix = PREFIX.to_native(source.text("filename_prefix", "ComfyUI"))
    inputs: dict[str, Any] = {"images": source.get("images"), "filename_prefix": prefix, "rounding": "truncate"}
    inputs |= {"format": "jpeg" if format in ("jpg", "jpeg") else format, "quality": source.get("quality", 80)}
    builder.add(source, "save_image", inputs)
    return []


RULES: tuple[AnyRule, ...] = (
    *(
        Made(f"LayerColor: {name}", ("adjust_image",), _shades, says="adjust_image", pack=_PACK)
        for name in ("Brightness & Contrast", "BrightnessContrastV2")
    ),
    Made("LayerColor: HSV", ("shift_hsv",), _hsv, says="shift_hsv", pack=_PACK),
    Rule("LayerColor: Negative", "invert_image", "image:images", pack=_PACK, back=False),
    *(Made(f"LayerFilter: GaussianBlur{version}", ("blur_image",), _softened, says="blur_image", pack=_PACK) for version in ("", "V2")),
    Made("LayerUtility: ImageRemoveAlpha", ("split_alpha", "invert_mask", "image_size", "solid_image", "composite_images"), _opaque,
         says="split_alpha, and composite_images over the background", pack=_PACK),
    Made("LayerUtility: ImageCombineAlpha", ("invert_mask", "join_alpha"), _transparent, says="join_alpha", pack=_PACK),
    *(
        Made(f"LayerUtility: ImageScaleRestore{version}", ("image_size", "expression", "resize", "resize_mask"), _scaled,
             says="resize, and resize_mask", pack=_PACK)
        for version in ("", " V2")
    ),
    *(
        Made(f"LayerUtility: ImageMaskScaleAs{version}", ("image_size", "resize", "resize_and_pad", "mask_to_image", "mask_from_image"), _scaled_as,
             says="resize or resize_and_pad, of the picture and of its mask", pack=_PACK)
        for version in ("", "V2")
    ),
    Made("LayerMask: ImageToMask", ("mask_from_image", "invert_mask"), _channel, says="mask_from_image", pack=_PACK),
    Made("LayerUtility: BatchSelector", ("pick_images", "mask_to_image", "mask_from_image"), _selected, says="pick_images", pack=_PACK),
    Made("LayerUtility: XY to Percent", ("image_size", "expression"), _shares, says="image_size and expression", pack=_PACK),
    Made("LayerUtility: ImageHub", (), _hub, says="the chosen picture", pack=_PACK),
    Made("LayerUtility: SaveImagePlus", ("save_image",), _saved, says="save_image", pack=_PACK),
    *(
        Made(f"LayerUtility: {name}", (native,), value_node(native, input), says=native, pack=_PACK)
        for name, native, input in (("TextBox", "text_value", "text"), ("String", "text_value", "string"), ("Seed", "seed_value", "seed"))
    ),
    *(
        Made(f"LayerUtility: {name}", (native, "to_text"), _told(native, input), says=native, pack=_PACK)
        for name, native, input in (("Integer", "int_value", "int_value"), ("Float", "float_value", "float_value"), ("Boolean", "bool_value", "bool_value"))
    ),
    *(Made(f"LayerUtility: BooleanOperator{version}", ("expression", "to_text"), _judged, says="expression", pack=_PACK) for version in ("", "V2")),
    *(Made(f"LayerUtility: NumberCalculator{version}", ("expression", "to_text"), _computed, says="expression", pack=_PACK) for version in ("", "V2")),
    Made("LayerUtility: StringCondition", ("text_compare", "text_contains", "bool_math", "to_text"), _found, says="text_contains or text_compare", pack=_PACK),
    Rule("LayerUtility: If ", "switch", "if_condition:select when_TRUE:on_true when_FALSE:on_false", pack=_PACK, back=False),
    Made("LayerUtility: SwitchCase", (), _case, says="the chosen input", pack=_PACK),
    Made("LayerUtility: TextJoin", ("text_join",), _joined, says="text_join", pack=_PACK),
    Made("LayerUtility: PurgeVRAM", (), _freed, says="nothing: it changes no picture", pack=_PACK),
    Made("LayerUtility: ImageScaleByAspectRatio V2", ("image_size", "expression", "resize", "resize_and_pad", "mask_to_image", "mask_from_image"), _fitted,
         says="image_size, expression and resize or resize_and_pad", pack=_PACK),
    Made("LayerMask: MaskGrow", ("invert_mask", "grow_mask", "blur_mask"), _grown, says="invert_mask, grow_mask and blur_mask", pack=_PACK),
    Rule("LayerMask: MaskInvert", "invert_mask", "mask", pack=_PACK, back=False),
    Rule("LayerUtility: GetImageSize", "image_size", "image:images", "width height", pack=_PACK, back=False),
    Rule("LayerUtility: ColorImage", "solid_image", "width height color", pack=_PACK, back=False),
)  # fmt: skip
"""By ComfyUI type."""
