"""Resampling of pictures, masks and latents (B, C, H, W) to a size (height, width)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional


def crop_to_shape(tensor: Tensor, size: Sequence[int]) -> Tensor:
    """Cut (…, H, W) equally on two sides so that it has the shape of a size."""
    height, width = tensor.shape[-2:]
    wanted = size[1] / size[0]
    x = y = 0
    if width / height > wanted:
        x = min(round((width - height * wanted) / 2), (width - 1) // 2)
    else:
        y = min(round((height - width / wanted) / 2), (height - 1) // 2)
    return tensor[..., y : height - y, x : width - x]


def resize_nearest(tensor: Tensor, size: Sequence[int]) -> Tensor:
    """Take the nearest sample."""
    return functional.interpolate(tensor, size=size, mode="nearest-exact")


def resize_area(tensor: Tensor, size: Sequence[int]) -> Tensor:
    """Average the samples that fall together."""
    return functional.interpolate(tensor, size=size, mode="area")


def resize_bilinear(
    tensor: Tensor, size: Sequence[int], antialias: bool = False
) -> Tensor:
    """Interpolate between two samples each way; `antialias` smooths before shrinking."""
    options: dict[str, Any] = {"mode": "bilinear", "antialias": antialias}
    return functional.interpolate(tensor, size=size, **options)


def resize_bicubic(
    tensor: Tensor, size: Sequence[int], antialias: bool = False
) -> Tensor:
    """Interpolate between four samples each way; `antialias` smooths before shrinking."""
    options: dict[str, Any] = {"mode": "bicubic", "antialias": antialias}
    return functional.interpolate(tensor, size=size, **options)


def resize_lanczos(tensor: Tensor, size: Sequence[int]) -> Tensor:
    """Resample with a Lanczos kernel of three lobes, channel by channel in float32."""
    planes = tensor.float().reshape(-1, *tensor.shape[-2:]).cpu().numpy()
    lanczos, (height, width) = Image.Resampling.LANCZOS, size
    resized = [
        np.asarray(Image.fromarray(plane).resize((width, height), lanczos))
        for plane in planes
    ]
    return torch.from_numpy(np.stack(resized)).reshape(*tensor.shape[:-2], *size)


def resize_lanczos_8bit(tensor: Tensor, size: Sequence[int]) -> Tensor:
    """Resample values in [0, 1] so on 8 bits, which cuts off what rings beyond them.

    It rounds after each of its two passes, as picture programs do.
    """
    planes = (tensor.float().clamp(0, 1) * 255).to(torch.uint8).cpu()
    lanczos, (height, width) = Image.Resampling.LANCZOS, size
    resized = [
        np.asarray(Image.fromarray(plane).resize((width, height), lanczos))
        for plane in planes.reshape(-1, *tensor.shape[-2:]).numpy()
    ]
    values = torch.from_numpy(np.stack(resized).astype(np.float32) / 255)
    return values.reshape(*tensor.shape[:-2], *size)


def resize_bislerp(tensor: Tensor, size: Sequence[int]) -> Tensor:
    """Interpolate directions and lengths of the vectors of channels apart.

    So latents keep their contrast (Shoemake 1985, slerp).
    """
    across = slerp_along(tensor.float(), size[1], 3)
    return slerp_along(across, size[0], 2).to(tensor.dtype)


def slerp_along(tensor: Tensor, size: int, dim: int) -> Tensor:
    """Interpolate along one axis between the two nearest vectors of channels."""
    old = tensor.shape[dim]
    if old == size:
        return tensor
    centres = torch.arange(size, dtype=torch.float32) + 0.5
    place = (centres * (old / size) - 0.5).clamp(0, old - 1)
    low = place.floor().long()
    high = (low + 1).clamp(max=old - 1)
    ratio = (place - low).reshape([-1 if axis == dim else 1 for axis in range(4)])
    first, second = tensor.index_select(dim, low), tensor.index_select(dim, high)
    return slerp(first, second, ratio.to(tensor.device))


def slerp(first: Tensor, second: Tensor, ratio: Tensor) -> Tensor:
    """Interpolate vectors along dimension 1: directions on the sphere, lengths linearly.

    Nearly equal directions give the first vector, nearly opposite ones are interpolated
    linearly.
    """
    first_length = first.norm(dim=1, keepdim=True)
    second_length = second.norm(dim=1, keepdim=True)
    first_unit = torch.where(first_length > 0, first / first_length, 0.0)
    second_unit = torch.where(second_length > 0, second / second_length, 0.0)
    cosine = (first_unit * second_unit).sum(dim=1, keepdim=True)
    angle = cosine.clamp(-1, 1).acos()
    before, after = ((1 - ratio) * angle).sin(), (ratio * angle).sin()
    unit = (before * first_unit + after * second_unit) / angle.sin()
    turned = unit * (first_length * (1 - ratio) + second_length * ratio)
    straight = first * (1 - ratio) + second * ratio
    turned = torch.where(cosine < 1e-5 - 1, straight, turned)
    return torch.where(cosine > 1 - 1e-5, first, turned)


RESIZERS: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {
        "nearest": resize_nearest,
        "area": resize_area,
        "bilinear": resize_bilinear,
        "bicubic": resize_bicubic,
        "lanczos": resize_lanczos,
        "lanczos_8bit": resize_lanczos_8bit,
        "bislerp": resize_bislerp,
    }
)
"""By the names that nodes call them by."""

SMOOTHING = frozenset({"bilinear", "bicubic"})
"""Those that take `antialias`; lanczos and area always smooth before shrinking."""


def to_area(
    pixels: Tensor, area: int, multiple: int = 1, method: str = "area"
) -> Tensor:
    """Bring pictures (B, C, H, W) to so many pixels, of their own shape, both edges multiples of a number."""
    return resample(pixels, size_of_area(pixels.shape[-2:], area, multiple), method)


def size_of_area(edges: Sequence[int], area: int, multiple: int = 1) -> tuple[int, int]:
    """The (height, width) of so many pixels in the shape of a picture, both multiples of a number."""
    height, width = edges
    scale = (area / (height * width)) ** 0.5
    rows, columns = (max(1, round(edge * scale / multiple)) for edge in edges)
    return rows * multiple, columns * multiple


def resample(
    tensor: Tensor,
    size: Sequence[int],
    method: str,
    crop: str = "none",
    *,
    antialias: bool = False,
) -> Tensor:
    """Resample (B, C, H, W), or each frame of (B, C, t, H, W), to a size by a method's name.

    Args:
        tensor: (B, C, H, W) or (B, C, t, H, W); of an empty batch comes an empty batch.
        size: (height, width).
        method: A key of `RESIZERS`.
        crop: ``center`` cuts to the shape of the size first.
        antialias: Smooth before shrinking, see `SMOOTHING`.

    Raises:
        ValueError: There is no such method.
    """
    if method not in RESIZERS:
        raise ValueError(f"there is no resampling method {method!r}")
    if not tensor.shape[0]:
        return tensor.new_zeros((0, *tensor.shape[1:-2], *size))
    if tensor.ndim == 5:
        frames = tensor.transpose(1, 2).flatten(0, 1)
        frames = resample(frames, size, method, crop, antialias=antialias)
        return frames.unflatten(0, (len(tensor), -1)).transpose(1, 2)
    if crop == "center":
        tensor = crop_to_shape(tensor, size)
    if tuple(tensor.shape[-2:]) == tuple(size):
        return tensor
    options = {"antialias": antialias} if method in SMOOTHING else {}
    return RESIZERS[method](tensor, size, **options)
