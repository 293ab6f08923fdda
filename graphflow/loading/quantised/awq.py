"""AWQ: four-bit codes with a scale and a zero for each group of columns."""

from __future__ import annotations

from functools import partial

import torch

from graphflow.loading.codes.decoding import affine, offset_nibbles
from graphflow.loading.quantised.packed import PackedWeight
from graphflow.loading.quantised.tables import Raw
from graphflow.modelfiles.quantised.format import PackedLayer


def unpack(raw: Raw, layer: PackedLayer) -> PackedWeight:
    """Bring a layer's tensors in order."""
    entries = {
        "codes": raw["weight"].view(torch.uint8),
        "scale": raw["scale"].t().contiguous(),
        "zero": raw["zero"].t().contiguous(),
    }
    return PackedWeight(entries, {}, layer.shape, partial(affine, decode=offset_nibbles))
