"""Pictures, masks and numbers of the custom pack ComfyUI_essentials, which is under the MIT licence."""

from __future__ import annotations

from typing import Any

from ..building import Builder, Const, Fused, Lost, Ref, RefusedError, Source, Value
from .rule import AnyRule, Made, Rule
from .values import expression

_PACK = "ComfyUI_essentials"
_KERNEL = "a square of an even edge is taken as one of the next odd edge"
_COMPARED = ("==", "!=", "<", "<=", ">", ">=")


def _composed(builder: Builder, source: Source) -> list[Value]:
    """ImageComposite+: a place, and an offset from it."""
    places: dict[str, Any] = {}
    for name in ("x", "y"):
        place, offset = source.get(name, 0), source.number(f"offset_{name}", 0)
        if offset:
            added = expression(builder, source, "a + b", {"a": place, "b": Const(offset)})
            places[name] = added[1]
        else:
            places[name] = place
    inputs = {name: source.get(name) for name in ("destination", "source", "mask")}
    return [builder.add(source, "composite_images", inputs | places)]


def _some(builder: Builder, source: Source) -> list[Value]:
    """ImageFromBatch+: a length below zero is all of them."""
    length, count = source.get("length", -1), builder.spec("images_from_batch").inputs["length"]
    if isinstance(length, Const) and source.number("length", -1) < 0:
        length = Const(next(most for most in (4096, 1024, 256, 64) if count.check(most)[1] is None))
    inputs = {"images": source.get("image"), "start": source.get("start", 0), "length": length}
    return [builder.add(source, "images_from_batch", inputs)]


def _some_masks(builder: Builder, source: Source) -> list[Value]:
    picture = builder.add(source, "mask_to_image", {"mask": source.get("mask")}, suffix="picture")
    inputs = {"images": picture, "start": source.get("start", 0), "length": source.get("length", 1)}
    taken = builder.add(source, "images_from_batch", inputs, suffix="taken")
    return [builder.add(source, "mask_from_image", {"images": taken, "channel": "red"})]


