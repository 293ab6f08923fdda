"""torchao's integers and eight-bit floats, and its blocks in tiles."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from graphflow.loading.codes.decoding import affine, as_float, e2m1_low, untiled
from graphflow.loading.quantised.packed import PackedWeight
from graphflow.loading.quantised.tables import Raw, scale_table
from graphflow.modelfiles.quantised.float8 import scale_rows
from graphflow.modelfiles.quantised.format import PackedLayer, flag
from graphflow.modelfiles.quantised.mxfp8 import BLOCK as MX_BLOCK
from graphflow.modelfiles.quantised.nvfp4 import BLOCK as NV_BLOCK


def unpack(raw: Raw, layer: PackedLayer) -> PackedWeight:
    """Bring the tensors of a layer of integers or eight-bit floats in order."""
    rows, table = layer.shape[0], scale_rows(tuple(raw["scale"].shape), layer.shape)
    scales, shared = scale_table(raw["scale"], rows, table)
    entries = {"codes": raw["weight"], **scales}
    if "zero" in raw and raw["zero"].any():
        zero = -raw["zero"].float() * raw["scale"].float()
        entries["zero"] = (
            zero.reshape(table).expand(rows, -1) if table == (1, 1) else scale_table(zero, rows, table)[0]["scale"]
        )
    return PackedWeight(entries, shared, layer.shape, partial(affine, decode=as_float))


def unpack_mx(raw: Raw, layer: PackedLayer) -> PackedWeight:
    """Bring a layer's tensors in order: scales from tiles to rows."""
    scale = _scale(raw["scale"], layer, MX_BLOCK).view(torch.float8_e8m0fnu)
    return PackedWeight({"codes": raw["weight"], "scale": scale}, {}, layer.shape, partial(affine, decode=as_float))


def unpack_nv(raw: Raw, layer: PackedLayer) -> PackedWeight:
    """Bring a layer's tensors in order: scales from tiles to rows."""
    scale = _scale(raw["scale"], layer, NV_BLOCK).view(torch.float8_e4m3fn)
    shared = {"second": raw["second"].reshape(())} if "second" in raw else {}
    entries = {"codes": raw["weight"], "scale": scale}
    return PackedWeight(entries, shared, layer.shape, partial(affine, decode=e2m1_low))


def _scale(scale: Tensor, layer: PackedLayer, block: int) -> Tensor:
    rows, columns = layer.shape[0], layer.shape[1] // block
    stored = scale.view(torch.uint8)
    return (
        untiled(stored, rows, columns) if flag(layer.options, "is_swizzled_scales") else stored.reshape(rows, columns)
    )
