"""Tensors of GGUF files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from graphflow.errors import ModelFormatError
from graphflow.loading.codes.ggml import DECODERS
from graphflow.loading.quantised.packed import PackedWeight
from graphflow.loading.quantised.tables import Raw
from graphflow.modelfiles.gguf import BLOCKS
from graphflow.modelfiles.quantised.format import PackedLayer

PLAIN = {
    "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64,
    "I8": torch.int8, "I16": torch.int16, "I32": torch.int32, "I64": torch.int64,
}  # fmt: skip
"""Types whose numbers mean what they are."""
_SCALES: Mapping[str, tuple[int, ...]] = {
    "Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "Q8_0": (0,), "Q2_K": (80, 82), "Q3_K": (108,),
    "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "IQ4_NL": (0,), "IQ4_XS": (0,), "IQ2_XXS": (0,), "IQ2_XS": (0,),
    "IQ2_S": (0,), "IQ3_XXS": (0,), "IQ3_S": (0,), "IQ1_S": (0,), "TQ1_0": (52,), "TQ2_0": (64,),
}  # fmt: skip
"""Where the float16 scales of a block begin, by type."""
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
    places = _SCALES.get(kind, ())
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


def dequantise(tensors: Mapping[str, Tensor], *, kind: str) -> Tensor:
    """Values of blocks of a type.

    Raises:
        ModelFormatError: It needs the `gguf` package, which is not installed.
    """
    blocks = tensors["codes"]
    decode = DECODERS.get(kind)
    return by_package(blocks, kind) if decode is None else decode(blocks)


def by_package(blocks: Tensor, kind: str) -> Tensor:
    """Values of blocks of a rarer type, on the CPU, by the `gguf` package.

    Raises:
        ModelFormatError: The package that knows it is not installed, or does not know it.
    """
    try:
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize
    except ImportError as error:
        raise ModelFormatError(
            f"blocks of the type {kind} need the package gguf", advice="pip install 'graphflow-diffusers[gguf]'"
        ) from error
    try:
        values = dequantize(blocks.cpu().numpy(), GGMLQuantizationType[kind])
    except NotImplementedError as error:
        raise ModelFormatError(f"blocks of the type {kind} are not read", advice="use another quantisation") from error
    return torch.from_numpy(values).to(blocks.device)
