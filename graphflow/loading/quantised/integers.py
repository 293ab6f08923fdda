"""Integers of eight and four bits with a scale for the tensor, rows or blocks, of rotated columns or plain ones."""

from __future__ import annotations

from functools import partial

import torch

from graphflow.loading.codes.decoding import affine, as_float, signed_nibbles
from graphflow.loading.quantised.packed import PackedWeight
from graphflow.loading.quantised.tables import Raw, scale_table
from graphflow.modelfiles.quantised.float8 import scale_rows
from graphflow.modelfiles.quantised.format import PackedLayer, rotation


def unpack_eight(raw: Raw, layer: PackedLayer) -> PackedWeight:
    """Bring a layer's tensors in order."""
    entries, shared = scale_table(raw["scale"], layer.shape[0], scale_rows(tuple(raw["scale"].shape), layer.shape))
    group = rotation(layer.options, layer.shape[1]) if layer.options.get("convrot") else 0
    dequantise = partial(affine, decode=as_float)
    return PackedWeight({"codes": raw["weight"].flatten(1), **entries}, shared, layer.shape, dequantise, rotation=group)


def unpack_four(raw: Raw, layer: PackedLayer) -> PackedWeight:
    """Bring a layer's tensors in order."""
    entries = {"codes": raw["weight"].view(torch.uint8), "scale": raw["scale"].float().reshape(-1, 1)}
    group = rotation(layer.options, layer.shape[1])
    return PackedWeight(entries, {}, layer.shape, partial(affine, decode=signed_nibbles), rotation=group)
