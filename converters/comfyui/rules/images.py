"""Pictures: files, sizes, filters, compositing, video frames."""

from __future__ import annotations

import re
from typing import Any

from ..building import Builder, Const, Ref, RefusedError, Source, Value
from .common import COLOR, COLORS, CROP, DEGREES, FILE, FLIP, IMAGE_METHOD, PREFIX
from .rule import AnyRule, Convert, Made, Make, Rule

_HARD = {"antialias": False}
_ANTIALIAS = frozenset({"antialias"})
_FRAMES = {"frames": "all"}
_CUT = {"rounding": "truncate"}
_SAVE_LOOSE = frozenset({"rounding", "quality", "embed", "format"})
_LOWER = Convert(lambda value: str(value).lower(), lambda value: str(value).upper())


_STITCH = Rule(
    "ImageStitch",
    "stitch_images",
    "image1:first direction match_image_size:match_size spacing_width:spacing spacing_color:color image2:second",
    values={"spacing_color": COLORS},
)


def _stitch(builder: Builder, source: Source) -> list[Value]:
    """ImageStitch; without a second picture the first goes through."""
    first, second = source.get("image1"), source.get("image2")
    inputs = {
        "first": first,
        "second": second,
        "direction": source.get("direction", "right"),
        "match_size": source.get("match_image_size", True),
        "spacing": source.get("spacing_width", 0),
        "color": COLORS.get(source.text("spacing_color", "white"), source.text("spacing_color", "white")),
    }
    return [first if second is None else builder.add(source, "stitch_images", inputs)]


def _animated(format: str) -> Make:
    def make(builder: Builder, source: Source) -> list[Value]:
        video = builder.add(
            source, "images_to_video", {"images": source.get("images"), "fps": source.get("fps")}, suffix="video"
        )
        quality = 100 if format != "webp" or source.flag("lossless", True) else source.get("quality", 80)
        source.used |= {"lossless", "quality", "method", "compress_level"}
        inputs = {"video": video, "filename_prefix": PREFIX.to_native(source.text("filename_prefix")), "format": format}
        builder.add(source, "save_video", {**inputs, "quality": quality})
        return []

    return make


def _save_video(builder: Builder, source: Source) -> list[Value]:
    source.used |= {"format", "codec"}
    for name in source.inputs:
        if name.startswith(("format.", "codec.")):
            source.used.add(name)
    source.remark("saved as an animated WebP picture, not as MP4")
    prefix = PREFIX.to_native(source.text("filename_prefix"))
    builder.add(source, "save_video", {"video": source.get("video"), "filename_prefix": prefix, "format": "webp"})
    return [source.get("video")]


def _save_advanced(builder: Builder, source: Source) -> list[Value]:
    """SaveImageAdvanced: 8-bit PNG here, whatever depth is asked for."""
    format = source.text("format", "png")
    for name in source.inputs:
        if name.startswith("format."):
            source.used.add(name)
    depth = source.literal("format.bit_depth", "8-bit")
    if format not in ("png", "webp", "jpeg", "jpg"):
        raise RefusedError(f"it saves as {format}, which no native node does")
    if str(depth) not in ("8-bit", "8"):
        source.remark(f"saved with 8 bits a channel, not {depth}")
    prefix = PREFIX.to_native(source.text("filename_prefix"))
    inputs = {"images": source.get("images"), "filename_prefix": prefix, "rounding": "truncate"}
    builder.add(source, "save_image", {**inputs, "format": "jpeg" if format == "jpg" else format})
    return [source.get("images")]


def _batch(builder: Builder, source: Source) -> list[Value]:
    """BatchImagesNode: as many pictures as are linked, ``images.image0`` and so on."""
    names = sorted((name for name in source.inputs if name.startswith("images")), key=_natural)
    pictures = [source.get(name) for name in names]
    pictures = [picture for picture in pictures if picture is not None]
    if len(pictures) == 1:
        return [pictures[0]]
    return [builder.add(source, "batch_images", {"images": pictures, "resize": True})]


def _natural(name: str) -> tuple[int, str]:
    digits = "".join(char for char in name if char.isdigit())
    return (int(digits[:9]) if digits else 0, name)


