"""Reads a picture back: background colour, and colour, shape and place of everything on it (pixels only)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from .drawing import BACKGROUNDS, COLOURS, KINDS, PALETTE, Picture, Scene, Shape, mask

Mask: TypeAlias = npt.NDArray[np.bool_]

NONE = "none"
"""What the judge says when it finds nothing that fits."""


def _pointed(points: int, inner: float) -> tuple[tuple[float, float], ...]:
    """Corners of a star of radius 1 with so many points, pointing up; `inner` is the radius of its inner corners."""
    turns = [-math.pi / 2 + i * math.pi / points for i in range(2 * points)]
    return tuple((r * math.cos(t), r * math.sin(t)) for t, r in zip(turns, [1.0, inner] * points, strict=True))


_VARIANTS: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {"star": (_pointed(5, 0.31), _pointed(5, 0.36))}
"""Other forms of shapes: stars may be sharper than those that training shows."""

_OTHERS: dict[str, tuple[tuple[float, float], ...]] = {
    "inverted triangle": ((-1.06, -0.8), (1.06, -0.8), (0.0, 1.0)),
    "shield": ((-0.9, -0.8), (0.9, -0.8), (0.9, 0.0), (0.0, 1.0), (-0.9, 0.0)),
    "trousers": ((-1.0, -0.8), (1.0, -0.8), (0.35, 0.8), (-0.35, 0.8)),
    "diamond": ((0.0, -1.0), (0.9, 0.0), (0.0, 1.0), (-0.9, 0.0)),
    "house": ((0.0, -1.0), (0.9, -0.1), (0.9, 0.9), (-0.9, 0.9), (-0.9, -0.1)),
    "pentagon": ((0.0, -1.0), (0.95, -0.31), (0.59, 0.81), (-0.59, 0.81), (-0.95, -0.31)),
    "four-pointed star": _pointed(4, 0.4),
    "six-pointed star": _pointed(6, 0.5),
}
"""Outlines that are no shape of the model, so that what resembles them most gets no name."""

_CANVAS = 96
_MIN_AREA = 0.006
_MIN_FIT = 0.83
_MIN_STAR_FIT = 0.74
_MAX_COLOUR_DISTANCE = 70.0


@dataclass(frozen=True)
class Finding:
    """One thing on the background.

    Attributes:
        kind: One of `KINDS`, or "none" when no shape fits well.
        colour: A word of `COLOURS`, or "none" when no colour is near.
        x: Centre from the left edge, in picture widths (0 to 1).
        y: Centre from the top edge, in picture heights (0 to 1).
        area: Share of the picture (0 to 1).
        fit: Overlap (intersection over union, 0 to 1) with the ideal shape.
    """

    kind: str
    colour: str
    x: float
    y: float
    area: float
    fit: float


@dataclass(frozen=True)
class Verdict:
    """What a picture shows: background colour (or "none") and findings, largest first."""

    background: str
    findings: tuple[Finding, ...]

    def shows(self, kind: str, colour: str, background: str) -> bool:
        """Whether the picture is exactly one shape of this kind and colour on this background."""
        return (
            self.background == background
            and len(self.findings) == 1
            and self.findings[0].kind == kind
            and self.findings[0].colour == colour
        )

    def shows_pair(self, scene: Scene, relation: str) -> bool:
        """Whether the picture shows a scene's two shapes, the first "left of" or "above" the second."""
        if self.background != scene.background or len(self.findings) != 2:
            return False
        axis = "x" if relation == "left of" else "y"
        first, second = sorted(self.findings, key=lambda f: float(getattr(f, axis)))
        apart = float(getattr(second, axis)) - float(getattr(first, axis))
        wanted = [(s.kind, s.colour) for s in scene.shapes]
        return apart > 0.15 and [(first.kind, first.colour), (second.kind, second.colour)] == wanted


