"""LayerStyle's layers: pictures put over others with blend modes, shadows, glows and strokes (MIT licence)."""

from __future__ import annotations

from ..building import Builder, Fused, Lost, Ref, RefusedError, Source, Value
from .rule import AnyRule, Made, Make
from .values import expression

_PACK = "ComfyUI_LayerStyle"
_MODES = {
    "normal": "normal", "multply": "multiply", "multiply": "multiply", "screen": "screen", "overlay": "overlay",
    "soft light": "soft_light", "hard light": "hard_light", "vivid light": "vivid_light", "linear light": "linear_light",
    "pin light": "pin_light", "hard mix": "hard_mix", "difference": "difference", "exclusion": "exclusion", "add": "add",
    "subtract": "subtract", "divide": "divide", "darken": "darken", "darker": "darken", "lighten": "lighten",
    "lighter": "lighten", "color burn": "color_burn", "color dodge": "color_dodge", "dodge": "color_dodge",
    "linear burn": "linear_burn", "linear dodge": "add", "linear dodge(add)": "add", "hue": "hue",
    "saturation": "saturation", "color": "color", "luminosity": "luminosity",
}  # fmt: skip
BOX = "crop box"


def blend_mode(source: Source, name: str = "blend_mode") -> str:
    """Return the native blend mode of an input.

    Raises:
        RefusedError: There is none.
    """
    mode = source.text(name, "normal").lower().replace("_", " ")
    if mode not in _MODES:
        raise RefusedError(f"its {name} {mode} has no native counterpart")
    return _MODES[mode]


def _blended(builder: Builder, source: Source, below: Value, above: Value, opacity: float, suffix: str) -> Ref:
    inputs = {"first": below, "second": above, "mode": blend_mode(source), "factor": max(0.0, min(1.0, opacity / 100))}
    return builder.add(source, "blend_images", inputs, suffix=suffix)


def _pasted(
    builder: Builder, source: Source, below: Value, above: Value, mask: Value, suffix: str = "", *, fits: bool = False
) -> Ref:
    inputs = {"destination": below, "source": above, "mask": mask, "resize_source": fits}
    return builder.add(source, "composite_images", inputs, suffix=suffix)


def _mask(builder: Builder, source: Source, *, alpha: bool = True) -> Value:
    """Return what is seen of the layer: its mask, turned round where the node says so, else its alpha."""
    mask, inverted = source.get("layer_mask"), source.flag("invert_mask", True)
    if mask is None or isinstance(mask, Lost):
        if not alpha:
            return None
        source.remark(
            "without a mask, a layer without alpha covers all that is below; the node leaves such a layer out"
        )
        parts = builder.add(source, "split_alpha", {"images": source.get("layer_image")}, suffix="alpha")
        return builder.add(source, "invert_mask", {"mask": builder.ref(parts.node, "mask")}, suffix="seen")
    return builder.add(source, "invert_mask", {"mask": mask}, suffix="seen") if inverted else mask


def _grown(builder: Builder, source: Source, mask: Value, grow: int, blur: float, suffix: str) -> Value:
    """Grow and soften a mask, as the node's own masks are."""
    if grow:
        mask = builder.add(source, "grow_mask", {"mask": mask, "amount": grow}, suffix=f"{suffix}-grown")
    if blur > 0:
        radius = max(1, min(512, round(3 * blur)))
        mask = builder.add(
            source, "blur_mask", {"mask": mask, "radius": radius, "sigma": float(blur)}, suffix=f"{suffix}-soft"
        )
    return mask


def _shifted(builder: Builder, source: Source, mask: Value, x: int, y: int) -> Value:
    """Move what is in a mask; what leaves it is lost, what comes in is 0."""
    if not x and not y:
        return mask
    moved = mask
    if x < 0 or y < 0:
        rest = {"x": max(0, -x), "y": max(0, -y), "width": 8192, "height": 8192}
        moved = builder.add(source, "crop_mask", {"mask": mask, **rest}, suffix="cut")
    none = {"destination": mask, "source": mask, "operation": "subtract"}
    empty = builder.add(source, "compose_masks", none, suffix="empty")
    put = {"destination": empty, "source": moved, "x": max(0, x), "y": max(0, y), "operation": "add"}
    return builder.add(source, "compose_masks", put, suffix="moved")


