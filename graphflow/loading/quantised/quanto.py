"""optimum-quanto's weights."""

from __future__ import annotations

from functools import partial

import torch

from graphflow.loading.codes.decoding import affine, as_float, plain_nibbles
from graphflow.loading.quantised.packed import PackedWeight
from graphflow.loading.quantised.tables import Raw, scale_table
from graphflow.modelfiles.quantised.format import PackedLayer
from graphflow.modelfiles.quantised.quanto import width


def unpack_bytes(raw: Raw, layer: PackedLayer) -> PackedWeight:
    """Bring a layer's tensors in order."""
    scales = raw["scale"].numel()
    entries, shared = scale_table(raw["scale"], layer.shape[0], (scales, 1))
    codes = raw["weight"].flatten(1)
    return PackedWeight({"codes": codes, **entries}, shared, layer.shape, partial(affine, decode=as_float))


def unpack_bits(raw: Raw, layer: PackedLayer) -> PackedWeight:
    """Bring a layer's tensors in order: an entry is a group, two codes a byte."""
    groups, packed = raw["scale"].numel(), raw["weight"]
    bits = width(len(packed), groups)
    codes = torch.cat([(packed >> shift) & (1 << bits) - 1 for shift in range(0, 8, bits)])[:groups]
    scale, shift = raw["scale"].float(), raw["shift"]
    zero = -shift if shift.is_floating_point() else -shift.float() * scale
    entries = {"codes": codes[:, 0::2] | codes[:, 1::2] << 4, "scale": scale, "zero": zero.float()}
    return PackedWeight(entries, {}, layer.shape, partial(affine, decode=plain_nibbles))
