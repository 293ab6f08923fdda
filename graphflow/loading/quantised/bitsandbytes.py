"""bitsandbytes: four-bit codes of a table with a scale for each block of the flat weight, and eight-bit integers."""

from __future__ import annotations

from functools import partial

import torch

from graphflow.loading.codes.decoding import affine, as_float, pairs
from graphflow.loading.quantised.packed import PackedWeight
from graphflow.loading.quantised.tables import Raw
from graphflow.modelfiles.quantised.format import PackedLayer, whole


def unpack_four(raw: Raw, layer: PackedLayer) -> PackedWeight:
    """Bring a layer's tensors in order: an entry is a block, whose even value is in the high nibble."""
    block = whole(layer.options, "blocksize", 64)
    scale = raw["scale"]
    if "nested_scale" in raw:
        nested = whole(layer.options, "nested_blocksize", 256)
        outer = raw["nested_scale"].repeat_interleave(nested)[: scale.numel()]
        scale = raw["nested_table"][scale.reshape(-1).int()] * outer + float(
            str(layer.options.get("nested_offset", 0.0))
        )
    codes = raw["weight"].reshape(-1, block // 2).view(torch.uint8)
    values = tuple(float(value) for value in raw["table"])
    return PackedWeight(
        {"codes": codes, "scale": scale.float().reshape(-1, 1)},
        {},
        layer.shape,
        partial(affine, decode=partial(pairs, values=values, high_first=True)),
    )


def unpack_eight(raw: Raw, layer: PackedLayer) -> PackedWeight:
    """Bring a layer's tensors in order: scales are the largest numbers of rows."""
    entries = {"codes": raw["weight"], "scale": raw["scale"].float().reshape(-1, 1) / 127.0}
    return PackedWeight(entries, {}, layer.shape, partial(affine, decode=as_float))
