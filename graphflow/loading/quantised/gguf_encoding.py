"""Values as ggml's blocks, rounded to the nearest; of some scales for a group the one of least error is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

_SHRUNK = (1.0, 0.95, 0.9, 0.85)
"""What a group's range is tried times: a narrower one cuts its ends and is finer inside."""


def _half(numbers: Tensor) -> Tensor:
    """Numbers (n,) as the bytes of float16."""
    return numbers.to(torch.float16).contiguous().view(torch.uint8).reshape(len(numbers), 2)


def _divided(numbers: Tensor, by: Tensor) -> Tensor:
    return torch.where(by != 0, numbers / by, 0.0)


def _q8_0(values: Tensor) -> Tensor:
    scale = (values.abs().amax(1) / 127).to(torch.float16)
    codes = _divided(values, scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
    return torch.cat((_half(scale), codes.view(torch.uint8)), 1)


def _q4_0(values: Tensor) -> Tensor:
    most = values.gather(1, values.abs().argmax(1, keepdim=True))[:, 0]
    scale = (most / -8).to(torch.float16)
    codes = (_divided(values, scale.float()[:, None]).round() + 8).clamp(0, 15).to(torch.uint8)
    return torch.cat((_half(scale), codes[:, :16] | (codes[:, 16:] << 4)), 1)


def _affine(values: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Codes (n, 8, 32) of super-blocks, and the 16 bytes of their scales and of what is taken off."""
    groups, most = values.unflatten(1, (8, 32)), float(2**bits - 1)
    less = -groups.amin(2).clamp(max=0)
    span = groups.amax(2).clamp(min=0) + less
    tried = []
    for share in _SHRUNK:
        scale, off = (span * share / most)[..., None], (less * share)[..., None]
        codes = _divided(groups + off, scale).round().clamp(0, most)
        tried.append((codes * scale - off - groups).square().sum(2))
    share = torch.tensor(_SHRUNK)[torch.stack(tried).argmin(0)]
    wanted, off = span * share / most, less * share
    outer, outer_off = ((numbers.amax(1) / 63).to(torch.float16) for numbers in (wanted, off))
    scales = _divided(wanted, outer.float()[:, None]).round().clamp(0, 63)
    offs = _divided(off, outer_off.float()[:, None]).round().clamp(0, 63)
    step = (scales * outer.float()[:, None])[..., None]
    codes = _divided(groups + (offs * outer_off.float()[:, None])[..., None], step).round().clamp(0, most)
    first, second = scales.to(torch.uint8), offs.to(torch.uint8)
    packed = torch.cat(
        (
            (first[:, :4]) | ((first[:, 4:] >> 4) << 6),
            (second[:, :4]) | ((second[:, 4:] >> 4) << 6),
            (first[:, 4:] & 15) | ((second[:, 4:] & 15) << 4),
        ),
        1,
    )
    return codes.to(torch.uint8), torch.cat((_half(outer), _half(outer_off), packed), 1)


def _nibbles(codes: Tensor, run: int) -> Tensor:
    """Codes (n, m) of four bits, two in a byte: of each two runs the first low, the second high."""
    pairs = codes.unflatten(1, (-1, 2, run))
    return ((pairs[:, :, 0] & 15) | (pairs[:, :, 1] << 4)).flatten(1)


def _q4_k(values: Tensor) -> Tensor:
    codes, head = _affine(values, 4)
    return torch.cat((head, _nibbles(codes.flatten(1), 32)), 1)


def _q5_k(values: Tensor) -> Tensor:
    codes, head = _affine(values, 5)
    upper = torch.zeros(len(codes), 32, dtype=torch.uint8)
    for group in range(8):
        upper |= (codes[:, group] >> 4) << group
    return torch.cat((head, upper, _nibbles((codes & 15).flatten(1), 32)), 1)


def _q6_k(values: Tensor) -> Tensor:
    groups = values.unflatten(1, (16, 16))
    signed = groups.gather(2, groups.abs().argmax(2, keepdim=True))[..., 0] / -32
    outer = (signed.abs().amax(1) / 127).to(torch.float16)
    scales = _divided(signed, outer.float()[:, None]).round().clamp(-128, 127)
    step = (scales * outer.float()[:, None])[..., None]
    codes = (_divided(groups, step).round().clamp(-32, 31) + 32).to(torch.uint8).reshape(-1, 2, 128)
    low = _nibbles(codes.flatten(1) & 15, 64)
    upper = codes.unflatten(2, (4, 32)) >> 4
    bits = upper[:, :, 0] | (upper[:, :, 1] << 2) | (upper[:, :, 2] << 4) | (upper[:, :, 3] << 6)
    return torch.cat((low, bits.flatten(1), scales.to(torch.int8).view(torch.uint8), _half(outer)), 1)


ENCODERS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "Q8_0": _q8_0, "Q6_K": _q6_k, "Q5_K": _q5_k, "Q4_K": _q4_k, "Q4_0": _q4_0,
}  # fmt: skip
"""From values (n, values of a block) to blocks (n, bytes), by type."""
