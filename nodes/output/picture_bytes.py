"""Pictures as file bytes, with what they carry. The same pixels and texts give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from graphflow.basics.eight_bits import Array
from graphflow.basics.marks import packet
from graphflow.document.media import gif
from graphflow.errors import MediaError
from graphflow.limits import LIMITS

from .carried import OWN, WARNING, comment_of

if TYPE_CHECKING:
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
    array: Array, format: Format, *, quality: int, texts: Mapping[str, str], mark: str
) -> tuple[bytes, bool]:
    """Encode one picture (H, W, 3 or 4; for JPEG, which has no alpha, 3) of 8 bits.

    PNG is lossless; WebP is lossless at quality 100.

    Args:
        array: The picture.
        format: The file format.
        quality: 1 to 100, for WebP and JPEG.
        texts: What the file carries, see :func:`.carried.texts_of`; empty is nothing.
        mark: The digital source type that it says; empty is none.

    Returns:
        The bytes, and whether the texts were too large for it.

    Raises:
        MediaError: The picture is larger than the format can hold.
    """
    import PIL.Image

    height, width = array.shape[:2]
    most = {"png": LIMITS.edge, "webp": 16383, "jpeg": 65500}[format]
    if max(height, width) > most:
        raise MediaError(
            f"{width} x {height} does not fit into {format}, which has at most {most} pixels along an edge",
            advice="save as png",
        )
    picture = PIL.Image.fromarray(array)
    stream = io.BytesIO()
    if format == "png":
        picture.save(stream, "PNG", compress_level=6, pnginfo=_png_info(texts, mark))
        return stream.getvalue(), False
    exif = _exif(texts)
    large = exif is not None and format == "jpeg" and len(exif.tobytes()) > _EXIF_ROOM
    extra: dict[str, Any] = {"exif": exif} if exif is not None and not large else {}
    extra |= {"xmp": packet(mark)} if mark else {}
    if format == "webp":
        picture.save(stream, "WEBP", quality=quality, lossless=quality == 100, method=4, **extra)
    else:
        picture.save(stream, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2, optimize=True, **extra)
    return stream.getvalue(), large


def encode_frames(
    frames: Sequence[Array],
    durations: Sequence[int],
    format: Animation,
    *,
    quality: int,
    loop: bool,
    texts: Mapping[str, str],
    mark: str,
) -> bytes:
    """Encode an animated picture of frames (H, W, 3) of 8 bits.

    PNG is lossless; WebP is lossless at quality 100; GIF has 256 colours.

    Args:
        frames: The frames, all of one size.
        durations: How long each is shown, in milliseconds.
        format: The file format.
        quality: 1 to 100, for WebP.
        loop: Play again and again.
        texts: What the file carries; empty is nothing.
        mark: The digital source type that it says; empty is none.
    """
    import PIL.Image

    first, *others = map(PIL.Image.fromarray, frames)
    stream = io.BytesIO()
    shown: dict[str, Any] = {"save_all": True, "append_images": others, "duration": list(durations)}
    match format:
        case "webp":
            exif = _exif(texts)
            extra: dict[str, Any] = {} if exif is None else {"exif": exif}
            extra |= {"xmp": packet(mark)} if mark else {}
            first.save(
                stream, "WEBP", loop=0 if loop else 1, quality=quality, lossless=quality == 100, **shown, **extra
            )
        case "png":
            first.save(stream, "PNG", loop=0 if loop else 1, pnginfo=_png_info(texts, mark), **shown)
        case "gif":
            first.save(stream, "GIF", disposal=1, **shown, **({"loop": 0} if loop else {}))
            return gif.with_texts(stream.getvalue(), comment_of(texts), packet(mark))
    return stream.getvalue()


def _png_info(texts: Mapping[str, str], mark: str) -> PngInfo:
    """Put our own texts and the mark into iTXt chunks, and a ComfyUI workflow where ComfyUI looks for it."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for keyword, text in texts.items():
        if keyword in OWN or keyword == WARNING:
            info.add_itxt(keyword, text)
        else:
            info.add_text(keyword, text)
    if mark:
        info.add_itxt("XML:com.adobe.xmp", packet(mark).decode())
    return info


def _exif(texts: Mapping[str, str]) -> Exif | None:
    """Put our own texts into EXIF's UserComment, as one JSON object in ASCII, and a ComfyUI workflow where ComfyUI looks."""
    import PIL.Image

    if not texts:
        return None
    exif = PIL.Image.Exif()
    if warning := texts.get(WARNING):
        exif[_IMAGE_DESCRIPTION] = warning.encode("ascii", "replace").decode()
    if comment := comment_of(texts):
        exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = b"ASCII\0\0\0" + comment.encode("ascii")
    for keyword, tag in _COMFYUI_TAGS.items():
        if keyword in texts:
            exif[tag] = f"{keyword}:{texts[keyword]}"
    return exif
