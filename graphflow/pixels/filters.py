"""Filters on (B, C, H, W) tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphflow.errors import InvalidInputError

if TYPE_CHECKING:
    import torch


def gaussian_weights(radius: int, sigma: float) -> torch.Tensor:
    """Gaussian weights of 2 * radius + 1 samples that sum to 1; sigma is in units of the radius."""
    import torch

    place = torch.linspace(-1, 1, 2 * radius + 1)
    weights = (-(place**2) / (2 * sigma**2)).exp()
    return weights / weights.sum()


def gaussian_blur(tensor: torch.Tensor, radius: int, sigma: float) -> torch.Tensor:
    """Average each sample with its neighbours by Gaussian weights; edges are mirrored.

    Raises:
        InvalidInputError: An edge is not longer than the radius.
    """
    import torch.nn.functional as functional

    if min(tensor.shape[-2:]) <= radius:
        raise InvalidInputError(
            f"a radius of {radius} does not fit into {tensor.shape[-1]} x {tensor.shape[-2]} samples",
            where="radius",
            advice="take a smaller radius",
        )
    if not tensor.shape[0]:
        return tensor
    weights = gaussian_weights(radius, sigma).to(tensor.device, tensor.dtype)
    planes = tensor.reshape(-1, 1, *tensor.shape[-2:])
    padded = functional.pad(planes, (radius, radius, radius, radius), mode="reflect")
    rows = functional.conv2d(padded, weights.reshape(1, 1, 1, -1))
    return functional.conv2d(rows, weights.reshape(1, 1, -1, 1)).reshape(tensor.shape)


def dilate(tensor: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The largest value within a window of (height, width) around each sample; what lies outside does not count.

    An even window reaches one sample further up and left.
    """
    import torch.nn.functional as functional

    if not tensor.shape[0]:
        return tensor
    top, left = height // 2, width // 2
    padded = functional.pad(tensor, (left, width - 1 - left, top, height - 1 - top), value=float("-inf"))
    # A row and then a column are as good as the rectangle, and much cheaper.
    return functional.max_pool2d(functional.max_pool2d(padded, (1, width), stride=1), (height, 1), stride=1)


def erode(tensor: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The smallest value within a window of (height, width) around each sample."""
    return -dilate(-tensor, height, width)
