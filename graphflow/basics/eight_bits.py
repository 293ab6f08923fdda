"""Tensors as pictures of 8 bits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL.Image import Image

Rounding = Literal["round", "truncate"]
Array: TypeAlias = "np.ndarray[Any, Any]"


def to_bytes_array(pixels: torch.Tensor, rounding: Rounding) -> Array:
    """Turn (C, H, W) in [0, 1] into (H, W, C) of 8 bits.

    Raises:
        NonFiniteError: A pixel is NaN or infinite.
    """
    import torch

    from graphflow.basics.finite import require_finite

    require_finite(pixels, "the picture", "the node that made it is at fault; another dtype may help")
    scaled = pixels.float().clamp(0, 1) * 255
    whole = scaled.round() if rounding == "round" else scaled
    array: Array = whole.to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
    return array


def content_digest(arrays: Iterable[Array]) -> str:
    """Return the SHA-256 of what a file shows: of each array its shape, as ``(H, W, C)``, and its bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{tuple(array.shape)}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def to_pictures(pixels: torch.Tensor) -> list[Image]:
    """Turn (B, C, H, W) with 1, 3 or 4 channels in [0, 1] into pictures: grey, RGB or RGBA.

    Raises:
        NonFiniteError: A pixel is NaN or infinite.
    """
    import PIL.Image

    arrays = [to_bytes_array(item, "round") for item in pixels]
    return [PIL.Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array) for array in arrays]
