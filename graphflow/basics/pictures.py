"""Opening pictures of strangers: hardened formats only, within bounds, and cut ones as far as they go."""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, NamedTuple, TypeVar

from graphflow.errors import LimitError, MediaError
from graphflow.limits import LIMITS

if TYPE_CHECKING:
    import PIL.Image

T = TypeVar("T")


class Kind(NamedTuple):
    """What a node reads as a picture.

    Attributes:
        noun: What it is called.
        formats: Formats that are read; Pillow knows others whose readers are less hardened.
        advice: The way out where a file is none of them.
    """

    noun: str
    formats: tuple[str, ...]
    advice: str


KINDS: Mapping[str, Kind] = {
    "image": Kind(
        "picture", ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"), "use one of PNG, JPEG, WEBP, BMP, GIF, TIFF"
    ),
    "video": Kind(
        "animated picture", ("WEBP", "PNG", "GIF"), "convert it, e.g. with ffmpeg -i FILE -loop 0 video.webp"
    ),
}
"""By the kind of the nodes' input files."""

_DAMAGE = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError),
    *(AttributeError, AssertionError, NotImplementedError, struct.error),
)
"""What Pillow raises on damaged files."""
_SWITCH = threading.Lock()
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_BYTES = 2**20
_TEXTS = (b"iCCP", b"tEXt", b"zTXt", b"iTXt")
_TURNING = (b"Raw profile type exif\0", b"Raw profile type APP1\0", b"XML:com.adobe.xmp\0")
"""What texts begin with that tell how a picture is turned."""
_TURNING_BYTES = 2**16


def read_picture(
    kind: str,
    source: IO[bytes],
    name: str,
    take: Callable[[PIL.Image.Image], T],
    notice: Callable[[str], None],
    *,
    decode: bool = True,
) -> T:
    """Open a picture and take what is wanted of it.

    Colour profiles and texts of a PNG are passed over, but for a short one that tells which way is up.
    Of a damaged picture what can be read is taken; the rest is blank: grey in a JPEG, mostly black elsewhere.

    Args:
        kind: A key of `KINDS`.
        source: The file.
        name: What the user calls it.
        take: Called with the opened picture, again with a more lenient one where that fails.
        notice: Told where the picture is not whole.
        decode: Whether to look at pixels of a damaged picture; False reads its header alone.

    Raises:
        MediaError: It is none of the formats, or damaged so that nothing can be read.
        LimitError: It is larger than the limits allow.
    """
    import PIL.Image

    noun, formats, advice = KINDS[kind]

    def attempt(stream: IO[bytes], *, lenient: bool) -> T:
        stream.seek(0)
        with _cut_ones(allowed=lenient), PIL.Image.open(stream, formats=formats) as picture:
            check_size(picture.size, name)
            if lenient and decode and _is_blank(picture):
                raise MediaError("not a row of it can be read", where=name)
            return take(picture)

    source.seek(0)
    if source.read(len(_SIGNATURE)) == _SIGNATURE:
        source = io.BytesIO(b"".join(_without_texts(source, None if decode else _HEADER_BYTES)))
    try:
        try:
            return attempt(source, lenient=False)
        except _DAMAGE as error:
            failed: Exception = error
        try:
            found = attempt(source, lenient=True)
        except (*_DAMAGE, MediaError):
            raise failed from None
        notice(f"{name}: the {noun} is damaged ({failed}): what cannot be read of it is blank")
        return found
    except PIL.UnidentifiedImageError as error:
        raise MediaError(f"this is no {noun} of a known format", where=name, advice=advice) from error
    except PIL.Image.DecompressionBombError as error:
        raise LimitError(str(error), where=name) from error
    except _DAMAGE as error:
        raise MediaError(f"the {noun} is damaged: {error}", where=name, advice="get the file again") from error


def loaded_frames(picture: PIL.Image.Image, count: int) -> Iterator[PIL.Image.Image]:
    """Yield the loaded frames that have the first one's size; a cut file may have fewer than it says."""
    from PIL import ImageFile

    size = picture.size
    for number in range(count):
        try:
            picture.seek(number)
            if picture.format == "GIF" and picture.size != size:  # Pillow makes room for it, in all that follow too
                raise OSError(f"frame {number} is larger than the picture")
            if picture.size == size:
                picture.load()
        except _DAMAGE:
            if number and ImageFile.LOAD_TRUNCATED_IMAGES:
                return
            raise
        if picture.size == size:
            yield picture


def check_size(size: tuple[int, int], name: str, count: int = 1) -> None:
    """Refuse pictures that are too large, all of them together, too.

    Raises:
        LimitError: They are.
    """
    width, height = size
    if width * height > LIMITS.pixels or max(size) > LIMITS.edge:
        raise LimitError(
            f"{width} x {height} is larger than {LIMITS.pixels:,} pixels or {LIMITS.edge:,} along an edge", where=name
        )
    if 16 * width * height * count > LIMITS.loaded_bytes:  # four channels of float32
        raise LimitError(
            f"{count:,} pictures of {width} x {height} take more than {LIMITS.loaded_bytes:,} bytes", where=name
        )


def _is_blank(picture: PIL.Image.Image) -> bool:
    """Whether all pixels are alike, as they are where a file ends before the first."""
    ends = picture.getextrema()
    return all(low == high for low, high in (ends if isinstance(ends[0], tuple) else (ends,)))


@contextmanager
def _cut_ones(*, allowed: bool) -> Iterator[None]:
    """Say whether Pillow reads cut files; it has one switch for the whole process, which others may have set."""
    from PIL import ImageFile

    with _SWITCH:
        before = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = allowed
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


def _without_texts(chunks: IO[bytes], most: int | None) -> Iterator[bytes]:
    """Yield a PNG, of which this is what follows its signature, without colour profiles and what texts tell no turning.

    Args:
        chunks: The rest of the file.
        most: Bytes to yield; None is all.
    """
    yield _SIGNATURE
    while (most is None or most > 0) and (head := chunks.read(8)):
        length = int.from_bytes(head[:4], "big") + 4
        body = b""
        if head[4:] in _TEXTS:
            body = chunks.read(min(length, _TURNING_BYTES))
            if len(body) < length or not body.startswith(_TURNING):
                chunks.seek(length - len(body), 1)
                continue
        yield head + (body := body or chunks.read(length if most is None else min(length, most)))
        most = None if most is None else most - len(body)