def _of_color(builder: Builder, source: Source, color: str, suffix: str = "color") -> Ref:
    """Make a picture of one colour and of the layer's size."""
    size = builder.add(source, "image_size", {"images": source.get("layer_image")}, suffix="size")
    edges = {edge: builder.ref(size.node, edge) for edge in ("width", "height")}
    return builder.add(source, "solid_image", {**edges, "color": color.lower()}, suffix=suffix)


def _over(builder: Builder, source: Source) -> list[Value]:
    """ImageBlend: the layer, blended with what is below, where its mask is."""
    background, layer = source.get("background_image"), source.get("layer_image")
    mask = _mask(builder, source, alpha=False)
    opacity = source.number("opacity", 100)
    if mask is None:
        return [_blended(builder, source, background, layer, opacity, "")]
    mixed = _blended(builder, source, background, layer, opacity, "blended")
    return [_pasted(builder, source, background, mixed, mask)]


def _advanced(builder: Builder, source: Source) -> list[Value]:
    """ImageBlendAdvance: the layer is mirrored, scaled, turned and placed first."""
    background, layer, mask = (
        source.get("background_image"),
        source.get("layer_image"),
        _mask(builder, source, alpha=False),
    )
    source.used |= {"transform_method", "anti_aliasing"}
    mirror = source.text("mirror", "None")
    if mirror != "None":
        layer = builder.add(source, "flip_image", {"images": layer, "direction": mirror}, suffix="mirrored")
        if mask is not None:
            picture = builder.add(source, "mask_to_image", {"mask": mask}, suffix="mask-picture")
            flipped = builder.add(
                source, "flip_image", {"images": picture, "direction": mirror}, suffix="mirrored-mask"
            )
            mask = builder.add(source, "mask_from_image", {"images": flipped, "channel": "red"}, suffix="mask")
    share = {
        axis: source.number(f"{axis}_percent", 50) / 100
        if _is_literal(source, f"{axis}_percent")
        else expression(builder, source, "a / 100", {"a": source.get(f"{axis}_percent")})[0]
        for axis in "xy"
    }
    placed = builder.add(
        source,
        "place_image",
        {
            "destination": background, "source": layer, "mask": mask, **share, "scale": source.get("scale", 1.0),
            "stretch": source.get("aspect_ratio", 1.0), "degrees": source.number("rotate", 0.0) % 360,
        },
        suffix="placed",
    )  # fmt: skip
    mixed = _blended(builder, source, background, placed, source.number("opacity", 100), "blended")
    cover = builder.ref(placed.node, "mask")
    return [_pasted(builder, source, background, mixed, cover), cover]


def _is_literal(source: Source, name: str) -> bool:
    return not isinstance(source.inputs.get(name), Ref)


def _shadow(builder: Builder, source: Source) -> list[Value]:
    """DropShadow: a colour below the layer, where its mask is when it is moved, grown and softened."""
    background, layer, mask = source.get("background_image"), source.get("layer_image"), _mask(builder, source)
    x, y = (int(source.number(f"distance_{axis}", 25)) for axis in "xy")
    where = _grown(
        builder,
        source,
        _shifted(builder, source, mask, x, y),
        int(source.number("grow", 6)),
        source.number("blur", 18),
        "shadow",
    )
    color = _of_color(builder, source, _color(source, "shadow_color", "#000000"))
    dark = _blended(builder, source, background, color, source.number("opacity", 50), "blended")
    below = _pasted(builder, source, background, dark, where, "shadow")
    return [_pasted(builder, source, below, layer, mask)]


def _mixed(first: str, second: str, share: float) -> str:
    ends = [[int(color[place : place + 2], 16) for place in (1, 3, 5)] for color in (first, second)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(*ends, strict=True))


