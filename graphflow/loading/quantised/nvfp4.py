"""NVIDIA's four-bit floats in ComfyUI's and in ModelOpt's order."""

from __future__ import annotations

from functools import partial

import torch

from graphflow.loading.codes.decoding import affine, e2m1_high, e2m1_low, untiled
from graphflow.loading.quantised.packed import PackedWeight
from graphflow.loading.quantised.tables import Raw, eight_bit_float
from graphflow.modelfiles.quantised.format import PackedLayer
from graphflow.modelfiles.quantised.nvfp4 import BLOCK


def unpack(raw: Raw, layer: PackedLayer) -> PackedWeight:
    """Bring a layer's tensors in order: scales from tiles to rows."""
    return _packed(raw, layer, untiled(raw["scale"].view(torch.uint8), layer.shape[0], layer.shape[1] // BLOCK), True)


def unpack_plain(raw: Raw, layer: PackedLayer) -> PackedWeight:
    """Bring a layer's tensors in order: they are."""
    return _packed(raw, layer, raw["scale"], False)


def _packed(raw: Raw, layer: PackedLayer, scale: torch.Tensor, high_first: bool) -> PackedWeight:
    return PackedWeight(
        {"codes": raw["weight"].view(torch.uint8), "scale": eight_bit_float(scale)},
        {"second": raw["second"].float().reshape(())},
        layer.shape,
        partial(affine, decode=e2m1_high if high_first else e2m1_low),
    )
