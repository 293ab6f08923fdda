"""Sizes and resampling of pictures, masks and latents."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from graphflow.errors import InvalidInputError, LimitError
from graphflow.limits import LIMITS

if TYPE_CHECKING:
    import torch


def target_size(
    width: int,
    height: int,
    *,
    wanted_width: int = 0,
    wanted_height: int = 0,
    scale: float = 1.0,
    megapixels: float = 0.0,
    longest_edge: int = 0,
    max_edge: int = 0,
    multiple_of: int = 1,
) -> tuple[int, int]:
    """Return the (width, height) that the size parameters of a node ask for.

    A given edge counts; the other follows the shape. Where none is given, the first of ``longest_edge`` (exactly that
    many pixels), ``megapixels`` (of 1024 * 1024 pixels) and ``scale`` that is set counts. ``max_edge`` then shrinks
    what is too long, 0 shrinks nothing. Edges are rounded to the nearest ``multiple_of`` pixels.

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
        if longest_edge:
            scale = longest_edge / max(width, height)
        elif megapixels:
            scale = math.sqrt(megapixels * 1024 * 1024 / (width * height))
        size = (width * scale, height * scale)
    longest = max(size)
    if max_edge and longest > max_edge:
        size = (size[0] * max_edge / longest, size[1] * max_edge / longest)
    new_width, new_height = (max(multiple_of, round(edge / multiple_of) * multiple_of) for edge in size)
    require_size(new_width, new_height)
    return new_width, new_height


def require_size(width: int, height: int) -> None:
    """Refuse pictures that are too large.

    Raises:
        LimitError: There are more pixels, or a longer edge, than the limits allow.
    """
    if width * height > LIMITS.pixels or max(width, height) > LIMITS.edge:
        raise LimitError(f"{width} x {height} is larger than {LIMITS.pixels:,} pixels or {LIMITS.edge:,} along an edge")


def crop_to_shape(tensor: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Cut (…, H, W) equally on two sides so that it has the shape of ``size`` (height, width)."""
    height, width = tensor.shape[-2:]
    wanted = size[1] / size[0]
    x = y = 0
    if width / height > wanted:
        x = min(round((width - height * wanted) / 2), (width - 1) // 2)
    else:
        y = min(round((height - width / wanted) / 2), (height - 1) // 2)
    return tensor[..., y : height - y, x : width - x]


def resample(
    tensor: torch.Tensor, size: tuple[int, int], method: str, crop: str = "none", *, antialias: bool = False
) -> torch.Tensor:
    """Resample (B, C, H, W) to ``size`` (height, width).

    ``bislerp`` is bilinear, but interpolates the direction of the vector of channels on the sphere and its length
    apart (Shoemake 1985, slerp), so that latents keep their contrast. ``lanczos_8bit`` first cuts values off to 8 bits
    and rounds after each of its two passes, as picture programs do. ``antialias`` smooths before shrinking; it acts
    on bilinear and bicubic, lanczos always does it.

    Raises:
        InvalidInputError: The tensor has no item, or is a video's latents.
    """
    import torch.nn.functional as functional

    if tensor.dim() != 4:
        raise InvalidInputError("latents of videos cannot be resampled", advice="resample the frames before encoding")
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
        case "lanczos_8bit":
            return _lanczos_8bit(tensor, size)
        case "bislerp":
            return _bislerp(_bislerp(tensor.float(), size[1], 3), size[0], 2).to(tensor.dtype)
    raise InvalidInputError(
        f"there is no resampling method {method!r}",
        advice="use nearest, bilinear, bicubic, area, lanczos, lanczos_8bit or bislerp",
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


def _lanczos_8bit(tensor: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resample values in [0, 1] with the same kernel on 8 bits, which cuts off what rings beyond black and white."""
    import numpy as np
    import PIL.Image
    import torch

    planes = (tensor.float().clamp(0, 1) * 255).to(torch.uint8).reshape(-1, *tensor.shape[-2:]).cpu().numpy()
    resized = [
        np.asarray(PIL.Image.fromarray(plane).resize((size[1], size[0]), PIL.Image.Resampling.LANCZOS))
        for plane in planes
    ]
    return torch.from_numpy(np.stack(resized).astype(np.float32) / 255).reshape(*tensor.shape[:-2], *size)


def _bislerp(tensor: torch.Tensor, size: int, dim: int) -> torch.Tensor:
    """Interpolate (B, C, H, W) along one axis between the two nearest vectors of channels."""
    import torch

    old = tensor.shape[dim]
    if old == size:
        return tensor
    place = ((torch.arange(size, dtype=torch.float32) + 0.5) * (old / size) - 0.5).clamp(0, old - 1)
    low = place.floor().long()
    high = (low + 1).clamp(max=old - 1)
    ratio = (place - low).reshape([-1 if axis == dim else 1 for axis in range(4)]).to(tensor.device)
    return slerp(tensor.index_select(dim, low), tensor.index_select(dim, high), ratio)


def slerp(first: torch.Tensor, second: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
    """Interpolate vectors along dimension 1: directions on the sphere, lengths linearly.

    Nearly equal directions give the first vector, nearly opposite ones are interpolated linearly.
    """
    import torch

    first_length, second_length = first.norm(dim=1, keepdim=True), second.norm(dim=1, keepdim=True)
    first_unit = torch.where(first_length > 0, first / first_length, 0.0)
    second_unit = torch.where(second_length > 0, second / second_length, 0.0)
    cosine = (first_unit * second_unit).sum(dim=1, keepdim=True)
    angle = cosine.clamp(-1, 1).acos()
    sine = angle.sin()
    unit = (((1 - ratio) * angle).sin() * first_unit + (ratio * angle).sin() * second_unit) / sine
    turned = unit * (first_length * (1 - ratio) + second_length * ratio)
    straight = first * (1 - ratio) + second * ratio
    return torch.where(cosine > 1 - 1e-5, first, torch.where(cosine < 1e-5 - 1, straight, turned))