def _color(source: Source, name: str, default: str) -> str:
    text = source.text(name, default)
    if len(text) != 7 or not text.startswith("#") or any(letter not in "0123456789abcdefABCDEF" for letter in text[1:]):
        raise RefusedError(f"its {name} is no colour as #rrggbb: {text[:40]}")
    return text


def _glow(*, inside: bool) -> Make:
    """Return a function for OuterGlow and InnerGlow: several soft edges, brighter towards the shape."""

    def make(builder: Builder, source: Source) -> list[Value]:
        background, layer, mask = source.get("background_image"), source.get("layer_image"), _mask(builder, source)
        rounds = max(1, min(20, int(source.number("brightness", 5))))
        reach, blur = int(source.number("glow_range", 48)), source.number("blur", 25) / 20
        light, glow = _color(source, "light_color", "#FFBF30"), _color(source, "glow_color", "#FE0000")
        opacity = source.number("opacity", 100)
        below, grow = (layer if inside else background), reach
        for number in range(rounds):
            share = number / rounds
            where = _grown(builder, source, mask, -grow if inside else grow, int(grow * blur), f"glow-{number}")
            if inside:
                where = builder.add(source, "invert_mask", {"mask": where}, suffix=f"outside-{number}")
            color = _of_color(builder, source, _mixed(glow, light, share), f"color-{number}")
            strength = 1 + (opacity - 1) * share
            bright = _blended(builder, source, below, color, strength, f"blended-{number}")
            below = _pasted(builder, source, below, bright, where, f"glow-{number}")
            grow -= int(reach / rounds)
        if inside:
            return [_pasted(builder, source, background, below, mask)]
        return [_pasted(builder, source, below, layer, mask)]

    return make


def _inner_shadow(builder: Builder, source: Source) -> list[Value]:
    """InnerShadow: a colour on the layer, where what is outside its mask comes in when it is moved, grown and softened."""
    background, layer, mask = source.get("background_image"), source.get("layer_image"), _mask(builder, source)
    x, y = (int(source.number(f"distance_{axis}", 5)) for axis in "xy")
    moved = _shifted(builder, source, mask, x, y)
    lit = _grown(builder, source, moved, int(source.number("grow", 2)), source.number("blur", 15), "lit")
    where = builder.add(source, "invert_mask", {"mask": lit}, suffix="outside")
    color = _of_color(builder, source, _color(source, "shadow_color", "#000000"))
    dark = _blended(builder, source, layer, color, source.number("opacity", 50), "blended")
    shaded = _pasted(builder, source, layer, dark, where, "shadow")
    return [_pasted(builder, source, background, shaded, mask)]


def _stroke(builder: Builder, source: Source) -> list[Value]:
    """Stroke: a line of one colour along the edge of the mask."""
    background, layer, mask = source.get("background_image"), source.get("layer_image"), _mask(builder, source)
    width, blur = int(source.number("stroke_width", 8)), source.number("blur", 0)
    inner = int(source.number("stroke_grow", 0)) - int(width / 2)
    within = _grown(builder, source, mask, inner, blur, "inner")
    around = _grown(builder, source, mask, inner + width, blur, "outer")
    line = builder.add(
        source, "compose_masks", {"destination": around, "source": within, "operation": "subtract"}, suffix="line"
    )
    color = _of_color(builder, source, _color(source, "stroke_color", "#FF0000"))
    mixed = _blended(builder, source, layer, color, source.number("opacity", 100), "blended")
    below = _pasted(builder, source, background, layer, mask, "layer")
    return [_pasted(builder, source, below, mixed, line)]


