"""Sizes and resampling of pictures, masks and latents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphflow.errors import InvalidInputError, LimitError
from graphflow.limits import LIMITS

if TYPE_CHECKING:
    import torch


def target_size(
    width: int, height: int, *, wanted_width: int, wanted_height: int, scale: float, max_edge: int
) -> tuple[int, int]:
    """Return the (width, height) that the size parameters of a node ask for.

    A given edge counts; the other follows the shape. Where none is given, ``scale`` multiplies both. ``max_edge``
    then shrinks what is too long, 0 shrinks nothing.

    Raises:
        LimitError: The result is larger than the limits allow.
    """
    if wanted_width and wanted_height:
        size = (float(wanted_width), float(wanted_height))
    elif wanted_width:
        size = (float(wanted_width), height * wanted_width / width)
    elif wanted_height:
        size = (width * wanted_height / height, float(wanted_height))
    else:
        size = (width * scale, height * scale)
    longest = max(size)
    if max_edge and longest > max_edge:
        size = (size[0] * max_edge / longest, size[1] * max_edge / longest)
    new_width, new_height = max(1, round(size[0])), max(1, round(size[1]))
    if new_width * new_height > LIMITS.pixels or max(new_width, new_height) > LIMITS.edge:
        raise LimitError(
            f"{new_width} x {new_height} is larger than {LIMITS.pixels:,} pixels or {LIMITS.edge:,} along an edge"
        )
    return new_width, new_height


def crop_to_shape(tensor: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Cut (…, H, W) around its centre so that it has the shape of ``size`` (height, width)."""
    height, width = tensor.shape[-2:]
    wanted = size[1] / size[0]
    if width / height > wanted:
        keep = max(1, round(height * wanted))
        left = (width - keep) // 2
        return tensor[..., :, left : left + keep]
    keep = max(1, round(width / wanted))
    top = (height - keep) // 2
    return tensor[..., top : top + keep, :]


def resample(
    tensor: torch.Tensor, size: tuple[int, int], method: str, crop: str = "none", *, antialias: bool = False
) -> torch.Tensor:
    """Resample (B, C, H, W) to ``size`` (height, width).

    ``antialias`` smooths before shrinking; it acts on bilinear and bicubic, lanczos always does it.

    Raises:
        InvalidInputError: The tensor has no item.
    """
    import torch.nn.functional as functional

    if crop == "center":
        tensor = crop_to_shape(tensor, size)
    if tuple(tensor.shape[-2:]) == size or not tensor.shape[0]:
        return tensor if tensor.shape[0] else tensor.new_zeros((0, tensor.shape[1], *size))
    match method:
        case "nearest":
            return functional.interpolate(tensor, size=size, mode="nearest-exact")
        case "area":
            return functional.interpolate(tensor, size=size, mode="area")
        case "bilinear" | "bicubic":
            return functional.interpolate(tensor, size=size, mode=method, align_corners=False, antialias=antialias)
        case "lanczos":
            return _lanczos(tensor, size)
    raise InvalidInputError(
        f"there is no resampling method {method!r}", advice="use nearest, bilinear, bicubic, area or lanczos"
    )


def _lanczos(tensor: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resample with a Lanczos kernel of three lobes, channel by channel in float32."""
    import numpy as np
    import PIL.Image
    import torch

    planes = tensor.float().reshape(-1, *tensor.shape[-2:]).cpu().numpy()
    resized = [
        np.asarray(PIL.Image.fromarray(plane).resize((size[1], size[0]), PIL.Image.Resampling.LANCZOS))
        for plane in planes
    ]
    return torch.from_numpy(np.stack(resized)).reshape(*tensor.shape[:-2], *size)
