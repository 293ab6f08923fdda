"""Videos of the custom pack VideoHelperSuite, by its documentation (its code is under the GPL)."""

from __future__ import annotations

from typing import Any

from ..building import Builder, Const, Fused, Ref, RefusedError, Source, Value
from .common import FILE
from .rule import AnyRule, Made, Make, Rule
from .values import expression
from .video import file_node

_PACK = "ComfyUI-VideoHelperSuite"
_INFO = "what is known of a video"
_TOLD = ("fps", "frame_count", "duration", "width", "height")


def picked(builder: Builder, source: Source, image: Value, places: Value, suffix: str = "") -> Ref:
    """Take pictures out of a batch by their places."""
    return builder.add(source, "pick_images", {"images": image, "places": places}, suffix=suffix)


def _facts(builder: Builder, source: Source, image: Value, fps: Value, suffix: str) -> dict[str, Value]:
    size = builder.add(source, "image_size", {"images": image}, suffix=f"{suffix}-size")
    count = builder.ref(size.node, "batch_size")
    length = expression(builder, source, "a / b", {"a": count, "b": fps})[0]
    return {
        "fps": fps, "frame_count": count, "duration": length, "width": builder.ref(size.node, "width"),
        "height": builder.ref(size.node, "height"),
    }  # fmt: skip


def _loaded(builder: Builder, source: Source) -> list[Value]:
    """VHS_LoadVideo: the frames of a file at a rate and in a size, without some at the start and between."""
    for name in ("meta_batch", "vae", "format"):
        if name == "format":
            source.used.add(name)
        elif source.get(name) is not None:
            raise RefusedError(f"its input {name} has no native counterpart")
    source.used |= {"choose video to upload", "videopreview", "choose folder to upload"}
    (video,) = file_node(builder, source, "load_video", FILE.to_native(source.text("video")))
    start = source.number("start_time", 0)
    if start > 0:
        video = builder.add(source, "slice_video", {"video": video, "start": start}, suffix="part")
    rate = source.number("force_rate", 0)
    whole = builder.add(source, "video_to_images", {"video": video}, suffix="frames")
    fps = builder.ref(whole.node, "fps")
    frames: Value = whole
    given: Value = fps
    if rate > 0:
        taken = builder.add(source, "video_to_images", {"video": video, "fps": rate}, suffix="rate")
        frames, given = taken, builder.ref(taken.node, "fps")
    skipped, nth = int(source.number("skip_first_frames", 0)), max(1, int(source.number("select_every_nth", 1)))
    most = int(source.number("frame_load_cap", 0))
    if skipped or nth > 1 or most > 0:
        end = str(skipped + most * nth) if most > 0 else ""
        frames = picked(builder, source, frames, Const(f"{skipped or ''}:{end}:{nth}"), "some")
        given = expression(builder, source, f"a / {nth}", {"a": given})[0] if nth > 1 else given
    size = _edges(source)
    if size:
        frames = builder.add(source, "resize", {"images": frames, **size, "method": "lanczos_8bit"}, suffix="sized")
    told = {
        **{f"source_{name}": value for name, value in _facts(builder, source, whole, fps, "source").items()},
        **{f"loaded_{name}": value for name, value in _facts(builder, source, frames, given, "loaded").items()},
    }
    count = None if "FFmpeg" in source.type else told["loaded_frame_count"]
    return [frames, count, None, Fused(_INFO, told, (source.id,))]


def _edges(source: Source) -> dict[str, Any]:
    """Return the size that a file asks for: with one edge, the shape stays."""
    width, height = int(source.number("custom_width", 0)), int(source.number("custom_height", 0))
    way = source.text("force_size", "")
    if not way:  # newer files have the two edges alone
        return {"width": width, "height": height, "crop": "center"} if width or height else {}
    named = way.replace("?", "0").split("x")
    if way in ("Disabled", "disabled"):
        return {}
    if way.startswith("Custom"):
        return {
            "width": width if "Height" not in way.split(" ") else 0,
            "height": height if "Width" not in way.split(" ") else 0,
            "crop": "center",
        }
    if len(named) != 2 or not all(part.isdigit() for part in named):
        raise RefusedError(f"its force_size {way} has no native counterpart")
    return {"width": int(named[0]), "height": int(named[1]), "crop": "center"}


def _told(*names: str) -> Make:
    """Return a function for a node that gives what is known of a video."""

    def make(builder: Builder, source: Source) -> list[Value]:
        found = source.part("video_info", _INFO)
        return [found.parts[f"{part}_{name}"] for part in names for name in _TOLD]

    return make