def _overlay(*, gradient: bool) -> Make:
    """Return a function for ColorOverlay and GradientOverlay: a colour, or two, over the layer."""

    def make(builder: Builder, source: Source) -> list[Value]:
        background, layer, mask = source.get("background_image"), source.get("layer_image"), _mask(builder, source)
        if gradient:
            size = builder.add(source, "image_size", {"images": layer}, suffix="size")
            edges = {edge: builder.ref(size.node, edge) for edge in ("width", "height")}
            for name in ("start_alpha", "end_alpha"):
                if source.number(name, 255) != 255:
                    raise RefusedError(f"its {name} below 255 has no native counterpart")
            ends = {"start": _color(source, "start_color", "#FFBF30"), "end": _color(source, "end_color", "#FE0000")}
            turn = -source.number("angle", 0) % 360
            color = builder.add(
                source, "gradient_image", {**edges, **ends, "degrees": (turn + 180) % 360}, suffix="gradient"
            )
        else:
            color = _of_color(builder, source, _color(source, "color", "#FFBF30"))
        mixed = _blended(builder, source, layer, color, source.number("opacity", 100), "blended")
        return [_pasted(builder, source, background, mixed, mask)]

    return make


def _box(builder: Builder, source: Source, mask: Value) -> dict[str, Ref]:
    """Return place and size of what is marked, with the node's margins, inside the picture."""
    detect = source.text("detect", "mask_area")
    if detect not in ("mask_area", "min_bounding_rect"):
        raise RefusedError(f"its way to look for the box ({detect}) has no native counterpart")
    found = builder.add(source, "mask_bounds", {"mask": mask}, suffix="bounds")
    picture = builder.add(source, "mask_to_image", {"mask": mask}, suffix="bounds-picture")
    whole = builder.add(source, "image_size", {"images": picture}, suffix="whole")
    multiple = source.text("round_to_multiple", "None")
    step = int(multiple) if multiple.isdigit() and int(multiple) else 1
    if step > 1:
        source.remark("a box that is rounded beyond the edge of the picture is moved inside")
    box: dict[str, Ref] = {}
    for place, edge, near, far in (("x", "width", "left", "right"), ("y", "height", "top", "bottom")):
        before, after = (int(source.number(f"{side}_reserve", 0)) for side in (near, far))
        start, extent = builder.ref(found.node, place), builder.ref(found.node, edge)
        values = {"a": start, "b": extent, "c": builder.ref(whole.node, edge)}
        first, length = f"max(0, a - {before})", f"(min(c, a + b + {after}) - max(0, a - {before}))"
        if step > 1:
            rounded = f"min(c, ceil({length} / {step}) * {step})"
            first, length = f"max(0, min({first} - ({rounded} - {length}) // 2, c - {rounded}))", rounded
        for name, text in ((place, first), (edge, length)):
            found_ = expression(builder, source, text, values)[1]
            assert isinstance(found_, Ref)
            box[name] = found_
    return box


def _cropped(builder: Builder, source: Source) -> list[Value]:
    """CropByMask: picture and mask, cut to the box of what is marked."""
    image = source.get("image")
    mask = source.get("mask_for_crop") if "mask_for_crop" in source.inputs else source.get("mask")
    if source.flag("invert_mask", False):
        mask = builder.add(source, "invert_mask", {"mask": mask}, suffix="seen")
    given = source.fused("crop_box", BOX)
    if given is not None:
        source.used |= {
            "detect", "round_to_multiple", *(f"{side}_reserve" for side in ("top", "bottom", "left", "right"))
        }  # fmt: skip
    box = dict(given.parts) if given is not None else _box(builder, source, mask)
    cut = builder.add(source, "crop_image", {"images": image, **box})
    marked = builder.add(source, "crop_mask", {"mask": mask, **box}, suffix="mask")
    return [cut, marked, Fused(BOX, box, (source.id,)), None]


def _restored(builder: Builder, source: Source) -> list[Value]:
    """RestoreCropBox: a picture back to where it was cut out."""
    box = source.part("crop_box", BOX)
    mask, image = source.get("croped_mask"), source.get("croped_image")
    if mask is not None and source.flag("invert_mask", False):
        mask = builder.add(source, "invert_mask", {"mask": mask}, suffix="seen")
    edges = {edge: box.parts[edge] for edge in ("width", "height")}
    sized_ = builder.add(source, "resize", {"images": image, **edges, "method": "lanczos_8bit"}, suffix="fitted")
    inputs = {"destination": source.get("background_image"), "source": sized_, "mask": mask}
    places = {place: box.parts[place] for place in ("x", "y")}
    made = builder.add(source, "composite_images", {**inputs, **places}, ids=box.ids)
    return [made, None]