def _resize_any(builder: Builder, source: Source) -> list[Value]:
    """ResizeImageMaskNode: pictures or masks, whose size is given in one of several ways."""
    way = source.text("resize_type", "scale dimensions")
    method = IMAGE_METHOD.get(source.text("scale_method", "area"), source.text("scale_method", "area"))
    given = source.get("input")
    masks = isinstance(given, Ref) and builder.type_of(given).name == "mask"
    pictures = builder.add(source, "mask_to_image", {"mask": given}, suffix="picture") if masks else given
    inputs: dict[str, object] = {"images": pictures, "method": method, "antialias": False}
    cut = CROP.get(source.text("resize_type.crop", "center"), "center")
    if way == "scale dimensions":
        inputs |= {"width": source.get("resize_type.width", 512), "height": source.get("resize_type.height", 512),
                   "crop": cut}  # fmt: skip
    elif way == "scale by multiplier":
        inputs["scale"] = source.get("resize_type.multiplier", 1.0)
    elif way == "scale longer dimension":
        inputs["longest_edge"] = source.get("resize_type.longer_size", 512)
    elif way == "scale shorter dimension":
        edge = source.get("resize_type.shorter_size", 512)
        inputs["scale"] = sized(source, builder, pictures, "c / min(a, b)", suffix="scale", c=edge)
    elif way == "scale width":
        inputs["width"] = source.get("resize_type.width", 512)
    elif way == "scale height":
        inputs["height"] = source.get("resize_type.height", 512)
    elif way == "scale total pixels":
        inputs["megapixels"] = source.get("resize_type.megapixels", 1.0)
    elif way == "match size":
        size = builder.add(source, "image_size", {"images": source.get("resize_type.match")}, suffix="match")
        inputs |= {"width": size, "height": builder.ref(size.node, "height"), "crop": cut}
    else:
        raise RefusedError(f"resize_type {way} has no native counterpart")
    made = builder.add(source, "resize", inputs, suffix="resized" if masks else "")
    return [builder.add(source, "mask_from_image", {"images": made, "channel": "red"}) if masks else made]


def _resize_plus(builder: Builder, source: Source) -> list[Value]:
    """ImageResize+ of the essentials pack."""
    way = source.text("method", "stretch")
    method = IMAGE_METHOD.get(source.text("interpolation", "nearest"), source.text("interpolation", "nearest"))
    source.used |= {"condition", "multiple_of"}
    if source.text("condition", "always") != "always":
        source.remark("it always resizes here, whatever its condition says")
    multiple = int(source.number("multiple_of", 0))
    inputs: dict[str, object] = {
        "images": source.get("image"), "width": source.get("width", 512), "height": source.get("height", 512),
        "method": method, "multiple_of": max(1, multiple),
    }  # fmt: skip
    if way in ("fill / crop", "fill/crop"):
        inputs["crop"] = "center"
    elif way == "keep proportion":
        edges = (source.get("width", 512), source.get("height", 512))
        inputs |= wanted_edges(builder, source, source.get("image"), *edges, "within", max(1, multiple))
        inputs["multiple_of"] = 1
    elif way == "pad":
        padding = {
            "images": source.get("image"),
            "width": source.get("width", 512),
            "height": source.get("height", 512),
            "color": "#000000",
            "method": method,
        }
        return with_size(builder, source, builder.add(source, "resize_and_pad", padding))
    return with_size(builder, source, builder.add(source, "resize", inputs))


def sized(source: Source, builder: Builder, image: Value, text: str, *, suffix: str, **more: Any) -> Ref:
    """Return a number computed from the width (a) and height (b) of pictures."""
    size = builder.add(source, "image_size", {"images": image}, suffix=f"{suffix}-size")
    inputs = {"expression": text, "a": size, "b": builder.ref(size.node, "height"), **more}
    return builder.add(source, "expression", inputs, suffix=suffix)


def scaled_edges(builder: Builder, source: Source, image: Value, factor: Any, suffix: str = "") -> dict[str, Any]:
    """Return width and height of pictures times a factor, rounded, as inputs of a node that resizes."""
    size = builder.add(source, "image_size", {"images": image}, suffix=f"size{suffix}")
    edges = {}
    for name in ("width", "height"):
        told = {"expression": "a * b", "a": builder.ref(size.node, name), "b": factor}
        edges[name] = builder.ref(builder.add(source, "expression", told, suffix=f"{name}{suffix}").node, "rounded")
    return edges


def with_size(builder: Builder, source: Source, made: Value) -> list[Value]:
    """Return pictures and their size."""
    size = builder.add(source, "image_size", {"images": made}, suffix="size")
    return [made, builder.ref(size.node, "width"), builder.ref(size.node, "height")]


