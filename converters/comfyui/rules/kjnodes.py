"""Pictures, masks, latents and switches of the custom pack KJNodes, by its documentation (its code is under the GPL)."""

from __future__ import annotations

from typing import Any

from ..building import Builder, Const, Fused, Ref, RefusedError, Source, Value
from .common import IMAGE_METHOD, METHOD, PREFIX
from .images import wanted_edges, with_size
from .rule import AnyRule, Made, Make, Rule
from .values import expression
from .vhs import picked

_PACK = "ComfyUI-KJNodes"
_METHODS = {**METHOD, **IMAGE_METHOD}


def mask_by(
    builder: Builder, source: Source, mask: Value, native: str, inputs: dict[str, Any], suffix: str = ""
) -> Ref:
    """Change a mask as a picture is changed."""
    picture = builder.add(source, "mask_to_image", {"mask": mask}, suffix=f"{suffix}picture")
    made = builder.add(source, native, {"images": picture, **inputs}, suffix=f"{suffix}changed")
    return builder.add(source, "mask_from_image", {"images": made, "channel": "red"}, suffix=suffix.rstrip("-"))


def _range(builder: Builder, source: Source) -> list[Value]:
    """GetImageRangeFromBatch: some pictures, and masks; -1 begins so many before the end."""
    start, count = int(source.number("start_index", 0)), int(source.number("num_frames", 1))
    places = Const(f"{start}:{start + count}") if start >= 0 else Const(f"-{count}:")
    images, masks = source.get("images"), source.get("masks")
    if images is None and masks is None:
        raise RefusedError("neither pictures nor masks are linked")
    made = picked(builder, source, images, places) if images is not None else None
    marked = None if masks is None else mask_by(builder, source, masks, "pick_images", {"places": places}, "mask-")
    return [made, marked]


def _at(name: str, indexes: str) -> Make:
    def make(builder: Builder, source: Source) -> list[Value]:
        return [picked(builder, source, source.get(name), source.get(indexes, "0"))]

    return make


def _stitched_all(builder: Builder, source: Source) -> list[Value]:
    """ImageConcatMulti: image_1, image_2 and so on, one beside the other."""
    source.used.add("inputcount")
    count = int(source.number("inputcount", 2))
    images = [value for number in range(1, count + 1) if (value := source.get(f"image_{number}")) is not None]
    if not images:
        raise RefusedError("none of its pictures is linked")
    inputs = {"direction": source.text("direction", "right"), "match_size": source.flag("match_image_size", False)}
    made = images[0]
    for number, image in enumerate(images[1:], 2):
        suffix = "" if number == len(images) else f"{number}"
        made = builder.add(source, "stitch_images", {"first": made, "second": image, **inputs}, suffix=suffix)
    return [made]


def _grid(columns: int, rows: int) -> Make:
    """Return a function for pictures in rows and columns."""

    def make(builder: Builder, source: Source) -> list[Value]:
        lines: list[Value] = []
        for row in range(rows):
            line: Value = source.get(f"image{row * columns + 1}")
            for column in range(1, columns):
                other = source.get(f"image{row * columns + column + 1}")
                inputs = {"first": line, "second": other, "direction": "right"}
                line = builder.add(source, "stitch_images", inputs, suffix=f"{row}-{column}")
            lines.append(line)
        made = lines[0]
        for row, line in enumerate(lines[1:], 1):
            suffix = "" if row == rows - 1 else f"rows-{row}"
            made = builder.add(
                source, "stitch_images", {"first": made, "second": line, "direction": "down"}, suffix=suffix
            )
        return [made]

    return make


def _sized_mask(builder: Builder, source: Source) -> list[Value]:
    """ResizeMask: stretched, cut, or within a size."""
    method = source.text("upscale_method", "nearest-exact")
    inputs: dict[str, Any] = {"method": _METHODS.get(method, method)}
    way = "within" if source.flag("keep_proportions", False) else "stretch"
    before = builder.add(source, "mask_to_image", {"mask": source.get("mask")}, suffix="in")
    inputs |= wanted_edges(builder, source, before, source.get("width", 512), source.get("height", 512), way)
    inputs["crop"] = "center" if way == "stretch" and source.text("crop", "disabled") == "center" else "none"
    made = mask_by(builder, source, source.get("mask"), "resize", inputs)
    picture = builder.add(source, "mask_to_image", {"mask": made}, suffix="out")
    return [made, *with_size(builder, source, picture)[1:]]


def _rounded(builder: Builder, source: Source) -> list[Value]:
    """RoundMask: 0 or 1."""
    half = {"mask": source.get("mask"), "threshold": 0.5}
    return [builder.add(source, "threshold_mask", half)]


