"""Pictures as the networks of Qwen's language models see them."""

from __future__ import annotations

from torch import Tensor


def patches(pixels: Tensor, patch: int, merged: int, frames: int) -> Tensor:
    """Patches of a picture (1, 3, H, W), those that become one token together: (H / p * W / p, 3 * frames * p * p).

    Args:
        pixels: The picture, normed; its edges are multiples of `patch` times `merged`.
        patch: Pixels p of a patch along an edge.
        merged: Patches of a token along an edge.
        frames: How many frames a patch has; a picture is all of them.
    """
    rows, columns = (edge // (patch * merged) for edge in pixels.shape[-2:])
    shape = frames, 3, rows, merged, patch, columns, merged, patch
    parts = pixels.expand(frames, -1, -1, -1).reshape(shape)
    return parts.permute(2, 5, 3, 6, 1, 0, 4, 7).reshape(rows * columns * merged**2, -1)