def wanted_edges(
    builder: Builder, source: Source, image: Value, width: Value, height: Value, way: str, multiple: int = 1
) -> dict[str, Any]:
    """Return width and height that packs' nodes give pictures, down to a multiple, as inputs of a node that resizes.

    Args:
        builder: Makes the nodes that compute them.
        source: The node.
        image: The pictures.
        width: What the node says; 0 leaves it open.
        height: The same.
        way: ``within`` keeps the shape inside width and height, ``area`` keeps it at their area, ``stretch`` does not.
        multiple: Edges are rounded down to it.
    """
    open_ = [isinstance(edge, Const) and edge.value == 0 for edge in (width, height)]
    if way == "stretch" or all(open_):
        texts = ["a" if open_[0] else "c", "b" if open_[1] else "d"]
    elif way == "area":
        texts = ["int(sqrt(c * d * a / b))", "int(sqrt(c * d * b / a))"]
    else:
        ratio = "d / b" if open_[0] else "c / a" if open_[1] else "min(c / a, d / b)"
        texts = [f"round(a * {ratio})", f"round(b * {ratio})"]
    given: dict[str, Any] = {"c": width, "d": height}
    if not {*"ab"} & {*"".join(texts)} and isinstance(width, Const) and isinstance(height, Const):
        edges = [int(edge.value) for edge in (width, height) if isinstance(edge.value, int | float)]
        if len(edges) == 2:
            return dict(
                zip(("width", "height"), (max(multiple, edge // multiple * multiple) for edge in edges), strict=True)
            )
    size = builder.add(source, "image_size", {"images": image}, suffix="before")
    given |= {"a": size, "b": builder.ref(size.node, "height")}
    found: dict[str, Any] = {}
    for edge, text in zip(("width", "height"), texts, strict=True):
        text = f"max({multiple}, ({text}) // {multiple} * {multiple})" if multiple > 1 else text
        named = {letter: value for letter, value in given.items() if re.search(rf"\b{letter}\b", text)}
        made = builder.add(source, "expression", {"expression": text, **named}, suffix=edge)
        found[edge] = builder.ref(made.node, "rounded")
    return found


def _resize_kj(builder: Builder, source: Source) -> list[Value]:
    """ImageResizeKJ and its second version: stretched, cut, padded, or within a size."""
    flag = source.literal("keep_proportion", False)
    keep = flag if isinstance(flag, str) else "resize" if flag else "stretch"
    if source.text("crop", "disabled") == "center" and keep == "stretch":
        keep = "crop"
    image, mask, other = source.get("image"), source.get("mask"), source.get("get_image_size")
    edges = [source.get(edge, 512) for edge in ("width", "height")]
    if other is not None:
        size = builder.add(source, "image_size", {"images": other}, suffix="other")
        edges = [size, builder.ref(size.node, "height")]
    for place, name in enumerate(("width_input", "height_input")):
        edges[place] = source.get(name) or edges[place]
    ways = {"stretch": "stretch", "crop": "stretch", "resize": "within", "total_pixels": "area"}
    padded = keep.startswith("pad")
    if keep not in ways and not padded:
        raise RefusedError(f"its keep_proportion {keep} has no native counterpart")
    method = source.text("upscale_method", "nearest-exact")
    told: dict[str, Any] = {"method": IMAGE_METHOD.get(method, method)}
    multiple = max(1, int(source.number("divisible_by", 2)))
    width, height = edges
    told |= wanted_edges(builder, source, image, width, height, "stretch" if padded else ways[keep], multiple)
    source.used |= {"device", "pad_color"}
    if source.text("crop_position", "center") != "center" and (padded or keep == "crop"):
        source.remark("it is cut, or padded, on both sides alike, whatever its crop_position says")
    if padded:
        numbers = re.findall(r"\d+", source.text("pad_color", "0, 0, 0"))
        told["color"] = (
            "#" + "".join(f"{min(255, int(number)):02x}" for number in numbers) if len(numbers) == 3 else "#000000"
        )
        if keep != "pad":
            source.remark("the margins have one colour")
    else:
        told |= {"antialias": False, "crop": "center" if keep == "crop" else "none"}
    native = "resize_and_pad" if padded else "resize"
    made = builder.add(source, native, {"images": image, **told})
    marked: Value = None
    if mask is not None:
        picture = builder.add(source, "mask_to_image", {"mask": mask}, suffix="mask-picture")
        told |= {"color": "#000000"} if padded else {}
        scaled = builder.add(source, native, {"images": picture, **told}, suffix="mask-size")
        marked = builder.add(source, "mask_from_image", {"images": scaled, "channel": "red"}, suffix="mask")
    return [*with_size(builder, source, made), marked]


def _resize_was(builder: Builder, source: Source) -> list[Value]:
    """Image Resize of the WAS suite."""
    method = source.text("resampling", "lanczos")
    source.used |= {"supersample", "rescale_factor", "resize_width", "resize_height"}
    inputs: dict[str, object] = {"images": source.get("image"), "method": IMAGE_METHOD.get(method, method)}
    if source.text("mode", "rescale") == "rescale":
        inputs["scale"] = source.get("rescale_factor", 2.0)
    else:
        inputs |= {"width": source.get("resize_width", 1024), "height": source.get("resize_height", 1536)}
    return [builder.add(source, "resize", inputs)]


RULES: tuple[AnyRule, ...] = (
    Rule("LoadImage", "load_image", "image:file", "image mask", values={"image": FILE}, fixed=_FRAMES,
         loose=frozenset({"keep_alpha", "frames"}), unsaid=frozenset({"frames"})),
    Rule("LoadImageOutput", "load_image", "image:file", "image mask", values={"image": FILE}, fixed=_FRAMES, back=False),
    Rule("SaveImage", "save_image", "images filename_prefix", passes="images", values={"filename_prefix": PREFIX}, fixed=_CUT, loose=_SAVE_LOOSE),
    Made("SaveImageAdvanced", ("save_image",), _save_advanced, says="save_image"),
    Rule("Image Save", "save_image", "images filename_prefix", values={"filename_prefix": PREFIX}, fixed=_CUT, pack="was-node-suite-comfyui", back=False,
         ignored="output_path filename_delimiter filename_number_padding filename_number_start extension dpi quality optimize_image lossless_webp"
                 " overwrite_mode show_history show_history_by_prefix embed_workflow show_previews",
         differs="saved as PNG under the output folder, whatever the node says of format and folder"),
    Rule("PreviewImage", "preview", "images", passes="images", fixed={"max_edge": 2048}, loose=frozenset({"max_edge"})),
    Rule("SaveImageWebsocket", "preview", "images", fixed={"max_edge": 2048}, back=False),
    Rule("ImageScale", "resize", "image:images upscale_method:method width height crop", values={"upscale_method": IMAGE_METHOD, "crop": CROP}, fixed=_HARD, loose=_ANTIALIAS),
    Rule("ImageScaleBy", "resize", "image:images upscale_method:method scale_by:scale", values={"upscale_method": IMAGE_METHOD}, fixed=_HARD, loose=_ANTIALIAS),
    Rule("ImageScaleToTotalPixels", "resize", "image:images upscale_method:method megapixels resolution_steps:multiple_of", values={"upscale_method": IMAGE_METHOD},
         fixed=_HARD, loose=_ANTIALIAS),
    Rule("ImageScaleToMaxDimension", "resize", "image:images upscale_method:method largest_size:longest_edge", values={"upscale_method": IMAGE_METHOD}, fixed=_HARD, loose=_ANTIALIAS),
    Made("ResizeImageMaskNode", ("resize", "image_size", "expression", "mask_to_image", "mask_from_image"), _resize_any,
         says="resize; for a mask between mask_to_image and mask_from_image"),
    Made("ImageResize+", ("resize", "resize_and_pad", "image_size"), _resize_plus, pack="ComfyUI_essentials", says="resize or resize_and_pad, and image_size"),
    *(
        Made(f"ImageResizeKJ{version}", ("resize", "resize_and_pad", "image_size", "expression", "mask_to_image", "mask_from_image"), _resize_kj,
             says="resize or resize_and_pad, and image_size", pack="ComfyUI-KJNodes")
        for version in ("", "v2")
    ),
    Made("Image Resize", ("resize",), _resize_was, pack="was-node-suite-comfyui", says="resize"),
    Rule("FluxKontextImageScale", "resize_to_preset", "image:images", fixed={"preset": "flux_kontext", "method": "lanczos_8bit", "crop": "center"}),
    Rule("ResizeAndPadImage", "resize_and_pad", "image:images target_width:width target_height:height padding_color:color interpolation:method",
         values={"padding_color": COLORS, "interpolation": IMAGE_METHOD}),
    Rule("ImageCrop", "crop_image", "image:images width height x y"),
    Rule("ImageFlip", "flip_image", "image:images flip_method:direction", values={"flip_method": FLIP}),
    Rule("ImageRotate", "rotate_image", "image:images rotation:degrees", values={"rotation": DEGREES}),
    Made("ImageStitch", ("stitch_images",), _stitch, says="stitch_images; without a second picture nothing", back=_STITCH),
    Rule("ImageBatch", "batch_images", "image1:images[] image2:images[]", fixed={"resize": True}, loose=frozenset({"resize"})),
    Made("BatchImagesNode", ("batch_images",), _batch, says="batch_images"),
    Rule("ImageFromBatch", "images_from_batch", "image:images batch_index:start length"),
    Rule("RepeatImageBatch", "repeat_images", "image:images amount:count"),
    Rule("RebatchImages", "rebatch_images", "images batch_size"),
    Rule("EmptyImage", "solid_image", "width height batch_size color", values={"color": COLOR}),
    Rule("GetImageSize", "image_size", "image:images", "width height batch_size"),
    Rule("GetImageSize+", "image_size", "image:images", "width height batch_size", pack="ComfyUI_essentials", back=False),
    Rule("Image Size to Number", "image_size", "image:images", "width height width height width height", pack="was-node-suite-comfyui", back=False),
    Rule("ImageCompositeMasked", "composite_images", "destination source x y resize_source mask"),
    Rule("ImageBlend", "blend_images", "image1:first image2:second blend_factor:factor blend_mode:mode"),
    Rule("ImageBlur", "blur_image", "image:images blur_radius:radius sigma"),
    Rule("ImageSharpen", "sharpen_image", "image:images sharpen_radius:radius sigma alpha:strength"),
    Rule("Morphology", "morphology", "image:images operation kernel_size:size"),
    Rule("ImageQuantize", "quantize_image", "image:images colors dither"),
    Rule("ImageAddNoise", "add_image_noise", "image:images seed strength"),
    Rule("ImageInvert", "invert_image", "image:images"),
    Rule("ImageRGBToYUV", "rgb_to_yuv", "image:images", "y u v"),
    Rule("ImageYUVToRGB", "yuv_to_rgb", "Y:y U:u V:v"),
    Rule("JoinImageWithAlpha", "join_alpha", "image:images alpha:mask"),
    Rule("SplitImageWithAlpha", "split_alpha", "image:images", "image mask"),
    Rule("ImageRemoveAlpha+", "split_alpha", "image:images", "image", pack="ComfyUI_essentials", back=False),
    Rule("PorterDuffImageComposite", "porter_duff", "source source_alpha destination destination_alpha mode", "image mask", values={"mode": _LOWER}),
    Rule("ImagePadForOutpaint", "pad_for_outpaint", "image:images left top right bottom feathering:feather", "image mask"),
    Rule("ColorMatch", "match_colors", "image_target:images image_ref:reference strength", pack="ComfyUI-KJNodes", ignored="method multithread",
         differs="mean and deviation are matched, whatever method the node names", back=False),
    Rule("CreateVideo", "images_to_video", "images fps", dropped={"audio": "the sound is left out", "bit_depth": "the bit depth is left out"}),
    Rule("GetVideoComponents", "video_to_images", "video", "image - fps"),
    Made("SaveAnimatedWEBP", ("images_to_video", "save_video"), _animated("webp"), says="images_to_video and save_video"),
    Made("SaveAnimatedPNG", ("images_to_video", "save_video"), _animated("png"), says="images_to_video and save_video"),
    Made("SaveVideo", ("save_video",), _save_video, says="save_video"),
    Rule("SaveAudio", "save_audio", "audio filename_prefix", values={"filename_prefix": PREFIX}, differs="saved as WAV, not FLAC", back=False),
    Rule("SaveAudioMP3", "save_audio", "audio filename_prefix", values={"filename_prefix": PREFIX}, ignored="quality", differs="saved as WAV, not MP3", back=False),
    Rule("SaveAudioOpus", "save_audio", "audio filename_prefix", values={"filename_prefix": PREFIX}, ignored="quality", differs="saved as WAV, not Opus", back=False),
    Rule("SaveAudioAdvanced", "save_audio", "audio filename_prefix", values={"filename_prefix": PREFIX},
         ignored="format format.quality format.bit_depth format.sample_rate", differs="saved as WAV, whatever format is asked for", back=False),
    Rule("PreviewAudio", "save_audio", "audio", fixed={"filename_prefix": "preview"}, differs="saved as WAV in the output folder", back=False),
    Rule("WebcamCapture", "load_image", "image:file", "image", values={"image": FILE}, ignored="width height capture_on_queue",
         differs="the picture that was captured last is read from the input folder", back=False),
    Rule("ResizeImagesByLongerEdge", "resize", "images longer_edge:longest_edge", fixed={"method": "lanczos_8bit"}, back=False),
)  # fmt: skip
"""By ComfyUI type."""