def _by_mask(builder: Builder, source: Source) -> list[Value]:
    """ImageCropByMask: the picture cut to the box of what is marked."""
    image, mask = source.get("image"), source.get("mask")
    box = builder.add(source, "mask_bounds", {"mask": mask}, suffix="box")
    found = {name: builder.ref(box.node, name) for name in ("x", "y", "width", "height")}
    return [builder.add(source, "crop_image", {"images": image, **found})]


def _by_mask_sized(builder: Builder, source: Source) -> list[Value]:
    """ImageCropByMaskAndResize: a box around what is marked, with margins, brought to a length of its longer edge."""
    image, mask = source.get("image"), source.get("mask")
    padding, base = source.get("padding", 0), source.get("base_resolution", 512)
    source.used |= {"min_crop_resolution", "max_crop_resolution"}
    source.remark("the smallest and largest sizes of the cut-out are not kept")
    box = builder.add(source, "mask_bounds", {"mask": mask, "padding": padding}, suffix="box")
    found = {name: builder.ref(box.node, name) for name in ("x", "y", "width", "height")}
    cut = builder.add(source, "crop_image", {"images": image, **found}, suffix="cut")
    marked = builder.add(source, "crop_mask", {"mask": mask, **found}, suffix="mask-cut")
    sized = {"longest_edge": base, "method": "lanczos_8bit", "multiple_of": 8}
    made = builder.add(source, "resize", {"images": cut, **sized})
    small = mask_by(builder, source, marked, "resize", {**sized, "method": "bilinear"}, "mask-")
    return [made, small, Fused("box of a cut-out", found, (source.id,))]


def _back(builder: Builder, source: Source) -> list[Value]:
    """ImageUncropByMask: a picture back into the box that it was cut from."""
    box = source.part("bbox", "box of a cut-out")
    source.used.add("mask")
    mask = source.get("mask")
    edges = {edge: box.parts[edge] for edge in ("width", "height")}
    fitted = builder.add(
        source, "resize", {"images": source.get("source"), **edges, "method": "lanczos_8bit"}, suffix="fitted"
    )
    inputs = {"destination": source.get("destination"), "source": fitted, "mask": mask}
    return [builder.add(source, "composite_images", {**inputs, "x": box.parts["x"], "y": box.parts["y"]}, ids=box.ids)]


def _padded(builder: Builder, source: Source) -> list[Value]:
    """ImagePadKJ: margins of a colour or of the edge."""
    for name in ("target_width", "target_height"):
        if source.get(name) is not None and source.get(name) != Const(0):
            raise RefusedError(f"its input {name} has no native counterpart")
    extra = int(source.number("extra_padding", 0))
    sides = {side: int(source.number(side, 0)) + extra for side in ("left", "right", "top", "bottom")}
    mode = source.text("pad_mode", "edge")
    if mode not in ("edge", "color", "pillarbox_blur", "edge_pixel"):
        raise RefusedError(f"its pad_mode {mode} has no native counterpart")
    if mode == "pillarbox_blur":
        raise RefusedError("margins of the blurred picture have no native counterpart")
    inputs: dict[str, Any] = {"images": source.get("image"), **sides, "fill": "color" if mode == "color" else "edge"}
    numbers = [part for part in source.text("color", "0, 0, 0").replace(" ", "").split(",") if part.isdigit()]
    if mode == "color" and len(numbers) == 3:
        inputs["color"] = "#" + "".join(f"{min(255, int(number)):02x}" for number in numbers)
    elif mode == "edge":
        source.remark("margins repeat the pixels of the edge, where the node takes the edge's mean colour")
    made = builder.add(source, "pad_image", inputs)
    mask = source.get("mask")
    whole = builder.add(source, "image_size", {"images": source.get("image")}, suffix="size")
    edges = {edge: builder.ref(whole.node, edge) for edge in ("width", "height")}
    kept = mask
    if kept is None:
        kept = builder.add(source, "solid_mask", {**edges, "value": 0.0}, suffix="kept")
    return [made, mask_by(builder, source, kept, "pad_image", {**sides, "color": "#ffffff"}, "mask-")]


def _colored(builder: Builder, source: Source) -> list[Value]:
    """ColorToMask: where a colour is."""
    source.used.add("per_batch")
    color = "#" + "".join(f"{max(0, min(255, int(source.number(name, 0)))):02x}" for name in ("red", "green", "blue"))
    turned = source.flag("invert", False)
    tolerance = max(0, min(255, int(source.number("threshold", 10))))
    source.remark("each channel is compared by itself")
    inputs = {"images": source.get("images"), "color": color, "tolerance": tolerance}
    made = builder.add(source, "mask_from_color", inputs, suffix="color" if turned else "")
    return [builder.add(source, "invert_mask", {"mask": made}) if turned else made]


