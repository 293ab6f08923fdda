"""Tensors of GGUF files."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from graphflow.loading.quantised.gguf_blocks import dequantise, scale_places
from graphflow.loading.quantised.packed import PackedWeight
from graphflow.loading.quantised.tables import Raw
from graphflow.modelfiles.gguf import BLOCKS
from graphflow.modelfiles.quantised.format import PackedLayer

PLAIN = {
    "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64,
    "I8": torch.int8, "I16": torch.int16, "I32": torch.int32, "I64": torch.int64,
}  # fmt: skip
"""Types whose numbers mean what they are."""
_BYTES = {name: (values, size) for name, values, size in BLOCKS.values()}


def unpack(raw: Raw, layer: PackedLayer) -> PackedWeight | Tensor:
    """Bring a tensor's bytes in order; what is not quantised becomes a tensor."""
    kind = str(layer.options["type"])
    data = raw["weight"]
    if kind in PLAIN:
        tensor = data.view(PLAIN[kind]).reshape(layer.shape)
        return _undone(tensor, layer)
    blocks = data.reshape(-1, _BYTES[kind][1])
    dequantise({"codes": blocks[:1]}, kind=kind)  # says now, not while a picture is made, that nobody can
    packed = PackedWeight({"codes": blocks}, {}, layer.shape, partial(dequantise, kind=kind))
    if "added" in layer.options:
        return _undone(packed.values(), layer)
    heads = layer.options.get("heads")
    if isinstance(heads, int):
        index = _rows_of_heads(layer.shape[0], heads)
        return packed.ordered(index) or packed.values()[index]
    return packed


def scales(raw: Raw, layer: PackedLayer) -> Tensor:
    """The scales of all blocks, to be checked."""
    kind = str(layer.options["type"])
    places = scale_places(kind)
    if not places:
        return torch.zeros(0)
    blocks = raw["weight"].reshape(-1, _BYTES[kind][1])
    return torch.cat([blocks[:, place : place + 2] for place in places]).contiguous().view(torch.float16)


def _undone(tensor: Tensor, layer: PackedLayer) -> Tensor:
    added, heads = layer.options.get("added"), layer.options.get("heads")
    if isinstance(added, float):
        return tensor - added
    return tensor[_rows_of_heads(layer.shape[0], heads)] if isinstance(heads, int) else tensor


def _rows_of_heads(rows: int, heads: int) -> Tensor:
    """Where the rows of queries or keys stand that llama.cpp interleaves: halves of a head, one after another."""
    return torch.arange(rows).reshape(heads, -1, 2).transpose(1, 2).reshape(-1)
