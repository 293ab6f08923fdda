"""SDNQ's integers of eight and four bits and its eight-bit floats."""

from __future__ import annotations

from functools import partial

from graphflow.loading.codes.decoding import affine, as_float, offset_nibbles, plain_nibbles
from graphflow.loading.quantised.packed import PackedWeight
from graphflow.loading.quantised.tables import Raw
from graphflow.modelfiles.quantised.format import PackedLayer, flag, rotation
from graphflow.modelfiles.quantised.sdnq import is_transposed


def unpack(raw: Raw, layer: PackedLayer) -> PackedWeight:
    """Bring a layer's tensors in order."""
    rows, columns = layer.shape
    codes, kind = raw["weight"], layer.options["weights_dtype"]
    decode = {"uint4": plain_nibbles, "int4": offset_nibbles}.get(str(kind), as_float)
    if is_transposed(tuple(codes.shape), tuple(raw["scale"].shape), layer.options):
        codes = codes.t().contiguous()
    codes = codes.reshape(rows, -1)
    group = rotation(layer.options, columns, "hadamard_group_size") if flag(layer.options, "use_hadamard") else 0
    entries, shared = {"codes": codes}, {}
    for role, name in (("scale", "scale"), ("zero", "zero")):
        if role in raw:
            tensor = raw[role].float()
            entries[name] = (tensor.expand(rows) if tensor.numel() == 1 else tensor).reshape(rows, -1)
    if "up" in raw:
        entries["up"] = raw["up"]
        shared["down"] = raw["down"].float()
    return PackedWeight(entries, shared, layer.shape, partial(affine, decode=decode), rotation=group)
