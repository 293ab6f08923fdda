"""Draws antialiased pictures of flat coloured shapes on a flat background."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

SIZE = 128
"""Side of a picture in pixels."""

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (220, 30, 30),
    "orange": (255, 140, 0),
    "yellow": (250, 220, 30),
    "green": (30, 160, 50),
    "blue": (40, 70, 220),
    "purple": (140, 40, 170),
    "white": (245, 245, 245),
    "black": (15, 15, 15),
    "gray": (128, 128, 128),
    "pink": (250, 150, 190),
}
"""sRGB values (0 to 255) of every colour word."""

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
"""Colours a shape can have."""

BACKGROUNDS = ("black", "white", "gray", "blue", "yellow", "pink")
"""Colours a background can have."""

Points: TypeAlias = npt.NDArray[np.float64]
Picture: TypeAlias = npt.NDArray[np.uint8]
"""A picture: (height, width, 3), sRGB, 0 to 255."""

_SUPERSAMPLING = 4


def _polygon(*points: tuple[float, float]) -> Callable[[], Points]:
    return lambda: np.array(points, dtype=np.float64)


def _circle() -> Points:
    t = np.linspace(0.0, 2 * math.pi, 96, endpoint=False)
    return 0.92 * np.stack([np.cos(t), np.sin(t)], axis=1)


def _star() -> Points:
    t = -math.pi / 2 + np.arange(10) * math.pi / 5
    radius = np.where(np.arange(10) % 2 == 0, 1.12, 0.46)
    return np.stack([radius * np.cos(t), radius * np.sin(t) + 0.08], axis=1)


def _heart() -> Points:
    t = np.linspace(0.0, 2 * math.pi, 96, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x / 16.5, -(y + 2.5) / 15.5], axis=1)


_OUTLINES: dict[str, Callable[[], Points]] = {
    "circle": _circle,
    "square": _polygon((-0.84, -0.84), (0.84, -0.84), (0.84, 0.84), (-0.84, 0.84)),
    "triangle": _polygon((0.0, -1.0), (1.06, 0.8), (-1.06, 0.8)),
    "star": _star,
    "cross": _polygon(
        *((-0.34, -1.0), (0.34, -1.0), (0.34, -0.34), (1.0, -0.34), (1.0, 0.34), (0.34, 0.34)),
        *((0.34, 1.0), (-0.34, 1.0), (-0.34, 0.34), (-1.0, 0.34), (-1.0, -0.34), (-0.34, -0.34)),
    ),
    "heart": _heart,
}

KINDS = tuple(_OUTLINES)
"""Names of the shapes."""


@dataclass(frozen=True)
class Shape:
    """One shape in a picture.

    Attributes:
        kind: One of `KINDS`.
        colour: A word of `COLOURS`.
        x: Centre from the left edge, in picture widths (0 to 1).
        y: Centre from the top edge, in picture heights (0 to 1).
        radius: Half the shape's extent, in picture widths.
    """

    kind: str
    colour: str
    x: float = 0.5
    y: float = 0.5
    radius: float = 0.26


@dataclass(frozen=True)
class Scene:
    """What a picture shows: shapes, drawn in order, on a background colour."""

    background: str
    shapes: tuple[Shape, ...]


def outline(kind: str) -> Points:
    """Corner points (n, 2) of a shape of radius 1 around the origin, y pointing down."""
    return _OUTLINES[kind]()


def mask(shape: Shape, size: int = SIZE, line: float | None = None) -> npt.NDArray[np.float32]:
    """Coverage (size, size) of each pixel by a shape, 0 to 1.

    Args:
        shape: What to cover.
        size: Side of the picture in pixels.
        line: Width of the outline in picture widths; None fills the shape.
    """
    side = size * _SUPERSAMPLING
    canvas = Image.new("L", (side, side), 0)
    points = [
        (float(px), float(py)) for px, py in (outline(shape.kind) * shape.radius + (shape.x, shape.y)) * side - 0.5
    ]
    draw = ImageDraw.Draw(canvas)
    if line is None:
        draw.polygon(points, fill=255)
    else:
        draw.line([*points, points[0], points[1]], fill=255, width=round(line * side), joint="curve")
    small = canvas.resize((size, size), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32) / 255.0


def draw(
    scene: Scene,
    size: int = SIZE,
    line: float | None = None,
    palette: dict[str, tuple[int, int, int]] | None = None,
) -> Picture:
    """Draw a scene.

    Args:
        scene: What to draw.
        size: Side of the picture in pixels.
        line: Width of outlines in picture widths; None fills the shapes.
        palette: Colours by name instead of `PALETTE`.

    Returns:
        The picture, (size, size, 3), 0 to 255.
    """
    colours = PALETTE if palette is None else palette
    picture: npt.NDArray[np.float32] = np.empty((size, size, 3), dtype=np.float32)
    picture[:] = colours[scene.background]
    for shape in scene.shapes:
        cover = mask(shape, size, line)[..., None]
        picture = picture * (1.0 - cover) + np.array(colours[shape.colour], dtype=np.float32) * cover
    return np.rint(picture).astype(np.uint8)
