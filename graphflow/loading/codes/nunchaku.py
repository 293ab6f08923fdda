"""From the order in which Nunchaku's kernels read tiles of 128 rows, to rows."""

from __future__ import annotations

import torch
from torch import Tensor

from graphflow.loading.codes.decoding import affine, signed_nibbles

SHIFT = 0.171875
"""What kernels of integers add to the output of a GELU, which is -0.17 at least, to have no negative numbers."""


def ordered_codes(weight: Tensor) -> Tensor:
    """Codes (N, K / 2), two in a byte, of `qweight`.

    A lane of the kernel reads eight codes of a row as one word of 32 bits, the first in the lowest bits.
    """
    rows, half = weight.shape
    words = weight.contiguous().view(torch.int32)
    words = words.reshape(rows // 128, half // 32, 8, 8, 4, 2, 2)
    return words.permute(0, 2, 5, 3, 1, 6, 4).reshape(rows, half // 4).view(torch.uint8)


def ordered_scales(scale: Tensor) -> Tensor:
    """Scales (N, groups) of `wscales` (groups, N)."""
    groups, rows = scale.shape
    if scale.dtype == torch.float8_e4m3fn:
        blocks = scale.view(torch.uint8).reshape(rows // 128, groups // 4, 8, 4, 4, 4)
        blocks = blocks.permute(0, 4, 3, 2, 1, 5).reshape(rows, groups)
        return blocks.view(torch.float8_e4m3fn)
    lanes = scale.reshape(rows // 128, groups, 8, 4, 2, 2)
    return lanes.permute(0, 2, 4, 3, 5, 1).reshape(rows, groups)


def ordered_vector(vector: Tensor) -> Tensor:
    """Numbers of rows, which stand as scales of one group do."""
    return ordered_scales(vector.reshape(1, -1)).flatten()


def ordered_up(up: Tensor) -> Tensor:
    """The upper half (N, rank) of a branch of low rank."""
    return _squares(up).transpose(1, 2).reshape(up.shape)


def ordered_down(down: Tensor) -> Tensor:
    """The lower half (rank, K) of a branch of low rank, float32."""
    return _squares(down).permute(1, 2, 0, 3).reshape(down.shape[::-1]).float()


def _squares(branch: Tensor) -> Tensor:
    """A half (channels, rank) as squares, (channels / 16, rank / 16, 16, 16)."""
    channels, rank = branch.shape
    lanes = branch.reshape(channels // 16, rank // 16, 8, 4, 2, 2, 2)
    return lanes.permute(0, 1, 4, 2, 5, 3, 6).reshape(
        channels // 16, rank // 16, 16, 16
    )


def ordered_awq(weight: Tensor, rows: int) -> Tensor:
    """Codes (N, K / 2), two in a byte, of an AWQ layer's `qweight`.

    Of eight words the one with the number i holds the values i, 8 + i, 16 + i and 24 + i.
    """
    words = weight.contiguous().view(torch.int16).reshape(rows // 4, -1, 4, 16)
    words = words.transpose(1, 2).reshape(rows, -1, 1, 4, 2)
    shifts = torch.tensor([0, 4, 8, 12], dtype=torch.int16).reshape(4, 1)
    low, high = ((words[..., half] >> shifts) & 15 for half in (0, 1))
    return (low | (high << 4)).to(torch.uint8).reshape(rows, -1)


def shift_of(codes: Tensor, scale: Tensor, smooth: Tensor) -> Tensor:
    """What a bias makes up for behind a GELU whose output the kernels shift, (N,)."""
    tensors = {"codes": codes, "scale": scale, "smooth": smooth}
    return SHIFT * affine(tensors, decode=signed_nibbles).sum(1)


def by_modulation(tensor: Tensor, parts: int) -> Tensor:
    """Rows of a modulation, which the file has by channel, (modulations, channels, …)."""
    return tensor.unflatten(0, (-1, parts)).transpose(0, 1).contiguous()


def unscaled_one(bias: Tensor, parts: int) -> Tensor:
    """A modulation's bias as others have it: the kernels add no one to its scales."""
    rows = by_modulation(bias.float(), parts)
    for scale in {1, len(rows) - 2}:
        rows[scale] -= 1
    return rows.flatten().to(bias.dtype)
