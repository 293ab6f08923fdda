"""Edges by Canny's method (Canny 1986) in kornia's form (https://github.com/kornia/kornia, Apache-2.0).

On smooth pictures the results are equal; on flat ones a few in a hundred edge pixels may differ, where rounding
decides which of two equal neighbours is the larger.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

CANNY_EPSILON = 1e-6
CANNY_LUMINANCE = (0.299, 0.587, 0.114)
NEIGHBOURS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
"""Rows and columns to the neighbour in each eighth of the circle."""


def canny(pixels: Tensor, low: float, high: float) -> Tensor:
    """Find edges.

    Args:
        pixels: (B, 3 or more, H, W) in [0, 1].
        low: Gradient above which a pixel may belong to an edge.
        high: Gradient above which a pixel begins one.

    Returns:
        (B, 1, H, W): 1 on edges, 0 elsewhere.
    """
    red, green, blue = pixels[:, :3].float().cpu().split(1, dim=1)
    grey = (
        CANNY_LUMINANCE[0] * red
        + CANNY_LUMINANCE[1] * green
        + CANNY_LUMINANCE[2] * blue
    )
    magnitude, angle = sobel_gradient(blurred_grey(grey))
    thinned = thinned_edges(magnitude, angle)
    edges = torch.zeros_like(thinned)
    for item, thin in zip(edges, thinned, strict=True):
        item[0] = connected_edges(thin[0], low, high)
    return edges


def canny_edges(
    image: Tensor, low_threshold: float = 0.4, high_threshold: float = 0.8
) -> Tensor:
    """Draw edges, white on black, by Canny's method (Canny 1986) in kornia's form."""
    return canny(image, low_threshold, high_threshold).repeat(1, 3, 1, 1)


def blurred_grey(grey: Tensor) -> Tensor:
    """Gaussian of deviation 1 over 5x5 pixels; the picture is mirrored at its border."""
    x = torch.arange(5, dtype=torch.float32) - 2
    kernel = torch.exp(-(x**2) / 2)
    kernel = kernel / kernel.sum()
    # Mirroring needs more than two pixels; smaller pictures repeat their border.
    mode = "reflect" if min(grey.shape[-2:]) > 2 else "replicate"
    grey = functional.conv2d(
        functional.pad(grey, (2, 2, 0, 0), mode), kernel.view(1, 1, 1, 5)
    )
    return functional.conv2d(
        functional.pad(grey, (0, 0, 2, 2), mode), kernel.view(1, 1, 5, 1)
    )


def sobel_gradient(grey: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel's gradient: its length, and its direction in eighths of the circle."""
    sobel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    kernels = torch.stack([sobel, sobel.T])[:, None]
    found = functional.conv2d(functional.pad(grey, (1, 1, 1, 1), "replicate"), kernels)
    across, down = found[:, :1], found[:, 1:]
    magnitude = torch.sqrt(across**2 + down**2 + CANNY_EPSILON)
    return magnitude, torch.round(torch.atan2(down, across) * (180.0 / math.pi) / 45.0)


def thinned_edges(magnitude: Tensor, angle: Tensor) -> Tensor:
    """Keep what is larger than both neighbours along the gradient; outside of the picture everything is 0."""
    height, width = magnitude.shape[-2:]
    padded = functional.pad(magnitude, (1, 1, 1, 1))
    larger = torch.cat(
        [
            magnitude
            - padded[..., 1 + row : 1 + row + height, 1 + column : 1 + column + width]
            for row, column in NEIGHBOURS
        ],
        dim=1,
    )
    ahead, behind = (larger.gather(1, ((angle + turn) % 8).long()) for turn in (0, 4))
    return torch.where(torch.minimum(ahead, behind) > 0, magnitude, 0.0)


def connected_edges(magnitude: Tensor, low: float, high: float) -> Tensor:
    """Pixels above `low` that hang together with one above `high`, corners counting as touching."""
    groups, count = ndimage.label((magnitude > low).numpy(), structure=np.ones((3, 3)))
    strong = np.zeros(count + 1, dtype=bool)
    strong[groups[(magnitude > high).numpy()]] = True
    strong[0] = False
    return torch.from_numpy(strong[groups]).float()
