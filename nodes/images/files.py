"""Nodes that read pictures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field

from graphflow import runtime
from graphflow.basics.pictures import check_size, loaded_frames, read_picture
from graphflow.errors import LimitError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import InputFile, node
from graphflow.values import Image, Mask

from ..output.user_files import read

if TYPE_CHECKING:
    import PIL.Image
    import torch

__all__ = ["load_image", "load_mask"]

PictureFile = Annotated[
    str,
    InputFile("image"),
    Field(min_length=1, description="PNG, JPEG, WebP, BMP, GIF or TIFF"),
]


class Picture(NamedTuple):
    """A picture and the mask in its alpha channel."""

    image: Annotated[Image, Field(description="the picture, (1, 3, H, W) in [0, 1], or one for each frame")]
    mask: Annotated[
        Mask, Field(description="1 where the picture is transparent, (1, H, W); all 0 where it has no alpha")
    ]


@node("load_image", version=2)
def load_image(
    file: PictureFile,
    keep_alpha: Annotated[bool, Field(description="return four channels where the file has alpha")] = False,
    frames: Annotated[
        Literal["first", "all"], Field(description="of an animated picture: the first one, or all as a batch")
    ] = "first",
) -> Picture:
    """Read a picture, turned upright as its EXIF data says.

    Frames of another size than the first one's are left out. A phone's MPO file counts as its first picture, and a
    colour that a picture without alpha or palette declares transparent as any other. A cut file is read as far as it
    goes, with a notice.

    Raises:
        MediaError: The file is not there, is none of the formats, or not a row of it can be read.
        LimitError: The picture is larger, or has more frames, than the limits allow.
    """
    import torch

    read = _read_picture(file, LIMITS.frames if frames == "all" else 1)
    pixels = torch.stack([pixels for pixels, _ in read])
    opaque = torch.ones(pixels.shape[-2:])
    alpha = torch.stack([opaque if alpha is None else alpha for _, alpha in read])
    if keep_alpha and any(alpha is not None for _, alpha in read):
        pixels = torch.cat([pixels, alpha[:, None]], dim=1)
    return Picture(Image(pixels=pixels), Mask(values=1.0 - alpha))


@node("load_mask")
def load_mask(
    file: PictureFile,
    channel: Annotated[
        Literal["alpha", "red", "green", "blue"],
        Field(description="alpha: transparent parts are 1; a colour: its brightness"),
    ] = "red",
) -> Mask:
    """Read a mask (1, H, W) in [0, 1] from one channel of a picture, turned upright as its EXIF data says.

    Of several frames the first counts; a colour that the file declares transparent is.

    Raises:
        MediaError: The file is not there, is none of the formats, or not a row of it can be read.
        LimitError: The picture is larger than the limits allow.
    """
    import torch

    ((pixels, alpha),) = _read_picture(file, 1, keyed=True)
    if channel == "alpha":
        return Mask(values=torch.zeros(1, *pixels.shape[-2:]) if alpha is None else (1.0 - alpha)[None])
    return Mask(values=pixels[("red", "green", "blue").index(channel)][None].clone())


def frames_of(picture: PIL.Image.Image) -> int:
    """Return how many frames an opened picture has; further pictures of an MPO file are views or gain maps of the first."""
    count: int = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)
    return count


def count_frames(path: str | Path) -> int:
    """Return how many frames a picture file has.

    Raises:
        MediaError: It is none of the formats, or damaged so that nothing can be read.
        LimitError: It is larger than the limits allow.
    """
    return read_picture("image", io.BytesIO(Path(path).read_bytes()), str(path), frames_of, runtime.current().notice)


def _read_picture(name: str, most: int, *, keyed: bool = False) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
    """Return colours (3, H, W), and alpha (H, W) or None, of at most so many frames.

    Args:
        name: The file.
        most: 1, or the limit.
        keyed: Whether a transparent colour of a picture without alpha or palette counts.
    """
    from PIL import ImageOps

    def take(picture: PIL.Image.Image) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
        count = frames_of(picture)
        if count > most > 1:
            raise LimitError(f"{count:,} frames are more than {most:,}", where=name)
        count = min(count, most)
        check_size(picture.size, name, count)
        frames = loaded_frames(picture, count)
        found = [channels_of(ImageOps.exif_transpose(frame), keyed=keyed) for frame in frames]
        return [frame for frame in found if frame[0].shape == found[0][0].shape]

    return read_picture("image", io.BytesIO(read(name)), name, take, runtime.current().notice)


def channels_of(picture: Any, *, keyed: bool = False) -> tuple[torch.Tensor, torch.Tensor | None]:
    import numpy as np
    import torch

    if picture.mode.startswith("I") or picture.mode == "F":
        plane = np.asarray(picture, dtype=np.float32)
        scale = (
            1.0 if picture.mode == "F" else (65535.0 if plane.max(initial=0) > 255 or ";16" in picture.mode else 255.0)
        )
        grey = torch.from_numpy(plane / scale).clamp(0, 1)
        return grey.expand(3, -1, -1).clone(), None
    declared = "transparency" in picture.info and (keyed or picture.mode == "P")
    transparent = picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or declared
    array = np.asarray(picture.convert("RGBA" if transparent else "RGB"), dtype=np.float32) / 255.0
    tensor = torch.from_numpy(array).permute(2, 0, 1).contiguous()
    return tensor[:3], tensor[3] if transparent else None
