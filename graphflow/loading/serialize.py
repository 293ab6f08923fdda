"""Tensors as the bytes of a safetensors file, the same bytes every time (the library's own order of metadata varies)."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.sources import CONFIG_KEY

_NAMES: Mapping[torch.dtype, str] = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.bool: "BOOL",
}
_ALIGNMENT = 8


def to_safetensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file, whole; see :func:`pieces`."""
    return b"".join(pieces(tensors, metadata))


def pieces(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Iterator[bytes]:
    """A safetensors file with names in order, its header and then tensor after tensor.

    Args:
        tensors: By name, of any device.
        metadata: Texts by name.
    """
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    # Wide types first, so that each tensor is aligned to its own type, as the format asks.
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    offset = 0
    for name in names:
        tensor = tensors[name]
        end = offset + tensor.numel() * tensor.itemsize
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    yield struct.pack("<Q", len(text)) + text
    for name in names:
        yield tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def model_file(
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    dtype: torch.dtype,
    *,
    architecture: str = "",
    texts: Mapping[str, str] | None = None,
) -> bytes:
    """A model as a safetensors file: all of it is in memory.

    Args:
        tensors: By name.
        config: Configs by part, for `graphflow.config` in the metadata.
        dtype: Dtype of the floating-point tensors.
        architecture: The model's name for `modelspec.architecture`; empty leaves it out.
        texts: What else the metadata says.

    Raises:
        ModelFormatError: A weight is NaN or infinite in this dtype.
    """
    ready: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        held = tensor.to("cpu", dtype) if tensor.is_floating_point() else tensor.cpu()
        if held.is_floating_point() and not bool(held.isfinite().all()):
            raise ModelFormatError(
                f"{name} holds NaN or infinite numbers as {str(dtype).removeprefix('torch.')}",
                advice="save with dtype float32 or bfloat16; if that fails, too, the model is broken",
            )
        ready[name] = held
    metadata = {**(texts or {}), "format": "pt", CONFIG_KEY: json.dumps(config, ensure_ascii=False, default=str)}
    if architecture:
        metadata["modelspec.architecture"] = architecture
    return to_safetensors(ready, metadata)
