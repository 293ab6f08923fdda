"""Codes of quantised weights as float32 numbers; nothing here knows a format's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

Decode = Callable[[Tensor], Tensor]
"""From codes (n, bytes) to values (n, K), float32."""

_E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
E2M1 = (*_E2M1, *(-value for value in _E2M1))
"""Values of four-bit floats by code."""
_SQUARE = 256
_EIGHT_BITS = (torch.float8_e4m3fn, torch.float8_e5m2)


def as_float(codes: Tensor) -> Tensor:
    """Numbers that mean what they are.

    On a CPU, where torch converts eight-bit floats one by one, their bits are moved to where float16 has them: the
    latter's exponents reach as far, and it has numbers below its normal ones, too.
    """
    if codes.device.type != "cpu" or codes.dtype not in _EIGHT_BITS:
        return codes.float()
    bits = codes.view(torch.int8).to(torch.int16)
    if codes.dtype == torch.float8_e5m2:
        return bits.bitwise_left_shift_(8).view(torch.float16).float()
    # Eight more in the bias; the shift leaves a copy of the sign below the sign.
    return (
        bits.bitwise_left_shift_(7)
        .bitwise_and_(~0x4000)
        .view(torch.float16)
        .float()
        .mul_(256.0)
    )


def signed_nibbles(codes: Tensor) -> Tensor:
    """Four-bit integers of -8 to 7, the even column in the low nibble."""
    return pairs(
        codes, tuple(float(value if value < 8 else value - 16) for value in range(16))
    )


def offset_nibbles(codes: Tensor) -> Tensor:
    """Four-bit integers stored as value + 8, the even column in the low nibble."""
    return pairs(codes, tuple(float(value - 8) for value in range(16)))


def plain_nibbles(codes: Tensor) -> Tensor:
    """Four-bit integers of 0 to 15, the even column in the low nibble."""
    return pairs(codes, tuple(float(value) for value in range(16)))


def e2m1_low(codes: Tensor) -> Tensor:
    """Four-bit floats, the even column in the low nibble."""
    return pairs(codes, E2M1)


def e2m1_high(codes: Tensor) -> Tensor:
    """Four-bit floats, the even column in the high nibble."""
    return pairs(codes, E2M1, high_first=True)


def six_bits(codes: Tensor) -> Tensor:
    """Six-bit integers of -32 to 31: a row's low nibbles, then the upper two bits of four columns a byte."""
    low = codes.shape[1] * 2 // 3
    upper = codes[:, low:]
    bits = torch.stack([(upper >> shift) & 3 for shift in (0, 2, 4, 6)], -1).flatten(1)
    return plain_nibbles(codes[:, :low]).add_(bits.float(), alpha=16.0).sub_(32.0)


def pairs(
    codes: Tensor, values: tuple[float, ...], *, high_first: bool = False
) -> Tensor:
    """Two values for each byte (n, bytes), looked up by its nibbles."""
    table = _kept(_pair_table, values, high_first, codes.device)
    return (
        table.index_select(0, codes.flatten().int())
        .view(torch.float32)
        .view(len(codes), -1)
    )


def _pair_table(
    values: tuple[float, ...], high_first: bool, device: torch.device
) -> Tensor:
    """Both values of each byte, seen as one number of 64 bits: these are looked up fastest."""
    one = torch.tensor(values)
    low, high = one.repeat(16), one.repeat_interleave(16)
    return (
        torch.stack((high, low) if high_first else (low, high), -1)
        .view(torch.int64)
        .flatten()
        .to(device)
    )


def by_block(values: Tensor, scale: Tensor) -> Tensor:
    """Values (n, K) times a scale: one number, or (n, G) with one for each K/G columns; written to the values."""
    if scale.ndim == 0 or scale.shape[1] == 1:
        return values.mul_(scale)
    return values.unflatten(1, (scale.shape[1], -1)).mul_(scale[..., None]).flatten(1)


def untiled(scales: Tensor, rows: int, columns: int) -> Tensor:
    """Scales (rows, columns) out of cuBLAS' tiles of 128 x 4: in a tile, (r, c) is at (r % 32) * 16 + (r // 32) * 4 + c."""
    down, across = -(-rows // 128), -(-columns // 4)
    tiles = scales.reshape(down, across, 32, 4, 4).permute(0, 3, 2, 1, 4)
    return tiles.reshape(128 * down, 4 * across)[:rows, :columns].contiguous()


def unrotate(values: Tensor, group: int, exact: bool = True) -> Tensor:
    """Undo ConvRot's rotation of each group of columns; the Hadamard matrix is its own inverse.

    Args:
        values: (..., K).
        group: How many columns were rotated together.
        exact: Add up as those who write these formats do; else in two steps, which is three times faster and rounds
            otherwise.
    """
    if exact or group != _SQUARE:
        return (
            values.unflatten(-1, (-1, group)) @ _kept(hadamard, group, values.device)
        ).flatten(-2)
    root = _kept(
        hadamard, 16, values.device
    )  # 256 columns as a square, mixed along either edge
    return (root @ (values.reshape(-1, 16, 16) @ root)).view_as(values)


def hadamard(size: int, device: torch.device) -> Tensor:
    """The normalised regular Hadamard matrix of a power of 4, float32."""
    four = torch.ones(4, 4) - 2 * torch.eye(4).flip(1)
    matrix = four
    while matrix.shape[0] < size:
        matrix = torch.kron(matrix, four)
    return (matrix / size**0.5).to(device)


def _kept(make: Callable[..., Tensor], *given: Any) -> Tensor:
    """A table that is made once; a compiler makes it part of what it compiles."""
    return make(*given) if torch.compiler.is_compiling() else _made_once(make, *given)


@cache
def _made_once(make: Callable[..., Tensor], *given: Any) -> Tensor:
    with torch.inference_mode(False):
        return make(*given)


def affine(tensors: Mapping[str, Tensor], *, decode: Decode) -> Tensor:
    """Decoded codes x scale (x the tensor's scale) (+ zero) (/ smooth) (+ a branch of low rank).

    Args:
        tensors: `codes`, and what else there is of `scale`, `second`, `zero`, `smooth`, `up`, `down`.
        decode: What the codes mean.
    """
    values = decode(tensors["codes"])
    if (scale := tensors.get("scale")) is not None:
        second = tensors.get("second")
        values = by_block(
            values, as_float(scale) if second is None else as_float(scale) * second
        )
    if (zero := tensors.get("zero")) is not None:
        values = (
            values.unflatten(1, (zero.shape[1], -1))
            .add_(zero.float()[..., None])
            .flatten(1)
        )
    if (smooth := tensors.get("smooth")) is not None:
        values = values / smooth
    if (up := tensors.get("up")) is not None:
        values = values + up.float() @ tensors["down"]
    return values


def stepped(tensors: Mapping[str, Tensor], *, decode: Decode) -> Tensor:
    """Decoded codes (through a code book) x a group's scale as whole numbers of -127 to 127, x the row's scale.

    Args:
        tensors: `codes`, `relative`, `channel`, and what else there is of `codebook` and `correction`.
        decode: What the codes mean.
    """
    values = decode(tensors["codes"])
    if (book := tensors.get("codebook")) is not None:
        values = book[values.int()]
    values = by_block(values, as_float(tensors["relative"])).round_().clamp_(-127, 127)
    values = values.mul_(tensors["channel"])
    if (correction := tensors.get("correction")) is not None:
        values = values.unflatten(1, (correction.shape[1], -1))
        values = values.add_(correction[..., None]).flatten(1)
    return values
