"""Codes of four or six bits that stand for eight-bit integers."""

from __future__ import annotations

from functools import partial

import torch

from graphflow.loading.codes.decoding import offset_nibbles, plain_nibbles, six_bits, stepped
from graphflow.loading.quantised.packed import PackedWeight
from graphflow.loading.quantised.tables import Raw, eight_bit_float
from graphflow.modelfiles.quantised.format import PackedLayer, rotation


def unpack(raw: Raw, layer: PackedLayer) -> PackedWeight:
    """Bring a layer's tensors in order."""
    relative = raw["relative"]
    entries = {
        "codes": raw["weight"].view(torch.uint8),
        "relative": eight_bit_float(relative) if relative.element_size() == 1 else relative,
        "channel": raw["channel"].float().reshape(-1, 1),
    }
    if "correction" in raw:
        entries["correction"] = raw["correction"].float().t().contiguous()
    shared = {"codebook": raw["codebook"].float().reshape(-1)} if "codebook" in raw else {}
    columns = layer.shape[1]
    decode = six_bits if raw["weight"].shape[1] * 2 > columns else plain_nibbles if shared else offset_nibbles
    turn = rotation(layer.options, columns)
    return PackedWeight(entries, shared, layer.shape, partial(stepped, decode=decode), rotation=turn)