def _previewed(builder: Builder, source: Source) -> list[Value]:
    """ImageAndMaskPreview: the picture with its mask in a colour."""
    image, mask = source.get("image"), source.get("mask")
    source.used |= {"pass_through"}
    if image is not None and mask is not None:
        numbers = [
            part for part in source.text("mask_color", "255, 255, 255").replace(" ", "").split(",") if part.isdigit()
        ]
        shown = numbers if len(numbers) == 3 else ["255"] * 3
        size = builder.add(source, "image_size", {"images": image}, suffix="size")
        edges = {edge: builder.ref(size.node, edge) for edge in ("width", "height")}
        color = "#" + "".join(f"{min(255, int(number)):02x}" for number in shown)
        solid = builder.add(source, "solid_image", {**edges, "color": color}, suffix="color")
        factor = max(0.0, min(1.0, source.number("mask_opacity", 1.0)))
        mixed = builder.add(source, "blend_images", {"first": image, "second": solid, "factor": factor}, suffix="mixed")
        image = builder.add(
            source, "composite_images", {"destination": image, "source": mixed, "mask": mask}, suffix="shown"
        )
    elif mask is not None:
        image = builder.add(source, "mask_to_image", {"mask": mask}, suffix="shown")
    if image is None:
        raise RefusedError("neither a picture nor a mask is linked")
    builder.add(source, "preview", {"images": image, "max_edge": 2048})
    return [image]


def _with_alpha(builder: Builder, source: Source) -> list[Value]:
    """SaveImageWithAlpha: the mask is what is seen."""
    hidden = builder.add(source, "invert_mask", {"mask": source.get("mask")}, suffix="hidden")
    clear = builder.add(source, "join_alpha", {"images": source.get("images"), "mask": hidden}, suffix="clear")
    prefix = PREFIX.to_native(source.text("filename_prefix", "ComfyUI"))
    builder.add(source, "save_image", {"images": clear, "filename_prefix": prefix, "rounding": "truncate"})
    return []


def _calculated(builder: Builder, source: Source) -> list[Value]:
    """SimpleCalculatorKJ: an expression, as a real, a whole number and a truth value."""
    names = {name.rpartition(".")[2]: name for name in source.inputs if name.rpartition(".")[2] in "abcd"}
    values = {short: value for short, name in names.items() if (value := source.get(name)) is not None}
    return expression(builder, source, source.text("expression", "a"), values)


def _masked_prompts(count: int) -> Make:
    """Return a function for ConditioningSetMaskAndCombine: prompts in masks, acting together."""

    def make(builder: Builder, source: Source) -> list[Value]:
        bounds = source.text("set_cond_area", "default") != "default"
        sides: list[Value] = []
        for side in ("positive", "negative"):
            told = []
            for number in range(1, count + 1):
                conditioning = source.get(f"{side}_{number}")
                inputs = {
                    "conditioning": conditioning, "mask": source.get(f"mask_{number}"),
                    "strength": source.get(f"mask_{number}_strength", 1.0), "bounds": bounds,
                }  # fmt: skip
                told.append(builder.add(source, "set_conditioning_mask", inputs, suffix=f"{side}-{number}"))
            sides.append(builder.add(source, "combine_conditioning", {"conditioning": told}, suffix=side))
        return sides

    return make


def _sharpened(builder: Builder, source: Source) -> list[Value]:
    """ImageSharpenKJ and its kin: an unsharp mask."""
    source.remark("it is sharpened by an unsharp mask of one pixel")
    source.used |= set(source.inputs)
    strength = min(10.0, max(0.0, source.number("strength", source.number("amount", 0.5))))
    image = source.get("image") or source.get("images")
    return [builder.add(source, "sharpen_image", {"images": image, "radius": 1, "strength": strength})]


def _grained(builder: Builder, source: Source) -> list[Value]:
    """FastFilmGrain: Gaussian noise on every channel."""
    source.used |= {"saturation_mix", "batch_size"}
    source.remark("the grain is drawn from seed 0, as coloured noise")
    strength = max(0.0, min(1.0, source.number("grain_intensity", 0.04)))
    return [builder.add(source, "add_image_noise", {"images": source.get("images"), "seed": 0, "strength": strength})]


def _model(builder: Builder, source: Source) -> list[Value]:
    """DiffusionModelLoaderKJ: what it says of memory and kernels changes no picture."""
    source.used |= {"weight_dtype", "compute_dtype", "patch_cublaslinear", "sage_attention", "enable_fp16_accumulation"}
    if source.get("extra_state_dict") is not None:
        raise RefusedError("its input extra_state_dict has no native counterpart")
    return [builder.add(source, "load_diffusion_model", {"model": source.get("model_name")})]


