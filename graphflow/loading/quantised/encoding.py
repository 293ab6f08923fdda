"""Weights (N, K), float32, as the tensors of a quantised layer, rounded to the nearest without calibration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from graphflow.loading.codes.decoding import E2M1, unrotate
from graphflow.modelfiles.description import Config
from graphflow.modelfiles.quantised.mxfp8 import BLOCK as MX_BLOCK
from graphflow.modelfiles.quantised.nvfp4 import BLOCK as NV_BLOCK

_E4M3_MOST = 448.0
_E2M1_MOST = 6.0
_SMALLEST = 2.0**-126


@dataclass(frozen=True)
class Encoder:
    """How weights are written in one format.

    Attributes:
        encode: The tensors of a layer by their last names, and what its marker says; None where it has no marker.
        rows: What must divide the rows.
        columns: What must divide the columns.
    """

    encode: Callable[[Tensor], tuple[dict[str, Tensor], Config | None]]
    rows: int = 1
    columns: int = 1


def _plain(weight: Tensor) -> tuple[dict[str, Tensor], Config | None]:
    return {"weight": _e4m3(weight)}, None


def _scaled(weight: Tensor) -> tuple[dict[str, Tensor], Config | None]:
    scale = (weight.abs().max() / _E4M3_MOST).clamp(min=_SMALLEST)
    return {"weight": _e4m3(weight / scale), "weight_scale": scale}, {"format": "float8_e4m3fn"}


def _int8(weight: Tensor) -> tuple[dict[str, Tensor], Config | None]:
    scale = (weight.abs().amax(1, keepdim=True) / 127.0).clamp(min=_SMALLEST)
    codes = (weight / scale).round().clamp(-127, 127).to(torch.int8)
    return {"weight": codes, "weight_scale": scale}, {"format": "int8_tensorwise"}


def _int8_rotated(weight: Tensor) -> tuple[dict[str, Tensor], Config | None]:
    group = _rotation(weight)
    tensors, _ = _int8(unrotate(weight, group))
    return tensors, {"format": "int8_tensorwise", "convrot": True, "convrot_groupsize": group}


def _int4_rotated(weight: Tensor) -> tuple[dict[str, Tensor], Config | None]:
    group = _rotation(weight)
    rotated = unrotate(weight, group)
    scale = (rotated.abs().amax(1) / 7.0).clamp(min=_SMALLEST)
    codes = (rotated / scale[:, None]).round().clamp(-7, 7).to(torch.int8) & 15
    packed = codes[:, 0::2] | (codes[:, 1::2] << 4)
    return {"weight": packed, "weight_scale": scale}, {"format": "convrot_w4a4", "convrot_groupsize": group}


def _nvfp4(weight: Tensor) -> tuple[dict[str, Tensor], Config | None]:
    whole = (weight.abs().max() / (_E4M3_MOST * _E2M1_MOST)).clamp(min=_SMALLEST)
    blocks = weight.unflatten(1, (-1, NV_BLOCK))
    scale = _e4m3(blocks.abs().amax(2) / _E2M1_MOST / whole)
    step = (scale.float() * whole)[..., None]
    ratio = torch.where(step > 0, blocks / step, 0.0).flatten(1)
    values = torch.tensor(E2M1[:8])
    codes = torch.bucketize(ratio.abs().contiguous(), (values[1:] + values[:-1]) / 2).to(torch.uint8)
    codes |= (ratio < 0).to(torch.uint8) << 3
    packed = (codes[:, 0::2] << 4) | codes[:, 1::2]
    return (
        {"weight": packed, "weight_scale": _tiled(scale), "weight_scale_2": whole},
        {"format": "nvfp4"},
    )


def _mxfp8(weight: Tensor) -> tuple[dict[str, Tensor], Config | None]:
    blocks = weight.unflatten(1, (-1, MX_BLOCK))
    most = blocks.abs().amax(2)
    exponent = (most / _E4M3_MOST).clamp(min=_SMALLEST).log2().ceil().clamp(-127, 127)
    codes = _e4m3((blocks / exponent.exp2()[..., None]).flatten(1))
    stored = torch.where(most > 0, exponent + 127, 0).to(torch.uint8)
    return {"weight": codes, "weight_scale": _tiled(stored)}, {"format": "mxfp8"}


ENCODERS: Mapping[str, Encoder] = {
    "fp8": Encoder(_plain),
    "fp8_scaled": Encoder(_scaled),
    "int8": Encoder(_int8),
    "int8_convrot": Encoder(_int8_rotated, columns=16),
    "mxfp8": Encoder(_mxfp8, rows=32, columns=32),
    "nvfp4": Encoder(_nvfp4, rows=16, columns=16),
    "convrot_w4a4": Encoder(_int4_rotated, columns=16),
}
"""By what the command line calls the format."""


def _e4m3(numbers: Tensor) -> Tensor:
    return numbers.clamp(-_E4M3_MOST, _E4M3_MOST).to(torch.float8_e4m3fn)


def _rotation(weight: Tensor) -> int:
    return next(group for group in (256, 64, 16) if weight.shape[1] % group == 0)


def _tiled(scales: Tensor) -> Tensor:
    """Scales (rows, columns) in cuBLAS' tiles of 128 x 4, padded with zeros."""
    rows, columns = scales.shape
    down, across = -(-rows // 128), -(-columns // 4)
    whole = torch.zeros(128 * down, 4 * across, dtype=torch.uint8)
    whole[:rows, :columns] = scales.view(torch.uint8)
    tiles = whole.reshape(down, 4, 32, across, 4).permute(0, 3, 2, 1, 4)
    return tiles.reshape(128 * down, 4 * across).view(scales.dtype)