def judge(picture: Picture) -> Verdict:
    """Say what a picture (h, w, 3; 0 to 255) shows."""
    pixels = picture.astype(np.float32)
    background_name, background = _background(pixels)
    distance = np.linalg.norm(pixels - background, axis=2)
    findings = []
    for region in _regions(distance > 45.0):
        colour = _main_colour(pixels, region)
        # Half-way between background and shape lies the antialiased edge.
        share = (pixels - background) @ (colour - background) / float((colour - background) @ (colour - background))
        # Odd pixels count wherever they are near the region.
        near = cv2.dilate(region.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        solid = _largest((share > 0.5) & near)
        if solid.mean() < _MIN_AREA:
            continue
        kind, fit = classify(solid)
        ys, xs = np.nonzero(solid)
        findings.append(
            Finding(
                kind,
                _nearest(colour, COLOURS),
                float((xs.min() + xs.max() + 1) / 2 / picture.shape[1]),
                float((ys.min() + ys.max() + 1) / 2 / picture.shape[0]),
                float(solid.mean()),
                fit,
            )
        )
    return Verdict(background_name, tuple(sorted(findings, key=lambda f: -f.area)))


def classify(solid: Mask) -> tuple[str, float]:
    """The best-fitting shape of a filled mask (h, w), or "none", and the best fit (0 to 1)."""
    normal = _normalised(solid)
    fits = {kind: max(_overlap(normal, t) for t in templates) for kind, templates in _templates().items()}
    kind = max(fits, key=lambda k: fits[k])
    if kind in ("circle", "square"):
        kind = _round_or_square(solid)
    if kind == "star":
        # Thin arms lose much overlap to little unevenness; that there are five of them says more.
        is_clear = fits[kind] >= _MIN_STAR_FIT and _arms(normal) == 5
    else:
        is_clear = kind in KINDS and fits[kind] >= _MIN_FIT
    return (kind if is_clear else NONE), fits[kind]


def _arms(normal: Mask) -> int:
    """How many times, on the way around its middle, a mask reaches far out and comes back."""
    ys, xs = np.nonzero(normal)
    dy, dx = ys - ys.mean(), xs - xs.mean()
    bins = ((np.arctan2(dy, dx) + math.pi) / (2 * math.pi) * 90).astype(int) % 90
    reach = np.zeros(90)
    np.maximum.at(reach, bins, np.hypot(dx, dy))
    far = reach > (reach.max() + reach.min()) / 2
    return int((far & ~np.roll(far, 1)).sum())


def _round_or_square(solid: Mask) -> str:
    """Tell circles from squares by how much of the tightest upright or turned box they fill (0.79 against 1)."""
    contours, _ = cv2.findContours(solid.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(max(contours, key=cv2.contourArea))
    (_, _), (width, height), _ = cv2.minAreaRect(hull)
    filled = cv2.contourArea(hull) / max(1.0, width * height)
    return "square" if filled > 0.885 else "circle"


def _background(pixels: npt.NDArray[np.float32]) -> tuple[str, npt.NDArray[np.float32]]:
    """Name and mean of the colour most common along the border."""
    edge = max(2, pixels.shape[0] // 32)
    frame = np.ones(pixels.shape[:2], dtype=bool)
    frame[edge:-edge, edge:-edge] = False
    border = pixels[frame]
    names = list(PALETTE)
    distances = np.linalg.norm(border[:, None] - np.array([PALETTE[n] for n in names], np.float32)[None], axis=2)
    labels = distances.argmin(1)
    commonest = int(np.bincount(labels).argmax())
    mean = np.median(border[labels == commonest], axis=0)
    name = _nearest(mean, tuple(names))
    return (name if name in BACKGROUNDS else NONE), mean.astype(np.float32)


def _nearest(colour: npt.NDArray[np.float32], names: tuple[str, ...]) -> str:
    """Nearest colour word, or "none" when a colour outside the list is nearer or all are far."""
    distances = {name: float(np.linalg.norm(colour - np.array(rgb))) for name, rgb in PALETTE.items()}
    best = min(distances, key=lambda n: distances[n])
    return best if best in names and distances[best] <= _MAX_COLOUR_DISTANCE else NONE


def _regions(foreground: Mask) -> list[Mask]:
    """Connected regions that are larger than specks and not only thin rims."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(foreground.astype(np.uint8), connectivity=4)
    return [labels == i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] >= _MIN_AREA * foreground.size]


def _largest(solid: Mask) -> Mask:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(solid.astype(np.uint8), connectivity=4)
    if count < 2:
        return solid
    return np.asarray(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()))


def _main_colour(pixels: npt.NDArray[np.float32], region: Mask) -> npt.NDArray[np.float32]:
    """Median colour of a region's inside."""
    inside = cv2.erode(region.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    chosen = inside if inside.sum() >= 12 else region
    return np.asarray(np.median(pixels[chosen], axis=0), dtype=np.float32)


def _normalised(solid: Mask) -> Mask:
    """The mask moved to the middle of a small canvas and scaled to a fixed area."""
    ys, xs = np.nonzero(solid)
    scale = 0.42 * _CANVAS / np.sqrt(len(xs))
    cx, cy = xs.mean() + 0.5, ys.mean() + 0.5
    middle = _CANVAS / 2
    matrix = np.array([[scale, 0, middle - scale * cx], [0, scale, middle - scale * cy]], dtype=np.float64)
    grey = cv2.warpAffine(solid.astype(np.float32), matrix, (_CANVAS, _CANVAS), flags=cv2.INTER_LINEAR)
    return np.asarray(grey > 0.5)


def _overlap(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


@lru_cache(maxsize=1)
def _templates() -> dict[str, list[Mask]]:
    """Normalised masks of every shape, its variants, and of `_OTHERS`, upright and slightly turned."""
    forms = [(kind, mask(Shape(kind, "black", radius=0.3), 256)) for kind in KINDS]
    forms += [(kind, _filled(points)) for kind, variants in _VARIANTS.items() for points in variants]
    forms += [(name, _filled(points)) for name, points in _OTHERS.items()]
    templates: dict[str, list[Mask]] = {}
    for name, upright in forms:
        for angle in (-8, -4, 0, 4, 8):
            matrix = cv2.getRotationMatrix2D((128, 128), angle, 1.0)
            turned = np.asarray(cv2.warpAffine(upright, matrix, (256, 256)) > 0.5)
            templates.setdefault(name, []).append(_normalised(turned))
    return templates


def _filled(points: tuple[tuple[float, float], ...]) -> npt.NDArray[np.float32]:
    """Mask (256, 256) of a polygon of radius about 1."""
    canvas: npt.NDArray[np.float32] = np.zeros((256, 256), dtype=np.float32)
    cv2.fillPoly(canvas, [np.rint(np.array(points) * 80 + 128).astype(np.int32)], 1.0)
    return canvas
