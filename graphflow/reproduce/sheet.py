"""A contact sheet: many pictures small, each with its caption."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from graphflow.basics.pictures import read_picture
from graphflow.errors import GraphflowError

if TYPE_CHECKING:
    from PIL.Image import Image

_EDGE = 160
_LINE = 14
_GAP = 8


def contact_sheet(pictures: Sequence[tuple[Path, str]]) -> Image:
    """Return a contact sheet; what cannot be read is an empty frame.

    Args:
        pictures: Files, and their captions of one or more lines.
    """
    import PIL.Image
    from PIL import ImageDraw

    columns = max(1, math.ceil(math.sqrt(len(pictures))))
    lines = max((caption.count("\n") + 1 for _, caption in pictures), default=1)
    width, height = _EDGE + _GAP, _EDGE + _LINE * lines + _GAP
    sheet = PIL.Image.new("RGB", (columns * width + _GAP, math.ceil(len(pictures) / columns) * height + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (path, caption) in enumerate(pictures):
        left, top = _GAP + index % columns * width, _GAP + index // columns * height
        small = _small(path)
        if small is None:
            draw.rectangle((left, top, left + _EDGE - 1, top + _EDGE - 1), outline="gray")
        else:
            sheet.paste(small, (left + (_EDGE - small.width) // 2, top + (_EDGE - small.height) // 2))
        for number, line in enumerate(caption.split("\n")):
            shown = line.encode("latin-1", "replace").decode("latin-1")
            while shown and draw.textlength(shown) > _EDGE:
                shown = shown[:-1]
            draw.text((left, top + _EDGE + number * _LINE), shown, fill="black")
    return sheet


def _small(path: Path) -> Image | None:
    def take(picture: Image) -> Image:
        small = picture.convert("RGB")
        small.thumbnail((_EDGE, _EDGE))
        return small

    try:
        with path.open("rb") as stream:
            return read_picture("image", stream, str(path), take, lambda notice: None)
    except (OSError, GraphflowError):
        return None
