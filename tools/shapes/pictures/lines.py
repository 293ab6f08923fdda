"""Measures pictures by their lines: edges, how well edges agree, and whether shapes are filled or outlined."""

from __future__ import annotations

import cv2
import numpy as np

from .drawing import Picture

TOLERANCE = 2
"""Pixels that two edges may be apart and still agree."""


def edges(picture: Picture) -> Picture:
    """White edges on black (h, w, 3; 0 or 255) by Canny's method, two pixels wide."""
    lines = cv2.dilate(cv2.Canny(picture, 60, 140), np.ones((2, 2), np.uint8))
    return np.asarray(np.repeat(lines[..., None], 3, axis=2), dtype=np.uint8)


def alignment(wanted: Picture, found: Picture) -> float:
    """Agreement (F1 score, 0 to 1) of two pictures of edges, each near enough (`TOLERANCE`) to the other or not."""
    a, b = wanted[..., 0] > 0, found[..., 0] > 0
    if not a.any() or not b.any():
        return 0.0
    reach = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * TOLERANCE + 1, 2 * TOLERANCE + 1))
    near_a, near_b = (cv2.dilate(edge.astype(np.uint8), reach) > 0 for edge in (a, b))
    recall, precision = float(near_b[a].mean()), float(near_a[b].mean())
    return 2 * recall * precision / max(1e-9, recall + precision)


def filled_share(picture: Picture) -> float:
    """How much of what lies inside the outlines has not the background's colour: near 1 for filled shapes, 0 to 1."""
    pixels = picture.astype(np.float32)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    drawn = (np.linalg.norm(pixels - np.median(border, axis=0), axis=2) > 60).astype(np.uint8)
    contours, _ = cv2.findContours(drawn, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    within = np.zeros_like(drawn)
    cv2.drawContours(within, [c for c in contours if cv2.contourArea(c) > 60], -1, 1, thickness=cv2.FILLED)
    return float(drawn[within > 0].mean()) if within.any() else 1.0
