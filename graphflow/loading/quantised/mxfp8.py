"""Microscaling eight-bit floats."""

from __future__ import annotations

from functools import partial

import torch

from graphflow.loading.codes.decoding import affine, as_float, untiled
from graphflow.loading.quantised.packed import PackedWeight
from graphflow.loading.quantised.tables import Raw, eight_bit_float
from graphflow.modelfiles.quantised.format import PackedLayer
from graphflow.modelfiles.quantised.mxfp8 import BLOCK


def unpack(raw: Raw, layer: PackedLayer) -> PackedWeight:
    """Bring a layer's tensors in order: scales from tiles to rows."""
    scale = untiled(raw["scale"].view(torch.uint8), layer.shape[0], layer.shape[1] // BLOCK)
    entries = {"codes": eight_bit_float(raw["weight"]), "scale": scale.view(torch.float8_e8m0fnu)}
    return PackedWeight(entries, {}, layer.shape, partial(affine, decode=as_float))
