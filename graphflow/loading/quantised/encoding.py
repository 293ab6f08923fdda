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
from graphflow.modelfiles.quantised.svdquant import GROUP as SVD_BLOCK

_STEP_BLOCK, _AWQ_BLOCK = 16, 64
"""Columns with one scale where files may have other numbers of them."""
_RANK = 32
"""Of SVDQuant's branch."""
_LEAST_SMOOTH = 2.0**-10
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
        convolutions: Whether readers take convolutions in it, too; ComfyUI takes linear layers alone where a scale belongs to
            the weight.
    """

    encode: Callable[[Tensor], tuple[dict[str, Tensor], Config | None]]
    rows: int = 1
    columns: int = 1
    convolutions: bool = False


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
    return {"weight": _pairs(codes), "weight_scale": scale}, {"format": "convrot_w4a4", "convrot_groupsize": group}


def _int8_in_steps(bits: int) -> Callable[[Tensor], tuple[dict[str, Tensor], Config | None]]:
    """Codes of four or six bits that stand for eight-bit integers, of rotated columns."""

    def encode(weight: Tensor) -> tuple[dict[str, Tensor], Config | None]:
        group, half = _rotation(weight), 1 << (bits - 1)
        rotated = unrotate(weight, group)
        channel = (rotated.abs().amax(1) / 127.0).clamp(min=_SMALLEST)
        blocks = (rotated / channel[:, None]).unflatten(1, (-1, _STEP_BLOCK))
        relative = _e4m3(blocks.abs().amax(2) / (half - 1))
        codes = _divided(blocks, relative.float()[..., None]).round().clamp(-half, half - 1).flatten(1)
        stored = (codes + half).to(torch.uint8)
        packed = _pairs(stored & 15)
        if bits > 4:
            upper = (stored >> 4).unflatten(1, (-1, 4))
            packed = torch.cat(
                (packed, upper[..., 0] | upper[..., 1] << 2 | upper[..., 2] << 4 | upper[..., 3] << 6), 1
            )
        tensors = {"weight": packed.view(torch.int8), "weight_s_rel": relative, "weight_s_channel": channel}
        return tensors, {"format": "asym_w4a8_int8", "group_size": _STEP_BLOCK, "convrot_groupsize": group}

    return encode


def _awq(weight: Tensor) -> tuple[dict[str, Tensor], Config | None]:
    blocks = weight.unflatten(1, (-1, _AWQ_BLOCK))
    least = blocks.amin(2)
    scale = ((blocks.amax(2) - least) / 15.0).half()
    zero = (least + 8.0 * scale.float()).half()
    ratio = _divided(blocks - zero.float()[..., None], scale.float()[..., None])
    codes = (ratio.round().clamp(-8, 7) + 8).to(torch.uint8).flatten(1)
    tensors = {
        "weight": _pairs(codes).view(torch.int8),
        "weight_scale": scale.t().contiguous(),
        "weight_zero": zero.t().contiguous(),
    }
    return tensors, {"format": "awq_w4a16", "group_size": _AWQ_BLOCK}


def _svdquant(weight: Tensor) -> tuple[dict[str, Tensor], Config | None]:
    """Columns are smoothed by the weight alone: those of large numbers keep more of them."""
    smooth = weight.abs().amax(0).clamp(min=_SMALLEST).sqrt()
    smooth = (smooth / smooth.mean()).clamp(min=_LEAST_SMOOTH).half().float()
    smoothed = weight * smooth
    up, right = _low_rank(smoothed, _RANK)
    up, down = up.half(), (right / smooth[:, None]).half()
    rest = (smoothed - up.float() @ (down.float() * smooth[:, None]).t()).unflatten(1, (-1, SVD_BLOCK))
    scale = (rest.abs().amax(2) / 7.0).half()
    codes = _divided(rest, scale.float()[..., None]).round().clamp(-8, 7).to(torch.int8).flatten(1)
    tensors = {
        "weight": _pairs(codes & 15),
        "weight_scale": scale.t().contiguous(),
        "weight_proj_down": down,
        "weight_proj_up": up,
        "weight_smooth_factor": smooth.half(),
    }
    return tensors, {"format": "svdquant_w4a4"}


def _low_rank(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Factors (N, rank) and (K, rank) of nearly the best approximation: Halko, Martinsson and Tropp 2011, algorithm 4.4."""
    rank = min(rank, *matrix.shape)
    wide = min(2 * rank, *matrix.shape)
    basis = matrix @ torch.randn(matrix.shape[1], wide, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        basis = matrix @ torch.linalg.qr(matrix.t() @ torch.linalg.qr(basis).Q).Q
    basis = torch.linalg.qr(basis).Q
    left, values, right = torch.linalg.svd(basis.t() @ matrix, full_matrices=False)
    return (basis @ left)[:, :rank] * values[:rank], right[:rank].t()


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
    "fp8": Encoder(_plain, convolutions=True),
    "fp8_scaled": Encoder(_scaled),
    "int8": Encoder(_int8),
    "int8_convrot": Encoder(_int8_rotated, columns=16),
    "mxfp8": Encoder(_mxfp8, rows=32, columns=32),
    "nvfp4": Encoder(_nvfp4, rows=16, columns=16),
    "convrot_w4a4": Encoder(_int4_rotated, columns=16),
    "w4a8": Encoder(_int8_in_steps(4), columns=16),
    "w6a8": Encoder(_int8_in_steps(6), columns=16),
    "awq_w4a16": Encoder(_awq, columns=_AWQ_BLOCK),
    "svdquant_w4a4": Encoder(_svdquant, columns=SVD_BLOCK),
}
"""By what the command line calls the format."""


def _e4m3(numbers: Tensor) -> Tensor:
    return numbers.clamp(-_E4M3_MOST, _E4M3_MOST).to(torch.float8_e4m3fn)


def _pairs(codes: Tensor) -> Tensor:
    """Codes of four bits, two in a byte, the even column low."""
    return codes[:, 0::2] | (codes[:, 1::2] << 4)


def _divided(numbers: Tensor, by: Tensor) -> Tensor:
    return torch.where(by != 0, numbers / by, 0.0)


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
