"""The points of a face as a picture that ControlNets for faces read."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255))
_LIMBS = ((0, 2), (1, 2), (3, 2), (4, 2))
_LIMB_WIDTH = 4
_RADIUS = 10
_DIMMED = 0.6


def drawn_points(points: Tensor, width: int, height: int) -> Tensor:
    """Draw eyes, nose and corners of the mouth (5, 2) as InstantID's ControlNet was trained to read them: (3, H, W).

    Wang et al. 2024, arXiv:2401.07519; the authors' `draw_kps` (Apache-2.0): dimmed ellipses from each point to the nose,
    discs of 10 pixels on the points.
    """
    x, y = (
        torch.arange(width, dtype=torch.float32)[None, :],
        torch.arange(height, dtype=torch.float32)[:, None],
    )
    found = torch.zeros(3, height, width)
    places = points.tolist()
    for first, second in _LIMBS:
        (x0, y0), (x1, y1) = places[first], places[second]
        half, angle = math.hypot(x0 - x1, y0 - y1) / 2, math.atan2(y0 - y1, x0 - x1)
        if half < 1:
            continue
        right, down = x - (x0 + x1) / 2, y - (y0 + y1) / 2
        along = right * math.cos(angle) + down * math.sin(angle)
        across = down * math.cos(angle) - right * math.sin(angle)
        _paint(
            found,
            (along / half) ** 2 + (across / _LIMB_WIDTH) ** 2 <= 1,
            _COLOURS[first],
            _DIMMED,
        )
    for (x0, y0), colour in zip(places, _COLOURS, strict=True):
        _paint(found, (x - x0) ** 2 + (y - y0) ** 2 <= _RADIUS**2, colour, 1.0)
    return found


def _paint(
    picture: Tensor, where: Tensor, colour: tuple[int, int, int], light: float
) -> None:
    picture[:, where] = torch.tensor(colour)[:, None] / 255 * light
