"""Nodes that write files. They return the bytes; the engine puts them under the output folder and overwrites nothing."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from graphflow import runtime
from graphflow.basics.eight_bits import Rounding, to_bytes_array
from graphflow.basics.marks import packet
from graphflow.document.media import riff
from graphflow.errors import MediaError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import FirstNumber, OneOrMany, node
from graphflow.values import Audio, EncodedFile, Files, Image, Video

from ..choices import Prefix
from ..sequences import pictures_of
from .carried import comment_of, sidecar, texts_of
from .comfyui_prompt import with_prompt
from .picture_bytes import SUFFIXES, Animation, Format, encode_frames, encode_picture

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["preview", "save_audio", "save_image", "save_video"]

Quality = Annotated[int, Field(ge=1, le=100, description="of lossy formats")]
EightBit = Annotated[
    Rounding, Field(description="how values become 8-bit: round to the nearest, or truncate as ComfyUI does")
]
Embed = Annotated[bool, Field(description="put the workflow and the record of how it was made into the file")]


@node("save_image", effect=True)
def save_image(
    images: Annotated[OneOrMany[Image], Field(description="the pictures: one batch, or a sequence of batches")],
    filename_prefix: Prefix = "graphflow",
    format: Annotated[
        Format, Field(description="png carries the workflow and loses nothing; webp and jpeg are smaller")
    ] = "png",
    quality: Quality = 90,
    rounding: EightBit = "round",
    embed: Embed = True,
    first: FirstNumber = None,
) -> Files:
    """Save pictures (B, 3 or 4, H, W) in [0, 1], one file each.

    Where there are several, each name says which number it has: ``prefix-3_00001.png``. PNG carries the workflow and
    the record as text; WebP and JPEG in EXIF's UserComment, or where a JPEG has no room, a JSON file beside it. JPEG has
    no alpha, so transparent parts become white. WebP at quality 100 loses nothing.

    Raises:
        MediaError: A picture is larger than the format can hold.
        NonFiniteError: A pixel is NaN or infinite.
    """
    parts = pictures_of(images)
    record = with_prompt(runtime.current().carried(embed=embed))
    several = first is not None or sum(part.pixels.shape[0] + part.withheld for part in parts) > 1
    files: list[EncodedFile] = []
    for number, picture in _numbered(parts, first or 0):
        pixels = picture.pixels[0]
        if pixels.shape[0] == 4 and format == "jpeg":
            pixels = pixels[:3] * pixels[3:] + (1 - pixels[3:])
        array = to_bytes_array(pixels, rounding)
        texts = texts_of(record, [array], number)
        data, beside = encode_picture(array, format, quality=quality, texts=texts, mark=record.get("mark", ""))
        stem = named(filename_prefix, picture.pixels, number, several=several)
        files.append(
            EncodedFile(
                stem=stem, suffix=SUFFIXES[format], data=data, number=number, sidecar=sidecar(texts) if beside else b""
            )
        )
    return Files(files=tuple(files), withheld=sum(part.withheld for part in parts))


@node("preview", effect=True)
def preview(
    images: Annotated[OneOrMany[Image], Field(description="the pictures: one batch, or a sequence of batches")],
    max_edge: Annotated[int, Field(ge=16, le=2048, description="longest edge in pixels; nothing is enlarged")] = 512,
    first: FirstNumber = None,
) -> Files:
    """Save small JPEG pictures to look at, without the workflow."""
    from graphflow.pixels.resampling import resample
    from graphflow.pixels.sizes import target_size

    parts = pictures_of(images)
    mark = runtime.current().carried(embed=False).get("mark", "")
    several = first is not None or sum(part.pixels.shape[0] + part.withheld for part in parts) > 1
    files: list[EncodedFile] = []
    for number, picture in _numbered(parts, first or 0):
        size = target_size(picture.pixels.shape[-2:], max_edge=max_edge)
        small = resample(picture.pixels, size, "area")
        data, _ = encode_picture(to_bytes_array(small[0], "round"), "jpeg", quality=85, texts={}, mark=mark)
        stem = f"preview-{number}" if several else "preview"
        files.append(EncodedFile(stem=stem, suffix=".jpg", data=data, number=number))
    return Files(files=tuple(files), withheld=sum(part.withheld for part in parts))


@node("save_video", effect=True)
def save_video(
    video: Annotated[Video, Field(description="the video")],
    filename_prefix: Prefix = "graphflow",
    format: Annotated[
        Animation,
        Field(description="webp and png have all colours, png losslessly; gif has 256 and plays anywhere"),
    ] = "webp",
    quality: Quality = 90,
    loop: Annotated[bool, Field(description="play again and again")] = True,
    rounding: EightBit = "round",
    embed: Embed = True,
) -> Files:
    """Save frames (T, 3, H, W) in [0, 1] as an animated picture at the video's frame rate.

    WebP at quality 100 and PNG lose nothing. GIF carries the workflow and the record in a comment.

    Raises:
        MediaError: The video has no frame or more than the limits allow.
        NonFiniteError: A pixel is NaN or infinite.
    """
    count = video.frames.shape[0]
    if not 1 <= count <= LIMITS.frames:
        raise MediaError(f"a video has 1 to {LIMITS.frames:,} frames, this one {count:,}", where="video")
    record = with_prompt(runtime.current().carried(embed=embed))
    frames = [to_bytes_array(frame, rounding) for frame in video.frames]
    data = encode_frames(
        frames,
        _durations(count, video.fps),
        format,
        quality=quality,
        loop=loop,
        texts=texts_of(record, frames),
        mark=record.get("mark", ""),
    )
    stem = named(filename_prefix, video.frames, 0, several=False)
    return Files(files=(EncodedFile(stem=stem, suffix=f".{format}", data=data),))


@node("save_audio", effect=True)
def save_audio(
    audio: Annotated[Audio, Field(description="the sound")], filename_prefix: Prefix = "graphflow", embed: Embed = True
) -> Files:
    """Save sound (channels, n) in [-1, 1] as a 16-bit WAV file at its sample rate.

    It carries the workflow and the record in its comment.

    Raises:
        MediaError: There is no sound in it, or it has more channels than WAV can hold.
        NonFiniteError: A sample is NaN or infinite.
    """
    import torch

    from graphflow.basics.finite import require_finite

    channels, length = audio.samples.shape
    if not length or not 1 <= channels <= 255:
        raise MediaError(
            f"a sound has 1 to 255 channels and some samples, this one {channels} and {length}", where="audio"
        )
    require_finite(audio.samples, "the sound", "the node that made it is at fault; another dtype may help")
    whole = (audio.samples.float().clamp(-1, 1) * 32767).round().to(torch.int16)
    samples = whole.T.contiguous().cpu().numpy().astype("<i2")
    record = with_prompt(runtime.current().carried(embed=embed))
    stream = io.BytesIO()
    with wave.open(stream, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(2)
        sound.setframerate(audio.sample_rate)
        sound.writeframes(samples.tobytes())
    comment = comment_of(texts_of(record, [samples]))
    data = riff.with_wav_texts(stream.getvalue(), comment, packet(record.get("mark", "")))
    return Files(files=(EncodedFile(stem=filename_prefix, suffix=".wav", data=data),))


def named(prefix: str, pixels: Tensor, number: int, *, several: bool) -> str:
    """Return a picture's name: ``%width%``, ``%height%`` and ``%batch_num%`` filled in, and its number where there are several.

    Args:
        prefix: How it begins.
        pixels: (…, H, W).
        number: Which picture of its batch it is.
        several: Whether there are more.
    """
    name = prefix.replace("%width%", str(pixels.shape[-1])).replace("%height%", str(pixels.shape[-2]))
    numbered = name.replace("%batch_num%", str(number))
    return f"{numbered}-{number}" if several and numbered == name else numbered


def _numbered(parts: Sequence[Image], offset: int) -> Iterator[tuple[int, Image]]:
    """Yield each picture as a batch of one, with its number over all parts, which count from ``offset``."""
    for part in parts:
        count = part.pixels.shape[0]
        numbers = part.numbers if part.numbers is not None else tuple(range(count))
        for index in range(count):
            yield offset + numbers[index], Image(pixels=part.pixels[index : index + 1])
        offset += count + part.withheld


def _durations(count: int, fps: float) -> list[int]:
    """Return whole milliseconds for each frame that add up to the video's length."""
    ends = [round(1000 * (index + 1) / fps) for index in range(count)]
    return [max(1, end - start) for start, end in zip([0, *ends], ends, strict=False)]
