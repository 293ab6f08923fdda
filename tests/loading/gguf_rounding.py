"""Blocks of ggml's types that the package `gguf` reads but does not write, rounded plainly, as the references are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
_IQ4 = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)


def _half(numbers: Array) -> Array:
    return np.ascontiguousarray(numbers.astype(np.float16)[:, None]).view(np.uint8)


def _codes(numbers: Array, step: Array, least: int, most: int) -> Array:
    """Numbers in steps, rounded half up; none where a step is 0."""
    return np.where(step > 0, np.floor(numbers / np.where(step > 0, step, 1) + 0.5), 0).clip(least, most)


def _outer(scales: Array, most: int) -> tuple[Array, Array, Array]:
    """A block's scale as float16, its groups' scales as codes, and these as numbers (n, groups, 1)."""
    whole = (scales.max(-1) / most).astype(np.float16)
    exact = whole.astype(np.float32)[:, None]
    codes = _codes(scales, exact, 0, most)
    return whole, codes.astype(np.uint8), (exact * codes)[..., None]


def _fields(codes: Array, width: int) -> Array:
    """Codes (n, halves, 8/width, run) as bytes, the first of them lowest."""
    return np.bitwise_or.reduce(codes << (width * np.arange(codes.shape[2], dtype=np.uint8))[:, None], axis=2)


def _affine(values: Array, bits: int) -> tuple[Array, Array]:
    groups = values.reshape(-1, 8, 32)
    least = np.minimum(groups.min(-1), 0)
    scale, first, step = _outer((groups.max(-1) - least) / (2**bits - 1), 63)
    off, second, less = _outer(-least, 63)
    codes = _codes(groups + less, step, 0, 2**bits - 1).astype(np.uint8)
    packed = (
        *((first[:, :4] & 63) | ((first[:, 4:] >> 4) << 6), (second[:, :4] & 63) | ((second[:, 4:] >> 4) << 6)),
        (first[:, 4:] & 15) | ((second[:, 4:] & 15) << 4),
    )
    return np.concatenate([_half(scale), _half(off), *packed], 1), codes


def _q4_k(values: Array) -> Array:
    head, codes = _affine(values, 4)
    return np.concatenate([head, _fields(codes.reshape(-1, 4, 2, 32), 4).reshape(-1, 128)], 1)


def _q5_k(values: Array) -> Array:
    head, codes = _affine(values, 5)
    upper = _fields((codes >> 4).reshape(-1, 1, 8, 32), 1)[:, 0]
    return np.concatenate([head, upper, _fields((codes & 15).reshape(-1, 4, 2, 32), 4).reshape(-1, 128)], 1)


def _q6_k(values: Array) -> Array:
    groups = values.reshape(-1, 16, 16)
    scale, scales, step = _outer(np.abs(groups).max(-1) / 31, 127)
    codes = (_codes(groups, step, -32, 31) + 32).astype(np.uint8).reshape(-1, 2, 4, 32)
    low = (codes & 15).reshape(-1, 2, 2, 64)
    return np.concatenate(
        [_fields(low, 4).reshape(-1, 128), _fields(codes >> 4, 2).reshape(-1, 64), scales, _half(scale)], 1
    )


def _q3_k(values: Array) -> Array:
    groups = values.reshape(-1, 16, 16)
    scale, scales, step = _outer(np.abs(groups).max(-1) / 4, 31)
    codes = (_codes(groups, step, -4, 3) + 4).astype(np.uint8)
    upper = _fields((codes >> 2).reshape(-1, 1, 8, 32), 1)[:, 0]
    low, stored = _fields((codes & 3).reshape(-1, 2, 4, 32), 2).reshape(-1, 64), scales + 32
    packed = ((stored[:, :8] & 15) | ((stored[:, 8:] & 15) << 4), _fields((stored >> 4).reshape(-1, 1, 4, 4), 2)[:, 0])
    return np.concatenate([upper, low, *packed, _half(scale)], 1)


def _q2_k(values: Array) -> Array:
    groups = values.reshape(-1, 16, 16)
    least = np.minimum(groups.min(-1), 0)
    scale, first, step = _outer((groups.max(-1) - least) / 3, 15)
    off, second, less = _outer(-least, 15)
    codes = _codes(groups + less, step, 0, 3).astype(np.uint8).reshape(-1, 2, 4, 32)
    return np.concatenate([first | (second << 4), _fields(codes, 2).reshape(-1, 64), _half(scale), _half(off)], 1)


def _nearest(values: Array, step: Array) -> Array:
    ratio = np.where(step != 0, values / np.where(step != 0, step, 1), 0)
    return np.abs(ratio[..., None] - _IQ4).argmin(-1).astype(np.uint8)


def _iq4_nl(values: Array) -> Array:
    groups = values.reshape(-1, 32)
    most = groups[np.arange(len(groups)), np.abs(groups).argmax(-1)]
    scale = (most / -127).astype(np.float16)
    codes = _nearest(groups, scale.astype(np.float32)[:, None])
    return np.concatenate([_half(scale), codes[:, :16] | (codes[:, 16:] << 4)], 1)


def _iq4_xs(values: Array) -> Array:
    groups = values.reshape(-1, 8, 32)
    wanted = np.abs(groups).max(-1) / 113
    scale = (wanted.max(-1) / 31).astype(np.float16)
    exact = scale.astype(np.float32)[:, None]
    scales = np.where(exact > 0, np.ceil(wanted / np.where(exact > 0, exact, 1)), 0).clip(0, 31)
    codes = _nearest(groups, (exact * scales)[..., None])
    stored = (scales + 32).astype(np.uint16)
    high = np.bitwise_or.reduce((stored >> 4) << (2 * np.arange(8, dtype=np.uint16)), axis=1)
    low = (stored & 15).astype(np.uint8)
    packed = (np.ascontiguousarray(high[:, None]).view(np.uint8), low[:, 0::2] | (low[:, 1::2] << 4))
    return np.concatenate([_half(scale), *packed, (codes[..., :16] | (codes[..., 16:] << 4)).reshape(-1, 128)], 1)


ROUNDED: Mapping[str, Callable[[Array], Array]] = {
    "Q4_K": _q4_k, "Q5_K": _q5_k, "Q6_K": _q6_k, "Q3_K": _q3_k, "Q2_K": _q2_k, "IQ4_NL": _iq4_nl, "IQ4_XS": _iq4_xs,
}  # fmt: skip
"""From values of rows to blocks (n, bytes), by type."""
