"""Values of ggml's blocks, float32; https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h has their layouts.

Each public function takes blocks (n, bytes), uint8, and gives (n, values).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

_IQ4 = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)


def _half(blocks: Tensor, start: int) -> Tensor:
    """A float16 number of each block, (n, 1)."""
    return blocks[:, start : start + 2].contiguous().view(torch.float16).float()


def _words(blocks: Tensor, start: int, stop: int) -> Tensor:
    """Bytes of each block, four in a number: (n, m) int32, whose operations take a quarter of the time."""
    return blocks[:, start:stop].contiguous().view(torch.int32)


def _bytes(words: Tensor) -> Tensor:
    return words.contiguous().view(torch.uint8)


def _nibbles(codes: Tensor, run: int) -> Tensor:
    """Nibbles (n, 2m): of each run of bytes first all low ones, then all high ones."""
    parts = codes.contiguous().unflatten(1, (-1, run))
    return torch.stack((parts & 15, parts >> 4), 2).flatten(1)


def _bits(codes: Tensor, run: int, width: int) -> Tensor:
    """Fields of some bits (n, m * 8/width): of each run of bytes first all lowest fields, then the next."""
    parts, mask = codes.contiguous().unflatten(1, (-1, run)), (1 << width) - 1
    return torch.stack(
        [(parts >> shift) & mask for shift in range(0, 8, width)], 2
    ).flatten(1)


def _grouped(codes: Tensor, scale: Tensor, less: Tensor | None = None) -> Tensor:
    """Codes (n, m) x the scale of their group (n, groups), less what is taken off it."""
    values = codes.float().unflatten(1, (scale.shape[1], -1)).mul_(scale[..., None])
    return (values if less is None else values.sub_(less[..., None])).flatten(1)


def q4_0(blocks: Tensor) -> Tensor:
    """Blocks of 32: four bits, symmetric."""
    return _nibbles(blocks[:, 2:], 16).float().sub_(8.0).mul_(_half(blocks, 0))


def q4_1(blocks: Tensor) -> Tensor:
    """Blocks of 32: four bits and a minimum."""
    return (
        _nibbles(blocks[:, 4:], 16)
        .float()
        .mul_(_half(blocks, 0))
        .add_(_half(blocks, 2))
    )


def _fifth(blocks: Tensor, start: int) -> Tensor:
    """The upper bits of 32 values, as 16 or 0."""
    return (
        torch.stack(
            [(blocks[:, start : start + 4] >> bit) & 1 for bit in range(8)], 2
        ).flatten(1)
        << 4
    )


def q5_0(blocks: Tensor) -> Tensor:
    """Blocks of 32: five bits, symmetric."""
    return (
        (_nibbles(blocks[:, 6:], 16) | _fifth(blocks, 2))
        .float()
        .sub_(16.0)
        .mul_(_half(blocks, 0))
    )


def q5_1(blocks: Tensor) -> Tensor:
    """Blocks of 32: five bits and a minimum."""
    return (
        (_nibbles(blocks[:, 8:], 16) | _fifth(blocks, 4))
        .float()
        .mul_(_half(blocks, 0))
        .add_(_half(blocks, 2))
    )


def q8_0(blocks: Tensor) -> Tensor:
    """Blocks of 32: eight bits."""
    return blocks[:, 2:].view(torch.int8).float().mul_(_half(blocks, 0))


def q2_k(blocks: Tensor) -> Tensor:
    """Blocks of 256: two bits, 16 groups with minima."""
    scales = blocks[:, :16]
    scale, less = (
        _half(blocks, 80) * (scales & 15).float(),
        _half(blocks, 82) * (scales >> 4).float(),
    )
    return _grouped(_bits(blocks[:, 16:80], 32, 2), scale, less)


def q3_k(blocks: Tensor) -> Tensor:
    """Blocks of 256: three bits, 16 groups."""
    packed = blocks[:, 96:108]
    low = torch.cat((packed[:, :8] & 15, packed[:, :8] >> 4), 1)
    scales = (low | (_bits(packed[:, 8:], 4, 2) << 4)).float().sub_(32.0)
    upper = _bits(blocks[:, :32], 32, 1) ^ 1
    codes = _bits(blocks[:, 32:96], 32, 2).to(torch.int8) - (upper << 2).to(torch.int8)
    return _grouped(codes, _half(blocks, 108) * scales)


def _scale_and_less(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Scales and what is taken off, eight of six bits each."""
    first, second, mixed = _words(blocks, 4, 16).unbind(1)
    low, upper = 0x0F0F0F0F, 0x30303030
    packed = (
        *(first & 0x3F3F3F3F, (mixed & low) | ((first >> 2) & upper)),
        *(second & 0x3F3F3F3F, ((mixed >> 4) & low) | ((second >> 2) & upper)),
    )
    scale, less = _bytes(torch.stack(packed, 1)).float().chunk(2, 1)
    return scale * _half(blocks, 0), less * _half(blocks, 2)


def q4_k(blocks: Tensor) -> Tensor:
    """Blocks of 256: four bits, 8 groups with minima."""
    return _grouped(_nibbles(blocks[:, 16:], 32), *_scale_and_less(blocks))


def q5_k(blocks: Tensor) -> Tensor:
    """Blocks of 256: five bits, 8 groups with minima."""
    codes = _nibbles(blocks[:, 48:], 32) | (_bits(blocks[:, 16:48], 32, 1) << 4)
    return _grouped(codes, *_scale_and_less(blocks))


def q6_k(blocks: Tensor) -> Tensor:
    """Blocks of 256: six bits, 16 groups."""
    codes = _nibbles(blocks[:, :128], 64) | (_bits(blocks[:, 128:192], 32, 2) << 4)
    scale = _half(blocks, 208) * blocks[:, 192:208].view(torch.int8).float()
    return _grouped(codes.to(torch.int8).sub_(32), scale)


def _iq4(codes: Tensor) -> Tensor:
    table = torch.tensor(_IQ4, dtype=torch.float32, device=codes.device)
    return table[_nibbles(codes, 16).int()]


def iq4_nl(blocks: Tensor) -> Tensor:
    """Blocks of 32: four bits of a table."""
    return _iq4(blocks[:, 2:]).mul_(_half(blocks, 0))


def iq4_xs(blocks: Tensor) -> Tensor:
    """Blocks of 256: four bits of a table, 8 groups."""
    low = torch.stack((blocks[:, 4:8] & 15, blocks[:, 4:8] >> 4), 2).flatten(1)
    high = torch.stack(
        [(blocks[:, 2:4] >> shift) & 3 for shift in (0, 2, 4, 6)], 2
    ).flatten(1)
    scale = _half(blocks, 0) * (low | (high << 4)).float().sub_(32.0)
    return _grouped(_iq4(blocks[:, 8:]), scale)


DECODERS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "Q4_0": q4_0, "Q4_1": q4_1, "Q5_0": q5_0, "Q5_1": q5_1, "Q8_0": q8_0, "Q2_K": q2_k, "Q3_K": q3_k,
    "Q4_K": q4_k, "Q5_K": q5_k, "Q6_K": q6_k, "IQ4_NL": iq4_nl, "IQ4_XS": iq4_xs,
}  # fmt: skip
"""By type."""
