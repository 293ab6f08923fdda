"""What values show of themselves: aligned text for a terminal, HTML for a notebook. All text is escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

MOST = 32
"""Pictures that are shown of many."""

_EDGE = 256


def columns(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as lines of aligned cells."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an HTML table."""
    lines = [_row("th", header), *(_row("td", row) for row in rows)]
    return "<table>" + "".join(lines) + "</table>"


def paragraph(text: object) -> str:
    """Return an HTML paragraph."""
    return f"<p>{escape(str(text))}</p>"


def thumbnails(pictures: Sequence[Image], names: Iterable[object] = (), total: int = 0) -> str:
    """Return small pictures, inside the HTML itself.

    Args:
        pictures: The pictures.
        names: What each says when it is pointed at.
        total: How many there are, where that is more than these.
    """
    titles = [*map(str, names), *[""] * len(pictures)]
    shown = [_thumbnail(picture, title) for picture, title in zip(pictures[:MOST], titles, strict=False)]
    left = max(total, len(pictures)) - len(shown)
    return "".join(shown) + (paragraph(f"… and {left:,} more") if left else "")


def _row(tag: str, cells: Iterable[object]) -> str:
    return "<tr>" + "".join(f'<{tag} style="text-align:left">{escape(str(cell))}</{tag}>' for cell in cells) + "</tr>"


def _thumbnail(picture: Image, title: str) -> str:
    small = picture.copy()
    small.thumbnail((_EDGE, _EDGE))
    stream = io.BytesIO()
    small.save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    return f'<img src="data:image/png;base64,{data}" title="{escape(title)}" alt="{picture.width} × {picture.height}">'