def _extended(builder: Builder, source: Source) -> list[Value]:
    """ExtendCanvas: margins of one colour; the mask is 1 there, or as the layer's mask says."""
    sides = {side: int(source.number(side, 0)) for side in ("left", "top", "right", "bottom")}
    if min(sides.values()) < 0:
        raise RefusedError("a canvas that becomes smaller has no native counterpart here")
    image, mask = source.get("image"), source.get("mask")
    made = builder.add(source, "pad_image", {"images": image, **sides, "color": _color(source, "color", "#000000")})
    if mask is None:
        source.used.add("invert_mask")
        parts = builder.add(source, "split_alpha", {"images": image}, suffix="alpha")
        mask = builder.add(source, "invert_mask", {"mask": builder.ref(parts.node, "mask")}, suffix="seen")
    elif source.flag("invert_mask", True):
        mask = builder.add(source, "invert_mask", {"mask": mask}, suffix="seen")
    picture = builder.add(source, "mask_to_image", {"mask": mask}, suffix="mask-picture")
    wide = builder.add(source, "pad_image", {"images": picture, **sides, "color": "#000000"}, suffix="mask-wide")
    return [made, builder.add(source, "mask_from_image", {"images": wide, "channel": "red"}, suffix="mask")]


_BLENDS = ("invert_mask", "split_alpha", "blend_images", "composite_images")
_EFFECTS = (*_BLENDS, "grow_mask", "blur_mask", "compose_masks", "crop_mask", "image_size", "solid_image")

RULES: tuple[AnyRule, ...] = (
    *(
        Made(f"LayerUtility: ImageBlend{version}", _BLENDS, _over, says="blend_images, and composite_images where there is a mask", pack=_PACK)
        for version in ("", " V2")
    ),
    *(
        Made(f"LayerUtility: ImageBlendAdvance{version}", (*_BLENDS, "place_image", "flip_image", "mask_to_image", "mask_from_image", "expression"), _advanced,
             says="place_image, blend_images and composite_images", differs="the layer is resampled bicubically, and turned bilinearly", pack=_PACK)
        for version in ("", " V2", " V3")
    ),
    *(
        Made(f"LayerStyle: {name}{version}", natives, make, says=says, pack=_PACK)
        for name, natives, make, says in (
            ("DropShadow", _EFFECTS, _shadow, "blend_images and composite_images of the shadow, then of the layer"),
            ("OuterGlow", _EFFECTS, _glow(inside=False), "blend_images and composite_images for each step of the glow"),
            ("InnerGlow", _EFFECTS, _glow(inside=True), "blend_images and composite_images for each step of the glow"),
            ("InnerShadow", _EFFECTS, _inner_shadow, "blend_images and composite_images of the shadow, then of the layer"),
            ("Stroke", _EFFECTS, _stroke, "composite_images of the layer, then of the line"),
            ("ColorOverlay", _EFFECTS, _overlay(gradient=False), "blend_images and composite_images"),
            ("GradientOverlay", (*_EFFECTS, "gradient_image"), _overlay(gradient=True), "gradient_image, blend_images and composite_images"),
        )
        for version in ("", " V2")
    ),
    *(
        Made(f"LayerUtility: CropByMask{version}", ("mask_bounds", "mask_to_image", "image_size", "expression", "crop_image", "crop_mask", "invert_mask"), _cropped,
             says="mask_bounds, crop_image and crop_mask", pack=_PACK)
        for version in ("", " V2", " V3")
    ),
    Made("LayerUtility: RestoreCropBox", ("resize", "composite_images", "invert_mask"), _restored, says="resize and composite_images", pack=_PACK),
    *(
        Made(f"LayerUtility: ExtendCanvas{version}", ("pad_image", "split_alpha", "invert_mask", "mask_to_image", "mask_from_image"), _extended,
             says="pad_image, of the picture and of its mask", pack=_PACK)
        for version in ("", "V2")
    ),
)  # fmt: skip
"""By ComfyUI type."""
