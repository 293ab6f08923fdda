"""The pictures of a sweep in one, with what was varied beside them."""

from __future__ import annotations

import io
import json
import textwrap
from collections.abc import Mapping, Sequence
from math import ceil, prod, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphflow.document.embedded import GRID_KEYWORD, WORKFLOW_KEYWORD
from graphflow.execution.result import PICTURE_ENDINGS
from graphflow.sweeps.axes import Axis, Variants
from graphflow.sweeps.results import Variant

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

_MOST_EDGE = 16_384
_LEAST_CELL, _MOST_CELL = 32, 1_024
_GAP = 4
_XMP = "XML:com.adobe.xmp"
_INK, _PAPER, _EMPTY = (20, 20, 20), (255, 255, 255), (225, 225, 225)


def draw_grid(variants: Variants, results: Sequence[Variant], folder: Path) -> tuple[bytes | None, str]:
    """Draw the pictures of a sweep as a PNG: the last axis to the right, the others downwards; a single axis is folded.

    It names the pictures by their paths from the folder, where these say how they were made.

    Returns:
        The file, or None where there are too few or too many pictures, and in the latter case why.
    """
    pictures = {result.number: result for result in results if _first(result)}
    if len(pictures) < 2:
        return None, ""
    several = len(variants.axes) > 1
    columns = len(variants.axes[-1].rows) if several else ceil(sqrt(len(variants)))
    rows = ceil(len(variants) / columns)
    edge = min(_MOST_CELL, _MOST_EDGE // max(columns, rows) - 2 * _GAP)
    if edge < _LEAST_CELL:
        return None, f"no grid is drawn of {len(variants):,} pictures, it would be too large"
    return _Sheet(variants, pictures, folder, columns, rows, edge, several).draw(), ""


def _first(result: Variant) -> str | None:
    return next((str(path) for path in result.paths if path.suffix.lower() in PICTURE_ENDINGS), None)


class _Sheet:
    def __init__(
        self,
        variants: Variants,
        results: Mapping[int, Variant],
        folder: Path,
        columns: int,
        rows: int,
        edge: int,
        several: bool,
    ) -> None:
        import PIL.Image

        self.variants, self.results, self.columns, self.rows = variants, results, columns, rows
        self.several, self.folder = several, folder
        self.named: dict[int, str] = {}
        self.xmp: str | bytes | None = None
        sizes = []
        for result in results.values():
            with PIL.Image.open(_first(result) or "") as picture:
                sizes.append(picture.size)
        shrink = min(1.0, edge / max(max(size) for size in sizes))
        self.cell = tuple(max(1, round(max(size[axis] for size in sizes) * shrink)) for axis in (0, 1))
        self.shrink = shrink
        self.font = _font(max(11, min(28, self.cell[0] // 9)))
        self.line: int = ceil(self.font.size * 1.25)

    def draw(self) -> bytes:
        import PIL.Image
        import PIL.ImageDraw
        from PIL.PngImagePlugin import PngInfo

        width, height = self.cell
        *outer, last = self.variants.axes
        downwards = [self._wrapped(_label(outer, index)) for index in range(self.rows)] if self.several else []
        across = [self._wrapped(_label([last], index)) for index in range(self.columns)] if self.several else []
        each = [] if self.several else [self._wrapped(_label([last], index)) for index in range(len(self.variants))]
        left = max((self._width(text) for text in downwards), default=0) + 2 * _GAP * bool(downwards)
        top = max((self._height(text) for text in across), default=0)
        above = max((self._height(text) for text in each), default=0)
        size = left + self.columns * (width + _GAP) + _GAP, top + self.rows * (height + above + _GAP) + _GAP
        sheet = PIL.Image.new("RGB", size, _PAPER)
        pen = PIL.ImageDraw.Draw(sheet)
        for row in range(self.rows):
            y = top + row * (height + above + _GAP) + _GAP
            if downwards:
                pen.multiline_text((_GAP, y), downwards[row], fill=_INK, font=self.font)
            for column in range(self.columns):
                x = left + column * (width + _GAP) + _GAP
                number = row * self.columns + column
                if across and not row:
                    pen.multiline_text((x, _GAP), across[column], fill=_INK, font=self.font)
                if number >= len(self.variants):
                    continue
                if each:
                    pen.multiline_text((x, y), each[number], fill=_INK, font=self.font)
                place = x, y + above
                if number in self.results:
                    sheet.paste(self._picture(number), place)
                else:
                    pen.rectangle((*place, place[0] + width - 1, place[1] + height - 1), fill=_EMPTY)
        info = PngInfo()
        if self.xmp:  # what the pictures say of how they were made holds for the grid, too
            info.add_itxt(_XMP, self.xmp if isinstance(self.xmp, str) else self.xmp.decode("utf-8", "replace"))
        if self.named:
            names = [self.named[number] for number in sorted(self.named)]
            info.add_itxt(GRID_KEYWORD, json.dumps(names, ensure_ascii=False))
        stream = io.BytesIO()
        sheet.save(stream, "PNG", pnginfo=info)
        return stream.getvalue()

    def _picture(self, number: int) -> Image:
        import PIL.Image

        path = _first(self.results[number]) or ""
        with PIL.Image.open(path) as picture:
            if WORKFLOW_KEYWORD in picture.info:
                self.named[number] = Path(path).relative_to(self.folder).as_posix()
            self.xmp = self.xmp or picture.info.get(_XMP) or picture.info.get("xmp")
            size = [max(1, round(edge * self.shrink)) for edge in picture.size]
            shown = picture.convert("RGBA")
        backdrop = PIL.Image.new("RGBA", shown.size, _PAPER)
        backdrop.alpha_composite(shown)
        return backdrop.convert("RGB").resize((size[0], size[1]), PIL.Image.Resampling.LANCZOS, reducing_gap=3.0)

    def _wrapped(self, text: str) -> str:
        width = max(8, int(self.cell[0] / (self.font.size * 0.55)))
        lines = [part for line in text.split("\n") for part in textwrap.wrap(line, width) or [""]]
        most = max(1, min(6, self.cell[1] // self.line))
        return "\n".join([*lines[: most - 1], lines[most - 1][: width - 1] + "…"] if len(lines) > most else lines)

    def _width(self, text: str) -> int:
        return int(max(self.font.getlength(line) for line in text.split("\n"))) + 1

    def _height(self, text: str) -> int:
        return self.line * (text.count("\n") + 1) + _GAP


def _label(axes: Sequence[Axis], number: int) -> str:
    """Return what is varied at a place of some axes, one value a line."""
    places = Variants(axes)
    row: Mapping[str, Any] = places[number % max(1, prod(len(axis.rows) for axis in axes))]
    return "\n".join(f"{name} {_text(value)}" for name, value in row.items())


def _text(value: Any) -> str:
    return str(getattr(value, "text", value))


def _font(size: int) -> FreeTypeFont:
    import PIL.ImageFont

    font = PIL.ImageFont.load_default(size)
    assert isinstance(font, PIL.ImageFont.FreeTypeFont)
    return font