def _every(builder: Builder, source: Source) -> list[Value]:
    """VHS_SelectEveryNthImage: every n-th picture behind some at the start."""
    nth, skipped = max(1, int(source.number("select_every_nth", 1))), int(source.number("skip_first_images", 0))
    made = picked(builder, source, source.get("images"), Const(f"{skipped or ''}::{nth}"))
    size = builder.add(source, "image_size", {"images": made}, suffix="size")
    return [made, builder.ref(size.node, "batch_size")]


def _split(builder: Builder, source: Source) -> list[Value]:
    """VHS_SplitImages: two parts of a batch."""
    at = int(source.number("split_index", 0))
    values: list[Value] = []
    for name, places in (("a", f":{at}"), ("b", f"{at}:")):
        made = picked(builder, source, source.get("images"), Const(places), name)
        size = builder.add(source, "image_size", {"images": made}, suffix=f"{name}-size")
        values += [made, builder.ref(size.node, "batch_size")]
    return values


def _chosen(builder: Builder, source: Source) -> list[Value]:
    """VHS_SelectImages: pictures by numbers and slices."""
    source.used |= {"err_if_missing", "err_if_empty"}
    name = next(name for name in ("image", "images") if name in source.inputs or name == "images")
    return [picked(builder, source, source.get(name), source.get("indexes", "0"))]


def _merged(builder: Builder, source: Source) -> list[Value]:
    """VHS_MergeImages: two batches, one behind the other."""
    source.used |= {"scale_method", "crop"}
    first, second = source.get("images_A"), source.get("images_B")
    if source.text("merge_strategy", "match A") == "match B":
        source.remark("the second batch is brought to the size of the first")
    made = builder.add(source, "batch_images", {"images": [first, second], "resize": True})
    size = builder.add(source, "image_size", {"images": made}, suffix="size")
    return [made, builder.ref(size.node, "batch_size")]


def _repeated(builder: Builder, source: Source) -> list[Value]:
    made = builder.add(source, "repeat_images", {"images": source.get("images"), "count": source.get("multiply_by", 1)})
    size = builder.add(source, "image_size", {"images": made}, suffix="size")
    return [made, builder.ref(size.node, "batch_size")]


def _heard(builder: Builder, source: Source) -> list[Value]:
    """VHS_LoadAudio: the sound of a file."""
    name = "audio" if "audio" in source.inputs else "audio_file"
    source.used |= {"seek_seconds", "start_time", "duration", "upload", "choose audio to upload"}
    made = file_node(builder, source, "load_audio", FILE.to_native(source.text(name)))
    start = source.number("seek_seconds", source.number("start_time", 0))
    length = source.number("duration", 0)
    if start or length:
        inputs = {"audio": made[0], "start": start, **({"duration": length} if length else {})}
        return [builder.add(source, "trim_audio", inputs, suffix="part")]
    return made


_READS = ("load_video", "slice_video", "video_to_images", "pick_images", "resize", "image_size", "expression")

RULES: tuple[AnyRule, ...] = (
    *(
        Made(type, _READS, _loaded, says="load_video, video_to_images and pick_images; MP4 has to be converted before", pack=_PACK)
        for type in ("VHS_LoadVideo", "VHS_LoadVideoPath", "VHS_LoadVideoFFmpeg", "VHS_LoadVideoFFmpegPath")
    ),
    Made("VHS_VideoInfo", (), _told("source", "loaded"), says="numbers of the nodes before", pack=_PACK),
    Made("VHS_VideoInfoSource", (), _told("source"), says="numbers of the nodes before", pack=_PACK),
    Made("VHS_VideoInfoLoaded", (), _told("loaded"), says="numbers of the nodes before", pack=_PACK),
    Made("VHS_SelectEveryNthImage", ("pick_images", "image_size"), _every, says="pick_images and image_size", pack=_PACK),
    Made("VHS_SplitImages", ("pick_images", "image_size"), _split, says="two pick_images", pack=_PACK),
    Made("VHS_SelectImages", ("pick_images",), _chosen, says="pick_images", pack=_PACK),
    Made("VHS_MergeImages", ("batch_images", "image_size"), _merged, says="batch_images and image_size", pack=_PACK),
    Rule("VHS_GetImageCount", "image_size", "images", "batch_size", pack=_PACK, back=False),
    Made("VHS_DuplicateImages", ("repeat_images", "image_size"), _repeated, says="repeat_images and image_size", pack=_PACK),
    *(
        Made(type, ("load_audio", "trim_audio"), _heard, says="load_audio; other files than WAV have to be converted before", pack=_PACK)
        for type in ("VHS_LoadAudio", "VHS_LoadAudioUpload")
    ),
)  # fmt: skip
"""By ComfyUI type."""
