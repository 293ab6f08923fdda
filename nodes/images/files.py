"""Nodes that read pictures."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field

from graphflow import runtime
from graphflow.basics.pictures import check_size, loaded_frames, read_picture
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
    Field(min_length=1, description="PNG, JPEG, WebP, BMP, GIF or TIFF; the first frame where there are several"),
]


class Picture(NamedTuple):
    """A picture and the mask in its alpha channel."""

    image: Annotated[Image, Field(description="the picture, (1, 3, H, W) in [0, 1]")]
    mask: Annotated[
        Mask, Field(description="1 where the picture is transparent, (1, H, W); all 0 where it has no alpha")
    ]


@node("load_image")
def load_image(
    file: PictureFile,
    keep_alpha: Annotated[bool, Field(description="return four channels where the file has alpha")] = False,
    frames: Annotated[
        Literal["first", "all"], Field(description="of an animated picture: the first one, or all as a batch")
    ] = "first",
) -> Picture:
    """Read a picture, turned upright as its EXIF data says.

    Frames of another size than the first one's are left out. A cut file is read as far as it goes, with a notice.

    Raises:
        MediaError: The file is not there, is none of the formats, or not a row of it can be read.
        LimitError: The picture is larger than the limits allow.
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

    Raises:
        MediaError: The file is not there, is none of the formats, or not a row of it can be read.
        LimitError: The picture is larger than the limits allow.
    """
    import torch

    ((pixels, alpha),) = _read_picture(file, 1)
    if channel == "alpha":
        return Mask(values=torch.zeros(1, *pixels.shape[-2:]) if alpha is None else (1.0 - alpha)[None])
    return Mask(values=pixels[("red", "green", "blue").index(channel)][None].clone())


def _read_picture(name: str, most: int) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
    """Return colours (3, H, W), and alpha (H, W) or None, of at most so many frames."""
    from PIL import ImageOps

    def take(picture: PIL.Image.Image) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
        count = min(most, getattr(picture, "n_frames", 1))
        check_size(picture.size, name, count)
        return [channels_of(ImageOps.exif_transpose(frame)) for frame in loaded_frames(picture, count)]

    return read_picture("image", io.BytesIO(read(name)), name, take, runtime.current().notice)


def channels_of(picture: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    import numpy as np
    import torch

    if picture.mode.startswith("I") or picture.mode == "F":
        plane = np.asarray(picture, dtype=np.float32)
        scale = (
            1.0 if picture.mode == "F" else (65535.0 if plane.max(initial=0) > 255 or ";16" in picture.mode else 255.0)
        )
        grey = torch.from_numpy(plane / scale).clamp(0, 1)
        return grey.expand(3, -1, -1).clone(), None
    transparent = picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info
    array = np.asarray(picture.convert("RGBA" if transparent else "RGB"), dtype=np.float32) / 255.0
    tensor = torch.from_numpy(array).permute(2, 0, 1).contiguous()
    return tensor[:3], tensor[3] if transparent else None
