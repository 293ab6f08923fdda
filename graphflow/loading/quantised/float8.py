"""Eight-bit floats, with scales or without."""

from __future__ import annotations

from functools import partial

import torch

from graphflow.loading.codes.decoding import affine, as_float
from graphflow.loading.quantised.packed import PackedWeight
from graphflow.loading.quantised.tables import Raw, eight_bit_float, scale_table
from graphflow.modelfiles.quantised.float8 import scale_rows
from graphflow.modelfiles.quantised.format import PackedLayer


def unpack(raw: Raw, layer: PackedLayer) -> PackedWeight:
    """Bring a layer's tensors in order."""
    stored = torch.float8_e5m2 if layer.options.get("dtype") == "float8_e5m2" else torch.float8_e4m3fn
    codes = eight_bit_float(raw["weight"], stored)
    entries: dict[str, torch.Tensor] = {}
    shared: dict[str, torch.Tensor] = {}
    if (scale := raw.get("scale")) is not None:
        entries, shared = scale_table(scale, codes.shape[0], scale_rows(tuple(scale.shape), layer.shape))
    # Convolutions have a scale for the tensor or for rows, which is the same for flat rows.
    flat = codes.flatten(1) if codes.ndim > 1 else codes.reshape(-1, 1)
    return PackedWeight({"codes": flat, **entries}, shared, layer.shape, partial(affine, decode=as_float))
