"""Pictures as file bytes, with what they carry. The same pixels and record give the same bytes."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from graphflow.basics.eight_bits import Rounding, to_bytes_array
from graphflow.document.embedded import RECORD_KEYWORD, WORKFLOW_KEYWORD
from graphflow.errors import MediaError
from graphflow.limits import LIMITS

if TYPE_CHECKING:
    import torch
    from PIL.Image import Exif
    from PIL.PngImagePlugin import PngInfo

Format = Literal["png", "webp", "jpeg"]
Animation = Literal["webp", "gif", "png"]

SUFFIXES: dict[Format, str] = {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}

_USER_COMMENT = 0x9286
_EXIF_IFD = 0x8769
_IMAGE_DESCRIPTION = 0x010E
_COMFYUI_TAGS = {"workflow": 0x010F, "prompt": 0x0110}
"""EXIF's Make and Model, where ComfyUI puts its texts in WebP files."""

_EXIF_ROOM = 65_000
"""Bytes of EXIF data that fit into the one segment which JPEG has for it."""


def encode_picture(
    pixels: torch.Tensor, format: Format, *, quality: int, rounding: Rounding, record: Mapping[str, Any]
) -> tuple[bytes, bool]:
    """Encode one picture (3 or 4, H, W) in [0, 1].

    PNG is lossless; WebP is lossless at quality 100; JPEG has no alpha, so transparent parts become white.

    Args:
        pixels: The picture.
        format: The file format.
        quality: 1 to 100, for WebP and JPEG.
        rounding: How to come to 8 bits.
        record: What the file carries; empty is nothing.

    Returns:
        The bytes, and whether the record fitted in.

    Raises:
        MediaError: The picture is larger than the format can hold.
        NonFiniteError: A pixel is NaN or infinite.
    """
    import PIL.Image

    height, width = pixels.shape[-2:]
    most = {"png": LIMITS.edge, "webp": 16383, "jpeg": 65500}[format]
    if max(height, width) > most:
        raise MediaError(
            f"{width} x {height} does not fit into {format}, which has at most {most} pixels along an edge",
            advice="save as png",
        )
    if pixels.shape[0] == 4 and format == "jpeg":
        pixels = pixels[:3] * pixels[3:] + (1 - pixels[3:])
    picture = PIL.Image.fromarray(to_bytes_array(pixels, rounding))
    stream = io.BytesIO()
    if format == "png":
        picture.save(stream, "PNG", compress_level=6, pnginfo=_png_info(record))
        return stream.getvalue(), True
    exif = _exif(record)
    fits = exif is None or format == "webp" or len(exif.tobytes()) <= _EXIF_ROOM
    extra: dict[str, Any] = {"exif": exif} if exif is not None and fits else {}
    if format == "webp":
        picture.save(stream, "WEBP", quality=quality, lossless=quality == 100, method=4, **extra)
    else:
        picture.save(stream, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2, optimize=True, **extra)
    return stream.getvalue(), fits


def encode_frames(
    frames: Sequence[torch.Tensor],
    durations: Sequence[int],
    format: Animation,
    *,
    quality: int,
    rounding: Rounding,
    loop: bool,
    record: Mapping[str, Any],
) -> bytes:
    """Encode an animated picture of frames (3, H, W) in [0, 1].

    PNG is lossless; WebP is lossless at quality 100; GIF has 256 colours and carries no record.

    Args:
        frames: The frames, all of one size.
        durations: How long each is shown, in milliseconds.
        format: The file format.
        quality: 1 to 100, for WebP.
        rounding: How to come to 8 bits.
        loop: Play again and again.
        record: What the file carries; empty is nothing.

    Raises:
        NonFiniteError: A pixel is NaN or infinite.
    """
    import PIL.Image

    first, *others = [PIL.Image.fromarray(to_bytes_array(frame, rounding)) for frame in frames]
    stream = io.BytesIO()
    shown: dict[str, Any] = {"save_all": True, "append_images": others, "duration": list(durations)}
    match format:
        case "webp":
            exif = _exif(record)
            extra: dict[str, Any] = {} if exif is None else {"exif": exif}
            first.save(
                stream, "WEBP", loop=0 if loop else 1, quality=quality, lossless=quality == 100, **shown, **extra
            )
        case "png":
            first.save(stream, "PNG", loop=0 if loop else 1, pnginfo=_png_info(record), **shown)
        case "gif":
            first.save(stream, "GIF", disposal=1, **shown, **({"loop": 0} if loop else {}))
    return stream.getvalue()


def _png_info(record: Mapping[str, Any]) -> PngInfo:
    """Put the record into iTXt chunks, and a ComfyUI workflow where ComfyUI looks for it."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, keyword in (("workflow", WORKFLOW_KEYWORD), ("record", RECORD_KEYWORD)):
        if key in record:
            info.add_itxt(keyword, _text(record[key]))
    for keyword, value in sorted(record.get("comfyui", {}).items()):
        info.add_text(keyword, _text(value, ascii_only=True))
    if warning := _warning(record):
        info.add_itxt("Warning", warning)
    return info


def _exif(record: Mapping[str, Any]) -> Exif | None:
    """Put the record into EXIF's UserComment, as one JSON object in ASCII, and a ComfyUI workflow where ComfyUI looks."""
    import PIL.Image

    carried = {
        keyword: record[key]
        for key, keyword in (("workflow", WORKFLOW_KEYWORD), ("record", RECORD_KEYWORD))
        if key in record
    }
    foreign: Mapping[str, Any] = record.get("comfyui", {})
    if not carried and not foreign:
        return None
    exif = PIL.Image.Exif()
    if warning := _warning(record):
        exif[_IMAGE_DESCRIPTION] = warning.encode("ascii", "replace").decode()
    if carried:
        exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = b"ASCII\0\0\0" + _text(carried, ascii_only=True).encode("ascii")
    for keyword, tag in _COMFYUI_TAGS.items():
        if keyword in foreign:
            exif[tag] = f"{keyword}:{_text(foreign[keyword], ascii_only=True)}"
    return exif


def _warning(record: Mapping[str, Any]) -> str:
    """What everybody who looks at the picture should know; picture viewers show it."""
    return str(record.get("record", {}).get("warning", ""))


def _text(value: Any, *, ascii_only: bool = False) -> str:
    return json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"))
