"""What brings the layers of each format in order."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from graphflow.basics.finite import is_finite
from graphflow.errors import ModelFormatError
from graphflow.loading.quantised import (
    awq,
    bitsandbytes,
    float8,
    gguf,
    integers,
    mxfp8,
    nunchaku,
    nvfp4,
    quanto,
    sdnq,
    svdquant,
    torchao,
    w4a8,
)
from graphflow.loading.quantised.packed import PackedWeight
from graphflow.loading.quantised.tables import Raw
from graphflow.modelfiles.quantised import nunchaku as nunchaku_names
from graphflow.modelfiles.quantised.format import PackedLayer
from graphflow.modelfiles.quantised.gguf_names import FORMAT as GGUF

_UNPACK = {
    "float8": float8.unpack,
    "nvfp4": nvfp4.unpack,
    "nvfp4_plain": nvfp4.unpack_plain,
    "mxfp8": mxfp8.unpack,
    "int8": integers.unpack_eight,
    "convrot_w4a4": integers.unpack_four,
    "w4a8": w4a8.unpack,
    "awq_w4a16": awq.unpack,
    "svdquant_w4a4": svdquant.unpack,
    "sdnq": sdnq.unpack,
    "bitsandbytes_4bit": bitsandbytes.unpack_four,
    "bitsandbytes_int8": bitsandbytes.unpack_eight,
    "torchao_int8": torchao.unpack,
    "torchao_float8": torchao.unpack,
    "torchao_mxfp8": torchao.unpack_mx,
    "torchao_nvfp4": torchao.unpack_nv,
    "quanto_8bit": quanto.unpack_bytes,
    "quanto_bits": quanto.unpack_bits,
    nunchaku_names.SVDQUANT.name: nunchaku.unpack_svdquant,
    nunchaku_names.AWQ.name: nunchaku.unpack_awq,
    nunchaku_names.VECTOR: nunchaku.unpack_vector,
    nunchaku_names.PLAIN: nunchaku.unpack_plain,
    GGUF: gguf.unpack,
}
REORDERED = frozenset({nunchaku_names.SVDQUANT.name, nunchaku_names.AWQ.name})
"""Formats whose codes are brought in another order, not only what stands beside them."""


def unpack(raw: Raw, layer: PackedLayer, where: str) -> PackedWeight | Tensor:
    """Bring the tensors of a layer in order; a tensor where nothing stays packed.

    Args:
        raw: As they stand in the file, by role.
        layer: What is known of it.
        where: The file, for errors.

    Raises:
        ModelFormatError: A scale or weight is NaN or infinite.
    """
    made = _UNPACK[layer.format](raw, layer)
    for name, numbers in _numbers(made, raw, layer):
        if numbers.is_floating_point() and not is_finite(numbers):
            raise ModelFormatError(
                f"its tensor {layer.tensors.get(name, layer.tensors['weight'])} holds NaN or infinite numbers",
                where=where,
                advice="the file is damaged or was saved from a failed training or merge; get it again",
            )
    return made


def _numbers(made: PackedWeight | Tensor, raw: Raw, layer: PackedLayer) -> Iterator[tuple[str, Tensor]]:
    if isinstance(made, Tensor):
        yield "weight", made
    elif layer.format == GGUF:
        yield "weight", gguf.scales(raw, layer)
    else:
        yield from ((name.replace("codes", "weight"), tensor) for name, tensor in made.named_buffers())
        if "table" in raw:
            yield "table", raw["table"]