def _blurred(builder: Builder, source: Source, mask: Value, amount: int, suffix: str) -> Ref:
    """Blur by a square of an odd number of pixels, with the deviation that torchvision takes for it."""
    edge = amount + (amount % 2 == 0)
    inputs = {"mask": mask, "radius": edge // 2, "sigma": 0.3 * ((edge - 1) * 0.5 - 1) + 0.8}
    return builder.add(source, "blur_mask", inputs, suffix=suffix)


def _bounded(builder: Builder, source: Source) -> list[Value]:
    """MaskBoundingBox+: the mask and a picture cut to the box of what is marked."""
    mask, image = source.get("mask"), source.get("image_optional")
    blur = int(source.number("blur", 0))
    if image is None:
        image = builder.add(source, "mask_to_image", {"mask": mask}, suffix="picture")
    if blur:
        mask = _blurred(builder, source, mask, blur, "blurred")
    box = builder.add(source, "mask_bounds", {"mask": mask, "padding": source.get("padding", 0)}, suffix="box")
    found = {name: builder.ref(box.node, name) for name in ("x", "y", "width", "height")}
    cut = builder.add(source, "crop_mask", {"mask": mask, **found})
    return [cut, builder.add(source, "crop_image", {"images": image, **found}, suffix="image"), *found.values()]


def _fixed(builder: Builder, source: Source) -> list[Value]:
    """MaskFix+: erode or dilate, close holes, open specks, smooth, blur."""
    mask = source.get("mask")
    grown = int(source.number("erode_dilate", 0))
    steps = (
        ("dilate" if grown > 0 else "erode", abs(grown)),
        ("close", int(source.number("fill_holes", 0))),
        ("open", int(source.number("remove_isolated_pixels", 0))),
    )
    wanted = [(operation, size) for operation, size in steps if size]
    if wanted:
        made = builder.add(source, "mask_to_image", {"mask": mask}, suffix="picture")
        for operation, size in wanted:
            if size % 2 == 0:
                source.remark(_KERNEL)
            inputs = {"images": made, "operation": operation, "size": size + (size % 2 == 0)}
            made = builder.add(source, "morphology", inputs, suffix=operation)
        mask = builder.add(source, "mask_from_image", {"images": made, "channel": "red"}, suffix="mask")
    smooth, blur = int(source.number("smooth", 0)), int(source.number("blur", 0))
    if smooth:
        hard = builder.add(source, "threshold_mask", {"mask": mask, "threshold": 0.5}, suffix="hard")
        mask = _blurred(builder, source, hard, smooth, "smooth")
    return [_blurred(builder, source, mask, blur, "") if blur else mask]


def _smoothed(builder: Builder, source: Source) -> list[Value]:
    amount = int(source.number("amount", 0))
    if not amount:
        return [source.get("mask")]
    hard = builder.add(source, "threshold_mask", {"mask": source.get("mask"), "threshold": 0.5}, suffix="hard")
    return [_blurred(builder, source, hard, amount, "")]


def _twice(builder: Builder, source: Source) -> list[Value]:
    """SimpleMathDual+: two expressions of the same values."""
    values = {name: value for name in "abcd" if (value := source.get(name)) is not None}
    found: list[Value] = []
    for number in ("1", "2"):
        text = source.text(f"value_{number}")
        if not text:
            raise RefusedError(f"its value_{number} is empty")
        made = builder.add(source, "expression", {"expression": text, **values}, suffix=number)
        whole = builder.add(source, "to_int", {"value": made, "rounding": "nearest"}, suffix=f"int{number}")
        found += [whole, made]
    return found


def _slid(builder: Builder, source: Source) -> list[Value]:
    """SimpleMathSlider+: a share of the way from min to max."""
    low, high = source.number("min", 0.0), source.number("max", 1.0)
    value, digits = low + source.number("value", 0.5) * (high - low), int(source.number("rounding", 0))
    value = round(value, min(digits, 10)) if digits > 0 else value
    real = builder.add(source, "float_value", {"value": value})
    return [Ref(real.node, real.output, value), builder.add(source, "int_value", {"value": int(value)}, suffix="int")]


def _yes(builder: Builder, source: Source) -> list[Value]:
    """SimpleMathBoolean+: a truth value, and the same as a number."""
    made = builder.add(source, "bool_value", {"value": source.get("value", False)})
    return [made, builder.add(source, "to_int", {"value": made}, suffix="int")]


def _compared(builder: Builder, source: Source) -> list[Value]:
    how = source.text("comparison", "==")
    if how not in _COMPARED:
        raise RefusedError(f"its comparison {how} has no native counterpart")
    return expression(builder, source, f"a {how} b", {name: source.get(name, 0) for name in "ab"})[2:3]


def _counted(builder: Builder, source: Source) -> list[Value]:
    """BatchCount+: of pictures, masks, latents or a list."""
    batch = source.get("batch")
    if batch is None or isinstance(batch, Const | Fused | Lost) or not isinstance(batch, Ref):
        raise RefusedError("its input batch is no batch")
    kind = builder.type_of(batch).name
    if kind == "mask":
        batch = builder.add(source, "mask_to_image", {"mask": batch}, suffix="picture")
    natives = {"image": ("image_size", "images"), "mask": ("image_size", "images"), "latent": ("latent_size", "latent")}
    if kind not in natives:
        return [builder.add(source, "list_length", {"items": batch})]
    native, name = natives[kind]
    return [builder.ref(builder.add(source, native, {name: batch}).node, "batch_size")]


def _same(builder: Builder, source: Source) -> list[Value]:
    source.used |= set(source.inputs)
    return [source.get("model")]


def _shown(builder: Builder, source: Source) -> list[Value]:
    builder.add(source, "show", {"value": source.get("input")})
    return []


_MASK_WAY = "between mask_to_image and mask_from_image"

RULES: tuple[AnyRule, ...] = (
    Made("ImageComposite+", ("composite_images", "expression"), _composed, says="composite_images", pack=_PACK),
    Made("ImageFromBatch+", ("images_from_batch",), _some, says="images_from_batch", pack=_PACK),
    Rule("ImageListToBatch+", "batch_images", "image:images[]", fixed={"resize": True}, pack=_PACK, back=False),
    Rule("ImageCompositeFromMaskBatch+", "composite_images", "image_from:destination image_to:source mask", fixed={"resize_source": True}, pack=_PACK,
         differs="a picture of another size is stretched, not cut", back=False),
    Rule("MaskBatch+", "batch_masks", "mask1:masks[] mask2:masks[]", pack=_PACK, back=False),
    Made("MaskFromBatch+", ("mask_to_image", "images_from_batch", "mask_from_image"), _some_masks, says=f"images_from_batch, {_MASK_WAY}", pack=_PACK),
    Made("MaskBoundingBox+", ("mask_to_image", "blur_mask", "mask_bounds", "crop_mask", "crop_image"), _bounded, says="mask_bounds, crop_mask and crop_image", pack=_PACK),
    Made("MaskFix+", ("mask_to_image", "morphology", "mask_from_image", "threshold_mask", "blur_mask"), _fixed, says="morphology and blur_mask", pack=_PACK),
    Made("MaskSmooth+", ("threshold_mask", "blur_mask"), _smoothed, says="threshold_mask and blur_mask", pack=_PACK),
    Made("SimpleMathDual+", ("expression", "to_int"), _twice, says="two expressions", pack=_PACK),
    Made("SimpleMathSlider+", ("float_value", "int_value"), _slid, says="float_value and int_value", pack=_PACK),
    Made("SimpleMathBoolean+", ("bool_value", "to_int"), _yes, says="bool_value and to_int", pack=_PACK),
    Made("SimpleComparison+", ("expression",), _compared, says="expression", pack=_PACK),
    Made("BatchCount+", ("image_size", "latent_size", "list_length", "mask_to_image"), _counted, says="image_size, latent_size or list_length", pack=_PACK),
    Made("ModelCompile+", (), _same, says="nothing: compiling changes speed alone", pack=_PACK),
    Made("DisplayAny", ("show",), _shown, says="show", pack=_PACK),
    Rule("SimpleMathPercent+", "float_value", "value", pack=_PACK, back=False),
)  # fmt: skip
"""By ComfyUI type."""