def _lazy(builder: Builder, source: Source) -> list[Value]:
    inputs = {
        "select": source.get("switch", False),
        "on_true": source.get("on_true"),
        "on_false": source.get("on_false"),
    }
    return [builder.add(source, "switch", inputs)]


RULES: tuple[AnyRule, ...] = (
    Made("GetImageRangeFromBatch", ("pick_images", "mask_to_image", "mask_from_image"), _range, says="pick_images", pack=_PACK),
    Made("GetImagesFromBatchIndexed", ("pick_images",), _at("images", "indexes"), says="pick_images", pack=_PACK),
    Rule("ReverseImageBatch", "pick_images", "images", fixed={"places": "::-1"}, pack=_PACK, back=False),
    Made("ImageConcatMulti", ("stitch_images",), _stitched_all, says="stitch_images", pack=_PACK),
    Made("ImageGridComposite2x2", ("stitch_images",), _grid(2, 2), says="stitch_images", pack=_PACK),
    Made("ImageGridComposite3x3", ("stitch_images",), _grid(3, 3), says="stitch_images", pack=_PACK),
    Made("ResizeMask", ("mask_to_image", "resize", "mask_from_image", "image_size"), _sized_mask, says="resize, between mask_to_image and mask_from_image", pack=_PACK),
    Made("RoundMask", ("threshold_mask",), _rounded, says="threshold_mask", pack=_PACK),
    Made("ImageCropByMask", ("mask_bounds", "crop_image"), _by_mask, says="mask_bounds and crop_image", pack=_PACK),
    Made("ImageCropByMaskAndResize", ("mask_bounds", "crop_image", "crop_mask", "resize", "mask_to_image", "mask_from_image"), _by_mask_sized,
         says="mask_bounds, crop_image, crop_mask and resize", pack=_PACK),
    Made("ImageUncropByMask", ("resize", "composite_images"), _back, says="resize and composite_images", pack=_PACK),
    Made("ImagePadKJ", ("pad_image", "image_size", "solid_mask", "mask_to_image", "mask_from_image"), _padded, says="pad_image, of the picture and of its mask", pack=_PACK),
    Made("ColorToMask", ("mask_from_color", "invert_mask"), _colored, says="mask_from_color", pack=_PACK),
    Made("ImageAndMaskPreview", ("image_size", "solid_image", "blend_images", "composite_images", "mask_to_image", "preview"), _previewed, says="preview", pack=_PACK),
    Made("SaveImageWithAlpha", ("invert_mask", "join_alpha", "save_image"), _with_alpha, says="join_alpha and save_image", pack=_PACK),
    Rule("SaveImageKJ", "save_image", "images filename_prefix", values={"filename_prefix": PREFIX}, fixed={"rounding": "truncate"}, ignored="output_folder caption caption_file_extension",
         passes="images", pack=_PACK, back=False),
    Rule("SaveStringKJ", "save_text", "string:text filename_prefix", values={"filename_prefix": PREFIX}, ignored="output_folder file_extension", passes="string", pack=_PACK, back=False),
    Made("SimpleCalculatorKJ", ("expression",), _calculated, says="expression", pack=_PACK),
    *(
        Made(f"ConditioningSetMaskAndCombine{'' if count == 2 else count}", ("set_conditioning_mask", "combine_conditioning"), _masked_prompts(count),
             says="set_conditioning_mask and combine_conditioning, for each side", pack=_PACK)
        for count in (2, 3, 4, 5)
    ),
    Made("ImageSharpenKJ", ("sharpen_image",), _sharpened, says="sharpen_image", pack=_PACK),
    Made("FastLaplacianSharpen", ("sharpen_image",), _sharpened, says="sharpen_image", pack="ComfyUI-VrgameDevGirl"),
    Made("FastUnsharpSharpen", ("sharpen_image",), _sharpened, says="sharpen_image", pack="ComfyUI-VrgameDevGirl"),
    Made("FastFilmGrain", ("add_image_noise",), _grained, says="add_image_noise", pack="ComfyUI-VrgameDevGirl"),
    Made("DiffusionModelLoaderKJ", ("load_diffusion_model",), _model, says="load_diffusion_model", pack=_PACK),
    Made("LazySwitchKJ", ("switch",), _lazy, says="switch", pack=_PACK),
    Rule("FloatToMask", "solid_mask", "input_values:value width height", ignored="num_frames", pack=_PACK, back=False),
)  # fmt: skip
"""By ComfyUI type."""
